//! The exact statistics behind the gate: one-sided Clopper-Pearson bounds of a mismatch rate.
//!
//! With k mismatches in n requests, the upper bound is the rate at which k or fewer would still happen with a probability of 5 %. It is exact
//! for an n that was fixed beforehand, as a capture's is; looking again and again at a growing n is another problem: [`crate::sequential`] solves it.
//!
//! **Invariant**: the true rate is above the upper bound in at most 5 of 100 captures, whatever the rate.

/// The confidence of every bound in a report.
pub const CONFIDENCE: f64 = 0.95;

/// The highest rate that `mismatches` of `total` leave possible, at `confidence`; 1 when nothing was compared.
pub fn upper_bound(mismatches: u64, total: u64, confidence: f64) -> f64 {
    if mismatches >= total {
        return 1.0;
    }
    quantile(
        mismatches as f64 + 1.0,
        (total - mismatches) as f64,
        confidence,
    )
}

/// The lowest rate that `mismatches` of `total` leave possible, at `confidence`; 0 when nothing was compared.
pub fn lower_bound(mismatches: u64, total: u64, confidence: f64) -> f64 {
    if mismatches == 0 || total == 0 {
        return 0.0;
    }
    let (k, n) = (mismatches.min(total) as f64, total as f64);
    quantile(k, n - k + 1.0, 1.0 - confidence)
}

