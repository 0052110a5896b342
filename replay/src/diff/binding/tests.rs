//! Pairings that hold, those that are broken, and which of two is the right one.

use super::*;

fn spot(seq: u64, method: &'static str, endpoint: &'static str) -> Spot<'static> {
    Spot {
        seq,
        endpoint,
        subject: Subject::Request { method, path: "/" },
    }
}

#[test]
fn at_once_a_value_has_one_partner() {
    let mut bindings = Bindings::default();
    let (ids, tokens) = (bindings.kind("id"), bindings.kind("token"));
    let here = spot(0, "GET", "GET /");
    let mut pair = |kind, a: &str, b: &str| bindings.pair(kind, a, b, &here, "", false);
    assert_eq!(pair(ids, "old-1", "new-1"), Paired::Partners);
    assert_eq!(pair(ids, "old-2", "new-2"), Paired::Partners);
    assert_eq!(pair(ids, "old-1", "new-1"), Paired::Partners);
    assert_eq!(pair(ids, "old-1", "new-2"), Paired::Violated);
    assert_eq!(pair(ids, "old-3", "new-1"), Paired::Violated);
    assert_eq!(
        pair(tokens, "old-1", "new-2"),
        Paired::Partners,
        "each kind for itself"
    );
    bindings.freeze();
    assert_eq!(
        bindings.pair(ids, "old-4", "new-4", &here, "", false),
        Paired::Partners
    );
    assert_eq!(
        bindings.pair(ids, "old-4", "new-5", &here, "", false),
        Paired::Partners,
        "nothing is added"
    );
    assert_eq!(bindings.partner("old-2"), Some("new-2"));
    assert!(bindings.are_partners("old-1", "new-1") && !bindings.are_partners("old-1", "new-9"));
}

/// Casts votes, settles, and shows what was violated: `legacy|candidate pairs`.
fn check(sightings: &[(&'static str, &'static str, &str, &str)], expect: &[&str]) {
    let mut bindings = Bindings::default();
    let kind = bindings.kind("id");
    bindings.vote();
    for (seq, (method, endpoint, a, b)) in (0..).zip(sightings) {
        bindings.pair(kind, a, b, &spot(seq, method, endpoint), "/id", false);
    }
    let mut shown: Vec<String> = bindings
        .settle()
        .iter()
        .map(|one| format!("{}|{} {}", one.legacy, one.candidate, one.pairs))
        .collect();
    shown.sort();
    assert_eq!(shown, expect, "{sightings:?}");
}

#[test]
fn evidence_decides_and_not_the_order() {
    let get = |a, b| ("GET", "read", a, b);
    let post = |a, b| ("POST", "create", a, b);
    check(
        &[post("a", "x"), post("b", "y"), get("a", "x"), get("b", "y")],
        &[],
    );
    // One early answer is wrong: it is the one to blame, not the many later ones.
    check(
        &[
            get("a", "y"),
            get("a", "x"),
            get("a", "x"),
            get("b", "y"),
            get("b", "y"),
        ],
        &["a|y 1"],
    );
    check(
        &[
            get("a", "x"),
            get("a", "x"),
            get("b", "y"),
            get("b", "y"),
            get("a", "y"),
        ],
        &["a|y 1"],
    );
    // Reads that always name another's: what the creation said stands.
    check(
        &[
            post("a", "x"),
            post("b", "y"),
            get("a", "y"),
            get("a", "y"),
            get("b", "x"),
            get("b", "x"),
        ],
        &["a|y 2", "b|x 2"],
    );
    // Unless more than one kind of read agrees against it.
    check(
        &[
            post("a", "y"),
            get("a", "x"),
            ("GET", "list", "a", "x"),
            get("b", "y"),
            ("GET", "list", "b", "y"),
        ],
        &["a|y 1"],
    );
}

#[test]
fn two_to_one_is_found_in_both_directions() {
    let post = |a, b| ("POST", "create", a, b);
    check(&[post("a", "x"), post("b", "x")], &["b|x 1"]);
    check(&[post("a", "x"), post("a", "y")], &["a|y 1"]);
    check(&[post("a", "a"), post("b", "a")], &["b|a 1"]);
}

#[test]
fn a_conflict_names_both_witnesses() {
    let mut bindings = Bindings::default();
    let kind = bindings.kind("id");
    bindings.vote();
    for (seq, a, b) in [(3, "a", "x"), (5, "b", "y"), (7, "a", "y"), (7, "a", "y")] {
        bindings.pair(kind, a, b, &spot(seq, "GET", "read"), "/id", false);
    }
    let conflicts = bindings.settle();
    assert_eq!(conflicts.len(), 1);
    let conflict = &conflicts[0];
    assert_eq!(
        (conflict.witness.seq, conflict.pairs),
        (7, 1),
        "once a pair"
    );
    let rivals: Vec<u64> = conflict
        .against
        .iter()
        .map(|rival| rival.witness.seq)
        .collect();
    assert_eq!(rivals, [3, 5]);
    assert_eq!(
        conflict.to_string(),
        "id: legacy \"a\" stands beside \"y\" in request 7 (read /id), but \"a\" beside \"x\" in request 3 (read /id), and \"b\" beside \"y\" in request 5 (read /id)"
    );
}

#[test]
fn what_is_forgiven_has_no_vote() {
    let mut bindings = Bindings::default();
    let kind = bindings.kind("id");
    bindings.vote();
    let read = spot(0, "GET", "read");
    for excused in [true, true, true] {
        bindings.pair(kind, "second", "x", &read, "/id", excused);
    }
    bindings.pair(kind, "first", "x", &read, "/id", false);
    assert_eq!(bindings.settle(), []);
    assert!(bindings.are_partners("first", "x"));
    assert!(bindings.is_renamed("first") && !bindings.is_renamed("second"));
}
