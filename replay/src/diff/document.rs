//! Two JSON documents, compared by structure.
//!
//! Objects are compared by key whatever their order, arrays in order unless a rule says otherwise, numbers by value; null, missing and empty are
//! three things.
//!
//! **Invariant**: two documents without a difference are equal up to the rules that were counted.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    diff::{
        DifferenceKind,
        binding::Bindings,
        ledger::{Ledger, Location},
    },
    json::{Json, Number},
    rules::{Effect, Step, Subject, general_pointer},
};

/// Above this many items, items without a key are compared in order: pairing equal ones costs the square of their number.
const UNKEYED: usize = 1_000;

type Member<'j> = (Cow<'j, str>, Json<'j>);

impl Ledger<'_> {
    /// Writes down what differs between two values at `path`.
    pub(super) fn values<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &'j Json<'j>,
        candidate: &'j Json<'j>,
    ) {
        match (legacy, candidate) {
            (Json::Object(a), Json::Object(b)) => self.objects(path, a, b),
            (Json::Array(a), Json::Array(b)) => self.arrays(path, a, b),
            (Json::String(_) | Json::Number(_), Json::String(_) | Json::Number(_)) => {
                self.scalars(path, legacy, candidate);
            }
            (a, b) if a == b => {}
            (a, b) => {
                let kind = if a.kind() == b.kind() {
                    DifferenceKind::Value
                } else {
                    DifferenceKind::Type
                };
                self.differ(kind, Location::Body(path), Some(a), Some(b));
            }
        }
    }

    fn scalars(&mut self, path: &[Step<'_>], legacy: &Json<'_>, candidate: &Json<'_>) {
        let location = Location::Body(path);
        if let Some((rule, kind)) = self.binding(location) {
            let unlike = legacy.kind() != candidate.kind();
            let general = general_pointer(path);
            // Rows are settled by digests, which know of texts alone, and a state has to be judged as rows are.
            let state = matches!(self.spot.subject, Subject::State);
            if !state && self.bindings.changes_type(rule, &general, unlike) {
                let (a, b) = (Some(legacy), Some(candidate));
                self.differ(DifferenceKind::Type, location, a, b);
            }
            return self.bound((Some(rule), kind), location, legacy, candidate);
        }
        if legacy == candidate {
            if let Json::String(text) = legacy {
                self.alike(location, text);
            }
            return;
        }
        let kind = if legacy.kind() == candidate.kind() {
            DifferenceKind::Value
        } else {
            DifferenceKind::Type
        };
        self.differ(kind, location, Some(legacy), Some(candidate));
    }

    fn objects<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &'j [Member<'j>],
        candidate: &'j [Member<'j>],
    ) {
        let index = Index::of(candidate);
        let mut renamed: Vec<(usize, usize, usize)> = Vec::new();
        let mut found = 0;
        for (at, (key, value)) in legacy.iter().enumerate() {
            path.push(Step::Key(Cow::Borrowed(key)));
            if let Some(twin) = index.find(at, key) {
                found += 1;
                self.values(path, value, &candidate[twin].1);
            } else if let Some((rule, twin)) = self.new_name(path, legacy, &index) {
                renamed.push((rule, at, twin));
            } else {
                let location = Location::Body(path);
                self.differ(DifferenceKind::Missing, location, Some(value), None);
            }
            path.pop();
        }
        for (rule, at, twin) in &renamed {
            self.comparison.equated.push(*rule);
            path.push(Step::Key(Cow::Borrowed(&legacy[*at].0)));
            self.values(path, &legacy[*at].1, &candidate[*twin].1);
            path.pop();
        }
        if found == candidate.len() {
            return;
        }
        let index = Index::of(legacy);
        for (at, (key, value)) in candidate.iter().enumerate() {
            let known = index.find(at, key).is_some();
            if !known && !renamed.iter().any(|(_, _, twin)| *twin == at) {
                path.push(Step::Key(Cow::Borrowed(key)));
                let location = Location::Body(path);
                self.differ(DifferenceKind::Extra, location, None, Some(value));
                path.pop();
            }
        }
    }

    /// Where the candidate has the field at `path` under another name that legacy does not use itself, and the rule that says so.
    fn new_name(
        &mut self,
        path: &[Step<'_>],
        legacy: &[Member<'_>],
        candidate: &Index<'_>,
    ) -> Option<(usize, usize)> {
        let mut found = None;
        let rule = self.first_rule(|effect| {
            matches!(effect, Effect::Rename { legacy: pattern, .. } if pattern.matches(path))
        })?;
        if let Effect::Rename {
            candidate: name, ..
        } = &self.rules.rules[rule].effect
            && !legacy.iter().any(|(key, _)| key == name)
        {
            found = candidate.find(usize::MAX, name);
        }
        found.map(|found| (rule, found))
    }

    fn arrays<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &'j [Json<'j>],
        candidate: &'j [Json<'j>],
    ) {
        // Whether the two are equal is asked last: most arrays have no such rule, and are walked through anyway.
        let unordered = self.first_rule(|effect| {
            matches!(effect, Effect::Unordered { path: pattern, .. } if pattern.matches(path))
        });
        let Some(rule) = unordered.filter(|_| legacy != candidate) else {
            let left: Vec<_> = legacy.iter().enumerate().collect();
            let right: Vec<_> = candidate.iter().enumerate().collect();
            self.in_order(path, &left, &right);
            return;
        };
        let rules = self.rules;
        let before = self.comparison.differences.len();
        match &rules.rules[rule].effect {
            Effect::Unordered { key, .. } if !key.is_empty() => {
                self.by_key(path, legacy, candidate, key);
            }
            _ => self.as_sets(path, legacy, candidate),
        }
        if self.comparison.differences.len() == before {
            self.comparison.equated.push(rule);
        }
    }

    fn in_order<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &[(usize, &'j Json<'j>)],
        candidate: &[(usize, &'j Json<'j>)],
    ) {
        for at in 0..legacy.len().max(candidate.len()) {
            let (left, right) = (legacy.get(at), candidate.get(at));
            let index = left.or(right).map_or(at, |(index, _)| *index);
            path.push(Step::Index(index));
            match (left, right) {
                (Some((_, a)), Some((_, b))) => self.values(path, a, b),
                (Some((_, a)), None) => {
                    self.differ(DifferenceKind::Missing, Location::Body(path), Some(a), None);
                }
                (None, Some((_, b))) => {
                    self.differ(DifferenceKind::Extra, Location::Body(path), None, Some(b));
                }
                (None, None) => {}
            }
            path.pop();
        }
    }

    /// Pairs items by what identifies them. Where that is an invented value, its partner is looked up, once partners are known.
    fn by_key<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &'j [Json<'j>],
        candidate: &'j [Json<'j>],
        key: &[String],
    ) {
        let (left, mut right) = (keyed(legacy, key), keyed(candidate, key));
        let mut alone = Vec::new();
        let invented = self.are_invented(path, key);
        if invented && self.bindings.is_voting() {
            // Which of them belong together is not known yet, so they say nothing about it: the same text may be another thing's.
            self.comparison.second_look = true;
            return;
        }
        let has_partner = |bindings: &Bindings, name: &[String]| {
            name.iter().any(|part| bindings.partner(part).is_some())
        };
        for (name, items) in left {
            if invented && has_partner(self.bindings, &name) {
                alone.push((name, items));
                continue;
            }
            match right.remove(&name) {
                Some(twins) => self.in_order(path, &items, &twins),
                None => alone.push((name, items)),
            }
        }
        if self.binding_rules.is_empty() || alone.is_empty() || right.is_empty() {
            for (_, items) in alone {
                self.in_order(path, &items, &[]);
            }
        } else if self.bindings.is_voting() {
            // Which of them belong together is not known yet, so they say nothing about it.
            self.comparison.second_look = true;
            return;
        } else {
            let mut strangers = Vec::new();
            for (name, items) in alone {
                let partner: Vec<String> = name
                    .iter()
                    .map(|part| self.bindings.partner(part).unwrap_or(part).to_owned())
                    .collect();
                match right.remove(&partner) {
                    Some(twins) => self.in_order(path, &items, &twins),
                    None => strangers.extend(items),
                }
            }
            // Values that stand nowhere else have no partners: their order is all there is.
            let others: Vec<_> = std::mem::take(&mut right).into_values().flatten().collect();
            self.in_order(path, &strangers, &others);
        }
        for items in right.into_values() {
            self.in_order(path, &[], &items);
        }
    }

    /// Whether a `binding` rule speaks of what identifies the items of a list.
    fn are_invented(&mut self, path: &[Step<'_>], key: &[String]) -> bool {
        !self.binding_rules.is_empty()
            && key.iter().any(|part| {
                let mut place = path.to_vec();
                place.push(Step::Index(0));
                let steps = part.trim_start_matches('/').split('/');
                place.extend(steps.map(|step| Step::Key(Cow::Owned(step.to_owned()))));
                self.binding(Location::Body(&place)).is_some()
            })
    }

    /// An item of legacy's as the candidate would write it: with the partners of its invented values; and whether it has any such value.
    fn translated<'j>(&mut self, path: &mut Vec<Step<'j>>, item: &'j Json<'j>) -> (Json<'j>, bool) {
        match item {
            Json::Object(members) => {
                let mut any = false;
                let members = members.iter().map(|(key, value)| {
                    path.push(Step::Key(Cow::Borrowed(key)));
                    let (value, invented) = self.translated(path, value);
                    path.pop();
                    any |= invented;
                    (key.clone(), value)
                });
                (Json::Object(members.collect()), any)
            }
            Json::Array(items) => {
                let mut any = false;
                let items = items.iter().enumerate().map(|(at, value)| {
                    path.push(Step::Index(at));
                    let (value, invented) = self.translated(path, value);
                    path.pop();
                    any |= invented;
                    value
                });
                (Json::Array(items.collect()), any)
            }
            Json::String(_) | Json::Number(_) if self.binding(Location::Body(path)).is_some() => {
                let own = match item {
                    Json::String(text) => text.as_ref(),
                    Json::Number(number) => number.text(),
                    _ => "",
                };
                let partner = self.bindings.partner(own).map(str::to_owned);
                let live = match (partner, item) {
                    (Some(text), Json::Number(_)) => Json::Number(Number::from_text(text)),
                    (Some(text), _) => Json::String(text.into()),
                    (None, _) => item.clone(),
                };
                (live, true)
            }
            _ => (item.clone(), false),
        }
    }

    fn as_sets<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &'j [Json<'j>],
        candidate: &'j [Json<'j>],
    ) {
        if !self.binding_rules.is_empty() && legacy.len().max(candidate.len()) <= UNKEYED {
            return self.as_translated_sets(path, legacy, candidate);
        }
        let mut right: Vec<_> = candidate.iter().enumerate().collect();
        let mut left: Vec<_> = legacy.iter().enumerate().collect();
        if left.len().max(right.len()) <= UNKEYED {
            left.retain(|(_, item)| {
                let twin = right.iter().position(|(_, other)| other == item);
                twin.map(|at| right.remove(at)).is_none()
            });
        }
        self.in_order(path, &left, &right);
    }
}

