//! Where a comparison's differences are written down, after the rules have had their say.
//!
//! **Invariant**: a difference ends in exactly one of three places: among the differences, equated by a rule, or ignored by one. A rule that
//! cannot be applied makes a difference of its own.

use crate::{
    diff::{
        Comparison, Difference, DifferenceKind,
        binding::{Bindings, Paired, Spot},
        embedded,
        ruling::{Case, Rewritten, Ruling, is_at},
        shortened,
    },
    json::Json,
    rules::{Effect, Rules, Step, TooLong},
};

/// Where a difference is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Location<'l> {
    Status,
    Header(&'l str),
    /// A cookie that is set: its value, or an attribute of it.
    Cookie(&'l str, Option<&'l str>),
    /// The character encoding of the body.
    Encoding,
    Body(&'l [Step<'l>]),
}

impl Location<'_> {
    /// The place for people, the same for all items of a list; and the exact one, where that is another.
    fn named(self) -> (String, Option<String>) {
        match self {
            Location::Status | Location::Encoding => (String::new(), None),
            Location::Header(name) => (name.to_owned(), None),
            Location::Cookie(name, None) => (format!("set-cookie {name}"), None),
            Location::Cookie(name, Some(attribute)) => {
                (format!("set-cookie {name}; {attribute}"), None)
            }
            Location::Body(path) => {
                let general = crate::rules::general_pointer(path);
                let exact = path.iter().any(|step| matches!(step, Step::Index(_)));
                (general, exact.then(|| crate::rules::pointer(path)))
            }
        }
    }
}

/// The comparison that is being made.
pub(super) struct Ledger<'l> {
    pub(super) rules: &'l Rules,
    pub(super) spot: Spot<'l>,
    pub(super) bindings: &'l mut Bindings,
    pub(super) comparison: Comparison,
    /// For each rule whether what it is `given` holds; empty where no rule asks.
    pub(super) givens: Vec<bool>,
    /// The `binding` rules, with the kinds of values they speak of: they are asked about every value.
    pub(super) binding_rules: &'l [(usize, usize)],
    /// For each rule whether it speaks of the subject, once somebody asked.
    pub(super) speaks: &'l mut Vec<Option<bool>>,
    /// The rule that forgives the whole answer, if there is one.
    pub(super) forgiving: Option<usize>,
}

