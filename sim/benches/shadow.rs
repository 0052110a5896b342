//! Pairs a second of a replay in virtual time: the sample hour, half of whose requests are bookings, and its reads alone, from the plan to the
//! judgment. The baseline is the same with one side after the other, so on one core.
//!
//! Every round includes the forked processes, the packing of what they saw, and the judgment: what a user waits for after the capture is read.

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rehearsal_replay::{
    capture::{self, Capture},
    judge::judge,
    plan::{self, Pace, Plan},
    rules::{Rules, Side},
    run::{Observations, Options, Progress},
    verdict::Gate,
};
use rehearsal_sim::{
    appointments::shadow::{self, Simulated},
    child::{self, Pool},
    run,
    system::Storage,
};

#[global_allocator]
static ALLOCATOR: rehearsal_sim::interpose::Heap = rehearsal_sim::interpose::Heap;

const RULES: &str = include_str!("../../scenarios/rules/legacy-to-v2.toml");
const LIMIT: Duration = Duration::from_mins(10);
const SEED: u64 = 1;
const ROUNDS: usize = 5;

fn sample() -> Capture {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/captures/legacy-hour.jsonl.gz");
    capture::load_all(&[file], &capture::Options::default()).expect("a capture of this repository")
}

/// Seconds of one replay with so many sides at once.
fn replayed(plan: &Arc<Plan>, rules: &Arc<Rules>, at_once: usize) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let start = Instant::now();
    let bodies = [Side::Legacy, Side::Candidate].map(|side| {
        move || {
            let storage = Storage::Simulated(run::enter(SEED));
            let simulated = Simulated { side, defect: None };
            let quiet: Arc<Mutex<dyn FnMut(Progress) + Send>> =
                Arc::new(Mutex::new(|_: Progress| ()));
            let options = Options::default();
            shadow::observe(plan, rules, options, simulated, SEED, &storage, &quiet)
                .expect("it comes to its end")
        }
    });
    let mut sides = Vec::new();
    let at_once = NonZeroUsize::new(at_once).expect("one or two");
    Pool::new(at_once, LIMIT).run_in_order(bodies, |_, packed| {
        let packed = packed.expect("it comes to its end");
        sides.push(Observations::unpacked(packed).expect("it is whole"));
        ControlFlow::Continue(())
    });
    let gate = Gate::default();
    let report = judge(plan, &sides[0], &sides[1], None, rules, &gate);
    let took = start.elapsed().as_secs_f64();
    assert!(report.clusters.is_empty(), "{:#?}", report.clusters);
    took
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
fn main() {
    let whole = sample();
    let mut reads = whole.clone();
    reads
        .exchanges
        .retain(|exchange| exchange.request.method == "GET");
    let rules = Arc::new(Rules::read("legacy-to-v2.toml", RULES).expect("the shipped rules"));
    child::expect_long_runs();
    println!("| capture | pairs | both sides at once | one after the other | ratio |");
    println!("|---|---|---|---|---|");
    for (name, capture) in [("the sample hour", whole), ("its reads", reads)] {
        let plan = Arc::new(plan::plan(capture, &rules, Pace::Recorded));
        let pairs = plan.requests.len();
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| (replayed(&plan, &rules, 2), replayed(&plan, &rules, 1)))
            .collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (both, each) = rounds[ROUNDS / 2];
        let rate = |seconds: f64| pairs as f64 / seconds;
        println!(
            "| {name} | {pairs} | {:.0} pairs/s | {:.0} pairs/s | {:.2} |",
            rate(both),
            rate(each),
            each / both
        );
    }
}
