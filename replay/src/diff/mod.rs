//! What differs between two answers, and which rule says that it may.
//!
//! [`Comparer::compare`] walks status, headers and body. Each difference is offered to the rules in the order of their file; the first that
//! fits suppresses it, by declaring the two sides the same (the pair can still match) or by forgiving it (the pair is ignored).
//!
//! **Invariant**: equal answers need no rule, and a comparison that cannot be made (a body that cannot be decoded) is a difference.
//! It deliberately stops at the two answers: what a mismatch means for the migration is the verdict's.

mod answer;
mod binding;
mod body;
mod category;
mod charset;
mod conflict;
mod difference;
mod document;
mod embedded;
mod headers;
mod ledger;
mod ruling;
mod tolerance;

pub use answer::Comparer;
pub use category::{Category, categorize};
pub(crate) use charset::Characters;
pub use conflict::{Conflict, Rival, Witness};
pub use difference::{Comparison, Difference, DifferenceKind, TEXT_LIMIT, shortened};
pub(crate) use headers::is_volatile;
