//! What the legacy service accepts: the mission's validation rules.
//!
//! **Invariant**: it accepts and rejects ordinary input as v2 does. It deliberately stops at the first fault and says it in plain text,
//! where v2 collects them all.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde::Deserialize;

/// A valid submission.
#[derive(Clone, Debug)]
pub(super) struct Submission {
    pub(super) id: String,
    pub(super) request_id: String,
    pub(super) provider: String,
    pub(super) time: String,
    pub(super) patient_name: String,
    pub(super) email: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Posted {
    id: Option<String>,
    request_id: Option<String>,
    provider: Option<String>,
    time: Option<String>,
    patient_name: Option<String>,
    email: Option<String>,
    note: Option<String>,
}

impl Submission {
    /// Reads `POST /appointments`; the error is the answer's text.
    pub(super) fn read(
        headers: &HeaderMap,
        body: &[u8],
        providers: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let posted: Posted =
            serde_json::from_slice(body).map_err(|error| format!("body: {error}"))?;
        let header = match headers.get("idempotency-key") {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .map_err(|_| "Idempotency-Key: not plain ASCII")
                    .map(unquote)?
                    .to_owned(),
            ),
        };
        if let (Some(header), Some(body)) = (&header, &posted.request_id)
            && header != body
        {
            return Err("request_id: differs from the Idempotency-Key header".to_owned());
        }
        let id = check(posted.id, "id", "1 to 64 characters without / ? #", |id| {
            let forbidden = |c: char| c.is_control() || "/?#".contains(c);
            within(id, 1, 64) && !id.contains(forbidden) && id != "." && id != ".."
        })?;
        let request_id = check(
            posted.request_id.or(header),
            "request_id",
            "1 to 128 of A-Z a-z 0-9 . _ : -",
            |id| {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
                within(id, 1, 128) && id.chars().all(allowed)
            },
        )?;
        let provider = check(posted.provider, "provider", "a known provider", |name| {
            providers.contains_key(name)
        })?;
        let time = check(
            posted.time,
            "time",
            "an RFC 3339 time with an offset",
            |time| time.len() <= 64 && time.parse::<jiff::Timestamp>().is_ok(),
        )?;
        let patient_name = check(
            posted.patient_name,
            "patient_name",
            "1 to 128 characters",
            |name| within(name, 1, 128),
        )?;
        let email = optional(
            posted.email,
            "email",
            "at most 254 characters, one @",
            is_email,
        )?;
        optional(posted.note, "note", "at most 1,024 characters", |note| {
            within(note, 0, 1_024)
        })?;
        Ok(Self {
            id,
            request_id,
            provider,
            time,
            patient_name,
            email,
        })
    }
}

/// A structured-field string may be quoted.
fn unquote(header: &str) -> &str {
    let header = header.trim();
    let quoted = header.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    quoted.unwrap_or(header)
}

fn is_email(text: &str) -> bool {
    let blank = |c: char| c.is_control() || c.is_whitespace();
    within(text, 3, 254)
        && !text.contains(blank)
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

fn within(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count())
}

fn check(
    value: Option<String>,
    field: &str,
    expected: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<String, String> {
    optional(value, field, expected, fits)?
        .ok_or_else(|| format!("{field}: missing, expected {expected}"))
}

fn optional(
    value: Option<String>,
    field: &str,
    expected: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    match value {
        Some(value) if !fits(&value) => Err(format!("{field}: expected {expected}")),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(change: &Value) -> Result<Submission, String> {
        let mut body = json!({
            "id": "a-1", "request_id": "r-1", "provider": "acme",
            "time": "2026-03-01T09:00:00Z", "patient_name": "Alice",
        });
        let object = body.as_object_mut().expect("an object");
        for (field, value) in change.as_object().expect("an object") {
            object.insert(field.clone(), value.clone());
        }
        let providers = BTreeMap::from([("acme".to_owned(), "http://acme:80".to_owned())]);
        Submission::read(&HeaderMap::new(), body.to_string().as_bytes(), &providers)
    }

    #[test]
    fn accepts_what_the_rules_allow() {
        let check = |change: Value| {
            assert!(read(&change).is_ok(), "{change}");
        };
        check(json!({}));
        check(json!({"id": "x".repeat(64)}));
        check(json!({"id": "päron 7%"}));
        check(json!({"time": "2026-03-01T09:00:00.5+02:00"}));
        check(json!({"patient_name": "Å".repeat(128)}));
        check(json!({"email": "a@example.org", "note": ""}));
    }

    #[test]
    fn the_header_stands_in_for_request_id_and_must_not_contradict_it() {
        let check = |header: &'static str, body: Option<&str>, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(
                http::header::HeaderName::from_static("idempotency-key"),
                http::HeaderValue::from_static(header),
            )]);
            let body = json!({
                "id": "a-1", "request_id": body, "provider": "acme",
                "time": "2026-03-01T09:00:00Z", "patient_name": "Alice",
            });
            let providers = BTreeMap::from([("acme".to_owned(), String::new())]);
            let read = Submission::read(&headers, body.to_string().as_bytes(), &providers);
            let found = read.ok().map(|submission| submission.request_id);
            assert_eq!(found.as_deref(), expected, "{header}");
        };
        check("r-1", None, Some("r-1"));
        check("\"r-1\"", None, Some("r-1"));
        check("r-1", Some("r-1"), Some("r-1"));
        check("r-1", Some("r-2"), None);
    }

    #[test]
    fn rejects_by_the_field_that_breaks_a_rule() {
        let check = |change: Value, field: &str| {
            let error = read(&change).expect_err(field);
            assert!(error.starts_with(&format!("{field}:")), "{change}: {error}");
        };
        check(json!({"id": ""}), "id");
        check(json!({"id": null}), "id");
        check(json!({"id": "x".repeat(65)}), "id");
        check(json!({"id": "a/b"}), "id");
        check(json!({"request_id": null}), "request_id");
        check(json!({"request_id": "a b"}), "request_id");
        check(json!({"provider": "other"}), "provider");
        check(json!({"time": "tomorrow"}), "time");
        check(json!({"time": "2026-03-01T09:00:00"}), "time");
        check(json!({"patient_name": ""}), "patient_name");
        check(json!({"patient_name": "x".repeat(129)}), "patient_name");
        check(json!({"id": ".."}), "id");
        check(json!({"email": "nobody"}), "email");
        check(json!({"email": "a@b@c"}), "email");
        check(json!({"email": "@example.org"}), "email");
        check(json!({"note": "x".repeat(1_025)}), "note");
        check(json!({"unknown": 1}), "body");
        check(json!({"id": 7}), "body");
    }
}
