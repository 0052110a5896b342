//! Parity of state: the rows of two stores, compared by key under the same rules as answers are.
//!
//! `rows -> table -> join -> detail -> report`. Each side's rows become a [`Table`] of digests of what a row means under the rules
//! ([`canonical`]); the [`join`](join()) settles equal digests at once and checks that invented values pair up one to one over all rows; only
//! rows that are left are read again and given to the [`Comparer`](crate::diff::Comparer), which has the last word ([`Detail`]).
//!
//! **Invariant**: a row is settled by its digest only if the comparer would have found it a match; in doubt it is left to the comparer. A row
//! that one side lacks is judged as the answers 200 and 404 would be, so that one rule file speaks of both: by the status alone, whatever the row
//! says, so a rule forgives all such rows of a side or none.
//!
//! It deliberately knows neither databases nor services: a row is a JSON object, and where it comes from is the caller's.

mod bijection;
pub mod canonical;
mod detail;
mod join;
mod key;
mod paths;
mod report;
mod table;

pub use detail::{Batch, Detail};
pub use join::{Joined, join};
pub use key::{Columns, Key};
pub use report::{ParityReport, RowCounts, RowDifference, SideReport, human, markdown};
pub use table::{BadRow, Table};