/// What is made of a difference.
enum Fate {
    /// No rule fits.
    Stays,
    /// These rules suppress it.
    Suppressed(Ruling, Vec<usize>),
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
        let case = Case {
            kind,
            location,
            legacy,
            candidate,
        };
        match self.fate(&case) {
            Ok(Fate::Suppressed(Ruling::Equated, rules)) => self.comparison.equated.extend(rules),
            Ok(Fate::Suppressed(Ruling::Ignored, rules)) => self.comparison.ignored.extend(rules),
            Ok(Fate::Stays) => {
                if !self.renames_only(&case) {
                    self.write_down(&case);
                }
            }
            Err(error) => {
                let told = Json::String(error.to_string().into());
                self.write_down(&Case {
                    kind: DifferenceKind::Comparator,
                    candidate: Some(&told),
                    legacy: None,
                    ..case
                });
            }
        }
    }

    fn fate(&mut self, case: &Case<'_>) -> Result<Fate, TooLong> {
        let mut rewritten: Option<Rewritten> = None;
        for at in 0..self.rules.rules.len() {
            let effect = &self.rules.rules[at].effect;
            if let Effect::Normalize { place, .. } = effect {
                if !is_at(place, case.location) || !self.holds(at) || !self.speaks(at) {
                    continue;
                }
                if rewritten.is_none() {
                    rewritten = Rewritten::of(case);
                }
                if let Some(texts) = &mut rewritten
                    && texts.apply(at, effect)?
                {
                    let by = std::mem::take(&mut texts.by);
                    return Ok(Fate::Suppressed(Ruling::Equated, by));
                }
            } else if let Some(ruling) = case.ruling(effect)
                && self.holds(at)
                && self.speaks(at)
            {
                return Ok(Fate::Suppressed(ruling, vec![at]));
            }
        }
        Ok(Fate::Stays)
    }

    fn write_down(&mut self, case: &Case<'_>) {
        let (path, exact) = case.location.named();
        let known = &self.comparison.differences;
        if known.len() >= Comparison::LIMIT && case.kind != DifferenceKind::Comparator {
            if known
                .iter()
                .any(|one| one.kind == case.kind && one.path == path)
            {
                return;
            }
            if known.len() >= Comparison::PLACES {
                self.comparison.truncated = true;
                return;
            }
        }
        let text = |value: Option<&Json<'_>>| value.map(|value| shortened(&value.to_string()));
        self.comparison.differences.push(Difference {
            kind: case.kind,
            path,
            exact,
            legacy: text(case.legacy),
            candidate: text(case.candidate),
        });
    }

    /// Whether two texts differ only in values that are each other's partners: an id within an address.
    fn renames_only(&mut self, case: &Case<'_>) -> bool {
        let (Some(Json::String(a)), Some(Json::String(b))) = (case.legacy, case.candidate) else {
            return false;
        };
        let embedding = matches!(
            case.kind,
            DifferenceKind::Value | DifferenceKind::Header | DifferenceKind::Text
        );
        if !embedding || self.binding_rules.is_empty() {
            return false;
        }
        let Some(renamed) = embedded::renamed(a, b) else {
            return false;
        };
        if self.bindings.is_voting() {
            self.comparison.second_look = true;
            return false;
        }
        let alike = |word: &&str| !renamed.iter().any(|(a, _)| a == word);
        let known = renamed
            .iter()
            .all(|(a, b)| self.bindings.are_partners(a, b))
            && !embedded::references(a)
                .filter(alike)
                .any(|word| self.bindings.is_renamed(word));
        if known {
            self.comparison.equated.push(self.binding_rules[0].0);
        }
        known
    }

    /// Looks into a text that both sides have alike: an id in it whose partner is another value makes it a reference to something else.
    pub(super) fn alike(&mut self, location: Location<'_>, text: &str) {
        if self.binding_rules.is_empty() {
            return;
        }
        if self.bindings.is_voting() {
            let words = embedded::references(text).map(embedded::digest);
            self.comparison.references.extend(words);
            return;
        }
        let Some(word) = embedded::references(text).find(|word| self.bindings.is_renamed(word))
        else {
            return;
        };
        let value = Json::String(text.into());
        let case = Case {
            kind: DifferenceKind::Binding,
            location,
            legacy: Some(&value),
            candidate: Some(&value),
        };
        match self.fate(&case) {
            Ok(Fate::Suppressed(Ruling::Equated, rules)) => self.comparison.equated.extend(rules),
            Ok(Fate::Suppressed(Ruling::Ignored, rules)) => self.comparison.ignored.extend(rules),
            Ok(Fate::Stays) | Err(_) => {
                let told = format!("the same text, but {word} is the partner of another value");
                self.write_down(&Case {
                    candidate: Some(&Json::String(told.into())),
                    ..case
                });
            }
        }
    }

    /// Compares two texts in which values stand that the services invent, by `rule` if a rule says so.
    pub(super) fn bound(
        &mut self,
        (rule, kind): (Option<usize>, usize),
        location: Location<'_>,
        legacy: &Json<'_>,
        candidate: &Json<'_>,
    ) {
        let (a, b) = (text(legacy), text(candidate));
        let within = rule.and_then(|rule| match &self.rules.rules[rule].effect {
            Effect::Binding { within, .. } => within.as_ref(),
            _ => None,
        });
        let (a, b) = match within.map(|within| (within.split(&a), within.split(&b))) {
            None if !a.is_empty() && !b.is_empty() => (&*a, &*b),
            Some((Some((a, left)), Some((b, right)))) if !a.is_empty() && !b.is_empty() => {
                if left != right {
                    let around = |[before, after]: [&str; 2]| {
                        Json::String(format!("{before}{{}}{after}").into())
                    };
                    let (left, right) = (around(left), around(right));
                    self.differ(DifferenceKind::Value, location, Some(&left), Some(&right));
                }
                (a, b)
            }
            // An empty text, too, is nothing that a side invents.
            _ => {
                if legacy != candidate {
                    self.differ(
                        DifferenceKind::Value,
                        location,
                        Some(legacy),
                        Some(candidate),
                    );
                }
                return;
            }
        };
        let case = Case {
            kind: DifferenceKind::Binding,
            location,
            legacy: Some(legacy),
            candidate: Some(candidate),
        };
        let excused =
            self.forgiving.is_some() || matches!(self.fate(&case), Ok(Fate::Suppressed(..)));
        let (path, _) = location.named();
        match self.bindings.pair(kind, a, b, &self.spot, &path, excused) {
            Paired::Partners if a != b => self.comparison.equated.extend(rule),
            Paired::Partners => {}
            Paired::Noted(edge) => self.comparison.bound.push((edge, rule)),
            Paired::Violated => {
                let (a, b) = (Some(legacy), Some(candidate));
                self.differ(DifferenceKind::Binding, location, a, b);
            }
        }
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

    /// Whether a rule speaks of the subject.
    pub(super) fn speaks(&mut self, rule: usize) -> bool {
        if let Some(Some(known)) = self.speaks.get(rule) {
            return *known;
        }
        let speaks = self
            .rules
            .speaks(&self.rules.rules[rule], &self.spot.subject);
        self.speaks.resize(self.rules.rules.len(), None);
        self.speaks[rule] = Some(speaks);
        speaks
    }

    /// The `binding` rule for the value at a place, if there is one, and its kind of value.
    pub(super) fn binding(&mut self, location: Location<'_>) -> Option<(usize, usize)> {
        for at in 0..self.binding_rules.len() {
            let (rule, kind) = self.binding_rules[at];
            if let Effect::Binding { place, .. } = &self.rules.rules[rule].effect
                && is_at(place, location)
                && self.speaks(rule)
            {
                return Some((rule, kind));
            }
        }
        None
    }

    /// The first rule that speaks of the subject and has such an effect.
    pub(super) fn first_rule(&mut self, wanted: impl Fn(&Effect) -> bool) -> Option<usize> {
        let rules = self.rules;
        (0..rules.rules.len()).find(|at| wanted(&rules.rules[*at].effect) && self.speaks(*at))
    }
}

/// A scalar as it would stand in an address or a header.
fn text<'j>(value: &'j Json<'_>) -> std::borrow::Cow<'j, str> {
    match value {
        Json::String(text) => std::borrow::Cow::Borrowed(text),
        Json::Number(number) => std::borrow::Cow::Borrowed(number.text()),
        other => std::borrow::Cow::Owned(other.to_string()),
    }
}
