//! Reads that overlap writes: what is allowed, and that an old answer outside an overlap is still found.
//!
//! The story of each test is a few requests, when each was under way on either side, and what each was answered.

use rehearsal_replay::{
    capture::Body,
    comparing::compare_timed,
    diff::Category,
    judge::judge_timed,
    overlap::Spans,
    plan::Plan,
    rules::{Rules, Side},
    run::Observations,
    verdict::Gate,
};

use crate::{
    comparing::side,
    reports::answer,
    server::{captured, planned, rules},
};

/// A request: what is asked, and for each side from when to when, and the answer.
type Asked = (
    &'static str,
    &'static str,
    [(u64, u64); 2],
    [&'static str; 2],
);

struct Story {
    plan: Plan,
    legacy: Observations,
    candidate: Observations,
    spans: [Spans; 2],
}

fn story(rules: &Rules, asked: &[Asked]) -> Story {
    let requests = asked
        .iter()
        .map(|(method, target, ..)| (*method, (*target).to_owned(), String::new()));
    let plan = planned(captured(requests), rules);
    let told = |which: usize| move |at: usize| answer(200, asked[at].3[which].to_owned());
    let spans = [0, 1].map(|which| {
        let mut spans = Spans::new(&plan, []);
        for (at, (_, _, times, _)) in asked.iter().enumerate() {
            spans.set(at, times[which].0, times[which].1);
        }
        spans
    });
    let (legacy, candidate) = (
        side(Side::Legacy, &plan, told(0)),
        side(Side::Candidate, &plan, told(1)),
    );
    Story {
        plan,
        legacy,
        candidate,
        spans,
    }
}

/// What each request's pair comes to, with the sides exchanged too.
fn check(rules: &Rules, asked: &[Asked], expect: &[Category]) {
    let turned: Vec<Asked> = asked
        .iter()
        .map(|(method, target, [a, b], [old, new])| (*method, *target, [*b, *a], [*new, *old]))
        .collect();
    check_one_way(rules, asked, expect);
    check_one_way(rules, &turned, expect);
}

fn check_one_way(rules: &Rules, asked: &[Asked], expect: &[Category]) {
    let story = story(rules, asked);
    let compared = compare_timed(
        &story.plan,
        [&story.legacy, &story.candidate],
        None,
        Some(story.spans.each_ref()),
        rules,
    );
    let found: Vec<Category> = compared.requests.iter().map(|one| one.category).collect();
    assert_eq!(found, expect, "{asked:?}");
    let ignored = expect.iter().filter(|one| **one == Ignored);
    assert_eq!(compared.overlapping, ignored.count() as u64);
}

use Category::{Ignored, Matched, Mismatched};

const BEFORE: &str = r#"{"rooms":[{"id":"r-1","free":3},{"id":"r-2","free":1}]}"#;
const AFTER: &str = r#"{"rooms":[{"id":"r-1","free":2},{"id":"r-2","free":1}]}"#;
const OTHER: &str = r#"{"rooms":[{"id":"r-1","free":9},{"id":"r-2","free":1}]}"#;
const OK: &str = "{}";

#[test]
fn a_read_during_a_write_may_show_what_was_before_or_after() {
    let none = Rules::default();
    // On legacy the list was read during the write and came first, on the candidate it came after.
    for during in [
        [(12, 18), (12, 18)],
        [(12, 18), (30, 40)],
        [(1, 5), (30, 40)],
    ] {
        check(
            &none,
            &[
                ("GET", "/rooms", [(0, 1); 2], [BEFORE; 2]),
                ("GET", "/rooms", during, [BEFORE, AFTER]),
                ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
                ("GET", "/rooms", [(50, 60); 2], [AFTER; 2]),
            ],
            &[Matched, Ignored, Matched, Matched],
        );
    }
}

#[test]
fn an_old_answer_outside_an_overlap_is_found() {
    let none = Rules::default();
    check(
        &none,
        &[
            ("GET", "/rooms", [(0, 1); 2], [BEFORE; 2]),
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("GET", "/rooms", [(30, 40); 2], [AFTER, BEFORE]),
            ("GET", "/rooms", [(50, 60); 2], [AFTER; 2]),
        ],
        &[Matched, Matched, Mismatched, Matched],
    );
    // Another write is under way, but it is not the one whose effect is missing.
    check(
        &none,
        &[
            ("GET", "/rooms", [(0, 1); 2], [BEFORE; 2]),
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("PATCH", "/rooms/r-2", [(32, 38); 2], [OK; 2]),
            ("GET", "/rooms", [(30, 40); 2], [AFTER, BEFORE]),
            ("GET", "/rooms", [(50, 60); 2], [AFTER; 2]),
        ],
        &[Matched, Matched, Matched, Mismatched, Matched],
    );
    // A write of something else is no excuse.
    check(
        &none,
        &[
            ("GET", "/rooms", [(0, 1); 2], [BEFORE; 2]),
            ("PATCH", "/guests/g-1", [(10, 60); 2], [OK; 2]),
            ("GET", "/rooms", [(30, 40); 2], [AFTER, BEFORE]),
        ],
        &[Matched, Matched, Mismatched],
    );
}

#[test]
fn an_overlap_alone_excuses_nothing() {
    let none = Rules::default();
    let read = |shown: [&'static str; 2]| -> Vec<Asked> {
        vec![
            ("GET", "/rooms", [(0, 1); 2], [BEFORE; 2]),
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("GET", "/rooms", [(12, 18); 2], shown),
            ("GET", "/rooms", [(50, 60); 2], [AFTER; 2]),
        ]
    };
    // What legacy has never shown is wrong whenever the candidate shows it.
    check_one_way(
        &none,
        &read([BEFORE, OTHER]),
        &[Matched, Matched, Mismatched, Matched],
    );
    check(
        &none,
        &read([BEFORE, AFTER]),
        &[Matched, Matched, Ignored, Matched],
    );
    // Nobody else has read the list, so nothing says what it may show.
    check(
        &none,
        &[
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("GET", "/rooms", [(12, 18); 2], [BEFORE, AFTER]),
        ],
        &[Matched, Mismatched],
    );
}

#[test]
fn items_of_a_busy_list_are_looked_at_one_by_one() {
    let none = Rules::default();
    let list = |first: u8, second: u8, more: &str| -> &'static str {
        format!(
            r#"{{"n":{},"rooms":[{{"id":"r-1","free":{first}}},{{"id":"r-2","free":{second}}}{more}]}}"#,
            if more.is_empty() { 2 } else { 3 }
        )
        .leak()
    };
    // Between the reads that show room 1 before and after, room 2 has changed as well.
    let read = |legacy, candidate| -> Vec<Asked> {
        vec![
            ("GET", "/rooms?page=1", [(0, 1); 2], [list(3, 5, ""); 2]),
            ("PATCH", "/rooms/r-2", [(2, 3); 2], [OK; 2]),
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("GET", "/rooms?page=1", [(12, 18); 2], [legacy, candidate]),
            ("PATCH", "/rooms/r-2", [(22, 23); 2], [OK; 2]),
            ("GET", "/rooms?page=1", [(50, 60); 2], [list(2, 7, ""); 2]),
        ]
    };
    let expect = |one| [Matched, Matched, Matched, one, Matched, Matched];
    check(
        &none,
        &read(list(3, 6, ""), list(2, 6, "")),
        &expect(Ignored),
    );
    // Room 2 was not being written then.
    check(
        &none,
        &read(list(3, 6, ""), list(2, 5, "")),
        &expect(Mismatched),
    );
    // Legacy has never shown this of room 1.
    check_one_way(
        &none,
        &read(list(3, 6, ""), list(1, 6, "")),
        &expect(Mismatched),
    );
}

