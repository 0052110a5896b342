//! What a power loss does to the writes that no sync has confirmed.
//!
//! **Invariant**: a verdict is a function of the model, the shapes of the pending writes in their order, and the draw. It touches no bytes.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Which unsynced writes survive a power loss. In a scenario and a plan each goes by its [`Loss::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Loss {
    /// All of them: the machine had time to write everything out.
    Nothing,
    /// None of them.
    Everything,
    /// The earliest ones, up to a drawn point in time.
    Prefix,
    /// Each one or not, by a fair draw: the disk wrote in an order of its own.
    Subset,
    /// The earliest ones, and the last of these is cut at a drawn sector boundary. Like [`Loss::Prefix`] when no write spans a boundary.
    Torn {
        /// The unit that the disk writes whole, in bytes: 512 or 4096.
        sector: u32,
    },
}

/// Where an unsynced write lies in its file. A change of size has no length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) offset: usize,
    pub(super) length: usize,
}

impl Shape {
    /// What a change of a name counts as.
    pub(super) const OF_A_NAME: Self = Self {
        offset: 0,
        length: 0,
    };
}

/// What becomes of one unsynced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// Only its first `kept` bytes reach the disk.
    Torn {
        kept: usize,
    },
}

impl Loss {
    /// Every model, mildest first.
    pub const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Prefix,
        Self::Torn { sector: 4096 },
        Self::Torn { sector: 512 },
        Self::Subset,
        Self::Everything,
    ];

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Nothing => "none".to_owned(),
            Self::Everything => "all".to_owned(),
            Self::Prefix => "prefix".to_owned(),
            Self::Subset => "subset".to_owned(),
            Self::Torn { sector } => format!("torn_{sector}"),
        }
    }

    /// The fate of each pending write, given in the order in which they were made.
    pub(super) fn fates(self, shapes: &[Shape], draw: u64) -> Vec<Fate> {
        let mut chance = Chance::new(draw).named("loss").rng();
        let count = shapes.len();
        let prefix = |kept: usize| {
            (0..count)
                .map(|index| if index < kept { Fate::Kept } else { Fate::Lost })
                .collect()
        };
        match self {
            Self::Nothing => prefix(count),
            Self::Everything => prefix(0),
            Self::Prefix => prefix(chance.random_range(0..=count)),
            Self::Subset => (0..count)
                .map(|_| {
                    if chance.random() {
                        Fate::Kept
                    } else {
                        Fate::Lost
                    }
                })
                .collect(),
            Self::Torn { sector } => {
                let sector = (sector as usize).max(1);
                let spanning: Vec<usize> = (0..count)
                    .filter(|&index| boundaries(shapes[index], sector) > 0)
                    .collect();
                if spanning.is_empty() {
                    return prefix(chance.random_range(0..=count));
                }
                let torn = spanning[chance.random_range(0..spanning.len())];
                let shape = shapes[torn];
                let whole = chance.random_range(1..=boundaries(shape, sector));
                let cut = (shape.offset / sector + whole) * sector;
                let mut fates: Vec<Fate> = prefix(torn);
                fates[torn] = Fate::Torn {
                    kept: cut - shape.offset,
                };
                fates
            }
        }
    }
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.name()
    }
}

impl TryFrom<String> for Loss {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|loss| loss.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "unknown loss `{name}`, expected one of {}",
                names.join(", ")
            )
        })
    }
}

/// How many sector boundaries lie strictly inside a write.
fn boundaries(shape: Shape, sector: usize) -> usize {
    if shape.length < 2 {
        return 0;
    }
    (shape.offset + shape.length - 1) / sector - shape.offset / sector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Vec<Shape> {
        [(0, 32), (32, 24), (56, 4096), (4152, 24), (4176, 4096)]
            .map(|(offset, length)| Shape { offset, length })
            .to_vec()
    }

    #[test]
    fn each_model_keeps_what_it_says() {
        for draw in 0..200 {
            assert_eq!(Loss::Nothing.fates(&shapes(), draw), [Fate::Kept; 5]);
            assert_eq!(Loss::Everything.fates(&shapes(), draw), [Fate::Lost; 5]);
            let prefix = Loss::Prefix.fates(&shapes(), draw);
            assert!(prefix.is_sorted_by_key(|fate| *fate == Fate::Lost));
            let torn = Loss::Torn { sector: 512 }.fates(&shapes(), draw);
            let at = torn
                .iter()
                .position(|fate| matches!(fate, Fate::Torn { .. }))
                .expect("two writes span a boundary");
            assert!(torn[..at].iter().all(|fate| *fate == Fate::Kept));
            assert!(torn[at + 1..].iter().all(|fate| *fate == Fate::Lost));
            let Fate::Torn { kept } = torn[at] else {
                unreachable!("found above")
            };
            assert!(kept > 0 && kept < 4096);
            assert_eq!((shapes()[at].offset + kept) % 512, 0);
        }
    }

    #[test]
    fn every_model_is_found_by_its_name() {
        for loss in Loss::ALL {
            assert_eq!(Loss::try_from(loss.name()), Ok(loss));
        }
        let unknown = Loss::try_from("torn".to_owned()).expect_err("torn where?");
        assert!(unknown.contains("`torn_512`"), "{unknown}");
    }

    #[test]
    fn draws_reach_every_prefix_and_many_subsets() {
        let mut prefixes = std::collections::BTreeSet::new();
        let mut subsets = std::collections::BTreeSet::new();
        for draw in 0..400 {
            let kept = |loss: Loss| {
                loss.fates(&shapes(), draw)
                    .iter()
                    .map(|fate| *fate == Fate::Kept)
                    .collect::<Vec<_>>()
            };
            prefixes.insert(kept(Loss::Prefix));
            subsets.insert(kept(Loss::Subset));
        }
        assert_eq!(prefixes.len(), 6);
        assert_eq!(subsets.len(), 32);
    }

    #[test]
    fn a_write_inside_one_sector_is_never_torn() {
        let small = [Shape {
            offset: 512,
            length: 512,
        }];
        for draw in 0..50 {
            let fates = Loss::Torn { sector: 512 }.fates(&small, draw);
            assert!(!matches!(fates[0], Fate::Torn { .. }));
        }
    }
}
