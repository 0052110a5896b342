//! The result of a comparison of two stores, `rehearsal.parity/1`, and how it is shown.
//!
//! **Invariant**: nothing was compared, nothing passes: a result without a single pair of rows is inconclusive, and so is one that left rows
//! out for want of a key. Everything but `timing` is the same for the same rows and rules.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use crate::{
    diff::Difference,
    parity::{Detail, Table, detail::SHOWN},
    rules::{Rules, Side},
    verdict::Verdict,
};

/// The format's name and major version.
const FORMAT: &str = "rehearsal.parity/1";

/// Rows shown on a terminal and in Markdown; the JSON has more.
const LISTED: usize = 20;

/// Differences shown of one row.
const PER_ROW: usize = 8;

/// What became of the rows; each pair, and each row without a partner, is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Pairs that are the same, up to declared equivalences.
    pub matched: u64,
    /// Pairs, or rows without a partner, that differ only in what a rule forgives.
    pub ignored: u64,
    /// Pairs that differ.
    pub mismatched: u64,
    /// Rows that the right side lacks.
    pub only_left: u64,
    /// Rows that the left side lacks.
    pub only_right: u64,
}

/// One side of the comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideReport {
    /// Where its rows came from.
    pub source: String,
    /// How many there are.
    pub rows: u64,
    /// How many of them have no key and could not be compared.
    pub without_key: u64,
    /// How many keys more than one of them has.
    pub repeated_keys: u64,
}

/// A row that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowDifference {
    /// `mismatched`, `only_left` or `only_right`.
    pub kind: &'static str,
    /// The row's key.
    pub key: String,
    /// Its place on the left side, from 1.
    pub left_row: Option<u64>,
    /// Its place on the right side, from 1.
    pub right_row: Option<u64>,
    /// What differs.
    pub differences: Vec<FieldDifference>,
}

/// One field of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// The kind of difference, as in a replay.
    pub kind: &'static str,
    /// Where: a JSON pointer.
    pub path: String,
    /// The left side's value.
    pub left: Option<String>,
    /// The right side's value.
    pub right: Option<String>,
    /// For a violated pairing: the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
}

/// How many rows differ at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathCount {
    pub(super) rows: u64,
    pub(super) first: String,
}

/// The same with its path, in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathReport {
    /// The kind of difference.
    pub kind: &'static str,
    /// Where.
    pub path: String,
    /// In how many rows.
    pub rows: u64,
    /// The key of the first.
    pub first: String,
}

/// What a rule did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleHits {
    /// Its id.
    pub rule: String,
    /// Its kind.
    pub kind: &'static str,
    /// Why it is right.
    pub reason: String,
    /// In how many rows it acted, once for each.
    pub suppressed: u64,
}

/// How long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Milliseconds of real time, filled in by who has a clock.
    pub wall_ms: u64,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParityReport {
    /// `rehearsal.parity/1`.
    pub format: &'static str,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
    /// The fields that name a row.
    pub key: String,
    /// What is replaced.
    pub left: SideReport,
    /// What replaces it.
    pub right: SideReport,
    /// What became of the rows.
    pub rows: RowCounts,
    /// Where rows differ, the most frequent first.
    pub paths: Vec<PathReport>,
    /// The first rows that differ, at most a hundred of each kind.
    pub differences: Vec<RowDifference>,
    /// The rules that acted on rows.
    pub rules: Vec<RuleHits>,
    /// How long it took.
    pub timing: Timing,
}

impl RowDifference {
    pub(super) fn mismatched(
        rows: (u32, u32),
        key: String,
        differences: &[(&Difference, &Option<String>)],
    ) -> Self {
        let differences = differences.iter().take(PER_ROW);
        Self {
            kind: "mismatched",
            key,
            left_row: Some(u64::from(rows.0) + 1),
            right_row: Some(u64::from(rows.1) + 1),
            differences: differences
                .map(|(difference, witness)| FieldDifference {
                    kind: difference.kind.name(),
                    path: difference
                        .exact
                        .clone()
                        .unwrap_or_else(|| difference.path.clone()),
                    left: difference.legacy.clone(),
                    right: difference.candidate.clone(),
                    witness: (*witness).clone(),
                })
                .collect(),
        }
    }