#[test]
fn an_item_that_is_being_made_may_be_there_or_not() {
    let ids = rules(
        r#"
[state]
create = "POST /rooms"
id = "/id"
legacy = "/rooms/{id}"
candidate = "/rooms/{id}"
"#,
    );
    let made = r#"{"id":"r-3"}"#;
    let (without, with) = (
        r#"[{"id":"r-1","free":3}]"#,
        r#"[{"id":"r-1","free":3},{"id":"r-3","free":4}]"#,
    );
    let wrong = r#"[{"id":"r-1","free":3},{"id":"r-3","free":9}]"#;
    let told = |span: (u64, u64), shown: [&'static str; 2]| {
        let asked: Vec<Asked> = vec![
            ("POST", "/rooms", [(10, 20); 2], [made; 2]),
            ("GET", "/rooms?free=3", [span; 2], shown),
            ("GET", "/rooms?free=1", [(50, 60); 2], [with; 2]),
        ];
        let mut exchanges = captured(
            asked
                .iter()
                .map(|(method, target, ..)| (*method, (*target).to_owned(), made.to_owned())),
        );
        for exchange in &mut exchanges.exchanges[1..] {
            exchange.request.body = Body::EMPTY;
        }
        let plan = planned(exchanges, &ids);
        assert_eq!(plan.requests[0].order.as_deref(), Some("entity r-3"));
        let story = story(&ids, &asked);
        let compared = compare_timed(
            &plan,
            [&story.legacy, &story.candidate],
            None,
            Some(story.spans.each_ref()),
            &ids,
        );
        compared.requests[1].category
    };
    assert_eq!(told((12, 18), [without, with]), Ignored);
    assert_eq!(told((12, 18), [with, without]), Ignored);
    assert_eq!(told((30, 40), [with, without]), Mismatched);
    // It is there, and not as legacy shows it.
    assert_eq!(told((12, 18), [without, wrong]), Mismatched);
}

