//! How much of the services' behavior a capture shows: classes of exchanges, and an estimate of what it has not shown yet.
//!
//! Two exchanges are of one class if endpoint, status, the answer's shape (its JSON keys and types, not its values) and the step before it of the
//! same entity are the same: a thousand reads of the same row are one class. The share of exchanges whose class was seen once estimates the
//! probability that the next exchange is of a class never seen (Good 1953): the part of the behavior that no comparison of this capture speaks of.
//!
//! **Invariant**: only legacy's answers count, since the candidate's mistakes are no behavior to cover; and memory is bounded by [`CLASSES`].

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher,
};

use crate::{
    capture::decoded,
    diff::shortened,
    json::{Json, parse, unmarked},
    run::{Answer, Outcome},
};

/// So many classes are kept apart; more exchanges of new classes count as seen once, which errs on the safe side.
pub const CLASSES: usize = 100_000;

/// So many entities' last steps are remembered.
const ENTITIES: usize = 1_000_000;

/// So many endpoints are told apart in the report.
const ENDPOINTS: usize = 100;

/// The classes of a run, while it is counted.
#[derive(Clone, Debug, Default)]
pub struct Behavior<'a> {
    classes: BTreeMap<u64, u64>,
    beyond: u64,
    before: BTreeMap<&'a str, u64>,
    endpoints: BTreeMap<String, BTreeSet<u64>>,
}

/// What a capture shows of the behavior.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct BehaviorReport {
    /// Exchanges that legacy answered.
    pub exchanges: u64,
    /// Their distinct classes: endpoint, status, shape, and the step before.
    pub classes: u64,
    /// Classes that were seen once.
    pub seen_once: u64,
    /// The estimated probability that the next exchange is of a class that was not seen (Good-Turing); 1 when nothing was seen.
    pub missing_mass: f64,
    /// The same by endpoint.
    pub endpoints: Vec<EndpointBehavior>,
}

/// The classes of one endpoint.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct EndpointBehavior {
    /// Its name.
    pub endpoint: String,
    /// Its exchanges.
    pub exchanges: u64,
    /// Their classes.
    pub classes: u64,
    /// Classes that were seen once.
    pub seen_once: u64,
    /// Good-Turing's estimate for this endpoint.
    pub missing_mass: f64,
}

impl<'a> Behavior<'a> {
    /// Counts what legacy made of a request to `endpoint`; `entity` is what the request touches.
    pub fn add(&mut self, endpoint: &str, entity: Option<&'a str>, legacy: &Outcome) {
        let Outcome::Answered(answer) = legacy else {
            return;
        };
        let step = hash(|hasher| {
            hasher.write(endpoint.as_bytes());
            hasher.write_u16(answer.status);
        });
        let before = match entity {
            Some(entity) if self.before.len() < ENTITIES || self.before.contains_key(entity) => {
                self.before.insert(entity, step)
            }
            _ => None,
        };
        let class = hash(|hasher| {
            hasher.write_u64(step);
            hasher.write_u64(before.unwrap_or(0));
            hasher.write_u64(shape_of(answer));
        });
        if self.classes.len() >= CLASSES && !self.classes.contains_key(&class) {
            self.beyond += 1;
            return;
        }
        *self.classes.entry(class).or_default() += 1;
        let name = shortened(endpoint);
        let full = self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(&name);
        let name = if full { "(others)".to_owned() } else { name };
        self.endpoints.entry(name).or_default().insert(class);
    }

    /// What was counted.
    pub fn report(&self) -> BehaviorReport {
        let whole = self.tally(self.classes.keys());
        let endpoints = self.endpoints.iter().map(|(endpoint, classes)| {
            let tally = self.tally(classes);
            EndpointBehavior {
                endpoint: endpoint.clone(),
                exchanges: tally.exchanges,
                classes: tally.classes,
                seen_once: tally.once,
                missing_mass: missing(tally.once, tally.exchanges),
            }
        });
        let once = whole.once + self.beyond;
        let exchanges = whole.exchanges + self.beyond;
        BehaviorReport {
            exchanges,
            classes: whole.classes + self.beyond,
            seen_once: once,
            missing_mass: missing(once, exchanges),
            endpoints: endpoints.collect(),
        }
    }

    fn tally<'c>(&self, classes: impl IntoIterator<Item = &'c u64>) -> Tally {
        let mut tally = Tally::default();
        for class in classes {
            let count = self.classes.get(class).copied().unwrap_or(0);
            tally.exchanges += count;
            tally.classes += 1;
            tally.once += u64::from(count == 1);
        }
        tally
    }
}

#[derive(Default)]
struct Tally {
    exchanges: u64,
    classes: u64,
    once: u64,
}

fn missing(once: u64, exchanges: u64) -> f64 {
    match exchanges {
        0 => 1.0,
        all => once as f64 / all as f64,
    }
}

