//! A domain "no": the answer to a command that cannot be carried out. It is an answer, not an error to log.
//!
//! The one invariant: `code()` of a kind of rejection never changes, as clients branch on it.
//! It deliberately does not know HTTP or gRPC; each transport maps the code once.

use alloc::{borrow::Cow, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{appointment::State, identity::Reference};

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The id is taken by another request.
    #[error("an appointment with this id exists already")]
    AlreadyExists,
    /// There is no such appointment (of this tenant).
    #[error("there is no such appointment")]
    NotFound,
    /// The idempotency key was used before, with another payload.
    #[error("this request_id was used before with another payload")]
    KeyReused,
    /// The first request with this key is still being processed; the only rejection to retry unchanged.
    #[error("a request with this request_id is being processed")]
    InFlight,
    /// The provider reports another booking than the one on record: a duplicate booking.
    #[error("booked as {held}, and the provider now reports {offered}")]
    Conflict {
        /// The reference on record.
        held: Reference,
        /// The reference that came now.
        offered: Reference,
    },
    /// The state machine has no such step.
    #[error("an appointment that is {} cannot take the command `{command}`", state.as_str())]
    IllegalTransition {
        /// The state it is in.
        state: State,
        /// The command's name.
        command: Cow<'static, str>,
    },
    /// The submission breaks rules; all of them are listed.
    #[error("{} of the submission's fields cannot be accepted", .0.len())]
    Invalid(Vec<FieldError>),
}

impl Rejection {
    /// The stable code, as problem+json carries it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::KeyReused => "idempotency_key_reused",
            Self::InFlight => "in_flight",
            Self::Conflict { .. } => "conflict",
            Self::IllegalTransition { .. } => "illegal_transition",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// One field that breaks a rule. It never repeats the value, which may be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// A JSON pointer into the submission, such as `/patient_name`.
    pub pointer: String,
    /// The rule, in words.
    pub detail: String,
}
