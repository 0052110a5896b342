//! Mutations: what a replacement may get wrong in an answer, one mistake at a time.
//!
//! | mutation | the mistake |
//! |---|---|
//! | `status`, `status_near` | another class of status; the next status of the same class |
//! | `header`, `header_drop` | another value of a header that both sides have; no such header |
//! | `value`, `case`, `truncate` | another value, or the next number; another case; half of a text |
//! | `swap` | the value that another answer has there: a reference to somebody else's row |
//! | `type`, `drop`, `extra` | another JSON type; no such field; a field that nobody has |
//! | `hour` | a time an hour later |
//! | `duplicate`, `reorder`, `shorten` | an array's first item twice; two items exchanged; its last item lost |
//! | `empty` | no body |
//!
//! **Invariant**: a mutant differs from the answer it was made of in what it means, not in how it is written, and is no nearer to legacy's: a value
//! that legacy has there is no mistake.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::Chance;
use crate::{
    capture::{decoded, header},
    diff::is_volatile,
    json::{Json, Number, parse, unmarked},
    run::Answer,
};

/// The key of a field that nobody has.
const NOBODYS: &str = "rehearsal-mutant";

/// A mutated answer.
pub(super) struct Mutant {
    pub(super) mutation: &'static str,
    /// The JSON pointer or the header's name.
    pub(super) path: String,
    pub(super) answer: Answer,
}

/// All mutants of `candidate`, each mutation at one place; `donor` is another answer to the same endpoint.
pub(super) fn mutants(
    legacy: &Answer,
    candidate: &Answer,
    donor: Option<&Answer>,
    by_status: bool,
    chance: &mut Chance,
) -> Vec<Mutant> {
    let mut mutants = statuses(candidate);
    if by_status {
        return mutants;
    }
    mutants.extend(headers(legacy, candidate, chance));
    let (Ok(a), Ok(b)) = (
        decoded(&legacy.headers, &legacy.body),
        decoded(&candidate.headers, &candidate.body),
    ) else {
        return mutants;
    };
    // A mark stays, or its absence alone would be caught.
    let mark = &b[..b.len() - unmarked(&b).len()];
    let mut push = |mutation, path: &str, body: &[u8]| {
        let mut answer = candidate.clone();
        answer
            .headers
            .retain(|(name, _)| name != "content-encoding");
        answer.body = if body.is_empty() {
            Bytes::new()
        } else {
            [mark, body].concat().into()
        };
        mutants.push(Mutant {
            mutation,
            path: path.to_owned(),
            answer,
        });
    };
    if !a.is_empty() && !b.is_empty() {
        push("empty", "", b"");
    }
    match (parse(&a), parse(&b)) {
        (Ok(a), Ok(b)) => {
            let mut places = Vec::new();
            shared(&a, &b, &mut Vec::new(), &mut String::new(), &mut places);
            let donated = donor.and_then(|donor| decoded(&donor.headers, &donor.body).ok());
            let donated = donated.as_deref().and_then(|body| parse(body).ok());
            for (mutation, mutate) in MUTATIONS {
                let fitting: Vec<_> = places
                    .iter()
                    .filter_map(|place| Some((mutate(&b, place)?, place)))
                    .collect();
                if let Some((change, place)) = chance.pick(&fitting) {
                    push(
                        mutation,
                        &place.path,
                        changed(&b, place, change).to_string().as_bytes(),
                    );
                }
            }
            let swapped: Vec<_> = places
                .iter()
                .filter_map(|place| Some((swapped(&b, donated.as_ref()?, place)?, place)))
                .collect();
            if let Some((change, place)) = chance.pick(&swapped) {
                let swapped = changed(&b, place, change).to_string();
                push("swap", &place.path, swapped.as_bytes());
            }
        }
        _ if a == b && !b.is_empty() => {
            let text = unmarked(&b).trim_ascii_end();
            let shorter = match std::str::from_utf8(text) {
                Ok(text) => text.char_indices().next_back().map_or(0, |(at, _)| at),
                // Of two bytes a character, half a one would be caught whatever the rules say.
                Err(_) if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") => {
                    b.len().saturating_sub(2)
                }
                Err(_) => text.len() - 1,
            };
            let shorter = &unmarked(&b)[..shorter];
            push("value", "", shorter);
        }
        _ => {}
    }
    mutants
}

fn statuses(candidate: &Answer) -> Vec<Mutant> {
    let other = if candidate.status < 300 { 404 } else { 200 };
    let near = candidate.status + 1;
    let mutant = |(mutation, status)| Mutant {
        mutation,
        path: String::new(),
        answer: Answer {
            status,
            ..candidate.clone()
        },
    };
    [("status", other), ("status_near", near)]
        .map(mutant)
        .into()
}

