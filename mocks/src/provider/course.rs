//! What happens to one call: its latency, when it takes effect, and the one fault that strikes it.
//!
//! **Invariant**: a course is a pure function of the behaviour, the operation, the key, the call's number and the time. Each draw has a
//! name and a generator of its own (`ChaCha8` keyed by a SHA-256 of all of these), so that dropping one call, one rule or one draw reshuffles no other,
//! and engines with other timing see the same outcomes. It deliberately does nothing: the server acts on it.

use std::{f64::consts::TAU, time::Duration};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use rehearsal_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Behaviour, ErrorRule, GarbleRule, Garbling, Latency, Operation};

/// How a processed call's answer is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// The connection is closed without a byte.
    Closed,
    /// Nothing is sent until the caller gives up.
    Kept,
}

/// The fault that strikes a call. At most one does; a hang comes before a withheld answer, that before an error, and a garbled answer last.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// No fault.
    None,
    /// Neither processed nor answered.
    Hang,
    /// Processed, not answered. Strikes bookings and cancels only.
    Unanswered(Silence),
    /// Answered with this rule's error.
    Error(ErrorRule),
    /// Processed, and answered so that nobody can read it.
    Garbled(Garbling),
}

/// What happens to one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// From the call's arrival to its answer.
    pub latency: Duration,
    /// From the call's arrival to its effect: some drawn share of the latency, so an abandoned call may take effect late.
    pub effect_after: Duration,
    /// What goes wrong.
    pub fault: Fault,
    /// How long a booking that it makes stays out of sight.
    pub hidden_for: Option<Hidden>,
}

/// How long a booking stays out of sight, and out of whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// How long.
    pub lag: Duration,
    /// Whether look-ups by key miss it, too.
    pub look_ups: bool,
}

impl Behaviour {
    /// The course of the `n`-th call (from 0) of `operation` for `key`, arriving at `now`.
    pub fn course(&self, operation: Operation, key: &str, n: u32, now: Timestamp) -> Course {
        let force = self.at(now);
        let draws = Draws {
            seed: self.seed,
            operation,
            key,
            n,
        };
        let latency = draws.latency("latency", force.latency);
        let effect_after = if latency.is_zero() {
            Duration::ZERO
        } else {
            whole_micros(latency.as_micros() as f64 * draws.share("effect"))
        };
        let has_effect = matches!(operation, Operation::Book | Operation::Cancel);
        let fault = if draws.happens("hang", force.hang_rate) {
            Fault::Hang
        } else if has_effect && draws.happens("unanswered", force.processed_but_unanswered) {
            Fault::Unanswered(if draws.happens("silence", 0.5) {
                Silence::Closed
            } else {
                Silence::Kept
            })
        } else {
            let garbled = || draws.garbled(force.garbled).map(Fault::Garbled);
            draws
                .error(force.errors)
                .map(|rule| Fault::Error(rule.clone()))
                .or_else(garbled)
                .unwrap_or(Fault::None)
        };
        let hidden_for = force
            .listing_lag
            .filter(|it| operation == Operation::Book && draws.happens("hidden", it.rate))
            .map(|it| Hidden {
                lag: draws.latency("lag", it.lag),
                look_ups: it.look_ups,
            });
        Course {
            latency,
            effect_after,
            fault,
            hidden_for,
        }
    }
}

/// The named draws of one call.
struct Draws<'a> {
    seed: u64,
    operation: Operation,
    key: &'a str,
    n: u32,
}

impl Draws<'_> {
    fn generator(&self, name: &str) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(self.n.to_le_bytes());
        // Lengths keep one name's end from passing for another's beginning.
        for part in [self.operation.as_str(), name, self.key] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// Uniform in `[0, 1)`.
    fn share(&self, name: &str) -> f64 {
        unit(&mut self.generator(name))
    }

    fn happens(&self, name: &str, rate: f64) -> bool {
        rate > 0.0 && self.share(name) < rate
    }

    fn error<'r>(&self, rules: &'r [ErrorRule]) -> Option<&'r ErrorRule> {
        let mut rules = rules
            .iter()
            .filter(|rule| rule.rate > 0.0 && rule.strikes(self.operation))
            .peekable();
        rules.peek()?;
        let mut left = self.share("error");
        rules.find(|rule| {
            left -= rule.rate;
            left < 0.0
        })
    }

    fn garbled(&self, rules: &[GarbleRule]) -> Option<Garbling> {
        let mut rules = rules
            .iter()
            .filter(|rule| rule.rate > 0.0 && rule.strikes(self.operation))
            .peekable();
        rules.peek()?;
        let mut left = self.share("garbled");
        let struck = rules.find(|rule| {
            left -= rule.rate;
            left < 0.0
        });
        struck.map(|rule| rule.how)
    }

    fn latency(&self, name: &str, latency: Latency) -> Duration {
        match latency {
            Latency::Fixed(fixed) => fixed,
            Latency::Uniform { min, max } => {
                let span = max.saturating_sub(min).as_micros() as f64;
                min + whole_micros(span * self.share(name))
            }
            Latency::Lognormal { p50, p95 } => {
                let median = p50.as_micros() as f64;
                // The 95th percentile lies 1.645 standard deviations above the median of the logarithm.
                let sigma = (p95.as_micros() as f64 / median).ln() / 1.644_853_627;
                let mut generator = self.generator(name);
                // Box and Muller; `1 - u` is never zero.
                let radius = (-2.0 * (1.0 - unit(&mut generator)).ln()).sqrt();
                let normal = (radius * (TAU * unit(&mut generator)).cos()).clamp(-4.0, 4.0);
                whole_micros(median * (sigma * normal).exp())
            }
        }
    }
}

