//! A question that is decided before the capture is at its end: what is still sent, what is read, and what counts.

use std::{sync::Arc, time::Duration};

use rehearsal_replay::{
    deciding::Deciding,
    judge::judge,
    plan::{Pace, plan},
    rules::{Rules, Side},
    run::{
        Brief, Entry, Horizon, Journal, Observations, Outcome, Recorder, Run, SkipReason, Target,
    },
    sequential::Finding,
    verdict::{Gate, GateKind, Proof},
};

use crate::{
    reports::{answer, observations},
    resumed::Kept,
    server::{captured, on_this_machine, options, planned, reads, rules, service},
};

#[test]
fn what_is_decided_ends_the_sending_however_far_away_the_next_request_is() {
    on_this_machine(|host| async move {
        let rules = rules(
            "[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/things/{id}\"\ncandidate = \"/things/{id}\"",
        );
        let posts = (0..60).map(|at| {
            (
                "POST",
                "/things".to_owned(),
                format!("{{\"id\":\"t-{at}\"}}"),
            )
        });
        let mut capture = captured(posts);
        for exchange in &mut capture.exchanges[40..] {
            exchange.ts_ns += 3_600_000_000_000;
        }
        let plan = plan(capture, &rules, Pace::Recorded);
        let horizon = Arc::new(Horizon::default());
        let closing = horizon.clone();
        let url = service(&host, usize::MAX, move |_, _, body| {
            if body.ends_with(b"\"t-20\"}") {
                closing.close();
            }
            (200, "text/plain", "ok".to_owned())
        })
        .await;
        let (target, mut options) = (Target::new(Side::Legacy, url), options());
        options.in_flight = 4;
        let run = Run {
            host: &host,
            target: &target,
            plan: &plan,
            rules: &rules,
            options: &options,
            horizon: Some(&horizon),
        };
        let journal = Journal {
            known: Vec::new(),
            recorder: &mut (),
        };
        let observed = run.observe(journal, std::future::pending(), |_| ());
        let seen = tokio::time::timeout(Duration::from_mins(1), observed)
            .await
            .expect("nobody waits for the hour");
        let end = horizon.end().expect("it is closed");
        assert!((21..=40).contains(&end), "{end}");
        for (at, brief) in seen.outcomes.briefs().enumerate() {
            let expect = if at < end {
                Brief::Answered(200)
            } else {
                Brief::Skipped(SkipReason::Decided)
            };
            assert_eq!((brief, seen.state.brief(at)), (expect, expect), "{at}");
        }
        assert!(seen.accounting().balances());
    });
}

/// What a side that answers `name` saw of a plan whose last requests were not sent.
fn until(end: usize, side: Side, plan: &rehearsal_replay::plan::Plan) -> Observations {
    let skipped = Outcome::Skipped(SkipReason::Decided);
    let outcome = |at: usize| {
        if at < end {
            answer(200, format!("{{\"name\":\"thing {at}\"}}"))
        } else {
            skipped.clone()
        }
    };
    observations(side, plan, outcome, |_| unreachable!("no state is read"))
}

#[test]
fn what_was_decided_before_its_turn_is_no_gap_in_the_coverage() {
    let none = Rules::default();
    let plan = planned(reads(6_000), &none);
    let gate = Gate {
        kind: GateKind::Proven,
        proof: Proof::Stream,
        ..Gate::default()
    };
    let (legacy, candidate) = (
        until(4_800, Side::Legacy, &plan),
        until(4_800, Side::Candidate, &plan),
    );
    let report = judge(&plan, &legacy, &candidate, None, &none, &gate);
    assert_eq!(report.verdict.name(), "pass", "{:?}", report.reasons);
    assert_eq!(report.accounting.pairs.skipped, 1_200);
    assert!(!report.stopped);
    let told = report
        .notes
        .iter()
        .any(|note| note.ends_with(": 1200 requests were not sent"));
    assert!(told, "{:?}", report.notes);
    let stopped = until(4_700, Side::Candidate, &plan);
    let report = judge(&plan, &legacy, &stopped, None, &none, &gate);
    assert_eq!(
        report.verdict.name(),
        "inconclusive",
        "one side alone is a gap"
    );
}

#[test]
fn pairs_are_looked_at_in_the_plans_order_when_both_sides_have_them() {
    let none = Rules::default();
    let plan = planned(reads(500), &none);
    let mut kept = Kept::default();
    let mut recorded =
        |at, body: &str| kept.record(&Entry::untimed(at, answer(200, body.to_owned())));
    let legacy: Vec<_> = (0..500).map(|at| recorded(at, "{}")).collect();
    let wrong: Vec<_> = (0..500).map(|at| recorded(at, "[]")).collect();
    let archive = kept.archive().expect("an archive");
    let decide = |candidate: &[_], order: &mut dyn Iterator<Item = usize>| {
        let mut deciding = Deciding::new(&plan, &none, 0.05, archive.clone());
        for (at, place) in legacy.iter().enumerate() {
            deciding.tell(Side::Legacy, at, *place);
        }
        for at in order {
            assert_eq!(deciding.decided(), None, "before {at}");
            deciding.tell(Side::Candidate, at, candidate[at]);
        }
        deciding.decided()
    };
    let clean = decide(&legacy, &mut (0..500).rev()).expect("it is decided");
    assert_eq!((clean.finding, clean.mismatches), (Finding::Below, 0));
    assert!(clean.after < 200, "{clean:?}");
    let bad = decide(&wrong, &mut (0..500).rev()).expect("it is decided");
    assert_eq!((bad.finding, bad.after), (Finding::Above, bad.mismatches));
    assert_eq!(
        decide(&legacy, &mut (1..500).rev()),
        None,
        "the first is open"
    );
    let skipped = vec![None; 500];
    assert_eq!(decide(&skipped, &mut (0..500)), None, "nothing is compared");
}
