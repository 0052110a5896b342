//! Power cuts at the operations of the shipped flows: they are survived, there are enough of them, and a commit that is not synced is found.

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use rehearsal_sim::{
    appointments::{Appointments, Tables},
    child::{self, Pool},
    disk::{Loss, Operation},
    engine::Engine,
    enumerate::{self, Cut, Flow, Survey},
    plan::Plan,
    run,
    scenario::Scenario,
    verdict::{Record, Verdict},
};

const LIMIT: Duration = Duration::from_mins(2);
const FLOWS: [&str; 3] = [
    "happy_path",
    "retry_and_compensation",
    "cancel_and_idempotency",
];
const LOSSES: [Loss; 3] = [Loss::Everything, Loss::Subset, Loss::Torn { sector: 512 }];

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/enumerate");
    std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("a shipped flow")
}

fn plan(text: &str) -> Plan<Appointments> {
    let file = PathBuf::from("flow.toml");
    let scenario =
        Scenario::<Tables>::parse(&file, text).unwrap_or_else(|refused| panic!("{refused}"));
    Plan::draw(&file, &scenario, 1).expect("it can be drawn")
}

fn survey(plan: &Plan<Appointments>) -> Survey {
    let bytes = child::run(LIMIT, || enumerate::survey(plan)).expect("it runs");
    enumerate::read_survey(&bytes).expect("it ends")
}

/// The flow with each `stride`-th of its points cut, under each of `losses`; and the first plan that shows something.
fn flow(
    plan: &Plan<Appointments>,
    losses: &[Loss],
    stride: usize,
) -> (Flow, Option<Plan<Appointments>>) {
    let survey = survey(plan);
    let points = survey.points().into_iter().step_by(stride);
    let cuts: Vec<Cut> = points
        .flat_map(|point| {
            let at = move |loss: &Loss| Cut {
                point: point.clone(),
                loss: *loss,
            };
            losses.iter().map(at)
        })
        .collect();
    let mut flow = Flow::new(&survey);
    let mut first = None;
    let bodies = cuts.iter().map(|cut| {
        let plan = enumerate::cut(plan, &cut.point, cut.loss);
        move || run::body(&plan, Engine::Pipes, false)
    });
    let two = NonZeroUsize::new(2).expect("two");
    Pool::new(two, LIMIT).run_in_order(bodies, |position, result| {
        let bytes = result.expect("the process ends well");
        let record = run::read(&bytes).expect("it comes to a verdict").record;
        let cut = &cuts[position];
        if flow.take(cut, Ok(&record)).is_some() {
            first.get_or_insert_with(|| enumerate::cut(plan, &cut.point, cut.loss));
        }
        ControlFlow::Continue(())
    });
    flow.close((cuts.len() / losses.len()) as u64);
    (flow, first)
}

#[test]
fn the_flows_have_enough_points_and_keep_their_promises_uncut() {
    let mut points = 0;
    for name in FLOWS {
        let survey = survey(&plan(&text(name)));
        assert_eq!(survey.record.verdict, Verdict::Pass, "{:#?}", survey.record);
        let all = survey.points();
        assert!(all.iter().all(|point| point.host == "service"));
        let syncs = all
            .iter()
            .filter(|point| point.operation == Operation::Sync);
        assert!(syncs.count() > 10, "{name}");
        points += all.len();
    }
    assert!(points >= 500, "{points} points");
}

#[test]
fn a_cut_anywhere_is_survived() {
    for name in FLOWS {
        let (flow, _) = flow(&plan(&text(name)), &LOSSES, 17);
        assert_eq!(flow.verdict, Verdict::Pass, "{flow:#?}");
        assert!(flow.tally.points >= 8);
        assert_eq!(flow.tally.passed, 3 * flow.tally.points);
    }
}

