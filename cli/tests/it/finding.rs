//! From a finding to a regression: `shrink`, `show`, `why` and `promote`, as a user goes through them.

use crate::binary::{Desk, scenario};

/// The horizon is shorter than the provider's answers, so a repeat books again.
fn failing(desk: &Desk) {
    let text = std::fs::read_to_string(scenario("provider_timeout")).expect("a shipped scenario");
    let text = text
        .replace("[50, 800]", "[50, 4000]")
        .replace("horizon_ms = 1500", "horizon_ms = 400");
    desk.put("unsafe.toml", text);
    let plan = desk.run(&["plan", "unsafe.toml", "--seed", "0"]);
    assert_eq!(plan.code, 0, "{plan:?}");
    desk.put("plan.toml", plan.out);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, in its order")]
fn a_finding_becomes_a_small_plan_a_story_a_reason_and_a_regression() {
    let desk = Desk::new();
    failing(&desk);
    let oracle = "no_duplicate_confirmation";
    let shrunk = desk.run(&[
        "shrink",
        "plan.toml",
        "--oracle",
        oracle,
        "--jobs",
        "2",
        "--out",
        "small.toml",
    ]);
    assert_eq!(shrunk.code, 0, "{shrunk:?}");
    for part in [
        "operations 30 -> 1",
        "reproduce: rehearsal run small.toml",
        oracle,
    ] {
        assert!(shrunk.out.contains(part), "{part}: {}", shrunk.out);
    }
    let run = desk.run(&["run", "small.toml", "--trace"]);
    assert_eq!(run.code, 1, "{run:?}");

    let story = desk.run(&["show", "small.toml"]);
    assert_eq!(story.code, 0, "{story:?}");
    for part in [
        "it has 2 live bookings now",
        "VIOLATION of no_duplicate_confirmation",
        "what has to hold:",
        "in the name of Q***",
        "reproduce: rehearsal run small.toml",
    ] {
        assert!(story.out.contains(part), "{part}: {}", story.out);
    }
    assert!(!story.out.contains("Quillon"), "personal data is shown");
    let trace = "results/provider_timeout-0.trace.jsonl";
    let from_trace = desk.run(&["show", trace, "--format", "json"]);
    assert_eq!(from_trace.code, 0, "{from_trace:?}");
    let from_trace = from_trace.json();
    assert_eq!(from_trace["format"], "rehearsal.story/1");
    assert_eq!(from_trace["violations"][0]["oracle"], oracle);
    let lane = desk.run(&[
        "show",
        "small.toml",
        "--request",
        "a-10",
        "--format",
        "markdown",
    ]);
    assert_eq!(lane.code, 0, "{lane:?}");
    for part in [
        "```mermaid\nsequenceDiagram\n",
        "->>",
        "| client-1 | sends request r-10",
    ] {
        assert!(lane.out.contains(part), "{part}: {}", lane.out);
    }
    let stranger = desk.run(&["show", "small.toml", "--request", "a-999"]);
    assert_eq!(stranger.code, 2, "{stranger:?}");

    let why = desk.run(&[
        "why",
        "small.toml",
        "--moments",
        "4",
        "--samples",
        "3",
        "--format",
        "json",
    ]);
    assert_eq!(why.code, 0, "{why:?}");
    let why = why.json();
    assert_eq!(why["points"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        why["points"][3]["share"], 1.0,
        "after the violation nothing can change it"
    );

    let refused = desk.run(&["promote", "small.toml", "--into", "kept"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("it still fails"), "{}", refused.err);
    assert!(
        !desk.names().contains(&"kept".to_owned()),
        "nothing is written"
    );
    let promote = [
        "promote",
        "small.toml",
        "--into",
        "kept",
        "--expect-fail",
        "--name",
        "twice",
    ];
    let kept = desk.run(&promote);
    assert_eq!(kept.code, 0, "{kept:?}");
    let file = desk.get("kept/twice.toml");
    assert!(
        file.contains("open = true") && file.contains("[found]"),
        "{file}"
    );
    assert_eq!(
        desk.run(&promote).code,
        2,
        "a regression is never overwritten"
    );
    // The bug is fixed: the provider now knows a repeat.
    desk.put(
        "fixed.toml",
        file.replace("idempotent = false", "idempotent = true"),
    );
    let fixed = desk.run(&["promote", "fixed.toml", "--into", "kept", "--name", "fixed"]);
    assert_eq!(fixed.code, 0, "{fixed:?}");
    assert!(!desk.get("kept/fixed.toml").contains("open ="));
}

#[test]
fn what_cannot_be_shrunk_or_shown_is_refused_with_a_reason() {
    let desk = Desk::new();
    let happy = desk.run(&["plan", &scenario("happy_path"), "--seed", "1"]);
    desk.put("happy.toml", happy.out);
    desk.put(
        "bad.jsonl",
        "{\"format\":\"rehearsal.trace/1\"}\n{\"ordinal\":0}\n",
    );
    desk.put("empty/readme", "");
    let happy_path = scenario("happy_path");
    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["shrink", "happy.toml"],
            3,
            "the plan does not fail at all: its run came to Pass",
        ),
        (&["why", "happy.toml"], 3, "does not fail"),
        (
            &["promote", "happy.toml"],
            2,
            "nothing in it says that it ever did",
        ),
        (&["shrink", &happy_path], 2, "expected a plan"),
        (&["shrink", "empty"], 2, "found no plan.toml in it"),
        (
            &["show", "bad.jsonl"],
            2,
            "bad.jsonl: line 2: missing field",
        ),
        (&["shrink", "none.toml"], 2, "none.toml"),
    ];
    for (command, code, reason) in cases {
        let ended = desk.run(command);
        assert_eq!(ended.code, code, "{command:?}: {ended:?}");
        assert!(ended.err.contains(reason), "{command:?}: {}", ended.err);
    }
}
