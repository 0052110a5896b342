//! What a client does, as data: a step of a plan.
//!
//! **Invariant**: a step holds all that it sends, so it means the same when the others are removed. Names and emails are canaries: strings
//! that nothing else in the world holds, so finding one in a log is proof of a leak.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

/// One operation of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Asks for an appointment. A repeat of an earlier step is a duplicate; one with its `request_id` and other details a conflict.
    Submit(Submission),
    /// Cancels an appointment.
    Cancel {
        /// Which.
        id: String,
    },
    /// Reads an appointment.
    Read {
        /// Which.
        id: String,
    },
    /// Calls what else the API offers.
    Probe {
        /// What.
        endpoint: Endpoint,
        /// The number of a request or of an outbox entry, for endpoints that name one.
        n: u64,
    },
}

/// What the API offers beside the lifecycle of an appointment, and the ways to ask for what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `GET /v1/appointments?request_id=` of the request `n`.
    Find,
    /// The same with another question.
    FindBadQuery,
    /// `GET /v1/appointments/{id}` of none.
    ReadUnknown,
    /// `POST /v1/appointments/{id}/cancel` of none.
    CancelUnknown,
    /// `POST /v1/appointments` with fields that break rules.
    SubmitInvalid,
    /// The same with half a JSON document.
    SubmitMalformed,
    /// `GET /v1/providers`.
    Providers,
    /// `GET /livez`.
    Livez,
    /// `GET /readyz`.
    Readyz,
    /// `GET /metrics`.
    Metrics,
    /// `GET /openapi.json`.
    Openapi,
    /// `GET /admin/outbox`.
    Outbox,
    /// `GET /admin/dlq`.
    DeadLetters,
    /// `GET /admin/findings`.
    Findings,
    /// `GET /admin/breakers`.
    Breakers,
    /// A path that there is not.
    NoSuchPath,
    /// A path with a method that it does not have.
    WrongMethod,
    /// `POST /admin/dlq/{n}/redrive`; not among [`Endpoint::PROBES`], as it may change something.
    Redrive,
}

impl Endpoint {
    /// Those that change nothing, in the order of draws.
    pub const PROBES: [Self; 17] = [
        Self::Find,
        Self::FindBadQuery,
        Self::ReadUnknown,
        Self::CancelUnknown,
        Self::SubmitInvalid,
        Self::SubmitMalformed,
        Self::Providers,
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::Openapi,
        Self::Outbox,
        Self::DeadLetters,
        Self::Findings,
        Self::Breakers,
        Self::NoSuchPath,
        Self::WrongMethod,
    ];

