//! A link: one direction between two hosts, with its latency, its gates and what they did.
//!
//! **Invariant**: its chance comes from a stream of its own, so traffic on one link never shifts another's latencies.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::overrides::Overrides;
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

/// What is held back for less than this by a limited link is no more than its latency's own spread: a limit that nobody comes near.
const FELT: Duration = Duration::from_millis(1);

/// What a link did to segments while it was cut or held, for the effects of faults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deeds {
    /// By cuts and by hosts without power.
    pub(super) delayed: u64,
    pub(super) held: u64,
}

impl Deeds {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            delayed: self.delayed + other.delayed,
            held: self.held + other.held,
        }
    }
}

/// What losses do to a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    /// Times in a row that it is lost.
    losses: u32,
    torn: bool,
}

impl Fate {
    fn draw(loss: f64, loss_as: LossAs, data: bool, rng: &mut ChaCha8Rng) -> Self {
        let mut fate = Self::default();
        if loss <= 0.0 {
            return fate;
        }
        if data && loss_as == LossAs::Reset {
            fate.torn = rng.random_bool(loss);
            return fate;
        }
        while fate.losses < GIVE_UP && rng.random_bool(loss) {
            fate.losses += 1;
        }
        fate
    }

    /// Until the last retransmission.
    fn delay(self) -> Duration {
        RETRANSMIT * ((1 << self.losses) - 1)
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
    /// Latencies in place of the usual one; the last wins.
    pub(super) slow: Overrides<Latency>,
    /// Losses in place of the usual one; the last wins.
    pub(super) losses: Overrides<(f64, LossAs)>,
    /// Resets; each strikes once.
    pub(super) resets: Overrides<ResetAt>,
    /// Bytes a second; the least wins.
    pub(super) limits: Overrides<u64>,
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
            slow: Overrides::default(),
            losses: Overrides::default(),
            resets: Overrides::default(),
            limits: Overrides::default(),
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
    ///
    /// What a fault in force did is told by the same draw of what would be without it, from a copy of the stream: that costs the stream nothing.
    pub(super) fn journey(&mut self, data: bool) -> Journey {
        self.slow.each(self.latency, |with, without, effects| {
            let draw = |latency: Latency| latency.draw(&mut self.rng.clone());
            effects.delays(draw(with).saturating_sub(draw(without)));
        });
        let latency = self.slow.last().unwrap_or(self.latency);
        let travel = latency.draw(&mut self.rng);
        let usual = (self.loss, self.loss_as);
        self.losses.each(usual, |with, without, effects| {
            let draw = |(loss, loss_as)| Fate::draw(loss, loss_as, data, &mut self.rng.clone());
            let (with, without) = (draw(with), draw(without));
            effects.lost += u64::from(with.losses.saturating_sub(without.losses));
            effects.torn += u64::from(with.torn && !without.torn);
        });
        let (loss, loss_as) = self.losses.last().unwrap_or(usual);
        let fate = Fate::draw(loss, loss_as, data, &mut self.rng);
        Journey {
            travel: travel + fate.delay(),
            torn: fate.torn,
        }
    }

    /// When a segment of `length` bytes leaves for its journey, at `now` or, on a limited link, when those before it are through.
    pub(super) fn leaves(&mut self, now: u64, length: usize) -> u64 {
        let limits = self.limits.iter_mut();
        let Some(tightest) = limits.min_by_key(|limit| limit.value) else {
            return now;
        };
        let takes = (length as u64).saturating_mul(1_000_000_000) / tightest.value.max(1);
        self.busy_until = self.busy_until.max(now).saturating_add(takes);
        let held_back = Duration::from_nanos(self.busy_until - now);
        if held_back >= FELT {
            tightest.effects.delays(held_back);
        }
        self.busy_until
    }

    /// No fault limits the link any more.
    pub(super) fn unlimited(&mut self) {
        self.busy_until = 0;
    }

    /// How many of a segment's bytes still pass before a planned reset tears its connection, if one does.
    pub(super) fn tears(&mut self, length: usize) -> Option<usize> {
        let mut passes: Option<usize> = None;
        for reset in self.resets.iter_mut() {
            if reset.effects.struck > 0 {
                continue;
            }
            let strikes = match &mut reset.value {
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
            reset.effects.struck = u64::from(strikes.is_some());
            passes = match (passes, strikes) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
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

#[cfg(test)]
mod tests {
    use super::{super::overrides::Effects, *};

    fn link(network: &str) -> Link {
        let network = toml::from_str(network).expect("a network");
        Link::new(&network, "a", "b", &Chance::new(1))
    }

    /// What a latency does to a hundred segments.
    fn slowed(network: &str, by: Latency) -> Effects {
        let mut link = link(network);
        link.slow.push(0, by);
        for _ in 0..100 {
            link.journey(true);
        }
        link.slow.take(0)
    }

    #[test]
    fn a_latency_counts_what_it_adds_to_the_usual_one() {
        let usual = Latency::UniformMs([1.0, 5.0]);
        assert_eq!(slowed("", usual), Effects::default(), "the link's own");
        assert_eq!(slowed("", Latency::FixedMs(0.5)), Effects::default());
        let more = slowed("", Latency::UniformMs([11.0, 15.0]));
        assert_eq!(more.struck, 100);
        assert!(more.delay.abs_diff(Duration::from_secs(1)) < Duration::from_millis(1));
        let mut link = link("");
        link.slow.push(0, Latency::FixedMs(50.0));
        link.slow.push(1, Latency::FixedMs(50.0));
        link.journey(true);
        assert_eq!(link.slow.take(1).struck, 0, "the first one did it already");
        assert_eq!(link.slow.take(0).struck, 1);
    }

    #[test]
    fn counting_leaves_a_link_s_chance_alone() {
        let (mut plain, mut faulty) = (link("loss = 0.2"), link("loss = 0.2"));
        faulty.slow.push(0, Latency::UniformMs([1.0, 5.0]));
        faulty.losses.push(1, (0.2, LossAs::Delay));
        for _ in 0..200 {
            assert_eq!(plain.journey(true).travel, faulty.journey(true).travel);
        }
        assert_eq!(faulty.losses.take(1), Effects::default());
    }

    #[test]
    fn a_loss_counts_what_the_network_would_not_have_lost() {
        let mut link = link("loss = 0.1");
        link.losses.push(0, (0.5, LossAs::Delay));
        link.losses.push(1, (0.5, LossAs::Reset));
        for _ in 0..100 {
            link.journey(true);
        }
        let reset = link.losses.take(1);
        assert!(reset.torn > 30 && reset.lost == 0, "{reset:?}");
        for _ in 0..100 {
            link.journey(true);
        }
        let delayed = link.losses.take(0);
        assert!(delayed.lost > 30 && delayed.torn == 0, "{delayed:?}");
    }

    #[test]
    fn a_limit_counts_what_it_holds_back_and_not_what_passes_it() {
        let mut link = link("");
        link.limits.push(0, 1_000_000_000);
        link.limits.push(1, 10_000);
        assert_eq!(link.leaves(0, 100), 10_000_000);
        assert_eq!(link.leaves(0, 100), 20_000_000);
        let tight = link.limits.take(1);
        assert_eq!((tight.struck, tight.delay), (2, Duration::from_millis(30)));
        link.unlimited();
        assert_eq!(link.leaves(0, 100), 100);
        assert_eq!(link.limits.take(0), Effects::default(), "nobody came near");
    }

    #[test]
    fn a_reset_strikes_once_and_each_counts_its_own() {
        let mut link = link("");
        link.resets.push(0, ResetAt::Segment(2));
        link.resets.push(1, ResetAt::Byte(1_000));
        assert_eq!(link.tears(100), None);
        assert_eq!(link.tears(100), Some(0));
        assert_eq!(link.tears(100), None);
        assert_eq!(link.resets.take(0).struck, 1);
        assert_eq!(link.resets.take(1).struck, 0);
    }
}
