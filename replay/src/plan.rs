//! A capture as a plan: each request with its intended time, what it must not overtake, and what cannot be sent.
//!
//! **Invariant**: every exchange of the capture is in the plan, in order of intended time; one that cannot be sent says why.
//! It deliberately knows no target: both sides run the same plan.

mod flow;
pub(crate) mod token;

use std::{collections::BTreeMap, fmt, str::FromStr};

pub use flow::{Part, Value, ValuePlace};

use crate::{
    capture::{Body, Capture, Exchange, Request, Skipped, SkippedKind},
    rules::Rules,
};

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
    pub order: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// The endpoint's name in reports.
    pub endpoint: String,
    /// The request as captured; each side's rewriting comes later.
    pub request: Request,
    /// What it carries that an earlier answer invented: places in [`Plan::values`].
    pub uses: Vec<usize>,
    /// Why it cannot be sent.
    pub unreplayable: Option<Unreplayable>,
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

/// So many places are named for each kind of skipped record.
const PLACES: usize = 5;

/// What both sides run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it is from.
    pub source: Source,
    /// How fast it goes.
    pub pace: Pace,
    /// In order of intended time.
    pub requests: Vec<Planned>,
    /// The entities whose final state is read, in order of first appearance.
    pub entities: Vec<String>,
    /// Values that answers invent and later requests carry.
    pub values: Vec<Value>,
    /// Entities whose id is such a value: its place in [`Self::values`].
    pub invented: BTreeMap<String, usize>,
}

/// Plans a capture.
pub fn plan(capture: Capture, rules: &Rules, pace: Pace) -> Plan {
    let source = source(&capture);
    let first_ns = capture
        .exchanges
        .first()
        .map_or(0, |exchange| exchange.ts_ns);
    let flow = flow::flow(&capture.exchanges, |exchange| invented(exchange, rules));
    let mut ids: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for (place, value) in flow.values.iter().enumerate() {
        ids.insert((value.producer, &value.recorded), place);
    }
    let mut entities = indexed::Ordered::default();
    let mut by_answer = BTreeMap::new();
    let requests = (0..)
        .zip(capture.exchanges.into_iter().zip(flow.uses))
        .map(|(place, (exchange, uses))| {
            let gap_ns = exchange.ts_ns.saturating_sub(first_ns);
            let invented = invented(&exchange, rules);
            let mut planned = planned(exchange, at_ns(pace, place, gap_ns), rules);
            planned.uses = uses;
            if planned.unreplayable.is_some() {
                return planned;
            }
            if let Some(id) = rules.created(&planned.request) {
                entities.insert(id);
            } else if let Some(id) = invented
                && let Some(value) = ids.get(&(planned.seq, id.as_str()))
            {
                planned.order = Some(format!("entity {id}"));
                by_answer.insert(id.clone(), *value);
                entities.insert(id);
            }
            planned
        })
        .collect();
    drop(ids);
    Plan {
        source,
        pace,
        requests,
        entities: entities.items,
        values: flow.values,
        invented: by_answer,
    }
}

/// The id of the entity that an exchange creates, where the service invented it: the answer has it, where the request would.
fn invented(exchange: &Exchange, rules: &Rules) -> Option<String> {
    let state = rules.state.as_ref()?;
    let request = &exchange.request;
    if !state.create.covers(&request.method, request.path()) || rules.created(request).is_some() {
        return None;
    }
    let response = exchange.response.as_ref()?;
    let body = crate::capture::decoded(&response.headers, response.body.whole()?).ok()?;
    match crate::json::parse(&body).ok()?.pointer(&state.id)? {
        crate::json::Json::String(text) => Some(text.to_string()),
        crate::json::Json::Number(number) => Some(number.text().to_owned()),
        _ => None,
    }
}

fn planned(exchange: Exchange, at_ns: u64, rules: &Rules) -> Planned {
    let request = exchange.request;
    let order = match (rules.entity(&request), &exchange.session) {
        (Some(id), _) => Some(format!("entity {id}")),
        (None, Some(session)) => Some(format!("session {session}")),
        (None, None) => None,
    };
    Planned {
        seq: exchange.seq,
        at_ns,
        order,
        session: exchange.session,
        endpoint: rules.label(&request.method, request.path()),
        uses: Vec::new(),
        unreplayable: match &request.body {
            Body::Whole(_) => None,
            Body::Missing => Some(Unreplayable::BodyMissing),
            Body::Truncated { .. } => Some(Unreplayable::BodyTruncated),
        },
        request,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "paces and gaps are not negative, and `as` saturates"
)]
fn at_ns(pace: Pace, place: u64, gap_ns: u64) -> u64 {
    match pace {
        Pace::Recorded => gap_ns,
        Pace::Times(factor) => (gap_ns as f64 / factor) as u64,
        Pace::Rate(rate) => (place as f64 * 1e9 / rate) as u64,
        Pace::Max => 0,
    }
}

fn source(capture: &Capture) -> Source {
    let exchanges = &capture.exchanges;
    let mut skipped: Vec<SkippedRecords> = Vec::new();
    let several = capture
        .skipped
        .iter()
        .any(|one| one.file != capture.skipped[0].file);
    for one in &capture.skipped {
        let at = skipped.iter().position(|known| known.reason == one.kind);
        let at = at.unwrap_or_else(|| {
            skipped.push(SkippedRecords {
                reason: one.kind,
                count: 0,
                first: Vec::new(),
            });
            skipped.len() - 1
        });
        skipped[at].count = skipped[at].count.saturating_add(one.count);
        if skipped[at].first.len() < PLACES {
            skipped[at].first.push(SkippedPlace {
                offset: one.offset,
                found: found(one, several),
            });
        }
    }
    Source {
        sha256: capture.sha256.clone(),
        format: capture.format.name().to_owned(),
        exchanges: exchanges.len() as u64,
        lost: skipped
            .iter()
            .filter(|kind| kind.reason.loses_a_request())
            .map(|kind| kind.count)
            .fold(0, u64::saturating_add),
        skipped,
        standing_clock: exchanges.len() > 1
            && exchanges
                .iter()
                .all(|exchange| exchange.ts_ns == exchanges[0].ts_ns),
    }
}

/// What was found where a record was skipped, with what its offset does not tell: the line, and the file of several.
fn found(skipped: &Skipped, several: bool) -> String {
    let reason = &skipped.reason;
    match (several, skipped.line) {
        (false, None) => reason.clone(),
        (false, Some(line)) => format!("line {line}: {reason}"),
        (true, _) => format!("{}: {reason}", skipped.place()),
    }
}

mod indexed {
    //! A set that keeps the order of first insertion.

    use std::collections::BTreeSet;

    #[derive(Default)]
    pub(super) struct Ordered {
        pub(super) items: Vec<String>,
        known: BTreeSet<String>,
    }

    impl Ordered {
        pub(super) fn insert(&mut self, item: String) {
            if self.known.insert(item.clone()) {
                self.items.push(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Format;

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
        assert_eq!(plan.requests[0].endpoint, "GET /things/{id}");
        assert!(plan.source.standing_clock);
    }
}