/// Uniform in `[0, 1)`.
fn unit(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn whole_micros(micros: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative; a float cast saturates"
    )]
    Duration::from_micros(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn troubled() -> Behaviour {
        Behaviour {
            latency: Latency::Lognormal {
                p50: ms(40),
                p95: ms(150),
            },
            errors: vec![ErrorRule::new(503, 0.2), ErrorRule::new(429, 0.1)],
            hang_rate: 0.1,
            processed_but_unanswered: 0.1,
            ..Behaviour::healthy(7)
        }
    }

    fn at_start(behaviour: &Behaviour, key: &str, n: u32) -> String {
        let course = behaviour.course(Operation::Book, key, n, behaviour.started_at);
        format!("{course:?}")
    }

    /// The share of 10,000 first calls that `counts`.
    fn share(behaviour: &Behaviour, op: Operation, counts: impl Fn(&Course) -> bool) -> f64 {
        let hits = (0..4_000)
            .filter(|i| counts(&behaviour.course(op, &format!("k-{i}"), 0, behaviour.started_at)))
            .count();
        hits as f64 / 4_000.0
    }

    #[test]
    fn seed_key_and_number_decide_and_nothing_else() {
        let behaviour = troubled();
        assert_eq!(at_start(&behaviour, "k", 0), at_start(&behaviour, "k", 0));
        assert_ne!(at_start(&behaviour, "k", 0), at_start(&behaviour, "k", 1));
        assert_ne!(at_start(&behaviour, "k", 0), at_start(&behaviour, "l", 0));
        let other = Behaviour {
            seed: 8,
            ..troubled()
        };
        assert_ne!(at_start(&behaviour, "k", 0), at_start(&other, "k", 0));
    }

    #[test]
    fn another_fault_does_not_reshuffle_the_first() {
        let plain = Behaviour {
            hang_rate: 0.0,
            processed_but_unanswered: 0.0,
            ..troubled()
        };
        let hanging = troubled();
        for i in 0..1_000 {
            let key = format!("k-{i}");
            let with = hanging.course(Operation::Book, &key, 0, hanging.started_at);
            let without = plain.course(Operation::Book, &key, 0, plain.started_at);
            assert_eq!(with.latency, without.latency);
            if matches!(with.fault, Fault::Error(_) | Fault::None) {
                assert_eq!(with.fault, without.fault, "{key}");
            }
        }
    }

    #[test]
    fn rates_and_percentiles_are_as_configured() {
        let check = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() < 0.025,
                "found {found}, expected {expected}"
            );
        };
        let behaviour = troubled();
        let book = Operation::Book;
        check(
            share(&behaviour, book, |c| c.fault == Fault::Hang),
            behaviour.hang_rate,
        );
        check(
            share(&behaviour, book, |c| {
                matches!(c.fault, Fault::Unanswered(_))
            }),
            0.9 * 0.1,
        );
        check(
            share(
                &behaviour,
                book,
                |c| matches!(&c.fault, Fault::Error(rule) if rule.status == 503),
            ),
            0.9 * 0.9 * 0.2,
        );
        check(share(&behaviour, book, |c| c.latency <= ms(40)), 0.5);
        check(share(&behaviour, book, |c| c.latency <= ms(150)), 0.95);
        check(
            share(&behaviour, book, |c| c.effect_after * 2 <= c.latency),
            0.5,
        );
        check(
            share(&behaviour, Operation::Lookup, |c| {
                matches!(c.fault, Fault::Unanswered(_))
            }),
            0.0,
        );
    }

    #[test]
    fn garbled_answers_and_late_bookings_come_as_often_as_asked_and_reshuffle_nothing() {
        let worse = Behaviour {
            garbled: vec![GarbleRule {
                how: Garbling::NotJson,
                rate: 0.3,
                operations: vec![Operation::Book],
            }],
            listing_lag: Some(super::super::ListingLag {
                rate: 0.4,
                lag: Latency::Fixed(ms(900)),
                look_ups: false,
            }),
            ..Behaviour::healthy(7)
        };
        let garbled = share(&worse, Operation::Book, |c| {
            c.fault == Fault::Garbled(Garbling::NotJson)
        });
        assert!((garbled - 0.3).abs() < 0.025, "{garbled}");
        let late = share(&worse, Operation::Book, |c| c.hidden_for.is_some());
        assert!((late - 0.4).abs() < 0.025, "{late}");
        let elsewhere = |c: &Course| c.fault != Fault::None || c.hidden_for.is_some();
        assert!(share(&worse, Operation::Lookup, elsewhere) < f64::EPSILON);
        let troubled_and_garbled = Behaviour {
            garbled: worse.garbled.clone(),
            ..troubled()
        };
        for i in 0..500 {
            let key = format!("k-{i}");
            let course = |behaviour: &Behaviour| {
                behaviour.course(Operation::Book, &key, 0, behaviour.started_at)
            };
            let (with, without) = (course(&troubled_and_garbled), course(&troubled()));
            assert_eq!(with.latency, without.latency);
            if without.fault != Fault::None {
                assert_eq!(with.fault, without.fault, "{key}");
            }
        }
    }

    #[test]
    fn a_rule_strikes_only_its_operations() {
        let behaviour = Behaviour {
            errors: vec![ErrorRule {
                operations: vec![Operation::Cancel],
                ..ErrorRule::new(500, 1.0)
            }],
            ..Behaviour::healthy(1)
        };
        let fails = |c: &Course| c.fault != Fault::None;
        assert!(share(&behaviour, Operation::Book, fails) < f64::EPSILON);
        assert!((share(&behaviour, Operation::Cancel, fails) - 1.0).abs() < f64::EPSILON);
    }
}
