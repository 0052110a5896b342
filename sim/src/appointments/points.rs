//! Where a run of the appointment service has been: its reachability points, read off the trace.
//!
//! **Invariant**: a point is a name, what it means and a sign of it in the trace; all of them stand in [`table`]. Names are stable and the
//! order is that of the table. Nothing is judged here: that a point was hit says that oracles had something to look at there.

mod table;

use std::collections::BTreeMap;

use rehearsal_core::{
    appointment::State,
    log::{Evt, LogEvent},
    outbox::Entry as OutboxEntry,
};
use rehearsal_mocks::provider::ProviderEvent;
use rehearsal_service::store::FindingRow;

use super::{
    event::{Answer, Event},
    history::{Trace, extra},
    operation::{Endpoint, Operation},
};
use crate::{
    point::{Hits, Point},
    trace::{self, Entry},
};

/// What a client called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Submit,
    Cancel,
    Read,
    Probe(Endpoint),
}

/// What in a trace shows that a point was hit.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// A call was answered with a status in this range, its end included.
    Answered(Call, u16, u16),
    /// A submission was answered from what is stored.
    Replayed,
    /// A call got no whole answer, and something of it was sent, or nothing.
    Lost(Call, bool),
    /// A read showed this state.
    Read(State),
    /// The service logged this.
    Log(Evt),
    /// The service logged this with this text under this key of `extra`.
    Says(Evt, &'static str, &'static str),
    /// The service logged this about a delivery of this kind that came to this outcome.
    Came(Evt, &'static str, &'static str),
    /// The service logged this, and more of the line is asked for.
    Line(Evt, fn(&LogEvent) -> bool),
    /// A committed step: its word, and the states before and after.
    Step(&'static str, Option<&'static str>, Option<&'static str>),
    /// Something that a provider did.
    Provider(fn(&ProviderEvent) -> bool),
    /// An outbox entry at the end.
    Outbox(fn(&OutboxEntry) -> bool),
    /// A finding of the auditor at the end.
    Finding(fn(&FindingRow) -> bool),
    /// Any other entry.
    Entry(fn(&Entry<Event>) -> bool),
}

/// All points.
pub(super) fn all() -> Vec<Point> {
    let point = |&(name, means, _): &table::Row| Point { name, means };
    table::TABLE.iter().map(point).collect()
}

/// The points that a run hit.
pub(super) fn hit(trace: &Trace) -> Hits {
    let mut asked: BTreeMap<u64, Call> = BTreeMap::new();
    let mut open: [Vec<u16>; SHELVES] = std::array::from_fn(|_| Vec::new());
    for (place, (_, _, sign)) in (0..).zip(table::TABLE) {
        open[sign.shelf()].push(place);
    }
    let mut hits = Hits::new();
    for entry in &trace.entries {
        if let trace::Event::System(Event::Invoked { step, operation }) = &entry.event {
            asked.insert(*step, Call::of(operation));
            continue;
        }
        let call = match &entry.event {
            trace::Event::System(Event::Answered { step, .. } | Event::Unanswered { step, .. }) => {
                asked.get(step).copied()
            }
            _ => None,
        };
        open[shelf(&entry.event)].retain(|place| {
            let (_, _, sign) = &table::TABLE[usize::from(*place)];
            let shown = sign.shows(entry, call);
            if shown {
                hits.push(*place);
            }
            !shown
        });
    }
    hits.sort_unstable();
    hits
}

/// Signs by what they can stand on, so that an entry is held against those alone that it may show: first one shelf for each event of the
/// log, then these.
const ANSWERED: usize = Evt::ALL.len();
const UNANSWERED: usize = ANSWERED + 1;
const TRANSITION: usize = ANSWERED + 2;
const PROVIDER: usize = ANSWERED + 3;
const OUTBOX: usize = ANSWERED + 4;
const FINDING: usize = ANSWERED + 5;
const OTHER: usize = ANSWERED + 6;
const SHELVES: usize = ANSWERED + 7;

/// Where the signs stand that this event may show.
fn shelf(event: &trace::Event<Event>) -> usize {
    let trace::Event::System(event) = event else {
        return OTHER;
    };
    match event {
        Event::Answered { .. } => ANSWERED,
        Event::Unanswered { .. } => UNANSWERED,
        Event::Log(line) => line.evt as usize,
        Event::Transition(_) => TRANSITION,
        Event::Provider(_) => PROVIDER,
        Event::Outbox(_) => OUTBOX,
        Event::Finding(_) => FINDING,
        _ => OTHER,
    }
}

impl Call {
    fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Submit(_) => Self::Submit,
            Operation::Cancel { .. } => Self::Cancel,
            Operation::Read { .. } => Self::Read,
            Operation::Probe { endpoint, .. } => Self::Probe(*endpoint),
        }
    }
}

impl Sign {
    /// Where it stands.
    fn shelf(self) -> usize {
        match self {
            Self::Answered(..) | Self::Replayed | Self::Read(_) => ANSWERED,
            Self::Lost(..) => UNANSWERED,
            Self::Log(evt) | Self::Says(evt, ..) | Self::Came(evt, ..) | Self::Line(evt, _) => {
                evt as usize
            }
            Self::Step(..) => TRANSITION,
            Self::Provider(_) => PROVIDER,
            Self::Outbox(_) => OUTBOX,
            Self::Finding(_) => FINDING,
            Self::Entry(_) => OTHER,
        }
    }

