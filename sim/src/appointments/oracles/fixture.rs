//! Hand-written runs of one appointment for the oracles' tests: confirmed, failed for good, cancelled by its client.
//!
//! **Invariant**: rows come from the core's own `decide` and `apply`, so a clean story is one that the service could have written.
//! A test turns a clean story into a bad one by changing its events.

use rehearsal_core::{
    appointment::{Appointment, Certainty, Details, State, apply, decide},
    command::{Command, NewAppointment},
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant},
    log::{Evt, LogEvent},
    outbox::{Entry, EntryState, Kind},
    reconcile::FindingKind,
    time::Timestamp,
};
use rehearsal_mocks::provider::{BookingStatus, BookingView, Operation as Op, ProviderEvent};
use rehearsal_service::store::{FindingRow, TransitionRow};

use crate::{
    appointments::{
        event::{Answer, Event, details},
        operation::{Operation, Submission},
        tables::Tables,
        topology::Layout,
    },
    oracle::{Findings, Oracle},
    trace::{self, Trace},
};

/// When (ms), where, what.
pub(super) type Story = Vec<(u64, &'static str, Event)>;

pub(super) const REFERENCE: &str = "bk-1";

/// The story as a trace.
pub(super) fn trace(story: &Story) -> Trace<Event> {
    let entry = |(ordinal, (at_ms, host, event)): (usize, &(u64, &str, Event))| trace::Entry {
        ordinal: ordinal as u64,
        at_us: at_ms * 1000,
        host: (*host).into(),
        boot: 1,
        event: trace::Event::System(event.clone()),
    };
    Trace {
        entries: story.iter().enumerate().map(entry).collect(),
    }
}

/// The story with a world event of the harness first: a planned fault that never ends.
pub(super) fn disturbed(story: &Story) -> Trace<Event> {
    let mut trace = trace(story);
    let event = trace::Event::FaultStarted { fault: 0 };
    trace.entries.insert(
        1,
        trace::Entry {
            ordinal: 0,
            at_us: 0,
            host: "harness".into(),
            boot: 0,
            event,
        },
    );
    trace
}

/// The story over this `[network]`.
pub(super) fn over(network: &str, story: &Story) -> Trace<Event> {
    let mut trace = trace(story);
    let network = toml::from_str(network).unwrap();
    let mut entry = trace.entries[0].clone();
    entry.event = trace::Event::Network(Box::new(network));
    trace.entries.insert(1, entry);
    trace
}

/// The story of a cluster.
pub(super) fn in_a_cluster(story: Story) -> Story {
    given(story, |tables| tables.topology.layout = Layout::Cluster)
}

/// Judges a story.
pub(super) fn judge(oracle: &Oracle<Event>, story: &Story) -> Findings {
    (oracle.check)(&trace(story))
}

/// Asserts that `oracle` finds something wrong that mentions `expect`.
pub(super) fn catches(oracle: &Oracle<Event>, story: &Story, expect: &str) {
    let findings = judge(oracle, story);
    let found = findings
        .violations
        .iter()
        .any(|violation| violation.message.contains(expect));
    assert!(
        found,
        "{} should have said {expect:?}, said {:?}",
        oracle.name, findings.violations
    );
}

/// Changes every event that `change` knows.
pub(super) fn edit(mut story: Story, mut change: impl FnMut(&mut Event)) -> Story {
    for (.., event) in &mut story {
        change(event);
    }
    story
}

/// Leaves out every event that `drop` names.
pub(super) fn without(mut story: Story, drop: impl Fn(&Event) -> bool) -> Story {
    story.retain(|(.., event)| !drop(event));
    story
}

pub(super) fn submission() -> Submission {
    Submission::new(1, "acme")
}

pub(super) fn log(evt: Evt) -> LogEvent {
    let (id, request) = (
        AppointmentId::parse("a-1").unwrap(),
        RequestId::parse("r-1").unwrap(),
    );
    LogEvent::new(Timestamp::default(), evt, evt.as_str())
        .appointment(&id)
        .request(&request)
        .with("provider", "acme")
}

pub(super) fn is_log(event: &Event, evt: Evt) -> bool {
    matches!(event, Event::Log(log) if log.evt == evt)
}

pub(super) fn answered(step: u64, status: u16) -> Event {
    let fine = status < 400;
    let answer = Answer {
        status,
        id: fine.then(|| "a-1".to_owned()),
        state: fine.then_some(State::Pending),
        details: fine.then(|| details(&submission().time, &submission().patient_name)),
        attempts: None,
        replayed: false,
        body: 1,
        problem: (!fine).then(|| "{\"code\":\"no\"}".to_owned()),
        took_us: 5_000,
    };
    Event::Answered { step, answer }
}

pub(super) fn submit(step: u64) -> Event {
    Event::Invoked {
        step,
        operation: Operation::Submit(submission()),
    }
}

fn row(commands: &[Command]) -> Appointment {
    let submission = submission();
    let new = NewAppointment {
        tenant: Tenant::default(),
        id: AppointmentId::parse(&submission.id).unwrap(),
        request_id: RequestId::parse(&submission.request_id).unwrap(),
        provider: ProviderName::parse(&submission.provider).unwrap(),
        details: Details {
            time: submission.time,
            patient_name: submission.patient_name,
            email: Some(submission.email),
            note: None,
        },
    };
    let accept = Command::Accept(new);
    let take = |row: Option<Appointment>, command: &Command| {
        let decision = decide(row.as_ref(), command, Timestamp::default()).unwrap();
        decision
            .events
            .iter()
            .fold(row, |row, event| Some(apply(row, event)))
    };
    std::iter::once(&accept)
        .chain(commands)
        .fold(None, take)
        .unwrap()
}

fn entry(id: i64, kind: Kind, state: EntryState, attempt: u32) -> Event {
    Event::Outbox(Box::new(Entry {
        id,
        appointment_id: AppointmentId::parse("a-1").unwrap(),
        request_id: RequestId::parse("r-1").unwrap(),
        tenant: Tenant::default(),
        kind,
        destination: ProviderName::parse("acme").unwrap(),
        key: "a-1".to_owned(),
        generation: 0,
        state,
        due_at: Timestamp::default(),
        attempt,
        lease_epoch: u64::from(attempt),
        lease_until: None,
        worker: None,
        uncertain: false,
        last_sent_at: None,
        answered: false,
        enqueued_at: Timestamp::default(),
        last_error: (state == EntryState::Dead).then(|| "answered 503".to_owned()),
    }))
}

fn step(seq: i64, change: &str, from: Option<&str>, to: Option<&str>) -> Event {
    Event::Transition(Box::new(TransitionRow {
        seq,
        appointment_id: AppointmentId::parse("a-1").unwrap(),
        request_id: RequestId::parse("r-1").unwrap(),
        change: change.to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        attempts: 1,
        at: Timestamp::default(),
    }))
}

pub(super) fn view(status: BookingStatus, bookings: u32) -> Event {
    let view = BookingView {
        key: "a-1".to_owned(),
        reference: Some(REFERENCE.to_owned()),
        status,
        bookings,
    };
    Event::View {
        provider: "acme".to_owned(),
        view,
    }
}

pub(super) fn called(op: Op, n: u32) -> Event {
    Event::Provider(ProviderEvent::Called {
        op,
        key: "a-1".to_owned(),
        n,
        epoch: Some(1),
    })
}

pub(super) fn started(kind: &str) -> Event {
    Event::Log(log(Evt::AttemptStarted).with("kind", kind))
}

fn scraped(attempts: u32, retries: u32, dead: u32) -> Event {
    let text = format!(
        "appt_outbox_attempts_total{{destination=\"acme\",outcome=\"accepted\"}} {attempts}\nappt_retries_total{{destination=\"acme\"}} {retries}\n\
         appt_dead_letters_total{{destination=\"acme\",kind=\"book\"}} {dead}\nappt_compensations_total {}\n",
        u32::from(dead > 0)
    );
    Event::Scraped {
        host: "service".to_owned(),
        text: Some(text),
    }
}

fn observed(state: State) -> Event {
    let Event::Answered { answer, .. } = answered(0, 200) else {
        unreachable!()
    };
    Event::Observed {
        id: "a-1".to_owned(),
        answer: Some(Answer {
            state: Some(state),
            ..answer
        }),
    }
}

fn beginning() -> Story {
    vec![
        (0, "harness", Event::Given(Box::default())),
        (10, "client-1", submit(0)),
        (14, "service", Event::Log(log(Evt::RequestAccepted))),
        (15, "client-1", answered(0, 202)),
        (16, "service", started("book")),
        (20, "provider-acme", called(Op::Book, 0)),
    ]
}

/// Accepted, booked at the first attempt, confirmed.
pub(super) fn confirmed() -> Story {
    let reference = Reference::parse(REFERENCE).unwrap();
    let booked = ProviderEvent::Booked {
        key: "a-1".to_owned(),
        reference: REFERENCE.to_owned(),
        n_live: 1,
        payload: super::details_kept::booked(&submission()),
    };
    let mut story = beginning();
    story.extend([
        (20, "provider-acme", Event::Provider(booked)),
        (
            24,
            "service",
            Event::Log(
                log(Evt::ProviderAnswered)
                    .with("kind", "book")
                    .with("outcome", "accepted"),
            ),
        ),
        (25, "service", Event::Log(log(Evt::Confirmed))),
        (90, "client-1", observed(State::Confirmed)),
        (95, "client-1", scraped(1, 0, 0)),
        (
            99,
            "harness",
            Event::Row(Box::new(row(&[Command::Booked {
                reference,
                attempts: 1,
            }]))),
        ),
        (99, "harness", entry(1, Kind::Book, EntryState::Done, 1)),
        (99, "harness", step(1, "accepted", None, Some("pending"))),
        (
            99,
            "harness",
            step(2, "confirmed", Some("pending"), Some("confirmed")),
        ),
        (99, "harness", view(BookingStatus::Booked, 1)),
        (99, "harness", whole()),
    ]);
    story
}

/// Booked, cancelled by its client, and the cancel taken.
pub(super) fn cancelled() -> Story {
    let reference = Reference::parse(REFERENCE).unwrap();
    let commands = [
        Command::Booked {
            reference,
            attempts: 1,
        },
        Command::Cancel,
        Command::CancelAcknowledged { attempts: 1 },
    ];
    let mut story = without(confirmed(), |event| {
        matches!(
            event,
            Event::Row(_) | Event::View { .. } | Event::Scraped { .. } | Event::Observed { .. }
        )
    });
    let cancelled = ProviderEvent::Cancelled {
        key: "a-1".to_owned(),
        had_booking: true,
    };
    let late: Story = vec![
        (
            40,
            "client-1",
            Event::Invoked {
                step: 1,
                operation: Operation::Cancel {
                    id: "a-1".to_owned(),
                },
            },
        ),
        (43, "service", Event::Log(log(Evt::CancelRequested))),
        (44, "client-1", answered(1, 202)),
        (45, "service", started("cancel")),
        (47, "provider-acme", called(Op::Cancel, 0)),
        (47, "provider-acme", Event::Provider(cancelled)),
        (
            49,
            "service",
            Event::Log(
                log(Evt::ProviderAnswered)
                    .with("kind", "cancel")
                    .with("outcome", "accepted"),
            ),
        ),
        (50, "service", Event::Log(log(Evt::Cancelled))),
        (90, "client-1", observed(State::Cancelled)),
        (95, "client-1", scraped(2, 0, 0)),
    ];
    let end = story
        .iter()
        .position(|(.., event)| matches!(event, Event::Outbox(_)))
        .unwrap();
    story.splice(end..end, late);
    story.extend([
        (99, "harness", entry(2, Kind::Cancel, EntryState::Done, 1)),
        (99, "harness", step(3, "cancel_requested", None, None)),
        (
            99,
            "harness",
            step(4, "cancelled", Some("confirmed"), Some("cancelled")),
        ),
        (99, "harness", Event::Row(Box::new(row(&commands)))),
        (99, "harness", view(BookingStatus::Cancelled, 0)),
    ]);
    story
}

/// Never booked, the compensation never taken, reported by the auditor.
pub(super) fn failed() -> Story {
    let commands = [
        Command::Exhausted {
            certainty: Certainty::Unknown,
            attempts: 1,
        },
        Command::CancelDeadLettered { attempts: 1 },
    ];
    let refused = |op| {
        Event::Provider(ProviderEvent::Failed {
            op,
            key: "a-1".to_owned(),
            status: 503,
            processed: false,
            retry_after: Vec::new(),
        })
    };
    let finding = FindingRow {
        id: 1,
        provider: ProviderName::parse("acme").unwrap(),
        key: "a-1".to_owned(),
        kind: FindingKind::FailedUncompensated,
        appointment_id: Some(AppointmentId::parse("a-1").unwrap()),
        request_id: Some(RequestId::parse("r-1").unwrap()),
        detail: "the cancel was given up".to_owned(),
        sightings: 2,
        first_seen: Timestamp::default(),
        last_seen: Timestamp::default(),
        resolved_at: None,
        resolved_by: None,
    };
    let mut story = beginning();
    story.extend([
        (20, "provider-acme", refused(Op::Book)),
        (
            24,
            "service",
            Event::Log(log(Evt::ProviderError).with("kind", "book")),
        ),
        (
            25,
            "service",
            Event::Log(log(Evt::DeadLettered).with("kind", "book")),
        ),
        (25, "service", Event::Log(log(Evt::Failed))),
        (25, "service", Event::Log(log(Evt::CompensationQueued))),
        (26, "service", started("cancel")),
        (27, "provider-acme", called(Op::Cancel, 0)),
        (27, "provider-acme", refused(Op::Cancel)),
        (
            28,
            "service",
            Event::Log(log(Evt::ProviderError).with("kind", "cancel")),
        ),
        (
            29,
            "service",
            Event::Log(log(Evt::DeadLettered).with("kind", "cancel")),
        ),
        (60, "service", Event::Log(log(Evt::AuditFinding))),
        (90, "client-1", observed(State::Failed)),
        (95, "client-1", scraped(2, 0, 2)),
        (99, "harness", Event::Row(Box::new(row(&commands)))),
        (99, "harness", entry(1, Kind::Book, EntryState::Dead, 1)),
        (99, "harness", entry(2, Kind::Cancel, EntryState::Dead, 1)),
        (99, "harness", step(1, "accepted", None, Some("pending"))),
        (
            99,
            "harness",
            step(2, "failed", Some("pending"), Some("failed")),
        ),
        (99, "harness", step(3, "compensation_queued", None, None)),
        (
            99,
            "harness",
            step(4, "compensation_dead_lettered", None, None),
        ),
        (99, "harness", Event::Finding(Box::new(finding))),
        (99, "harness", whole()),
    ]);
    story
}

/// SQLite found nothing wrong.
fn whole() -> Event {
    Event::Integrity {
        problems: Vec::new(),
    }
}

/// The default tables with `change` made, in place of the story's own.
pub(super) fn given(story: Story, change: impl Fn(&mut Tables)) -> Story {
    edit(story, |event| {
        if let Event::Given(tables) = event {
            change(tables);
        }
    })
}
