//! Causes in how a whole body's characters are written: a byte order mark, UTF-16, a single-byte character set that is not declared.
//!
//! **Invariant**: what is undone is the writing alone: both answers keep their text, in UTF-8 without a mark.

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::{
    capture::decoded,
    diff::{Characters, DifferenceKind},
    hypothesis::{
        Answered,
        cause::{Cause, Class, Undo},
        place::{Example, Place},
    },
    json::Json,
    run::Answer,
};

/// The cause, where the whole body differs.
pub(super) fn causes<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let whole = matches!(
        place.kind,
        DifferenceKind::Encoding
            | DifferenceKind::Binary
            | DifferenceKind::Text
            | DifferenceKind::Type
    );
    if !whole || !place.path.is_empty() {
        return Vec::new();
    }
    let undo: Undo<'c> = Box::new(|one: &Answered<'_>| {
        let (legacy, candidate) = (in_utf8(one.legacy), in_utf8(one.candidate));
        if legacy.is_none() && candidate.is_none() {
            return None;
        }
        Some((
            legacy.unwrap_or_else(|| one.legacy.clone()),
            candidate.unwrap_or_else(|| one.candidate.clone()),
        ))
    });
    let said = "bodies are written in another character encoding";
    let said = match examples.first() {
        Some(Example {
            legacy: Some(Json::String(a)),
            candidate: Some(Json::String(b)),
        }) if place.kind == DifferenceKind::Encoding => format!("{said}: {a} is {b}"),
        _ => said.to_owned(),
    };
    vec![Cause::new(Class::Encoding, said, undo)]
}

/// The answer with its text in UTF-8, without a mark; `None` if it is so already, or no text.
fn in_utf8(answer: &Answer) -> Option<Answer> {
    let body = decoded(&answer.headers, &answer.body).ok()?;
    let text = match Characters::of(answer, &body) {
        Some(one) if !one.text.contains('\0') => one.text,
        _ => guessed(&body)?.into(),
    };
    if *text.as_bytes() == *body {
        return None;
    }
    let mut changed = answer.clone();
    changed.body = Bytes::copy_from_slice(text.as_bytes());
    changed
        .headers
        .retain(|(name, _)| name != "content-encoding");
    for (_, value) in changed
        .headers
        .iter_mut()
        .filter(|(name, _)| name == "content-type")
    {
        let kind = value.split(';').next().unwrap_or_default().trim();
        *value = format!("{kind}; charset=utf-8");
    }
    Some(changed)
}

/// The text in an encoding that nothing declares: of two bytes a character if zeros tell so, else of one. Read from the wrong end, two bytes are
/// no ASCII any more.
fn guessed(body: &[u8]) -> Option<String> {
    let read = |encoding: &'static Encoding| {
        let text = encoding.decode_without_bom_handling_and_without_replacement(body)?;
        (!text.contains('\0')).then(|| text.into_owned())
    };
    [UTF_16LE, UTF_16BE, WINDOWS_1252]
        .into_iter()
        .filter(|encoding| encoding.is_ascii_compatible() != body.contains(&0))
        .filter_map(read)
        .max_by_key(|text| text.chars().filter(char::is_ascii).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_that_nothing_declares_are_guessed() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            assert_eq!(guessed(bytes).as_deref(), expect, "{bytes:?}");
        };
        check(b"a\0b\0", Some("ab"));
        check(b"\0a\0b", Some("ab"));
        check(b"caf\xe9", Some("caf\u{e9}"));
        check(b"a\0\0\0", None);
    }
}
