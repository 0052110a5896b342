//! Values that the target invented in this run, in place of the recorded ones.
//!
//! **Invariant**: a request goes out with the target's values or not at all: a recorded value that an answer should have replaced, and did not,
//! keeps its request from being sent. Two kinds do not: a cookie that the target did not set is left out, as any client would; and the name of
//! something that an answer only showed, and nobody made in this run, is sent as it was recorded.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;

use crate::{
    capture::{Body, Request, decoded},
    plan::{
        Plan, Use,
        spots::{self, Spot, Writing},
        token,
    },
    rules::{Effect, Rules, Side},
    run::Outcome,
};

/// What is known of the target's values so far.
pub(super) struct Bindings<'p> {
    plan: &'p Plan,
    /// For each request, the values that its answer invents.
    produced: BTreeMap<usize, Vec<usize>>,
    live: Vec<Option<String>>,
    /// Recorded by legacy as the first, called the second by the candidate.
    renamed: Vec<(String, String)>,
}

/// Recorded identities and the live values that take their place; none for a cookie's that the target did not set.
pub(super) type Replaced<'b> = BTreeMap<&'b str, Option<&'b str>>;

impl<'p> Bindings<'p> {
    pub(super) fn new(plan: &'p Plan, rules: &Rules, side: Side) -> Self {
        let mut by_seq = BTreeMap::new();
        for (value, invented) in plan.values.iter().enumerate() {
            let of_seq: &mut Vec<usize> = by_seq.entry(invented.producer).or_default();
            of_seq.push(value);
        }
        let produced = plan
            .requests
            .iter()
            .enumerate()
            .filter_map(|(at, planned)| Some((at, by_seq.remove(&planned.seq)?)))
            .collect();
        let renames = rules.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Rename { legacy, candidate } if side == Side::Candidate => {
                let (_, key) = legacy.text().rsplit_once('/')?;
                Some((key.to_owned(), candidate.clone()))
            }
            _ => None,
        });
        Self {
            plan,
            produced,
            live: vec![None; plan.values.len()],
            renamed: renames.collect(),
        }
    }

    /// For each request, the requests whose answers it needs.
    pub(super) fn needed(&self) -> Vec<Vec<usize>> {
        let mut producers = vec![None; self.plan.values.len()];
        for (at, values) in &self.produced {
            for value in values {
                producers[*value] = Some(*at);
            }
        }
        let needed = |at: usize, uses: &[Use]| {
            let producer = |carried: &Use| producers[carried.value];
            let mut after: Vec<usize> = uses.iter().filter_map(producer).collect();
            after.retain(|producer| *producer < at);
            after.sort_unstable();
            after.dedup();
            after
        };
        let requests = self.plan.requests.iter().enumerate();
        requests
            .map(|(at, planned)| needed(at, &planned.uses))
            .collect()
    }

    /// Takes the values from an answer.
    pub(super) fn learn(&mut self, at: usize, outcome: &Outcome) {
        let (Some(values), Outcome::Answered(answer)) = (self.produced.get(&at), outcome) else {
            return;
        };
        for value in values {
            let renamed = |key: &str| {
                let found = self.renamed.iter().find(|(known, _)| known == key);
                found.map(|(_, candidate)| candidate.clone())
            };
            let recorded = &self.plan.values[*value];
            let (headers, body) = (&answer.headers, &answer.body);
            let subject = token::subject(self.plan.requests[at].path());
            let place = &recorded.place;
            // In a list that stands otherwise, what is at the same place is something else.
            let stays = recorded.shown && place.has(headers, body, &recorded.identity, subject);
            self.live[*value] = if stays {
                Some(recorded.recorded.clone())
            } else {
                place.find(headers, body, renamed)
            };
        }
    }

    /// What replaces the recorded values that a request carries; `None` when one of them has no live counterpart.
    pub(super) fn replaced(&self, uses: &[Use]) -> Option<Replaced<'_>> {
        let mut replaced = BTreeMap::new();
        for carried in uses {
            let recorded = &self.plan.values[carried.value];
            let live = self.live[carried.value].as_deref();
            let stays = live == Some(&recorded.recorded) || (live.is_none() && recorded.shown);
            if live.is_none() && !carried.cookie && !recorded.shown {
                return None;
            }
            if !stays {
                replaced.insert(recorded.identity.as_str(), live);
            }
        }
        Some(replaced)
    }

    /// The id that the target gave to an entity.
    pub(super) fn entity<'s>(&'s self, id: &'s str) -> Option<&'s str> {
        match self.plan.invented.get(id) {
            Some(value) => self.live[*value].as_deref(),
            None => Some(id),
        }
    }
}

