//! The place of a cluster's differences in an answer: what stands there, and the answer with something else there.
//!
//! **Invariant**: an answer is changed at that place only; everything else in it stays as it was.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    capture::decoded,
    diff::{Difference, DifferenceKind},
    json::{Json, Number, parse},
    run::Answer,
};

/// Where the differences of a cluster are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) kind: DifferenceKind,
    pub(super) path: String,
    steps: Vec<String>,
}

/// What both sides have there, in one pair.
#[derive(Clone, Debug)]
pub(super) struct Example {
    pub(super) legacy: Option<Json<'static>>,
    pub(super) candidate: Option<Json<'static>>,
}

/// What is to become of a value.
pub(super) enum Fate {
    Stays,
    Goes,
    Becomes(Json<'static>),
}

impl Place {
    pub(super) fn new(kind: DifferenceKind, path: &str) -> Self {
        let steps = path.split('/').skip(1);
        Self {
            kind,
            path: path.to_owned(),
            steps: steps
                .map(|step| step.replace("~1", "/").replace("~0", "~"))
                .collect(),
        }
    }

    /// What differs in one pair: as the difference shows it, or, where that is shortened, as it stands in the answers.
    pub(super) fn example(
        &self,
        difference: &Difference,
        legacy: &Answer,
        candidate: &Answer,
    ) -> Example {
        let exact = difference.exact.as_deref().unwrap_or(&difference.path);
        let value = |shown: Option<&String>, answer: &Answer| {
            let shown = shown?;
            let read = parse(shown.as_bytes()).ok().map(|value| owned(&value));
            read.or_else(|| self.found(exact, answer))
        };
        Example {
            legacy: value(difference.legacy.as_ref(), legacy),
            candidate: value(difference.candidate.as_ref(), candidate),
        }
    }

    fn found(&self, exact: &str, answer: &Answer) -> Option<Json<'static>> {
        let body = decoded(&answer.headers, &answer.body).ok()?;
        if self.kind == DifferenceKind::Text {
            let text = std::str::from_utf8(&body).ok()?;
            return Some(Json::String(text.to_owned().into()));
        }
        let document = parse(&body).ok()?;
        document.pointer(exact).map(owned)
    }

