//! What an attempt's outcome means, and what comes next: settle, retry, resolve, or the dead-letter queue.
//!
//! | outcome     | when                                                       | a booking                   | a cancel           |
//! |-------------|------------------------------------------------------------|-----------------------------|--------------------|
//! | `NotSent`   | no byte left: connect failed, breaker, bulkhead, deadline  | retry, attempt refunded     | the same           |
//! | `Accepted`  | 2xx, or a duplicate whose booking matches                  | `Booked`                    | `CancelAcknowledged` |
//! | `Rejected`  | a definitive 4xx                                           | `Refused`                   | dead letter        |
//! | `Throttled` | 429, or 503 with `Retry-After`                             | retry, never before asked   | the same           |
//! | `Unknown`   | lost or unreadable answer, 5xx, crash, any rescued lease   | retry, which resolves first | retry              |
//!
//! The one invariant: an unknown outcome is never guessed. It is resolved by key, and resent only when the look-up
//! finds nothing and nothing can be in flight. When attempts run out, the cancel that compensates is a tombstone.
//!
//! It deliberately does not call anyone, wait, or write; [`settle`] only says what the entry becomes.

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    appointment::{Appointment, Certainty, State},
    command::Command,
    identity::Reference,
    outbox::{Entry, EntryState, Kind, MAX_WAIT},
    time::Timestamp,
};
pub use crate::{
    limits::{Policy, Unsafe},
    retry_after::parse_retry_after,
};

/// The code of a booking that the provider refuses because a cancel by the same key came first.
pub const TOMBSTONED: &str = "tombstoned";

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider cannot have seen it.
    NotSent {
        /// Why, personal data masked.
        cause: String,
    },
    /// The provider has done it.
    Accepted {
        /// The booking; a cancel has none.
        reference: Option<Reference>,
    },
    /// The provider will never do it.
    Rejected {
        /// The provider's reason.
        code: String,
    },
    /// The provider did not do it, and wants to be left alone for a while.
    Throttled {
        /// How long.
        retry_after: Option<Duration>,
    },
    /// The provider may have done it.
    Unknown {
        /// Why that is not known, personal data masked.
        cause: String,
        /// A complete answer came, so nothing is in flight any more.
        answered: bool,
    },
}

/// What a look-up by key found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// A live booking.
    Found {
        /// The provider's name of it.
        reference: Reference,
    },
    /// Nothing, now.
    Absent,
    /// A cancel: no booking can follow.
    Tombstoned,
    /// The look-up itself failed.
    Failed {
        /// Why, personal data masked.
        cause: String,
    },
}

/// How an attempt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstStep {
    /// Make the call.
    Send,
    /// Look up by key what an earlier attempt did.
    ResolveFirst,
    /// Nothing is left to do: settle with [`Command::Abandoned`], see [`abandon`].
    Abandon,
}

/// How the attempt that claimed `entry` begins.
///
/// A cancel is always sent: it is idempotent and a tombstone. A booking is sent only while the appointment waits for
/// one; when its client has cancelled and no attempt can have booked, or the row has moved on (a redriven entry), it
/// is abandoned.
pub fn first_step(entry: &Entry, appointment: &Appointment) -> FirstStep {
    if entry.kind == Kind::Cancel {
        FirstStep::Send
    } else if appointment.state != State::Pending {
        FirstStep::Abandon
    } else if entry.uncertain {
        FirstStep::ResolveFirst
    } else if appointment.cancel_requested {
        FirstStep::Abandon
    } else {
        FirstStep::Send
    }
}

/// What to settle with on [`FirstStep::Abandon`]; the attempt that found it out does not count.
pub fn abandon(entry: &Entry) -> Next {
    Next::Settle(Command::Abandoned {
        attempts: entry.attempt.saturating_sub(1),
    })
}

/// What follows a look-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterResolve {
    /// The attempt has an outcome; feed it to [`next`].
    Settle(Outcome),
    /// Send now, with the same key; or [`abandon`], when the client has cancelled meanwhile.
    Send,
    /// The earlier attempt may still be in flight; [`defer`] until then.
    WaitUntil(Timestamp),
}

