//! What the configured network and the configured database do to a call by themselves: how long it may take, and whether its answer may be lost.
//!
//! A `[network]` and a `[database]` are in force for the whole run and no fault of the plan, so an oracle that judges by time has to allow for
//! them. **Invariant**: the default network and a healthy database allow nothing. It knows no faults: their spans are the history's.

use std::time::Duration;

use super::{
    database::{ANSWER, CONNECT},
    history::{Trace, given, network},
    tables::Tables,
    topology::Layout,
};
use crate::{engine::pipes::retransmissions, fault::LossAs, scenario::Network};

/// Most calls of the store that one answer of the API waits for.
const STORE_CALLS: u32 = 2;

/// The ways of a run's messages.
pub(super) struct Paths {
    tables: Tables,
    network: Network,
}

/// What one segment in twenty exceeds at a loss `p` is what one in ten million exceeds at `p` to this power: ln 1e-7 / ln 0.05.
const ONE_IN_TWENTY: f64 = 5.38;
/// So many segments of one exchange may be as unlucky as that without making half of all exchanges slow.
const UNLUCKY: u32 = 3;

/// What one way between two hosts allows.
#[derive(Clone, Copy, Default)]
struct Way {
    /// There and back.
    latency: Duration,
    /// On top of it, once: two long rows of losses in one exchange are rarer than one that is longer than both.
    retransmissions: Duration,
    /// What next to no more than a few segments of one exchange exceed.
    usual_retransmissions: Duration,
    /// Whether a lost segment takes its connection with it.
    resets: bool,
}

impl Way {
    fn worst(self, other: Self) -> Self {
        Self {
            latency: self.latency.max(other.latency),
            retransmissions: self.retransmissions.max(other.retransmissions),
            usual_retransmissions: self.usual_retransmissions.max(other.usual_retransmissions),
            resets: self.resets || other.resets,
        }
    }

    /// A connection made, a request and its answer.
    fn exchange(self) -> Duration {
        self.latency * 2 + self.retransmissions
    }

    /// The way as more than half of all exchanges find it.
    fn usual(self) -> Self {
        Self {
            retransmissions: self.usual_retransmissions * UNLUCKY,
            ..self
        }
    }
}

impl Paths {
    /// Those of a run.
    pub(super) fn of(trace: &Trace) -> Self {
        Self {
            tables: given(trace).cloned().unwrap_or_default(),
            network: network(trace),
        }
    }

    /// How much later than on the default network a line may be written that waits for the database's answer, in microseconds: no caller
    /// waits longer for it than its patience.
    pub(super) fn late_line_us(&self) -> u64 {
        let late = |network: &Network, database: Duration| {
            let way = self.to_database(network);
            (way.latency + way.retransmissions + database).min(ANSWER)
        };
        let usual = late(&Network::default(), Duration::ZERO);
        micros(late(&self.network, self.database()).saturating_sub(usual))
    }

    /// How much longer than on the default network the API may take to answer, in microseconds.
    pub(super) fn late_answer_us(&self) -> u64 {
        self.later(|way| way)
    }

    /// As [`Self::late_answer_us`], by what more than half of all answers take no longer than.
    pub(super) fn usually_late_us(&self) -> u64 {
        self.later(Way::usual)
    }

    /// How long a client waits for an answer, in microseconds.
    pub(super) fn patience_us(&self) -> u64 {
        micros(self.patience())
    }

    fn later(&self, as_found: fn(Way) -> Way) -> u64 {
        let usual = self.answer(&Network::default(), Duration::ZERO, as_found);
        let answer = self.answer(&self.network, self.database(), as_found);
        micros(answer.saturating_sub(usual))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.tables.workload.client_timeout_ms / 1000.0)
    }

    /// Whether somebody may not hear of a commit, without any fault: connections are torn, or patience ends before the answer comes.
    pub(super) fn lose_answers(&self) -> bool {
        let database = self.to_database(&self.network);
        let clients = self.to_clients(&self.network);
        database.resets
            || clients.resets
            || self.database_is_given_up()
            || self.answer(&self.network, self.database(), |way| way) >= self.patience()
    }

    /// Whether a caller of the database may give up before its answer comes, without any fault.
    pub(super) fn database_is_given_up(&self) -> bool {
        let way = self.to_database(&self.network);
        way.latency + way.retransmissions + self.database() >= ANSWER
            || way.latency + way.retransmissions >= CONNECT
    }

    /// The host that holds the database.
    pub(super) fn database_host(&self) -> &'static str {
        self.tables.topology.database_host()
    }

    /// How many providers there are.
    pub(super) fn providers(&self) -> u64 {
        self.tables.providers.len() as u64
    }

    fn answer(&self, network: &Network, database: Duration, as_found: fn(Way) -> Way) -> Duration {
        let way = as_found(self.to_database(network));
        let call = (way.exchange() + database).min(CONNECT + ANSWER);
        as_found(self.to_clients(network)).exchange() + call * STORE_CALLS
    }

    fn database(&self) -> Duration {
        let latency = self.tables.database.latency;
        latency.map_or(Duration::ZERO, |latency| latency.most())
    }

    /// The worst way between a host of the service and the database: none when it is embedded.
    fn to_database(&self, network: &Network) -> Way {
        let topology = &self.tables.topology;
        if topology.layout == Layout::Embedded {
            return Way::default();
        }
        between(
            network,
            &topology.service_hosts(),
            &[topology.database_host().to_owned()],
        )
    }

    /// The worst way between a client and the API.
    fn to_clients(&self, network: &Network) -> Way {
        let topology = &self.tables.topology;
        between(network, &topology.client_hosts(), &topology.api_hosts())
    }
}