/// `request` with the live values in place of the recorded ones, but for its cookies, which have a jar.
pub(super) fn substituted<'r>(request: &'r Request, replaced: &Replaced<'_>) -> Cow<'r, Request> {
    if replaced.is_empty() {
        return Cow::Borrowed(request);
    }
    let mut live = request.clone();
    let target = request.origin_form();
    if let Some(target) = written(target, &spots::in_target(target), replaced) {
        live.target = target;
    }
    for (name, value) in &mut live.headers {
        if let Some(text) = written(value, &spots::in_header(name, value), replaced) {
            *value = text;
        }
    }
    if let Some(body) = request.body.whole()
        && let Ok(plain) = decoded(&request.headers, body)
        && let Ok(text) = std::str::from_utf8(&plain)
    {
        let subject = token::subject(request.path());
        let spots = spots::in_body(&request.headers, text.as_bytes(), subject);
        if let Some(text) = written(text, &spots, replaced) {
            live.body = Body::Whole(Bytes::from(text));
            let coding = |name: &str| name.eq_ignore_ascii_case("content-encoding");
            live.headers.retain(|(name, _)| !coding(name));
        }
    }
    Cow::Owned(live)
}

/// `text` with the values at `spots` replaced; `None` when none was.
fn written(text: &str, spots: &[Spot], replaced: &Replaced<'_>) -> Option<String> {
    let mut whole = String::new();
    let mut done = 0;
    for spot in spots {
        let Some(Some(live)) = replaced.get(spot.identity.as_str()) else {
            continue;
        };
        // The whole was replaced that this is a part of.
        if spot.range.start < done {
            continue;
        }
        whole.push_str(&text[done..spot.range.start]);
        let quoted = || serde_json::to_string(live).expect("a text is JSON");
        match spot.writing {
            Writing::Plain => whole.push_str(live),
            Writing::Percent => whole.push_str(&percent_encoded(live)),
            Writing::JsonString => {
                let quoted = quoted();
                whole.push_str(&quoted[1..quoted.len() - 1]);
            }
            Writing::JsonNumber if serde_json::from_str::<serde_json::Number>(live).is_ok() => {
                whole.push_str(live);
            }
            Writing::JsonNumber => whole.push_str(&quoted()),
        }
        done = spot.range.end;
    }
    if done == 0 {
        return None;
    }
    whole.push_str(&text[done..]);
    Some(whole)
}

/// A value as one segment of a path, or one value of a query.
pub(super) fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_values_are_replaced_wherever_they_stand() {
        let request = Request {
            method: "POST".into(),
            target: "/orders/7/lines?csrf=ab&page=7".into(),
            version: "1.1".into(),
            headers: vec![
                ("Authorization".into(), "Bearer tok-00001".into()),
                ("Content-Type".into(), "application/json".into()),
            ],
            body: Body::Whole(Bytes::from_static(
                br#"{ "order_id" : 7, "n":7, "csrf_token":"ab", "text":"ab 7" }"#,
            )),
        };
        let replaced = [
            ("order 7", Some("41")),
            ("ab", Some("x\"/y\"")),
            ("tok-00001", Some("tok-9")),
        ]
        .into();
        let live = substituted(&request, &replaced);
        assert_eq!(live.target, "/orders/41/lines?csrf=x%22%2Fy%22&page=7");
        assert_eq!(live.headers[0].1, "Bearer tok-9");
        let Body::Whole(body) = &live.body else {
            panic!("a whole body")
        };
        assert_eq!(
            body,
            &br#"{ "order_id" : 41, "n":7, "csrf_token":"x\"/y\"", "text":"ab 7" }"#[..]
        );
    }
}
