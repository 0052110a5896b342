//! Makes a plan of a capture, exchange by exchange.
//!
//! A capture is walked twice, because what an answer shows matters only where a later request carries it: first every exchange is
//! [expected](Planner::expect), then every one is [added](Planner::add). Answers are let go at once, so a capture need not be in memory.
//!
//! **Invariant**: exchanges come in the same order both times, which is that of their times.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{
    Pace, Plan, Planned, SkippedPlace, SkippedRecords, Source, Spill, Unreplayable, flow::Flow,
    requests::Keeper,
};
use crate::{
    capture::{Body, Capture, Exchange, Origin, Skipped},
    json::{Json, parse},
    rules::Rules,
};

/// So many places are named for each kind of skipped record.
const PLACES: usize = 5;

/// Plans a capture that is in memory.
///
/// # Panics
/// Never: there is no spill that could fail.
pub fn plan(capture: Capture, rules: &Rules, pace: Pace) -> Plan {
    let mut planner = Planner::new(rules, pace);
    for exchange in &capture.exchanges {
        planner.expect(exchange);
    }
    let origin = Origin {
        sha256: capture.sha256,
        format: capture.format,
        skipped: capture.skipped,
    };
    for exchange in capture.exchanges {
        planner.add(exchange).expect("memory takes everything");
    }
    planner.plan(&origin).expect("memory takes everything")
}

/// See the module.
#[derive(Debug)]
pub struct Planner<'r> {
    rules: &'r Rules,
    pace: Pace,
    flow: Flow,
    names: BTreeSet<Arc<str>>,
    requests: Vec<Planned>,
    keeper: Keeper,
    entities: Entities,
    invented: BTreeMap<String, usize>,
    first_ns: u64,
    stands_still: bool,
}

impl<'r> Planner<'r> {
    /// Keeps all requests in memory.
    pub fn new(rules: &'r Rules, pace: Pace) -> Self {
        Self {
            rules,
            pace,
            flow: Flow::default(),
            names: BTreeSet::new(),
            requests: Vec::new(),
            keeper: Keeper::default(),
            entities: Entities::default(),
            invented: BTreeMap::new(),
            first_ns: 0,
            stands_still: true,
        }
    }

    /// Keeps what has no room in memory in `spill`.
    pub fn spilling(rules: &'r Rules, pace: Pace, spill: Box<dyn Spill>) -> Self {
        Self {
            keeper: Keeper::spilling(spill),
            ..Self::new(rules, pace)
        }
    }

    /// Takes note of an exchange, the first time.
    pub fn expect(&mut self, exchange: &Exchange) {
        self.flow.expect(&exchange.request);
    }

    /// Plans an exchange, the second time. Its place in the capture is the place that it comes at.
    ///
    /// # Errors
    /// What the spill says.
    pub fn add(&mut self, exchange: Exchange) -> io::Result<()> {
        let place = self.requests.len() as u64;
        if place == 0 {
            self.first_ns = exchange.ts_ns;
        }
        self.stands_still &= exchange.ts_ns == self.first_ns;
        let invented = invented(&exchange, self.rules);
        let known = self.flow.values.len();
        let uses = self.flow.follow(&exchange, invented.as_deref());
        let own = |id: &str| {
            let shown = self.flow.values[known..]
                .iter()
                .rposition(|value| value.recorded == id);
            shown.map(|at| known + at)
        };
        let invented = invented.and_then(|id| Some((own(&id)?, id)));
        let gap_ns = exchange.ts_ns.saturating_sub(self.first_ns);
        let at_ns = at_ns(self.pace, place, gap_ns);
        let mut planned = self.planned(&exchange, at_ns);
        planned.uses = uses.into();
        if planned.unreplayable.is_none() {
            if let Some(id) = self.rules.created(&exchange.request) {
                self.entities.insert(id);
            } else if let Some((value, id)) = invented {
                planned.order = Some(self.named(&format!("entity {id}")));
                self.invented.insert(id.clone(), value);
                self.entities.insert(id);
            }
        }
        self.requests.push(planned);
        self.keeper.push(exchange.request)
    }

    /// The plan.
    ///
    /// # Errors
    /// What the spill says.
    pub fn plan(self, origin: &Origin) -> io::Result<Plan> {
        let count = self.requests.len();
        Ok(Plan {
            source: source(origin, count as u64, count > 1 && self.stands_still),
            pace: self.pace,
            requests: self.requests,
            contents: self.keeper.finish()?,
            entities: self.entities.items,
            values: self.flow.values,
            invented: self.invented,
        })
    }

    fn planned(&mut self, exchange: &Exchange, at_ns: u64) -> Planned {
        let request = &exchange.request;
        let order = match (self.rules.entity(request), &exchange.session) {
            (Some(id), _) => Some(format!("entity {id}")),
            (None, Some(session)) => Some(format!("session {session}")),
            (None, None) => None,
        };
        Planned {
            seq: exchange.seq,
            at_ns,
            order: order.map(|order| self.named(&order)),
            session: exchange
                .session
                .as_deref()
                .map(|session| self.named(session)),
            endpoint: self.named(&self.rules.label(&request.method, request.path())),
            method: self.named(&request.method),
            target: request.target.as_str().into(),
            uses: Box::default(),
            unreplayable: match &request.body {
                Body::Whole(_) => None,
                Body::Missing => Some(Unreplayable::BodyMissing),
                Body::Truncated { .. } => Some(Unreplayable::BodyTruncated),
            },
            accepted: exchange
                .response
                .as_ref()
                .is_some_and(|response| (200..300).contains(&response.status)),
        }
    }

    /// One text for all that say the same.
    fn named(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        self.names.insert(new.clone());
        new
    }
}

/// A set that keeps the order of first insertion.
#[derive(Debug, Default)]
struct Entities {
    items: Vec<String>,
    known: BTreeSet<String>,
}

impl Entities {
    fn insert(&mut self, item: String) {
        if self.known.insert(item.clone()) {
            self.items.push(item);
        }
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
    match parse(&body).ok()?.pointer(&state.id)? {
        Json::String(text) => Some(text.to_string()),
        Json::Number(number) => Some(number.text().to_owned()),
        _ => None,
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

fn source(origin: &Origin, exchanges: u64, standing_clock: bool) -> Source {
    let mut skipped: Vec<SkippedRecords> = Vec::new();
    let several = origin
        .skipped
        .iter()
        .any(|one| one.file != origin.skipped[0].file);
    for one in &origin.skipped {
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
        sha256: origin.sha256.clone(),
        format: origin.format.name().to_owned(),
        exchanges,
        lost: skipped
            .iter()
            .filter(|kind| kind.reason.loses_a_request())
            .map(|kind| kind.count)
            .fold(0, u64::saturating_add),
        skipped,
        standing_clock,
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
