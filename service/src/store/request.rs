//! The store's one seam: requests and replies as plain data, so that a remote store is one call over the wire.
//!
//! **Invariant**: a request carries everything its effect depends on (time, worker, lease, limits), so the same requests in the same order
//! give the same rows. Rows know one clock, that of the machine which carries requests out: whoever does so for other machines sets each
//! request to its own clock first ([`Request::at`]), and replies say what it showed. Repeating an `Accept` or a `Settle` whose answer was lost is safe.
//! It deliberately does not say how the data is stored.

use std::time::Duration;

use futures_util::future::BoxFuture;
use rehearsal_core::{
    appointment::Appointment,
    command::NewAppointment,
    delivery::Next,
    event::Event,
    idempotency::Stored,
    identity::{AppointmentId, ProviderName, RequestId, Tenant, WorkerId},
    outbox::Entry,
    reconcile::{Finding, FindingKind, Repair},
    rejection::Rejection,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Where the service keeps everything. One implementation per engine and way to reach it.
pub trait Store: Send + Sync + 'static {
    /// Carries out one request. Each is one transaction at most.
    ///
    /// # Errors
    /// A [`StoreError`]; after [`StoreError::Unavailable`] the request may or may not have taken effect.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>>;

    /// Waits until any process has committed what a worker may claim, as a database that notifies its clients tells it; `None` when this
    /// store does not tell. A hint that may come late, twice or never: whoever waits for it also looks by itself, only less often.
    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

/// One thing asked of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Appointment, outbox entry and stored answer in one transaction, or what the key's first request got.
    Accept {
        /// The validated submission.
        new: NewAppointment,
        /// The answer to store, and to repeat to every duplicate.
        answer: Stored,
        /// Now.
        now: Timestamp,
    },
    /// One appointment by id.
    Read {
        /// Whose.
        tenant: Tenant,
        /// Which.
        id: AppointmentId,
    },
    /// One appointment by the request that made it.
    Find {
        /// Whose.
        tenant: Tenant,
        /// The idempotency key it came with.
        request_id: RequestId,
    },
    /// A client's cancel.
    Cancel {
        /// Whose.
        tenant: Tenant,
        /// Which.
        id: AppointmentId,
        /// Now.
        now: Timestamp,
    },
    /// Leases claimable entries to a worker.
    Claim {
        /// Who claims.
        worker: WorkerId,
        /// Now.
        now: Timestamp,
        /// How long the leases last.
        lease: Duration,
        /// Free slots of each destination that may be called now.
        limits: Vec<(ProviderName, u32)>,
    },
    /// Ends leases, each on its own terms, all in one transaction.
    Settle {
        /// What became of each claimed entry.
        settlements: Vec<Settlement>,
        /// Now.
        now: Timestamp,
    },
    /// Appointments of a provider in the order of their keys, with their open and dead entries. Their details are left empty: a comparison
    /// reads none, and what is personal in a whole table does not have to travel for one.
    AuditPage {
        /// The provider.
        provider: ProviderName,
        /// Only keys after this one.
        after: Option<String>,
        /// Only keys up to and including this one.
        through: Option<String>,
        /// At most this many.
        limit: u32,
        /// Now.
        now: Timestamp,
    },
    /// One key's appointment, with its open and dead entries.
    AuditOne {
        /// The provider.
        provider: ProviderName,
        /// The key.
        key: String,
        /// Now.
        now: Timestamp,
    },
    /// Failed and confirmed appointments of a provider that have a dead cancel: what can be audited while the provider is down.
    AuditDead {
        /// The provider.
        provider: ProviderName,
        /// At most this many.
        limit: u32,
        /// Now.
        now: Timestamp,
    },
    /// Notes what an audit of a provider saw; after a whole sweep, resolves what it no longer saw.
    RecordFindings {
        /// The provider.
        provider: ProviderName,
        /// What was seen.
        seen: Vec<Finding>,
        /// When the sweep began, if it saw everything.
        whole_sweep_since: Option<Timestamp>,
        /// Rows that are younger were left alone by it: it did not say that nothing is wrong with them.
        horizon: Duration,
        /// Now.
        now: Timestamp,
    },
    /// Carries out a repair through the outbox, unless the appointment has changed since `version`.
    Repair {
        /// Whose.
        tenant: Tenant,
        /// Which.
        id: AppointmentId,
        /// The version that the finding was made on.
        version: u32,
        /// What to do.
        repair: Repair,
        /// Now.
        now: Timestamp,
    },
    /// How many entries there are, by destination and state.
    Depths,
    /// Open entries, the oldest first.
    OpenEntries {
        /// At most this many.
        limit: u32,
    },
    /// Dead entries, the oldest first.
    DeadLetters {
        /// Only ids after this one.
        after: i64,
        /// At most this many.
        limit: u32,
    },
    /// Findings, the newest first.
    Findings {
        /// At most this many.
        limit: u32,
    },
    /// Puts a dead entry back to work, resolving first; a no-op when there is nothing left to do.
    Redrive {
        /// The entry.
        entry_id: i64,
        /// Now.
        now: Timestamp,
    },
    /// Everything, for snapshots of a run.
    Dump,
    /// Whether the store answers.
    Ping,
}