fn between(network: &Network, some: &[String], others: &[String]) -> Way {
    let pairs = some
        .iter()
        .flat_map(|one| others.iter().map(move |other| (one, other)));
    pairs.fold(Way::default(), |worst, (one, other)| {
        let (there, there_lost, there_as) = network.between(one, other);
        let (back, back_lost, back_as) = network.between(other, one);
        let resets = |lost: f64, lost_as| lost > 0.0 && lost_as == LossAs::Reset;
        worst.worst(Way {
            latency: there.most() + back.most(),
            retransmissions: retransmissions(there_lost.max(back_lost)),
            usual_retransmissions: retransmissions(there_lost.max(back_lost).powf(ONE_IN_TWENTY)),
            resets: resets(there_lost, there_as) || resets(back_lost, back_as),
        })
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::Latency;

    fn paths(network: &str, tables: &str) -> Paths {
        Paths {
            tables: toml::from_str(tables).unwrap(),
            network: toml::from_str(network).unwrap(),
        }
    }

    const CLUSTER: &str = "topology = { layout = \"cluster\" }\n";

    #[test]
    fn the_default_network_allows_nothing() {
        for tables in ["", CLUSTER] {
            let paths = paths("", tables);
            assert_eq!((paths.late_line_us(), paths.late_answer_us()), (0, 0));
            assert!(!paths.lose_answers());
            assert!(!paths.database_is_given_up());
        }
    }

    #[test]
    fn a_slow_way_allows_its_latency_and_no_more() {
        let slow = paths("latency = { fixed_ms = 300 }", CLUSTER);
        // Four ways to the API and four to the database for each call, each 295 ms longer than 5 ms.
        assert_eq!(slow.late_answer_us(), (4 + 2 * 4) * 295_000);
        assert_eq!(slow.late_line_us(), 590_000);
        let elsewhere =
            "links = [{ from = \"worker-*\", to = \"provider-*\", latency = { fixed_ms = 300 } }]";
        assert_eq!(
            paths(elsewhere, CLUSTER).late_answer_us(),
            0,
            "no link of the API"
        );
    }

    #[test]
    fn half_of_all_answers_are_faster_than_the_unluckiest() {
        let second = Duration::from_secs(1);
        let usually = |loss: &str| {
            let paths = paths(&format!("loss = {loss}"), CLUSTER);
            Duration::from_micros(paths.usually_late_us())
        };
        // One loss in a row, three times, on the way to the API and on that to the database for each call.
        assert_eq!(usually("0.1"), Duration::from_millis(3 * 3 * 200));
        assert!(usually("0.01") < second && usually("0.3") < 15 * second);
        assert!(usually("0.6") > 20 * second, "{:?}", usually("0.6"));
        let paths = paths("loss = 0.1", CLUSTER);
        assert!(paths.late_answer_us() > paths.patience_us());
    }

    #[test]
    fn losses_and_a_slow_database_lose_answers() {
        assert!(paths("loss = 0.01\nloss_as = \"reset\"", CLUSTER).lose_answers());
        assert!(paths("loss = 0.1", CLUSTER).lose_answers());
        let slow = Latency::LognormalMs(crate::range::Percentiles {
            p50: 20.0,
            p95: 400.0,
        });
        assert!(slow.most() > ANSWER);
        let database = "database = { latency = { lognormal_ms = { p50 = 20, p95 = 400 } } }\n";
        let slow = paths("", &format!("{CLUSTER}{database}"));
        assert!(slow.database_is_given_up() && slow.lose_answers());
        assert!(
            slow.late_line_us() < micros(ANSWER),
            "no caller waits longer"
        );
    }
}
