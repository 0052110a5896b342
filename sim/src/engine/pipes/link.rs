//! A link: one direction between two hosts, with its latency, its gates and what they did.
//!
//! **Invariant**: its chance comes from a stream of its own, so traffic on one link never shifts another's latencies.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{chance::Chance, range::Latency, scenario::Network};

/// First retransmission timeout of a lost segment, doubling (RFC 6298 section 2 allows 1 s; Linux's floor is 200 ms).
const RETRANSMIT: Duration = Duration::from_millis(200);
/// First retransmission timeout of a lost connection request, doubling (RFC 6298 section 2.1).
const RETRANSMIT_SYN: Duration = Duration::from_secs(1);
/// After so many retransmissions in a row the sender gives up: 51 s of silence for data, 63 s for a connection request.
pub(super) const GIVE_UP: u32 = 8;
pub(super) const GIVE_UP_SYN: u32 = 6;
/// One write in so many is cut into two segments with latencies of their own, as a real network may.
const CUT_ONE_IN: u32 = 16;
/// From a host to itself.
const LOCAL: Latency = Latency::FixedMs(0.05);

/// What a link did to segments, for the effects of faults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deeds {
    pub(super) delayed: u64,
    pub(super) held: u64,
    pub(super) slowed: u64,
}

#[derive(Debug)]
pub(super) struct Link {
    latency: Latency,
    loss: f64,
    rng: ChaCha8Rng,
    /// How many partitions cut it.
    pub(super) cuts: u32,
    /// How many faults hold it.
    pub(super) holds: u32,
    /// Latencies in place of the usual one, by fault; the last wins.
    pub(super) slow: Vec<(usize, Latency)>,
    /// Pipes with a segment that waits for the holds to end: (connection, direction), in order.
    pub(super) waiting: Vec<(super::network::Id, usize)>,
    pub(super) deeds: Deeds,
}

impl Link {
    pub(super) fn new(network: Network, from: &str, to: &str, chance: &Chance) -> Self {
        let local = from == to;
        Self {
            latency: if local { LOCAL } else { network.latency },
            loss: if local { 0.0 } else { network.loss },
            rng: chance.named("link").named(from).named(to).rng(),
            cuts: 0,
            holds: 0,
            slow: Vec::new(),
            waiting: Vec::new(),
            deeds: Deeds::default(),
        }
    }

    /// From here on its chance is another one.
    pub(super) fn reseed(&mut self, from: &str, to: &str, chance: &Chance) {
        self.rng = chance.named("link").named(from).named(to).rng();
    }

    /// How long the next segment is on its way, losses included.
    pub(super) fn travel(&mut self) -> Duration {
        let latency = match self.slow.last() {
            Some((_, latency)) => {
                self.deeds.slowed += 1;
                *latency
            }
            None => self.latency,
        };
        let mut travel = latency.draw(&mut self.rng);
        if self.loss > 0.0 {
            let mut losses = 0;
            while losses < GIVE_UP && self.rng.random_bool(self.loss) {
                travel += RETRANSMIT * (1 << losses);
                losses += 1;
            }
        }
        travel
    }

    /// Where to cut a write of `length` bytes, if at all.
    pub(super) fn cut(&mut self, length: usize) -> Option<usize> {
        if length < 2 || !self.rng.random_ratio(1, CUT_ONE_IN) {
            return None;
        }
        Some(self.rng.random_range(1..length))
    }
}

/// How long after its `attempt`-th loss in a row a segment is sent again.
pub(super) fn retransmit(attempt: u32, syn: bool) -> Duration {
    (if syn { RETRANSMIT_SYN } else { RETRANSMIT }) * (1 << attempt.min(16))
}
