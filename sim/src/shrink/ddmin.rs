//! Delta debugging: which parts of a list are needed.
//!
//! **Invariant**: the answer was tested and is 1-minimal: without any single part of it the test fails, unless testing was broken off. It is
//! a function of the test's answers alone, not of how many were asked at once.
//!
//! It knows nothing of plans. After A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), with the sweeps
//! of later reducers in place of restarts: what was removed is not looked at again before the next, finer sweep.

/// What to keep, each a list of positions.
pub type Candidate = Vec<usize>;

/// So many candidates are handed over at once: enough for every processor, few enough that little is in vain when the first one holds.
const BATCH: usize = 16;

/// The positions below `count` that are needed. `first` tests candidates and answers with the position of the first one that holds; the list
/// of all positions is taken to hold.
pub fn minimize(count: usize, mut first: impl FnMut(&[Candidate]) -> Option<usize>) -> Candidate {
    let mut kept: Candidate = (0..count).collect();
    if kept.is_empty() || first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    narrow(&mut kept, &mut first);
    let mut chunk = kept.len().div_ceil(2);
    while kept.len() > 1 {
        let size = chunk.min(kept.len() - 1);
        let removed = sweep(&mut kept, size, &mut first);
        if chunk > 1 {
            chunk = chunk.div_ceil(2).min(kept.len().div_ceil(2)).max(1);
        } else if !removed {
            break;
        }
    }
    kept
}

/// While a half, or a quarter, is enough, it is taken: what is needed often lies together.
fn narrow(kept: &mut Candidate, first: &mut impl FnMut(&[Candidate]) -> Option<usize>) {
    while kept.len() > 1 {
        let half = kept.len().div_ceil(2);
        let quarter = kept.len().div_ceil(4);
        let parts = |size: usize| kept.chunks(size).map(<[usize]>::to_vec);
        let mut candidates: Vec<Candidate> = parts(half).collect();
        if quarter < half {
            candidates.extend(parts(quarter));
        }
        match first(&candidates) {
            Some(position) => *kept = candidates.swap_remove(position),
            None => return,
        }
    }
}

/// Removes each run of `chunk` parts that is not needed, from the last to the first: what comes late is needed least. Answers whether any was.
fn sweep(
    kept: &mut Candidate,
    chunk: usize,
    first: &mut impl FnMut(&[Candidate]) -> Option<usize>,
) -> bool {
    let before = kept.len();
    let mut end = kept.len();
    while end > 0 && kept.len() > 1 {
        let spans: Vec<(usize, usize)> = (0..BATCH)
            .map_while(|number| {
                let end = end.checked_sub(number * chunk).filter(|end| *end > 0)?;
                Some((end.saturating_sub(chunk), end))
            })
            .collect();
        let without = |(from, to): &(usize, usize)| {
            let mut rest = kept.clone();
            rest.drain(from..to);
            rest
        };
        let mut candidates: Vec<Candidate> = spans.iter().map(without).collect();
        // Nothing at all was tested at the very start.
        candidates.retain(|candidate| !candidate.is_empty());
        match first(&candidates) {
            Some(position) => {
                *kept = candidates.swap_remove(position);
                end = spans[position].0;
            }
            None => end = spans.last().map_or(0, |span| span.0),
        }
    }
    kept.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `count` parts when `holds` decides, and how many candidates were tested.
    fn check(count: usize, holds: impl Fn(&[usize]) -> bool) -> (Candidate, usize) {
        let mut tested = 0;
        let kept = minimize(count, |candidates| {
            let position = candidates.iter().position(|candidate| holds(candidate));
            tested += position.map_or(candidates.len(), |position| position + 1);
            position
        });
        (kept, tested)
    }

    fn needs(parts: &'static [usize]) -> impl Fn(&[usize]) -> bool {
        move |kept| parts.iter().all(|part| kept.contains(part))
    }

    #[test]
    fn what_is_needed_is_found_and_nothing_else() {
        let cases: [(usize, &[usize]); 8] = [
            (0, &[]),
            (1, &[]),
            (1, &[0]),
            (2, &[1]),
            (100, &[]),
            (100, &[37]),
            (100, &[0, 50, 99]),
            (
                17,
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            ),
        ];
        for (count, parts) in cases {
            let (kept, _) = check(count, needs(parts));
            assert_eq!(kept, parts, "of {count}");
        }
    }

    #[test]
    fn few_needed_parts_of_many_are_found_in_few_tests() {
        let (_, one) = check(400, needs(&[123]));
        assert!(one < 40, "{one} tests for one of 400");
        let (_, three) = check(400, needs(&[3, 200, 399]));
        assert!(three < 150, "{three} tests for three of 400");
    }

    #[test]
    fn the_answer_is_minimal_also_when_parts_stand_in_for_each_other() {
        // An odd number of the first ten, and two of the others: no subset of a candidate that holds has to hold.
        let holds = |kept: &[usize]| {
            let low = kept.iter().filter(|part| **part < 10).count();
            low % 2 == 1 && kept.len() - low >= 2
        };
        let (kept, _) = check(41, |kept| kept.len() == 41 || holds(kept));
        assert!(holds(&kept), "{kept:?}");
        for part in 0..kept.len() {
            let mut without = kept.clone();
            without.remove(part);
            assert!(!holds(&without), "{kept:?} without its part {part}");
        }
    }

    #[test]
    fn testing_that_is_broken_off_leaves_what_was_tested_last() {
        let mut left = 12;
        let kept = minimize(100, |candidates| {
            let asked = candidates.len().min(left);
            left -= asked;
            candidates[..asked]
                .iter()
                .position(|candidate| candidate.contains(&42) && candidate.contains(&77))
        });
        assert!(kept.contains(&42) && kept.contains(&77), "{kept:?}");
        assert!(kept.len() < 100);
    }
}
