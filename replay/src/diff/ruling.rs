//! What a rule makes of a difference.
//!
//! **Invariant**: a rule that cannot be applied (a rewriting without end) makes nothing equal: it is an error, and an error is a difference.

use super::tolerance::near;
use crate::{
    diff::{DifferenceKind, ledger::Location},
    json::Json,
    rules::{Effect, Pattern, Place, Side, TooLong},
};

/// What a rule made of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    Equated,
    Ignored,
}

/// A difference, as rules see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'c> {
    pub(super) kind: DifferenceKind,
    pub(super) location: Location<'c>,
    pub(super) legacy: Option<&'c Json<'c>>,
    pub(super) candidate: Option<&'c Json<'c>>,
}

impl Case<'_> {
    /// What a rule with this effect makes of it, its endpoint aside. `normalize` rules add up: see [`Rewritten`].
    pub(super) fn ruling(&self, effect: &Effect) -> Option<Ruling> {
        let equated = |fits: bool| fits.then_some(Ruling::Equated);
        let at = |pattern: &Pattern| self.is_at_path(pattern);
        let both = self.legacy.zip(self.candidate);
        match effect {
            Effect::Map { place, when } => {
                equated(self.is_at(place) && when.fits(self.legacy, self.candidate))
            }
            Effect::Ignore { place, when } => (self.is_at(place)
                && when.fits(self.legacy, self.candidate))
            .then_some(Ruling::Ignored),
            Effect::Drop { side, path, when } => {
                let only_there = match side {
                    Side::Legacy => self.kind == DifferenceKind::Missing,
                    Side::Candidate => self.kind == DifferenceKind::Extra,
                };
                equated(only_there && at(path) && when.fits(self.legacy, self.candidate))
            }
            Effect::Tolerance {
                path,
                absolute,
                relative,
            } => match both {
                Some((Json::Number(a), Json::Number(b))) if at(path) => {
                    equated(near(a, b, *absolute, *relative))
                }
                _ => None,
            },
            Effect::Time { place, instants } => {
                let (a, b) = both?;
                equated(self.is_at(place) && instants.same(a, b))
            }
            Effect::Absent { path, absence } => {
                equated(at(path) && absence.same(self.legacy, self.candidate))
            }
            Effect::Spelling { place, spelling } => {
                let (a, b) = both?;
                equated(self.is_at(place) && spelling.same(a, b))
            }
            Effect::Status { legacy, candidate } => match (self.location, both) {
                (Location::Status, Some((Json::Number(a), Json::Number(b)))) => {
                    let status = |text: &str| text.parse::<u16>().unwrap_or(0);
                    equated(legacy.holds(status(a.text())) && candidate.holds(status(b.text())))
                }
                _ => None,
            },
            Effect::Volatile { headers } => equated(
                matches!(self.location, Location::Header(name) if headers.iter().any(|known| known == name))
                    || (matches!(self.location, Location::Cookie(..))
                        && headers.iter().any(|known| known == "set-cookie")),
            ),
            // These act on more than one difference: where documents and answers are compared.
            Effect::Normalize { .. }
            | Effect::Rewrite { .. }
            | Effect::Rename { .. }
            | Effect::Unordered { .. }
            | Effect::Binding { .. }
            | Effect::Error { .. } => None,
        }
    }

    fn is_at_path(&self, pattern: &Pattern) -> bool {
        matches!(self.location, Location::Body(path) if pattern.matches(path))
    }

    fn is_at(&self, place: &Place) -> bool {
        is_at(place, self.location)
    }
}

/// Whether a rule's place is this one.
pub(super) fn is_at(place: &Place, location: Location<'_>) -> bool {
    match (place, location) {
        (Place::Status, Location::Status) | (Place::Encoding, Location::Encoding) => true,
        (Place::Header(wanted), Location::Cookie(..)) => wanted == "set-cookie",
        (Place::Header(wanted), Location::Header(name))
        | (Place::Cookie(wanted), Location::Cookie(name, _)) => wanted == name,
        (Place::Body(pattern), Location::Body(path)) => pattern.matches(path),
        _ => false,
    }
}

/// Two texts, and what the `normalize` rules of their place have made of them so far.
pub(super) struct Rewritten {
    legacy: String,
    candidate: String,
    /// The rules that changed something.
    pub(super) by: Vec<usize>,
}

impl Rewritten {
    /// Of two texts; `None` where one side has none.
    pub(super) fn of(case: &Case<'_>) -> Option<Self> {
        match (case.legacy, case.candidate) {
            (Some(Json::String(a)), Some(Json::String(b))) => Some(Self {
                legacy: a.to_string(),
                candidate: b.to_string(),
                by: Vec::new(),
            }),
            _ => None,
        }
    }

    /// Applies one more rule; whether the texts are the same now.
    pub(super) fn apply(&mut self, rule: usize, effect: &Effect) -> Result<bool, TooLong> {
        let Effect::Normalize { normalization, .. } = effect else {
            return Ok(false);
        };
        let legacy = normalization.apply(&self.legacy)?.into_owned();
        let candidate = normalization.apply(&self.candidate)?.into_owned();
        if legacy != self.legacy || candidate != self.candidate {
            self.by.push(rule);
            (self.legacy, self.candidate) = (legacy, candidate);
        }
        Ok(self.legacy == self.candidate)
    }
}
