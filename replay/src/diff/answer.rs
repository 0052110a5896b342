//! Two answers, compared: status, headers, body.
//!
//! **Invariant**: a comparer is told once in which way it pairs up invented values: at once, each by the first sight of it; or by
//! [`Comparer::vote`], [`Comparer::settle`] and a second look, for a whole run; and once frozen it pairs up no more.

use crate::{
    diff::{
        Comparison, Conflict, DifferenceKind,
        binding::{Bindings, Spot},
        ledger::{Ledger, Location},
    },
    rules::{Effect, Place, Rules, Subject, status_value},
    run::Answer,
};

/// Compares answers under a set of rules, and remembers the values that were paired up on the way.
#[derive(Clone, Debug)]
pub struct Comparer<'r> {
    rules: &'r Rules,
    bindings: Bindings,
    binding_rules: Vec<(usize, usize)>,
}

impl<'r> Comparer<'r> {
    /// A comparer that has seen nothing.
    pub fn new(rules: &'r Rules) -> Self {
        let mut bindings = Bindings::default();
        let mut binding_rules = Vec::new();
        for (at, rule) in rules.rules.iter().enumerate() {
            if let Effect::Binding { pairing, .. } = &rule.effect
                && !rule.expired
            {
                binding_rules.push((at, bindings.kind(pairing)));
            }
        }
        Self {
            rules,
            bindings,
            binding_rules,
        }
    }

    /// The same comparer, which from now on pairs up no further values: for trying what it would catch.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.bindings.freeze();
        self
    }

    /// Its rules.
    pub fn rules(&self) -> &'r Rules {
        self.rules
    }

    /// From now on invented values are noted down, to be paired up by [`Self::settle`].
    pub(crate) fn vote(&mut self) {
        self.bindings.vote();
    }

    /// Pairs up all that was noted down. What contradicts the pairs is returned.
    pub(crate) fn settle(&mut self) -> Vec<Conflict> {
        self.bindings.settle()
    }

    /// Completes a comparison that was made before the pairs were settled; `false` if it has to be made again.
    pub(crate) fn complete(&self, comparison: &mut Comparison) -> bool {
        let stands = |edge: &(u32, Option<usize>)| self.bindings.stands(edge.0).0;
        let references = std::mem::take(&mut comparison.references);
        if comparison.second_look
            || !comparison.bound.iter().all(stands)
            || references
                .into_iter()
                .any(|word| self.bindings.may_be_renamed(word))
        {
            return false;
        }
        let bound = std::mem::take(&mut comparison.bound);
        let renamed = bound
            .iter()
            .filter(|(edge, _)| self.bindings.stands(*edge).1);
        comparison
            .equated
            .extend(renamed.filter_map(|(_, rule)| *rule));
        true
    }

    /// Forgets what was noted down, when all comparisons are complete.
    pub(crate) fn forget(&mut self) {
        self.bindings.forget();
    }

    /// What differs between two answers to `subject`.
    pub fn compare(
        &mut self,
        subject: Subject<'_>,
        legacy: &Answer,
        candidate: &Answer,
    ) -> Comparison {
        let spot = Spot {
            seq: 0,
            endpoint: "",
            subject,
        };
        self.compare_at(spot, legacy, candidate)
    }

    /// What differs between two answers, at a spot that witnesses are named by.
    pub(super) fn compare_at(
        &mut self,
        spot: Spot<'_>,
        legacy: &Answer,
        candidate: &Answer,
    ) -> Comparison {
        let mut ledger = Ledger {
            rules: self.rules,
            spot,
            bindings: &mut self.bindings,
            comparison: Comparison::default(),
            givens: Vec::new(),
            binding_rules: &self.binding_rules,
            speaks: &mut Vec::new(),
            forgiving: None,
        };
        if let Some(rule) = by_status(&mut ledger, legacy, candidate) {
            ledger.comparison.by_status = true;
            if legacy.body != candidate.body || legacy.headers != candidate.headers {
                ledger.comparison.equated.push(rule);
            }
            return ledger.comparison;
        }
        if legacy.status != candidate.status {
            let (a, b) = (status_value(legacy.status), status_value(candidate.status));
            ledger.differ(DifferenceKind::Status, Location::Status, Some(&a), Some(&b));
        }
        ledger.forgiving = forgiving(&mut ledger, legacy, candidate);
        ledger.headers(&legacy.headers, &candidate.headers);
        ledger.bodies(legacy, candidate);
        forgive(&mut ledger);
        ledger.comparison
    }
}

/// The `error` rule that lets the statuses alone decide.
fn by_status(ledger: &mut Ledger<'_>, legacy: &Answer, candidate: &Answer) -> Option<usize> {
    if legacy.status < 400 || legacy.status != candidate.status {
        return None;
    }
    ledger.first_rule(
        |effect| matches!(effect, Effect::Error { statuses } if statuses.contains(&legacy.status)),
    )
}

/// The rule that forgives the whole answer, whatever differs in it.
fn forgiving(ledger: &mut Ledger<'_>, legacy: &Answer, candidate: &Answer) -> Option<usize> {
    let (a, b) = (status_value(legacy.status), status_value(candidate.status));
    ledger.first_rule(|effect| {
        matches!(effect, Effect::Ignore { place: Place::Answer, when } if when.fits(Some(&a), Some(&b)))
    })
}

/// Lets that rule forgive whatever is left; but not that a comparison failed.
fn forgive(ledger: &mut Ledger<'_>) {
    let differences = &ledger.comparison.differences;
    let failed = |kind| kind == DifferenceKind::Comparator;
    if differences.is_empty() || differences.iter().any(|one| failed(one.kind)) {
        return;
    }
    if let Some(rule) = ledger.forgiving {
        ledger.comparison.differences.clear();
        ledger.comparison.truncated = false;
        ledger.comparison.ignored.push(rule);
    }
}

#[cfg(test)]
mod tests;
