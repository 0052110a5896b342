//! One suite of socket behaviors through the host seam, run on every engine: what a program may rely on wherever it runs.
//!
//! **Invariant**: a behavior that an engine does not show is in [`EXCEPTIONS`] with its reason, and is still not shown.

mod bytes;
mod connections;
mod faults;
mod kinds;
mod machine;
mod stage;

use std::collections::BTreeSet;

use rehearsal_sim::engine::Engine;

use stage::{Behavior, play};

const SEED: u64 = 11;

/// What an engine does differently, and why that is accepted.
const EXCEPTIONS: &[(Engine, &str, &str)] = &[
    (
        Engine::Turmoil,
        "a connection is made before it is accepted",
        "turmoil answers a connection request when it is accepted, not when it arrives",
    ),
    (
        Engine::Turmoil,
        "what is sent across a partition arrives after the heal",
        "turmoil drops it for good; the engine resets the connection at the heal instead",
    ),
    (
        Engine::Loopback,
        "two hosts listen on the same port",
        "all hosts share 127.0.0.1, so each has a port of its own",
    ),
    (
        Engine::Loopback,
        "a power loss is silent until the host is back",
        "the kernel under a host lives on and closes its sockets",
    ),
    (
        Engine::Loopback,
        "the end of a stream to a machine that lost its power is answered by a reset",
        "the kernel under a host lives on and closes its sockets",
    ),
];

fn behaviors() -> Vec<Behavior> {
    let groups = [
        connections::BEHAVIORS,
        bytes::BEHAVIORS,
        faults::BEHAVIORS,
        machine::BEHAVIORS,
    ];
    groups.concat()
}

fn check(engine: Engine) {
    let mut wrong = Vec::new();
    for behavior in behaviors() {
        let excepted = EXCEPTIONS
            .iter()
            .any(|(on, name, _)| *on == engine && *name == behavior.name);
        match play(engine, &behavior, SEED) {
            Ok(_) if excepted => wrong.push(format!(
                "{}: shown, yet listed as an exception",
                behavior.name
            )),
            Err(error) if !excepted => wrong.push(format!("{}: {error}", behavior.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", engine.name(), wrong.join("\n"));
}

#[test]
fn pipes_behave() {
    check(Engine::Pipes);
}

#[test]
fn turmoil_behaves() {
    check(Engine::Turmoil);
}

#[test]
fn loopback_behaves() {
    check(Engine::Loopback);
}

#[test]
fn every_exception_names_a_behavior() {
    let all = behaviors();
    let names: BTreeSet<_> = all.iter().map(|behavior| behavior.name).collect();
    assert_eq!(names.len(), all.len(), "two behaviors of one name");
    assert!(EXCEPTIONS.iter().all(|(_, name, _)| names.contains(name)));
}

#[test]
fn virtual_time_is_a_function_of_the_seed() {
    let all = behaviors();
    let small = all
        .iter()
        .find(|behavior| behavior.name == "small writes arrive in order and whole");
    let small = small.expect("it is among the behaviors");
    for engine in [Engine::Pipes, Engine::Turmoil] {
        let took = |seed| play(engine, small, seed).expect("it behaves");
        assert_eq!(took(SEED), took(SEED), "{}", engine.name());
        let others: BTreeSet<_> = (0..5).map(took).collect();
        assert!(
            others.len() > 1,
            "{}: seeds make no difference",
            engine.name()
        );
    }
}
