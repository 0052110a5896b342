//! The exact test of `McNemar`, one-sided, and the procedure of Benjamini and Hochberg (1995) over many of them.
//!
//! **Invariant**: probabilities are exact sums of the binomial distribution, no approximation and no mid-p: under no regression a test
//! alarms at most as often as its level says, however few pairs there are.

/// How likely it is that at least `b` of the `b + c` pairs that tell the two apart fall on the first side, if both sides are as likely.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let n = b + c;
    if 2 * b > n {
        return tail(b, n);
    }
    // The other tail is the smaller one, and does not vanish in rounding.
    1.0 - tail(n - b + 1, n)
}

/// The probability of at least `k` heads in `n` throws of a fair coin, for k above n / 2.
fn tail(k: u64, n: u64) -> f64 {
    if k > n {
        return 0.0;
    }
    let mut ln_term = -(n as f64) * std::f64::consts::LN_2;
    for at in 1..=(n - k) {
        ln_term += ((k + at) as f64 / at as f64).ln();
    }
    let mut term = ln_term.exp();
    let mut sum = 0.0;
    for at in k..=n {
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
        term *= (n - at) as f64 / (at + 1) as f64;
    }
    sum.min(1.0)
}

/// Which of the tests are discoveries, if at most the share `false_share` of discoveries may be false.
pub fn discoveries(chances: &[f64], false_share: f64) -> Vec<bool> {
    let mut sorted = chances.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tests = chances.len() as f64;
    let fitting = |(at, chance): &(usize, f64)| *chance <= false_share * (at + 1) as f64 / tests;
    let threshold = sorted.into_iter().enumerate().rfind(fitting);
    match threshold {
        None => vec![false; chances.len()],
        Some((_, threshold)) => chances.iter().map(|chance| *chance <= threshold).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pascal's triangle: the model.
    fn summed(b: u64, c: u64) -> f64 {
        let n = b + c;
        let mut row = vec![1.0_f64];
        for _ in 0..n {
            let mut next = vec![0.5 * row[0]];
            next.extend(row.windows(2).map(|pair| pair[0].midpoint(pair[1])));
            next.push(0.5 * row[row.len() - 1]);
            row = next;
        }
        row.iter().skip(usize::try_from(b).expect("small")).sum()
    }

    #[test]
    fn the_test_is_the_binomial_sum() {
        for n in 0..40 {
            for b in 0..=n {
                let (exact, model) = (mcnemar(b, n - b), summed(b, n - b));
                assert!((exact - model).abs() < 1e-12, "{b} of {n}: {exact} {model}");
            }
        }
        assert!((mcnemar(4, 0) - 0.0625).abs() < 1e-15);
        assert!((mcnemar(5, 0) - 0.03125).abs() < 1e-15);
        assert!((mcnemar(0, 0) - 1.0).abs() < 1e-15);
        // Large counts neither vanish nor exceed 1.
        assert!(mcnemar(1_035, 885) < 0.001 && mcnemar(1_035, 885) > 0.000_1);
        assert!(mcnemar(885, 1_035) > 0.999 && mcnemar(10, 100_000) <= 1.0);
        assert!((mcnemar(50_000, 50_000) - 0.5).abs() < 0.002);
    }

    #[test]
    fn discoveries_are_those_of_the_paper() {
        // The example of Benjamini and Hochberg (1995), section 4.2: four discoveries of fifteen tests at 5 %.
        let chances = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let found = discoveries(&chances, 0.05);
        assert_eq!(found.iter().filter(|found| **found).count(), 4);
        assert!(found[..4].iter().all(|found| *found));
        assert_eq!(discoveries(&[], 0.05), Vec::<bool>::new());
        assert_eq!(discoveries(&[0.2, 0.04], 0.05), [false, false]);
        assert_eq!(discoveries(&[0.04, 0.04], 0.05), [true, true]);
    }
}
