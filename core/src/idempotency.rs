//! Is this request new, a repeat, or another one under a used key?
//!
//! The one invariant: equal meaning gives equal fingerprints, whatever the order or spacing of the JSON it came in.
//! It deliberately does not look the key up; the store does, by tenant and request id, inside its transaction.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::command::NewAppointment;

/// SHA-256 of what a request means. In JSON: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What accept stored: the answer to give again, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Of the request that was accepted.
    pub fingerprint: Fingerprint,
    /// The HTTP status of its answer.
    pub status: u16,
    /// The body of its answer.
    pub body: String,
}

/// What a request is, given what is stored under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Nothing is stored: process it.
    Fresh,
    /// The same request: give the stored answer.
    Replay(&'a Stored),
    /// Another request under a used key.
    Conflict,
}

/// Judges a request against what is stored under its key.
pub fn check(stored: Option<&Stored>, fingerprint: Fingerprint) -> Verdict<'_> {
    match stored {
        None => Verdict::Fresh,
        Some(stored) if stored.fingerprint == fingerprint => Verdict::Replay(stored),
        Some(_) => Verdict::Conflict,
    }
}

/// What is hashed. RFC 8785 sorts keys; the fields stand in that order, and all are strings, which `serde_json`
/// escapes as the RFC asks.
#[derive(Serialize)]
struct Canonical<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    operation: &'a str,
    patient_name: &'a str,
    provider: &'a str,
    time: &'a str,
    version: &'a str,
}

/// The fingerprint of a submission. Tenant and request id are the key, not part of the meaning.
pub fn fingerprint(new: &NewAppointment) -> Fingerprint {
    Fingerprint(Sha256::digest(canonical(new)).into())
}

fn canonical(new: &NewAppointment) -> Vec<u8> {
    serde_json::to_vec(&Canonical {
        email: new.details.email.as_deref(),
        id: new.id.as_str(),
        note: new.details.note.as_deref(),
        operation: "POST /v1/appointments",
        patient_name: &new.details.patient_name,
        provider: new.provider.as_str(),
        time: &new.details.time,
        version: "1",
    })
    .expect("strings always serialize")
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(core::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| de::Error::custom("a fingerprint is 64 hexadecimal digits"))
    }
}

fn parse(text: &str) -> Option<Fingerprint> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Fingerprint(bytes))
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use crate::{
        appointment::Details,
        identity::{AppointmentId, ProviderName, RequestId, Tenant},
    };

    fn new() -> NewAppointment {
        NewAppointment {
            tenant: Tenant::default(),
            id: AppointmentId::parse("a-1").unwrap(),
            request_id: RequestId::parse("r-1").unwrap(),
            provider: ProviderName::parse("acme").unwrap(),
            details: Details {
                time: "2030-01-31T09:30:00Z".into(),
                patient_name: "Åsa \"\u{1}\n€".into(),
                email: Some("a@b".into()),
                note: None,
            },
        }
    }

    #[test]
    fn the_canonical_form_is_sorted_and_escaped_as_the_rfc_asks() {
        let text = String::from_utf8(canonical(&new())).unwrap();
        assert_eq!(
            text,
            r#"{"email":"a@b","id":"a-1","operation":"POST /v1/appointments","patient_name":"Åsa \"\u0001\n€","provider":"acme","time":"2030-01-31T09:30:00Z","version":"1"}"#
        );
        let sorted: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(sorted.to_string(), text, "a map sorts its keys");
    }

    #[test]
    fn what_is_stored_depends_on_the_fingerprint_never_changing() {
        assert_eq!(
            fingerprint(&new()).to_string(),
            "c12d4a129be6f92b3f297a7f08317c0e7c2a7ea5542c04d8acc4e376a9122ab0"
        );
    }

    #[test]
    fn every_meaningful_field_counts_and_the_key_does_not() {
        let check = |change: fn(&mut NewAppointment), same: bool| {
            let mut changed = new();
            change(&mut changed);
            assert_eq!(
                fingerprint(&changed) == fingerprint(&new()),
                same,
                "{changed:?}"
            );
        };
        check(|it| it.request_id = RequestId::parse("r-2").unwrap(), true);
        check(|it| it.tenant = Tenant::parse("other").unwrap(), true);
        check(|it| it.id = AppointmentId::parse("a-2").unwrap(), false);
        check(
            |it| it.provider = ProviderName::parse("zenith").unwrap(),
            false,
        );
        check(|it| it.details.time.push('x'), false);
        check(|it| it.details.patient_name.push('x'), false);
        check(|it| it.details.email = None, false);
        check(|it| it.details.note = Some(String::new()), false);
    }

    #[test]
    fn fresh_replay_conflict() {
        let stored = Stored {
            fingerprint: fingerprint(&new()),
            status: 202,
            body: "{}".into(),
        };
        assert_eq!(check(None, stored.fingerprint), Verdict::Fresh);
        assert_eq!(
            check(Some(&stored), stored.fingerprint),
            Verdict::Replay(&stored)
        );
        assert_eq!(
            check(Some(&stored), Fingerprint([0; 32])),
            Verdict::Conflict
        );
    }

    #[test]
    fn json_is_hexadecimal() {
        let print = fingerprint(&new());
        let json = serde_json::to_string(&print).unwrap();
        assert_eq!(json, format!("\"{print}\""));
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), print);
        for bad in [
            "\"\"",
            "\"zz\"",
            &json.replace('"', "").replacen("", "\"g", 1),
        ] {
            assert!(serde_json::from_str::<Fingerprint>(bad).is_err(), "{bad}");
        }
    }
}
