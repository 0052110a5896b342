//! From what a client sent to a [`NewAppointment`], or to the list of everything that is wrong with it.
//!
//! The one invariant: all broken rules are reported at once, and no report repeats a value.
//! It deliberately does not look anything up; whether the request is new is [`crate::idempotency`]'s question.

use alloc::{
    borrow::ToOwned,
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    appointment::Details,
    command::NewAppointment,
    identity::{AppointmentId, ProviderName, RequestId, Tenant},
    mask::{mask_email, mask_name},
    rejection::{FieldError, Rejection},
    routing,
};

/// The longest patient name, in characters.
pub const PATIENT_NAME_MAX: usize = 128;
/// The longest email address, in characters.
pub const EMAIL_MAX: usize = 254;
/// The longest note, in characters.
pub const NOTE_MAX: usize = 1024;
/// The longest time, in bytes; the longest sensible one is half of it.
const TIME_MAX: usize = 64;

/// The body of a submission, before any rule. Unknown fields are refused. `Debug` masks it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The appointment's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The idempotency key, unless the header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The provider's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// RFC 3339 with an offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_name: Option<String>,
    /// The patient's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Free text for the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("id", &self.id)
            .field("request_id", &self.request_id)
            .field("provider", &self.provider)
            .field("time", &self.time)
            .field("patient_name", &self.patient_name.as_deref().map(mask_name))
            .field("email", &self.email.as_deref().map(mask_email))
            .finish_non_exhaustive()
    }
}

/// The submission as an appointment of `tenant`, or [`Rejection::Invalid`] with every broken rule.
///
/// `header_key` is the `Idempotency-Key` header, bare or quoted; it may stand in for `request_id` and must not
/// contradict it.
pub fn validate(
    submission: Submission,
    header_key: Option<&str>,
    tenant: Tenant,
    providers: &BTreeSet<ProviderName>,
) -> Result<NewAppointment, Rejection> {
    let mut errors = Errors(Vec::new());
    let id = errors.take("/id", submission.id, |text| {
        AppointmentId::parse(text).map_err(|_| AppointmentId::RULE)
    });
    let request_id = errors.request_id(submission.request_id.as_deref(), header_key);
    let provider = errors.take("/provider", submission.provider, |text| {
        routing::destination(text, providers)
            .cloned()
            .ok_or("one of the configured providers")
    });
    let time = errors.take("/time", submission.time, time);
    let patient_name = errors.take("/patient_name", submission.patient_name, |text| {
        within(text, 1, PATIENT_NAME_MAX, "1 to 128 characters")
    });
    let email = errors.option("/email", submission.email, email);
    let note = errors.option("/note", submission.note, |text| {
        within(text, 0, NOTE_MAX, "at most 1024 characters")
    });
    match (id, request_id, provider, time, patient_name) {
        (Some(id), Some(request_id), Some(provider), Some(time), Some(patient_name))
            if errors.0.is_empty() =>
        {
            Ok(NewAppointment {
                tenant,
                id,
                request_id,
                provider,
                details: Details {
                    time,
                    patient_name,
                    email,
                    note,
                },
            })
        }
        _ => Err(Rejection::Invalid(errors.0)),
    }
}

/// The broken rules so far.
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, pointer: &str, detail: &str) {
        self.0.push(FieldError {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        });
    }

    fn take<T>(
        &mut self,
        pointer: &str,
        value: Option<String>,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        if value.is_none() {
            self.add(pointer, "required");
        }
        self.option(pointer, value, parse)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the submission is consumed field by field"
    )]
    fn option<T>(
        &mut self,
        pointer: &str,
        value: Option<String>,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        match parse(value.as_deref()?) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.add(pointer, rule);
                None
            }
        }
    }

    fn request_id(&mut self, body: Option<&str>, header: Option<&str>) -> Option<RequestId> {
        let header = header.map(unquote);
        if let (Some(body), Some(header)) = (body, header)
            && body != header
        {
            self.add("/request_id", "the same as the Idempotency-Key header");
            return None;
        }
        self.take(
            "/request_id",
            body.or(header).map(ToString::to_string),
            |text| RequestId::parse(text).map_err(|_| RequestId::RULE),
        )
    }
}

/// A structured-field string may be quoted; its allowed characters need no unescaping.
fn unquote(header: &str) -> &str {
    let bare = header.trim();
    bare.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(bare)
}

fn within(
    text: &str,
    least: usize,
    most: usize,
    rule: &'static str,
) -> Result<String, &'static str> {
    // Bytes first: a megabyte of text is refused without being walked.
    if text.len() > 4 * most || !(least..=most).contains(&text.chars().count()) {
        return Err(rule);
    }
    Ok(text.to_owned())
}

fn time(text: &str) -> Result<String, &'static str> {
    let rule = "an RFC 3339 time with an offset, such as 2030-01-31T09:30:00Z";
    if text.len() > TIME_MAX || text.parse::<jiff::Timestamp>().is_err() {
        return Err(rule);
    }
    Ok(text.to_owned())
}

