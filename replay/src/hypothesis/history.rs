//! Causes over several requests: repetitions that take effect again, reads that are old, writes that are lost.
//!
//! **Invariant**: what came before is what the plan says came before, never which answer came first.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    capture::header,
    diff::Comparer,
    hypothesis::{
        answers::{Answered, Answers},
        cause::{Cause, Class, Undo},
        place::{Example, Fate, Place},
        value::named,
    },
    json::{Json, parse},
    plan::Plan,
    run::Answer,
};

/// Causes that lie in what was asked before; none where there is no plan: final states are read once.
pub(super) fn causes<'c>(
    place: &'c Place,
    plan: Option<&'c Plan>,
    answers: &'c Answers<'c>,
    cluster: &[Answered<'c>],
    examples: &[Example],
    comparer: &Comparer<'_>,
) -> Vec<Cause<'c>> {
    let Some(plan) = plan.filter(|plan| {
        let last = answers.places().last();
        last.is_none_or(|at| at < plan.requests.len())
    }) else {
        return Vec::new();
    };
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut reads: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for at in answers.places() {
        if is_read(plan, at) {
            let target = &*plan.requests[at].target;
            reads.entry(target).or_default().push(at);
        } else if let Some(identity) = identity(plan, at) {
            first.entry(identity).or_insert(at);
        }
    }
    let mut causes = vec![faults(place, answers, cluster)];
    causes.extend(not_given(place, plan, examples));
    if cluster.iter().any(|one| !is_read(plan, one.at)) {
        causes.push(repeated(place, plan, answers, first));
    }
    if cluster.iter().any(|one| is_read(plan, one.at)) {
        causes.push(old(place, plan, answers, reads, cluster, comparer));
    }
    causes
}

fn is_refused(status: u16) -> bool {
    (400..500).contains(&status)
}

/// Of several faults another one is told: what the candidate says is what legacy says to other requests, so it is no new name.
fn faults<'c>(place: &'c Place, answers: &Answers<'c>, cluster: &[Answered<'c>]) -> Cause<'c> {
    let endpoints: BTreeSet<&str> = cluster.iter().map(|one| one.endpoint).collect();
    let told: BTreeSet<String> = answers
        .places()
        .filter(|at| {
            endpoints.contains(answers.endpoint(*at)) && is_refused(answers.legacy_status(*at))
        })
        .filter_map(|at| place.scalar(answers.held(at).answered()?.legacy))
        .collect();
    let said = format!(
        "of several faults in a request another one is told first ({})",
        named(place)
    );
    let undo: Undo<'c> = Box::new(move |one: &Answered<'_>| {
        let known = place
            .scalar(one.candidate)
            .is_some_and(|value| told.contains(&value));
        let both = is_refused(one.legacy.status) && is_refused(one.candidate.status);
        let differ = !one.sorted.comparison.differences.is_empty();
        (known && both && differ).then(|| (one.candidate.clone(), one.candidate.clone()))
    });
    Cause::new(Class::ValidationOrder, said, undo)
}

/// What a request does not give becomes one value on one side and another on the other.
fn not_given<'c>(place: &'c Place, plan: &'c Plan, examples: &[Example]) -> Option<Cause<'c>> {
    let first = examples.first()?;
    let constant = examples
        .iter()
        .all(|one| one.legacy == first.legacy && one.candidate == first.candidate);
    let field = place
        .path
        .rsplit('/')
        .next()
        .filter(|field| !field.is_empty())?;
    let field = field.replace("~1", "/").replace("~0", "~");
    if !constant {
        return None;
    }
    let (old, new) = (first.legacy.clone()?, first.candidate.clone()?);
    let said = format!(
        "what a request does not give at {} becomes {new} and not {old}",
        place.path
    );
    let undo: Undo<'c> = Box::new(move |one: &Answered<'_>| {
        let asked = plan.contents.get(one.at)?;
        let body = asked.body.whole()?;
        let given = parse(body).ok()?;
        if !matches!(given, Json::Object(_)) || given.get(&field).is_some() {
            return None;
        }
        let change = |value: Option<&Json<'_>>| match value {
            Some(value) if *value == old => Fate::Becomes(new.clone()),
            _ => Fate::Stays,
        };
        Some((place.changed(one.legacy, &change)?, one.candidate.clone()))
    });
    Some(Cause::new(Class::Default, said, undo))
}

