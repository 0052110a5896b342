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