fn email(text: &str) -> Result<String, &'static str> {
    let rule = "at most 254 characters with one @ between its two parts";
    let text = within(text, 3, EMAIL_MAX, rule)?;
    match text.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !text.contains(|c: char| c.is_control() || c.is_whitespace()) =>
        {
            Ok(text)
        }
        _ => Err(rule),
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    fn submission() -> Submission {
        Submission {
            id: Some("a-1".into()),
            request_id: Some("r-1".into()),
            provider: Some("acme".into()),
            time: Some("2030-01-31T09:30:00Z".into()),
            patient_name: Some("Alice".into()),
            email: None,
            note: None,
        }
    }

    fn judge(submission: Submission, header: Option<&str>) -> Result<NewAppointment, Rejection> {
        let providers = BTreeSet::from([ProviderName::parse("acme").unwrap()]);
        validate(submission, header, Tenant::default(), &providers)
    }

    /// The pointers of the rules that are broken after `change`.
    fn check(change: impl Fn(&mut Submission), expect: &[&str]) {
        let mut changed = submission();
        change(&mut changed);
        let found = match judge(changed, None) {
            Ok(_) => vec![],
            Err(Rejection::Invalid(errors)) => errors.into_iter().map(|it| it.pointer).collect(),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn a_good_submission_comes_out_as_it_went_in() {
        let new = judge(submission(), None).unwrap();
        assert_eq!(new.details.time, "2030-01-31T09:30:00Z");
        assert_eq!((new.id.as_str(), new.request_id.as_str()), ("a-1", "r-1"));
    }

    #[test]
    fn all_broken_rules_are_reported_at_once() {
        check(
            |it| *it = Submission::default(),
            &["/id", "/request_id", "/provider", "/time", "/patient_name"],
        );
        check(
            |it| {
                it.id = Some("x".repeat(65));
                it.time = Some("tomorrow".into());
                it.email = Some("nobody".into());
            },
            &["/id", "/time", "/email"],
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        check(|it| it.patient_name = Some("ä".repeat(128)), &[]);
        check(
            |it| it.patient_name = Some("ä".repeat(129)),
            &["/patient_name"],
        );
        check(
            |it| it.patient_name = Some(String::new()),
            &["/patient_name"],
        );
        check(|it| it.note = Some("n".repeat(1024)), &[]);
        check(|it| it.note = Some("n".repeat(1025)), &["/note"]);
        check(|it| it.id = Some("é".repeat(64)), &[]);
    }

    #[test]
    fn times_need_an_offset() {
        for good in [
            "2030-01-31T09:30:00+02:00",
            "2030-01-31 09:30:00.5-08",
            "20300131T093000Z",
        ] {
            check(|it| it.time = Some(good.into()), &[]);
        }
        let long = format!("2030-01-31T09:30:00.{}Z", "0".repeat(80));
        for bad in [
            "2030-01-31T09:30:00",
            "2030-01-31",
            "2030-13-31T09:30:00Z",
            "",
            &long,
        ] {
            check(|it| it.time = Some(bad.into()), &["/time"]);
        }
    }

    #[test]
    fn emails_have_one_at_between_two_parts() {
        for good in [
            "a@b",
            "alice@example.org",
            &format!("{}@b", "a".repeat(252)),
        ] {
            check(|it| it.email = Some(good.into()), &[]);
        }
        for bad in [
            "",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b\n",
            &format!("{}@b", "a".repeat(253)),
        ] {
            check(|it| it.email = Some(bad.into()), &["/email"]);
        }
    }

    #[test]
    fn only_configured_providers() {
        for bad in ["zenith", "ACME", ""] {
            check(|it| it.provider = Some(bad.into()), &["/provider"]);
        }
    }

    #[test]
    fn the_key_may_come_in_the_header_and_must_not_differ() {
        let bare = Submission {
            request_id: None,
            ..submission()
        };
        for header in ["r-9", "\"r-9\"", " \"r-9\" "] {
            let new = judge(bare.clone(), Some(header)).unwrap();
            assert_eq!(new.request_id.as_str(), "r-9");
        }
        assert!(judge(submission(), Some("\"r-1\"")).is_ok());
        assert!(judge(submission(), Some("r-2")).is_err());
        assert!(judge(bare, Some("\"r 9\"")).is_err());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let read = serde_json::from_str::<Submission>;
        assert!(read(r#"{"id": "a-1"}"#).is_ok());
        let error = read(r#"{"id": "a-1", "priority": 1}"#).unwrap_err();
        assert!(format!("{error}").contains("priority"));
    }

    #[test]
    fn no_report_repeats_a_value() {
        let mut secret = submission();
        secret.patient_name = Some("Canary".repeat(40));
        secret.email = Some("canary".into());
        assert!(!format!("{secret:?}").contains("anary"));
        let rejection = judge(secret, None).unwrap_err();
        assert!(!format!("{rejection:?}{rejection}").contains("anary"));
    }
}
