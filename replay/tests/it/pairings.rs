//! Lists whose items are paired up by invented ids, and pairs with more differences than are kept.

use std::collections::BTreeMap;

use rehearsal_replay::{
    comparing::compare,
    diff::{Category, Comparison},
    rules::{Rules, Side},
    run::Outcome,
};

use crate::{
    comparing::{side, tally},
    reports::answer,
    server::{captured, planned, reads, rules},
};

/// Rules for lists that are sorted by ids that each side invents.
const LISTED: &str = r#"
[[rule]]
id = "id"
kind = "binding"
reason = "each side invents its own"
endpoint = "*"
path = "/id"
[[rule]]
id = "listed"
kind = "binding"
reason = "the same ids, in lists"
endpoint = "*"
path = "/l/*/id"
pairing = "id"
[[rule]]
id = "list"
kind = "unordered"
reason = "lists are sorted by id, which each side invents"
endpoint = "*"
path = "/l"
key = "id"
"#;

/// One more for what the items refer to.
const OWNED: &str = r#"
[[rule]]
id = "owner"
kind = "binding"
reason = "each side invents its own owners, too"
endpoint = "*"
path = "/l/*/owner_id"
"#;

#[test]
fn lists_of_invented_ids_are_paired_by_their_partners() {
    let rules = rules(LISTED);
    let requests = (0..5).map(|at| match at {
        0..4 => ("POST", "/things".to_owned(), format!("{at}")),
        _ => ("GET", "/things".to_owned(), String::new()),
    });
    let plan = planned(captured(requests), &rules);
    let created = |prefix: &str, at: usize| answer(200, format!("{{\"id\":\"{prefix}{at}\"}}"));
    let listed = |prefix: &str, order: [usize; 4], wrong: usize| {
        let item = |at: &usize| {
            let value = if *at == wrong { 100 } else { *at };
            format!("{{\"id\":\"{prefix}{at}\",\"v\":{value}}}")
        };
        let items: Vec<String> = order.iter().map(item).collect();
        answer(200, format!("{{\"l\":[{}]}}", items.join(",")))
    };
    let side_of = |role: Side, prefix: &'static str, order: [usize; 4], wrong: usize| {
        side(role, &plan, move |at| match at {
            0..4 => created(prefix, at),
            _ => listed(prefix, order, wrong),
        })
    };
    let legacy = side_of(Side::Legacy, "old", [0, 1, 2, 3], 9);
    let sorted = side_of(Side::Candidate, "new", [2, 0, 3, 1], 9);
    let agreed = compare(&plan, &legacy, &sorted, None, &rules);
    assert_eq!(tally(&agreed), BTreeMap::from([(Category::Matched, 5)]));
    let wrong = side_of(Side::Candidate, "new", [2, 0, 3, 1], 3);
    let compared = compare(&plan, &legacy, &wrong, None, &rules);
    let found: Vec<_> = compared.requests[4]
        .comparison
        .differences
        .iter()
        .map(|one| {
            (
                one.path.as_str(),
                one.legacy.as_deref(),
                one.candidate.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [("/l/*/v", Some("3"), Some("100"))],
        "the item of its partner"
    );
}

#[test]
fn an_empty_text_is_the_partner_of_nothing() {
    let rules = rules(LISTED);
    let plan = planned(reads(2), &rules);
    let one = |role: Side, first: &'static str| {
        side(role, &plan, move |at| {
            let id = if at == 0 { first } else { "x-1" };
            answer(200, format!("{{\"id\":\"{id}\"}}"))
        })
    };
    let check = |legacy: &'static str, candidate: &'static str, expect: Category| {
        let (legacy, candidate) = (one(Side::Legacy, legacy), one(Side::Candidate, candidate));
        let compared = compare(&plan, &legacy, &candidate, None, &rules);
        assert_eq!(compared.requests[0].category, expect);
    };
    check("a-1", "b-1", Category::Matched);
    check("a-1", "", Category::Mismatched);
    check("", "b-1", Category::Mismatched);
    check("", "", Category::Matched);
}

