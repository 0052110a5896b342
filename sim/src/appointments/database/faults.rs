//! `[database]`: how a cluster's database is slow, and how it commits and then does not answer.
//!
//! **Invariant**: an answer is lost only after a commit that changed something, so each loss is one that a caller has to live with; and
//! each is counted. It deliberately does not fail a transaction: full and broken disks are the disk's faults.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rehearsal_host::Host;
use rehearsal_service::store::{AcceptReply, Redriven, Reply, Request, Store, StoreError, Verdict};
use serde::{Deserialize, Serialize};

use super::super::Event;
use crate::{
    chance::Chance,
    range::{Latency, Range},
    trace::HostRecorder,
};

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// How long a request takes at the database, its commit somewhere within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The share of commits after which the connection is dropped in place of an answer.
    #[serde(skip_serializing_if = "is_none_lost")]
    pub answer_lost: Range,
    /// The seed of its draws. Drawn, unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

impl Default for Database {
    /// As fast as the network, and every commit is answered.
    fn default() -> Self {
        Self {
            latency: None,
            answer_lost: Range::fixed(0.0),
            seed: None,
        }
    }
}

fn is_none_lost(share: &Range) -> bool {
    share.high <= 0.0
}

impl Database {
    /// Whether it says nothing but the default: such a table is not written into plans.
    pub fn is_healthy(&self) -> bool {
        self.latency.is_none() && self.answer_lost.high <= 0.0
    }

    /// Leaves out what `keeps` says no to, by key.
    pub fn thin(&mut self, keeps: &dyn Fn(&str) -> bool) {
        self.latency = self.latency.filter(|_| keeps("latency"));
        if !keeps("answer_lost") {
            self.answer_lost = Range::fixed(0.0);
        }
    }

    /// Draws whatever is open.
    pub fn draw(&mut self, chance: &Chance) {
        if self.is_healthy() {
            return;
        }
        let lost = self
            .answer_lost
            .draw(&mut chance.named("answer_lost").rng());
        self.answer_lost = Range::fixed(lost);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "32 bits of the stream are a seed, and TOML keeps them"
        )]
        self.seed
            .get_or_insert_with(|| chance.named("seed").seed() as u32);
    }

    /// Refuses what no database can do.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self, cluster: bool) -> Result<(), String> {
        if !cluster && !self.is_healthy() {
            return Err(
                "database: found latency or answer_lost with layout = \"embedded\", where no network lies before the database; expected layout = \"cluster\""
                    .to_owned(),
            );
        }
        if self.answer_lost.high >= 1.0 {
            return Err(format!(
                "database.answer_lost: found {}, expected 0 or more and less than 1",
                self.answer_lost.high
            ));
        }
        self.latency.map_or(Ok(()), |latency| {
            latency
                .check()
                .map_err(|error| format!("database.latency: {error}"))
        })
    }
}

/// What the database's host did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseEvent {
    /// Fault: a transaction was committed and its caller gets no answer.
    AnswerLost {
        /// What was committed: `accept`, `settle`, ...
        request: String,
        /// The appointments that it was about, as far as the request names them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        appointments: Vec<String>,
        /// The outbox entries that it was about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        entries: Vec<i64>,
    },
    /// A caller gave up, or lost its connection, and does not know whether its request was committed. Written at the caller.
    Unheard {
        /// The appointments that it was about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        appointments: Vec<String>,
        /// The outbox entries that it was about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        entries: Vec<i64>,
    },
    /// At the end: requests that took longer than they needed.
    Delayed {
        /// How many.
        requests: u64,
    },
}

impl DatabaseEvent {
    /// What is to be written when `request` is not answered; `None` when it names nobody.
    pub(in super::super) fn unheard(request: &Request) -> Option<Self> {
        let (appointments, entries) = about(request);
        let names = !(appointments.is_empty() && entries.is_empty());
        names.then_some(Self::Unheard {
            appointments,
            entries,
        })
    }
}

/// Which appointments and which outbox entries a request names.
fn about(request: &Request) -> (Vec<String>, Vec<i64>) {
    match request {
        Request::Accept { new, .. } => (vec![new.id.to_string()], Vec::new()),
        Request::Cancel { id, .. } | Request::Repair { id, .. } => {
            (vec![id.to_string()], Vec::new())
        }
        Request::Settle { settlements, .. } => {
            let entries = settlements.iter().map(|one| one.entry_id).collect();
            (Vec::new(), entries)
        }
        Request::Redrive { entry_id, .. } => (Vec::new(), vec![*entry_id]),
        _ => (Vec::new(), Vec::new()),
    }
}

/// What a reply says was committed; `None` when it changed nothing.
fn committed(reply: &Reply) -> Option<&'static str> {
    let applied = |verdict: &Verdict| matches!(verdict, Verdict::Applied { .. });
    match reply {
        Reply::Accepted(AcceptReply::Fresh(_)) => Some("committed:accept"),
        Reply::Cancelled(Ok((_, events))) if !events.is_empty() => Some("committed:cancel"),
        Reply::Claims(claims) if !claims.claimed.is_empty() => Some("committed:claim"),
        Reply::Settled(settled) if settled.iter().any(|one| applied(&one.verdict)) => {
            Some("committed:settle")
        }
        Reply::Repaired(Some(_)) => Some("committed:repair"),
        Reply::Redriven(Redriven::Ready) => Some("committed:redrive"),
        _ => None,
    }
}

