//! The last line of an import: what was skipped when it was made, so that whoever reads it counts what the original lost.
//!
//! ```json
//! {"v":1,"skipped":[{"kind":"malformed","count":2,"first":["x.log: line 3, byte 120"]}]}
//! ```
//!
//! A reader that does not know the line counts it as one that is malformed, so no reader takes the capture for a whole one.
//!
//! **Invariant**: counts are exact, places the first few. What was found at a place is never written: it may be what a mask hides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::{Skipped, SkippedKind, parsed::What};

/// The line's version.
const VERSION: u32 = 1;

/// So many places are kept of each kind.
const PLACES: usize = 5;

/// No capture holds more records: a count above it is no count.
const MOST: u64 = 1 << 40;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u32,
    skipped: Vec<Counted>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    kind: SkippedKind,
    count: u64,
    #[serde(default)]
    first: Vec<String>,
}

/// What was skipped so far.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<SkippedKind, (u64, Vec<String>)>);

impl Tally {
    /// Counts a record.
    pub(crate) fn add(&mut self, skipped: &Skipped) {
        let (count, first) = self.0.entry(skipped.kind).or_default();
        *count = count.saturating_add(skipped.count);
        if first.len() < PLACES {
            first.push(skipped.place());
        }
    }

    /// The line; `None` if nothing was skipped.
    pub(crate) fn line(self) -> Option<impl Serialize> {
        let kinds = self.0.into_iter();
        let skipped: Vec<Counted> = kinds
            .map(|(kind, (count, first))| Counted { kind, count, first })
            .collect();
        (!skipped.is_empty()).then_some(Line {
            v: VERSION,
            skipped,
        })
    }
}

/// The records that the line stands for, those with a place one by one; `None` if the text is no such line.
pub(crate) fn read(text: &str) -> Option<Vec<What>> {
    let line: Line = serde_json::from_str(text).ok()?;
    if line.v != VERSION || line.skipped.iter().any(|kind| kind.count > MOST) {
        return None;
    }
    let mut records = Vec::new();
    for Counted { kind, count, first } in line.skipped {
        let mut left = count;
        for place in first.iter().take(PLACES) {
            if left > 0 {
                left -= 1;
                let reason = format!("skipped when it was imported, at {place}");
                records.push(What::SkippedBefore(kind, reason, 1));
            }
        }
        if left > 0 {
            let reason = "skipped when it was imported".to_owned();
            records.push(What::SkippedBefore(kind, reason, left));
        }
    }
    Some(records)
}
