//! Faults as data: what a scenario asks for ([`Spec`]) and what a seed makes of it ([`Fault`]).
//!
//! **Invariant**: every fault counts its effect, so that one that did nothing can be told from one that was survived.
//! How a fault is done to a network or a host is the engine's business.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    chance::Chance,
    range::{Latency, Range},
};

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crash {
    /// The process is killed: peers get resets, what was written stays written.
    Kill,
    /// The machine loses power: peers get silence, what was not synced is lost.
    PowerLoss,
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
}

/// A `[[faults]]` table of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `crash` (or at once `kill` or `power_loss`), `partition`, `hold` or `latency`.
    pub kind: KindName,
    /// A host's name or a pattern with `*`; one of the hosts that match is drawn.
    pub target: String,
    /// For faults between two hosts: the other side; every other host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// When it starts, in seconds.
    pub at_s: Range,
    /// How long a crashed host stays down, in seconds.
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
    /// How many times, each drawn anew.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
}

/// The kinds of fault, by name.
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
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_once(times: &u32) -> bool {
    *times == 1
}

/// A fault with everything drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it starts, since the run's start.
    pub at_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// The host, or the first side.
    pub targets: Vec<String>,
    /// The second side, for faults between two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// What.
    pub kind: Kind,
}

/// What a fault did, by name (`connections_reset`, `segments_delayed`, ...).
pub type Effect = BTreeMap<String, u64>;

/// A number of faults that no scenario needs to exceed.
const MOST_TIMES: u32 = 1_000;

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
        let targets = matching(&self.target, hosts)?;
        let mut faults = Vec::new();
        for time in 0..self.times {
            let mut rng = chance.named(time).rng();
            let at = Duration::from_secs_f64(self.at_s.draw(&mut rng));
            let (kind, lasts) = self.resolve()?;
            let lasts = Duration::from_secs_f64(lasts.draw(&mut rng));
            let target = targets[pick(&mut rng, targets.len())].clone();
            let peers = match (&self.peer, &kind) {
                (Some(_), Kind::Crash { .. }) => {
                    return Err("peer: a crash has no other side; remove it".to_owned());
                }
                (None, Kind::Crash { .. }) => Vec::new(),
                (Some(pattern), _) => matching(pattern, hosts)?
                    .into_iter()
                    .filter(|host| *host != target)
                    .collect(),
                (None, _) => hosts
                    .iter()
                    .filter(|host| **host != target)
                    .cloned()
                    .collect(),
            };
            if peers.is_empty() && !matches!(kind, Kind::Crash { .. }) {
                return Err(format!(
                    "peer: {:?} leaves no host besides the target {target:?}",
                    self.peer
                ));
            }
            let at_ms = millis(at);
            // One millisecond at least: an instant bounce is not an outage.
            faults.push(Fault {
                at_ms,
                until_ms: at_ms + millis(lasts).max(1),
                targets: vec![target],
                peers,
                kind,
            });
        }
        Ok(faults)
    }

    fn resolve(&self) -> Result<(Kind, Range), String> {
        let wants = |name: &str, value: Option<Range>, other: &str, wrong: Option<Range>| match (
            value, wrong,
        ) {
            (Some(range), None) => Ok(range),
            (_, Some(_)) => Err(format!(
                "{other}: a fault of kind {:?} takes `{name}`",
                self.kind
            )),
            (None, None) => Err(format!(
                "{name}: missing; how long does it last, in seconds?"
            )),
        };
        let stray = |set: bool, key: &str| {
            if set {
                Err(format!("{key}: not for a fault of kind {:?}", self.kind))
            } else {
                Ok(())
            }
        };
        let lasts = match self.kind {
            KindName::Crash | KindName::Kill | KindName::PowerLoss => {
                wants("down_s", self.down_s, "for_s", self.for_s)?
            }
            _ => wants("for_s", self.for_s, "down_s", self.down_s)?,
        };
        stray(self.mode.is_some() && self.kind != KindName::Crash, "mode")?;
        stray(self.one_way && self.kind != KindName::Partition, "one_way")?;
        stray(
            self.latency.is_some() && self.kind != KindName::Latency,
            "latency",
        )?;
        let kind = match self.kind {
            KindName::Crash => Kind::Crash {
                mode: self.mode.unwrap_or(Crash::Kill),
            },
            KindName::Kill => Kind::Crash { mode: Crash::Kill },
            KindName::PowerLoss => Kind::Crash {
                mode: Crash::PowerLoss,
            },
            KindName::Partition => Kind::Partition {
                one_way: self.one_way,
            },
            KindName::Hold => Kind::Hold,
            KindName::Latency => {
                let latency = self
                    .latency
                    .ok_or("latency: missing, for example { fixed_ms = 500 }")?;
                latency
                    .check()
                    .map_err(|error| format!("latency: {error}"))?;
                Kind::Latency { latency }
            }
        };
        Ok((kind, lasts))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn pick(rng: &mut impl rand::Rng, count: usize) -> usize {
    use rand::RngExt;
    rng.random_range(0..count)
}

fn matching(pattern: &str, hosts: &[String]) -> Result<Vec<String>, String> {
    let found: Vec<_> = hosts
        .iter()
        .filter(|host| glob(pattern, host))
        .cloned()
        .collect();
    if found.is_empty() {
        let nearest = hosts
            .iter()
            .max_by(|a, b| strsim::jaro(pattern, a).total_cmp(&strsim::jaro(pattern, b)));
        let hint = nearest
            .map(|name| format!("; did you mean {name:?}?"))
            .unwrap_or_default();
        return Err(format!(
            "{pattern:?} matches no host of this scenario ({}){hint}",
            hosts.join(", ")
        ));
    }
    Ok(found)
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters.
pub fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, expect) in [
            ("worker-*", "worker-1", true),
            ("worker-*", "api", false),
            ("*", "x", true),
            ("api", "api", true),
            ("api", "api-1", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(glob(pattern, name), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn a_fault_without_a_host_or_a_length_is_refused() {
        let hosts = ["api".to_owned(), "worker-1".to_owned()];
        let spec = |text: &str| toml::from_str::<Spec>(text).unwrap();
        let draw = |text: &str| spec(text).draw(&hosts, &Chance::new(1));
        assert_eq!(
            draw("kind='crash'\ntarget='worker-*'\nat_s=[2,20]\ndown_s=[0.5,3]")
                .unwrap()
                .len(),
            1
        );
        assert!(
            draw("kind='crash'\ntarget='wroker-*'\nat_s=1\ndown_s=1")
                .unwrap_err()
                .contains("worker-1")
        );
        assert!(
            draw("kind='crash'\ntarget='api'\nat_s=1\nfor_s=1")
                .unwrap_err()
                .contains("down_s")
        );
        let lost = draw("kind='power_loss'\ntarget='api'\nat_s=1\ndown_s=1").unwrap();
        let expected = Kind::Crash {
            mode: Crash::PowerLoss,
        };
        assert_eq!(lost[0].kind, expected);
        assert!(
            draw("kind='hold'\ntarget='api'\nat_s=1")
                .unwrap_err()
                .contains("for_s")
        );
        assert!(
            draw("kind='partition'\ntarget='api'\npeer='api'\nat_s=1\nfor_s=1")
                .unwrap_err()
                .contains("peer")
        );
    }
}
