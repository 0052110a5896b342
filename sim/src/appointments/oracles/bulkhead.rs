//! A slow provider cannot take a worker: each worker process has at most so many calls to one provider under way as its bulkhead has places.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_core::log::Evt;

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, given, logs},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "bulkhead",
    property: "a worker process never has more calls to one provider under way than its bulkhead allows",
    check,
};

/// Appointment and kind of each call of one worker process to one provider.
type UnderWay<'a> = BTreeSet<(&'a str, &'a str)>;

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let most = given(trace).map_or_else(
        || crate::appointments::policy::Service::default().bulkhead(),
        |tables| tables.service.bulkhead(),
    );
    let mut lanes: BTreeMap<(&str, u32, &str), UnderWay<'_>> = BTreeMap::new();
    for (entry, event) in logs(trace) {
        let Some(id) = &event.appointment_id else {
            continue;
        };
        let call = (id.as_str(), extra(event, "kind"));
        let provider = extra(event, "provider");
        match event.evt {
            Evt::AttemptStarted | Evt::ResolveStarted => {
                let under_way = lanes
                    .entry((&entry.host, entry.boot, provider))
                    .or_default();
                under_way.insert(call);
                let count = under_way.len();
                let wrong = (count > most as usize).then(|| {
                    format!(
                        "{}: {count} calls to {provider} at once, {most} are allowed",
                        entry.host
                    )
                });
                findings.examine(entry.at_us, wrong);
            }
            Evt::ProviderAnswered
            | Evt::ProviderError
            | Evt::ProviderTimeout
            | Evt::Resolved
            | Evt::WorkerError => {
                if let Some(under_way) = lanes.get_mut(&(&*entry.host, entry.boot, provider)) {
                    under_way.remove(&call);
                }
            }
            _ => {}
        }
    }
    findings.unless(given(trace).is_some(), "call to a provider")
}

#[cfg(test)]
mod tests {
    use rehearsal_core::identity::AppointmentId;

    use super::{super::fixture, *};

    /// Three calls at once.
    fn crowd(most: u32) -> fixture::Story {
        let mut story = fixture::given(fixture::confirmed(), |tables| {
            tables.service.bulkhead = Some(most);
        });
        for n in 2..=3 {
            let mut line = fixture::log(Evt::AttemptStarted).with("kind", "book");
            line.appointment_id = AppointmentId::parse(&format!("a-{n}")).ok();
            story.insert(5, (17, "service", Event::Log(line)));
        }
        story
    }

    #[test]
    fn one_call_too_many_is_caught() {
        fixture::catches(
            &ORACLE,
            &crowd(2),
            "service: 3 calls to acme at once, 2 are allowed",
        );
        assert_eq!(fixture::judge(&ORACLE, &crowd(3)).violations, []);
    }

    #[test]
    fn calls_one_after_the_other_need_one_place() {
        let story = fixture::given(fixture::cancelled(), |tables| {
            tables.service.bulkhead = Some(1);
        });
        let findings = fixture::judge(&ORACLE, &story);
        assert_eq!((findings.checked, findings.violations.len()), (2, 0));
    }
}
