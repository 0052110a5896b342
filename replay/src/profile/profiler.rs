//! The profile itself: what is counted of each exchange, and the numbers it ends in.
//!
//! **Invariant**: every record that is added is in exactly one count of each kind.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    capture::{Exchange, Record, Request, Skipped, decoded, header},
    json::{Json, parse},
    profile::{
        bursts::{Arrivals, Burstiness},
        distinct::Distinct,
    },
    rules::generic_template,
};

/// Endpoints counted apart; each has a histogram of some 20 KB.
const ENDPOINTS: usize = 200;

/// Names (methods, statuses) counted apart.
const NAMES: usize = 100;

/// Request ids that are remembered to find repeated ones: about 7 MB of digests.
const IDS: usize = 1 << 19;

/// Places that are told of each kind of skipped record.
const PLACES: usize = 5;

/// What is beyond a cap.
const OTHERS: &str = "(others)";

/// Methods that change nothing (RFC 9110, 9.2.1).
const READING: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// Headers and members that name a request, so that a repeated one can be told.
const ID_HEADERS: [&str; 2] = ["idempotency-key", "x-request-id"];
const ID_MEMBERS: [&str; 3] = ["request_id", "requestId", "idempotency_key"];

/// A number, and whether it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Whether they were counted; else they were estimated, within 5 % in 99 of 100 captures.
    pub exact: bool,
}

/// Requests with an id that came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// Requests that have an id.
    pub with_id: u64,
    /// Of them, those whose id came before.
    pub repeated: u64,
    /// Whether every id was remembered; else those of the first half million.
    pub complete: bool,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointProfile {
    /// Method and templated path.
    pub endpoint: String,
    /// How many requests.
    pub requests: u64,
    /// Their statuses by class: `2xx`, `5xx`, `none`.
    pub statuses: BTreeMap<String, u64>,
    /// Latencies in milliseconds; `None` where no response was recorded.
    pub latency_ms: Option<Percentiles>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50: f64,
    /// Nine of ten were.
    pub p90: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// Skipped records of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Places {
    /// How many.
    pub count: u64,
    /// The first of them: where, and what was found.
    pub first: Vec<String>,
}

/// What is in a capture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Exchanges.
    pub exchanges: u64,
    /// Of them, those without a recorded response.
    pub without_response: u64,
    /// When the first request was sent, in nanoseconds since the epoch.
    pub first_ns: Option<u64>,
    /// From the first request to the last, in seconds.
    pub span_s: f64,
    /// Requests a second; `None` where the clock stands still.
    pub rate_per_s: Option<f64>,
    /// How uneven arrivals are, by scale.
    pub burstiness: Vec<Burstiness>,
    /// Clients' sessions.
    pub sessions: Count,
    /// The share of requests whose method may change something.
    pub share_of_writes: f64,
    /// Repeated request ids.
    pub request_ids: Repeats,
    /// Requests by method.
    pub methods: BTreeMap<String, u64>,
    /// Responses by status.
    pub statuses: BTreeMap<String, u64>,
    /// Latencies of all.
    pub latency_ms: Option<Percentiles>,
    /// Endpoints, the most frequent first.
    pub endpoints: Vec<EndpointProfile>,
    /// What is odd about records.
    pub flags: BTreeMap<String, u64>,
    /// What is no exchange.
    pub skipped: BTreeMap<String, Places>,
}

#[derive(Clone, Debug)]
struct Endpoint {
    requests: u64,
    statuses: BTreeMap<String, u64>,
    latency: Histogram<u64>,
}

/// Counts records as they come.
#[derive(Debug)]
pub struct Profiler {
    exchanges: u64,
    without_response: u64,
    writes: u64,
    ends: Option<(u64, u64)>,
    arrivals: Arrivals,
    sessions: Distinct,
    ids: BTreeSet<u64>,
    repeats: Repeats,
    methods: BTreeMap<String, u64>,
    statuses: BTreeMap<String, u64>,
    latency: Histogram<u64>,
    endpoints: BTreeMap<String, Endpoint>,
    flags: BTreeMap<String, u64>,
    skipped: BTreeMap<String, Places>,
}

impl Default for Profiler {
    /// Nothing counted.
    fn default() -> Self {
        Self {
            exchanges: 0,
            without_response: 0,
            writes: 0,
            ends: None,
            arrivals: Arrivals::new(),
            sessions: Distinct::default(),
            ids: BTreeSet::new(),
            repeats: Repeats {
                complete: true,
                ..Repeats::default()
            },
            methods: BTreeMap::new(),
            statuses: BTreeMap::new(),
            latency: histogram(),
            endpoints: BTreeMap::new(),
            flags: BTreeMap::new(),
            skipped: BTreeMap::new(),
        }
    }
}

