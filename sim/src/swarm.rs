//! `[swarm]`: each seed runs its own subset of what a scenario lists.
//!
//! A run with every fault at once hides what each does; many runs with few each find more (Groce et al., "Swarm Testing", ISSTA 2012). So a seed
//! draws how dense it is, and then each fault of the scenario, and each fault of the system's own tables, is kept or left out for itself.
//! **Invariant**: what is left out of a plan is not in it at all; a fault that is kept counts in full, and one without effect stays inconclusive.

use serde::{Deserialize, Serialize};

use crate::{chance::Chance, fault::Spec, range::Range};

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swarm {
    /// The chance that a fault is kept; a range is drawn once a seed, so that some seeds are calm and some crowded.
    pub keep: Range,
}

/// A seed's own subset: which faults it keeps.
#[derive(Clone, Debug)]
pub struct Subset {
    keep: Option<f64>,
    chance: Chance,
}

impl Swarm {
    /// Refuses chances that are none.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.keep.high <= 1.0 {
            return Ok(());
        }
        Err(format!(
            "swarm.keep: found up to {}, expected a chance from 0 to 1",
            self.keep.high
        ))
    }
}

impl Subset {
    /// A seed's subset; without a swarm everything is kept.
    pub fn draw(swarm: Option<Swarm>, chance: &Chance) -> Self {
        Self {
            keep: swarm.map(|swarm| swarm.keep.draw(&mut chance.named("density").rng())),
            chance: chance.clone(),
        }
    }

    /// Whether the seed keeps what goes by `name`, drawn from a stream of that name.
    pub fn keeps(&self, name: &str) -> bool {
        self.keep.is_none_or(|share| self.strikes(name, share))
    }

    /// Whether the seed keeps the fault number `number`; its own chance goes before the swarm's.
    pub fn keeps_fault(&self, number: usize, spec: &Spec) -> bool {
        let name = format!("faults[{number}]");
        match spec.chance {
            Some(share) => self.strikes(&name, share),
            None => self.keeps(&name),
        }
    }

    fn strikes(&self, name: &str, share: f64) -> bool {
        use rand::RngExt;
        self.chance.named(name).rng().random::<f64>() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(keep: Option<Range>, seed: u64) -> usize {
        let swarm = keep.map(|keep| Swarm { keep });
        let subset = Subset::draw(swarm, &Chance::new(seed));
        (0..100).filter(|n| subset.keeps(&n.to_string())).count()
    }

    #[test]
    fn seeds_differ_in_density_and_no_swarm_keeps_all() {
        assert_eq!(kept(None, 1), 100);
        assert_eq!(kept(Some(Range::fixed(0.0)), 1), 0);
        assert_eq!(kept(Some(Range::fixed(1.0)), 1), 100);
        let range = Range {
            low: 0.0,
            high: 1.0,
        };
        let counts: Vec<usize> = (0..40).map(|seed| kept(Some(range), seed)).collect();
        assert!(counts.iter().any(|count| *count < 25), "{counts:?}");
        assert!(counts.iter().any(|count| *count > 75), "{counts:?}");
    }

    #[test]
    fn what_one_name_draws_leaves_the_others_alone_and_a_table_s_own_chance_wins() {
        let half = Some(Swarm {
            keep: Range::fixed(0.5),
        });
        let subset = Subset::draw(half, &Chance::new(3));
        let before = subset.keeps("b");
        assert_eq!(
            (subset.keeps("a"), subset.keeps("b")),
            (subset.keeps("a"), before)
        );
        let spec = |chance: &str| {
            let text = format!("kind='hold'\ntarget='a'\nat_s=1\nfor_s=1\n{chance}");
            toml::from_str::<Spec>(&text).unwrap()
        };
        assert!((0..50).all(|n| subset.keeps_fault(n, &spec("chance=1.0"))));
        assert!(!(0..50).any(|n| subset.keeps_fault(n, &spec("chance=0.0"))));
        assert!(
            Swarm {
                keep: Range {
                    low: 0.5,
                    high: 2.0
                }
            }
            .check()
            .is_err()
        );
    }
}
