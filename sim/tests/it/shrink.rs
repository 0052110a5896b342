//! Shrinking whole runs: what is needed stays, what is not goes, and what cannot be shrunk is refused.

use std::{cell::Cell, num::NonZeroUsize, path::Path, time::Duration};

use rehearsal_sim::{
    appointments::{Appointments, Tables},
    engine::Engine,
    fault::Kind,
    plan::Plan,
    run,
    scenario::Scenario,
    shrink::{self, Refusal, Shrunk, Terms, Wanted, Watcher},
    system::System,
    verdict::Verdict,
};

use crate::second_system::{CRASH, Counter, INERT, plan};

const LIMIT: Duration = Duration::from_mins(1);

fn terms(jobs: usize) -> Terms {
    Terms {
        engine: Engine::Pipes,
        jobs: NonZeroUsize::new(jobs).expect("not zero"),
        limit: LIMIT,
    }
}

fn shrunk<S: System>(plan: &Plan<S>, wanted: &Wanted, jobs: usize) -> Result<Shrunk<S>, Refusal> {
    let watcher = Watcher {
        going: &|_, _| true,
        entered: &|| {},
    };
    shrink::shrink(plan, wanted, terms(jobs), &watcher)
}

fn by(oracle: &str) -> Wanted {
    Wanted {
        oracle: Some(oracle.to_owned()),
        fingerprint: None,
    }
}

fn forgetful() -> Plan<Counter> {
    plan(
        "adds = 40\nforgets_every_third = true\n[slo]\nacknowledged = \"== 40\"",
        &format!("{CRASH}{INERT}"),
    )
}

#[test]
fn a_planted_defect_shrinks_to_one_operation_and_no_fault_whatever_runs_at_once() {
    let small = shrunk(&forgetful(), &Wanted::default(), 2).expect("it fails");
    assert_eq!((small.before.faults, small.before.operations), (2, 40));
    assert_eq!((small.after.faults, small.after.operations), (0, 1));
    assert!(small.complete);
    assert_eq!(small.plan.steps[0].operation % 3, 0);
    assert_eq!(small.plan.slo.len(), 0, "it is not what failed");
    assert_eq!(small.finding.oracle, "nothing_acknowledged_is_lost");
    let text = small.to_toml("a test");
    let read = Plan::<Counter>::parse(Path::new("small.toml"), &text).expect("a plan");
    let found = read.found.as_ref().expect("it says what it found");
    assert_eq!(found.fingerprint, small.finding.fingerprint);
    let again = run::in_child(&read, Engine::Pipes, LIMIT, false).expect("a verdict");
    assert_eq!(again.record.digest, small.digest);
    let alone = shrunk(&forgetful(), &Wanted::default(), 1).expect("it fails");
    assert_eq!(alone.to_toml("a test"), text);
}

#[test]
fn a_needed_fault_stays_and_an_inert_one_goes() {
    let counter = "adds = 20\nforgets_when_unlucky = true";
    let unlucky = (0..100).find_map(|seed| {
        let plan = Plan {
            seed,
            ..plan(counter, &format!("{INERT}{CRASH}"))
        };
        let small = shrunk(&plan, &Wanted::default(), 2).ok()?;
        Some(small)
    });
    let small = unlucky.expect("one of 100 seeds is unlucky");
    assert_eq!((small.before.faults, small.after.faults), (2, 1));
    assert!(matches!(small.plan.faults[0].kind, Kind::Crash { .. }));
    assert_eq!(small.after.operations, 1, "something has to be lost");
}

#[test]
fn what_failed_stays_and_nothing_is_tried_twice() {
    let plan = plan("adds = 16\n[slo]\nacknowledged = \"< 3\"", CRASH);
    let small = shrunk(&plan, &by("slo.acknowledged"), 2).expect("it fails");
    assert_eq!((small.after.faults, small.after.operations), (0, 3));
    assert_eq!(small.plan.slo.len(), 1);
    assert!(
        small.tally.known > 0,
        "nothing was spared: {:?}",
        small.tally
    );
}

#[test]
fn what_does_not_fail_in_that_way_is_refused() {
    let fine = plan("adds = 5", CRASH);
    let refusal = shrunk(&fine, &Wanted::default(), 1).expect_err("it passes");
    assert!(
        matches!(
            &refusal,
            Refusal::DoesNotFail {
                verdict: Verdict::Pass,
                ..
            }
        ),
        "{refusal}"
    );
    let refusal = shrunk(&forgetful(), &by("another_one"), 1).expect_err("by another oracle");
    let text = refusal.to_string();
    assert!(
        text.contains("by oracle another_one") && text.contains("nothing_acknowledged_is_lost ("),
        "{text}"
    );
}

#[test]
fn breaking_off_leaves_a_plan_that_fails() {
    let left = Cell::new(6);
    let watcher = Watcher {
        going: &|_, _| {
            left.set(left.get() - 1);
            left.get() > 0
        },
        entered: &|| {},
    };
    let small =
        shrink::shrink(&forgetful(), &Wanted::default(), terms(1), &watcher).expect("it fails");
    assert!(!small.complete);
    assert!(
        small.after.operations < 40 || small.after.faults < 2,
        "{:?}",
        small.after
    );
    let record = run::in_child(&small.plan, Engine::Pipes, LIMIT, false)
        .expect("a verdict")
        .record;
    assert_eq!(record.verdict, Verdict::Fail);
}

/// The appointment service with a horizon shorter than its provider's answers, which books twice.
const UNSAFE: &str = "
format = \"rehearsal.scenario/1\"
name = \"unsafe\"
question = \"Does a short horizon book twice?\"
[topology]
layout = \"cluster\"
workers = 2
clients = 2
[workload]
requests = 12
duplicates = 0.3
reads = 0.5
[providers.acme]
latency = { uniform_ms = [50, 4000] }
idempotent = false
[providers.zeta]
errors = [{ status = 503, rate = 0.3 }]
[service]
attempt_timeout_ms = 400
in_flight_horizon_ms = 400
lease_ms = 3000
[[faults]]
kind = \"kill\"
target = \"worker-2\"
at_s = 0.5
down_s = 1
[[faults]]
kind = \"hold\"
target = \"api-1\"
at_s = 1
for_s = 0.3
";

#[test]
fn a_double_booking_shrinks_to_a_few_requests_in_a_simple_world() {
    let file = Path::new("unsafe.toml");
    let scenario = Scenario::<Tables>::parse(file, UNSAFE).unwrap_or_else(|bad| panic!("{bad}"));
    let small = (0..20).find_map(|seed| {
        let plan = Plan::<Appointments>::draw(file, &scenario, seed).expect("a plan");
        shrunk(&plan, &by("no_duplicate_confirmation"), 2).ok()
    });
    let small = small.expect("one of 20 seeds fails");
    assert!(
        small.after.faults <= 3 && small.after.operations <= 10,
        "{:?}",
        small.after
    );
    assert_eq!(small.after.operations, 1, "one appointment is booked twice");
    let system = &small.plan.system;
    assert_eq!(system.providers.len(), 1, "nobody needs zeta");
    assert_eq!((system.topology.workers, system.topology.clients), (1, 1));
    assert!(!system.providers["acme"].idempotent, "this is the cause");
}
