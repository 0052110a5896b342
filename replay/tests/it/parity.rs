//! Parity of state: what digests settle is what the comparer would have said, and what differs is named.
//!
//! **Invariant**: the reference is the comparer itself, asked about every pair of rows.

mod pairs;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use rehearsal_replay::{
    diff::Comparer,
    parity::{Columns, Detail, Key, ParityReport, RowCounts, Table, human, join, markdown},
    rules::{Rules, Side, Subject},
    run::Answer,
    verdict::Verdict,
};
use serde_json::{Value, json};

const SHIPPED: &str = include_str!("../../../scenarios/rules/legacy-to-v2.toml");

fn shipped() -> Rules {
    Rules::read("legacy-to-v2.toml", SHIPPED).expect("the shipped rules")
}

/// Rules of which the tests say only what matters.
fn rules(text: &str) -> Rules {
    let text = format!("format = \"rehearsal.rules/1\"\nname = \"t\"\n{text}");
    Rules::read("t.toml", &text).expect("rules")
}

fn compared(rules: &Rules, key: &str, rows: [&[Value]; 2], columns: &Columns) -> ParityReport {
    let key = Key::parse(key).expect("a key");
    let texts = rows.map(|rows| {
        rows.iter()
            .map(|row| row.to_string().into_bytes())
            .collect::<Vec<_>>()
    });
    let table = |side, rows: &[Vec<u8>]| {
        let mut table = Table::new(side, &key, columns, rules);
        for row in rows {
            table.push(row).expect("a row");
        }
        table.finish();
        table
    };
    let left = table(Side::Legacy, &texts[0]);
    let right = table(Side::Candidate, &texts[1]);
    let joined = join(&left, &right, rules.rules.len());
    let mut detail = Detail::new(&joined, rules);
    // Small batches, so that more than one is needed.
    for batch in detail.batches(3) {
        let pick = |numbers: &[u32], rows: &[Vec<u8>]| -> Vec<Vec<u8>> {
            numbers
                .iter()
                .map(|at| rows[*at as usize].clone())
                .collect()
        };
        let rows = (pick(&batch.left, &texts[0]), pick(&batch.right, &texts[1]));
        detail.compare(&batch, &rows.0, &rows.1);
    }
    detail.report(
        [&left, &right],
        ["a".to_owned(), "b".to_owned()],
        joined.repeated(),
        rules,
    )
}

fn all(rules: &Rules, left: &[Value], right: &[Value]) -> ParityReport {
    compared(rules, "id", [left, right], &Columns::default())
}

/// Every pair of rows, given to one comparer.
fn reference(rules: &Rules, left: &[Value], right: &[Value]) -> (RowCounts, BTreeMap<String, u64>) {
    let mut comparer = Comparer::new(rules);
    let (mut counts, mut acted) = (RowCounts::default(), BTreeMap::new());
    for (a, b) in left.iter().zip(right) {
        let answer = |row: &Value| Answer {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from(row.to_string()),
        };
        let comparison = comparer.compare(Subject::State, &answer(a), &answer(b));
        let rules_here: BTreeSet<usize> = comparison
            .equated
            .iter()
            .chain(&comparison.ignored)
            .copied()
            .collect();
        for rule in rules_here {
            *acted.entry(rules.rules[rule].id.clone()).or_default() += 1;
        }
        if !comparison.differences.is_empty() {
            counts.mismatched += 1;
        } else if !comparison.ignored.is_empty() {
            counts.ignored += 1;
        } else {
            counts.matched += 1;
        }
    }
    (counts, acted)
}

fn legacy_row(number: u64) -> Value {
    json!({
        "id": format!("a-{number}"), "request_id": format!("r-{number}"), "state": "confirmed", "provider": "acme",
        "time": "2027-03-01T09:30:00+00:00", "patient_name": format!("Patient {number}"),
        "reference": format!("bk-{number}"), "attempts": 1, "bookings": 1,
    })
}

fn v2_row(number: u64) -> Value {
    json!({
        "id": format!("a-{number}"), "patient_name": format!("Patient {number}"), "request_id": format!("r-{number}"),
        "state": "confirmed", "provider": "acme", "time": "2027-03-01T09:30:00Z", "attempts": 1.0,
        "provider_reference": format!("v-{number}"), "cancel_requested": false,
        "created_at": "2027-01-01T00:00:00Z", "updated_at": format!("2027-01-01T00:00:{:02}Z", number % 60),
    })
}

