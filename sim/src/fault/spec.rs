//! A `[[faults]]` table of a scenario, and how it is drawn.
//!
//! **Invariant**: a key that the kind does not take is refused, and so is the lack of one that it needs; nothing that was read is ignored.
//! What each kind takes is not said here but in [`KindName::form`].

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{
    Fault,
    kind::{Crash, Kind, KindName, Lasts, Sides},
    pattern::matching,
};
use crate::{
    chance::Chance,
    disk::{Loss, Operation},
    range::{Latency, Range},
};

/// A `[[faults]]` table of a scenario. Optional keys are absent when they are not set: that is how stray ones are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What: one of the kinds' names.
    pub kind: KindName,
    /// A host's name or a pattern with `*`; one of the hosts that match is drawn.
    pub target: String,
    /// For faults between two hosts: the other side; every other host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// When it starts, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_s: Option<Range>,
    /// How long a host stays down, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_s: Option<Range>,
    /// How long any other fault lasts, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<Range>,
    /// For a crash: `kill` (the default) or `power_loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Crash>,
    /// For a partition: cut only the way from target to peer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// For `latency`: the distribution in place of the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// For `power_loss`: what the disk loses; without it, a system decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// For `power_loss`, in place of `at_s`: in the middle of this operation of those that change the target's disk, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_operation: Option<Range>,
    /// For `fsync_error` and `eio`: the share of operations that fail; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<f64>,
    /// For `eio`: which kind of operation fails; reads and writes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// For `enospc`: how much more than it holds the disk takes; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_bytes: Option<u64>,
    /// For `stall`: how long each operation of the disk takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each_ms: Option<Range>,
    /// For `bit_rot`: how many bits flip; one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// How many times, each drawn anew.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
}

/// Keys that every kind takes.
const ALWAYS: &[&str] = &["kind", "target", "at_s", "times"];

/// A number of faults that no scenario needs to exceed.
const MOST_TIMES: u32 = 1_000;

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_once(times: &u32) -> bool {
    *times == 1
}

impl Spec {
    /// Draws the fault `times` times among `hosts`.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn draw(&self, hosts: &[String], chance: &Chance) -> Result<Vec<Fault>, String> {
        if self.times == 0 || self.times > MOST_TIMES {
            return Err(format!(
                "times: found {}, expected 1 to {MOST_TIMES}",
                self.times
            ));
        }
        let lasts = self.check_keys()?;
        let kind = self.kind.resolve(self)?;
        let at = match (self.at_s, self.at_operation) {
            (Some(at), None) => at,
            (None, Some(_)) => Range::fixed(0.0),
            (Some(_), Some(_)) => {
                return Err("at_s: a fault at an operation has no other time; remove it".to_owned());
            }
            (None, None) => {
                return Err("at_s: missing; when does it start, in seconds?".to_owned());
            }
        };
        let targets = matching(&self.target, hosts)?;
        let mut faults = Vec::new();
        for time in 0..self.times {
            // The order of draws is part of every seed's meaning: what a new kind draws comes last.
            let mut rng = chance.named(time).rng();
            let at_ms = millis(at.draw(&mut rng));
            let length_ms = millis(lasts.draw(&mut rng));
            let target = targets[pick(&mut rng, targets.len())].clone();
            let peers = match self.kind.form().sides {
                Sides::Host => Vec::new(),
                Sides::Links => self.peers(&target, hosts)?,
            };
            let kind = match &kind {
                Kind::Disk(on) => Kind::Disk(on.drawn(self, &mut rng)),
                other => other.clone(),
            };
            // One millisecond at least: an instant bounce is not an outage.
            faults.push(Fault {
                at_ms,
                until_ms: at_ms + length_ms.max(1),
                targets: vec![target],
                peers,
                kind,
            });
        }
        Ok(faults)
    }

    /// Whether it is done to a disk, so that its target has to be a host that has one.
    pub fn is_on_disk(&self) -> bool {
        matches!(
            self.kind,
            KindName::FsyncError
                | KindName::Eio
                | KindName::Enospc
                | KindName::Stall
                | KindName::BitRot
        ) || self.loss.is_some()
            || self.at_operation.is_some()
    }

    /// The other side: all that match `peer` but the target.
    fn peers(&self, target: &String, hosts: &[String]) -> Result<Vec<String>, String> {
        let mut peers = match &self.peer {
            Some(pattern) => matching(pattern, hosts).map_err(|error| format!("peer: {error}"))?,
            None => hosts.to_vec(),
        };
        peers.retain(|host| host != target);
        if peers.is_empty() {
            return Err(format!(
                "peer: {:?} leaves no host besides the target {target:?}",
                self.peer.as_deref().unwrap_or("*")
            ));
        }
        Ok(peers)
    }

    /// Refuses keys that this kind does not take and the lack of one that it needs; gives the fault's length.
    fn check_keys(&self) -> Result<Range, String> {
        let form = self.kind.form();
        let name = self.kind.name();
        let (length, value, other) = match form.lasts {
            Lasts::Down => ("down_s", self.down_s, "for_s"),
            Lasts::For => ("for_s", self.for_s, "down_s"),
        };
        let given = toml::Table::try_from(self).map_err(|error| error.to_string())?;
        for key in given.keys().map(String::as_str) {
            let taken = ALWAYS.contains(&key)
                || key == length
                || (key == "peer" && form.sides == Sides::Links)
                || form.takes.contains(&key)
                || form.needs.iter().any(|(need, _)| *need == key);
            if taken {
                continue;
            }
            return Err(match key {
                "peer" => format!("peer: a fault of kind `{name}` has no other side; remove it"),
                _ if key == other => format!("{key}: a fault of kind `{name}` takes `{length}`"),
                _ => format!("{key}: not for a fault of kind `{name}`"),
            });
        }
        for (key, example) in form.needs {
            if !given.contains_key(*key) {
                return Err(format!("{key}: missing, for example {key} = {example}"));
            }
        }
        value.ok_or_else(|| format!("{length}: missing; how long does it last, in seconds?"))
    }
}

