//! A violated pairing of invented values, with a witness of each side of the contradiction.
//!
//! **Invariant**: a violated pairing is told once, however many pairs show it; how many did is counted.

use std::fmt;

use crate::diff::shortened;

/// Two values that stood at the same place although at least one of them belongs to another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict {
    /// The kind of value: the `pairing` of its rule, or `cookie NAME`.
    pub pairing: String,
    /// Legacy's value.
    pub legacy: String,
    /// The candidate's value.
    pub candidate: String,
    /// How many pairs show the two beside each other.
    pub pairs: u64,
    /// The first of them.
    pub witness: Witness,
    /// The pairings that stand instead: of legacy's value, of the candidate's, or of each.
    pub against: Vec<Rival>,
}

/// A pairing that stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rival {
    /// Legacy's value.
    pub legacy: String,
    /// The candidate's value.
    pub candidate: String,
    /// How many pairs show it.
    pub pairs: u64,
    /// The first of them.
    pub witness: Witness,
}

/// Where a pairing was seen.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Witness {
    /// The request's place in the capture; of a final state, the entity's place in the plan.
    pub seq: u64,
    /// The endpoint's name.
    pub endpoint: String,
    /// The place in the answer.
    pub path: String,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.endpoint == crate::pairs::STATE {
            "entity"
        } else {
            "request"
        };
        write!(
            f,
            "{what} {} ({} {})",
            self.seq,
            shortened(&self.endpoint),
            shortened(&self.path)
        )
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| format!("{:?}", shortened(text));
        write!(
            f,
            "{}: legacy {} stands beside {} in {}",
            self.pairing,
            quoted(&self.legacy),
            quoted(&self.candidate),
            self.witness
        )?;
        for (at, rival) in self.against.iter().enumerate() {
            write!(
                f,
                ", {} {} beside {} in {}",
                if at == 0 { "but" } else { "and" },
                quoted(&rival.legacy),
                quoted(&rival.candidate),
                rival.witness
            )?;
        }
        Ok(())
    }
}