#[test]
fn two_models_of_the_same_rows_match_and_one_changed_row_is_named() {
    let rules = shipped();
    let left: Vec<Value> = (0..500).map(legacy_row).collect();
    // In another order.
    let mut right: Vec<Value> = (0..500).rev().map(v2_row).collect();
    let report = all(&rules, &left, &right);
    assert_eq!(report.verdict, Verdict::Pass, "{report:?}");
    assert_eq!(report.rows.matched, 500);
    let hits = |report: &ParityReport, id: &str| {
        let rule = report.rules.iter().find(|rule| rule.rule == id);
        rule.map(|rule| rule.suppressed)
    };
    for id in [
        "reference-name",
        "reference",
        "time-spelling",
        "created-at",
        "legacy-bookings",
    ] {
        assert_eq!(hits(&report, id), Some(500), "{id}");
    }
    right[77]["patient_name"] = json!("Patient");
    let report = all(&rules, &left, &right);
    assert_eq!(
        (report.verdict, report.rows.matched, report.rows.mismatched),
        (Verdict::Fail, 499, 1)
    );
    let row = &report.differences[0];
    assert_eq!(
        (row.key.as_str(), row.left_row, row.right_row),
        ("a-422", Some(423), Some(78))
    );
    assert_eq!(row.differences[0].path, "/patient_name");
    for text in [human(&report), markdown(&report)] {
        assert!(
            text.contains("a-422")
                && text.contains("/patient_name")
                && text.contains("Patient 422"),
            "{text}"
        );
    }
}

#[test]
fn rows_of_one_side_are_counted_and_named() {
    let rows: Vec<Value> = (0..4).map(legacy_row).collect();
    let report = all(&Rules::default(), &rows[..3], &rows[1..]);
    assert_eq!(
        report.rows,
        RowCounts {
            matched: 2,
            only_left: 1,
            only_right: 1,
            ..RowCounts::default()
        }
    );
    let named: Vec<(&str, &str)> = report
        .differences
        .iter()
        .map(|row| (row.kind, row.key.as_str()))
        .collect();
    assert_eq!(named, [("only_left", "a-0"), ("only_right", "a-3")]);
    assert_eq!(report.verdict, Verdict::Fail);
}

#[test]
fn a_rule_may_forgive_a_row_that_is_gone() {
    let rules = Rules::read("r.toml", "format = \"rehearsal.rules/1\"\nname = \"t\"\n[[rule]]\nid = \"purged\"\nkind = \"ignore\"\nreason = \"v2 purges\"\nendpoint = \"state\"\nwhere = \"answer\"\nlegacy = 200\ncandidate = 404").expect("rules");
    let rows: Vec<Value> = (0..4).map(legacy_row).collect();
    let report = all(&rules, &rows, &rows[1..]);
    assert_eq!(
        (report.rows.matched, report.rows.ignored, report.verdict),
        (3, 1, Verdict::Pass)
    );
    assert_eq!(
        report.reasons,
        ["3 rows are the same on both sides, 1 differ or are on one side only as a rule forgives"]
    );
    let report = all(&rules, &rows[1..], &rows);
    assert_eq!(
        (report.rows.only_right, report.verdict),
        (1, Verdict::Fail),
        "the rule speaks of one direction"
    );
}

#[test]
fn a_value_with_two_partners_is_found_with_its_witness_whatever_the_order() {
    let rules = shipped();
    let left: Vec<Value> = (0..9).map(legacy_row).collect();
    let mut right: Vec<Value> = (0..9).map(v2_row).collect();
    right[5]["provider_reference"] = json!("v-2");
    let check = |left: &[Value], right: &[Value], violator: &str, witness: &str| {
        let report = all(&rules, left, right);
        assert_eq!(
            (report.rows.mismatched, report.verdict),
            (1, Verdict::Fail),
            "{report:?}"
        );
        let row = &report.differences[0];
        assert_eq!(row.key, violator);
        let field = &row.differences[0];
        assert_eq!((field.kind, field.path.as_str()), ("binding", "/reference"));
        assert!(
            field.witness.as_ref().expect("a witness").contains(witness),
            "{field:?}"
        );
    };
    check(&left, &right, "a-5", "row a-2");
}

