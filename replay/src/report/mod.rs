//! The report: one value, written as JSON (`rehearsal.replay/1`), as Markdown and for a terminal.
//!
//! **Invariant**: renderers never decide; whatever they say is in [`Report`]. Outside its `timing`, a report of the same inputs is the same bytes.

mod human;
mod markdown;
mod value;

pub use human::human;
pub use markdown::{LIMIT_BYTES, markdown};
pub use value::{
    AccountingReport, CaptureReport, EndpointReport, FORMAT, GateReport, PairedAccounting, Report,
    RuleReport, SensitivityReport, SideLatency, StateReport, Targets, Timing,
};
