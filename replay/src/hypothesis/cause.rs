//! The usual causes of differences between a service and its replacement, and how one is undone.
//!
//! **Invariant**: a class's name is a promise: reports and scripts speak of it.

use std::fmt;

use crate::{hypothesis::answers::Answered, run::Answer};

/// A usual cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Times are read or written in another zone, or without one.
    TimeZone,
    /// Numbers are rounded otherwise.
    Rounding,
    /// Null, missing and empty are taken for one another.
    NullOrMissing,
    /// A list comes in another order.
    Order,
    /// A page ends one item early or late.
    PageBound,
    /// A repeated request takes effect again.
    Idempotency,
    /// The same outcome is told by another status.
    StatusMapping,
    /// Of several faults another one is told first.
    ValidationOrder,
    /// Upper and lower case.
    Case,
    /// Texts are cut.
    Truncation,
    /// A write is answered and never seen again.
    LostUpdate,
    /// A read is older than the last write.
    StaleRead,
    /// A clock is off.
    Clock,
    /// A named value has another name.
    Enum,
    /// What is not given becomes another value.
    Default,
    /// Characters are coded or escaped otherwise.
    Encoding,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::TimeZone,
        Self::Rounding,
        Self::NullOrMissing,
        Self::Order,
        Self::PageBound,
        Self::Idempotency,
        Self::StatusMapping,
        Self::ValidationOrder,
        Self::Case,
        Self::Truncation,
        Self::LostUpdate,
        Self::StaleRead,
        Self::Clock,
        Self::Enum,
        Self::Default,
        Self::Encoding,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TimeZone => "time_zone",
            Self::Rounding => "rounding",
            Self::NullOrMissing => "null_or_missing",
            Self::Order => "order",
            Self::PageBound => "page_bound",
            Self::Idempotency => "idempotency",
            Self::StatusMapping => "status_mapping",
            Self::ValidationOrder => "validation_order",
            Self::Case => "case",
            Self::Truncation => "truncation",
            Self::LostUpdate => "lost_update",
            Self::StaleRead => "stale_read",
            Self::Clock => "clock",
            Self::Enum => "enum",
            Self::Default => "default",
            Self::Encoding => "encoding",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Both answers with a cause undone; `None` where there is nothing to undo.
pub(super) type Undo<'c> = Box<dyn Fn(&Answered<'_>) -> Option<(Answer, Answer)> + 'c>;

/// A supposed cause, and how it is undone.
pub(super) struct Cause<'c> {
    pub(super) class: Class,
    pub(super) statement: String,
    pub(super) undo: Undo<'c>,
}

impl<'c> Cause<'c> {
    pub(super) fn new(class: Class, statement: impl Into<String>, undo: Undo<'c>) -> Self {
        Self {
            class,
            statement: statement.into(),
            undo,
        }
    }
}
