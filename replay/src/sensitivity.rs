//! How much the comparison would still catch: known mutations of the candidate's answers, compared again under the same rules.
//!
//! Pairs that passed are sampled, evenly over endpoints. Each is mutated in every way that fits it: another status, and, in fields that both
//! sides have, another value, another type, a dropped field, an hour's shift of a time; text bodies lose a character. A mutation is caught if the pair is a mismatch then.
//! Fields that only one side has cannot be wrong against anything, and refusals that a rule compares by status are mutated there only.
//!
//! **Invariant**: the same capture and answers give the same mutations: the sample's seed is the capture's digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::{
    capture::decoded,
    diff::{Comparer, shortened},
    json::{Json, Number, parse},
    pairs::Pair,
    run::{Answer, Outcome},
};

/// So many pairs of each endpoint are mutated.
const PER_ENDPOINT: usize = 50;

/// So many endpoints are sampled.
const ENDPOINTS: usize = 200;

/// So many blind spots are named.
const BLIND_SPOTS: usize = 20;

/// Pairs to mutate, drawn evenly from a stream of them.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    chance: Chance,
    endpoints: BTreeMap<&'a str, (u64, Vec<Pair<'a>>)>,
}

/// What the mutations showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sensitivity {
    /// How many mutations were tried.
    pub mutations: u64,
    /// How many were caught.
    pub caught: u64,
    /// The same by kind of mutation.
    pub by_mutation: BTreeMap<&'static str, Caught>,
    /// What was not caught, the most frequent first.
    pub blind: Vec<BlindSpot>,
}

/// Mutations of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Caught {
    /// How many were tried.
    pub mutations: u64,
    /// How many were caught.
    pub caught: u64,
}

/// A place where mutations pass.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BlindSpot {
    /// The endpoint.
    pub endpoint: String,
    /// The kind of mutation.
    pub mutation: &'static str,
    /// The field.
    pub path: String,
    /// How many passed there.
    pub count: u64,
}

impl Sensitivity {
    /// The share that was caught; `None` when nothing was tried.
    pub fn share(&self) -> Option<f64> {
        (self.mutations > 0).then(|| self.caught as f64 / self.mutations as f64)
    }
}

/// A small generator (`SplitMix64`), so that a sample needs no machine's entropy.
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        let at = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        items.get(at)
    }
}

impl<'a> Sample<'a> {
    /// An empty sample; `sha256` is the capture's.
    pub fn new(sha256: &str) -> Self {
        let seed = sha256
            .get(..16)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Self {
            chance: Chance(seed.unwrap_or(0)),
            endpoints: BTreeMap::new(),
        }
    }

    /// Offers a pair that passed.
    pub fn offer(&mut self, pair: Pair<'a>) {
        if self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(pair.endpoint) {
            return;
        }
        let (seen, kept) = self.endpoints.entry(pair.endpoint).or_default();
        *seen += 1;
        if kept.len() < PER_ENDPOINT {
            kept.push(pair);
        } else if let Ok(at) = usize::try_from(self.chance.below(*seen))
            && at < PER_ENDPOINT
        {
            kept[at] = pair;
        }
    }