impl Request {
    /// The same request by the clock of the machine that carries it out, which shows `clock`. It costs nothing where that is the caller's own.
    #[must_use]
    pub fn at(mut self, clock: Timestamp) -> Self {
        match &mut self {
            Self::Accept { now, .. }
            | Self::Cancel { now, .. }
            | Self::Claim { now, .. }
            | Self::Settle { now, .. }
            | Self::AuditPage { now, .. }
            | Self::AuditOne { now, .. }
            | Self::AuditDead { now, .. }
            | Self::Repair { now, .. }
            | Self::Redrive { now, .. } => *now = clock,
            Self::RecordFindings {
                whole_sweep_since,
                now,
                ..
            } => {
                *whole_sweep_since =
                    whole_sweep_since.map(|since| since.by_another_clock(*now, clock));
                *now = clock;
            }
            Self::Read { .. }
            | Self::Find { .. }
            | Self::Depths
            | Self::OpenEntries { .. }
            | Self::DeadLetters { .. }
            | Self::Findings { .. }
            | Self::Dump
            | Self::Ping => {}
        }
        self
    }
}

/// What became of one claimed entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The entry.
    pub entry_id: i64,
    /// The lease's epoch at the claim; the only fence.
    pub epoch: u64,
    /// What comes next.
    pub next: Next,
    /// What the clock that the times in `next` are by shows as this is sent.
    pub decided_by: Timestamp,
}

/// The store's answer, one kind for each kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `Accept`.
    Accepted(AcceptReply),
    /// To `Read` and `Find`.
    Appointment(Option<Appointment>),
    /// To `Cancel`: the row after it, and what changed (nothing, if it was a repeat).
    Cancelled(Result<(Appointment, Vec<Event>), Rejection>),
    /// To `Claim`.
    Claims(Claims),
    /// To `Settle`, in the order asked.
    Settled(Vec<Settled>),
    /// To `AuditPage`, `AuditOne` and `AuditDead`.
    AuditRows(Vec<AuditRow>),
    /// To `RecordFindings`, in the order asked, and how many older ones were resolved.
    FindingsRecorded(Vec<SightedFinding>, u32),
    /// To `Repair`: the events, or `None` when the row has changed or needs none.
    Repaired(Option<Vec<Event>>),
    /// To `Depths`.
    Depths(Vec<Depth>),
    /// To `OpenEntries`.
    Entries(Vec<Entry>),
    /// To `DeadLetters`.
    DeadLetters(Vec<DeadLetter>),
    /// To `Findings`.
    Findings(Vec<FindingRow>),
    /// To `Redrive`.
    Redriven(Redriven),
    /// To `Dump`.
    Dump(Dump),
    /// To `Ping`.
    Pong,
}

impl Reply {
    /// Whether the request that got this may have left something to claim that was not there before.
    pub fn adds_work(&self) -> bool {
        match self {
            Self::Accepted(reply) => matches!(reply, AcceptReply::Fresh(_)),
            Self::Cancelled(Ok((_, events))) => !events.is_empty(),
            Self::Settled(settled) => settled.iter().any(|one| {
                matches!(
                    one.verdict,
                    Verdict::Applied {
                        follow_up: true,
                        ..
                    }
                )
            }),
            Self::Repaired(events) => events.is_some(),
            Self::Redriven(redriven) => *redriven == Redriven::Ready,
            _ => false,
        }
    }
}

/// What an accept came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptReply {
    /// Accepted now; what happened.
    Fresh(Vec<Event>),
    /// Accepted before: the answer of that time.
    Replay(Stored),
    /// Refused.
    Rejected(Rejection),
}

