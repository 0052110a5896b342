//! `rehearsal verify` over the shipped scenarios: pairs agree, whatever the number of jobs, and the document says under what conditions.
//!
//! What it says of a difference is tested where leaks can be planted: in sim's tests and in the renderer's.

use crate::binary::{Desk, scenario};

#[test]
fn a_clean_scenario_agrees_in_every_format() {
    let desk = Desk::new();
    let file = scenario("happy_path");
    let ended = desk.run(&["verify", &file, "--seeds", "3", "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        desk.get("results/verify.json"),
        ended.out,
        "stdout and the file are the same document"
    );
    let json = ended.json();
    assert_eq!(json["format"], "rehearsal.verify/1");
    assert_eq!(json["verdict"], "pass");
    assert_eq!(json["pairs"]["asked"], 3);
    assert_eq!(json["pairs"]["same"], 3);
    assert_eq!(json["scenarios"][0]["scenario"], "happy_path");
    assert_eq!(json["conditions"]["guards"]["system_calls"], true);
    let human = desk.run(&["verify", &file, "--seeds", "4..6", "--jobs", "4"]);
    assert_eq!(human.code, 0, "{human:?}");
    assert!(
        human.out.contains("SAME  happy_path  2 of 2 pairs"),
        "{human:?}"
    );
    let markdown = desk.run(&["verify", &file, "--seeds", "1", "--format", "markdown"]);
    assert!(
        markdown.out.contains("| happy_path | 1 | 1 | 0 | 0 |"),
        "{markdown:?}"
    );
}

#[test]
fn a_plan_is_verified_with_its_own_seed() {
    let desk = Desk::new();
    let plan = desk.run(&["plan", &scenario("provider_timeout"), "--seed", "7"]);
    desk.put("plan.toml", &plan.out);
    let ended = desk.run(&["verify", "plan.toml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("1 of 1 pairs compared: 1 the same"),
        "{ended:?}"
    );
}