fn is_read(plan: &Plan, at: usize) -> bool {
    matches!(&*plan.requests[at].method, "GET" | "HEAD")
}

/// What makes two writes repetitions of each other: their key, or all of them.
fn identity(plan: &Plan, at: usize) -> Option<String> {
    let request = plan.contents.get(at)?;
    let body = match header(&request.headers, "idempotency-key") {
        Some(key) => key.to_owned(),
        None => request
            .body
            .whole()
            .map(|body| String::from_utf8_lossy(body).into_owned())
            .unwrap_or_default(),
    };
    Some(format!("{} {} {body}", request.method, request.target))
}

/// A repetition is undone by the first answers: both sides gave them to the same request.
fn repeated<'c>(
    place: &'c Place,
    plan: &'c Plan,
    answers: &'c Answers<'c>,
    first: BTreeMap<String, usize>,
) -> Cause<'c> {
    let undo: Undo<'c> = Box::new(move |one: &Answered<'_>| {
        if is_read(plan, one.at) {
            return None;
        }
        let held = answers.held(*first.get(&identity(plan, one.at)?)?);
        let before = held.answered()?;
        // One side repeats its first answer, under whatever status, and the other does not.
        let repeats = |now: &Answer, then: &Answer| now.body == then.body;
        let (old, new) = (
            repeats(one.legacy, before.legacy),
            repeats(one.candidate, before.candidate),
        );
        (before.at < one.at && old != new)
            .then(|| (before.legacy.clone(), before.candidate.clone()))
    });
    let said = format!(
        "a repeated request is answered like a new one on one side only ({})",
        place.kind.name()
    );
    Cause::new(Class::Idempotency, said, undo)
}

/// An old read is undone by what legacy answered before.
fn old<'c>(
    place: &'c Place,
    plan: &'c Plan,
    answers: &'c Answers<'c>,
    reads: BTreeMap<&'c str, Vec<usize>>,
    cluster: &[Answered<'c>],
    comparer: &Comparer<'_>,
) -> Cause<'c> {
    // Whether the candidate catches up: a later read of the same target that agrees.
    let mut caught_up = 0;
    let mut comparer = comparer.clone();
    for one in cluster {
        let target = &*plan.requests[one.at].target;
        let later = reads.get(target).into_iter().flatten();
        let agrees = later.filter(|at| **at > one.at).any(|at| {
            let held = answers.held(*at);
            held.answered().is_some_and(|later| {
                let again = comparer.compare(later.subject, one.legacy, later.candidate);
                again.differences.is_empty()
            })
        });
        caught_up += usize::from(agrees);
    }
    let (class, said) = if 2 * caught_up >= cluster.len() {
        (
            Class::StaleRead,
            "a read shows what was before the last write, and a later one what it wrote",
        )
    } else {
        (
            Class::LostUpdate,
            "a read shows what was before the last write, and no later one what it wrote",
        )
    };
    let undo: Undo<'c> = Box::new(move |one: &Answered<'_>| {
        if !is_read(plan, one.at) {
            return None;
        }
        let earlier = reads.get(&*plan.requests[one.at].target)?;
        let now = answers.legacy_digest(one.at);
        let differs = |at: &&usize| **at < one.at && answers.legacy_digest(**at) != now;
        let before = answers.held(*earlier.iter().rev().find(differs)?);
        let legacy = place.taken_from(before.answered()?.legacy, one.legacy)?;
        Some((legacy, one.candidate.clone()))
    });
    Cause::new(class, format!("{said} ({})", named(place)), undo)
}
