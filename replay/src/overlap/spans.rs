//! When each request of a run was under way on one side, as its recorder is told.
//!
//! **Invariant**: only the order on one side is told; the two sides' times are never held against each other.

use std::sync::Arc;

use crate::{
    plan::Plan,
    run::{Archive, Entry, Outcome, Place, Recorder},
};

/// For each request of a plan, from when to when it was under way on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    spans: Vec<Option<Span>>,
    /// Since when this process runs: all that an earlier one saw was before that.
    begin_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    sent_ns: u64,
    ended_ns: u64,
}

/// Where a write stands to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It was answered before the read was sent.
    Before,
    /// It was sent after the read was answered.
    After,
    /// They were under way at once.
    Either,
}

impl Spans {
    /// Nothing yet, or what an earlier run of the plan has seen: all of that was over before this one began.
    pub fn new(plan: &Plan, known: impl IntoIterator<Item = Entry>) -> Self {
        let mut spans = Self {
            spans: vec![None; plan.requests.len()],
            begin_ns: 0,
        };
        for entry in known {
            spans.note(plan, &entry);
        }
        let over = spans.spans.iter().flatten();
        spans.begin_ns = over
            .flat_map(|span| [span.sent_ns, span.ended_ns])
            .filter(|ns| *ns < u64::MAX)
            .max()
            .unwrap_or(0);
        spans
    }

    /// From when to when the request at this place was under way.
    pub fn set(&mut self, at: usize, sent_ns: u64, ended_ns: u64) {
        if let Some(span) = self.spans.get_mut(at) {
            *span = Some(Span { sent_ns, ended_ns });
        }
    }

    fn note(&mut self, plan: &Plan, entry: &Entry) {
        let Some(planned) = plan.requests.get(entry.at).filter(|_| !entry.state) else {
            return;
        };
        let due_ns = self.begin_ns.saturating_add(planned.at_ns);
        let sent_ns = due_ns.saturating_add(entry.late_ns);
        let ended_ns = match entry.outcome {
            Outcome::Answered(_) => sent_ns.saturating_add(entry.took_ns),
            // What was not answered may take effect at any time after.
            Outcome::Failed { .. } => u64::MAX,
            Outcome::Skipped(_) => return,
        };
        self.set(entry.at, sent_ns, ended_ns);
    }

    /// Where a write stands to a read; `None` where one of them was not sent.
    pub(super) fn order(&self, read: usize, write: usize) -> Option<Order> {
        let span = |at: usize| self.spans.get(at).copied().flatten();
        let (read, write) = (span(read)?, span(write)?);
        Some(if write.ended_ns <= read.sent_ns {
            Order::Before
        } else if write.sent_ns >= read.ended_ns {
            Order::After
        } else {
            Order::Either
        })
    }
}

/// Tells another recorder, and notes when requests were under way.
pub struct Watch<'w> {
    plan: &'w Plan,
    spans: &'w mut Spans,
    recorder: &'w mut dyn Recorder,
}

impl<'w> Watch<'w> {
    /// Notes in `spans` what `recorder` is told.
    pub fn new(plan: &'w Plan, spans: &'w mut Spans, recorder: &'w mut dyn Recorder) -> Self {
        Self {
            plan,
            spans,
            recorder,
        }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("spans", &self.spans.spans.len())
            .finish_non_exhaustive()
    }
}

impl Recorder for Watch<'_> {
    fn record(&mut self, entry: &Entry) -> Option<Place> {
        self.spans.note(self.plan, entry);
        self.recorder.record(entry)
    }

    fn archive(&self) -> Option<Arc<dyn Archive>> {
        self.recorder.archive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::{Body, Capture, Exchange, Format, Request},
        plan::{Pace, plan},
        rules::Rules,
        run::{Answer, FailureReason},
    };

    fn planned(count: u64) -> Plan {
        let exchange = |seq: u64| Exchange {
            seq,
            ts_ns: seq * 100,
            conn: None,
            session: None,
            request: Request {
                method: "GET".into(),
                target: "/".into(),
                version: "1.1".into(),
                headers: Vec::new(),
                body: Body::EMPTY,
            },
            response: None,
            flags: Vec::new(),
        };
        let capture = Capture {
            sha256: "0".repeat(64),
            format: Format::Rehearsal,
            exchanges: (0..count).map(exchange).collect(),
            skipped: Vec::new(),
        };
        plan(capture, &Rules::default(), Pace::Recorded)
    }

    fn entry(at: usize, took_ns: u64, answered: bool) -> Entry {
        Entry {
            took_ns,
            ..Entry::untimed(
                at,
                if answered {
                    Outcome::Answered(Answer {
                        status: 200,
                        headers: Vec::new(),
                        body: bytes::Bytes::new(),
                    })
                } else {
                    Outcome::Failed {
                        reason: FailureReason::Timeout,
                        message: String::new(),
                    }
                },
            )
        }
    }

    #[test]
    fn what_is_told_stands_in_an_order() {
        let plan = planned(4);
        let mut spans = Spans::new(&plan, []);
        let mut nowhere = ();
        let mut watch = Watch::new(&plan, &mut spans, &mut nowhere);
        // Sent at 0, 100, 200 and 300.
        watch.record(&entry(0, 100, true));
        watch.record(&entry(1, 101, true));
        watch.record(&entry(2, 50, false));
        watch.record(&entry(3, 10, true));
        assert_eq!(spans.order(1, 0), Some(Order::Before));
        assert_eq!(spans.order(0, 1), Some(Order::After));
        assert_eq!(spans.order(2, 1), Some(Order::Either));
        assert_eq!(
            spans.order(3, 2),
            Some(Order::Either),
            "a write that failed may take effect later"
        );
        assert_eq!(spans.order(0, 9), None);
    }

    #[test]
    fn what_an_earlier_run_saw_was_before() {
        let plan = planned(3);
        let mut spans = Spans::new(&plan, [entry(1, 5_000, true)]);
        let mut nowhere = ();
        let mut watch = Watch::new(&plan, &mut spans, &mut nowhere);
        watch.record(&entry(2, 10, true));
        assert_eq!(spans.order(2, 1), Some(Order::Before));
    }
}
