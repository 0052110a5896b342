//! Causes in lists: another order, and pages that end one item early or late.
//!
//! **Invariant**: undoing another order sorts both sides, so that lists of other items still differ.

use crate::{
    diff::DifferenceKind,
    hypothesis::{
        answers::Answered,
        cause::{Cause, Class, Undo},
        place::{Fate, Place, owned},
    },
    json::Json,
    run::Answer,
};

/// What differs in lists by.
pub(super) fn causes(place: &Place) -> Vec<Cause<'_>> {
    let in_body = matches!(
        place.kind,
        DifferenceKind::Value
            | DifferenceKind::Type
            | DifferenceKind::Missing
            | DifferenceKind::Extra
            | DifferenceKind::Binding
    );
    if !in_body {
        return Vec::new();
    }
    let mut causes = Vec::new();
    for steps in place.arrays() {
        let name = format!("/{}", steps.join("/"));
        let both = |change: fn(&[Json<'_>]) -> Vec<Json<'static>>,
                    other: fn(&[Json<'_>]) -> Vec<Json<'static>>|
         -> Undo<'_> {
            Box::new(move |one: &Answered<'_>| {
                let legacy = list_changed(one.legacy, steps, change);
                let candidate = list_changed(one.candidate, steps, other);
                if legacy.is_none() && candidate.is_none() {
                    return None;
                }
                let legacy = legacy.unwrap_or_else(|| one.legacy.clone());
                let candidate = candidate.unwrap_or_else(|| one.candidate.clone());
                Some((legacy, candidate))
            })
        };
        causes.push(Cause::new(
            Class::Order,
            format!("the list {name} has the same items in another order"),
            both(sorted, sorted),
        ));
        for (said, legacy, candidate) in [
            (
                "the last item of the list is missing",
                without_last as fn(&[Json<'_>]) -> _,
                all as fn(&[Json<'_>]) -> _,
            ),
            ("the list has one item more at its end", all, without_last),
            ("the first item of the list is missing", without_first, all),
            (
                "the list has one item more at its beginning",
                all,
                without_first,
            ),
            ("the page begins one item late", without_first, without_last),
            (
                "the page begins one item early",
                without_last,
                without_first,
            ),
        ] {
            causes.push(Cause::new(
                Class::PageBound,
                format!("{said} ({name})"),
                both(legacy, candidate),
            ));
        }
    }
    causes
}

fn list_changed(
    answer: &Answer,
    steps: &[String],
    change: fn(&[Json<'_>]) -> Vec<Json<'static>>,
) -> Option<Answer> {
    Place::changed_document(answer, steps, &|value| match value {
        Some(Json::Array(items)) => Fate::Becomes(Json::Array(change(items))),
        _ => Fate::Stays,
    })
}

fn all(items: &[Json<'_>]) -> Vec<Json<'static>> {
    items.iter().map(owned).collect()
}

fn sorted(items: &[Json<'_>]) -> Vec<Json<'static>> {
    let mut sorted = all(items);
    sorted.sort_by_cached_key(canonical);
    sorted
}

fn without_last(items: &[Json<'_>]) -> Vec<Json<'static>> {
    all(items.split_last().map_or(items, |(_, rest)| rest))
}

fn without_first(items: &[Json<'_>]) -> Vec<Json<'static>> {
    all(items.split_first().map_or(items, |(_, rest)| rest))
}

/// A text that is the same for equal values: members by name.
fn canonical(value: &Json<'static>) -> String {
    match value {
        Json::Object(members) => {
            let mut texts: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}:{}", canonical(value)))
                .collect();
            texts.sort();
            format!("{{{}}}", texts.join(","))
        }
        Json::Array(items) => {
            let texts: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", texts.join(","))
        }
        other => other.to_string(),
    }
}
