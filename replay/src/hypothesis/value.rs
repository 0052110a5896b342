//! Causes in single values: how legacy's value becomes the candidate's.
//!
//! **Invariant**: what a cause has to know is learned from what the cluster's pairs show, and holds for all of them alike.

mod number;
mod text;
mod time;

use std::collections::BTreeMap;

use crate::{
    diff::DifferenceKind,
    hypothesis::{
        answers::Answered,
        cause::{Cause, Class, Undo},
        place::{Example, Fate, Place, owned},
    },
    json::Json,
};

/// So many different values have a name of their own at most: more are no list of names.
const NAMES: usize = 16;

/// All causes that the examples suggest, the more specific first.
pub(super) fn causes<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let mut causes = time::causes(place, examples);
    causes.extend(number::causes(place, examples));
    causes.extend(text::causes(place, examples));
    causes.extend(absences(place));
    causes.extend(statuses(place, examples));
    causes.extend(defaults(place, examples));
    causes.extend(names(place, examples));
    causes
}

/// Undone in legacy's answer: its value as the candidate would have it.
fn in_legacy<'c>(place: &'c Place, change: impl Fn(Option<&Json<'_>>) -> Fate + 'c) -> Undo<'c> {
    Box::new(move |one: &Answered<'_>| {
        let legacy = place.changed(one.legacy, &change)?;
        Some((legacy, one.candidate.clone()))
    })
}

/// Undone in both answers: what differs is taken out of both.
fn in_both<'c>(place: &'c Place, change: impl Fn(Option<&Json<'_>>) -> Fate + 'c) -> Undo<'c> {
    Box::new(move |one: &Answered<'_>| {
        let legacy = place.changed(one.legacy, &change);
        let candidate = place.changed(one.candidate, &change);
        if legacy.is_none() && candidate.is_none() {
            return None;
        }
        Some((
            legacy.unwrap_or_else(|| one.legacy.clone()),
            candidate.unwrap_or_else(|| one.candidate.clone()),
        ))
    })
}

/// A change of texts; of others none.
fn text_change(change: impl Fn(&str) -> Option<String>) -> impl Fn(Option<&Json<'_>>) -> Fate {
    move |value| match value {
        Some(Json::String(text)) => {
            change(text).map_or(Fate::Stays, |text| Fate::Becomes(Json::String(text.into())))
        }
        _ => Fate::Stays,
    }
}

fn absences(place: &Place) -> Vec<Cause<'_>> {
    if place.kind == DifferenceKind::Status {
        return Vec::new();
    }
    let goes = |value: Option<&Json<'_>>| match value {
        Some(Json::Null) => Fate::Goes,
        Some(Json::String(text)) if text.is_empty() => Fate::Goes,
        Some(Json::Array(items)) if items.is_empty() => Fate::Goes,
        Some(Json::Object(members)) if members.is_empty() => Fate::Goes,
        _ => Fate::Stays,
    };
    let said = format!(
        "null, missing and empty are taken for one another at {}",
        place.path
    );
    vec![Cause::new(Class::NullOrMissing, said, in_both(place, goes))]
}

fn statuses<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    if place.kind != DifferenceKind::Status {
        return Vec::new();
    }
    mapping(place, examples, Class::StatusMapping, "status")
}

/// What legacy leaves out, or any value, becomes one and the same value.
fn defaults<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let mut causes = Vec::new();
    if place.kind == DifferenceKind::Status {
        return causes;
    }
    let sides = [
        (
            "the candidate",
            examples
                .iter()
                .map(|one| one.candidate.clone())
                .collect::<Vec<_>>(),
            false,
        ),
        (
            "legacy",
            examples
                .iter()
                .map(|one| one.legacy.clone())
                .collect::<Vec<_>>(),
            true,
        ),
    ];
    for (who, values, reversed) in sides {
        let Some(Some(default)) = values.first().cloned() else {
            continue;
        };
        if default == Json::Null || !values.iter().all(|value| value.as_ref() == Some(&default)) {
            continue;
        }
        let said = format!(
            "{who} has {default} at {} where the other side has nothing",
            place.path
        );
        let change = move |value: Option<&Json<'_>>| match value {
            None | Some(Json::Null) => Fate::Becomes(default.clone()),
            Some(Json::String(text)) if text.is_empty() => Fate::Becomes(default.clone()),
            _ => Fate::Stays,
        };
        let undo: Undo<'c> = if reversed {
            Box::new(move |one: &Answered<'_>| {
                let candidate = place.changed(one.candidate, &change)?;
                Some((one.legacy.clone(), candidate))
            })
        } else {
            in_legacy(place, change)
        };
        causes.push(Cause::new(Class::Default, said, undo));
    }
    if let Some(Some(constant)) = examples.first().map(|one| one.candidate.clone()) {
        let always = examples
            .iter()
            .all(|one| one.candidate.as_ref() == Some(&constant));
        let distinct = |a: &Example, b: &Example| a.legacy != b.legacy;
        let many = examples.windows(2).any(|two| distinct(&two[0], &two[1]));
        if always && many {
            let said = format!(
                "the candidate has {constant} at {} whatever was given",
                place.path
            );
            let change = move |value: Option<&Json<'_>>| match value {
                Some(_) => Fate::Becomes(constant.clone()),
                None => Fate::Stays,
            };
            causes.push(Cause::new(Class::Default, said, in_legacy(place, change)));
        }
    }
    causes
}

fn names<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    if matches!(
        place.kind,
        DifferenceKind::Status | DifferenceKind::Text | DifferenceKind::Binding
    ) {
        return Vec::new();
    }
    mapping(place, examples, Class::Enum, "value")
}

/// Each value of legacy has one other value of the candidate.
fn mapping<'c>(place: &'c Place, examples: &[Example], class: Class, what: &str) -> Vec<Cause<'c>> {
    let mut map: BTreeMap<String, Json<'static>> = BTreeMap::new();
    for example in examples {
        let (Some(a), Some(b)) = (&example.legacy, &example.candidate) else {
            continue;
        };
        let scalar =
            |value: &Json<'_>| !matches!(value, Json::Array(_) | Json::Object(_) | Json::Null);
        if scalar(a) && scalar(b) {
            map.entry(a.to_string()).or_insert_with(|| owned(b));
        }
    }
    // A table that is made of the answers which it explains says something only where names come again.
    let learned = class == Class::Enum && map.len() * 2 > examples.len();
    if map.is_empty() || map.len() > NAMES || learned {
        return Vec::new();
    }
    let shown: Vec<String> = map
        .iter()
        .take(3)
        .map(|(a, b)| format!("{a} is {b}"))
        .collect();
    let more = if map.len() > 3 { ", ..." } else { "" };
    let said = format!(
        "a {what} has another name at {}: {}{more}",
        named(place),
        shown.join(", ")
    );
    let change = move |value: Option<&Json<'_>>| {
        let found = value.and_then(|value| map.get(&value.to_string()));
        found.map_or(Fate::Stays, |other| Fate::Becomes(other.clone()))
    };
    vec![Cause::new(class, said, in_legacy(place, change))]
}

pub(super) fn named(place: &Place) -> &str {
    if place.path.is_empty() {
        place.kind.name()
    } else {
        &place.path
    }
}