#[test]
fn a_reference_that_only_lists_show_is_a_reference_too() {
    let rules = rules(&format!("{LISTED}{OWNED}"));
    let requests = (0..6).map(|at| match at {
        0..4 => ("POST", "/things".to_owned(), format!("{at}")),
        _ => ("GET", format!("/things?page={at}"), String::new()),
    });
    let plan = planned(captured(requests), &rules);
    let whole =
        |role: Side, prefix: &'static str, order: [usize; 4], owner: fn(usize, usize) -> usize| {
            side(role, &plan, move |at| {
                let item = |one: &usize| {
                    format!(
                        "{{\"id\":\"{prefix}{one}\",\"owner_id\":\"{prefix}-o{}\"}}",
                        owner(at, *one)
                    )
                };
                let items: Vec<String> = order.iter().map(item).collect();
                match at {
                    0..4 => answer(200, format!("{{\"id\":\"{prefix}{at}\"}}")),
                    _ => answer(200, format!("{{\"l\":[{}]}}", items.join(","))),
                }
            })
        };
    let legacy = whole(Side::Legacy, "old", [0, 1, 2, 3], |_, one| one);
    let same = whole(Side::Candidate, "new", [2, 0, 3, 1], |_, one| one);
    let agreed = compare(&plan, &legacy, &same, None, &rules);
    assert_eq!(tally(&agreed), BTreeMap::from([(Category::Matched, 6)]));
    // On the second page two things have each other's owners.
    let swapped = whole(Side::Candidate, "new", [2, 0, 3, 1], |at, one| {
        match (at, one) {
            (5, 1) => 2,
            (5, 2) => 1,
            _ => one,
        }
    });
    let compared = compare(&plan, &legacy, &swapped, None, &rules);
    assert_eq!(
        tally(&compared),
        BTreeMap::from([(Category::Matched, 5), (Category::Mismatched, 1)])
    );
    let found = &compared.requests[5].comparison.differences;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|one| one.path == "/l/*/owner_id"));
}

/// An answer of `LIMIT` noisy items and more, and a total behind them.
fn crowded(instance: usize, total: usize) -> Outcome {
    let items: Vec<String> = (0..Comparison::LIMIT + 16)
        .map(|at| format!("{{\"load\":{}}}", instance * 1_000 + at))
        .collect();
    answer(
        200,
        format!("{{\"items\":[{}],\"total\":{total}}}", items.join(",")),
    )
}

/// One with noise at more places than are kept.
fn overcrowded(instance: usize, total: usize) -> Outcome {
    let items: Vec<String> = (0..Comparison::PLACES + 16)
        .map(|at| format!("\"f{at}\":{}", instance * 10_000 + at))
        .collect();
    answer(200, format!("{{{},\"total\":{total}}}", items.join(",")))
}

#[test]
fn a_regression_behind_much_noise_is_none() {
    let none = Rules::default();
    let check = |answers: fn(usize, usize) -> Outcome, total: usize, expect: Category| {
        let plan = planned(reads(100), &none);
        let legacy = side(Side::Legacy, &plan, |_| answers(1, 7));
        let second = side(Side::Legacy, &plan, |_| answers(2, 7));
        let candidate = side(Side::Candidate, &plan, |at| {
            answers(3, if at == 77 { total } else { 7 })
        });
        let compared = compare(&plan, &legacy, &candidate, Some(&second), &none);
        assert_eq!(compared.requests[77].category, expect);
    };
    check(crowded, 7, Category::Noise);
    check(crowded, 8, Category::Mismatched);
    // What nobody has seen the whole of, nothing excuses.
    check(overcrowded, 7, Category::Mismatched);
    check(overcrowded, 8, Category::Mismatched);
}