fn millis(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap_or(u64::MAX)
}

fn pick(rng: &mut impl Rng, count: usize) -> usize {
    rng.random_range(0..count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(text: &str) -> Result<Vec<Fault>, String> {
        let hosts = ["api".to_owned(), "worker-1".to_owned()];
        let spec: Spec = toml::from_str(text).expect("keys that exist");
        spec.draw(&hosts, &Chance::new(1))
    }

    #[test]
    fn a_fault_is_drawn_from_its_keys() {
        let crash = draw("kind='crash'\ntarget='worker-*'\nat_s=[2,20]\ndown_s=[0.5,3]");
        assert_eq!(crash.expect("a crash").len(), 1);
        let lost = draw("kind='power_loss'\ntarget='api'\nat_s=1\ndown_s=1").expect("a power loss");
        let expected = Kind::Crash {
            mode: Crash::PowerLoss,
        };
        assert_eq!(lost[0].kind, expected);
    }

    #[test]
    fn what_is_stray_or_missing_is_refused_by_name() {
        for (text, expect) in [
            (
                "kind='crash'\ntarget='wroker-*'\nat_s=1\ndown_s=1",
                "\"wroker-*\" matches no host of this scenario (api, worker-1); did you mean \"worker-1\"?",
            ),
            (
                "kind='crash'\ntarget='api'\nat_s=1\nfor_s=1",
                "for_s: a fault of kind `crash` takes `down_s`",
            ),
            (
                "kind='crash'\ntarget='api'\npeer='worker-1'\nat_s=1\ndown_s=1",
                "peer: a fault of kind `crash` has no other side; remove it",
            ),
            (
                "kind='hold'\ntarget='api'\nat_s=1",
                "for_s: missing; how long does it last, in seconds?",
            ),
            (
                "kind='hold'\ntarget='api'\nfor_s=1",
                "at_s: missing; when does it start, in seconds?",
            ),
            (
                "kind='hold'\ntarget='api'\nmode='kill'\nat_s=1\nfor_s=1",
                "mode: not for a fault of kind `hold`",
            ),
            (
                "kind='latency'\ntarget='api'\nat_s=1\nfor_s=1",
                "latency: missing, for example latency = { fixed_ms = 500 }",
            ),
            (
                "kind='partition'\ntarget='api'\npeer='api'\nat_s=1\nfor_s=1",
                "peer: \"api\" leaves no host besides the target \"api\"",
            ),
            (
                "kind='hold'\ntarget='api'\nat_s=1\nfor_s=1\ntimes=0",
                "times: found 0, expected 1 to 1000",
            ),
        ] {
            assert_eq!(draw(text).expect_err(text), expect);
        }
    }

    #[test]
    fn every_kind_goes_by_one_name() {
        for name in [
            KindName::Crash,
            KindName::Kill,
            KindName::PowerLoss,
            KindName::Partition,
            KindName::Hold,
            KindName::Latency,
        ] {
            let written = serde_json::to_value(name).expect("a name");
            assert_eq!(written, name.name());
        }
    }
}
