//! The reference's figures for streams, and ten thousand streams that are looked at after every pair.

use super::*;

/// The first number of pairs at which `k` mismatches are few enough.
fn boundary(k: u64, enough: impl Fn(&Sequential) -> bool) -> u64 {
    let at = |pairs: u64| Sequential {
        pairs,
        mismatches: k,
        fulfilled: (pairs >= 9_700).then_some(k <= PLAN_ALLOWS),
        ..Sequential::new(0.001)
    };
    let (mut low, mut high) = (k, 200_000);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(&at(middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[test]
fn single_bets_decide_where_the_reference_says() {
    let check = |bet: f64, expect: [u64; 4]| {
        for (k, n) in (0..).zip(expect) {
            let found = boundary(k, |stream| stream.wealth(bet) >= EVIDENCE_NEEDED);
            assert_eq!(found, n, "{k} mismatches, a bet on {bet}");
        }
    };
    check(0.000_1, [3_327, 5_885, 8_443, 11_001]);
    check(0.000_2, [3_743, 5_755, 7_766, 9_778]);
    check(0.000_3, [4_277, 5_997, 7_717, 9_437]);
}

#[test]
fn the_bound_for_all_times_is_the_references() {
    for (k, n) in (0..).zip([3_500, 6_561, 8_908, 10_994]) {
        let found = boundary(k, |stream| stream.upper_bound() < 0.001);
        assert!(found.abs_diff(n) <= 1, "{k} mismatches: {found}");
    }
    let empty = Sequential::new(0.001);
    assert!((empty.upper_bound() - 1.0).abs() < f64::EPSILON);
}

/// Where the mixture decides for 0, 1, 2, ... mismatches.
fn boundaries() -> Vec<u64> {
    (0..30)
        .map(|k| boundary(k, |stream| stream.evidence() >= EVIDENCE_NEEDED))
        .collect()
}

#[test]
fn the_mixture_decides_for_a_clean_stream_after_4559_pairs() {
    assert_eq!(
        boundaries()[..6],
        [4_559, 6_375, 7_893, 9_033, 9_641, 15_430]
    );
    let mut stream = Sequential::new(0.001);
    assert!((stream.evidence() - 1.0).abs() < 1e-9, "a capital of 1");
    assert_eq!(stream.clean_pairs_still_needed(), Some(4_559));
    for _ in 0..4_558 {
        stream.observe(false);
    }
    assert_eq!(
        (stream.decision(), stream.clean_pairs_still_needed()),
        (None, Some(1))
    );
    stream.observe(false);
    let decision = Decision {
        finding: Finding::Below,
        after: 4_559,
        mismatches: 0,
    };
    assert_eq!(stream.decision(), Some(decision));
    for _ in 0..100 {
        stream.observe(true);
    }
    assert_eq!(stream.decision(), Some(decision), "it is made once");
}

#[test]
fn a_bad_stream_is_given_up_early() {
    let mut stream = Sequential::new(0.001);
    for at in 0..200 {
        stream.observe(at % 40 == 39);
    }
    let decision = stream.decision().expect("a decision");
    assert_eq!((decision.finding, decision.after), (Finding::Above, 120));
}

/// `SplitMix64`, as uniform numbers in (0, 1].
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON / 4.0
    }

    /// How many pairs up to and with the next mismatch.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the quotient is positive, and `as` saturates"
    )]
    fn gap(&mut self, rate: f64) -> u64 {
        1 + (self.uniform().ln() / (-rate).ln_1p()) as u64
    }
}

/// Of 10,000 streams at `rate`, those that pass within `most` pairs when someone looks after each.
fn passes(rate: f64, most: u64, seed: u64) -> u32 {
    let boundaries = boundaries();
    let mut chance = Chance(seed);
    let mut passed = 0;
    for _ in 0..10_000 {
        let mut next = chance.gap(rate);
        for boundary in &boundaries {
            // Up to its next mismatch the stream is clean: it passes if the boundary comes first.
            if next > *boundary {
                passed += u32::from(*boundary <= most);
                break;
            }
            next += chance.gap(rate);
            if next > most + 100_000 {
                break;
            }
        }
    }
    passed
}

#[test]
fn of_ten_thousand_streams_at_the_limit_at_most_five_in_a_hundred_ever_pass() {
    let false_passes = passes(0.001, 100_000, 1);
    assert!(
        (300..=500).contains(&false_passes),
        "{false_passes} of 10,000"
    );
    let worse = passes(0.002, 100_000, 2);
    assert!(worse < 20, "{worse} of 10,000 at twice the limit");
}

#[test]
fn a_stream_at_a_fifth_of_the_limit_passes_within_ten_thousand_pairs() {
    let passed = passes(0.000_2, 10_000, 3);
    assert!(passed >= 9_500, "{passed} of 10,000");
}

#[test]
fn jumping_from_mismatch_to_mismatch_is_the_same_as_looking_after_each_pair() {
    let boundaries = boundaries();
    let mut chance = Chance(4);
    for _ in 0..40 {
        let (mut stream, mut next, mut expect) =
            (Sequential::new(0.001), chance.gap(0.000_4), None);
        let mut mismatches = Vec::new();
        for boundary in &boundaries {
            if next > *boundary {
                expect = Some(*boundary);
                break;
            }
            mismatches.push(next);
            next += chance.gap(0.000_4);
        }
        let until = expect.unwrap_or(20_000).min(20_000);
        for at in 1..=until {
            stream.observe(mismatches.contains(&at));
            if stream
                .decision
                .is_some_and(|made| made.finding == Finding::Above)
            {
                // Given up: the boundaries know only of passes.
                expect = None;
                break;
            }
        }
        let passed = stream
            .decision()
            .filter(|made| made.finding == Finding::Below)
            .map(|made| made.after);
        assert_eq!(passed, expect.filter(|at| *at <= until));
    }
}

#[test]
fn other_limits_work_alike() {
    for limit in [0.000_01, 0.01, 0.2, 0.6] {
        let mut stream = Sequential::new(limit);
        assert!((stream.evidence() - 1.0).abs() < 1e-6, "{limit}");
        let needed = stream.clean_pairs_still_needed().expect("a number");
        let expected = needed as f64 * limit;
        assert!((0.9..5.5).contains(&expected), "{limit}: {needed}");
        for _ in 0..3_000 {
            stream.observe(true);
        }
        assert_eq!(stream.decision().expect("made").finding, Finding::Above);
    }
}
