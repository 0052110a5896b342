//! Two processes a seed: what is closed agrees, and each planted leak is caught and named.

use std::{num::NonZeroUsize, ops::ControlFlow, path::PathBuf, time::Duration};

use rehearsal_sim::{
    appointments::Appointments,
    verify::{
        self, Checked, Compared, Launcher,
        diagnosis::Difference,
        report::{Finding, Verification},
        source::Source,
        worker,
    },
};

use crate::leaky_system::Leaky;

const SIDE: &str = "REHEARSAL_VERIFY_TEST_SIDE";

/// The far side of a pair is this test binary, told by a variable to serve; without it, stdin is no socket and is refused.
#[test]
fn side() {
    match std::env::var(SIDE).as_deref() {
        Ok("leaky") => worker::serve::<Leaky>().expect("it serves to the end"),
        Ok("appointments") => worker::serve::<Appointments>().expect("it serves to the end"),
        _ => {
            let refused = worker::serve::<Leaky>().expect_err("stdin is no socket");
            assert!(refused.to_string().contains("stdin: expected"), "{refused}");
        }
    }
}

fn launcher(system: &str) -> Launcher {
    Launcher {
        program: std::env::current_exe().expect("this test's binary"),
        arguments: vec!["verify::side".into(), "--exact".into()],
        environment: vec![(SIDE.into(), system.into())],
        limit: Duration::from_mins(1),
    }
}

fn checked(system: &str, input: verify::Input, seeds: u64) -> Vec<Checked> {
    let orders: Vec<(usize, u64)> = (0..seeds).map(|seed| (0, seed)).collect();
    let mut all = Vec::new();
    let two = NonZeroUsize::new(2).expect("two");
    let conditions = verify::check(&launcher(system), &[input], &orders, two, |checked| {
        all.push(checked);
        ControlFlow::Continue(())
    });
    let conditions = conditions.expect("both processes served");
    assert!(conditions.guards.system_calls, "{conditions:?}");
    all
}

fn leaky(kind: &str) -> verify::Input {
    let text = format!(
        "format = \"rehearsal.scenario/1\"\nname = \"leaky\"\nquestion = \"Is it seen?\"\n[leak]\nkind = \"{kind}\"\n"
    );
    (PathBuf::from("leaky.toml"), text)
}

/// The one difference that `kind` makes.
fn caught(kind: &str) -> Difference {
    let mut all = checked("leaky", leaky(kind), 1);
    match all.remove(0).outcome {
        Compared::Differs(difference) => *difference,
        other => panic!("{kind} was not caught: {other:?}"),
    }
}

fn check(kind: &str, source: Source) {
    let difference = caught(kind);
    assert_eq!(difference.sources, [source], "{kind}: {difference:#?}");
}

#[test]
fn what_is_closed_agrees() {
    for checked in checked("leaky", leaky("none"), 12) {
        assert!(
            matches!(checked.outcome, Compared::Same { .. }),
            "{checked:?}"
        );
    }
}

#[test]
fn hash_map_iteration() {
    check("hash_map", Source::HashOrder);
}

#[test]
fn real_clock() {
    check("clock", Source::Clock);
    check("planned_clock", Source::Clock);
}

#[test]
fn getrandom() {
    check("getrandom", Source::Entropy);
    check("planned_entropy", Source::Entropy);
}

#[test]
fn thread_start() {
    check("thread", Source::Thread);
}

#[test]
fn statics() {
    check("statics", Source::StaticState);
}

#[test]
fn pointer_order() {
    check("pointer", Source::PointerOrder);
}

#[test]
fn directory_order() {
    check("directory", Source::DirectoryOrder);
}

#[test]
fn date_of_hyper() {
    check("date", Source::DateHeader);
}

#[test]
fn surroundings() {
    check("surroundings", Source::Surroundings);
}

#[test]
fn a_difference_shows_the_first_entry_that_differs_and_what_led_to_it() {
    let difference = caught("pointer");
    let place = difference.divergence.expect("both runs have a trace");
    assert!(
        place
            .before
            .last()
            .is_some_and(|entry| entry.contains("\"system\":\"\"")),
        "{place:#?}"
    );
    let [one, other] = place.entries.map(|entry| entry.expect("both go on"));
    assert!(
        one.contains("0x") && other.contains("0x") && one != other,
        "{one} {other}"
    );
    let blamed = difference.ladder.iter().filter(|rung| rung.differs);
    assert_eq!(blamed.count(), 1);
}

#[test]
fn a_shipped_scenario_agrees_and_the_document_says_so() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/flaky_provider.toml");
    let text = std::fs::read_to_string(&file).expect("it ships");
    let mut document = Verification::new([("flaky_provider".to_owned(), 4)]);
    for checked in checked("appointments", (file, text), 4) {
        document.take(checked, String::new);
    }
    assert_eq!(document.verdict, Finding::Pass, "{}", document.to_json());
    assert_eq!((document.pairs.asked, document.pairs.same), (4, 4));
}
