//! Why: the moment at which a failure was decided; and what a fork of a plan's chance changes.

use std::{num::NonZeroUsize, time::Duration};

use rehearsal_sim::{
    chance::Fork,
    engine::Engine,
    plan::Plan,
    run,
    shrink::{Refusal, Terms, Wanted},
    verdict::Verdict,
    why::{self, Curve, Question},
};

use crate::second_system::{Counter, plan};

const LIMIT: Duration = Duration::from_mins(1);

fn terms() -> Terms {
    Terms {
        engine: Engine::Pipes,
        jobs: NonZeroUsize::new(2).expect("not zero"),
        limit: LIMIT,
    }
}

/// One boot in eight forgets everything; in this plan it does, at its second boot, at 0.3 s.
fn unlucky() -> Plan<Counter> {
    let crash = "[[faults]]\nkind = \"crash\"\ntarget = \"counter\"\nat_s = 0.2\ndown_s = 0.1\n";
    let mut plan = plan("adds = 60\nforgets_when_unlucky = true", crash);
    for seed in 0..100 {
        plan.seed = seed;
        let outcome = run::in_child(&plan, Engine::Pipes, LIMIT, false).expect("a verdict");
        if outcome.record.verdict == Verdict::Fail {
            return plan;
        }
    }
    panic!("none of 100 seeds was unlucky");
}

fn ask(plan: &Plan<Counter>, samples: usize) -> Result<Option<Curve>, Refusal> {
    let question = Question {
        moments: NonZeroUsize::new(20).expect("not zero"),
        samples: NonZeroUsize::new(samples).expect("not zero"),
    };
    why::ask(
        plan,
        &Wanted::default(),
        question,
        terms(),
        &|_, _| true,
        &|| {},
    )
}

#[test]
fn the_share_jumps_where_chance_decided() {
    let plan = unlucky();
    let curve = ask(&plan, 8).expect("it fails").expect("to its end");
    assert_eq!(curve.points.len(), 20);
    assert!(curve.points.is_sorted_by_key(|point| point.at_ms));
    for point in &curve.points {
        if point.at_ms < 300 {
            assert!(point.share < 0.7, "{point:?}");
        }
        if point.at_ms > 301 {
            assert!((point.share - 1.0).abs() < 1e-9, "{point:?}");
        }
    }
    let rise = curve.rise.as_ref().expect("it rises");
    assert!(
        (250..=300).contains(&rise.from_ms) && (300..=302).contains(&rise.to_ms),
        "{rise:?}"
    );
    assert!(
        rise.entries
            .iter()
            .any(|entry| entry.contains("counter: is up again (boot 2)")),
        "{rise:?}"
    );
    assert_eq!(curve.certain_from_ms, Some(rise.to_ms));
}

#[test]
fn a_fork_changes_nothing_before_its_moment() {
    let lines = |fork| {
        let plan = Plan { fork, ..unlucky() };
        let outcome = run::in_child(&plan, Engine::Pipes, LIMIT, true).expect("a verdict");
        outcome.trace.expect("it was asked for")
    };
    let plain = lines(None);
    let at = |at_ms| lines(Some(Fork { at_ms, seed: 5 }));
    let forked = at(150);
    assert_ne!(forked, plain);
    assert_eq!(at(150), forked, "a fork is a function of the plan, too");
    let before = |text: &str| -> Vec<String> {
        let time = |line: &str| -> Option<u64> {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            value["at_us"].as_u64()
        };
        text.lines()
            .filter(|line| time(line).is_some_and(|at_us| at_us < 150_000))
            .map(str::to_owned)
            .collect()
    };
    assert!(before(&plain).len() > 10);
    assert_eq!(before(&forked), before(&plain));
    assert_eq!(at(3_600_000), plain, "after the run's end");
}

#[test]
fn other_engines_refuse_a_fork() {
    let fork = Some(Fork { at_ms: 1, seed: 5 });
    let plan = Plan {
        fork,
        ..plan("adds = 2", "")
    };
    for engine in [Engine::Turmoil, Engine::Loopback] {
        let error = run::in_child(&plan, engine, LIMIT, false).expect_err("refused");
        assert!(error.to_string().contains("fork"), "{error}");
    }
}
