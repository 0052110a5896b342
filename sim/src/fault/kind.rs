//! The kinds of fault as a plan has them, each with its settings drawn.
//!
//! **Invariant**: a kind is plain data; what it asks of a scenario is said in [`KindName`](super::KindName), how it is done by the engine or the conductor.

use serde::{Deserialize, Serialize};

use super::OnDisk;
use crate::range::Latency;

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crash {
    /// The process is killed: peers get resets, what was written stays written.
    Kill,
    /// The machine loses power: peers get silence, what was not synced is lost.
    PowerLoss,
    /// The machine is replaced: as a power loss, and the disk is empty afterwards.
    Wipe,
}

/// What becomes of a lost segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossAs {
    /// It is sent again, after 200 ms, doubling.
    #[default]
    Delay,
    /// Its connection is reset, as by a middlebox that forgot it. A lost connection request or end of a stream is a delay.
    Reset,
}

impl LossAs {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(crate) fn is_delay(&self) -> bool {
        *self == Self::Delay
    }
}

/// Where a [`Kind::Reset`] strikes, on each direction of a link, counted from the fault's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetAt {
    /// In place of the n-th segment with data, from 1.
    Segment(u64),
    /// After so many bytes.
    Byte(u64),
}

/// Which directions between target and peer a fault is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// From target to peer.
    There,
    /// From peer to target.
    Back,
}

/// A kind of fault, with its own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// A host dies and comes back.
    Crash {
        /// How.
        mode: Crash,
    },
    /// A host is asked to end, drains, is down, and comes back. Its time down counts from its end.
    Stop {
        /// What has not ended after this long is killed.
        grace_ms: u64,
    },
    /// A host's tasks do not run for a while; what arrives waits in its sockets, timers that ran out fire at the end.
    Pause,
    /// After each of a host's turns on its processor, the next has to wait.
    Slow {
        /// How long.
        delay: Latency,
    },
    /// A host's wall clock is off, and set right at the end.
    Skew {
        /// By how much, in milliseconds.
        offset_ms: i64,
    },
    /// A host's wall clock jumps, and nothing sets it right.
    Step {
        /// By how much, in milliseconds.
        offset_ms: i64,
    },
    /// A host's wall clock runs too fast or too slow, and is set right at the end.
    Drift {
        /// Microseconds gained in a second.
        ppm: f64,
    },
    /// Two groups of hosts cannot reach each other; what is sent waits for retransmission.
    Partition {
        /// Only `target` to `peer` is cut, not the way back.
        one_way: bool,
    },
    /// What is sent between two groups is held, and let go in order at the end.
    Hold,
    /// Links between two groups have another latency.
    Latency {
        /// The latency in place of the usual one.
        latency: Latency,
    },
    /// Something goes wrong with the target's disk. The conductor does it, no engine.
    Disk(OnDisk),
    /// Links between two groups lose segments.
    Loss {
        /// The share, in place of the usual one.
        rate: f64,
        /// What becomes of them.
        loss_as: LossAs,
        /// Only from `target` to `peer`.
        one_way: bool,
    },
    /// On each link between two groups one connection is reset amid its data.
    Reset {
        /// Where.
        at: ResetAt,
        /// Only data from `target` to `peer`.
        one_way: bool,
    },
    /// Links between two groups carry only so much.
    Bandwidth {
        /// In bytes a second, each direction by itself.
        bytes_per_s: u64,
        /// Only from `target` to `peer`.
        one_way: bool,
    },
    /// The target reads slowly what its peers send, so that their windows fill.
    SlowReads {
        /// In bytes a second, from each peer.
        bytes_per_s: u64,
    },
}

impl Kind {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { mode: Crash::Kill } => "crash",
            Self::Crash {
                mode: Crash::PowerLoss,
            } => "power_loss",
            Self::Crash { mode: Crash::Wipe } => "wipe",
            Self::Stop { .. } => "stop",
            Self::Pause => "pause",
            Self::Slow { .. } => "slow",
            Self::Skew { .. } => "skew",
            Self::Step { .. } => "step",
            Self::Drift { .. } => "drift",
            Self::Partition { .. } => "partition",
            Self::Hold => "hold",
            Self::Latency { .. } => "latency",
            Self::Disk(on) => on.name(),
            Self::Loss { .. } => "loss",
            Self::Reset { .. } => "reset",
            Self::Bandwidth { .. } => "bandwidth",
            Self::SlowReads { .. } => "slow_reads",
        }
    }

    /// Whether it is done to links, not to hosts.
    pub fn is_on_links(&self) -> bool {
        matches!(
            self,
            Self::Partition { .. }
                | Self::Hold
                | Self::Latency { .. }
                | Self::Loss { .. }
                | Self::Reset { .. }
                | Self::Bandwidth { .. }
                | Self::SlowReads { .. }
        )
    }

    /// Which directions between target and peer it is on.
    pub fn way(&self) -> Way {
        match self {
            Self::Partition { one_way: true }
            | Self::Loss { one_way: true, .. }
            | Self::Reset { one_way: true, .. }
            | Self::Bandwidth { one_way: true, .. } => Way::There,
            Self::SlowReads { .. } => Way::Back,
            _ => Way::Both,
        }
    }
}
