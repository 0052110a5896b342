//! One virtual hour of 1,000 appointments on six hosts; full appointments without idle time; the same span on turmoil, and the ratio; seeds
//! of the swarm a second.
//!
//! Every run includes its forked process, its disk, its oracles and its digest: what a user waits for.

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group};
use rehearsal_sim::{
    appointments::Appointments,
    child::Pool,
    engine::Engine,
    plan::{Plan, Source},
    run,
    verdict::Verdict,
};

#[global_allocator]
static ALLOCATOR: rehearsal_sim::interpose::Heap = rehearsal_sim::interpose::Heap;

const LIMIT: Duration = Duration::from_mins(10);

fn plan(file: &str) -> Plan<Appointments> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios/bench")
        .join(file);
    let source = Source::<Appointments>::load(&file).expect("a scenario of this repository");
    source.plan(&file, 1).expect("it can be drawn")
}

fn pass(plan: &Plan<Appointments>, engine: Engine) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let start = Instant::now();
    let outcome = run::in_child(plan, engine, LIMIT, false).expect("it comes to a verdict");
    let took = start.elapsed();
    assert_eq!(
        outcome.record.verdict,
        Verdict::Pass,
        "{:#?}",
        outcome.record
    );
    took
}

fn median(plan: &Plan<Appointments>, engine: Engine, runs: usize) -> f64 {
    let mut times: Vec<f64> = (0..runs)
        .map(|_| pass(plan, engine).as_secs_f64())
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("appointments");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    let hour = plan("hour.toml");
    group.bench_function("virtual hour, 1,000 appointments, six hosts", |bencher| {
        bencher.iter(|| pass(&hour, Engine::Pipes));
    });
    let busy = plan("busy.toml");
    group.throughput(Throughput::Elements(busy.steps.len() as u64));
    group.bench_function("no idle time", |bencher| {
        bencher.iter(|| pass(&busy, Engine::Pipes));
    });
    group.finish();
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn ratio() {
    let span = plan("ten_minutes.toml");
    let (ours, turmoil) = (
        median(&span, Engine::Pipes, 5),
        median(&span, Engine::Turmoil, 3),
    );
    println!("ten virtual minutes of the hour's traffic, six hosts, medians of 5 and 3 runs:");
    println!("  pipes    {ours:9.4} s");
    println!("  turmoil  {turmoil:9.4} s   ratio {:.0}", turmoil / ours);
}

/// Seeds of the swarm that are run, each planned, simulated and judged in a process of its own.
const SEEDS: u64 = 200;

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn swarm() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/swarm.toml");
    let source = Source::<Appointments>::load(&file).expect("a scenario of this repository");
    let jobs = NonZeroUsize::new(2).expect("it is not zero");
    let mut rates: Vec<f64> = (0..3)
        .map(|_| {
            let bodies = (0..SEEDS).map(|seed| {
                let (source, file) = (&source, &file);
                move || {
                    let plan = source.plan(file, seed).expect("it can be drawn");
                    run::body(&plan, Engine::Pipes, false)
                }
            });
            #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
            let start = Instant::now();
            Pool::new(jobs, LIMIT).run(bodies, |seed, ended| {
                let outcome = run::read(&ended.expect("it comes to an end"));
                let verdict = outcome.expect("it comes to a verdict").record.verdict;
                assert_ne!(verdict, Verdict::Fail, "seed {seed}");
                ControlFlow::Continue(())
            });
            SEEDS as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "the swarm, 200 requests a seed, a process each, two at once, {SEEDS} seeds, median of 3 runs:"
    );
    println!(
        "  {:.1} seeds/s ({:.1} to {:.1})",
        rates[1], rates[0], rates[2]
    );
}

criterion_group!(benches, bench);

fn main() {
    benches();
    ratio();
    swarm();
    Criterion::default().configure_from_args().final_summary();
}