#[test]
fn a_swapped_reference_is_found_where_it_is_written_as_legacys_own_text() {
    const COUNT: usize = 40;
    let rules = rules(
        r#"
[[rule]]
id = "id"
kind = "binding"
reason = "each side numbers its own orders"
endpoint = "*"
path = "/id"
"#,
    );
    let requests = (0..2 * COUNT).map(|at| match at / COUNT {
        0 => ("POST", "/orders".to_owned(), format!("{at}")),
        _ => ("GET", format!("/orders/{at}"), String::new()),
    });
    let plan = planned(captured(requests), &rules);
    // The candidate's numbers are legacy's, one further. `named` says which of its orders it refers to in a request.
    let side_of = |role: Side, first: usize, named: &dyn Fn(usize) -> usize| {
        side(role, &plan, |at| {
            let (id, of) = (first + at % COUNT, first + named(at));
            let mut outcome = answer(
                200,
                format!("{{\"id\":{id},\"self\":\"/orders/{of}\",\"note\":\"page 2 of 2026\"}}"),
            );
            if let Outcome::Answered(answer) = &mut outcome {
                let location = (
                    "location".to_owned(),
                    format!("https://h:18080/orders/{of}?page=2"),
                );
                answer.headers.push(location);
            }
            outcome
        })
    };
    let right = |at: usize| (at + 7) % COUNT;
    let legacy = side_of(Side::Legacy, 1_000_050, &right);
    let agreed = side_of(Side::Candidate, 1_000_051, &right);
    let compared = compare(&plan, &legacy, &agreed, None, &rules);
    assert_eq!(
        tally(&compared),
        BTreeMap::from([(Category::Matched, 2 * COUNT)])
    );
    // One order before the right one: of its address, exactly what legacy wrote.
    let wrong = |at: usize| at % 9 == 5;
    let swapped = side_of(Side::Candidate, 1_000_051, &|at| {
        right(at) - usize::from(wrong(at))
    });
    let compared = compare(&plan, &legacy, &swapped, None, &rules);
    assert_eq!(compared.conflicts, [], "equal texts have no vote");
    for (at, one) in compared.requests.iter().enumerate() {
        let found = one.comparison.differences.iter();
        let found: Vec<&str> = found.map(|one| one.path.as_str()).collect();
        let expect: &[&str] = if wrong(at) {
            &["location", "/self"]
        } else {
            &[]
        };
        assert_eq!(found, expect, "request {at}");
    }
    // The same numbers on both sides: the same texts are right.
    let compared = compare(&plan, &legacy, &legacy, None, &rules);
    assert_eq!(
        tally(&compared),
        BTreeMap::from([(Category::Matched, 2 * COUNT)])
    );
}

/// Both sides number their things from another number on, so that the ranges overlap, and list them: the candidate in the `order` that is given
/// with `wrong` in place of one item's value.
fn overlapping(text: &str, reversed: bool, wrong: bool) -> BTreeMap<Category, usize> {
    let rules = rules(text);
    let requests = (0..40).map(|at| match at {
        0..20 => ("POST", "/things".to_owned(), format!("{at}")),
        _ => ("GET", format!("/lists/{at}"), String::new()),
    });
    let plan = planned(captured(requests), &rules);
    let seen = |first: usize, reversed: bool, wrong: bool| {
        move |at: usize| {
            if at < 20 {
                return answer(200, format!("{{\"id\":{}}}", first + at));
            }
            let item = |one: usize| {
                let value = if wrong && one == 7 { 100 } else { one };
                format!("{{\"id\":{},\"v\":{value}}}", first + one)
            };
            let mut items: Vec<String> = (0..20).map(item).collect();
            if reversed {
                items.reverse();
            }
            answer(200, format!("{{\"l\":[{}]}}", items.join(",")))
        }
    };
    let legacy = side(Side::Legacy, &plan, seen(5_000, false, false));
    let candidate = side(Side::Candidate, &plan, seen(5_007, reversed, wrong));
    tally(&compare(&plan, &legacy, &candidate, None, &rules))
}

#[test]
fn lists_pair_up_by_partners_where_an_id_of_one_side_is_another_of_the_other() {
    let unkeyed = LISTED.replace("key = \"id\"\n", "");
    for text in [LISTED, &unkeyed] {
        for reversed in [false, true] {
            let clean = overlapping(text, reversed, false);
            assert_eq!(
                clean,
                BTreeMap::from([(Category::Matched, 40)]),
                "{text} {reversed}"
            );
            let wrong = overlapping(text, reversed, true);
            assert_eq!(
                wrong,
                BTreeMap::from([(Category::Matched, 20), (Category::Mismatched, 20)]),
                "{text} {reversed}"
            );
        }
    }
}

#[test]
fn an_id_that_becomes_a_text_now_and_then_is_a_difference() {
    let rules = rules(LISTED);
    let plan = planned(reads(40), &rules);
    let numbers = |first: usize| move |at: usize| answer(200, format!("{{\"id\":{}}}", first + at));
    let texts = |at: usize| answer(200, format!("{{\"id\":\"u-{at}\"}}"));
    let sometimes = |at: usize| match at % 10 {
        3 => answer(200, format!("{{\"id\":\"{}\"}}", 700 + at)),
        _ => answer(200, format!("{{\"id\":{}}}", 700 + at)),
    };
    let legacy = side(Side::Legacy, &plan, numbers(100));
    let check = |candidate, mismatched| {
        let found = tally(&compare(&plan, &legacy, &candidate, None, &rules));
        assert_eq!(
            found.get(&Category::Mismatched).copied().unwrap_or(0),
            mismatched
        );
    };
    check(side(Side::Candidate, &plan, numbers(700)), 0);
    check(side(Side::Candidate, &plan, texts), 0);
    check(side(Side::Candidate, &plan, sometimes), 4);
}
