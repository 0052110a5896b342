//! What of a run is told in full, and what is folded.
//!
//! **Invariant**: entries keep their order, and every one is either told or counted by the fold in its place.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Broken, Line, Telling, Told, Weight, words};
use crate::{
    fault::Fault,
    trace::{Entry, Event, Trace},
};

/// A run of at most so many entries is told whole: nothing is gained by folding it.
const SHORT_RUN: usize = 80;
/// A fold of at most so many entries is told instead: it would take as much room.
const SHORT_FOLD: usize = 2;
/// Of one request, at most so many entries outside the moments around violations are told.
const MOST_CONCERNED: usize = 40;
/// A fold names at most so many kinds.
const MOST_KINDS: usize = 4;

pub(super) fn chronology<E: Serialize>(
    trace: &Trace<E>,
    told: &BTreeMap<u64, Told>,
    faults: Option<&[Fault]>,
    violations: &[Broken],
    telling: &Telling,
) -> Vec<Line> {
    let entries = &trace.entries;
    let concerned = concerned(told, violations, telling);
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (number, violation) in violations.iter().enumerate() {
        if let Some(at_us) = violation.at_us {
            places.push((place(entries, &concerned, at_us), number));
        }
    }
    places.sort_unstable();
    let near = |position: usize| {
        places
            .iter()
            .any(|(place, _)| (*place).abs_diff(position) <= telling.around)
    };
    let lane = telling.request.is_some();
    let whole = !lane && (telling.all || entries.len() <= SHORT_RUN);
    let mut left = MOST_CONCERNED;
    let mut shown: Vec<Option<Weight>> = Vec::with_capacity(entries.len());
    for (position, entry) in entries.iter().enumerate() {
        let weight = if concerned.contains(&entry.ordinal) {
            Weight::Concerned
        } else if worldly(entry) {
            Weight::World
        } else {
            Weight::Plain
        };
        let tell = match weight {
            Weight::World => true,
            Weight::Concerned if lane || whole || near(position) => true,
            Weight::Concerned => {
                left = left.saturating_sub(1);
                left > 0
            }
            Weight::Plain => whole || (!lane && near(position)),
        };
        shown.push(tell.then_some(weight));
    }
    let mut lines = Vec::new();
    let mut position = 0;
    let mut places = places.into_iter().peekable();
    while position < entries.len() {
        let folded = shown[position..]
            .iter()
            .take_while(|weight| weight.is_none())
            .count();
        if folded > SHORT_FOLD {
            lines.push(fold(&entries[position..position + folded], told, faults));
            position += folded;
            continue;
        }
        let entry = &entries[position];
        lines.push(line(
            entry,
            told,
            faults,
            shown[position].unwrap_or(Weight::Plain),
        ));
        while let Some((_, number)) = places.next_if(|(place, _)| *place <= position) {
            lines.push(Line::Violation(number));
        }
        position += 1;
    }
    lines
}

/// The entry at which a violation is told: the last one of its request at its time, or else the last one at its time.
fn place<E>(entries: &[Entry<E>], concerned: &BTreeSet<u64>, at_us: u64) -> usize {
    let end = entries.partition_point(|entry| entry.at_us <= at_us);
    let begin = entries.partition_point(|entry| entry.at_us < at_us);
    let own = entries[begin..end]
        .iter()
        .rposition(|entry| concerned.contains(&entry.ordinal));
    own.map_or(end.saturating_sub(1), |offset| begin + offset)
}

/// The ordinals of what concerns the requests that the violations name, or the one that was asked for. What shares a name with one of them
/// concerns it too: a request has an id, a key and so on.
fn concerned(
    told: &BTreeMap<u64, Told>,
    violations: &[Broken],
    telling: &Telling,
) -> BTreeSet<u64> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    match &telling.request {
        Some(request) => {
            names.insert(request);
        }
        None => {
            for violation in violations {
                let parts = violation
                    .message
                    .split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
                names.extend(parts.filter(|part| !part.is_empty()));
            }
        }
    }
    let synonyms: BTreeSet<&str> = told
        .values()
        .filter(|told| told.about.iter().any(|name| names.contains(name.as_str())))
        .flat_map(|told| told.about.iter().map(String::as_str))
        .collect();
    told.iter()
        .filter(|(_, told)| {
            told.about
                .iter()
                .any(|name| synonyms.contains(name.as_str()))
        })
        .map(|(ordinal, _)| *ordinal)
        .collect()
}

/// What happened to the world and is always told; the first boots are not.
fn worldly<E>(entry: &Entry<E>) -> bool {
    match entry.event {
        Event::System(_) | Event::Standing(_) => false,
        Event::Booted => entry.boot > 1,
        _ => true,
    }
}

fn line<E: Serialize>(
    entry: &Entry<E>,
    told: &BTreeMap<u64, Told>,
    faults: Option<&[Fault]>,
    weight: Weight,
) -> Line {
    Line::Entry {
        ordinal: entry.ordinal,
        at_us: entry.at_us,
        host: entry.host.to_string(),
        what: words(entry, told, faults).0,
        to: told.get(&entry.ordinal).and_then(|told| told.to.clone()),
        weight,
    }
}

fn fold<E: Serialize>(
    entries: &[Entry<E>],
    told: &BTreeMap<u64, Told>,
    faults: Option<&[Fault]>,
) -> Line {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries {
        let kind = words(entry, told, faults).1.replace('_', " ");
        *counts.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<(String, u64)> = counts.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others: u64 = kinds.iter().skip(MOST_KINDS).map(|(_, count)| count).sum();
    kinds.truncate(MOST_KINDS);
    if others > 0 {
        kinds.push(("others".to_owned(), others));
    }
    Line::Fold {
        from_us: entries.first().map_or(0, |entry| entry.at_us),
        to_us: entries.last().map_or(0, |entry| entry.at_us),
        entries: entries.len(),
        kinds,
    }
}