/// The entries that a claim got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// What was claimed, in the order of claiming.
    pub claimed: Vec<Claimed>,
    /// The earliest time at which any more of the asked destinations may be claimable.
    pub next_due: Option<Timestamp>,
    /// What the store's clock showed.
    pub now: Timestamp,
}

/// One claimed entry and the appointment it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The entry, with its new lease.
    pub entry: Entry,
    /// The row at the time of the claim.
    pub appointment: Appointment,
    /// Whether the lease was taken over from a worker that let it run out.
    pub rescued: bool,
}

/// What became of one settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The entry.
    pub entry_id: i64,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a settlement ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// In effect.
    Applied {
        /// What happened to the appointment.
        events: Vec<Event>,
        /// Whether an entry may be due earlier than was known at the claim: a retry, a queued cancel, or one that waited for this entry.
        follow_up: bool,
    },
    /// It was in effect already: the answer to the first time was lost.
    Repeated,
    /// A newer lease has overtaken it; nothing changed.
    Stale,
    /// The appointment cannot take the result; the entry is done, the row as it was. The auditor looks at such.
    Refused(Rejection),
}

/// An appointment as the auditor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The row; without its details in a page.
    pub appointment: Appointment,
    /// Its ready and leased entries.
    pub open: Vec<Entry>,
    /// Its dead entries.
    pub dead: Vec<Entry>,
    /// What the store's clock showed.
    pub read_at: Timestamp,
}

/// A finding that was just recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightedFinding {
    /// How often it was seen so far, this time included.
    pub sightings: u32,
}

/// Entries of one destination in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// The destination.
    pub destination: ProviderName,
    /// `ready`, `leased` or `dead`; settled entries are not counted.
    pub state: String,
    /// How many.
    pub entries: u64,
}

/// A given-up entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The entry; `last_error` is the reason.
    pub entry: Entry,
    /// When it was given up.
    pub dead_at: Timestamp,
}

/// A recorded discrepancy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRow {
    /// Its number.
    pub id: i64,
    /// The provider.
    pub provider: ProviderName,
    /// The provider's key.
    pub key: String,
    /// What is wrong.
    pub kind: FindingKind,
    /// The appointment, if there is one.
    pub appointment_id: Option<AppointmentId>,
    /// The request it came with.
    pub request_id: Option<RequestId>,
    /// In words, without personal data.
    pub detail: String,
    /// How often it was seen.
    pub sightings: u32,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// When a whole sweep no longer saw it.
    pub resolved_at: Option<Timestamp>,
    /// What resolved it: `repair` or `gone`.
    pub resolved_by: Option<String>,
}

/// What a redrive came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redriven {
    /// It is ready again, attempts from zero, and resolves first.
    Ready,
    /// Nothing is left to do for it: its appointment has reached, or can no longer reach, what it wanted.
    Moot,
    /// There is no dead entry with this id.
    NotDead,
}

/// A recorded event of an appointment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionRow {
    /// Order of commit.
    pub seq: i64,
    /// The appointment.
    pub appointment_id: AppointmentId,
    /// The request it came with.
    pub request_id: RequestId,
    /// What happened, such as `confirmed`.
    pub change: String,
    /// The lifecycle state before, if the state changed.
    pub from: Option<String>,
    /// The lifecycle state after, if the state changed.
    pub to: Option<String>,
    /// Deliveries started so far.
    pub attempts: u32,
    /// When.
    pub at: Timestamp,
}

/// Everything in the store, each in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// By id and tenant.
    pub appointments: Vec<Appointment>,
    /// By id; settled ones included.
    pub outbox: Vec<Entry>,
    /// In order of commit.
    pub transitions: Vec<TransitionRow>,
    /// By id.
    pub findings: Vec<FindingRow>,
}

/// Why the store did not carry out a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StoreError {
    /// Another writer holds the database. Nothing happened; try again soon.
    #[error("the database is busy")]
    Busy,
    /// The database, its disk or the way to it failed. The request may or may not have taken effect.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database was written by a newer program.
    #[error("the schema is at version {found}, and this program knows {known}")]
    Newer {
        /// Its version.
        found: usize,
        /// The newest version this program knows.
        known: usize,
    },
    /// A row that this program cannot have written.
    #[error("the store holds data that breaks its rules: {0}")]
    Corrupt(String),
    /// A reply of another kind than asked for.
    #[error("the store answered something else than was asked")]
    Protocol,
}