impl Profiler {
    /// Counts a record.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Exchange(exchange) => self.exchange(exchange),
            Record::Skipped(skipped) => self.skip(skipped),
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let request = &exchange.request;
        self.exchanges += 1;
        self.arrivals.add(exchange.ts_ns);
        let (first, last) = self.ends.unwrap_or((exchange.ts_ns, exchange.ts_ns));
        self.ends = Some((first.min(exchange.ts_ns), last.max(exchange.ts_ns)));
        self.writes += u64::from(!READING.contains(&request.method.as_str()));
        if let Some(session) = &exchange.session {
            self.sessions.add(session);
        }
        if let Some(id) = request_id(request) {
            self.repeats.with_id += 1;
            let id = xxh3_64(id.as_bytes());
            if self.ids.len() < IDS {
                self.repeats.repeated += u64::from(!self.ids.insert(id));
            } else {
                self.repeats.complete = false;
                self.repeats.repeated += u64::from(self.ids.contains(&id));
            }
        }
        count(&mut self.methods, &request.method, NAMES);
        for flag in &exchange.flags {
            count(&mut self.flags, &variant(flag), NAMES);
        }
        let name = format!("{} {}", request.method, generic_template(request.path()).0);
        let full = self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(&name);
        let name = if full { OTHERS.to_owned() } else { name };
        let endpoint = self.endpoints.entry(name).or_insert_with(|| Endpoint {
            requests: 0,
            statuses: BTreeMap::new(),
            latency: histogram(),
        });
        endpoint.requests += 1;
        let Some(response) = &exchange.response else {
            self.without_response += 1;
            return count(&mut endpoint.statuses, "none", NAMES);
        };
        count(&mut self.statuses, &response.status.to_string(), NAMES);
        let class = format!("{}xx", response.status / 100);
        count(&mut endpoint.statuses, &class, NAMES);
        let micros = response.latency_ns / 1_000;
        self.latency.saturating_record(micros);
        endpoint.latency.saturating_record(micros);
    }

    fn skip(&mut self, skipped: &Skipped) {
        let places = self.skipped.entry(variant(&skipped.kind)).or_default();
        places.count = places.count.saturating_add(skipped.count);
        if places.first.len() < PLACES {
            let place = format!("{}: {}", skipped.place(), skipped.reason);
            places.first.push(crate::diff::shortened(&place));
        }
    }

    /// What was counted.
    pub fn finish(self) -> Profile {
        let span_s = self
            .ends
            .map_or(0.0, |(first, last)| (last - first) as f64 / 1e9);
        let (sessions, exact) = self.sessions.count();
        let mut endpoints: Vec<EndpointProfile> = self
            .endpoints
            .into_iter()
            .map(|(endpoint, known)| EndpointProfile {
                endpoint,
                requests: known.requests,
                statuses: known.statuses,
                latency_ms: percentiles(&known.latency),
            })
            .collect();
        endpoints.sort_by(|a, b| {
            b.requests
                .cmp(&a.requests)
                .then_with(|| a.endpoint.cmp(&b.endpoint))
        });
        Profile {
            exchanges: self.exchanges,
            without_response: self.without_response,
            first_ns: self.ends.map(|(first, _)| first),
            span_s,
            rate_per_s: (span_s > 0.0).then(|| self.exchanges as f64 / span_s),
            burstiness: self.arrivals.burstiness(),
            sessions: Count {
                count: sessions,
                exact,
            },
            share_of_writes: self.writes as f64 / self.exchanges.max(1) as f64,
            request_ids: self.repeats,
            methods: self.methods,
            statuses: self.statuses,
            latency_ms: percentiles(&self.latency),
            endpoints,
            flags: self.flags,
            skipped: self.skipped,
        }
    }
}

/// What the request calls itself.
fn request_id(request: &Request) -> Option<String> {
    let named = ID_HEADERS
        .iter()
        .find_map(|name| header(&request.headers, name));
    if let Some(id) = named {
        return Some(id.trim_matches('"').to_owned());
    }
    let body = decoded(&request.headers, request.body.whole()?).ok()?;
    let mentioned = ID_MEMBERS
        .iter()
        .any(|name| memchr::memmem::find(&body, name.as_bytes()).is_some());
    if !mentioned {
        return None;
    }
    let json = parse(&body).ok()?;
    ID_MEMBERS.iter().find_map(|name| match json.get(name)? {
        Json::String(text) => Some(text.to_string()),
        Json::Number(number) => Some(number.text().to_owned()),
        _ => None,
    })
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str, cap: usize) {
    if let Some(known) = counts.get_mut(name) {
        *known += 1;
        return;
    }
    let name = if counts.len() >= cap { OTHERS } else { name };
    *counts.entry(name.to_owned()).or_default() += 1;
}

/// Microseconds to an hour, in two digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("the bounds are constants")
}

fn percentiles(histogram: &Histogram<u64>) -> Option<Percentiles> {
    let at = |percent: f64| histogram.value_at_percentile(percent) as f64 / 1e3;
    (!histogram.is_empty()).then(|| Percentiles {
        p50: at(50.0),
        p90: at(90.0),
        p99: at(99.0),
        max: histogram.max() as f64 / 1e3,
    })
}

/// The name under which a unit variant is written.
fn variant(variant: &impl Serialize) -> String {
    let value = serde_json::to_value(variant).expect("a unit variant is plain data");
    value.as_str().unwrap_or_default().to_owned()
}