impl Ledger<'_> {
    /// Sets whose items may hold invented values: an item's twin has their partners, once those are known.
    fn as_translated_sets<'j>(
        &mut self,
        path: &mut Vec<Step<'j>>,
        legacy: &'j [Json<'j>],
        candidate: &'j [Json<'j>],
    ) {
        let mut right: Vec<_> = candidate.iter().enumerate().collect();
        let mut left = Vec::new();
        for (at, item) in legacy.iter().enumerate() {
            path.push(Step::Index(at));
            let (live, invented) = self.translated(path, item);
            let voting = invented && self.bindings.is_voting();
            let twin = right.iter().position(|(_, other)| **other == live);
            match twin.filter(|_| !voting).map(|at| right.remove(at)) {
                Some((_, twin)) if invented => self.values(path, item, twin),
                Some(_) => {}
                None => left.push((at, item)),
            }
            path.pop();
            if voting {
                // Which of them belong together is not known yet, so they say nothing about it.
                self.comparison.second_look = true;
                return;
            }
        }
        self.in_order(path, &left, &right);
    }
}

/// Items by the members (or, from `/` on, JSON pointers) that identify them.
fn keyed<'j>(
    items: &'j [Json<'j>],
    key: &[String],
) -> BTreeMap<Vec<String>, Vec<(usize, &'j Json<'j>)>> {
    let mut groups: BTreeMap<Vec<String>, Vec<(usize, &'j Json<'j>)>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        let part = |name: &String| {
            let found = if name.starts_with('/') {
                item.pointer(name)
            } else {
                item.get(name)
            };
            match found {
                Some(Json::String(text)) => text.to_string(),
                Some(other) => other.to_string(),
                None => String::new(),
            }
        };
        let name = key.iter().map(part).collect();
        groups.entry(name).or_default().push((at, item));
    }
    groups
}

/// Finds a member by its key: at the same place, by search in small objects, by an index in large ones.
struct Index<'j> {
    members: &'j [Member<'j>],
    places: Option<BTreeMap<&'j str, usize>>,
}

impl<'j> Index<'j> {
    fn of(members: &'j [Member<'j>]) -> Self {
        let places = (members.len() > 32).then(|| {
            let keys = members.iter().enumerate();
            keys.map(|(at, (key, _))| (key.as_ref(), at)).collect()
        });
        Self { members, places }
    }

    fn find(&self, guess: usize, key: &str) -> Option<usize> {
        if self
            .members
            .get(guess)
            .is_some_and(|(known, _)| known == key)
        {
            return Some(guess);
        }
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self.members.iter().position(|(known, _)| known == key),
        }
    }
}
