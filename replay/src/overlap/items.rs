//! Items of lists: those that tell of one entity, and a list without them or with them alone.
//!
//! **Invariant**: an item belongs to an entity if one of its own members is the entity's id, whole; what else it says decides nothing.

use std::{borrow::Cow, cell::Cell};

use bytes::Bytes;
use memchr::memmem::find;

use crate::{
    capture::decoded,
    json::{Json, parse},
    run::Answer,
};

/// Arrays deeper than this are no lists of entities.
const DEPTH: usize = 4;

/// Whether an answer has one of these ids somewhere: what has not, has no item of them.
pub(super) fn mentions(answer: &Answer, ids: &[String]) -> bool {
    decoded(&answer.headers, &answer.body)
        .is_ok_and(|body| ids.iter().any(|id| find(&body, id.as_bytes()).is_some()))
}

/// An answer without the items of the entities with these ids; `None` if it is no JSON.
pub(super) fn without(answer: &Answer, ids: &[String]) -> Option<Answer> {
    changed(answer, &|document| {
        walked(document, &|item| !is_of(item, ids), 0)
    })
}

/// The lists of an answer with the items of one entity alone, and whether there is one; nothing else of the answer.
pub(super) fn alone(answer: &Answer, ids: &[String]) -> Option<(Answer, bool)> {
    let found = Cell::new(false);
    let changed = changed(answer, &|document| {
        let keep = |item: &Json<'_>| {
            let kept = is_of(item, ids);
            found.set(found.get() || kept);
            kept
        };
        lists(walked(document, &keep, 0))
    })?;
    Some((changed, found.get()))
}

/// The lists of an answer, and nothing else of it; `None` if it is no JSON.
pub(super) fn lists_alone(answer: &Answer) -> Option<Answer> {
    changed(answer, &|document| lists(document.clone()))
}

fn is_of(item: &Json<'_>, ids: &[String]) -> bool {
    let Json::Object(members) = item else {
        return false;
    };
    members.iter().any(|(_, value)| {
        let text = match value {
            Json::String(text) => text.as_ref(),
            Json::Number(number) => number.text(),
            _ => return false,
        };
        ids.iter().any(|id| id == text)
    })
}

fn changed(answer: &Answer, change: &dyn for<'j> Fn(&Json<'j>) -> Json<'j>) -> Option<Answer> {
    let body = decoded(&answer.headers, &answer.body).ok()?;
    let text = change(&parse(&body).ok()?).to_string();
    let mut changed = answer.clone();
    changed
        .headers
        .retain(|(name, _)| name != "content-encoding");
    changed.body = Bytes::from(text);
    Some(changed)
}

/// The document with those items of its lists of objects that are to be kept.
fn walked<'j>(value: &Json<'j>, keep: &dyn Fn(&Json<'_>) -> bool, depth: usize) -> Json<'j> {
    match value {
        Json::Array(items) if items.iter().any(|item| matches!(item, Json::Object(_))) => {
            Json::Array(items.iter().filter(|item| keep(item)).cloned().collect())
        }
        Json::Object(members) if depth < DEPTH => {
            let member = |(key, value): &(Cow<'j, str>, Json<'j>)| {
                (key.clone(), walked(value, keep, depth + 1))
            };
            Json::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

/// The lists of a document, and what leads to them.
fn lists(value: Json<'_>) -> Json<'_> {
    match value {
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .filter(|(_, value)| matches!(value, Json::Object(_) | Json::Array(_)))
                .map(|(key, value)| (key, lists(value)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            headers: Vec::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn items_are_taken_out_and_alone() {
        let ids = ["o-1".to_owned()];
        let list = answer(
            r#"{"n":{"orders":[{"id":"o-1","s":1},{"id":"o-2"},{"of":"o-1"}]},"tags":["o-1"],"total":3}"#,
        );
        let text = |answer: &Answer| String::from_utf8(answer.body.to_vec()).expect("text");
        assert_eq!(
            without(&list, &ids).as_ref().map(text).as_deref(),
            Some(r#"{"n":{"orders":[{"id":"o-2"}]},"tags":["o-1"],"total":3}"#)
        );
        let (one, found) = alone(&list, &ids).expect("JSON");
        assert_eq!(
            (text(&one).as_str(), found),
            (
                r#"{"n":{"orders":[{"id":"o-1","s":1},{"of":"o-1"}]},"tags":["o-1"]}"#,
                true
            )
        );
        let other = ["o-9".to_owned()];
        assert!(mentions(&list, &ids) && !mentions(&list, &other));
        assert!(!alone(&list, &other).expect("JSON").1);
        assert!(without(&answer("text"), &ids).is_none());
        let noted = answer(r#"[{"note":"for o-1"}]"#);
        assert!(!alone(&noted, &ids).expect("JSON").1, "whole values only");
    }
}
