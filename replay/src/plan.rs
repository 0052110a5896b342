//! A capture as a plan: each request with its intended time, what it must not overtake, and what cannot be sent.
//!
//! **Invariant**: every exchange of the capture is in the plan, in order of intended time; one that cannot be sent says why.
//! It deliberately knows no target: both sides run the same plan.

mod flow;
mod planner;
mod requests;
pub(crate) mod spots;
pub(crate) mod token;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

pub use flow::{Part, Value, ValuePlace};
pub use planner::{Planner, plan};
pub use requests::{Requests, Spill};

use crate::capture::SkippedKind;

/// How fast a capture is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// With the gaps it was recorded with.
    Recorded,
    /// With all gaps divided by this.
    Times(f64),
    /// So many requests a second, evenly.
    Rate(f64),
    /// As fast as the limit of requests in flight lets it.
    Max,
}

/// Not a pace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}, expected recorded, 2x, 100/s or max")]
pub struct NotAPace(String);

impl FromStr for Pace {
    type Err = NotAPace;

    fn from_str(text: &str) -> Result<Self, NotAPace> {
        let number = |text: &str| {
            text.parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number > 0.0)
        };
        match text {
            "recorded" => Some(Self::Recorded),
            "max" => Some(Self::Max),
            _ => match (text.strip_suffix('x'), text.strip_suffix("/s")) {
                (Some(factor), _) => number(factor).map(Self::Times),
                (_, Some(rate)) => number(rate).map(Self::Rate),
                _ => None,
            },
        }
        .ok_or_else(|| NotAPace(text.to_owned()))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded => f.write_str("recorded"),
            Self::Times(factor) => write!(f, "{factor}x"),
            Self::Rate(rate) => write!(f, "{rate}/s"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// A request of the plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its place in the capture.
    pub seq: u64,
    /// When it is to be sent, in nanoseconds from the start.
    pub at_ns: u64,
    /// Requests with the same key keep their order: those that touch one entity, else those of one session.
    pub order: Option<Arc<str>>,
    /// The client's session.
    pub session: Option<Arc<str>>,
    /// The endpoint's name in reports.
    pub endpoint: Arc<str>,
    /// `GET`, `POST`, ...
    pub method: Arc<str>,
    /// The request target as captured: path and query, or an absolute URI.
    pub target: Box<str>,
    /// What it carries that an earlier answer invented: places in [`Plan::values`].
    pub uses: Box<[Use]>,
    /// Why it cannot be sent.
    pub unreplayable: Option<Unreplayable>,
    /// Whether the recorded service did what was asked: its status was 2xx.
    pub accepted: bool,
}

/// A value that a request carries and an earlier answer invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its place in [`Plan::values`].
    pub value: usize,
    /// Whether only a cookie carries it: then it is the session's jar that says whether and how it is sent.
    pub cookie: bool,
}

impl Planned {
    /// The path of its target, without a query.
    pub fn path(&self) -> &str {
        crate::capture::path_of(&self.target)
    }
}

/// Why a captured request cannot be sent.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Unreplayable {
    /// Only the beginning of its body is in the capture.
    BodyTruncated,
    /// Its body is not in the capture.
    BodyMissing,
}

impl Unreplayable {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::BodyTruncated => "body_truncated",
            Self::BodyMissing => "body_missing",
        }
    }
}

/// What the report says about the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The SHA-256 of the file.
    pub sha256: String,
    /// Its format.
    pub format: String,
    /// How many exchanges it held.
    pub exchanges: u64,
    /// What was skipped when it was read: why, how many, and where the first ones were.
    pub skipped: Vec<SkippedRecords>,
    /// Requests that were lost with what was skipped.
    pub lost: u64,
    /// Whether there are several exchanges and they all carry the same time: the recorded pace is unknown.
    pub standing_clock: bool,
}

/// Skipped records of one kind.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SkippedRecords {
    /// Why they were skipped.
    pub reason: SkippedKind,
    /// How many.
    pub count: u64,
    /// The first few: byte offset and what was found there.
    pub first: Vec<SkippedPlace>,
}

/// Where a record was skipped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SkippedPlace {
    /// Bytes from the start of the decompressed capture.
    pub offset: u64,
    /// What was found there.
    pub found: String,
}

/// What both sides run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it is from.
    pub source: Source,
    /// How fast it goes.
    pub pace: Pace,
    /// In order of intended time.
    pub requests: Vec<Planned>,
    /// The same requests with headers and bodies.
    pub contents: Requests,
    /// The entities whose final state is read, in order of first appearance.
    pub entities: Vec<String>,
    /// Values that answers invent and later requests carry.
    pub values: Vec<Value>,
    /// Entities whose id is such a value: its place in [`Self::values`].
    pub invented: BTreeMap<String, usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::{Body, Capture, Exchange, Format, Request},
        rules::Rules,
    };

    fn capture(times: &[u64]) -> Capture {
        let exchange = |(seq, ts_ns): (u64, &u64)| Exchange {
            seq,
            ts_ns: *ts_ns,
            conn: None,
            session: Some("s".into()),
            request: Request {
                method: "GET".into(),
                target: format!("/things/{seq}"),
                version: "1.1".into(),
                headers: Vec::new(),
                body: if seq == 2 { Body::Missing } else { Body::EMPTY },
            },
            response: None,
            flags: Vec::new(),
        };
        Capture {
            sha256: "0".repeat(64),
            format: Format::Rehearsal,
            exchanges: (0..).zip(times).map(exchange).collect(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn paces_are_read_and_applied() {
        let check = |text: &str, times: [u64; 3]| {
            let pace: Pace = text.parse().expect("a pace");
            assert_eq!(pace.to_string(), text);
            let plan = plan(capture(&[500, 700, 1_500]), &Rules::default(), pace);
            let planned: Vec<u64> = plan.requests.iter().map(|request| request.at_ns).collect();
            assert_eq!(planned, times, "{text}");
        };
        check("recorded", [0, 200, 1_000]);
        check("2x", [0, 100, 500]);
        check("100/s", [0, 10_000_000, 20_000_000]);
        check("max", [0, 0, 0]);
        for text in ["", "fast", "0x", "-1/s", "x", "NaNx", "inf/s"] {
            assert!(text.parse::<Pace>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_without_its_body_is_planned_as_unreplayable() {
        let plan = plan(capture(&[1, 1, 1]), &Rules::default(), Pace::Recorded);
        assert_eq!(plan.requests.len(), 3);
        assert_eq!(
            plan.requests[2].unreplayable,
            Some(Unreplayable::BodyMissing)
        );
        assert_eq!(plan.requests[0].order.as_deref(), Some("entity 0"));
        assert_eq!(&*plan.requests[0].endpoint, "GET /things/{id}");
        assert!(plan.source.standing_clock);
    }
}