/// One header that both sides have with the same value, changed and left out.
fn headers(legacy: &Answer, candidate: &Answer, chance: &mut Chance) -> Vec<Mutant> {
    let fitting: Vec<usize> = (0..candidate.headers.len())
        .filter(|at| {
            let (name, value) = &candidate.headers[*at];
            !is_volatile(name)
                && name != "set-cookie"
                && header(&legacy.headers, name) == Some(value)
        })
        .collect();
    let Some(at) = chance.pick(&fitting).copied() else {
        return Vec::new();
    };
    let (mut other, mut without) = (candidate.clone(), candidate.clone());
    let name = candidate.headers[at].0.clone();
    other.headers[at].1.insert(0, 'x');
    without.headers.retain(|(known, _)| *known != name);
    [("header", other), ("header_drop", without)]
        .map(|(mutation, answer)| Mutant {
            mutation,
            path: name.clone(),
            answer,
        })
        .into()
}

/// A place that both documents have.
struct Place<'p, 'l> {
    /// From the candidate's root: which member or item, step by step.
    steps: Vec<usize>,
    /// The JSON pointer, with array indexes as `*`.
    path: String,
    /// What legacy has there.
    legacy: &'p Json<'l>,
}

impl Place<'_, '_> {
    /// Whether it is an object or an array on both sides.
    fn is_container(&self) -> bool {
        matches!(self.legacy, Json::Object(_) | Json::Array(_))
    }
}

/// What becomes of one place. A document has thousands of places and is copied only for the one that is picked.
enum Change<'j> {
    /// Another value.
    Other(Json<'j>),
    /// No such member.
    Gone,
}

type Mutate = for<'j> fn(&Json<'j>, &Place<'_, '_>) -> Option<Change<'j>>;

const MUTATIONS: [(&str, Mutate); 10] = [
    ("value", other_value),
    ("case", other_case),
    ("truncate", half),
    ("type", other_type),
    ("drop", without),
    ("extra", with_another),
    ("hour", hour_later),
    ("duplicate", twice),
    ("reorder", exchanged),
    ("shorten", without_last),
];

/// The places that both documents have: scalars, and containers of the same kind.
fn shared<'p, 'l>(
    legacy: &'p Json<'l>,
    candidate: &Json<'_>,
    steps: &mut Vec<usize>,
    path: &mut String,
    places: &mut Vec<Place<'p, 'l>>,
) {
    let mut found = |steps: &[usize], path: &str| {
        places.push(Place {
            steps: steps.to_vec(),
            path: path.to_owned(),
            legacy,
        });
    };
    let children: Vec<(usize, &str, &'p Json<'l>, &Json<'_>)> = match (legacy, candidate) {
        (Json::Object(_), Json::Object(members)) => {
            found(steps, path);
            let known = |(at, (key, value))| {
                let (key, value): (&std::borrow::Cow<'_, str>, &Json<'_>) = (key, value);
                Some((at, key.as_ref(), legacy.get(key)?, value))
            };
            let members = members.iter().map(|(key, value)| (key, value));
            members.enumerate().filter_map(known).collect()
        }
        (Json::Array(known), Json::Array(items)) => {
            found(steps, path);
            let pairs = known.iter().zip(items).enumerate();
            pairs.map(|(at, (a, b))| (at, "*", a, b)).collect()
        }
        (Json::Object(_) | Json::Array(_), _) | (_, Json::Object(_) | Json::Array(_)) => return,
        _ => return found(steps, path),
    };
    for (at, name, a, b) in children {
        let length = path.len();
        path.push('/');
        path.push_str(name);
        steps.push(at);
        shared(a, b, steps, path, places);
        steps.pop();
        path.truncate(length);
    }
}

fn at<'m, 'j>(json: &'m Json<'j>, steps: &[usize]) -> Option<&'m Json<'j>> {
    steps.iter().try_fold(json, |json, step| match json {
        Json::Object(members) => members.get(*step).map(|(_, value)| value),
        Json::Array(items) => items.get(*step),
        _ => None,
    })
}

fn at_mut<'m, 'j>(json: &'m mut Json<'j>, steps: &[usize]) -> Option<&'m mut Json<'j>> {
    steps.iter().try_fold(json, |json, step| match json {
        Json::Object(members) => members.get_mut(*step).map(|(_, value)| value),
        Json::Array(items) => items.get_mut(*step),
        _ => None,
    })
}

/// The document with one place changed.
fn changed<'j>(json: &Json<'j>, place: &Place<'_, '_>, change: &Change<'j>) -> Json<'j> {
    let mut changed = json.clone();
    match change {
        Change::Other(other) => {
            if let Some(found) = at_mut(&mut changed, &place.steps) {
                *found = other.clone();
            }
        }
        Change::Gone => {
            if let Some((last, before)) = place.steps.split_last()
                && let Some(Json::Object(members)) = at_mut(&mut changed, before)
            {
                members.remove(*last);
            }
        }
    }
    changed
}