/// The shape of an answer's body: a JSON document's keys and types, else what kind of body it is.
fn shape_of(answer: &Answer) -> u64 {
    let Ok(body) = decoded(&answer.headers, &answer.body) else {
        return 1;
    };
    if body.is_empty() {
        return 2;
    }
    match unmarked(&body).trim_ascii_start().first() {
        Some(b'{' | b'[') => parse(&body).map_or(3, |json| shape(&json)),
        _ => 3,
    }
}

fn shape(json: &Json<'_>) -> u64 {
    hash(|hasher| match json {
        Json::Object(members) => {
            // The order of keys is no shape.
            let members: BTreeSet<(&str, u64)> = members
                .iter()
                .map(|(key, value)| (key.as_ref(), shape(value)))
                .collect();
            hasher.write_u8(1);
            for (key, shape) in members {
                hasher.write(key.as_bytes());
                hasher.write_u64(shape);
            }
        }
        Json::Array(items) => {
            // Neither is the number of items, unless it is none.
            let items: BTreeSet<u64> = items.iter().map(shape).collect();
            hasher.write_u8(2);
            for shape in items {
                hasher.write_u64(shape);
            }
        }
        Json::Null => hasher.write_u8(3),
        Json::Bool(_) => hasher.write_u8(4),
        Json::Number(_) => hasher.write_u8(5),
        Json::String(_) => hasher.write_u8(6),
    })
}

/// FNV-1a with 64 bits: the same in every process, and wide enough that two of a hundred thousand classes hardly ever meet.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        for byte in bytes.len().to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn hash(write: impl FnOnce(&mut Fnv)) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    write(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answered(status: u16, body: &'static str) -> Outcome {
        Outcome::Answered(Answer {
            status,
            headers: Vec::new(),
            body: Bytes::from(body),
        })
    }

    #[test]
    fn classes_are_shapes_and_steps_not_values() {
        let mut behavior = Behavior::default();
        for _ in 0..7 {
            behavior.add("GET /a", None, &answered(200, r#"{"a":1,"b":"x"}"#));
            behavior.add("GET /a", None, &answered(200, r#"{"b":"y","a":2.5}"#));
        }
        behavior.add("GET /a", None, &answered(200, r#"{"a":null,"b":"x"}"#));
        behavior.add("GET /a", None, &answered(404, r#"{"a":1,"b":"x"}"#));
        behavior.add("GET /b", None, &answered(200, "text"));
        behavior.add("GET /b", None, &answered(200, "other"));
        let report = behavior.report();
        assert_eq!(
            (report.exchanges, report.classes, report.seen_once),
            (18, 4, 2)
        );
        assert!((report.missing_mass - 2.0 / 18.0).abs() < 1e-12);
        assert_eq!(report.endpoints[0].endpoint, "GET /a");
        assert_eq!(report.endpoints[0].classes, 3);
        assert_eq!(report.endpoints[1].seen_once, 0);
    }

    #[test]
    fn the_step_before_is_part_of_a_class() {
        let (ok, gone) = (answered(200, "{}"), answered(409, "{}"));
        let mut behavior = Behavior::default();
        for entity in ["e1", "e2"] {
            behavior.add("POST /x", Some(entity), &ok);
            behavior.add("POST /x", Some(entity), &ok);
        }
        behavior.add("POST /x", Some("e1"), &gone);
        let report = behavior.report();
        assert_eq!(
            (report.exchanges, report.classes, report.seen_once),
            (5, 3, 1)
        );
    }

    #[test]
    fn classes_beyond_what_is_kept_count_as_seen_once() {
        let mut behavior = Behavior::default();
        let answer = answered(200, "");
        for endpoint in 0..CLASSES {
            let endpoint = format!("GET /{endpoint}");
            behavior.add(&endpoint, None, &answer);
            behavior.add(&endpoint, None, &answer);
        }
        behavior.add("GET /one-more", None, &answer);
        behavior.add("GET /one-more", None, &answer);
        let report = behavior.report();
        let kept = CLASSES as u64;
        assert_eq!(
            (report.exchanges, report.classes, report.seen_once),
            (2 * kept + 2, kept + 2, 2)
        );
        assert!((report.missing_mass - 2.0 / (2 * kept + 2) as f64).abs() < 1e-12);
    }

    #[test]
    fn arrays_are_their_items_shapes_and_failures_are_no_behavior() {
        let of = |body: &'static str| match answered(200, body) {
            Outcome::Answered(answer) => shape_of(&answer),
            _ => unreachable!("it was answered"),
        };
        assert_eq!(of("[1,2,3]"), of("[4]"));
        assert_ne!(of("[]"), of("[4]"));
        assert_ne!(of(r#"[1,"a"]"#), of("[4]"));
        assert_ne!(of(r#"{"ab":{"c":1}}"#), of(r#"{"a":{"bc":1}}"#));
        let mut behavior = Behavior::default();
        let failed = Outcome::Skipped(crate::run::SkipReason::Stopped);
        behavior.add("GET /a", None, &failed);
        assert!((behavior.report().missing_mass - 1.0).abs() < f64::EPSILON);
    }
}
