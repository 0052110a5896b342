//! The scoreboard: how well the harness finds what was planted, and how often it cries wolf over a clean system.
//!
//! For each defect the same hunt is made several times, each time over seeds of its own, in order, until one of them ends in a finding or the
//! budget is used up. *Seeds to detection* is how many seeds that took; the median and the 95th percentile (nearest rank) are over the hunts.
//! A defect is found when every hunt found it within the budget.
//!
//! **Invariant**: everything outside `timing` is a function of the plans. It runs nothing: whoever runs the hunts tells what they came to.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.scoreboard/1";

/// Most alarms over the clean system that are kept in full; the rest is counted.
const MOST_EXAMPLES: usize = 20;

/// A defect that a system offers to plant, to measure the harness with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plantable {
    /// Its stable name.
    pub name: &'static str,
    /// What is wrong, as one sentence.
    pub sentence: &'static str,
    /// The numbers of the known traps that it walks into.
    pub traps: &'static [u8],
    /// The scenario to hunt it in: a file's name without `.toml`.
    pub hunt: &'static str,
}

/// How one hunt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hunt {
    /// With a finding.
    Found {
        /// Seeds that were run, the last one included.
        seeds: u64,
        /// The oracles of that seed's findings, each once.
        oracles: Vec<String>,
    },
    /// At the end of its budget.
    Missed,
}

/// One defect's line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The defect.
    pub name: String,
    /// What is wrong, as one sentence.
    pub sentence: String,
    /// The numbers of the known traps.
    pub traps: Vec<u8>,
    /// The scenario that it was hunted in.
    pub scenario: String,
    /// Whether every hunt found it within the budget.
    pub found: bool,
    /// The oracle that took part in most detections; absent when there was none.
    pub oracle: Option<String>,
    /// Every oracle that took part in a detection, and in how many.
    pub oracles: BTreeMap<String, u64>,
    /// The median of the seeds to detection; absent when half of the hunts or more found nothing.
    pub seeds_median: Option<u64>,
    /// The 95th percentile of it; absent when a twentieth of the hunts or more found nothing.
    pub seeds_p95: Option<u64>,
    /// Hunts that were made.
    pub hunts: u64,
    /// Hunts that found it.
    pub hunts_found: u64,
}

/// An alarm where nothing was planted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The oracle.
    pub oracle: String,
    /// What it said.
    pub message: String,
}

/// The clean system's line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clean {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds with a finding: false alarms, or bugs.
    pub alarms: u64,
    /// The first of them.
    pub examples: Vec<Alarm>,
}

impl Clean {
    /// Counts one seed; `alarm` is its first finding.
    pub fn count(&mut self, alarm: Option<Alarm>) {
        self.seeds += 1;
        if let Some(alarm) = alarm {
            self.alarms += 1;
            if self.examples.len() < MOST_EXAMPLES {
                self.examples.push(alarm);
            }
        }
    }
}

/// Real time: the only part that differs between two boards of the same plans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// All of it, in milliseconds.
    pub wall_ms: u64,
    /// Runs that were made.
    pub runs: u64,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scoreboard {
    /// [`FORMAT`].
    pub format: String,
    /// Whether the whole catalogue was asked for and done.
    pub complete: bool,
    /// Most seeds of one hunt.
    pub budget: u64,
    /// Every defect that was hunted to the end.
    pub defects: Vec<Line>,
    /// The clean system.
    pub clean: Clean,
    /// Real time.
    pub timing: Timing,
}

impl Line {
    /// The line of `defect`, hunted in `scenario`.
    pub fn new(defect: &Plantable, scenario: &str, hunts: &[Hunt]) -> Self {
        let mut seeds: Vec<u64> = Vec::new();
        let mut oracles: BTreeMap<String, u64> = BTreeMap::new();
        for hunt in hunts {
            if let Hunt::Found {
                seeds: took,
                oracles: found,
            } = hunt
            {
                seeds.push(*took);
                for oracle in found {
                    *oracles.entry(oracle.clone()).or_default() += 1;
                }
            }
        }
        seeds.sort_unstable();
        let oracle = oracles
            .iter()
            .rev()
            .max_by_key(|(_, count)| **count)
            .map(|(name, _)| name.clone());
        Self {
            name: defect.name.to_owned(),
            sentence: defect.sentence.to_owned(),
            traps: defect.traps.to_vec(),
            scenario: scenario.to_owned(),
            found: !hunts.is_empty() && seeds.len() == hunts.len(),
            oracle,
            oracles,
            seeds_median: rank(&seeds, hunts.len(), 50),
            seeds_p95: rank(&seeds, hunts.len(), 95),
            hunts: hunts.len() as u64,
            hunts_found: seeds.len() as u64,
        }
    }
}

/// The nearest rank of `percent` among `all` hunts, of which the sorted `seeds` ended in a detection; the others took longer than any.
fn rank(seeds: &[u64], all: usize, percent: usize) -> Option<u64> {
    let rank = (all * percent).div_ceil(100);
    seeds.get(rank.checked_sub(1)?).copied()
}