fn replaced<'j>(
    json: &Json<'j>,
    place: &Place<'_, '_>,
    other: impl Fn(&Json<'j>) -> Option<Json<'j>>,
) -> Option<Change<'j>> {
    let found = at(json, &place.steps)?;
    other(found)
        .filter(|other| other != found && other != place.legacy)
        .map(Change::Other)
}

fn text_of<'j>(other: impl Into<String>) -> Json<'j> {
    Json::String(other.into().into())
}

fn other_value<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    replaced(json, place, |value| match value {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        Json::Bool(value) => Some(Json::Bool(!value)),
        // The next number for one half of them; for the other, another leading digit: another value, whatever the size.
        Json::Number(number) => {
            if let Some(even) = number.text().parse::<i64>().ok().filter(|one| one % 2 == 0) {
                let next = even.saturating_add(1).to_string();
                return Some(Json::Number(Number::from_text(next)));
            }
            let (sign, digits) = match number.text().strip_prefix('-') {
                Some(digits) => ("-", digits),
                None => ("", number.text()),
            };
            let other = if digits.starts_with('7') { '8' } else { '7' };
            let text = format!("{sign}{other}{}", &digits[1..]);
            Some(Json::Number(Number::from_text(text)))
        }
        Json::String(text) => {
            let mut other = text.to_string();
            if other.pop().is_none() {
                other.push('x');
            }
            Some(text_of(other))
        }
    })
}

fn other_case<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    replaced(json, place, |value| match value {
        // The letters of a time mean the same in either case.
        Json::String(text) if text.parse::<Timestamp>().is_err() => {
            let upper = text.to_uppercase();
            let other = if upper == **text {
                text.to_lowercase()
            } else {
                upper
            };
            Some(text_of(other))
        }
        _ => None,
    })
}

fn half<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    replaced(json, place, |value| match value {
        Json::String(text) if text.chars().count() >= 4 => {
            let kept = text.chars().count() / 2;
            Some(text_of(text.chars().take(kept).collect::<String>()))
        }
        _ => None,
    })
}

fn other_type<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    replaced(json, place, |value| {
        Some(match value {
            Json::Null => Json::String("".into()),
            Json::Number(number) => text_of(number.text()),
            Json::Object(_) | Json::Array(_) => return None,
            _ => Json::Null,
        })
    })
}

fn without<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    let (_, before) = place.steps.split_last()?;
    let of_object = matches!(at(json, before)?, Json::Object(_));
    (of_object && !place.is_container()).then_some(Change::Gone)
}

fn with_another<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    replaced(json, place, |value| match value {
        Json::Object(members) => {
            let mut members = members.clone();
            members.push((NOBODYS.into(), Json::Bool(true)));
            Some(Json::Object(members))
        }
        _ => None,
    })
}

fn hour_later<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    replaced(json, place, |value| match value {
        Json::String(text) => {
            let time: Timestamp = text.parse().ok()?;
            let later = time.checked_add(SignedDuration::from_hours(1)).ok()?;
            Some(text_of(later.to_string()))
        }
        _ => None,
    })
}

/// The array there, changed.
fn items<'j>(
    json: &Json<'j>,
    place: &Place<'_, '_>,
    change: impl Fn(&mut Vec<Json<'j>>) -> Option<()>,
) -> Option<Change<'j>> {
    replaced(json, place, |value| match value {
        Json::Array(items) => {
            let mut items = items.clone();
            change(&mut items)?;
            Some(Json::Array(items))
        }
        _ => None,
    })
}

fn twice<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    items(json, place, |items| {
        items.insert(0, items.first()?.clone());
        Some(())
    })
}

fn exchanged<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    items(json, place, |items| {
        let other = items.iter().position(|item| *item != items[0])?;
        items.swap(0, other);
        Some(())
    })
}

fn without_last<'j>(json: &Json<'j>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    items(json, place, |items| items.pop().map(|_| ()))
}

/// The value that another answer has at the same place.
fn swapped<'j>(json: &Json<'j>, donor: &Json<'_>, place: &Place<'_, '_>) -> Option<Change<'j>> {
    let other = named(json, donor, &place.steps)?;
    replaced(json, place, |value| match (value, other) {
        (Json::String(_), Json::String(text)) => Some(text_of(text.as_ref())),
        (Json::Number(_), Json::Number(number)) => {
            Some(Json::Number(Number::from_text(number.text().to_owned())))
        }
        _ => None,
    })
}

/// What `donor` has under the names that lead to a place of `json`.
fn named<'d, 'n>(json: &Json<'_>, donor: &'d Json<'n>, steps: &[usize]) -> Option<&'d Json<'n>> {
    let (mut json, mut donor) = (json, donor);
    for step in steps {
        (json, donor) = match (json, donor) {
            (Json::Object(members), Json::Object(_)) => {
                let (key, value) = members.get(*step)?;
                (value, donor.get(key)?)
            }
            (Json::Array(items), Json::Array(others)) => (items.get(*step)?, others.get(*step)?),
            _ => return None,
        };
    }
    Some(donor)
}