    /// Whether it stands on this entry, which ends this call, if any.
    fn shows(self, entry: &Entry<Event>, call: Option<Call>) -> bool {
        if let Self::Entry(is) = self {
            return is(entry);
        }
        let trace::Event::System(event) = &entry.event else {
            return false;
        };
        match (self, event) {
            (
                Self::Answered(..) | Self::Replayed | Self::Read(_),
                Event::Answered { answer, .. },
            ) => call.is_some_and(|call| self.answered(call, answer)),
            (Self::Lost(lost, bytes), Event::Unanswered { sent, .. }) => {
                call == Some(lost) && *sent == bytes
            }
            (Self::Log(_) | Self::Says(..) | Self::Came(..) | Self::Line(..), Event::Log(line)) => {
                self.logged(line)
            }
            (Self::Step(change, from, to), Event::Transition(step)) => {
                step.change == change && step.from.as_deref() == from && step.to.as_deref() == to
            }
            (Self::Provider(is), Event::Provider(event)) => is(event),
            (Self::Outbox(is), Event::Outbox(entry)) => is(entry),
            (Self::Finding(is), Event::Finding(finding)) => is(finding),
            _ => false,
        }
    }

    fn answered(self, called: Call, answer: &Answer) -> bool {
        match self {
            Self::Answered(call, low, high) => {
                call == called && (low..=high).contains(&answer.status)
            }
            Self::Replayed => called == Call::Submit && answer.replayed,
            Self::Read(state) => called == Call::Read && answer.state == Some(state),
            _ => false,
        }
    }

    fn logged(self, line: &LogEvent) -> bool {
        match self {
            Self::Log(evt) => line.evt == evt,
            Self::Says(evt, key, text) => line.evt == evt && extra(line, key) == text,
            Self::Came(evt, kind, outcome) => {
                line.evt == evt && extra(line, "kind") == kind && extra(line, "outcome") == outcome
            }
            Self::Line(evt, is) => line.evt == evt && is(line),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rehearsal_core::{log::LogEvent, time::Timestamp};

    use super::*;
    use crate::{
        appointments::operation::Submission,
        trace::{Clock, Recorder},
    };

    fn names(events: impl IntoIterator<Item = Event>) -> BTreeSet<&'static str> {
        let recorder = Recorder::new(Clock::default(), 0);
        let host = recorder.at("anywhere", 1);
        for event in events {
            host.record(event);
        }
        let points = all();
        let hits = hit(&recorder.take());
        hits.iter()
            .map(|place| points[usize::from(*place)].name)
            .collect()
    }

    fn asked(operation: Operation) -> Event {
        Event::Invoked { step: 1, operation }
    }

    fn answered(status: u16, state: Option<State>) -> Event {
        let answer = Answer {
            status,
            id: None,
            state,
            details: None,
            attempts: None,
            replayed: false,
            body: 0,
            problem: None,
            took_us: 1,
        };
        Event::Answered { step: 1, answer }
    }

    fn line(evt: Evt, extra: &[(&'static str, &str)]) -> Event {
        let event = LogEvent::new(Timestamp::from_secs(1), evt, "");
        let add = |event: LogEvent, (key, value): &(&'static str, &str)| event.with(key, *value);
        Event::Log(extra.iter().fold(event, add))
    }

    #[test]
    fn there_are_sixty_points_and_more_and_their_names_differ() {
        let points = all();
        let names: BTreeSet<_> = points.iter().map(|point| point.name).collect();
        assert_eq!(names.len(), points.len());
        assert!(points.len() >= 60, "{}", points.len());
        assert!(points.iter().all(|point| !point.means.is_empty()));
    }

    #[test]
    fn no_two_kinds_of_sign_share_a_shelf() {
        for (number, evt) in Evt::ALL.iter().enumerate() {
            assert_eq!(shelf(&trace::Event::System(line(*evt, &[]))), number);
            assert_eq!(Sign::Log(*evt).shelf(), number);
        }
        assert_eq!(shelf(&trace::Event::Died), OTHER);
        let story = [asked(Operation::Cancel { id: "a-1".into() })];
        let sign = Event::Unanswered {
            step: 1,
            sent: true,
            cause: String::new(),
            took_us: 1,
        };
        let hits = names(story.into_iter().chain([sign]));
        assert_eq!(hits, BTreeSet::from(["cancel.unanswered"]));
    }

    #[test]
    fn an_answer_counts_for_its_own_operation_and_status() {
        let submit = || Operation::Submit(Submission::new(1, "acme"));
        let read = Operation::Read { id: "a-1".into() };
        let probe = |endpoint| Operation::Probe { endpoint, n: 1 };
        for (operation, status, state, expect) in [
            (submit(), 202, None, Some("submit.accepted")),
            (submit(), 422, None, Some("submit.conflict")),
            (submit(), 503, None, Some("submit.unavailable")),
            (submit(), 418, None, None),
            (read, 200, Some(State::Failed), Some("read.failed")),
            (
                probe(Endpoint::Readyz),
                503,
                None,
                Some("readyz.unavailable"),
            ),
            (probe(Endpoint::Livez), 503, None, None),
        ] {
            let story = [asked(operation.clone()), answered(status, state)];
            assert_eq!(names(story), expect.into_iter().collect(), "{operation:?}");
        }
        assert!(names([answered(202, None)]).is_empty(), "to nothing");
    }

    #[test]
    fn a_line_counts_by_its_event_kind_and_outcome() {
        let book = [("kind", "book"), ("outcome", "unknown")];
        assert_eq!(
            names([line(Evt::ProviderError, &book)]),
            BTreeSet::from(["book.unknown"])
        );
        let cancel = [("kind", "cancel"), ("outcome", "unknown")];
        assert_eq!(
            names([line(Evt::ProviderError, &cancel)]),
            BTreeSet::from(["release.unknown"])
        );
        assert_eq!(
            names([line(Evt::BreakerOpened, &[("from", "half_open")])]),
            BTreeSet::from(["breaker.reopened"])
        );
        assert!(names([line(Evt::Started, &book)]).is_empty());
    }
}
