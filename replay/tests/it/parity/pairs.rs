//! Parity of invented values: one partner for each, over all rows, whoever settles them.
//!
//! **Invariant**: a pairing that any row violates fails, wherever the row stands and however its values are shown.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rehearsal_replay::verdict::Verdict;
use serde_json::{Value, json};

use super::{all, reference, rules};

const BINDING: &str = "[[rule]]\nid = \"ref\"\nkind = \"binding\"\nreason = \"r\"\nendpoint = \"*\"\npath = \"/ref\"\n";

#[test]
fn a_violated_pairing_is_found_where_digests_settle_all_rows() {
    let rules = rules(BINDING);
    let check = |pointing: usize, at: u64| {
        let side = |name: &str| -> Vec<Value> {
            let rows = 0..6;
            rows.map(|row| json!({"id": row, "ref": format!("{name}-{row}")}))
                .collect()
        };
        let (left, mut right) = (side("bk"), side("v"));
        right[pointing]["ref"] = json!(format!("v-{at}"));
        let report = all(&rules, &left, &right);
        assert_eq!(
            (report.verdict, report.rows.matched, report.rows.mismatched),
            (Verdict::Fail, 5, 1),
            "{pointing} to {at}: {report:?}"
        );
        assert_eq!(report.rules[0].suppressed, 5);
        let field = &report.differences[0].differences[0];
        assert_eq!((field.kind, field.path.as_str()), ("binding", "/ref"));
        assert!(field.witness.is_some(), "{field:?}");
    };
    check(5, 2);
    check(0, 3);
    check(2, 1);
}

#[test]
fn a_row_that_makes_one_pairing_and_breaks_another_is_one_difference() {
    let second = BINDING
        .replace("\"ref\"", "\"other\"")
        .replace("/ref", "/other");
    let rules = rules(&(BINDING.to_owned() + &second));
    let row = |id: u32, names: [&str; 2]| json!({"id": id, "ref": names[0], "other": names[1]});
    // Row 0 breaks what rows 1 and 2 say of `ref`, and is the only one that says what row 3 breaks of `other`.
    let left = [
        row(0, ["a", "m"]),
        row(1, ["a", "n"]),
        row(2, ["a", "o"]),
        row(3, ["d", "m"]),
    ];
    let right = [
        row(0, ["Z", "M"]),
        row(1, ["A", "N"]),
        row(2, ["A", "O"]),
        row(3, ["D", "X"]),
    ];
    let report = all(&rules, &left, &right);
    let named: Vec<&str> = report.differences.iter().map(|row| &*row.key).collect();
    assert_eq!((report.rows.matched, named), (2, vec!["0", "3"]));
}

#[test]
fn a_reference_in_a_list_of_a_row_that_differs_keeps_its_partner() {
    let list = BINDING.replace("/ref", "/refs/*");
    let rules = rules(
        &(list
            + "[[rule]]\nid = \"n\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"*\"\nwhere = \"/n\"\n"),
    );
    let row = |id: u32, name: &str, n: u32| json!({"id": id, "refs": [name], "n": n});
    let left = [row(0, "a", 1), row(1, "a", 1), row(2, "b", 1)];
    let check = |name: &str, verdict| {
        let right = [row(0, name, 2), row(1, "A", 1), row(2, "B", 1)];
        assert_eq!(all(&rules, &left, &right).verdict, verdict, "{name}");
    };
    check("A", Verdict::Pass);
    check("B", Verdict::Fail);
    check("C", Verdict::Fail);
}

#[test]
fn a_part_of_a_text_and_a_whole_one_share_their_pairs() {
    let address = "[[rule]]\nid = \"in\"\nkind = \"binding\"\nreason = \"r\"\nendpoint = \"*\"\npath = \"/url\"\nwithin = \"/x/([^/]+)$\"\npairing = \"ref\"\n";
    let rules = rules(&(BINDING.to_owned() + address));
    let left = [
        json!({"id": 0, "ref": "a"}),
        json!({"id": 1, "url": "/x/a"}),
    ];
    let check = |name: &str, verdict| {
        let right = [
            json!({"id": 0, "ref": "A"}),
            json!({"id": 1, "url": format!("/x/{name}")}),
        ];
        assert_eq!(all(&rules, &left, &right).verdict, verdict, "{name}");
    };
    check("A", Verdict::Pass);
    check("B", Verdict::Fail);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// References that repeat over rows: where the comparer finds no violation in any order, none is found, and where it does, one is.
    #[test]
    fn references_that_repeat_pair_up_or_fail(
        pairs in prop::collection::vec((0_u32..5, 0_u32..5, any::<bool>(), prop::collection::vec((0_u32..4, 0_u32..4), 0..2)), 1..14),
        true_to_form in any::<bool>(),
    ) {
        let list = BINDING.replace("id = \"ref\"", "id = \"refs\"\npairing = \"ref\"").replace("/ref\"", "/refs/*\"");
        let ignore = "[[rule]]\nid = \"n\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"*\"\nwhere = \"/n\"\n";
        let rules = rules(&(BINDING.to_owned() + &list + ignore));
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (id, (a, b, open, list)) in pairs.into_iter().enumerate() {
            let twin = |a: u32, b: u32| if true_to_form { (a + 1) % 5 } else { b };
            let names: [Vec<String>; 2] = [
                list.iter().map(|(a, _)| format!("bk-{a}")).collect(),
                list.iter().map(|(a, b)| format!("v-{}", twin(*a, *b))).collect(),
            ];
            left.push(json!({"id": id, "ref": format!("bk-{a}"), "refs": names[0], "n": 1}));
            right.push(json!({"id": id, "ref": format!("v-{}", twin(a, b)), "refs": names[1], "n": 1 + u32::from(open)}));
        }
        let report = all(&rules, &left, &right);
        let (counts, acted) = reference(&rules, &left, &right);
        prop_assert_eq!(report.rows.mismatched > 0, counts.mismatched > 0, "{:?}", report);
        if counts.mismatched == 0 {
            prop_assert_eq!(report.rows, counts);
            let found: BTreeMap<String, u64> = report.rules.into_iter().map(|rule| (rule.rule, rule.suppressed)).collect();
            prop_assert_eq!(found, acted);
        }
    }
}
