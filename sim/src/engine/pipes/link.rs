//! A link: one direction between two hosts, with its latency, its gates and what they did.
//!
//! **Invariant**: its chance comes from a stream of its own, so traffic on one link never shifts another's latencies.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    chance::Chance,
    fault::{LossAs, ResetAt},
    range::Latency,
    scenario::Network,
};

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
    /// By cuts and by hosts without power.
    pub(super) delayed: u64,
    pub(super) held: u64,
    pub(super) slowed: u64,
    /// By a fault's loss, as a delay.
    pub(super) lost: u64,
    /// Connections torn by a fault, loss or reset.
    pub(super) torn: u64,
    /// By a fault's bandwidth.
    pub(super) throttled: u64,
}

impl Deeds {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            delayed: self.delayed + other.delayed,
            held: self.held + other.held,
            slowed: self.slowed + other.slowed,
            lost: self.lost + other.lost,
            torn: self.torn + other.torn,
            throttled: self.throttled + other.throttled,
        }
    }
}

/// What a segment meets on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journey {
    /// How long it is on its way, losses included.
    pub(super) travel: Duration,
    /// It is lost, and its connection with it.
    pub(super) torn: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    latency: Latency,
    loss: f64,
    loss_as: LossAs,
    rng: ChaCha8Rng,
    /// How many partitions cut it.
    pub(super) cuts: u32,
    /// How many faults hold it.
    pub(super) holds: u32,
    /// Latencies in place of the usual one, by fault; the last wins.
    pub(super) slow: Vec<(usize, Latency)>,
    /// Losses in place of the usual one, by fault; the last wins.
    pub(super) losses: Vec<(usize, f64, LossAs)>,
    /// Resets that are still to strike, by fault.
    pub(super) resets: Vec<(usize, ResetAt)>,
    /// Bytes a second, by fault; the least wins.
    pub(super) limits: Vec<(usize, u64)>,
    /// Until when a limited link is busy with what it was given, in nanoseconds.
    busy_until: u64,
    /// Pipes with a segment that waits for the holds to end: (connection, direction), in order.
    pub(super) waiting: Vec<(super::network::Id, usize)>,
    pub(super) deeds: Deeds,
}

impl Link {
    pub(super) fn new(network: &Network, from: &str, to: &str, chance: &Chance) -> Self {
        let (latency, loss, loss_as) = if from == to {
            (LOCAL, 0.0, LossAs::Delay)
        } else {
            network.between(from, to)
        };
        Self {
            latency,
            loss,
            loss_as,
            rng: chance.named("link").named(from).named(to).rng(),
            cuts: 0,
            holds: 0,
            slow: Vec::new(),
            losses: Vec::new(),
            resets: Vec::new(),
            limits: Vec::new(),
            busy_until: 0,
            waiting: Vec::new(),
            deeds: Deeds::default(),
        }
    }

    /// From here on its chance is another one.
    pub(super) fn reseed(&mut self, from: &str, to: &str, chance: &Chance) {
        self.rng = chance.named("link").named(from).named(to).rng();
    }

    /// What the next segment meets; `data` says whether it carries any.
    pub(super) fn journey(&mut self, data: bool) -> Journey {
        let latency = match self.slow.last() {
            Some((_, latency)) => {
                self.deeds.slowed += 1;
                *latency
            }
            None => self.latency,
        };
        let mut travel = latency.draw(&mut self.rng);
        let (loss, loss_as) = match self.losses.last() {
            Some((_, loss, loss_as)) => (*loss, *loss_as),
            None => (self.loss, self.loss_as),
        };
        if loss > 0.0 {
            let by_fault = u64::from(!self.losses.is_empty());
            if data && loss_as == LossAs::Reset {
                let torn = self.rng.random_bool(loss);
                self.deeds.torn += u64::from(torn) * by_fault;
                return Journey { travel, torn };
            }
            let mut losses = 0;
            while losses < GIVE_UP && self.rng.random_bool(loss) {
                travel += RETRANSMIT * (1 << losses);
                losses += 1;
            }
            self.deeds.lost += u64::from(losses) * by_fault;
        }
        Journey {
            travel,
            torn: false,
        }
    }

    /// When a segment of `length` bytes leaves for its journey, at `now` or, on a limited link, when those before it are through.
    pub(super) fn leaves(&mut self, now: u64, length: usize) -> u64 {
        let Some(bytes_per_s) = self.limits.iter().map(|(_, limit)| *limit).min() else {
            return now;
        };
        self.deeds.throttled += 1;
        let takes = (length as u64).saturating_mul(1_000_000_000) / bytes_per_s.max(1);
        self.busy_until = self.busy_until.max(now).saturating_add(takes);
        self.busy_until
    }

    /// No fault limits the link any more.
    pub(super) fn unlimited(&mut self) {
        self.busy_until = 0;
    }

    /// How many of a segment's bytes still pass before a planned reset tears its connection, if one does.
    pub(super) fn tears(&mut self, length: usize) -> Option<usize> {
        if self.resets.is_empty() {
            return None;
        }
        let mut passes: Option<usize> = None;
        self.resets.retain_mut(|(_, at)| {
            let strikes = match at {
                ResetAt::Segment(left) => {
                    *left = left.saturating_sub(1);
                    (*left == 0).then_some(0)
                }
                ResetAt::Byte(left) if *left < length as u64 => usize::try_from(*left).ok(),
                ResetAt::Byte(left) => {
                    *left -= length as u64;
                    None
                }
            };
            passes = match (passes, strikes) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            strikes.is_none()
        });
        self.deeds.torn += u64::from(passes.is_some());
        passes
    }

    /// Where to cut a write of `length` bytes, if at all.
    pub(super) fn cut(&mut self, length: usize) -> Option<usize> {
        if length < 2 || !self.rng.random_ratio(1, CUT_ONE_IN) {
            return None;
        }
        Some(self.rng.random_range(1..length))
    }
}

/// A segment is this rarely lost more often in a row than [`retransmissions`] allows for.
const RARELY: f64 = 1e-7;

/// What next to no segment exceeds in retransmissions on a link that loses this share of all segments.
pub(crate) fn retransmissions(loss: f64) -> Duration {
    let mut in_a_row = 0;
    let mut chance = loss;
    while in_a_row < GIVE_UP && chance > RARELY {
        in_a_row += 1;
        chance *= loss;
    }
    RETRANSMIT * ((1 << in_a_row) - 1)
}

/// How long after its `attempt`-th loss in a row a segment is sent again.
pub(super) fn retransmit(attempt: u32, syn: bool) -> Duration {
    (if syn { RETRANSMIT_SYN } else { RETRANSMIT }) * (1 << attempt.min(16))
}
