//! Replays a plan against one side: open loop, at the intended times, on a host.
//!
//! [`side`](side()) is called once for each side, one after the other or both at once, and gives [`Observations`]: for every planned request an
//! answer, a failure or the reason it was not sent, and the final state of every entity.
//!
//! **Invariant**: observations and plan have the same length and order, however the run ends.
//! It deliberately follows no redirects and asks for no answer twice: the first one is the observation. What a closing connection swallowed is the
//! one thing that is sent again, by [`connection`], and counted.

mod options;
mod target;
mod queue;
mod framing;
mod http1;
mod connection;
mod cookies;
mod bindings;
mod send;
mod lag;
mod latency;
mod observation;
mod journal;
mod outcomes;
mod packed;
mod horizon;
mod event;
mod replay;

pub use horizon::Horizon;
pub use journal::{
    Broken as BrokenJournal, Entry, Journal, Known, Place, Recorder, Resumed, decode, encode,
    resume,
};
pub use latency::{LATE_NS, Latency, Percentiles, Punctuality};
pub use observation::{Accounting, Answer, FailureReason, Observations, Outcome, SkipReason, Time};
pub use options::{Options, Phase, Progress};
pub(crate) use outcomes::read;
pub use outcomes::{Archive, Brief, Outcomes, entries};
pub use packed::{Shelf, Torn};
pub use replay::{Run, side};
pub use target::{Protocol, Target, Transport, is_one_service};
