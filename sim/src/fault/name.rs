//! The kinds of fault as a scenario names them: which keys each takes, and what it becomes.
//!
//! **Invariant**: [`KindName::form`] is the one table of keys; what it does not name for a kind is refused, never ignored.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{
    OnDisk, Spec,
    kind::{Crash, Kind, ResetAt},
};
use crate::range::{Latency, Range, whole};

/// The kinds of fault by name. `docs/scenarios.md` says what each does and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the kind of the same name")]
pub enum KindName {
    Crash,
    Kill,
    PowerLoss,
    Wipe,
    CrashLoop,
    Stop,
    Pause,
    Slow,
    Skew,
    Step,
    Drift,
    Partition,
    Hold,
    Latency,
    Loss,
    Reset,
    Bandwidth,
    SlowReads,
    FsyncError,
    Eio,
    Enospc,
    Stall,
    BitRot,
}

/// How a partition divides the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One host of `target` from those of `peer`.
    Pair,
    /// One host of `target` from all others.
    Isolate,
    /// The hosts of `target` into two drawn halves.
    Halves,
    /// The same, but one drawn host reaches both halves.
    Bridge,
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

/// Kubernetes' default grace period, in seconds.
const GRACE_S: f64 = 30.0;

impl KindName {
    /// Every kind, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::Crash,
        Self::Kill,
        Self::PowerLoss,
        Self::Wipe,
        Self::CrashLoop,
        Self::Stop,
        Self::Pause,
        Self::Slow,
        Self::Skew,
        Self::Step,
        Self::Drift,
        Self::Partition,
        Self::Hold,
        Self::Latency,
        Self::Loss,
        Self::Reset,
        Self::Bandwidth,
        Self::SlowReads,
        Self::FsyncError,
        Self::Eio,
        Self::Enospc,
        Self::Stall,
        Self::BitRot,
    ];

    /// Its name in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::PowerLoss => "power_loss",
            Self::Wipe => "wipe",
            Self::CrashLoop => "crash_loop",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Slow => "slow",
            Self::Skew => "skew",
            Self::Step => "step",
            Self::Drift => "drift",
            Self::Partition => "partition",
            Self::Hold => "hold",
            Self::Latency => "latency",
            Self::Loss => "loss",
            Self::Reset => "reset",
            Self::Bandwidth => "bandwidth",
            Self::SlowReads => "slow_reads",
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
        let running = Form {
            lasts: Lasts::For,
            ..host
        };
        let links = Form {
            sides: Sides::Links,
            lasts: Lasts::For,
            ..host
        };
        let takes = |form: Form, takes| Form { takes, ..form };
        let needs = |form: Form, needs| Form { needs, ..form };
        match self {
            Self::Crash => takes(host, &["mode"]),
            Self::Kill | Self::Wipe => host,
            Self::PowerLoss => takes(host, &["loss", "at_operation"]),
            Self::CrashLoop => needs(
                takes(host, &["mode"]),
                &[("crashes", "3"), ("up_s", "[0.1, 1]")],
            ),
            Self::Stop => takes(host, &["grace_s"]),
            Self::Pause => running,
            Self::Slow => needs(running, &[("delay", "{ fixed_ms = 20 }")]),
            Self::Skew | Self::Step => needs(running, &[("offset_s", "-2.5")]),
            Self::Drift => needs(running, &[("ppm", "[-200, 200]")]),
            Self::Partition => takes(links, &["one_way", "shape", "floor_s"]),
            Self::Hold => links,
            Self::Latency => needs(links, &[("latency", "{ fixed_ms = 500 }")]),
            Self::Loss => needs(takes(links, &["one_way", "loss_as"]), &[("rate", "0.1")]),
            Self::Reset => takes(links, &["one_way", "after_segments", "after_bytes"]),
            Self::Bandwidth => needs(takes(links, &["one_way"]), &[("bytes_per_s", "10000")]),
            Self::SlowReads => needs(links, &[("bytes_per_s", "10000")]),
            Self::FsyncError => takes(running, &["failing"]),
            Self::Eio => takes(running, &["failing", "operation"]),
            Self::Enospc => takes(running, &["room_bytes"]),
            Self::Stall => needs(running, &[("each_ms", "50")]),
            Self::BitRot => takes(running, &["bits"]),
        }
    }

    /// What `spec`, whose keys were checked against [`KindName::form`], asks for; what is left open is drawn.
    pub(super) fn resolve(self, spec: &Spec, rng: &mut impl Rng) -> Result<Kind, String> {
        let one_way = spec.one_way;
        Ok(match self {
            Self::Crash | Self::CrashLoop => Kind::Crash {
                mode: spec.mode.unwrap_or(Crash::Kill),
            },
            Self::Kill => Kind::Crash { mode: Crash::Kill },
            Self::PowerLoss if spec.is_on_disk() => {
                Kind::Disk(OnDisk::power_loss(spec)?.drawn(spec, rng))
            }
            Self::PowerLoss => Kind::Crash {
                mode: Crash::PowerLoss,
            },
            Self::Wipe => Kind::Crash { mode: Crash::Wipe },
            Self::Stop => {
                let grace = spec.grace_s.unwrap_or(Range::fixed(GRACE_S));
                Kind::Stop {
                    grace_ms: super::spec::millis(grace.draw(rng)),
                }
            }
            Self::Pause => Kind::Pause,
            Self::Slow => {
                let delay = latency("delay", spec.delay)?;
                if delay.is_none() {
                    return Err(
                        "delay: found no delay, expected one that slows its host".to_owned()
                    );
                }
                Kind::Slow { delay }
            }
            Self::Skew => Kind::Skew {
                offset_ms: offset_ms(spec, rng)?,
            },
            Self::Step => Kind::Step {
                offset_ms: offset_ms(spec, rng)?,
            },
            Self::Drift => Kind::Drift {
                ppm: ppm(spec, rng)?,
            },
            Self::Partition => Kind::Partition { one_way },
            Self::Hold => Kind::Hold,
            Self::Latency => Kind::Latency {
                latency: latency("latency", spec.latency)?,
            },
            Self::Loss => {
                let rate = spec.rate.ok_or("rate: missing")?;
                if !(rate.low > 0.0 && rate.high <= 1.0) {
                    return Err(format!(
                        "rate: found {} to {}, expected more than 0 and at most 1",
                        rate.low, rate.high
                    ));
                }
                Kind::Loss {
                    rate: rate.draw(rng),
                    loss_as: spec.loss_as.unwrap_or_default(),
                    one_way,
                }
            }
            Self::Reset => Kind::Reset {
                at: reset_at(spec, rng)?,
                one_way,
            },
            Self::Bandwidth => Kind::Bandwidth {
                bytes_per_s: bytes_per_s(spec, rng)?,
                one_way,
            },
            Self::SlowReads => Kind::SlowReads {
                bytes_per_s: bytes_per_s(spec, rng)?,
            },
            Self::FsyncError => Kind::Disk(OnDisk::fsync_error(spec)?.drawn(spec, rng)),
            Self::Eio => Kind::Disk(OnDisk::eio(spec)?.drawn(spec, rng)),
            Self::Enospc => Kind::Disk(OnDisk::enospc(spec).drawn(spec, rng)),
            Self::Stall => Kind::Disk(OnDisk::stall(spec)?.drawn(spec, rng)),
            Self::BitRot => Kind::Disk(OnDisk::bit_rot(spec)?.drawn(spec, rng)),
        })
    }
}

