//! Two answers, compared: status, headers, body.
//!
//! **Invariant**: bodies are compared by what they mean: content codings are undone, JSON is compared by structure, text as text, bytes by
//! digest. A body that cannot be read is a difference, never a match.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::{
    capture::{Headers, decoded, header, hex},
    diff::{
        Comparison, DifferenceKind,
        binding::Bindings,
        ledger::{Ledger, Location},
    },
    json::{Json, parse},
    rules::{Effect, Place, Rules, Subject, VOLATILE_HEADERS, status_value},
    run::Answer,
};

/// Compares answers under a set of rules, and remembers the values that were paired up on the way.
#[derive(Clone, Debug)]
pub struct Comparer<'r> {
    rules: &'r Rules,
    bindings: Bindings,
    binding_rules: Vec<usize>,
}

impl<'r> Comparer<'r> {
    /// A comparer that has seen nothing.
    pub fn new(rules: &'r Rules) -> Self {
        Self {
            rules,
            bindings: Bindings::default(),
            binding_rules: (0..rules.rules.len())
                .filter(|at| matches!(rules.rules[*at].effect, Effect::Binding { .. }))
                .collect(),
        }
    }

    /// The same comparer, which from now on pairs up no further values: for trying what it would catch.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.bindings.freeze();
        self
    }

    /// Its rules.
    pub fn rules(&self) -> &'r Rules {
        self.rules
    }

    /// What differs between two answers to `subject`.
    pub fn compare(
        &mut self,
        subject: Subject<'_>,
        legacy: &Answer,
        candidate: &Answer,
    ) -> Comparison {
        let mut ledger = Ledger {
            rules: self.rules,
            subject,
            bindings: &mut self.bindings,
            comparison: Comparison::default(),
            givens: Vec::new(),
            binding_rules: &self.binding_rules,
        };
        if let Some(rule) = by_status(&ledger, legacy, candidate) {
            ledger.comparison.by_status = true;
            if legacy.body != candidate.body || legacy.headers != candidate.headers {
                ledger.comparison.equated.push(rule);
            }
            return ledger.comparison;
        }
        if legacy.status != candidate.status {
            let (a, b) = (status_value(legacy.status), status_value(candidate.status));
            ledger.differ(DifferenceKind::Status, Location::Status, Some(&a), Some(&b));
        }
        headers(&mut ledger, &legacy.headers, &candidate.headers);
        if !self.binding_rules.is_empty()
            || legacy.body != candidate.body
            || coding(legacy) != coding(candidate)
        {
            bodies(&mut ledger, legacy, candidate);
        }
        forgive(&mut ledger, legacy, candidate);
        ledger.comparison
    }
}

fn coding(answer: &Answer) -> Option<&str> {
    header(&answer.headers, "content-encoding")
}

/// The `error` rule that lets the statuses alone decide.
fn by_status(ledger: &Ledger<'_>, legacy: &Answer, candidate: &Answer) -> Option<usize> {
    if legacy.status < 400 || legacy.status != candidate.status {
        return None;
    }
    ledger.first_rule(
        |effect| matches!(effect, Effect::Error { statuses } if statuses.contains(&legacy.status)),
    )
}

/// Lets a rule that speaks of the whole answer forgive whatever is left.
fn forgive(ledger: &mut Ledger<'_>, legacy: &Answer, candidate: &Answer) {
    if ledger.comparison.differences.is_empty() {
        return;
    }
    let (a, b) = (status_value(legacy.status), status_value(candidate.status));
    let rule = ledger.first_rule(|effect| {
        matches!(effect, Effect::Ignore { place: Place::Answer, when } if when.fits(Some(&a), Some(&b)))
    });
    if let Some(rule) = rule {
        ledger.comparison.differences.clear();
        ledger.comparison.ignored.push(rule);
    }
}

fn headers(ledger: &mut Ledger<'_>, legacy: &Headers, candidate: &Headers) {
    for (at, (name, _)) in legacy.iter().chain(candidate).enumerate() {
        let before = legacy.iter().chain(candidate).take(at);
        let seen = before.into_iter().any(|(known, _)| known == name);
        if seen || VOLATILE_HEADERS.binary_search(&name.as_str()).is_ok() {
            continue;
        }
        let (a, b) = (values(legacy, name), values(candidate, name));
        let same = match (&a, &b) {
            (Some(a), Some(b)) => a == b || (name == "content-type" && media(a) == media(b)),
            _ => false,
        };
        if !same {
            let (a, b) = (a.map(Json::String), b.map(Json::String));
            let location = Location::Header(name);
            ledger.differ(DifferenceKind::Header, location, a.as_ref(), b.as_ref());
        }
    }
}

/// All values of a header, in order.
fn values<'h>(headers: &'h Headers, name: &str) -> Option<Cow<'h, str>> {
    let mut values = headers.iter().filter(|(known, _)| known == name);
    let mut joined = Cow::Borrowed(values.next()?.1.as_str());
    for (_, value) in values {
        joined = Cow::Owned(format!("{joined}, {value}"));
    }
    Some(joined)
}

/// A media type without what is only spelling: case, and blanks around parameters.
fn media(value: &str) -> String {
    let parts: Vec<String> = value
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase())
        .collect();
    parts.join(";")
}

fn bodies(ledger: &mut Ledger<'_>, legacy: &Answer, candidate: &Answer) {
    let plain = (
        decoded(&legacy.headers, &legacy.body),
        decoded(&candidate.headers, &candidate.body),
    );
    let (a, b) = match plain {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            let told = |side: Result<Cow<'_, [u8]>, String>| {
                Json::String(side.err().unwrap_or_else(|| "readable".to_owned()).into())
            };
            let (a, b) = (told(a), told(b));
            let location = Location::Body(&[]);
            ledger.differ(DifferenceKind::Encoding, location, Some(&a), Some(&b));
            return;
        }
    };
    let json = |answer: &Answer, body: &[u8]| {
        header(&answer.headers, "content-type").is_some_and(|media| media.contains("json"))
            || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
    };
    if json(legacy, &a) || json(candidate, &b) {
        match (parse(&a), parse(&b)) {
            (Ok(a), Ok(b)) => {
                if ledger.rules.rules.iter().any(|rule| rule.given.is_some()) {
                    ledger.look_up_givens(&a, &b);
                }
                return ledger.values(&mut Vec::new(), &a, &b);
            }
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => {
                return raw(ledger, DifferenceKind::Type, &a, &b);
            }
            (Err(_), Err(_)) => {}
        }
    }
    if a != b {
        let texts = std::str::from_utf8(&a).is_ok() && std::str::from_utf8(&b).is_ok();
        let kind = if texts {
            DifferenceKind::Text
        } else {
            DifferenceKind::Binary
        };
        raw(ledger, kind, &a, &b);
    }
}

/// A difference between two bodies as wholes.
fn raw(ledger: &mut Ledger<'_>, kind: DifferenceKind, legacy: &[u8], candidate: &[u8]) {
    let told = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) if kind != DifferenceKind::Binary => Json::String(text.to_owned().into()),
        _ => {
            let digest = hex(&Sha256::digest(bytes));
            Json::String(format!("{} bytes, sha256 {digest}", bytes.len()).into())
        }
    };
    let (a, b) = (told(legacy), told(candidate));
    ledger.differ(kind, Location::Body(&[]), Some(&a), Some(&b));
}

#[cfg(test)]
mod tests;
