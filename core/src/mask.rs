//! Keeping personal data out of logs.
//!
//! The one invariant: what comes out shows at most the first character of a name, and nothing of an email or a note.
//! It deliberately does not find personal data on its own; it removes what the appointment's details name.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::appointment::Details;

/// What stands where something was removed.
const STARS: &str = "***";

/// Parts of a name shorter than this are not searched for on their own: "Al" would tear up ordinary words.
const SHORTEST_PART: usize = 3;

/// A name's first character and three stars; three stars alone for an empty one.
pub fn mask_name(name: &str) -> String {
    match name.chars().next() {
        Some(first) => format!("{first}{STARS}"),
        None => STARS.to_string(),
    }
}

/// Three stars.
pub fn mask_email(_email: &str) -> String {
    STARS.to_string()
}

/// `text` without the patient's name (whole or in part), email and note. For a provider's error text, which may
/// repeat what it was sent. Case does not matter.
pub fn scrub(text: &str, details: &Details) -> String {
    let mut secrets: Vec<&str> = Vec::new();
    secrets.extend(details.note.as_deref());
    secrets.extend(details.email.as_deref());
    secrets.push(&details.patient_name);
    secrets.extend(
        details
            .patient_name
            .split(|c: char| !c.is_alphanumeric())
            .filter(|part| part.chars().count() >= SHORTEST_PART),
    );
    secrets
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_string(), |text, secret| replace(&text, secret))
}

/// Every occurrence of `secret` as stars, ignoring case.
fn replace(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = strip(rest, secret) {
            out.push_str(STARS);
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// What follows `secret` at the start of `text`.
fn strip<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in secret.chars() {
        let found = rest.next()?;
        if found != wanted && !found.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(rest.as_str())
}

/// An appointment's details as logs may show them.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a Details);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Details")
            .field("time", &self.0.time)
            .field("patient_name", &mask_name(&self.0.patient_name))
            .field("email", &self.0.email.as_deref().map(mask_email))
            .field("note", &self.0.note.as_ref().map(|_| STARS))
            .finish()
    }
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Details", 3)?;
        fields.serialize_field("time", &self.0.time)?;
        fields.serialize_field("patient_name", &mask_name(&self.0.patient_name))?;
        fields.serialize_field("email", &self.0.email.as_deref().map(mask_email))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details() -> Details {
        Details {
            time: "2030-01-31T09:30:00Z".into(),
            patient_name: "Alice Ångström".into(),
            email: Some("alice@example.org".into()),
            note: Some("knee".into()),
        }
    }

    fn check(text: &str, expect: &str) {
        assert_eq!(scrub(text, &details()), expect);
    }

    #[test]
    fn names_keep_one_character_and_emails_none() {
        assert_eq!(mask_name("Alice"), "A***");
        assert_eq!(mask_name("Ångström"), "Å***");
        assert_eq!(mask_name(""), "***");
        assert_eq!(mask_email("a@b"), "***");
    }

    #[test]
    fn free_text_loses_whatever_the_details_name() {
        check(
            "no slot for Alice Ångström <alice@example.org>",
            "no slot for *** <***>",
        );
        check("ALICE ÅNGSTRÖM, mr(s) Ångström", "***, mr(s) ***");
        check("injured knee", "injured ***");
        check("503 upstream", "503 upstream");
        check("", "");
    }

    #[test]
    fn empty_secrets_hide_nothing() {
        let mut details = details();
        details.patient_name = String::new();
        details.email = Some(String::new());
        details.note = None;
        assert_eq!(scrub("503 upstream", &details), "503 upstream");
    }

    #[test]
    fn debug_and_json_are_masked() {
        let shown = format!("{:?}", details());
        let json = serde_json::to_string(&Masked(&details())).unwrap();
        for text in [shown, json] {
            assert!(text.contains("A***"), "{text}");
            for secret in ["lice", "example", "ngstr", "knee"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}
