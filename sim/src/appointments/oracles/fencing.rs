//! A lease that was taken over cannot settle any more: only the newest epoch of an entry takes effect, and at most once.
//!
//! The evidence is the store's own: what its claims handed out and what its settles did, in the order of commit.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, given, outbox},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "fencing",
    property: "each claim of an entry has a higher epoch than the one before, and no settle takes effect but once by the newest",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut newest: BTreeMap<i64, u64> = BTreeMap::new();
    let mut settled: BTreeSet<(i64, u64)> = BTreeSet::new();
    for (at, event) in trace.system() {
        match event {
            Event::Leased {
                entry,
                before,
                epoch,
            } => {
                newest.insert(*entry, *epoch);
                let wrong = (epoch <= before).then(|| {
                    format!("entry {entry}: leased again as epoch {epoch}, after epoch {before}")
                });
                findings.examine(at.at_us, wrong);
            }
            Event::Settled {
                entry,
                epoch,
                took_effect,
            } => {
                let newest = newest.get(entry).copied().unwrap_or(*epoch);
                let wrong = if !took_effect {
                    None
                } else if *epoch < newest {
                    Some(format!(
                        "entry {entry}: a settle of epoch {epoch} took effect, after the lease of epoch {newest}"
                    ))
                } else if !settled.insert((*entry, *epoch)) {
                    Some(format!("entry {entry}: epoch {epoch} settled it twice"))
                } else {
                    None
                };
                findings.examine(at.at_us, wrong);
            }
            _ => {}
        }
    }
    for (at, entry) in outbox(trace) {
        let Some(epoch) = newest.get(&entry.id) else {
            continue;
        };
        let wrong = (entry.lease_epoch < *epoch).then(|| {
            format!(
                "entry {}: at epoch {} at the end, after epoch {epoch}",
                entry.id, entry.lease_epoch
            )
        });
        findings.examine(at.at_us, wrong);
    }
    findings.unless(given(trace).is_some(), "entry that was leased twice")
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    fn with(events: &[Event]) -> fixture::Story {
        let mut story = fixture::confirmed();
        let at = story.iter().position(|(at_ms, ..)| *at_ms > 30).unwrap();
        let events = events
            .iter()
            .map(|event| (30, "database", event.clone()))
            .collect::<Vec<_>>();
        story.splice(at..at, events);
        // The entry of the story is at epoch 1; here it has been leased again.
        fixture::edit(story, |event| {
            if let Event::Outbox(entry) = event {
                entry.lease_epoch = 2;
            }
        })
    }

    const AGAIN: Event = Event::Leased {
        entry: 1,
        before: 1,
        epoch: 2,
    };

    fn settle(epoch: u64, took_effect: bool) -> Event {
        Event::Settled {
            entry: 1,
            epoch,
            took_effect,
        }
    }

    #[test]
    fn a_settle_by_a_lease_that_is_over_is_caught() {
        fixture::catches(
            &ORACLE,
            &with(&[AGAIN, settle(1, true)]),
            "entry 1: a settle of epoch 1 took effect, after the lease of epoch 2",
        );
        let fenced = with(&[AGAIN, settle(1, false), settle(2, true), settle(2, false)]);
        let findings = fixture::judge(&ORACLE, &fenced);
        assert_eq!((findings.checked, findings.violations.len()), (5, 0));
    }

    #[test]
    fn an_epoch_that_does_not_grow_or_settles_twice_is_caught() {
        let same = Event::Leased {
            entry: 1,
            before: 1,
            epoch: 1,
        };
        fixture::catches(&ORACLE, &with(&[same]), "leased again as epoch 1");
        let twice = with(&[AGAIN, settle(2, true), settle(2, true)]);
        fixture::catches(&ORACLE, &twice, "epoch 2 settled it twice");
        let fallen = fixture::edit(with(&[AGAIN]), |event| {
            if let Event::Outbox(entry) = event {
                entry.lease_epoch = 1;
            }
        });
        fixture::catches(&ORACLE, &fallen, "at epoch 1 at the end");
    }
}
