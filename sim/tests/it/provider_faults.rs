//! Whole runs under the faults of providers and of the database, under faults that wait for an event, and of the swarm.

use std::{path::Path, time::Duration};

use rehearsal_sim::{
    appointments::{Appointments, Tables},
    engine::Engine,
    plan::Plan,
    run,
    scenario::Scenario,
    verdict::{Record, Verdict},
};

const HEAD: &str = r#"
format = "rehearsal.scenario/1"
name = "test"
question = "Does it hold?"
[topology]
layout = "cluster"
workers = 2
audit_every_s = 2
audit_horizon_s = 8
[workload]
requests = 60
arrival = { poisson_per_s = 15 }
duplicates = 0.1
cancels = 0.1
client_timeout_ms = 5000
[service]
attempt_timeout_ms = 1000
settle_slack_ms = 1000
lease_ms = 4000
in_flight_horizon_ms = 8000
max_attempts = 40
backoff_cap_ms = 2000
retry_after_cap_ms = 4000
"#;

fn scenario(text: &str) -> Scenario<Tables> {
    Scenario::parse(Path::new("test.toml"), text).unwrap_or_else(|refused| panic!("{refused}"))
}

fn plan(text: &str, seed: u64) -> Plan<Appointments> {
    let file = Path::new("test.toml");
    Plan::draw(file, &scenario(text), seed).unwrap_or_else(|refused| panic!("{refused}"))
}

fn judged(plan: &Plan<Appointments>) -> Record {
    run::in_child(plan, Engine::Pipes, Duration::from_mins(2), false)
        .expect("it comes to a verdict")
        .record
}

fn passes(tail: &str) -> Record {
    let record = judged(&plan(&format!("{HEAD}{tail}"), 1));
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    record
}

fn effects(record: &Record) -> Vec<(&str, u64)> {
    let faults = record.faults.iter();
    faults
        .map(|fault| (fault.kind.as_str(), fault.effect.values().sum()))
        .collect()
}

#[test]
fn a_provider_that_garbles_throttles_absurdly_and_lists_late_loses_and_doubles_nothing() {
    let record = passes(
        r#"
[providers.acme]
errors = [
    { status = 429, rate = 0.1, retry_after_date_s = 1 },
    { status = 429, rate = 0.1, retry_after_text = "-1" },
    { status = 503, rate = 0.1, retry_after_text = "999999999999999999999" },
]
garbled = [{ how = "not_json", rate = 0.1 }, { how = "truncated", rate = 0.1 }]
windows = [{ from_s = 1, to_s = 3, garbled = [{ how = "wrong_shape", rate = 0.5 }] }]
listing_lag = { rate = 0.5, lag = { uniform_ms = [3000, 6000] }, look_ups = true }
"#,
    );
    let effects = effects(&record);
    assert_eq!(effects.len(), 6, "{effects:?}");
    assert!(effects.iter().all(|(_, count)| *count > 0), "{effects:?}");
}

#[test]
fn a_database_that_commits_and_does_not_answer_loses_and_doubles_nothing() {
    let record = passes("[database]\nanswer_lost = 0.1\nlatency = { fixed_ms = 3 }\n");
    let effects = effects(&record);
    assert!(
        matches!(effects[..], [(_, lost), (_, slow)] if lost > 3 && slow > 100),
        "{effects:?}"
    );
}

#[test]
fn a_fault_strikes_at_the_event_that_it_waits_for_and_is_inert_without_it() {
    let kill = |event: &str, nth: u32| {
        format!(
            "[[faults]]\nkind = \"power_loss\"\ntarget = \"@event\"\nwhen = {{ event = \"{event}\", nth = {nth} }}\ndown_s = 1\n"
        )
    };
    let record = passes(&kill("attempt_started", 20));
    assert_eq!(effects(&record).len(), 1);
    // The accept was committed by a database that then lost its power: its caller asks again and gets the same appointment.
    passes(&kill("committed:accept", 20));
    let never = judged(&plan(
        &format!("{HEAD}{}", kill("committed:accept", 9_999)),
        1,
    ));
    assert_eq!(never.verdict, Verdict::Inconclusive, "{:?}", never.faults);
    let file = Path::new("test.toml");
    let at_client = scenario(&format!("{HEAD}{}", kill("answered", 3)));
    let refused = Plan::<Appointments>::draw(file, &at_client, 1).expect_err("no host of a fault");
    assert!(
        refused
            .message
            .contains("`answered`, which happens at a client"),
        "{refused}"
    );
    let unknown = scenario(&format!("{HEAD}{}", kill("attempt_startd", 1)));
    let refused = Plan::<Appointments>::draw(file, &unknown, 1).expect_err("no such event");
    assert!(
        refused.message.contains("did you mean `attempt_started`?"),
        "{refused}"
    );
}

#[test]
fn a_swarm_s_seeds_have_faults_of_their_own_and_hold() {
    let text = include_str!("../../../scenarios/swarm.toml");
    let plans: Vec<_> = (1..=40).map(|seed| plan(text, seed)).collect();
    let asked = |plan: &Plan<Appointments>| {
        let providers = plan.system.providers.values();
        let own: usize = providers.map(|it| it.errors.len() + it.garbled.len()).sum();
        (plan.faults.len(), own)
    };
    assert!(plans.iter().any(|plan| asked(plan).0 < 3));
    assert!(plans.iter().any(|plan| asked(plan).0 > 7));
    assert!(plans.iter().any(|plan| asked(plan).1 < 3));
    assert!(plans.iter().any(|plan| asked(plan).1 > 6));
    assert_eq!(plan(text, 3).to_toml(), plans[2].to_toml());
    for plan in &plans[..3] {
        let record = judged(plan);
        assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    }
}
