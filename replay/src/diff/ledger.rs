//! Where a comparison's differences are written down, after the rules have had their say.
//!
//! **Invariant**: a difference ends in exactly one of three places: among the differences, equated by a rule, or ignored by one.

use jiff::Timestamp;

use crate::{
    diff::{Comparison, Difference, DifferenceKind, binding::Bindings, shortened},
    json::Json,
    rules::{Effect, Place, Rules, Side, Step, Subject},
};

/// Where a difference is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Location<'l> {
    Status,
    Header(&'l str),
    Body(&'l [Step<'l>]),
}

/// What a rule made of a difference.
enum Ruling {
    Equated,
    Ignored,
}

/// The comparison that is being made.
pub(super) struct Ledger<'l> {
    pub(super) rules: &'l Rules,
    pub(super) subject: Subject<'l>,
    pub(super) bindings: &'l mut Bindings,
    pub(super) comparison: Comparison,
    /// For each rule whether what it is `given` holds; empty where no rule asks.
    pub(super) givens: Vec<bool>,
    /// Which rules are `binding` ones: they are asked about every value.
    pub(super) binding_rules: &'l [usize],
}

impl Ledger<'_> {
    /// Writes down a difference; the rules may suppress it.
    pub(super) fn differ(
        &mut self,
        kind: DifferenceKind,
        location: Location<'_>,
        legacy: Option<&Json<'_>>,
        candidate: Option<&Json<'_>>,
    ) {
        for (at, rule) in self.rules.rules.iter().enumerate() {
            let Some(ruling) = ruling(&rule.effect, kind, location, legacy, candidate) else {
                continue;
            };
            if self.holds(at) && self.rules.speaks(rule, &self.subject) {
                match ruling {
                    Ruling::Equated => self.comparison.equated.push(at),
                    Ruling::Ignored => self.comparison.ignored.push(at),
                }
                return;
            }
        }
        if self.comparison.differences.len() >= Comparison::LIMIT {
            return;
        }
        let (path, exact) = match location {
            Location::Status => (String::new(), None),
            Location::Header(name) => (name.to_owned(), None),
            Location::Body(path) => {
                let general = crate::rules::general_pointer(path);
                let exact = crate::rules::pointer(path);
                let differs = exact != general;
                (general, differs.then_some(exact))
            }
        };
        let text = |value: Option<&Json<'_>>| value.map(|value| shortened(&value.to_string()));
        self.comparison.differences.push(Difference {
            kind,
            path,
            exact,
            legacy: text(legacy),
            candidate: text(candidate),
        });
    }

    /// Looks up, for a pair of documents, what rules are given.
    pub(super) fn look_up_givens(&mut self, legacy: &Json<'_>, candidate: &Json<'_>) {
        let rules = self.rules.rules.iter();
        self.givens = rules
            .map(|rule| {
                let given = rule.given.as_ref();
                given.is_none_or(|given| given.holds(legacy, candidate))
            })
            .collect();
    }

    fn holds(&self, rule: usize) -> bool {
        match self.givens.get(rule) {
            Some(holds) => *holds,
            None => self.rules.rules[rule].given.is_none(),
        }
    }

    /// The `binding` rule for the value at `path`, if there is one.
    pub(super) fn binding(&self, path: &[Step<'_>]) -> Option<usize> {
        self.binding_rules.iter().copied().find(|at| {
            let rule = &self.rules.rules[*at];
            matches!(&rule.effect, Effect::Binding { path: pattern } if pattern.matches(path))
                && self.rules.speaks(rule, &self.subject)
        })
    }

    /// The first rule that speaks of the subject and has such an effect.
    pub(super) fn first_rule(&self, wanted: impl Fn(&Effect) -> bool) -> Option<usize> {
        self.rules
            .rules
            .iter()
            .position(|rule| wanted(&rule.effect) && self.rules.speaks(rule, &self.subject))
    }
}

/// What a rule with this effect makes of a difference at this place, its endpoint aside.
fn ruling(
    effect: &Effect,
    kind: DifferenceKind,
    location: Location<'_>,
    legacy: Option<&Json<'_>>,
    candidate: Option<&Json<'_>>,
) -> Option<Ruling> {
    let equated = |fits: bool| fits.then_some(Ruling::Equated);
    let at = |pattern: &crate::rules::Pattern| matches!(location, Location::Body(path) if pattern.matches(path));
    match effect {
        Effect::Map { place, when } => {
            equated(is_at(place, location) && when.fits(legacy, candidate))
        }
        Effect::Ignore { place, when } => {
            (is_at(place, location) && when.fits(legacy, candidate)).then_some(Ruling::Ignored)
        }
        Effect::Drop { side, path, when } => {
            let only_there = match side {
                Side::Legacy => kind == DifferenceKind::Missing,
                Side::Candidate => kind == DifferenceKind::Extra,
            };
            equated(only_there && at(path) && when.fits(legacy, candidate))
        }
        Effect::Tolerance {
            path,
            absolute,
            relative,
        } => match (legacy, candidate) {
            (Some(Json::Number(a)), Some(Json::Number(b))) if at(path) => {
                let (a, b) = (a.as_f64(), b.as_f64());
                let apart = (a - b).abs();
                equated(apart <= *absolute || apart <= relative * a.abs().max(b.abs()))
            }
            _ => None,
        },
        Effect::Time { path, within_s } => match (legacy, candidate) {
            (Some(Json::String(a)), Some(Json::String(b))) if at(path) => {
                let (a, b) = (a.parse::<Timestamp>().ok()?, b.parse::<Timestamp>().ok()?);
                equated((b - a).total(jiff::Unit::Second).ok()?.abs() <= *within_s)
            }
            _ => None,
        },
        Effect::Volatile { headers } => equated(
            matches!(location, Location::Header(name) if headers.iter().any(|known| known == name)),
        ),
        // These act on more than one difference: where documents and answers are compared.
        Effect::Rewrite { .. }
        | Effect::Rename { .. }
        | Effect::Unordered { .. }
        | Effect::Binding { .. }
        | Effect::Error { .. } => None,
    }
}

fn is_at(place: &Place, location: Location<'_>) -> bool {
    match (place, location) {
        (Place::Status, Location::Status) => true,
        (Place::Header(wanted), Location::Header(name)) => wanted == name,
        (Place::Body(pattern), Location::Body(path)) => pattern.matches(path),
        _ => false,
    }
}