    /// Mutates the sample and compares again.
    pub fn measure(mut self, comparer: &Comparer<'_>) -> Sensitivity {
        let mut comparer = comparer.clone().frozen();
        let mut result = Sensitivity::default();
        let mut blind: BTreeMap<(String, &'static str, String), u64> = BTreeMap::new();
        let pairs: Vec<Pair<'a>> = self
            .endpoints
            .into_values()
            .flat_map(|(_, kept)| kept)
            .collect();
        for pair in pairs {
            let (Outcome::Answered(legacy), Outcome::Answered(candidate)) =
                (pair.legacy, pair.candidate)
            else {
                continue;
            };
            let by_status = comparer.compare(pair.subject, legacy, candidate).by_status;
            let mutants = mutants(legacy, candidate, by_status, &mut self.chance);
            for Mutant {
                mutation,
                path,
                answer,
            } in mutants
            {
                let comparison = comparer.compare(pair.subject, legacy, &answer);
                let caught = !comparison.differences.is_empty();
                let kind = result.by_mutation.entry(mutation).or_default();
                kind.mutations += 1;
                result.mutations += 1;
                if caught {
                    kind.caught += 1;
                    result.caught += 1;
                } else {
                    let spot = (shortened(pair.endpoint), mutation, shortened(&path));
                    *blind.entry(spot).or_default() += 1;
                }
            }
        }
        result.blind = named(blind);
        result
    }
}

fn named(blind: BTreeMap<(String, &'static str, String), u64>) -> Vec<BlindSpot> {
    let mut spots: Vec<BlindSpot> = blind
        .into_iter()
        .map(|((endpoint, mutation, path), count)| BlindSpot {
            endpoint,
            mutation,
            path,
            count,
        })
        .collect();
    spots.sort_by_key(|spot| std::cmp::Reverse(spot.count));
    spots.truncate(BLIND_SPOTS);
    spots
}

struct Mutant {
    mutation: &'static str,
    path: String,
    answer: Answer,
}

fn mutants(
    legacy: &Answer,
    candidate: &Answer,
    by_status: bool,
    chance: &mut Chance,
) -> Vec<Mutant> {
    let mut mutants = vec![Mutant {
        mutation: "status",
        path: String::new(),
        answer: Answer {
            status: if candidate.status < 300 { 404 } else { 200 },
            ..candidate.clone()
        },
    }];
    if by_status {
        return mutants;
    }
    let (Ok(a), Ok(b)) = (
        decoded(&legacy.headers, &legacy.body),
        decoded(&candidate.headers, &candidate.body),
    ) else {
        return mutants;
    };
    let mut push = |mutation, path: String, body: String| {
        let mut answer = candidate.clone();
        answer
            .headers
            .retain(|(name, _)| name != "content-encoding");
        answer.body = Bytes::from(body);
        mutants.push(Mutant {
            mutation,
            path,
            answer,
        });
    };
    match (parse(&a), parse(&b)) {
        (Ok(a), Ok(b)) => {
            let mut places = Vec::new();
            shared(&a, &b, &mut Vec::new(), &mut String::new(), &mut places);
            for (mutation, mutate) in MUTATIONS {
                let fitting: Vec<_> = places
                    .iter()
                    .filter_map(|(steps, path)| Some((mutate(&b, steps)?, path)))
                    .collect();
                if let Some((mutated, path)) = chance.pick(&fitting) {
                    push(mutation, (*path).clone(), mutated.to_string());
                }
            }
        }
        _ if a == b && !b.is_empty() => {
            let mut text = String::from_utf8_lossy(&b).into_owned();
            text.pop();
            push("value", String::new(), text);
        }
        _ => {}
    }
    mutants
}

type Mutate = for<'j> fn(&Json<'j>, &[usize]) -> Option<Json<'j>>;

const MUTATIONS: [(&str, Mutate); 4] = [
    ("value", other_value),
    ("type", other_type),
    ("drop", without),
    ("hour", hour_later),
];

/// The scalars that both documents have at the same place: their steps in the candidate's, and their pointer.
fn shared(
    legacy: &Json<'_>,
    candidate: &Json<'_>,
    steps: &mut Vec<usize>,
    path: &mut String,
    places: &mut Vec<(Vec<usize>, String)>,
) {
    let mut child = |at: usize, name: &str, a: &Json<'_>, b: &Json<'_>| {
        let length = path.len();
        path.push('/');
        path.push_str(name);
        steps.push(at);
        shared(a, b, steps, path, places);
        steps.pop();
        path.truncate(length);
    };
    match (legacy, candidate) {
        (Json::Object(_), Json::Object(members)) => {
            for (at, (key, value)) in members.iter().enumerate() {
                if let Some(known) = legacy.get(key) {
                    child(at, key, known, value);
                }
            }
        }
        (Json::Array(known), Json::Array(items)) => {
            for (at, (a, b)) in known.iter().zip(items).enumerate() {
                child(at, "*", a, b);
            }
        }
        (Json::Object(_) | Json::Array(_), _) | (_, Json::Object(_) | Json::Array(_)) => {}
        _ => places.push((steps.clone(), path.clone())),
    }
}

fn at<'m, 'j>(json: &'m mut Json<'j>, steps: &[usize]) -> Option<&'m mut Json<'j>> {
    steps.iter().try_fold(json, |json, step| match json {
        Json::Object(members) => members.get_mut(*step).map(|(_, value)| value),
        Json::Array(items) => items.get_mut(*step),
        _ => None,
    })
}

fn replaced<'j>(
    json: &Json<'j>,
    steps: &[usize],
    other: impl Fn(&Json<'j>) -> Option<Json<'j>>,
) -> Option<Json<'j>> {
    let mut mutated = json.clone();
    let place = at(&mut mutated, steps)?;
    *place = other(place)?;
    Some(mutated)
}

fn other_value<'j>(json: &Json<'j>, steps: &[usize]) -> Option<Json<'j>> {
    replaced(json, steps, |value| match value {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        Json::Bool(value) => Some(Json::Bool(!value)),
        // Another leading digit is another value, whatever the size.
        Json::Number(number) => {
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
            Some(Json::String(other.into()))
        }
    })
}

fn other_type<'j>(json: &Json<'j>, steps: &[usize]) -> Option<Json<'j>> {
    replaced(json, steps, |value| {
        Some(match value {
            Json::Null => Json::String("".into()),
            Json::Number(number) => Json::String(number.text().to_owned().into()),
            _ => Json::Null,
        })
    })
}

fn without<'j>(json: &Json<'j>, steps: &[usize]) -> Option<Json<'j>> {
    let (last, before) = steps.split_last()?;
    let mut mutated = json.clone();
    match at(&mut mutated, before)? {
        Json::Object(members) => {
            members.remove(*last);
        }
        Json::Array(items) => {
            items.remove(*last);
        }
        _ => return None,
    }
    Some(mutated)
}

fn hour_later<'j>(json: &Json<'j>, steps: &[usize]) -> Option<Json<'j>> {
    replaced(json, steps, |value| match value {
        Json::String(text) => {
            let time: Timestamp = text.parse().ok()?;
            let later = time.checked_add(SignedDuration::from_hours(1)).ok()?;
            Some(Json::String(later.to_string().into()))
        }
        _ => None,
    })
}