#[test]
fn a_commit_that_is_not_synced_is_found_and_its_plan_shows_it_again() {
    let planted = text("happy_path").replace(
        "[workload]",
        "[planted]\ndefect = \"synchronous-normal\"\n\n[workload]",
    );
    let (flow, first) = flow(&plan(&planted), &LOSSES[..1], 9);
    assert_eq!(flow.uncut, Verdict::Pass, "it shows only without power");
    assert_eq!(flow.verdict, Verdict::Fail);
    let found = &flow.found[0];
    assert_eq!(found.oracle, "no_acknowledged_request_lost", "{flow:#?}");
    let saved = first.expect("a plan of the first").to_toml();
    let again = Plan::<Appointments>::parse(Path::new("saved.toml"), &saved)
        .unwrap_or_else(|refused| panic!("{refused}"));
    let record = run::in_child(&again, Engine::Pipes, LIMIT, false)
        .expect("it comes to a verdict")
        .record;
    assert_eq!(record.verdict, Verdict::Fail);
    assert_eq!(record.faults[0].kind, "power_loss");
}

#[test]
fn a_cut_that_never_comes_is_no_pass() {
    let plan = plan(&text("happy_path"));
    let mut point = survey(&plan).points().pop().expect("a last operation");
    point.index = 1_000_000;
    let cut = enumerate::cut(&plan, &point, Loss::Everything);
    let record: Record = run::in_child(&cut, Engine::Pipes, LIMIT, false)
        .expect("it comes to a verdict")
        .record;
    assert_eq!(enumerate::judge(&record), Verdict::Inconclusive);
    assert_eq!(record.verdict, Verdict::Inconclusive);
}

/// The disk's faults as the shipped scenario has them, and as others have them.
fn faulty(faults: &str) -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/faults/disk.toml");
    let shipped = std::fs::read_to_string(path).expect("the shipped scenario");
    let start = shipped.find("[[faults]]").expect("its faults");
    let end = shipped.find("[slo]").expect("its promises");
    let text = if faults.is_empty() {
        shipped
    } else {
        format!("{}{faults}\n{}", &shipped[..start], &shipped[end..])
    };
    run::in_child(&plan(&text), Engine::Pipes, LIMIT, false)
        .expect("it comes to a verdict")
        .record
}

#[test]
fn a_failing_disk_costs_nothing_that_was_acknowledged() {
    let record = faulty("");
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    for (fault, effect) in record.faults.iter().zip([
        "syncs_failed",
        "operations_failed",
        "writes_refused",
        "stalled_ms",
        "processes_killed",
    ]) {
        assert!(fault.effect[effect] > 0, "{fault:?}");
    }
}

#[test]
fn a_stall_is_waited_for_before_the_answer() {
    let stall = |each_ms: u64| {
        format!(
            "[[faults]]\nkind = \"stall\"\ntarget = \"*\"\nat_s = 0.5\nfor_s = 6\neach_ms = {each_ms}\n"
        )
    };
    let p95 = |record: &Record| record.summary["latency_ms"]["api"]["p95"].as_f64();
    let (slow, slower) = (faulty(&stall(1)), faulty(&stall(4)));
    assert!(
        p95(&slow) < p95(&slower),
        "{:?}, {:?}",
        p95(&slow),
        p95(&slower)
    );
    assert!(p95(&slower) > Some(40.0), "a commit is ten writes and more");
}

#[test]
fn rot_is_detected_once_it_is_read() {
    let rot = "[[faults]]\nkind = \"bit_rot\"\ntarget = \"*\"\nat_s = 3\nfor_s = 3\nbits = 200\n";
    let unread = faulty(rot);
    assert_eq!(unread.faults[0].effect["flipped_bits_read"], 0);
    assert_eq!(unread.verdict, Verdict::Inconclusive, "it sits in a cache");
    let kill = "[[faults]]\nkind = \"kill\"\ntarget = \"service\"\nat_s = 3.5\ndown_s = 0.2\n";
    let read = faulty(&format!("{rot}\n{kill}"));
    assert!(read.faults[0].effect["flipped_bits_read"] > 0);
    assert_eq!(read.verdict, Verdict::Fail, "the only copy is gone");
}
