//! What leaked: where two runs first differ, and which factor alone makes them differ.
//!
//! After a difference the run is repeated in pairs of fresh processes that are alike in everything but one factor. If even two processes
//! that are alike in everything differ, no factor can be blamed. A source is named for each factor that makes a difference by itself.
//!
//! **Invariant**: every name stands for an experiment that is in the difference's `ladder`, or for a refusal of the run itself.

use std::io;

use serde::{Deserialize, Serialize};

use super::{
    Input, Launcher,
    side::Side,
    source::{Circumstances, Factor, Source},
    wire::{Answer, Order, Ran},
};
use crate::interpose::Counts;

/// So many entries before the first difference are kept.
const BEFORE: usize = 5;

/// Two runs of one seed that are not the same, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What leaked, each named by an experiment or a refusal.
    pub sources: Vec<Source>,
    /// How each of the two runs ended, in words.
    pub ended: [String; 2],
    /// Where they first differ; absent when they were refused, or did not differ when looked at again.
    pub divergence: Option<Divergence>,
    /// The experiments.
    pub ladder: Vec<Rung>,
}

/// The first entry of the trace that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Its position in the trace, from 0; the trace's length when only what was made of it differs.
    pub ordinal: usize,
    /// The entry of each run, as JSON; absent where that run's trace has ended.
    pub entries: [Option<String>; 2],
    /// The entries before it, which both runs have.
    pub before: Vec<String>,
    /// What each run asked the interposer for since the entry before.
    pub asked: [Asked; 2],
    /// The first entry before which the runs had asked for different things; not after `ordinal`, where it is known.
    pub asked_differs_at: Option<usize>,
}

/// What a run asked for between two entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Reads of any clock.
    pub clock_reads: u64,
    /// Random bytes.
    pub entropy_bytes: u64,
}

/// One experiment: two processes that differ in this alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// In what; `None` is the control, two processes that are alike in everything.
    pub factor: Option<Factor>,
    /// Whether the runs differed.
    pub differs: bool,
}

/// Finds out what made `one` and `other`, two runs of (input, seed), differ.
pub(super) fn diagnose(
    launcher: &Launcher,
    inputs: &[Input],
    place: (usize, u64),
    one: &Answer,
    other: &Answer,
) -> io::Result<Difference> {
    let ended = [words(one), words(other)];
    let mut sources: Vec<Source> = [one, other]
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Refused(source, _) => Some(*source),
            _ => None,
        })
        .collect();
    sources.dedup();
    if !sources.is_empty() {
        return Ok(Difference {
            sources,
            ended,
            divergence: None,
            ladder: Vec::new(),
        });
    }
    let run = |factors: &[Factor]| -> io::Result<Answer> {
        let circumstances = Circumstances::with(factors.iter().copied());
        let order = Order {
            input: place.0,
            seed: place.1,
            detail: true,
        };
        Side::start(launcher, inputs, circumstances)?.run(order)
    };
    let plain = run(&[])?;
    let control = run(&[])?;
    let mut ladder = vec![Rung {
        factor: None,
        differs: plain != control,
    }];
    let mut divergence = diverged(&plain, &control);
    if divergence.is_none() {
        for factor in Factor::ALL {
            let varied = run(&[factor])?;
            let differs = varied != plain;
            ladder.push(Rung {
                factor: Some(factor),
                differs,
            });
            if differs {
                let place = diverged(&plain, &varied);
                let lines: Vec<&str> = place
                    .iter()
                    .flat_map(|place| place.entries.iter().flatten())
                    .map(String::as_str)
                    .collect();
                sources.push(Source::varied(factor, &lines));
                divergence = divergence.or(place);
            }
        }
        if sources.is_empty() {
            divergence = diverged(&plain, &run(&Factor::ALL)?);
        }
    }
    if sources.is_empty() {
        sources.push(Source::Unknown);
    }
    Ok(Difference {
        sources,
        ended,
        divergence,
        ladder,
    })
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::Ran(ran) => format!("digest {}", ran.digest),
        Answer::Broke(reason) | Answer::Refused(_, reason) => reason.clone(),
    }
}

/// Where two runs first differ; `None` if they do not, or one of them has no trace.
fn diverged(one: &Answer, other: &Answer) -> Option<Divergence> {
    let (Answer::Ran(one), Answer::Ran(other)) = (one, other) else {
        return None;
    };
    if one == other {
        return None;
    }
    let length = one.entries.len().max(other.entries.len());
    let ordinal = (0..length)
        .find(|&at| one.entries.get(at) != other.entries.get(at))
        .unwrap_or(length);
    Some(Divergence {
        ordinal,
        entries: [one, other].map(|ran| ran.entries.get(ordinal).cloned()),
        before: one.entries[ordinal.saturating_sub(BEFORE)..ordinal.min(one.entries.len())]
            .to_vec(),
        asked: [one, other].map(|ran| asked(ran, ordinal)),
        asked_differs_at: (0..=ordinal).find(|&at| one.asked.get(at) != other.asked.get(at)),
    })
}

fn asked(ran: &Ran, ordinal: usize) -> Asked {
    let until = |at: Option<usize>| {
        at.and_then(|at| ran.asked.get(at))
            .copied()
            .unwrap_or_default()
    };
    let clock = |counts: Counts| counts.wall_reads + counts.monotonic_reads;
    let (now, before) = (until(Some(ordinal)), until(ordinal.checked_sub(1)));
    Asked {
        clock_reads: clock(now).saturating_sub(clock(before)),
        entropy_bytes: now.entropy_bytes.saturating_sub(before.entropy_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(entries: &[&str]) -> Answer {
        Answer::Ran(Ran {
            digest: entries.concat(),
            whole: entries.concat(),
            entries: entries.iter().map(|&entry| entry.to_owned()).collect(),
            asked: (1..=entries.len() as u64)
                .map(|reads| Counts {
                    wall_reads: reads * 2,
                    ..Counts::default()
                })
                .collect(),
        })
    }

    #[test]
    fn the_first_difference_is_found_with_what_led_to_it() {
        assert_eq!(diverged(&ran(&["a", "b"]), &ran(&["a", "b"])), None);
        let found = diverged(&ran(&["a", "b", "c"]), &ran(&["a", "x"])).expect("they differ");
        assert_eq!(found.ordinal, 1);
        assert_eq!(found.before, ["a"]);
        assert_eq!(found.entries, [Some("b".to_owned()), Some("x".to_owned())]);
        assert_eq!(found.asked[0].clock_reads, 2);
        assert_eq!(found.asked_differs_at, None);
        let shorter = diverged(&ran(&["a", "b"]), &ran(&["a"])).expect("they differ");
        assert_eq!((shorter.ordinal, &shorter.entries[1]), (1, &None));
    }
}