    pub(super) fn alone(side: Side, row: u32, key: String) -> Self {
        let row = Some(u64::from(row) + 1);
        let (kind, left_row, right_row) = match side {
            Side::Legacy => ("only_left", row, None),
            Side::Candidate => ("only_right", None, row),
        };
        Self {
            kind,
            key,
            left_row,
            right_row,
            differences: Vec::new(),
        }
    }
}

impl Detail<'_, '_, '_> {
    /// The report, once every batch was compared; `sources` are the two sides as the user named them.
    pub fn report(
        self,
        tables: [&Table<'_>; 2],
        sources: [String; 2],
        repeated: [u64; 2],
        rules: &Rules,
    ) -> ParityReport {
        let counts = self.counts;
        let [left_source, right_source] = sources;
        let side = |table: &Table<'_>, source, repeated_keys| SideReport {
            source,
            rows: table.len(),
            without_key: table.unkeyed(),
            repeated_keys,
        };
        let left = side(tables[0], left_source, repeated[0]);
        let right = side(tables[1], right_source, repeated[1]);
        let (verdict, reasons) = judged(counts, &left, &right);
        let mut paths: Vec<PathReport> = self
            .paths
            .into_iter()
            .map(|((kind, path), count)| PathReport {
                kind,
                path,
                rows: count.rows,
                first: count.first,
            })
            .collect();
        paths.sort_by(|a, b| {
            b.rows
                .cmp(&a.rows)
                .then_with(|| (&a.path, a.kind).cmp(&(&b.path, b.kind)))
        });
        let mut shown = self.shown;
        shown.sort_by_key(|row| (row.kind, row.left_row, row.right_row));
        let hits = rules.rules.iter().zip(self.acted);
        let acted = hits
            .filter(|(_, suppressed)| *suppressed > 0)
            .map(|(rule, suppressed)| RuleHits {
                rule: rule.id.clone(),
                kind: rule.effect.kind(),
                reason: rule.reason.clone(),
                suppressed,
            });
        ParityReport {
            format: FORMAT,
            verdict,
            reasons,
            key: tables[0].key().text(),
            left,
            right,
            rows: counts,
            paths,
            differences: shown,
            rules: acted.collect(),
            timing: Timing::default(),
        }
    }
}

fn judged(counts: RowCounts, left: &SideReport, right: &SideReport) -> (Verdict, Vec<String>) {
    let mut reasons = Vec::new();
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    say(counts.mismatched, "rows differ");
    say(counts.only_left, "rows are on the left side only");
    say(counts.only_right, "rows are on the right side only");
    if !reasons.is_empty() {
        return (Verdict::Fail, reasons);
    }
    let unkeyed = left.without_key + right.without_key;
    if unkeyed > 0 {
        reasons.push(format!("{unkeyed} rows have no key and were not compared"));
    }
    if counts.matched == 0 {
        reasons.push(format!(
            "no row matched: {} rows against {}, {} forgiven",
            left.rows, right.rows, counts.ignored
        ));
    }
    if !reasons.is_empty() {
        return (Verdict::Inconclusive, reasons);
    }
    let mut reason = format!("{} rows are the same on both sides", counts.matched);
    if counts.ignored > 0 {
        let _ = write!(
            reason,
            ", {} differ or are on one side only as a rule forgives",
            counts.ignored
        );
    }
    (Verdict::Pass, vec![reason])
}

