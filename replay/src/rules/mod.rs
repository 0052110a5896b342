//! Rules: what is declared, with a reason, about the differences between the two services.
//!
//! `rehearsal.rules/1` is a TOML file of `[[rule]]` tables and at most one `[state]` table. Each rule has an `id`, a `kind`, an `endpoint` and a
//! `reason`. Rules are tried in the order of the file, and only where values differ; the first that fits a difference suppresses it.
//!
//! | kind | says | a suppressed difference counts as |
//! |---|---|---|
//! | `rewrite` | what a request becomes on one side | (changes requests, suppresses nothing) |
//! | `map` | these two values mean the same | match |
//! | `drop` | only one side has this field | match |
//! | `rename` | the field has another name | match |
//! | `tolerance`, `time` | so near is the same | match |
//! | `normalize` | what a regular expression rewrites does not matter | match |
//! | `absent` | null, missing and empty are the same, as far as named | match |
//! | `spelling` | case, blanks or quotes around numbers do not matter | match |
//! | `status` | statuses of these sets are the same | match |
//! | `unordered` | this array is a set, or a map by a key | match |
//! | `binding` | values the services invent pair up one to one over the whole run | match |
//! | `error` | refusals of this status are compared by status only | match |
//! | `volatile` | these headers mean nothing | match |
//! | `ignore` | a known difference is forgiven | **ignored**, never a match |
//!
//! A rule about a JSON field may carry `given = { path = "/other", legacy = .., candidate = .. }`: it then holds only where that other field of the
//! same answers has these values.
//!
//! Every kind but `rewrite` may carry `expires = 2027-01-31`: after that day it suppresses nothing ([`Rules::expire`]), and reports say so.
//!
//! **Invariant**: no rule without a reason, none that acts without being counted.

mod absence;
mod condition;
mod document;
mod instant;
mod kinds;
mod pattern;
mod read;
mod rule;
mod status;
mod template;
mod text;
mod values;
mod wear;

pub use absence::Absence;
pub(crate) use condition::status_value;
pub use condition::{Given, Matcher, When};
pub use document::RulesError;
pub use instant::Instants;
pub(crate) use instant::instant;
pub use pattern::{Pattern, Step};
pub(crate) use pattern::{general_pointer, pointer};
pub use rule::{Effect, Place, Rule, Rules, Side, StateReads, Subject};
pub use status::StatusSet;
pub use template::{Endpoint, Template, generic_template};
pub use text::{LIMIT as TEXT_LIMIT, Normalization, Spelling, TooLong, Within};
pub use wear::{EXPIRES_SOON_DAYS, Wear};
