//! Faults of a host's disk: what a scenario may set for each, and what a plan holds.
//!
//! **Invariant**: everything here is data; what becomes of the bytes is the disk's business, and the conductor hands the one to the other.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Spec;
use crate::disk::{Loss, Operation};

/// What goes wrong with a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OnDisk {
    /// The machine loses its power, with a model of what the disk loses; at a time, or in the middle of an operation.
    PowerLoss {
        /// Which unsynced writes survive.
        loss: Loss,
        /// What the model leaves open.
        draw: u64,
        /// In the middle of the operation with this index, from 0, of those that change the disk since the run's start. The fault's times then
        /// say only how long the host stays down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<u64>,
    },
    /// Syncs fail, and what they were to make durable never is; see [`crate::disk::Fault::Fail`].
    FsyncError {
        /// The share of syncs that fail.
        rate: f64,
    },
    /// Operations fail without effect.
    Eio {
        /// Which; reads and writes when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<Operation>,
        /// The share of them that fails.
        rate: f64,
    },
    /// The disk takes no more than it holds and this much.
    Enospc {
        /// In bytes.
        room: u64,
    },
    /// Every operation takes time.
    Stall {
        /// Each so long, in milliseconds.
        each_ms: u64,
    },
    /// Bits flip where they lie, for good. The fault's length is how long reads of them count.
    BitRot {
        /// How many.
        bits: u32,
        /// Which.
        draw: u64,
    },
}

/// Most bits that one fault flips.
const MOST_BITS: u32 = 1_000_000;
/// Most operations of a run that a cut can be asked for.
const MOST_OPERATIONS: f64 = 1e9;
/// Longest time that one operation of a stalled disk takes.
const LONGEST_MS: f64 = 600_000.0;

impl OnDisk {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PowerLoss { .. } => "power_loss",
            Self::FsyncError { .. } => "fsync_error",
            Self::Eio { .. } => "eio",
            Self::Enospc { .. } => "enospc",
            Self::Stall { .. } => "stall",
            Self::BitRot { .. } => "bit_rot",
        }
    }

    /// A power loss as `spec` has it; nothing is drawn yet, here and below.
    pub(super) fn power_loss(spec: &Spec) -> Result<Self, String> {
        if let Some(range) = spec
            .at_operation
            .filter(|range| range.high > MOST_OPERATIONS)
        {
            return Err(format!(
                "at_operation: found {}, expected 0 to {MOST_OPERATIONS}",
                range.high
            ));
        }
        if spec.at_operation.is_some() && spec.when.is_some() {
            return Err(
                "when: a fault at an operation waits for no other event; remove it or at_operation"
                    .to_owned(),
            );
        }
        Ok(Self::PowerLoss {
            loss: spec.loss.unwrap_or(Loss::Subset),
            draw: 0,
            operation: None,
        })
    }

    pub(super) fn fsync_error(spec: &Spec) -> Result<Self, String> {
        Ok(Self::FsyncError {
            rate: share(spec.failing)?,
        })
    }

    pub(super) fn eio(spec: &Spec) -> Result<Self, String> {
        Ok(Self::Eio {
            operation: spec.operation,
            rate: share(spec.failing)?,
        })
    }

    pub(super) fn enospc(spec: &Spec) -> Self {
        Self::Enospc {
            room: spec.room_bytes.unwrap_or(0),
        }
    }

    pub(super) fn stall(spec: &Spec) -> Result<Self, String> {
        match spec.each_ms {
            Some(range) if range.high > LONGEST_MS || range.high < 1.0 => Err(format!(
                "each_ms: found {}, expected at least 1 and at most {LONGEST_MS}",
                range.high
            )),
            _ => Ok(Self::Stall { each_ms: 0 }),
        }
    }

    pub(super) fn bit_rot(spec: &Spec) -> Result<Self, String> {
        let bits = spec.bits.unwrap_or(1);
        if !(1..=MOST_BITS).contains(&bits) {
            return Err(format!("bits: found {bits}, expected 1 to {MOST_BITS}"));
        }
        Ok(Self::BitRot { bits, draw: 0 })
    }

    /// With everything drawn that `spec` leaves open.
    pub(super) fn drawn(&self, spec: &Spec, rng: &mut impl Rng) -> Self {
        let mut drawn = self.clone();
        match &mut drawn {
            Self::PowerLoss {
                draw, operation, ..
            } => {
                *draw = rng.next_u64() >> 1;
                *operation = spec.at_operation.map(|range| whole(range.draw(rng)));
            }
            // A plan is TOML, whose numbers have a sign.
            Self::BitRot { draw, .. } => *draw = rng.next_u64() >> 1,
            Self::Stall { each_ms } => {
                *each_ms = spec.each_ms.map_or(0, |range| whole(range.draw(rng)));
            }
            Self::FsyncError { .. } | Self::Eio { .. } | Self::Enospc { .. } => {}
        }
        drawn
    }
}