impl Scoreboard {
    /// Whether everything that was hunted was found, and nothing was found where nothing was planted.
    pub fn holds(&self) -> bool {
        !self.defects.is_empty()
            && self.defects.iter().all(|line| line.found)
            && self.clean.alarms == 0
    }

    /// As JSON, indented, with a final newline.
    ///
    /// # Panics
    /// When the board cannot be written as JSON, which is a defect of its type.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a board is plain data");
        text.push('\n');
        text
    }

    /// As a Markdown page.
    pub fn to_markdown(&self) -> String {
        let found = self.defects.iter().filter(|line| line.found).count();
        let mut page = format!(
            "# Scoreboard\n\n{found} of {} planted defects found, each hunt within {} seeds. Clean service: {} alarms in {} seeds.\n\n",
            self.defects.len(),
            self.budget,
            self.clean.alarms,
            self.clean.seeds
        );
        if !self.complete {
            page.push_str("This is a part of the catalogue.\n\n");
        }
        page.push_str(
            "| defect | found | oracle | seeds, median | seeds, p95 | hunts | scenario | traps |\n",
        );
        page.push_str("|---|---|---|---:|---:|---:|---|---|\n");
        let seeds = |value: Option<u64>| match value {
            Some(seeds) => seeds.to_string(),
            None => format!("over {}", self.budget),
        };
        for line in &self.defects {
            let traps: Vec<String> = line.traps.iter().map(|trap| format!("T{trap}")).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} of {} | {} | {} |",
                line.name,
                if line.found { "yes" } else { "NO" },
                line.oracle.as_deref().unwrap_or("-"),
                seeds(line.seeds_median),
                seeds(line.seeds_p95),
                line.hunts_found,
                line.hunts,
                line.scenario,
                traps.join(" ")
            );
        }
        if !self.clean.examples.is_empty() {
            page.push_str("\nAlarms over the clean service:\n\n");
        }
        for alarm in &self.clean.examples {
            let _ = writeln!(
                page,
                "- {}, seed {}: {}: {}",
                alarm.scenario, alarm.seed, alarm.oracle, alarm.message
            );
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFECT: Plantable = Plantable {
        name: "broken",
        sentence: "It is broken.",
        traps: &[1, 2],
        hunt: "anything",
    };

    fn found(seeds: u64, oracles: &[&str]) -> Hunt {
        Hunt::Found {
            seeds,
            oracles: oracles.iter().map(ToString::to_string).collect(),
        }
    }

    fn board(hunts: &[Hunt], alarms: u64) -> Scoreboard {
        let mut clean = Clean::default();
        for seed in 0..10 {
            clean.count((seed < alarms).then(|| Alarm {
                scenario: "s".into(),
                seed,
                oracle: "o".into(),
                message: "m".into(),
            }));
        }
        Scoreboard {
            format: FORMAT.to_owned(),
            complete: true,
            budget: 500,
            defects: vec![Line::new(&DEFECT, "s", hunts)],
            clean,
            timing: Timing::default(),
        }
    }

    #[test]
    fn median_and_p95_are_nearest_ranks() {
        let hunts: Vec<Hunt> = (1..=20).map(|n| found(n, &["a"])).collect();
        let line = Line::new(&DEFECT, "s", &hunts);
        assert_eq!((line.seeds_median, line.seeds_p95), (Some(10), Some(19)));
        let one = Line::new(&DEFECT, "s", &[found(7, &["a"])]);
        assert_eq!((one.seeds_median, one.seeds_p95), (Some(7), Some(7)));
    }

    #[test]
    fn a_missed_hunt_took_longer_than_any_and_fails_the_board() {
        let hunts = [found(3, &["a"]), Hunt::Missed, found(1, &["a"])];
        let line = Line::new(&DEFECT, "s", &hunts);
        assert_eq!(
            (line.found, line.seeds_median, line.seeds_p95),
            (false, Some(3), None)
        );
        assert!(!board(&hunts, 0).holds());
        assert!(board(&hunts, 0).to_markdown().contains("over 500"));
        assert!(!Line::new(&DEFECT, "s", &[]).found, "nothing was hunted");
    }

    #[test]
    fn the_oracle_is_the_one_that_found_it_most_often() {
        let hunts = [found(1, &["b", "a"]), found(1, &["b"]), found(1, &["a"])];
        let line = Line::new(&DEFECT, "s", &hunts);
        assert_eq!(line.oracle.as_deref(), Some("a"), "a tie goes by the name");
        assert_eq!(
            line.oracles,
            BTreeMap::from([("a".into(), 2), ("b".into(), 2)])
        );
    }

    #[test]
    fn an_alarm_over_the_clean_system_fails_the_board() {
        let hunts = [found(1, &["a"])];
        assert!(board(&hunts, 0).holds());
        let cried = board(&hunts, 1);
        assert!(!cried.holds());
        assert!(cried.to_markdown().contains("s, seed 0: o: m"));
        let read: Scoreboard = serde_json::from_str(&cried.to_json()).unwrap();
        assert_eq!(read, cried);
    }
}
