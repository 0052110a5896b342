//! The report: one value, written as JSON (`rehearsal.replay/1`), as Markdown, as `JUnit` XML and for a terminal.
//!
//! **Invariant**: renderers never decide; whatever they say is in [`Report`]. Outside its `timing`, a report of the same inputs is the same bytes.

mod human;
pub mod junit;
mod markdown;
mod value;
mod timing;

pub use human::human;
pub use junit::junit;
pub use markdown::{LIMIT_BYTES, markdown};
pub use timing::Timing;
pub use value::{
    AccountingReport, CaptureReport, EndpointFinding, EndpointReport, FORMAT, GateReport,
    PairedAccounting, Report, RuleReport, SensitivityReport, SideLatency, StateReport, Targets,
};