/// What a look-up means. "Absent" proves nothing while the earlier attempt may still be in flight.
pub fn after_resolve(
    entry: &Entry,
    resolution: &Resolution,
    now: Timestamp,
    policy: &Policy,
) -> AfterResolve {
    match resolution {
        Resolution::Found { reference } => AfterResolve::Settle(Outcome::Accepted {
            reference: Some(reference.clone()),
        }),
        Resolution::Tombstoned => AfterResolve::Settle(Outcome::Rejected {
            code: TOMBSTONED.to_string(),
        }),
        Resolution::Failed { cause } => AfterResolve::Settle(Outcome::Unknown {
            cause: cause.clone(),
            answered: entry.answered,
        }),
        Resolution::Absent if entry.answered => AfterResolve::Send,
        Resolution::Absent => {
            // A send later than now is a clock that jumped back: count from now.
            let sent = entry.last_sent_at.map_or(now, |sent| sent.min(now));
            let landed = sent.plus(policy.in_flight_horizon);
            if now > landed {
                AfterResolve::Send
            } else {
                AfterResolve::WaitUntil(landed.plus(Duration::from_micros(1)))
            }
        }
    }
}

/// What comes after an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The entry is done; feed the command to `decide`.
    Settle(Command),
    /// Try again.
    Retry {
        /// Not before.
        due_at: Timestamp,
        /// The next attempt has to resolve first.
        uncertain: bool,
        /// The uncertain attempt is not in flight any more.
        answered: bool,
        /// The attempt does not count.
        refund: bool,
        /// The latest time at which an attempt may have been sent.
        sent_at: Option<Timestamp>,
        /// Why, personal data masked.
        cause: String,
    },
    /// The entry goes to the dead-letter queue; feed the command to `decide`.
    DeadLetter {
        /// What that means to the appointment.
        command: Command,
        /// Why, personal data masked.
        reason: String,
    },
}

/// What comes after an attempt that ended as `outcome`. `entry` is the worker's copy, as claimed and
/// [marked](crate::outbox::mark_sent); `jitter` lies in `[0, 1)`.
pub fn next(
    entry: &Entry,
    outcome: &Outcome,
    now: Timestamp,
    jitter: f64,
    policy: &Policy,
) -> Next {
    let attempts = entry.attempt;
    let backoff = policy.backoff.delay(attempts, jitter);
    match (outcome, entry.kind) {
        (Outcome::Accepted { .. }, Kind::Cancel) => {
            Next::Settle(Command::CancelAcknowledged { attempts })
        }
        (
            Outcome::Accepted {
                reference: Some(it),
            },
            Kind::Book,
        ) => Next::Settle(Command::Booked {
            reference: it.clone(),
            attempts,
        }),
        // Booked, but as what? The look-up by key will tell.
        (Outcome::Accepted { reference: None }, Kind::Book) => {
            let doubt = Doubt::of_answer(true);
            again(
                entry,
                doubt,
                backoff,
                "an answer without a reference",
                now,
                policy,
            )
        }
        (Outcome::Rejected { code }, Kind::Book) => Next::Settle(Command::Refused {
            code: code.clone(),
            attempts,
        }),
        (Outcome::Rejected { code }, Kind::Cancel) => Next::DeadLetter {
            command: Command::CancelDeadLettered { attempts },
            reason: format!("the provider refuses the cancel: {code}"),
        },
        (Outcome::NotSent { cause }, _) => not_sent(entry, backoff, cause, now, policy),
        (Outcome::Throttled { retry_after }, _) => {
            let asked = retry_after.unwrap_or_default().min(policy.retry_after_cap);
            let doubt = Doubt::held_by(entry);
            again(entry, doubt, backoff.max(asked), "throttled", now, policy)
        }
        (Outcome::Unknown { cause, answered }, _) => {
            let doubt = Doubt::of_answer(*answered);
            again(entry, doubt, backoff, cause, now, policy)
        }
    }
}

/// Puts an attempt off without counting it: the breaker is open, the bulkhead is full, an earlier attempt may still
/// be in flight, the worker shuts down.
pub fn defer(entry: &Entry, until: Timestamp, cause: &str) -> Next {
    Next::Retry {
        due_at: until,
        uncertain: entry.uncertain,
        answered: entry.answered,
        refund: true,
        // Never later than `until`: after a clock jumped back, the wait still ends.
        sent_at: entry
            .last_sent_at
            .map(|sent| sent.min(until))
            .or(entry.uncertain.then_some(until)),
        cause: cause.to_string(),
    }
}