#[test]
fn fields_that_one_side_drops_leave_nothing_to_the_comparer() {
    let drop = |side: &str, name: &str| {
        format!(
            "[[rule]]\nid = \"{name}\"\nkind = \"drop\"\nreason = \"r\"\nendpoint = \"*\"\nside = \"{side}\"\npath = \"/{name}\"\n"
        )
    };
    let names = |side: &str| -> Vec<String> { (0..24).map(|at| format!("{side}{at}")).collect() };
    let sides = [
        ("legacy", names("l"), "both_l"),
        ("candidate", names("r"), "both_r"),
    ];
    let mut text = String::new();
    let mut rows = Vec::new();
    for (side, names, both) in &sides {
        let mut row = json!({"id": 1});
        for name in names {
            text += &drop(side, name);
            row[name] = json!(1);
        }
        text += &drop(side, "both").replace("id = \"both\"", &format!("id = \"{both}\""));
        rows.push(row);
    }
    let rules = rules(&text);
    let left_to_comparer = |rows: &[Value]| {
        let table = |side, row: &Value| {
            let mut table = Table::new(side, &Key::of("id"), &Columns::default(), &rules);
            table.push(row.to_string().as_bytes()).expect("a row");
            table.finish();
            table
        };
        let (left, right) = (
            table(Side::Legacy, &rows[0]),
            table(Side::Candidate, &rows[1]),
        );
        let joined = join(&left, &right, rules.rules.len());
        Detail::new(&joined, &rules).batches(9).len()
    };
    assert_eq!(left_to_comparer(&rows), 0);
    // Where both sides leave a field out, only the comparer can say whether it is the same.
    rows[0]["both"] = json!(1);
    rows[1]["both"] = json!(2);
    assert_eq!(left_to_comparer(&rows), 1);
    assert_eq!(all(&rules, &rows[..1], &rows[1..]).verdict, Verdict::Fail);
}

#[test]
fn paths_and_rules_count_rows_and_not_differences() {
    let row = |values: [u32; 3]| json!({"id": 1, "list": values, "free": values});
    let ignore = "[[rule]]\nid = \"free\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"*\"\nwhere = \"/free/*\"\n";
    let report = all(&rules(ignore), &[row([1, 2, 3])], &[row([4, 5, 6])]);
    let paths: Vec<(&str, u64)> = report
        .paths
        .iter()
        .map(|path| (path.path.as_str(), path.rows))
        .collect();
    assert_eq!(paths, [("/list/*", 1)]);
    assert_eq!(report.rules[0].suppressed, 1);
    assert_eq!(report.differences[0].differences.len(), 3);
}

#[test]
fn nothing_passes_when_nothing_was_compared() {
    let check = |left: &[Value], right: &[Value], verdict| {
        assert_eq!(all(&Rules::default(), left, right).verdict, verdict);
    };
    let rows = [legacy_row(1)];
    check(&[], &[], Verdict::Inconclusive);
    check(&[], &rows, Verdict::Fail);
    check(&rows, &rows, Verdict::Pass);
    let nameless = [json!({"no": "key"})];
    let report = all(
        &Rules::default(),
        &[rows.clone(), nameless.clone()].concat(),
        &[rows, nameless].concat(),
    );
    assert_eq!(
        (report.verdict, report.left.without_key),
        (Verdict::Inconclusive, 1)
    );
}

#[test]
fn keys_that_repeat_are_paired_by_what_they_say() {
    let row = |state: &str| json!({"id": 1, "state": state});
    let report = all(
        &Rules::default(),
        &[row("a"), row("b"), row("c")],
        &[row("c"), row("a")],
    );
    assert_eq!(
        report.rows,
        RowCounts {
            matched: 2,
            only_left: 1,
            ..RowCounts::default()
        }
    );
    assert_eq!(
        (report.left.repeated_keys, report.right.repeated_keys),
        (1, 1)
    );
}

#[test]
fn very_many_rows_of_one_key_find_their_twins() {
    let rules = Rules::default();
    let rows = 60_000;
    let table = |side, values: &mut dyn Iterator<Item = u32>| {
        let mut table = Table::new(side, &Key::of("id"), &Columns::default(), &rules);
        for value in values {
            let row = format!("{{\"id\":1,\"n\":{value}}}");
            table.push(row.as_bytes()).expect("a row");
        }
        table.finish();
        table
    };
    let left = table(Side::Legacy, &mut (0..rows));
    let right = table(Side::Candidate, &mut (1..=rows).rev());
    let joined = join(&left, &right, 0);
    // All but one find their twins; what is left over on each side is a pair for the comparer.
    let batches = Detail::new(&joined, &rules).batches(9);
    assert_eq!((batches.len(), &batches[0].left[..]), (1, &[0][..]));
    assert_eq!(batches[0].right, [0]);
}

