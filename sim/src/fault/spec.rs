//! A `[[faults]]` table of a scenario, and how it is drawn.
//!
//! **Invariant**: a key that the kind does not take is refused, and so is the lack of one that it needs; nothing that was read is ignored.
//! What each kind takes is not said here but in [`KindName::form`].

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{
    Fault,
    kind::{Crash, LossAs},
    name::{KindName, Lasts, Shape, Sides},
    pattern::matching,
};
use crate::{
    chance::Chance,
    disk::{Loss, Operation},
    range::{Latency, Range, Signed},
    trigger::{ITS_HOST, When},
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
    /// The event at which it starts, in place of a time; `at_s` then is a delay after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The chance that a seed has it: in a swarm in place of the swarm's own; 1 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// How long a host stays down, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_s: Option<Range>,
    /// How long any other fault lasts, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<Range>,
    /// For a crash: `kill` (the default), `power_loss` or `wipe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Crash>,
    /// For `crash_loop`: how many crashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashes: Option<u32>,
    /// For `crash_loop`: how long the host is up between two crashes, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_s: Option<Range>,
    /// For `stop`: what has not ended after this long is killed, in seconds; 30 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<Range>,
    /// For `slow`: how long the host waits after each of its turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Latency>,
    /// For `skew` and `step`: how far the wall clock is off, in seconds; below zero is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_s: Option<Signed>,
    /// For `drift`: microseconds that the wall clock gains in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppm: Option<Signed>,
    /// For a partition: how it divides the hosts; `pair` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// For a partition: it lasts at least this long, in seconds; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_s: Option<f64>,
    /// For faults on links: only from target to peer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// For `loss`: the share of segments, above 0 and at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Range>,
    /// For `loss`: what becomes of a lost segment; `delay` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_as: Option<LossAs>,
    /// For `reset`: at which segment with data, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_segments: Option<Range>,
    /// For `reset`: after how many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_bytes: Option<Range>,
    /// For `bandwidth` and `slow_reads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<Range>,
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
const ALWAYS: &[&str] = &["kind", "target", "at_s", "when", "chance", "times"];

/// A partition must last, or nobody sees it: below a connection's first retransmissions it is only a hiccup.
const FLOOR_S: f64 = 1.0;

/// A week: nothing that a run can show takes longer, and each simulated second costs real time.
const MOST_S: f64 = 7.0 * 86_400.0;

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
        self.check_times()?;
        let floor_ms = self.floor_ms(lasts)?;
        let waits = self.at_operation.is_some() || self.when.is_some();
        let at = match self.at_s {
            Some(_) if self.at_operation.is_some() => {
                return Err("at_s: a fault at an operation has no other time; remove it".to_owned());
            }
            Some(at) => at,
            None if waits => Range::fixed(0.0),
            None => return Err("at_s: missing; when does it start, in seconds?".to_owned()),
        };
        if let Some(share) = self.chance
            && !(0.0..=1.0).contains(&share)
        {
            return Err(format!("chance: found {share}, expected 0 to 1"));
        }
        let targets = if self.target == ITS_HOST && self.when.is_some() {
            vec![ITS_HOST.to_owned()]
        } else {
            matching(&self.target, hosts)?
        };
        let mut faults = Vec::new();
        for time in 0..self.times {
            // The order of draws is part of every seed's meaning: what a new kind draws comes last.
            let mut rng = chance.named(time).rng();
            let at_ms = millis(at.draw(&mut rng));
            let length_ms = millis(lasts.draw(&mut rng)).max(floor_ms);
            let target = targets[pick(&mut rng, targets.len())].clone();
            let kind = self.kind.resolve(self, &mut rng)?;
            let (targets, peers) = match self.kind.form().sides {
                Sides::Host => (vec![target], Vec::new()),
                Sides::Links => self.sides(target, &targets, hosts, &mut rng)?,
            };
            let when = self.when.as_ref();
            let when = when.map(|it| it.draw(&mut chance.named(time).named("when").rng()));
            let mut fault = Fault {
                at_ms,
                until_ms: at_ms + length_ms,
                when: when.transpose()?,
                targets,
                peers,
                kind,
            };
            for _ in 1..self.crashes.unwrap_or(1) {
                let up = self.up_s.unwrap_or(Range::fixed(0.0)).draw(&mut rng);
                let at_ms = fault.until_ms + millis(up).max(1);
                let next = Fault {
                    at_ms,
                    until_ms: at_ms + millis(lasts.draw(&mut rng)).max(1),
                    ..fault.clone()
                };
                faults.push(std::mem::replace(&mut fault, next));
            }
            faults.push(fault);
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

    /// Refuses times that no run would come to the end of.
    fn check_times(&self) -> Result<(), String> {
        let times = [
            ("at_s", self.at_s),
            ("for_s", self.for_s),
            ("down_s", self.down_s),
            ("up_s", self.up_s),
            ("grace_s", self.grace_s),
            ("floor_s", self.floor_s.map(Range::fixed)),
        ];
        for (key, range) in times {
            let high = range.map_or(0.0, |range| range.high);
            if high > MOST_S {
                return Err(format!(
                    "{key}: found {high:?} s, expected at most {MOST_S}"
                ));
            }
        }
        Ok(())
    }

    /// The least length: one millisecond, because an instant bounce is not an outage, and more for a partition.
    fn floor_ms(&self, lasts: Range) -> Result<u64, String> {
        if self.kind != KindName::Partition {
            return Ok(1);
        }
        let floor = self.floor_s.unwrap_or(FLOOR_S);
        if !(floor.is_finite() && floor >= 0.0) {
            return Err(format!("floor_s: found {floor}, expected 0 or more"));
        }
        if lasts.high < floor {
            return Err(format!(
                "for_s: found at most {} s, below floor_s = {floor}; a partition that short is hardly seen (set floor_s lower if it is meant)",
                lasts.high
            ));
        }
        Ok(millis(floor).max(1))
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
        if let Some(crashes) = self.crashes
            && !(1..=MOST_TIMES).contains(&crashes)
        {
            return Err(format!(
                "crashes: found {crashes}, expected 1 to {MOST_TIMES}"
            ));
        }
        for (key, example) in form.needs {
            if !given.contains_key(*key) {
                return Err(format!("{key}: missing, for example {key} = {example}"));
            }
        }
        value.ok_or_else(|| format!("{length}: missing; how long does it last, in seconds?"))
    }
}

pub(super) fn millis(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap_or(u64::MAX)
}

fn pick(rng: &mut impl Rng, count: usize) -> usize {
    rng.random_range(0..count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

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
    fn a_fault_may_wait_for_an_event_and_strike_where_it_happened() {
        let text = "kind='kill'\ntarget='@event'\nwhen={event='sent',nth=[2,4]}\ndown_s=1";
        let fault = draw(text).expect("a kill").remove(0);
        let when = fault.when.expect("a trigger");
        assert!(when.event == "sent" && (2..=4).contains(&when.nth));
        assert_eq!((fault.at_ms, fault.until_ms), (0, 1_000));
        assert_eq!(fault.targets, [ITS_HOST]);
        assert!(draw("kind='kill'\ntarget='@event'\nat_s=1\ndown_s=1").is_err());
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
        for name in KindName::ALL {
            let written = serde_json::to_value(name).expect("a name");
            assert_eq!(written, name.name());
        }
    }

    /// Each draw of a partition of four hosts, as its two groups.
    fn partitions(more: &str) -> Result<Vec<Fault>, String> {
        let hosts = ["a", "b", "c", "d"].map(str::to_owned);
        let text = format!("kind='partition'\ntarget='*'\nat_s=1\ntimes=20\n{more}");
        let spec: Spec = toml::from_str(&text).expect("keys that exist");
        spec.draw(&hosts, &Chance::new(1))
    }

    #[test]
    fn a_partition_has_its_shape() {
        for (shape, sizes) in [
            ("pair", (1, 3)),
            ("isolate", (1, 3)),
            ("halves", (2, 2)),
            ("bridge", (1, 2)),
        ] {
            let faults = partitions(&format!("for_s=2\nshape='{shape}'")).expect(shape);
            for fault in &faults {
                assert_eq!((fault.targets.len(), fault.peers.len()), sizes, "{shape}");
                let apart = |host| !fault.peers.contains(host);
                assert!(fault.targets.iter().all(apart), "{shape}: {fault:?}");
            }
            let first = &faults[0].targets;
            assert!(
                faults.iter().any(|fault| fault.targets != *first),
                "{shape}: never another"
            );
        }
        let refused = partitions("for_s=2\nshape='halves'\npeer='a'").expect_err("two sides");
        assert!(refused.starts_with("peer: only for shape"), "{refused}");
        let refused = draw("kind='partition'\ntarget='*'\nshape='bridge'\nat_s=1\nfor_s=2");
        let refused = refused.expect_err("two hosts only");
        assert!(refused.contains("needs 3 or more"), "{refused}");
    }

    #[test]
    fn a_partition_is_stable() {
        let shortest = |faults: Vec<Fault>| {
            let lengths = faults.iter().map(|fault| fault.until_ms - fault.at_ms);
            lengths.min().expect("twenty")
        };
        assert_eq!(
            shortest(partitions("for_s=[0.1,3]").expect("lengthened")),
            1_000
        );
        let brief = partitions("for_s=[0.1,0.2]\nfloor_s=0.1").expect("as it asks");
        assert!((100..=200).contains(&shortest(brief)));
        let refused = partitions("for_s=0.5").expect_err("it is too short");
        assert!(refused.contains("floor_s = 1"), "{refused}");
    }

    #[test]
    fn settings_out_of_bounds_are_refused() {
        for (text, expect) in [
            ("kind='loss'\nfor_s=1\nrate=0", "rate: found 0 to 0"),
            (
                "kind='bandwidth'\nfor_s=1\nbytes_per_s=1",
                "bytes_per_s: found 1",
            ),
            ("kind='reset'\nfor_s=1", "after_bytes: missing"),
            (
                "kind='reset'\nfor_s=1\nafter_segments=0",
                "after_segments: found 0",
            ),
            (
                "kind='reset'\nfor_s=1\nafter_segments=1\nafter_bytes=1",
                "after_bytes: not together",
            ),
            ("kind='drift'\nfor_s=1\nppm=-2000000", "ppm: found -2000000"),
            ("kind='skew'\nfor_s=1\noffset_s=1e12", "offset_s: found"),
            (
                "kind='pause'\nfor_s=1e9",
                "for_s: found 1000000000.0 s, expected at most 604800",
            ),
            ("kind='kill'\ndown_s=1e300", "down_s: found 1e300 s"),
            (
                "kind='slow'\nfor_s=1\ndelay={fixed_ms=0}",
                "delay: found no delay",
            ),
            (
                "kind='slow'\nfor_s=1\ndelay={fixed_ms=1e300}",
                "delay: found",
            ),
            ("kind='stall'\nfor_s=1\neach_ms=0", "each_ms: found 0"),
            ("kind='skew'\nfor_s=1", "offset_s: missing"),
            (
                "kind='crash_loop'\ndown_s=1\nup_s=1\ncrashes=0",
                "crashes: found 0",
            ),
            (
                "kind='slow'\nfor_s=1\ndelay={ fixed_ms = -1 }",
                "delay: found",
            ),
        ] {
            let refused = draw(&format!("target='api'\nat_s=1\n{text}")).expect_err(text);
            assert!(refused.starts_with(expect), "{refused}");
        }
    }
}