#[test]
fn an_item_that_leaves_a_list_was_missing_there_before() {
    let none = Rules::default();
    let (full, left) = (
        r#"{"rooms":[{"id":"r-1","free":3},{"id":"r-2","free":1}]}"#,
        r#"{"rooms":[{"id":"r-2","free":1}]}"#,
    );
    let read = |later: &'static str, target: &'static str| -> Vec<Asked> {
        vec![
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("GET", "/rooms?state=free", [(12, 18); 2], [full, left]),
            ("GET", target, [(50, 60); 2], [later; 2]),
        ]
    };
    let expect = |one| [Matched, one, Matched];
    check_one_way(&none, &read(left, "/rooms?state=free"), &expect(Ignored));
    check_one_way(&none, &read(full, "/rooms?state=free"), &expect(Mismatched));
    check_one_way(&none, &read(left, "/rooms?state=sold"), &expect(Mismatched));
}

#[test]
fn what_is_excused_is_counted_apart() {
    let none = Rules::default();
    let story = story(
        &none,
        &[
            ("GET", "/rooms", [(0, 1); 2], [BEFORE; 2]),
            ("PATCH", "/rooms/r-1", [(10, 20); 2], [OK; 2]),
            ("GET", "/rooms", [(12, 18); 2], [BEFORE, AFTER]),
            ("GET", "/rooms", [(50, 60); 2], [AFTER; 2]),
        ],
    );
    let report = |spans| {
        judge_timed(
            &story.plan,
            [&story.legacy, &story.candidate],
            None,
            spans,
            &none,
            &Gate::default(),
        )
    };
    let timed = report(Some(story.spans.each_ref()));
    assert_eq!(
        (
            timed.pairs.matched,
            timed.pairs.ignored,
            timed.overlapping_reads
        ),
        (3, 1, 1)
    );
    assert!(
        timed
            .notes
            .iter()
            .any(|note| note.contains("1 of the ignored pairs are reads"))
    );
    assert!(timed.json().contains("\"overlapping_reads\": 1"));
    assert!(timed.clusters.is_empty());
    let blind = report(None);
    assert_eq!((blind.pairs.ignored, blind.pairs.mismatched), (0, 1));
    assert!(!blind.json().contains("overlapping_reads"));
}