/// For a terminal.
pub fn human(report: &ParityReport) -> String {
    let mut text = String::new();
    let counts = report.rows;
    for (name, side) in [("left", &report.left), ("right", &report.right)] {
        let _ = writeln!(text, "  {name:<11} {}: {}", side.source, about(side));
    }
    let _ = writeln!(
        text,
        "  rows        {} matched, {} ignored, {} mismatched, {} only left, {} only right (key {})",
        counts.matched,
        counts.ignored,
        counts.mismatched,
        counts.only_left,
        counts.only_right,
        report.key
    );
    for path in report.paths.iter().take(LISTED) {
        let whole = if path.path.is_empty() {
            "the row"
        } else {
            &path.path
        };
        let _ = writeln!(
            text,
            "  differs     {whole}: {} in {} rows, first {}",
            path.kind, path.rows, path.first
        );
    }
    for row in listed(report) {
        let _ = writeln!(text, "\n  {} {}", row.kind.replace('_', " "), row.key);
        for field in &row.differences {
            let _ = writeln!(
                text,
                "    {} {}: left {}, right {}",
                field.kind,
                field.path,
                shown(field.left.as_ref()),
                shown(field.right.as_ref())
            );
            if let Some(witness) = &field.witness {
                let _ = writeln!(text, "      {witness}");
            }
        }
    }
    let _ = writeln!(
        text,
        "\n  {}  {}",
        report.verdict.name().to_uppercase(),
        report.reasons.join("; ")
    );
    text
}

/// For a report or a pull request.
pub fn markdown(report: &ParityReport) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('`', "'");
    let counts = report.rows;
    let mut text = format!(
        "# Parity: {}\n\n{}.\n\n",
        report.verdict.name(),
        report.reasons.join("; ")
    );
    let _ = writeln!(text, "| side | source | rows |\n|---|---|---|");
    for (name, side) in [("left", &report.left), ("right", &report.right)] {
        let _ = writeln!(
            text,
            "| {name} | `{}` | {} |",
            cell(&side.source),
            about(side)
        );
    }
    let _ = writeln!(
        text,
        "\n| matched | ignored | mismatched | only left | only right |\n|---|---|---|---|---|\n| {} | {} | {} | {} | {} |",
        counts.matched, counts.ignored, counts.mismatched, counts.only_left, counts.only_right
    );
    if !report.paths.is_empty() {
        let _ = writeln!(text, "\n| path | kind | rows | first |\n|---|---|---|---|");
        for path in report.paths.iter().take(LISTED) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | `{}` |",
                cell(&path.path),
                path.kind,
                path.rows,
                cell(&path.first)
            );
        }
    }
    if !report.differences.is_empty() {
        let _ = writeln!(
            text,
            "\n| row | kind | path | left | right |\n|---|---|---|---|---|"
        );
    }
    for row in listed(report) {
        if row.differences.is_empty() {
            let _ = writeln!(text, "| `{}` | {} | | | |", cell(&row.key), row.kind);
        }
        for field in &row.differences {
            let witness = field
                .witness
                .as_ref()
                .map_or(String::new(), |witness| format!("; {}", cell(witness)));
            let _ = writeln!(
                text,
                "| `{}` | {}{witness} | `{}` | `{}` | `{}` |",
                cell(&row.key),
                field.kind,
                cell(&field.path),
                cell(&shown(field.left.as_ref())),
                cell(&shown(field.right.as_ref()))
            );
        }
    }
    if !report.rules.is_empty() {
        let _ = writeln!(text, "\n| rule | kind | rows | reason |\n|---|---|---|---|");
        for rule in &report.rules {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                rule.rule,
                rule.kind,
                rule.suppressed,
                cell(&rule.reason)
            );
        }
    }
    text
}

fn about(side: &SideReport) -> String {
    let mut text = format!("{} rows", side.rows);
    if side.without_key > 0 {
        let _ = write!(text, ", {} without a key", side.without_key);
    }
    if side.repeated_keys > 0 {
        let _ = write!(text, ", {} keys more than once", side.repeated_keys);
    }
    text
}

/// Some rows of each kind.
fn listed(report: &ParityReport) -> impl Iterator<Item = &RowDifference> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    report.differences.iter().filter(move |row| {
        let seen = seen.entry(row.kind).or_default();
        *seen += 1;
        *seen <= LISTED.min(SHOWN)
    })
}

fn shown(value: Option<&String>) -> String {
    value.map_or_else(|| "nothing".to_owned(), String::clone)
}