#[test]
fn only_the_chosen_columns_are_compared() {
    let (left, right) = (
        json!({"id": 1, "a": 1, "b": 1}),
        json!({"id": 1, "a": 1, "b": 2}),
    );
    let columns = |name: &str| Columns::only(vec![name.to_owned()]);
    let check = |name, mismatched| {
        let report = compared(
            &Rules::default(),
            "id",
            [std::slice::from_ref(&left), std::slice::from_ref(&right)],
            &columns(name),
        );
        assert_eq!(report.rows.mismatched, mismatched, "{name}");
    };
    check("a", 0);
    check("b", 1);
}

#[test]
fn what_is_no_row_is_refused_with_its_place() {
    let rules = Rules::default();
    let mut table = Table::new(Side::Legacy, &Key::of("id"), &Columns::default(), &rules);
    table.push(b"{\"id\":1}").expect("a row");
    let error = table.push(b"[1]").expect_err("no row");
    assert_eq!(
        error.to_string(),
        "row 2: found a JSON array, expected a JSON object"
    );
    assert!(table.push(b"{\"id\":1,\"id\":2}").is_err());
}

/// Values that the shipped rules treat in different ways, on both sides.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let word = prop::sample::select(vec!["confirmed", "failed", "pending", "cancelled"]);
    let time = prop::sample::select(vec![
        "2027-03-01T09:30:00Z",
        "2027-03-01T10:30:00+01:00",
        "2027-03-01T10:30:00Z",
        "soon",
    ]);
    let reference = || prop::option::of(prop::option::of(Just(())));
    let odd = prop::sample::select(vec![
        "",
        "reference",
        "provider_reference",
        "bookings",
        "created_at",
        "failure",
    ]);
    let left = (word.clone(), time.clone(), reference(), 0_u32..3, 0_u32..3);
    let right = (word, time, reference(), 0_u32..3, any::<bool>());
    (left, right, odd.clone(), odd).prop_map(|(left, right, odd_left, odd_right)| {
        let mut a = json!({"state": left.0, "time": left.1, "attempts": left.3, "bookings": left.4, "patient_name": "x"});
        let mut b = json!({"state": right.0, "time": right.1, "attempts": right.3, "cancel_requested": right.4, "patient_name": "x", "updated_at": "t"});
        let present = |kind: Option<Option<()>>| kind.map(|kind| kind.map_or(Value::Null, |()| json!("REF")));
        if let Some(value) = present(left.2) {
            a["reference"] = value;
        }
        if let Some(value) = present(right.2) {
            b["provider_reference"] = value;
        }
        if !odd_left.is_empty() {
            a[odd_left] = json!(1);
        }
        if !odd_right.is_empty() {
            b[odd_right] = json!({"code": 1});
        }
        (a, b)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Digests settle nothing that the comparer would not have called a match, and count the same rules.
    #[test]
    fn digests_say_what_the_comparer_says(pairs in prop::collection::vec(pair(), 1..12)) {
        let rules = shipped();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (at, (mut a, mut b)) in pairs.into_iter().enumerate() {
            // Each reference stands in one row only: which of two rows violates a pairing depends on more than their order.
            for row in [&mut a, &mut b] {
                row["id"] = json!(at);
                for name in ["reference", "provider_reference"] {
                    if row[name] == json!("REF") {
                        row[name] = json!(format!("ref-{at}"));
                    } else if row.get(name).is_some_and(Value::is_number) {
                        row[name] = json!(1_000 + at);
                    }
                }
            }
            a.as_object_mut().expect("an object").retain(|_, value| *value != json!("REF"));
            left.push(a);
            right.push(b);
        }
        let report = all(&rules, &left, &right);
        let (counts, acted) = reference(&rules, &left, &right);
        prop_assert_eq!(report.rows, counts);
        let found: BTreeMap<String, u64> = report.rules.into_iter().map(|rule| (rule.rule, rule.suppressed)).collect();
        prop_assert_eq!(found, acted);
    }
}