/// Every name that a commit is noticed under, for faults that wait for one.
pub(in super::super) const COMMITS: [&str; 6] = [
    "committed:accept",
    "committed:cancel",
    "committed:claim",
    "committed:settle",
    "committed:repair",
    "committed:redrive",
];

/// The store with each commit noticed, before anybody gets its answer.
pub(in super::super) struct Noticed {
    pub(in super::super) store: Arc<dyn Store>,
    pub(in super::super) recorder: HostRecorder<Event>,
}

impl Store for Noticed {
    fn call(
        &self,
        request: Request,
    ) -> futures_util::future::BoxFuture<'_, Result<Reply, StoreError>> {
        Box::pin(async move {
            let answer = self.store.call(request).await;
            if let Some(name) = answer.as_ref().ok().and_then(committed) {
                self.recorder.notice(name);
            }
            answer
        })
    }

    fn changed(&self) -> Option<futures_util::future::BoxFuture<'_, ()>> {
        self.store.changed()
    }
}

/// The table at work on a host: outlives the host's boots.
#[derive(Debug)]
pub(in super::super) struct Faults {
    table: Database,
    rng: Mutex<ChaCha8Rng>,
    delayed: Mutex<u64>,
}

impl Faults {
    /// Those of `table`; `None` when it asks for none.
    pub(in super::super) fn of(table: Database) -> Option<Arc<Self>> {
        (!table.is_healthy()).then(|| {
            let seed = u64::from(table.seed.unwrap_or_default());
            Arc::new(Self {
                table,
                rng: Mutex::new(Chance::new(seed).named("database").rng()),
                delayed: Mutex::default(),
            })
        })
    }

    /// What is to be said of it at the end.
    pub(in super::super) fn summary(&self) -> Option<DatabaseEvent> {
        let requests = *self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        self.table
            .latency
            .map(|_| DatabaseEvent::Delayed { requests })
    }

    /// Carries `request` out; with what is lost when the caller is not to get its answer.
    pub(super) async fn call(
        &self,
        host: &Host,
        store: &Arc<dyn Store>,
        request: Request,
    ) -> (Result<Reply, StoreError>, Option<DatabaseEvent>) {
        let (before, after, lost) = self.draw();
        let (appointments, entries) = if lost {
            about(&request)
        } else {
            Default::default()
        };
        pause(host, before).await;
        let answer = store.call(request).await;
        let name = answer.as_ref().ok().and_then(committed);
        pause(host, after).await;
        let name = name.and_then(|name| name.strip_prefix("committed:"));
        let lost = name.filter(|_| lost).map(|name| DatabaseEvent::AnswerLost {
            request: name.to_owned(),
            appointments,
            entries,
        });
        (answer, lost)
    }

    /// The waits before and after the commit, and whether its answer is lost. The same draws for every request, whatever comes of it.
    fn draw(&self) -> (Duration, Duration, bool) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = self
            .table
            .latency
            .map_or(Duration::ZERO, |latency| latency.draw(&mut *rng));
        let before = whole.mul_f64(rng.random::<f64>());
        let lost = rng.random::<f64>() < self.table.answer_lost.low;
        *self.delayed.lock().unwrap_or_else(PoisonError::into_inner) += u64::from(!whole.is_zero());
        (before, whole.saturating_sub(before), lost)
    }
}

async fn pause(host: &Host, duration: Duration) {
    if !duration.is_zero() {
        host.sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Database {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_open_is_drawn_once_and_a_healthy_one_draws_nothing() {
        let mut table = parse("answer_lost = [0.1, 0.2]");
        table.draw(&Chance::new(3));
        let drawn = table;
        table.draw(&Chance::new(4));
        assert_eq!(table, drawn);
        assert!((0.1..=0.2).contains(&table.answer_lost.low) && table.seed.is_some());
        let mut healthy = Database::default();
        healthy.draw(&Chance::new(3));
        assert_eq!(healthy, Database::default());
    }

    #[test]
    fn what_no_database_can_do_is_refused_by_name() {
        for (text, cluster, place) in [
            ("answer_lost = 0.1", false, "layout = \"cluster\""),
            ("answer_lost = 1", true, "database.answer_lost"),
            ("latency = { fixed_ms = -1 }", true, "database.latency"),
        ] {
            let error = parse(text).check(cluster).unwrap_err();
            assert!(error.contains(place), "{error}");
        }
        parse("answer_lost = 0.1\nlatency = { fixed_ms = 5 }")
            .check(true)
            .unwrap();
        Database::default().check(false).unwrap();
    }

    #[test]
    fn answers_are_lost_at_their_rate_and_waits_add_up() {
        let faults = Faults::of(parse(
            "answer_lost = 0.3\nlatency = { fixed_ms = 20 }\nseed = 7",
        ))
        .unwrap();
        let draws: Vec<_> = (0..1_000).map(|_| faults.draw()).collect();
        let lost = draws.iter().filter(|(_, _, lost)| *lost).count();
        assert!((250..350).contains(&lost), "{lost} of 1,000");
        assert!(
            draws
                .iter()
                .all(|(before, after, _)| *before + *after == Duration::from_millis(20))
        );
        let expected = DatabaseEvent::Delayed { requests: 1_000 };
        assert_eq!(faults.summary(), Some(expected));
    }
}