    /// Method, path and body of its request.
    pub fn request(self, n: u64) -> (http::Method, String, &'static str) {
        let get = |path: &str| (http::Method::GET, path.to_owned(), "");
        let post = |path: String, body| (http::Method::POST, path, body);
        let submit = |body| post("/v1/appointments".to_owned(), body);
        match self {
            Self::Find => get(&format!("/v1/appointments?request_id=r-{n}")),
            Self::FindBadQuery => get("/v1/appointments?state=failed"),
            Self::ReadUnknown => get("/v1/appointments/nobody"),
            Self::CancelUnknown => post("/v1/appointments/nobody/cancel".to_owned(), ""),
            Self::SubmitInvalid => submit(r#"{"id":"","provider":"none","time":"soon"}"#),
            Self::SubmitMalformed => submit(r#"{"id":"#),
            Self::Providers => get("/v1/providers"),
            Self::Livez => get("/livez"),
            Self::Readyz => get("/readyz"),
            Self::Metrics => get("/metrics"),
            Self::Openapi => get("/openapi.json"),
            Self::Outbox => get("/admin/outbox"),
            Self::DeadLetters => get("/admin/dlq"),
            Self::Findings => get("/admin/findings"),
            Self::Breakers => get("/admin/breakers"),
            Self::NoSuchPath => get("/v2/appointments"),
            Self::WrongMethod => post("/v1/providers".to_owned(), ""),
            Self::Redrive => post(format!("/admin/dlq/{n}/redrive"), ""),
        }
    }
}

/// The body of a request for an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The appointment's id.
    pub id: String,
    /// The idempotency key.
    pub request_id: String,
    /// The provider.
    pub provider: String,
    /// RFC 3339.
    pub time: String,
    /// A canary.
    pub patient_name: String,
    /// A canary.
    pub email: String,
}

/// Parts of every canary that survive a change of the first letter's case or a cut at the end. No other text of a run holds them.
const CANARIES: [&str; 3] = ["uillon", "orblax", "canary.example"];

impl Submission {
    /// The request number `n` of a run, for `provider`.
    pub fn new(n: u64, provider: &str) -> Self {
        // Quarter hours from 2027 on, in months of 28 days.
        let (quarter, day) = (n % 40, n / 40);
        let (minute, hour) = (quarter % 4 * 15, 8 + quarter / 4);
        let (date, month, year) = (1 + day % 28, 1 + day / 28 % 12, 2027 + day / 336 % 10);
        Self {
            id: format!("a-{n}"),
            request_id: format!("r-{n}"),
            provider: provider.to_owned(),
            time: format!("{year}-{month:02}-{date:02}T{hour:02}:{minute:02}:00Z"),
            patient_name: format!("Quillon Zorblax-{n}"),
            email: format!("quillon.zorblax-{n}@canary.example"),
        }
    }

    /// How many ways there are to be [`Self::conflicting`].
    pub const CONFLICTS: u32 = 3;

    /// The same key with another payload: another name, address or time, as `way` says.
    #[must_use]
    pub fn conflicting(&self, way: u32) -> Self {
        let mut other = self.clone();
        match way % Self::CONFLICTS {
            0 => other.patient_name += "-II",
            1 => other.email.insert_str(0, "second-"),
            _ => other.time = self.time.replacen(":00Z", ":30Z", 1),
        }
        other
    }
}

/// The canary that `text` holds, with what follows it.
pub fn canary(text: &str) -> Option<&str> {
    static FINDERS: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| CANARIES.map(Finder::new));
    let find = |finder: &Finder<'_>| finder.find(text.as_bytes());
    let at = FINDERS.iter().filter_map(find).min()?;
    let end = text[at..]
        .char_indices()
        .nth(40)
        .map_or(text.len(), |(offset, _)| at + offset);
    Some(&text[at..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_found_whole_and_cut_and_not_when_masked() {
        let submission = Submission::new(7, "acme");
        for leak in [
            submission.patient_name.as_str(),
            &submission.email,
            "QUILLON".to_lowercase().as_str(),
            "for Zorblax-7",
        ] {
            assert!(canary(&format!("text {leak} text")).is_some(), "{leak}");
        }
        for fine in ["Q*** and ***", "quill", "a-7 r-7 acme", ""] {
            assert_eq!(canary(fine), None, "{fine}");
        }
    }

    #[test]
    fn times_are_valid_and_differ() {
        let mut times: Vec<String> = (0..40 * 28 * 13)
            .map(|n| Submission::new(n, "acme").time)
            .collect();
        assert_eq!(times[0], "2027-01-01T08:00:00Z");
        assert_eq!(times[40 * 28 * 12], "2028-01-01T08:00:00Z");
        let count = times.len();
        times.sort();
        times.dedup();
        assert_eq!(times.len(), count);
    }

    #[test]
    fn a_conflict_keeps_the_key_and_changes_the_payload() {
        let first = Submission::new(1, "acme");
        let mut seen = vec![first.clone()];
        for way in 0..Submission::CONFLICTS {
            let other = first.conflicting(way);
            assert_eq!(
                (&first.id, &first.request_id),
                (&other.id, &other.request_id)
            );
            assert!(!seen.contains(&other));
            seen.push(other);
        }
    }
}
