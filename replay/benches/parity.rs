//! How fast two stores are compared: a million rows against a million, one of them changed.
//!
//! Each side's digests are made on a thread of its own, as the command does; rows come from memory, so no disk is measured.

use std::{hint::black_box, thread, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rehearsal_replay::{
    parity::{Columns, Detail, Key, Table, join},
    rules::{Rules, Side},
};

const RULES: &str = include_str!("../../scenarios/rules/legacy-to-v2.toml");
const ROWS: u32 = 1_000_000;
const CHANGED: u32 = 654_321;

fn legacy(number: u32) -> Vec<u8> {
    format!("{{\"id\":\"a-{number}\",\"request_id\":\"r-{number}\",\"state\":\"confirmed\",\"provider\":\"acme\",\"time\":\"2030-01-31T09:30:00+00:00\",\"patient_name\":\"Patient {number}\",\"reference\":\"bk-{number}\",\"attempts\":1,\"bookings\":1}}").into_bytes()
}

fn candidate(number: u32) -> Vec<u8> {
    let name = if number == CHANGED { "Pat" } else { "Patient" };
    format!("{{\"id\":\"a-{number}\",\"request_id\":\"r-{number}\",\"state\":\"confirmed\",\"provider\":\"acme\",\"time\":\"2030-01-31T09:30:00Z\",\"patient_name\":\"{name} {number}\",\"attempts\":1,\"provider_reference\":\"v-{number}\",\"cancel_requested\":false,\"created_at\":\"2030-01-01T00:00:00Z\",\"updated_at\":\"2030-01-01T00:00:00Z\"}}").into_bytes()
}

fn table<'r>(side: Side, rows: &[Vec<u8>], rules: &'r Rules) -> Table<'r> {
    let mut table = Table::new(side, &Key::of("id"), &Columns::default(), rules);
    for row in rows {
        table.push(row).expect("a row");
    }
    table.finish();
    table
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench reads both sides at once, as the command does"
)]
fn compare(left: &[Vec<u8>], right: &[Vec<u8>], rules: &Rules) -> u64 {
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| table(Side::Legacy, left, rules));
        let other = table(Side::Candidate, right, rules);
        (one.join().expect("a table"), other)
    });
    let joined = join(&one, &other, rules.rules.len());
    let mut detail = Detail::new(&joined, rules);
    for batch in detail.batches(50_000) {
        let pick = |numbers: &[u32], rows: &[Vec<u8>]| -> Vec<Vec<u8>> {
            numbers
                .iter()
                .map(|at| rows[*at as usize].clone())
                .collect()
        };
        detail.compare(&batch, &pick(&batch.left, left), &pick(&batch.right, right));
    }
    let sources = [String::new(), String::new()];
    let report = detail.report([&one, &other], sources, joined.repeated(), rules);
    assert_eq!(report.differences[0].key, format!("a-{CHANGED}"));
    report.rows.mismatched
}

fn parity(criterion: &mut Criterion) {
    let shipped = Rules::read("legacy-to-v2.toml", RULES).expect("the shipped rules");
    let none = Rules::default();
    let left: Vec<Vec<u8>> = (0..ROWS).map(legacy).collect();
    let right: Vec<Vec<u8>> = (0..ROWS).rev().map(candidate).collect();
    let mut same = left.clone();
    same[CHANGED as usize] = legacy(CHANGED).to_ascii_lowercase();
    let mut group = criterion.benchmark_group("parity");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(20));
    group.bench_function("a million rows, one changed, no rules", |bencher| {
        bencher.iter(|| black_box(compare(&left, &same, &none)));
    });
    group.bench_function("a million rows of two schemas, shipped rules", |bencher| {
        bencher.iter(|| black_box(compare(&left, &right, &shipped)));
    });
    group.finish();
}

criterion_group!(benches, parity);
criterion_main!(benches);