    /// The answer with every value there changed; `None` if that changes nothing.
    pub(super) fn changed(
        &self,
        answer: &Answer,
        change: &dyn Fn(Option<&Json<'_>>) -> Fate,
    ) -> Option<Answer> {
        match self.kind {
            DifferenceKind::Status => {
                let status = Json::Number(Number::from_text(answer.status.to_string()));
                match change(Some(&status)) {
                    Fate::Becomes(Json::Number(status)) => Some(Answer {
                        status: status.text().parse().ok()?,
                        ..answer.clone()
                    }),
                    _ => None,
                }
            }
            DifferenceKind::Header => self.changed_header(answer, change),
            DifferenceKind::Text => {
                let body = decoded(&answer.headers, &answer.body).ok()?;
                let text = Json::String(std::str::from_utf8(&body).ok()?.to_owned().into());
                match change(Some(&text)) {
                    Fate::Becomes(Json::String(text)) => Some(with_body(answer, text.into_owned())),
                    _ => None,
                }
            }
            _ => Self::changed_document(answer, &self.steps, change),
        }
    }

    fn changed_header(
        &self,
        answer: &Answer,
        change: &dyn Fn(Option<&Json<'_>>) -> Fate,
    ) -> Option<Answer> {
        let at = answer
            .headers
            .iter()
            .position(|(name, _)| *name == self.path);
        let value = at.map(|at| Json::String(answer.headers[at].1.clone().into()));
        let mut changed = answer.clone();
        match (at, change(value.as_ref())) {
            (Some(at), Fate::Goes) => {
                changed.headers.remove(at);
            }
            (Some(at), Fate::Becomes(Json::String(text))) => {
                changed.headers[at].1 = text.into_owned();
            }
            (None, Fate::Becomes(Json::String(text))) => {
                changed.headers.push((self.path.clone(), text.into_owned()));
            }
            _ => return None,
        }
        Some(changed)
    }

    /// The arrays that the place leads through, from the outside: their steps.
    pub(super) fn arrays(&self) -> Vec<&[String]> {
        let stars = self
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| *step == "*");
        stars.map(|(at, _)| &self.steps[..at]).collect()
    }

    /// The answer with the values at `steps` of its document changed; `None` if that changes nothing.
    pub(super) fn changed_document(
        answer: &Answer,
        steps: &[String],
        change: &dyn Fn(Option<&Json<'_>>) -> Fate,
    ) -> Option<Answer> {
        let body = decoded(&answer.headers, &answer.body).ok()?;
        let document = parse(&body).ok()?;
        let changed = walked(&document, steps, change)?;
        Some(with_body(answer, changed.to_string()))
    }
}

/// A document with the values at `steps` changed; `None` if none is.
fn walked<'j>(
    value: &Json<'j>,
    steps: &[String],
    change: &dyn Fn(Option<&Json<'_>>) -> Fate,
) -> Option<Json<'j>> {
    let Some((step, rest)) = steps.split_first() else {
        return match change(Some(value)) {
            Fate::Becomes(other) if other != *value => Some(other),
            _ => None,
        };
    };
    match value {
        Json::Array(items) if step == "*" => {
            let mut changed = items.clone();
            let mut any = false;
            for item in &mut changed {
                if let Some(other) = walked(item, rest, change) {
                    (*item, any) = (other, true);
                }
            }
            any.then_some(Json::Array(changed))
        }
        Json::Object(members) => {
            let at = members.iter().position(|(key, _)| key == step);
            let mut changed = members.clone();
            match at {
                Some(at) if rest.is_empty() => match change(Some(&members[at].1)) {
                    Fate::Stays => return None,
                    Fate::Goes => {
                        changed.remove(at);
                    }
                    Fate::Becomes(other) if other == members[at].1 => return None,
                    Fate::Becomes(other) => changed[at].1 = other,
                },
                Some(at) => changed[at].1 = walked(&members[at].1, rest, change)?,
                None if rest.is_empty() => match change(None) {
                    Fate::Becomes(other) => changed.push((Cow::Owned(step.clone()), other)),
                    Fate::Stays | Fate::Goes => return None,
                },
                None => return None,
            }
            Some(Json::Object(changed))
        }
        _ => None,
    }
}

fn with_body(answer: &Answer, body: String) -> Answer {
    let mut changed = answer.clone();
    changed
        .headers
        .retain(|(name, _)| name != "content-encoding");
    changed.body = Bytes::from(body);
    changed
}

/// A value that borrows nothing.
pub(super) fn owned(value: &Json<'_>) -> Json<'static> {
    match value {
        Json::Null => Json::Null,
        Json::Bool(value) => Json::Bool(*value),
        Json::Number(number) => Json::Number(Number::from_text(number.text().to_owned())),
        Json::String(text) => Json::String(Cow::Owned(text.to_string())),
        Json::Array(items) => Json::Array(items.iter().map(owned).collect()),
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(key, value)| (Cow::Owned(key.to_string()), owned(value)))
                .collect(),
        ),
    }
}

impl Place {
    /// The text at the place, where the place is one.
    pub(super) fn value(&self, answer: &Answer) -> Option<String> {
        match self.found(&self.path, answer)? {
            Json::String(text) => Some(text.into_owned()),
            _ => None,
        }
    }

    /// `answer` with what another one has at the place; where the place is not one value, the other one as it is.
    pub(super) fn taken_from(&self, other: &Answer, answer: &Answer) -> Option<Answer> {
        let whole = matches!(
            self.kind,
            DifferenceKind::Status | DifferenceKind::Text | DifferenceKind::Header
        );
        if whole || self.steps.iter().any(|step| step == "*") {
            return Some(other.clone());
        }
        let value = self.found(&self.path, other);
        self.changed(answer, &|_| value.clone().map_or(Fate::Goes, Fate::Becomes))
    }

    /// The scalar at the place, as it is written; a status too.
    pub(super) fn scalar(&self, answer: &Answer) -> Option<String> {
        if self.kind == DifferenceKind::Status {
            return Some(answer.status.to_string());
        }
        match self.found(&self.path, answer)? {
            Json::Array(_) | Json::Object(_) => None,
            scalar => Some(scalar.to_string()),
        }
    }

    /// The number at the place, as it is written.
    pub(super) fn number(&self, answer: &Answer) -> Option<String> {
        match self.found(&self.path, answer)? {
            Json::Number(number) => Some(number.text().to_owned()),
            _ => None,
        }
    }
}
