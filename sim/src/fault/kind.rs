//! The kinds of fault: what each is called, which keys of a `[[faults]]` table it takes, and what it becomes in a plan.
//!
//! **Invariant**: [`KindName::form`] is the one table of keys; what it does not name for a kind is refused, never ignored.

use serde::{Deserialize, Serialize};

use super::{OnDisk, Spec};
use crate::range::Latency;

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crash {
    /// The process is killed: peers get resets, what was written stays written.
    Kill,
    /// The machine loses power: peers get silence, what was not synced is lost.
    PowerLoss,
}

/// A kind of fault, with its own settings, as a plan has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// A host dies and comes back.
    Crash {
        /// How.
        mode: Crash,
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
}

impl Kind {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { mode: Crash::Kill } => "crash",
            Self::Crash {
                mode: Crash::PowerLoss,
            } => "power_loss",
            Self::Partition { .. } => "partition",
            Self::Hold => "hold",
            Self::Latency { .. } => "latency",
            Self::Disk(on) => on.name(),
        }
    }
}

/// The kinds of fault by the name that a scenario gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindName {
    /// See [`Kind::Crash`]; `mode` says how.
    Crash,
    /// A crash of mode [`Crash::Kill`].
    Kill,
    /// A crash of mode [`Crash::PowerLoss`].
    PowerLoss,
    /// See [`Kind::Partition`].
    Partition,
    /// See [`Kind::Hold`].
    Hold,
    /// See [`Kind::Latency`].
    Latency,
    /// See [`OnDisk::FsyncError`].
    FsyncError,
    /// See [`OnDisk::Eio`].
    Eio,
    /// See [`OnDisk::Enospc`].
    Enospc,
    /// See [`OnDisk::Stall`].
    Stall,
    /// See [`OnDisk::BitRot`].
    BitRot,
}

/// Which key says how long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// `down_s`: the host is down meanwhile.
    Down,
    /// `for_s`.
    For,
}

/// What a fault is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// One host: `target`.
    Host,
    /// The links between two groups: `target` and `peer`.
    Links,
}

/// What a `[[faults]]` table of one kind has to look like, besides `kind`, `target`, `at_s` and `times`, which every kind takes.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What it is done to.
    pub sides: Sides,
    /// How its length is given.
    pub lasts: Lasts,
    /// Keys it must have, each with an example.
    pub needs: &'static [(&'static str, &'static str)],
    /// Keys it may have.
    pub takes: &'static [&'static str],
}

impl KindName {
    /// Its name in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::PowerLoss => "power_loss",
            Self::Partition => "partition",
            Self::Hold => "hold",
            Self::Latency => "latency",
            Self::FsyncError => "fsync_error",
            Self::Eio => "eio",
            Self::Enospc => "enospc",
            Self::Stall => "stall",
            Self::BitRot => "bit_rot",
        }
    }

    /// The keys that it takes.
    pub fn form(self) -> Form {
        let host = Form {
            sides: Sides::Host,
            lasts: Lasts::Down,
            needs: &[],
            takes: &[],
        };
        let links = Form {
            sides: Sides::Links,
            lasts: Lasts::For,
            ..host
        };
        let disk = Form {
            lasts: Lasts::For,
            ..host
        };
        match self {
            Self::Crash => Form {
                takes: &["mode"],
                ..host
            },
            Self::Kill => host,
            Self::PowerLoss => Form {
                takes: &["loss", "at_operation"],
                ..host
            },
            Self::FsyncError => Form {
                takes: &["failing"],
                ..disk
            },
            Self::Eio => Form {
                takes: &["failing", "operation"],
                ..disk
            },
            Self::Enospc => Form {
                takes: &["room_bytes"],
                ..disk
            },
            Self::Stall => Form {
                needs: &[("each_ms", "50")],
                ..disk
            },
            Self::BitRot => Form {
                takes: &["bits"],
                ..disk
            },
            Self::Partition => Form {
                takes: &["one_way"],
                ..links
            },
            Self::Hold => links,
            Self::Latency => Form {
                needs: &[("latency", "{ fixed_ms = 500 }")],
                ..links
            },
        }
    }

    /// What `spec`, whose keys were checked against [`KindName::form`], asks for.
    pub(super) fn resolve(self, spec: &Spec) -> Result<Kind, String> {
        Ok(match self {
            Self::Crash => Kind::Crash {
                mode: spec.mode.unwrap_or(Crash::Kill),
            },
            Self::Kill => Kind::Crash { mode: Crash::Kill },
            Self::PowerLoss if spec.is_on_disk() => Kind::Disk(OnDisk::power_loss(spec)?),
            Self::PowerLoss => Kind::Crash {
                mode: Crash::PowerLoss,
            },
            Self::FsyncError => Kind::Disk(OnDisk::fsync_error(spec)?),
            Self::Eio => Kind::Disk(OnDisk::eio(spec)?),
            Self::Enospc => Kind::Disk(OnDisk::enospc(spec)),
            Self::Stall => Kind::Disk(OnDisk::stall(spec)?),
            Self::BitRot => Kind::Disk(OnDisk::bit_rot(spec)?),
            Self::Partition => Kind::Partition {
                one_way: spec.one_way,
            },
            Self::Hold => Kind::Hold,
            Self::Latency => {
                let latency = spec.latency.ok_or("latency: missing")?;
                latency
                    .check()
                    .map_err(|error| format!("latency: {error}"))?;
                Kind::Latency { latency }
            }
        })
    }
}