fn share(rate: Option<f64>) -> Result<f64, String> {
    let rate = rate.unwrap_or(1.0);
    if rate > 0.0 && rate <= 1.0 {
        Ok(rate)
    } else {
        Err(format!(
            "failing: found {rate}, expected a share above 0, up to 1"
        ))
    }
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranges are not negative, and their bounds were checked"
    )]
    let whole = number.round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chance::Chance,
        fault::{Fault, Kind},
    };

    fn draw(text: &str) -> Result<Vec<Fault>, String> {
        let spec: Spec = toml::from_str(text).expect("keys that exist");
        spec.draw(&["service".to_owned()], &Chance::new(1))
    }

    #[test]
    fn an_operation_and_an_event_are_not_waited_for_together() {
        let both =
            "kind='power_loss'\ntarget='*'\nat_operation=3\nwhen={event='confirmed'}\ndown_s=1";
        assert!(
            draw(both)
                .expect_err("which?")
                .starts_with("when: a fault at an operation")
        );
    }

    #[test]
    fn each_kind_is_drawn_from_its_keys_and_survives_a_plan() {
        for (text, name) in [
            (
                "kind='fsync_error'\ntarget='*'\nat_s=1\nfor_s=1",
                "fsync_error",
            ),
            (
                "kind='eio'\ntarget='*'\nat_s=1\nfor_s=1\noperation='read'\nfailing=0.5",
                "eio",
            ),
            (
                "kind='enospc'\ntarget='*'\nat_s=1\nfor_s=1\nroom_bytes=4096",
                "enospc",
            ),
            (
                "kind='stall'\ntarget='*'\nat_s=1\nfor_s=1\neach_ms=[5,9]",
                "stall",
            ),
            (
                "kind='bit_rot'\ntarget='*'\nat_s=1\nfor_s=1\nbits=3",
                "bit_rot",
            ),
            (
                "kind='power_loss'\ntarget='*'\nat_s=1\ndown_s=1\nloss='torn_512'",
                "power_loss",
            ),
            (
                "kind='power_loss'\ntarget='*'\nat_operation=17\ndown_s=1",
                "power_loss",
            ),
        ] {
            let faults = draw(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(matches!(&faults[0].kind, Kind::Disk(on) if on.name() == name));
            let kept = toml::to_string(&faults[0]).expect("plain data");
            assert_eq!(toml::from_str(&kept), Ok(faults[0].clone()), "{kept}");
        }
        let cut = &draw("kind='power_loss'\ntarget='*'\nat_operation=17\ndown_s=1").unwrap()[0];
        assert!(matches!(
            cut.kind,
            Kind::Disk(OnDisk::PowerLoss {
                operation: Some(17),
                ..
            })
        ));
        assert_eq!((cut.at_ms, cut.until_ms), (0, 1000));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, expect) in [
            (
                "kind='fsync_error'\ntarget='*'\nat_s=1\nfor_s=1\nfailing=0",
                "failing: found 0",
            ),
            (
                "kind='bit_rot'\ntarget='*'\nat_s=1\nfor_s=1\nbits=0",
                "bits: found 0",
            ),
            (
                "kind='stall'\ntarget='*'\nat_s=1\nfor_s=1",
                "each_ms: missing",
            ),
            (
                "kind='kill'\ntarget='*'\nat_s=1\ndown_s=1\nloss='all'",
                "loss: not for a fault of kind `kill`",
            ),
            (
                "kind='power_loss'\ntarget='*'\nat_s=1\nat_operation=1\ndown_s=1",
                "at_s: a fault at an operation has no other time",
            ),
        ] {
            let error = draw(text).expect_err(text);
            assert!(error.contains(expect), "{error}");
        }
        let unknown = toml::from_str::<Spec>("kind='power_loss'\ntarget='*'\nloss='most'");
        assert!(
            unknown
                .unwrap_err()
                .to_string()
                .contains("unknown loss `most`")
        );
    }
}
