//! Decisions on a growing stream: evidence that may be looked at after every pair, and stopped at whenever it is enough.
//!
//! The evidence that the rate is below the limit p0 is the wealth of a gambler who bets against every rate of p0 or more, from a capital of 1.
//! The stake is split. One part bets on the rates p0/10, p0/5 and p0/3: after k mismatches in n pairs, a bet on q is worth
//! (q/p0)^k ((1-q)/(1-p0))^(n-k). The other bets on the fixed plan of 9.7/p0 pairs with at most 4 mismatches: it is worth the probability
//! that a system at p0 would now fulfill that plan, over what it was at the start. The mirror, one bet on 3 p0, is the evidence against.
//!
//! Each is a supermartingale for every rate on the wrong side of p0, so (Ville) one that is wrong ever reaches 20 in at most 5 of 100 streams,
//! whoever stops when. The second part costs little and buys what the first lacks: at a true rate of p0/5, 95 of 100 streams are decided within
//! 10/p0 pairs, where the three bets alone decide 90. Sources: Ville 1939; Robbins 1970; Waudby-Smith and Ramdas 2024.
//!
//! **Invariant**: a decision is made once, at the first pair that allows it; what comes later does not undo it.

use crate::statistics::ln_gamma;

/// Evidence of this much decides: 1 / 5 %.
pub const EVIDENCE_NEEDED: f64 = 20.0;

/// The rates that are bet on, as shares of the limit.
const BETS: [f64; 3] = [1.0 / 10.0, 1.0 / 5.0, 1.0 / 3.0];

/// The rate of the mirror, as a multiple of the limit.
const MIRROR: f64 = 3.0;

/// The plan that is bet on expects so many mismatches at the limit, and allows [`PLAN_ALLOWS`].
const PLAN_EXPECTS: f64 = 9.7;

/// See [`PLAN_EXPECTS`].
const PLAN_ALLOWS: u64 = 4;

/// What a stream decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The rate is below the limit.
    Below,
    /// It is above.
    Above,
}

/// When a stream decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    /// What.
    pub finding: Finding,
    /// After so many pairs.
    pub after: u64,
    /// With so many mismatches among them.
    pub mismatches: u64,
}

/// A stream of pairs, so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequential {
    limit: f64,
    horizon: u64,
    /// The probability that a system at the limit fulfills the plan.
    luck: f64,
    pairs: u64,
    mismatches: u64,
    fulfilled: Option<bool>,
    decision: Option<Decision>,
}

impl Sequential {
    /// A stream that is to show a rate below `limit`, a share between 0 and 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the quotient is positive, and `as` saturates"
    )]
    pub fn new(limit: f64) -> Self {
        let horizon = (PLAN_EXPECTS / limit).ceil() as u64;
        Self {
            limit,
            horizon,
            luck: at_most(PLAN_ALLOWS, horizon, limit),
            pairs: 0,
            mismatches: 0,
            fulfilled: None,
            decision: None,
        }
    }

    /// Takes the next pair.
    pub fn observe(&mut self, mismatch: bool) {
        self.pairs += 1;
        self.mismatches += u64::from(mismatch);
        if self.pairs == self.horizon {
            self.fulfilled = Some(self.mismatches <= PLAN_ALLOWS);
        }
        if self.decision.is_none() {
            let finding = if self.evidence() >= EVIDENCE_NEEDED {
                Finding::Below
            } else if self.evidence_against() >= EVIDENCE_NEEDED {
                Finding::Above
            } else {
                return;
            };
            self.decision = Some(Decision {
                finding,
                after: self.pairs,
                mismatches: self.mismatches,
            });
        }
    }

    /// How strong the evidence for a rate below the limit is now: 1 at the start, [`EVIDENCE_NEEDED`] decides.
    pub fn evidence(&self) -> f64 {
        let on_plan = (EVIDENCE_NEEDED * self.luck).min(1.0);
        let bets = BETS.iter().map(|bet| self.wealth(bet * self.limit));
        let bets = bets.sum::<f64>() / BETS.len() as f64;
        (1.0 - on_plan) * bets + on_plan * self.plan() / self.luck
    }

    /// How strong the evidence for a rate above the limit is now.
    pub fn evidence_against(&self) -> f64 {
        let most = f64::midpoint(1.0, self.limit);
        self.wealth((MIRROR * self.limit).min(most))
    }

    /// What was decided, if anything was.
    pub fn decision(&self) -> Option<Decision> {
        self.decision
    }

    /// So many further pairs without a mismatch decide that the rate is below the limit; `None` when no number up to 10^12 does.
    pub fn clean_pairs_still_needed(&self) -> Option<u64> {
        const MOST: u64 = 1_000_000_000_000;
        let enough = |more: u64| self.clean(more).evidence() >= EVIDENCE_NEEDED;
        let (mut low, mut high) = (0, 1);
        if enough(0) {
            return Some(0);
        }
        while !enough(high) {
            low = high;
            high *= 2;
            if high > MOST {
                return None;
            }
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if enough(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    /// The highest rate that the stream leaves possible, at 95 %, however often it was looked at: Robbins' mixture over Beta(1/2, 2/limit).
    pub fn upper_bound(&self) -> f64 {
        let (a, b) = (0.5, 2.0 / self.limit);
        let (k, n) = (self.mismatches as f64, self.pairs as f64);
        let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
        let mixture = ln_beta(a + k, b + n - k) - ln_beta(a, b);
        let possible = |p: f64| {
            let likelihood = if k > 0.0 { k * p.ln() } else { 0.0 } + (n - k) * (-p).ln_1p();
            mixture - likelihood < EVIDENCE_NEEDED.ln()
        };
        let (mut low, mut high) = (if n > 0.0 { k / n } else { 0.0 }, 1.0);
        if self.pairs == 0 || self.mismatches == self.pairs {
            return 1.0;
        }
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if possible(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    fn clean(&self, more: u64) -> Self {
        let mut later = *self;
        later.pairs += more;
        if later.pairs >= later.horizon && later.fulfilled.is_none() {
            later.fulfilled = Some(later.mismatches <= PLAN_ALLOWS);
        }
        later
    }

    /// What a bet on `rate` is worth; as much as a number can hold, at most.
    fn wealth(&self, rate: f64) -> f64 {
        let (k, clean) = (
            self.mismatches as f64,
            (self.pairs - self.mismatches) as f64,
        );
        let ln = k * (rate / self.limit).ln() + clean * ((-rate).ln_1p() - (-self.limit).ln_1p());
        ln.min(700.0).exp()
    }

    /// The probability that a system at the limit would fulfill the plan from here on.
    fn plan(&self) -> f64 {
        match self.fulfilled {
            Some(fulfilled) => f64::from(u8::from(fulfilled)),
            None if self.mismatches > PLAN_ALLOWS => 0.0,
            None => at_most(
                PLAN_ALLOWS - self.mismatches,
                self.horizon - self.pairs,
                self.limit,
            ),
        }
    }
}

/// The probability of at most `k` mismatches in `n` pairs at rate `p`, for a small `k`.
fn at_most(k: u64, n: u64, p: f64) -> f64 {
    let odds = p / (1.0 - p);
    let mut term = (n as f64 * (-p).ln_1p()).exp();
    let mut sum = term;
    for at in 0..k.min(n) {
        term *= (n - at) as f64 / (at + 1) as f64 * odds;
        sum += term;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests;