fn latency(key: &str, latency: Option<Latency>) -> Result<Latency, String> {
    let latency = latency.ok_or_else(|| format!("{key}: missing"))?;
    latency.check().map_err(|error| format!("{key}: {error}"))?;
    Ok(latency)
}

/// Ten years: further from the truth than any clock that still runs.
const MOST_OFFSET_S: f64 = 10.0 * 365.0 * 86_400.0;

fn offset_ms(spec: &Spec, rng: &mut impl Rng) -> Result<i64, String> {
    let range = spec.offset_s.ok_or("offset_s: missing")?.0;
    if range.low.abs().max(range.high.abs()) > MOST_OFFSET_S {
        return Err(format!(
            "offset_s: found {} to {}, expected at most {MOST_OFFSET_S} either way",
            range.low, range.high
        ));
    }
    Ok(whole(range.draw(rng) * 1000.0))
}

fn ppm(spec: &Spec, rng: &mut impl Rng) -> Result<f64, String> {
    let range = spec.ppm.ok_or("ppm: missing")?.0;
    if range.low <= -1e6 || range.high > 1e6 {
        return Err(format!(
            "ppm: found {} to {}, expected more than -1000000 (a clock that stands) and at most 1000000 (one of double speed)",
            range.low, range.high
        ));
    }
    Ok(range.draw(rng))
}

fn reset_at(spec: &Spec, rng: &mut impl Rng) -> Result<ResetAt, String> {
    let checked = |key: &str, range: Range, least: f64| {
        if range.low < least || range.high > 1e12 {
            return Err(format!(
                "{key}: found {} to {}, expected {least} or more",
                range.low, range.high
            ));
        }
        Ok(range)
    };
    match (spec.after_segments, spec.after_bytes) {
        (Some(range), None) => {
            let range = checked("after_segments", range, 1.0)?;
            Ok(ResetAt::Segment(whole(range.draw(rng)).unsigned_abs()))
        }
        (None, Some(range)) => {
            let range = checked("after_bytes", range, 0.0)?;
            Ok(ResetAt::Byte(whole(range.draw(rng)).unsigned_abs()))
        }
        (Some(_), Some(_)) => {
            Err("after_bytes: not together with after_segments; choose one".to_owned())
        }
        (None, None) => Err(
            "after_bytes: missing, and so is after_segments; for example after_bytes = [1, 400]"
                .to_owned(),
        ),
    }
}

/// Slower than this, a full window would take longer than most runs.
const LEAST_BYTES_PER_S: f64 = 16.0;

fn bytes_per_s(spec: &Spec, rng: &mut impl Rng) -> Result<u64, String> {
    let range = spec.bytes_per_s.ok_or("bytes_per_s: missing")?;
    if range.low < LEAST_BYTES_PER_S || range.high > 1e12 {
        return Err(format!(
            "bytes_per_s: found {} to {}, expected {LEAST_BYTES_PER_S} or more",
            range.low, range.high
        ));
    }
    Ok(whole(range.draw(rng)).unsigned_abs())
}