/// What becomes of an expired lease, or of any claimable entry, that has no attempt left; `None`: claim it.
pub fn rescue(entry: &Entry, policy: &Policy) -> Option<Next> {
    if entry.attempt < policy.max_attempts {
        return None;
    }
    let lost = entry.state == EntryState::Leased;
    let reason = if lost {
        "the last attempt was lost with its worker"
    } else {
        "no attempt is left"
    };
    // A claim that only found so, and was lost before it could settle, is no attempt either.
    let mut entry = entry.clone();
    entry.attempt = policy.max_attempts;
    Some(give_up(&entry, lost || entry.uncertain, reason))
}

/// What the entry becomes when it is settled with `next`; the fence has been checked before.
///
/// Times in `next` are by the clock of who decided it, which shows `decided_by` where the entry's own clock shows `now`. What
/// is put off is so by the entry's clock, and at most for [`MAX_WAIT`].
#[must_use]
pub fn settle(entry: &Entry, next: &Next, decided_by: Timestamp, now: Timestamp) -> Entry {
    let mut settled = entry.clone();
    settled.lease_until = None;
    match next {
        Next::Settle(_) => {
            settled.state = EntryState::Done;
            settled.last_error = None;
        }
        Next::DeadLetter { command, reason } => {
            settled.state = EntryState::Dead;
            settled.last_error = Some(reason.clone());
            // A claim that only found that no attempt was left is none itself.
            if let Command::Exhausted { attempts, .. } | Command::CancelDeadLettered { attempts } =
                command
            {
                settled.attempt = *attempts;
            }
        }
        Next::Retry {
            due_at,
            uncertain,
            answered,
            refund,
            sent_at,
            cause,
        } => {
            settled.state = EntryState::Ready;
            settled.due_at = due_at
                .by_another_clock(decided_by, now)
                .min(now.plus(MAX_WAIT));
            settled.uncertain = *uncertain;
            settled.answered = *answered;
            settled.last_sent_at = sent_at.map(|sent| sent.by_another_clock(decided_by, now));
            settled.attempt -= u32::from(*refund && entry.attempt > 0);
            settled.last_error = Some(cause.clone());
        }
    }
    settled
}

/// What the next attempt has to find out about this one.
#[derive(Clone, Copy)]
struct Doubt {
    uncertain: bool,
    answered: bool,
}

impl Doubt {
    /// This attempt may have booked.
    const fn of_answer(answered: bool) -> Self {
        Self {
            uncertain: true,
            answered,
        }
    }

    /// This attempt did nothing; what was in doubt before still is.
    const fn held_by(entry: &Entry) -> Self {
        Self {
            uncertain: entry.uncertain,
            answered: entry.answered,
        }
    }
}

fn not_sent(
    entry: &Entry,
    backoff: Duration,
    cause: &str,
    now: Timestamp,
    policy: &Policy,
) -> Next {
    if now.since(entry.enqueued_at) >= policy.give_up_after {
        return give_up(entry, entry.uncertain, cause);
    }
    defer(entry, now.plus(backoff), cause)
}

fn again(
    entry: &Entry,
    doubt: Doubt,
    delay: Duration,
    cause: &str,
    now: Timestamp,
    policy: &Policy,
) -> Next {
    let late = now.since(entry.enqueued_at) >= policy.give_up_after;
    if late || entry.attempt >= policy.max_attempts {
        return give_up(entry, doubt.uncertain, cause);
    }
    Next::Retry {
        due_at: now.plus(delay),
        uncertain: doubt.uncertain,
        answered: doubt.answered,
        refund: false,
        sent_at: entry.last_sent_at.or(doubt.uncertain.then_some(now)),
        cause: cause.to_string(),
    }
}

fn give_up(entry: &Entry, uncertain: bool, reason: &str) -> Next {
    let attempts = entry.attempt;
    let certainty = if uncertain {
        Certainty::Unknown
    } else {
        Certainty::NotSent
    };
    Next::DeadLetter {
        command: match entry.kind {
            Kind::Book => Command::Exhausted {
                certainty,
                attempts,
            },
            Kind::Cancel => Command::CancelDeadLettered { attempts },
        },
        reason: reason.to_string(),
    }
}