/// How many further requests without a mismatch bring the upper bound below `limit`; `None` when no number up to 10^12 does.
pub fn clean_requests_still_needed(
    mismatches: u64,
    total: u64,
    limit: f64,
    confidence: f64,
) -> Option<u64> {
    const MOST: u64 = 1_000_000_000_000;
    let enough = |more: u64| upper_bound(mismatches, total + more, confidence) < limit;
    if enough(0) {
        return Some(0);
    }
    let mut high = 1;
    while !enough(high) {
        high *= 2;
        if high > MOST {
            return None;
        }
    }
    let mut low = high / 2;
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

/// The probability of at most `mismatches` in `total` pairs whose true rate is `rate`.
pub fn at_most(mismatches: u64, total: u64, rate: f64) -> f64 {
    if mismatches >= total {
        return 1.0;
    }
    1.0 - incomplete_beta(mismatches as f64 + 1.0, (total - mismatches) as f64, rate)
}

/// The confidence for each of `members` bounds that are all to hold at once at [`CONFIDENCE`] (Bonferroni).
pub fn family_confidence(members: usize) -> f64 {
    1.0 - (1.0 - CONFIDENCE) / members.max(1) as f64
}

/// The x at which the regularized incomplete beta function of (a, b) is `share`, by bisection.
fn quantile(a: f64, b: f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Halving 200 times ends at adjacent doubles, also near 0.
    for _ in 0..200 {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            break;
        }
        if incomplete_beta(a, b, middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The regularized incomplete beta function: the probability that a binomial of n = a + b - 1 draws at x is at least a.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The continued fraction converges fast on this side of the mean; the other side is its mirror.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(a, b, x) / a
    } else {
        1.0 - front * continued_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function, by the method of Lentz.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let floor = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / floor(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = denominator;
    for step in 1..10_000 {
        let step = f64::from(step);
        let even = step * (b - step) * x / ((a + 2.0 * step - 1.0) * (a + 2.0 * step));
        let odd = -(a + step) * (a + b + step) * x / ((a + 2.0 * step) * (a + 2.0 * step + 1.0));
        let before = fraction;
        for term in [even, odd] {
            denominator = 1.0 / floor(1.0 + term * denominator);
            numerator = floor(1.0 + term / numerator);
            fraction *= denominator * numerator;
        }
        if (fraction / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function, for x >= 1: Stirling's series, after lifting small x.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut lifted) = (x, 0.0);
    while x < 10.0 {
        lifted -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0
        - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse * (1.0 / 1680.0))))
        / x;
    lifted + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability of at most k of n at rate p, summed term by term: the model.
    fn summed(k: u64, n: u64, p: f64) -> f64 {
        let mut term = n as f64 * (-p).ln_1p();
        let mut sum = term.exp();
        for at in 0..k {
            term += ((n - at) as f64 / (at + 1) as f64).ln() + p.ln() - (-p).ln_1p();
            sum += term.exp();
        }
        sum
    }

    #[test]
    fn bounds_are_those_of_the_tables() {
        let check = |n, percents: [&str; 4]| {
            for (k, percent) in (0..).zip(percents) {
                let bound = format!("{:.4}", upper_bound(k, n, CONFIDENCE) * 100.0);
                assert_eq!(bound, percent, "{k} of {n}");
            }
        };
        check(1_000, ["0.2991", "0.4735", "0.6282", "0.7735"]);
        check(2_000, ["0.1497", "0.2370", "0.3145", "0.3872"]);
        check(2_995, ["0.1000", "0.1583", "0.2101", "0.2587"]);
        check(5_000, ["0.0599", "0.0948", "0.1259", "0.1550"]);
        check(10_000, ["0.0300", "0.0474", "0.0629", "0.0775"]);
        check(100_000, ["0.0030", "0.0047", "0.0063", "0.0078"]);
    }

    #[test]
    fn the_requests_needed_are_those_of_the_tables() {
        let check = |confidence: f64, needed: [u64; 11]| {
            for (k, n) in (0..).zip(needed) {
                let total = clean_requests_still_needed(k, k, 0.001, confidence);
                assert_eq!(total, Some(n - k), "{k} mismatches at {confidence}");
            }
        };
        check(
            0.90,
            [
                2302, 3889, 5321, 6679, 7992, 9273, 10530, 11769, 12993, 14204, 15404,
            ],
        );
        check(
            0.95,
            [
                2995, 4742, 6294, 7752, 9151, 10511, 11840, 13146, 14432, 15702, 16959,
            ],
        );
        check(
            0.99,
            [
                4603, 6636, 8403, 10042, 11601, 13105, 14567, 15996, 17398, 18779, 20140,
            ],
        );
        assert_eq!(
            clean_requests_still_needed(0, 1_000, 0.001, 0.95),
            Some(1_995)
        );
        assert_eq!(clean_requests_still_needed(0, 2_995, 0.001, 0.95), Some(0));
        assert_eq!(clean_requests_still_needed(5, 10, 0.0, 0.95), None);
    }

    #[test]
    fn a_fixed_plan_passes_a_bad_system_in_at_most_one_of_twenty() {
        for (n, k) in [(2_995, 0), (4_742, 1), (6_294, 2), (7_752, 3), (10_511, 5)] {
            assert!(upper_bound(k, n, CONFIDENCE) < 0.001);
            assert!(upper_bound(k, n - 1, CONFIDENCE) >= 0.001);
            let false_pass = summed(k, n, 0.001);
            assert!(
                false_pass <= 0.05 && false_pass > 0.049,
                "{n}/{k}: {false_pass}"
            );
        }
        // Good systems, from the same table: a true rate of 0.02 %.
        assert!((summed(0, 2_995, 0.0002) - 0.549).abs() < 0.001);
        assert!((summed(5, 10_511, 0.0002) - 0.980).abs() < 0.001);
    }

    #[test]
    fn bounds_invert_the_binomial_tail() {
        for (k, n) in [
            (0, 1),
            (1, 10),
            (7, 20),
            (100, 200),
            (999, 1_000),
            (60_000, 100_000),
        ] {
            let upper = upper_bound(k, n, CONFIDENCE);
            assert!(
                (summed(k, n, upper) - 0.05).abs() < 1e-6,
                "{k} of {n}: {upper}"
            );
            if k > 0 {
                let lower = lower_bound(k, n, CONFIDENCE);
                assert!(
                    (1.0 - summed(k - 1, n, lower) - 0.05).abs() < 1e-6,
                    "{k} of {n}: {lower}"
                );
            }
        }
        assert!((upper_bound(0, 0, CONFIDENCE) - 1.0).abs() < f64::EPSILON);
        assert!((upper_bound(3, 3, CONFIDENCE) - 1.0).abs() < f64::EPSILON);
        assert!(
            lower_bound(4, 1_000, CONFIDENCE) > 0.001,
            "4 of 1,000 rejects 0.1 %"
        );
        assert!(lower_bound(3, 1_000, CONFIDENCE) < 0.001);
    }

    #[test]
    fn plans_pass_as_often_as_the_tables_say() {
        let check = |n: u64, c: u64, rate: f64, expect: f64, digits: f64| {
            let found = at_most(c, n, rate);
            assert!(
                (found - expect).abs() <= digits,
                "{n}/{c} at {rate}: {found}"
            );
            assert!(
                (found - summed(c, n, rate)).abs() < 1e-9,
                "{n}/{c} at {rate}"
            );
        };
        let rates = [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001];
        let plans = [
            (2_995, 0, [0.861, 0.741, 0.549, 0.224, 0.050]),
            (4_742, 1, [0.976, 0.918, 0.755, 0.315, 0.050]),
            (6_294, 2, [0.996, 0.974, 0.867, 0.391, 0.050]),
            (7_752, 3, [0.999, 0.992, 0.928, 0.458, 0.050]),
            (10_511, 5, [1.000, 0.999, 0.980, 0.571, 0.050]),
        ];
        for (n, c, passes) in plans {
            for (rate, expect) in rates.into_iter().zip(passes) {
                check(n, c, rate, expect, 0.000_6);
            }
        }
        for ((n, c, _), expect) in plans.into_iter().zip([0.0025, 0.0008, 0.0003, 0.0001, 0.0]) {
            check(n, c, 0.002, expect, 0.000_06);
        }
        // The rule as stated, at n = 1,000 and just beyond its cliff.
        for (rate, expect) in [
            (0.0001, 0.905),
            (0.0005, 0.606),
            (0.001, 0.368),
            (0.002, 0.135),
        ] {
            check(1_000, 0, rate, expect, 0.000_6);
        }
        for (rate, expect) in [(0.001, 0.735), (0.002, 0.405), (0.003, 0.198)] {
            check(1_001, 1, rate, expect, 0.000_9);
        }
        assert!(
            (1.0 - at_most(3, 1_000, 0.001) - 0.019).abs() < 0.000_1,
            "fail fast"
        );
    }

    /// The probability that a stream at `rate` is ever within (n, k) of one of `looks`, in order of n.
    fn ever(looks: &[(u64, u64)], rate: f64) -> f64 {
        let (mut alive, mut at, mut passed) = (vec![1.0], 0, 0.0);
        for (n, k) in looks {
            let mut next = vec![0.0; 64];
            for (before, weight) in alive.iter().enumerate() {
                for more in 0..64 - before {
                    let exactly = |k: usize| match k {
                        0 => summed(0, n - at, rate),
                        k => summed(k as u64, n - at, rate) - summed(k as u64 - 1, n - at, rate),
                    };
                    next[before + more] += weight * exactly(more).max(0.0);
                }
            }
            let within = usize::try_from(*k).expect("few") + 1;
            passed += next[..within].iter().sum::<f64>();
            next[..within].fill(0.0);
            (alive, at) = (next, *n);
        }
        passed
    }

    #[test]
    fn looking_again_with_the_exact_bound_is_not_allowed() {
        let needed = [
            2995, 4742, 6294, 7752, 9151, 10511, 11840, 13146, 14432, 15702, 16959,
        ];
        let looks: Vec<(u64, u64)> = needed.into_iter().zip(0..).collect();
        for (count, expect) in [(1, 0.050), (2, 0.076), (6, 0.128), (11, 0.161)] {
            let found = ever(&looks[..count], 0.001);
            assert!((found - expect).abs() < 0.000_6, "{count} looks: {found}");
        }
    }

    #[test]
    fn a_family_of_bounds_needs_more_requests() {
        for (endpoints, n) in [(1, 2_995), (5, 4_603), (10, 5_296), (20, 5_989)] {
            let confidence = family_confidence(endpoints);
            let needed = clean_requests_still_needed(0, 0, 0.001, confidence);
            // The reference rounds 0.05^(1/n): one more or less is its last digit.
            assert!(
                needed.is_some_and(|needed| needed.abs_diff(n) <= 1),
                "{endpoints}: {needed:?}"
            );
        }
    }
}
