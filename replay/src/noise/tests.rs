//! What noise must not hide, and what it must excuse; the error rates by simulation.

use super::*;

/// `SplitMix64`: a stream of words from a seed.
struct Chance(u64);

impl Chance {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, share: f64) -> bool {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64 <= share
    }
}

fn place(at: usize) -> Place {
    (
        "GET /things".to_owned(),
        format!("/field{at}"),
        DifferenceKind::Value,
    )
}

fn decided(tables: BTreeMap<Place, Counts>, pairs: u64) -> Vec<NoisyPlace> {
    judged(tables, &BTreeMap::from([("GET /things".to_owned(), pairs)]))
}

/// A table of `pairs` in which the candidate differs with one chance and the second instance with another, on their own.
fn drawn(chance: &mut Chance, pairs: u64, candidate: f64, noise: f64) -> Counts {
    let mut counts = Counts::default();
    for _ in 0..pairs {
        let (raw, other) = (chance.happens(candidate), chance.happens(noise));
        counts.candidate += u64::from(raw);
        counts.noise += u64::from(other);
        counts.only_candidate += u64::from(raw && !other);
        counts.only_noise += u64::from(other && !raw);
    }
    counts
}

#[test]
fn one_and_a_half_points_over_ten_percent_of_noise_are_found() {
    let runs = 400;
    let mut chance = Chance(11);
    let found = (0..runs)
        .filter(|_| {
            let counts = drawn(&mut chance, 10_000, 0.115, 0.10);
            decided(BTreeMap::from([(place(0), counts)]), 10_000)[0].worse
        })
        .count();
    assert!(found * 100 >= runs * 95, "{found} of {runs}");
}

#[test]
fn two_hundred_noisy_places_without_a_regression_alarm_in_at_most_one_run_of_twenty() {
    // Of 1,792 pairs that tell the two apart, each falls on either side like a coin.
    const APART: u64 = 28 * 64;
    let runs = 600;
    let known: Vec<f64> = (0..=APART)
        .map(|heads| mcnemar(heads, APART - heads))
        .collect();
    let mut chance = Chance(5);
    let alarms = (0..runs)
        .filter(|_| {
            let chances: Vec<f64> = (0..200)
                .map(|_| {
                    let heads: u32 = (0..28).map(|_| chance.word().count_ones()).sum();
                    known[heads as usize]
                })
                .collect();
            discoveries(&chances, FALSE_DISCOVERIES).contains(&true)
        })
        .count();
    assert!(alarms * 100 <= runs * 5, "{alarms} of {runs}");
    assert!(
        alarms > 0,
        "a test that never alarms would find nothing either"
    );
}

#[test]
fn a_regression_among_two_hundred_noisy_places_is_found_and_they_are_excused() {
    let mut chance = Chance(7);
    let tables = (0..200).map(|at| {
        let candidate = if at == 17 { 0.13 } else { 0.10 };
        (place(at), drawn(&mut chance, 10_000, candidate, 0.10))
    });
    let places = decided(tables.collect(), 10_000);
    let worse: Vec<&str> = places
        .iter()
        .filter(|place| place.worse)
        .map(|place| place.path.as_str())
        .collect();
    assert_eq!(worse, ["/field17"]);
    assert_eq!(places.iter().filter(|place| place.excused).count(), 199);
    let hidden = places[0].hidden_upper_95;
    assert!(hidden > 0.0 && hidden < 0.03, "{hidden}");
    // Over the pairs of all endpoints it is the sum of what may hide at each place that is excused.
    let excused = places.iter().filter(|place| place.excused);
    let sum: f64 = excused.map(|place| place.hidden_upper_95).sum();
    let noise = Noise {
        pairs: 20_000,
        places: places.clone(),
        blind: Vec::new(),
    };
    assert!((noise.hidden() - sum / 2.0).abs() < 1e-9, "{sum}");
}

#[test]
fn little_noise_excuses_little() {
    let check = |candidate: u64, noise: u64, both: u64, excused: bool| {
        let counts = Counts {
            candidate,
            noise,
            only_candidate: candidate - both,
            only_noise: noise - both,
        };
        let places = decided(BTreeMap::from([(place(0), counts)]), 10_000);
        assert_eq!(places[0].excused, excused, "{candidate} of {noise}");
    };
    // One stray difference of the second instance does not excuse four of the candidate's.
    check(4, 1, 0, false);
    check(1, 1, 0, true);
    check(2, 2, 0, true);
    check(8, 6, 0, true);
    check(40, 6, 0, false);
    check(1_000, 1_000, 1_000, true);
}
