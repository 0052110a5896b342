//! `rehearsal enumerate`: the document, the plan of a violation, and what is refused.

use serde_json::Value;

use crate::binary::{Desk, scenario};

#[test]
fn a_clean_flow_passes_and_its_document_does_not_depend_on_the_jobs() {
    let desk = Desk::new();
    let flow = scenario("enumerate/happy_path");
    let run = |jobs: &str| {
        let ended = desk.run(&[
            "enumerate",
            &flow,
            "--stride",
            "30",
            "--jobs",
            jobs,
            "--format",
            "json",
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.out, desk.get("results/enumerate.json"));
        let mut json = ended.json();
        json.as_object_mut().expect("an object").remove("timing");
        json
    };
    let one = run("1");
    assert_eq!(one, run("3"));
    assert_eq!(one["format"], "rehearsal.enumerate/1");
    assert_eq!(one["verdict"], "pass");
    assert_eq!(
        one["losses"],
        serde_json::json!(["all", "subset", "torn_512"])
    );
    let points = one["total"]["points"].as_u64().expect("a count");
    assert!(points >= 4);
    assert_eq!(one["total"]["passed"], 3 * points);
    assert!(one["flows"][0]["operations"]["service"]["sync"].as_u64() > Some(10));
    assert_eq!(desk.names(), ["results", "results/enumerate.json"]);
}

#[test]
fn a_violation_leaves_the_plan_that_shows_it() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(scenario("enumerate/happy_path")).expect("the shipped flow");
    let mut table: toml::Table = text.parse().expect("TOML");
    let planted = toml::Table::from_iter([("defect".to_owned(), "synchronous-normal".into())]);
    table.insert("planted".to_owned(), planted.into());
    desk.put("planted.toml", table.to_string());
    let arguments = [
        "enumerate",
        "planted.toml",
        "--stride",
        "12",
        "--loss",
        "all",
    ];
    let ended = desk.run(&arguments);
    assert_eq!(ended.code, 1, "{ended:?}");
    for said in [
        "FAIL",
        "oracle no_acknowledged_request_lost",
        "with all lost",
        "reproduce: rehearsal run results/happy_path-1-service-",
        "hint:",
    ] {
        assert!(ended.out.contains(said), "{said}: {}", ended.out);
    }
    let document: Value =
        serde_json::from_str(&desk.get("results/enumerate.json")).expect("a whole document");
    let plan = document["flows"][0]["found"][0]["plan"]
        .as_str()
        .expect("a file");
    let again = desk.run(&["run", &format!("results/{plan}"), "--out", "again"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.out.contains("no_acknowledged_request_lost"));
    let markdown = desk.run(&[&arguments[..], &["--format", "markdown"]].concat());
    assert!(
        markdown.out.starts_with("# Power cuts: FAIL\n"),
        "{markdown:?}"
    );
}

#[test]
fn what_cannot_be_enumerated_is_refused_before_anything_runs() {
    let desk = Desk::new();
    let flow = scenario("enumerate/happy_path");
    for (arguments, said) in [
        (vec!["enumerate"], "<PATH>"),
        (
            vec!["enumerate", &flow, "--loss", "most"],
            "unknown loss `most`, expected one of `none`",
        ),
        (vec!["enumerate", &flow, "--stride", "0"], "--stride"),
        (vec!["enumerate", "absent.toml"], "absent.toml"),
    ] {
        let ended = desk.run(&arguments);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ended.err.contains(said), "{said}: {}", ended.err);
    }
    assert!(desk.names().is_empty(), "nothing was written");
}
