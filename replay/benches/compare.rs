//! How fast answers are compared and captures read: the figures behind "a capture of an hour in seconds".
//!
//! It measures one core and no network; whole replays are measured where the simulator is.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rehearsal_replay::{
    capture::load,
    diff::Comparer,
    rules::{Rules, Subject},
    run::Answer,
};

const RULES: &str = include_str!("../../scenarios/rules/legacy-to-v2.toml");

/// A view of about 1 KB: the shipped fields and a list.
fn view(state: &str, extra: &str) -> Answer {
    let items: Vec<String> = (0..14)
        .map(|at| format!("{{\"at\":{at},\"name\":\"item number {at}\",\"price\":{at}.50}}"))
        .collect();
    let body = format!(
        "{{\"id\":\"a-1\",\"request_id\":\"r-1\",\"state\":\"{state}\",\"provider\":\"acme\",\"time\":\"2030-01-31T09:30:00Z\",\"patient_name\":\"Ada Example\",{extra},\"items\":[{}]}}",
        items.join(",")
    );
    Answer {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body),
    }
}

fn comparison(criterion: &mut Criterion) {
    let rules = Rules::read("legacy-to-v2.toml", RULES).expect("the shipped rules");
    let legacy = view(
        "confirmed",
        "\"reference\":\"bk-1\",\"attempts\":1,\"bookings\":1",
    );
    let candidate = view(
        "confirmed",
        "\"attempts\":1,\"provider_reference\":\"bk-9\",\"cancel_requested\":false,\"created_at\":\"2030-01-01T00:00:00Z\",\"updated_at\":\"2030-01-01T00:00:00Z\"",
    );
    let subject = Subject::Request {
        method: "GET",
        path: "/appointments/a-1",
    };
    let mut comparer = Comparer::new(&rules);
    let mut group = criterion.benchmark_group("compare");
    group.throughput(Throughput::Elements(1));
    group.bench_function("json pair of 1 KB, shipped rules", |bencher| {
        bencher.iter(|| black_box(comparer.compare(subject, &legacy, &candidate)));
    });
    let rules = Rules::default();
    let mut comparer = Comparer::new(&rules);
    let reordered = view(
        "pending",
        "\"reference\":\"bk-1\",\"attempts\":1,\"bookings\":1",
    );
    group.bench_function("json pair of 1 KB, one difference, no rules", |bencher| {
        bencher.iter(|| black_box(comparer.compare(subject, &legacy, &reordered)));
    });
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let body = "x".repeat(800);
    let records: Vec<String> = (0..2_000)
        .map(|at| {
            format!("1 {at:040x} {}\nPOST /things/{at} HTTP/1.1\r\nHost: example\r\nContent-Type: text/plain\r\nContent-Length: 800\r\n\r\n{body}\n🐵🙈🙉\n", 1_000_000 + at)
        })
        .collect();
    let capture = records.concat();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(capture.len() as u64));
    group.bench_function("GoReplay, 1 KB a record", |bencher| {
        bencher.iter(|| black_box(load("bench.gor", capture.as_bytes()).expect("a capture")));
    });
    group.finish();
}

criterion_group!(benches, comparison, reading);
criterion_main!(benches);
