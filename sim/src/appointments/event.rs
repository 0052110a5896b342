//! What the appointment service, its clients and its providers write into the trace.
//!
//! **Invariant**: typed values only, as their writers made them; nothing was parsed back from a log. Entries are compact, as every byte is hashed;
//! what the snapshot at the end adds is boxed, so that it does not widen every entry before it.

use rehearsal_core::{
    appointment::{Appointment, State},
    log::LogEvent,
    outbox::Entry,
};
use rehearsal_mocks::provider::{BookingView, ProviderEvent};
use rehearsal_service::store::{FindingRow, TransitionRow};
use serde::{Deserialize, Serialize};

use super::{database::DatabaseEvent, operation::Operation, tables::Tables};
use crate::trace::fnv;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The tables that the run was made from: its first entry, for oracles.
    Given(Box<Tables>),
    /// A client starts an operation.
    Invoked {
        /// The plan's step.
        step: u64,
        /// What it does.
        operation: Operation,
    },
    /// The operation got a whole answer.
    Answered {
        /// The plan's step.
        step: u64,
        /// The answer.
        answer: Answer,
    },
    /// The operation got no whole answer: whether it took effect is unknown, unless nothing was sent.
    Unanswered {
        /// The plan's step.
        step: u64,
        /// Whether anything may have reached the service.
        sent: bool,
        /// Why, for people.
        cause: String,
        /// How long it took to find out.
        took_us: u64,
    },
    /// A client's last look at an appointment, once everything was quiet.
    Observed {
        /// Which.
        id: String,
        /// What was answered; `None` when nothing was.
        answer: Option<Answer>,
    },
    /// A client read a service host's metrics, at the same time.
    Scraped {
        /// The host.
        host: String,
        /// The Prometheus text; `None` when nothing was answered.
        text: Option<String>,
    },
    /// The service wrote a line of its log.
    Log(LogEvent),
    /// The service's process ended by itself and was started again.
    Restarted {
        /// Why.
        error: String,
    },
    /// The database's host is about to die.
    StorageDied {
        /// Whether its power is cut, which takes what was not synced.
        power_lost: bool,
    },
    /// The clock by which the store leases and settles is off by another amount than before; it begins as right.
    StoreClock {
        /// By how much it is ahead of the world's, in microseconds; below zero is behind.
        ahead_us: i64,
    },
    /// The store leased an entry that had been leased before.
    Leased {
        /// The entry's number.
        entry: i64,
        /// The epoch of the lease before.
        before: u64,
        /// The epoch of this one.
        epoch: u64,
    },
    /// The store answered the settle of an entry that had been leased more than once.
    Settled {
        /// The entry's number.
        entry: i64,
        /// The epoch of the lease that it was settled by.
        epoch: u64,
        /// Whether it changed anything.
        took_effect: bool,
    },
    /// A provider did something.
    Provider(ProviderEvent),
    /// The database's host did something that its callers do not see.
    Database(DatabaseEvent),
    /// At the end: an appointment.
    Row(Box<Appointment>),
    /// At the end: an outbox entry.
    Outbox(Box<Entry>),
    /// At the end: a committed step of an appointment, in order of commit.
    Transition(Box<TransitionRow>),
    /// At the end: a finding of the auditor.
    Finding(Box<FindingRow>),
    /// At the end: what SQLite's checks say of the database.
    Integrity {
        /// In its words; empty when all is well.
        problems: Vec<String>,
    },
    /// At the end: what a provider holds under a key.
    View {
        /// The provider.
        provider: String,
        /// What it holds.
        view: BookingView,
    },
}

/// FNV-1a of an appointment's time and its patient's name: what answers say of it, without saying whose it is.
pub fn details(time: &str, patient_name: &str) -> u64 {
    fnv(format!("{time}\n{patient_name}").as_bytes())
}

/// A whole answer of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The appointment's id, if the body names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The appointment's state, if the body names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// [`details`] of the time and the patient that the body names, if it names both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<u64>,
    /// How many attempts it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether the answer says that it repeats an earlier one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// FNV-1a of the body, to tell two bodies apart.
    pub body: u64,
    /// The body of a refusal (4xx and 5xx), whole: it must not hold personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// From the first byte sent to the last one read.
    pub took_us: u64,
}
