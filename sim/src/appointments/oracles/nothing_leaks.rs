//! Nothing piles up: at the end, when all is quiet, each host has the tasks that it had when it was idle and those that its connections need, no
//! socket of a peer that is gone, and no more connections than its pools keep.

use std::collections::BTreeMap;

use crate::{
    appointments::{
        event::Event,
        history::{Trace, given},
        paths::Paths,
    },
    oracle::{Findings, Oracle},
    trace::{self, Phase, Standing},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "nothing_leaks",
    property: "at the end no host has more tasks than it had idle and its connections need, nor a socket whose peer is gone",
    check,
};

/// Tasks that one end of a connection may need: one that drives it and one that waits for its answer.
const TASKS_PER_CONNECTION: u64 = 2;
/// Tasks that last for each provider: the one that closes its pool's idle connections.
const TASKS_PER_PROVIDER: u64 = 1;
/// Tasks that come and go by themselves: a sweep, a subscription that is made again.
const PASSING_TASKS: u64 = 4;
/// Sockets of callers that gave up while a slow database still works for them: it learns of it when it answers.
const GIVEN_UP: u64 = 8;
/// Idle connections that a pool keeps to one peer.
const POOLED: u64 = 64;

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut phase = Phase::Safety;
    let mut idle: BTreeMap<&str, Standing> = BTreeMap::new();
    let mut ended: BTreeMap<&str, (u64, Standing)> = BTreeMap::new();
    for entry in &trace.entries {
        match &entry.event {
            trace::Event::Phase(next) => phase = *next,
            trace::Event::Standing(standing) if phase < Phase::Observe => {
                idle.insert(&entry.host, *standing);
            }
            trace::Event::Standing(standing) => {
                ended.insert(&entry.host, (entry.at_us, *standing));
            }
            _ => {}
        }
    }
    let hosts = ended.len() as u64;
    let paths = Paths::of(trace);
    for (host, (at_us, end)) in ended {
        let before = idle.get(host).map_or(0, |standing| standing.tasks);
        // Each provider has a client of its own, whose pool keeps a task from its first connection on.
        let tasks = before
            + TASKS_PER_CONNECTION * end.connections
            + TASKS_PER_PROVIDER * paths.providers()
            + PASSING_TASKS;
        let slow = host == paths.database_host() && paths.database_is_given_up();
        let abandoned = if slow { GIVEN_UP } else { 0 };
        let connections = POOLED * hosts.saturating_sub(1);
        let wrong = if end.tasks > tasks {
            Some(format!(
                "{host}: {} tasks at the end, {before} when it was idle and {} connections allow {tasks}",
                end.tasks, end.connections
            ))
        } else if end.abandoned > abandoned {
            Some(format!(
                "{host}: {} sockets at the end whose peer is gone",
                end.abandoned
            ))
        } else if end.connections > connections {
            Some(format!(
                "{host}: {} connections at the end, its pools keep {connections} at most",
                end.connections
            ))
        } else {
            None
        };
        findings.examine(at_us, wrong);
    }
    findings.unless(
        given(trace).is_some(),
        "count of tasks and sockets by this engine",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// The clean story on two hosts, with these counts for the service, idle and at the end.
    fn counted(idle: u64, end: Standing) -> Trace {
        let mut trace = fixture::trace(&fixture::confirmed());
        let entry = |host: &str, event| trace::Entry {
            ordinal: 0,
            at_us: 0,
            host: host.into(),
            boot: 0,
            event,
        };
        let before = Standing {
            tasks: idle,
            ..Standing::default()
        };
        let quiet = Standing::default();
        trace
            .entries
            .insert(0, entry("service", trace::Event::Standing(before)));
        trace.entries.extend([
            entry("harness", trace::Event::Phase(Phase::Observe)),
            entry("client-1", trace::Event::Standing(quiet)),
            entry("service", trace::Event::Standing(end)),
        ]);
        trace
    }

    fn said(end: Standing) -> Vec<String> {
        let findings = (ORACLE.check)(&counted(7, end));
        assert_eq!(findings.checked, 2);
        let said = findings.violations.into_iter().map(|it| it.message);
        said.collect()
    }

    #[test]
    fn what_piled_up_is_caught() {
        let fine = Standing {
            tasks: 12,
            connections: 2,
            abandoned: 0,
        };
        assert_eq!(said(fine), Vec::<String>::new());
        let tasks = Standing { tasks: 80, ..fine };
        assert!(said(tasks)[0].contains("80 tasks at the end, 7 when it was idle"));
        let abandoned = Standing {
            abandoned: 1,
            ..fine
        };
        assert!(said(abandoned)[0].contains("1 sockets at the end whose peer is gone"));
        let connections = Standing {
            connections: 65,
            ..fine
        };
        assert!(said(connections)[0].contains("65 connections at the end"));
    }

    #[test]
    fn an_engine_that_does_not_count_has_no_case() {
        let findings = fixture::judge(&ORACLE, &fixture::confirmed());
        assert!(findings.not_applicable.is_some());
    }
}
