//! How fast answers are compared and captures read: the figures behind "a capture of an hour in seconds".
//!
//! It measures one core and no network; whole replays are measured where the simulator is.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rehearsal_replay::{
    capture::{Body, Capture, Exchange, Format, Request, load},
    comparing::compare,
    diff::Comparer,
    plan::{Pace, plan},
    rules::{Rules, Side, Subject},
    run::{Answer, Latency, Observations, Outcome, Time},
};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

const SUBJECT: Subject<'_> = Subject::Request {
    method: "GET",
    path: "/appointments/a-1",
};

/// Pairs a second on one core: criterion's `elem/s`. The baseline is what a hand-written harness does: both bodies parsed by `serde_json` and
/// compared as values.
fn comparison(criterion: &mut Criterion) {
    let shipped = Rules::read("legacy-to-v2.toml", RULES).expect("the shipped rules");
    let none = Rules::default();
    let legacy = view(
        "confirmed",
        "\"reference\":\"bk-1\",\"attempts\":1,\"bookings\":1",
    );
    let v2 = view(
        "confirmed",
        "\"attempts\":1,\"provider_reference\":\"bk-9\",\"cancel_requested\":false,\"created_at\":\"2030-01-01T00:00:00Z\",\"updated_at\":\"2030-01-01T00:00:00Z\"",
    );
    let pending = view(
        "pending",
        "\"reference\":\"bk-1\",\"attempts\":1,\"bookings\":1",
    );
    let mut group = criterion.benchmark_group("compare");
    group.throughput(Throughput::Elements(1));
    for (name, rules, candidate) in [
        ("equal bytes, no rules", &none, &legacy),
        ("equal bytes, shipped rules", &shipped, &legacy),
        ("1 KB, one difference, no rules", &none, &pending),
        ("1 KB, seven differences, shipped rules", &shipped, &v2),
    ] {
        let mut comparer = Comparer::new(rules);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(comparer.compare(SUBJECT, &legacy, candidate)));
        });
    }
    group.bench_function("baseline: serde_json::Value equality, 1 KB", |bencher| {
        bencher.iter(|| {
            let a: serde_json::Value = serde_json::from_slice(&legacy.body).expect("JSON");
            let b: serde_json::Value = serde_json::from_slice(&v2.body).expect("JSON");
            black_box(a == b)
        });
    });
    group.finish();
}

/// A whole run of 1 KB pairs, each with an invented reference that is settled over all of them.
fn whole_run(criterion: &mut Criterion) {
    const PAIRS: u64 = 10_000;
    let rules = Rules::read("legacy-to-v2.toml", RULES).expect("the shipped rules");
    let exchange = |seq| Exchange {
        seq,
        ts_ns: seq * 1_000,
        conn: None,
        session: None,
        request: Request {
            method: "GET".to_owned(),
            target: format!("/appointments/a-{seq}"),
            version: "1.1".to_owned(),
            headers: Vec::new(),
            body: Body::EMPTY,
        },
        response: None,
        flags: Vec::new(),
    };
    let capture = Capture {
        sha256: "0".repeat(64),
        format: Format::Rehearsal,
        exchanges: (0..PAIRS).map(exchange).collect(),
        skipped: Vec::new(),
    };
    let plan = plan(capture, &rules, Pace::Max);
    let observed = |side: Side, extra: &dyn Fn(u64) -> String| Observations {
        side,
        url: side.name().to_owned(),
        outcomes: (0..PAIRS)
            .map(|seq| Outcome::Answered(view("confirmed", &extra(seq))))
            .collect(),
        state: std::iter::empty().collect(),
        latency: Latency::new(),
        duration_ns: 1,
        time: Time::Virtual,
        punctuality: None,
        resent: 0,
    };
    let legacy = observed(Side::Legacy, &|seq| {
        format!("\"reference\":\"bk-{seq}\",\"attempts\":1,\"bookings\":1")
    });
    let candidate = observed(Side::Candidate, &|seq| {
        format!("\"attempts\":1,\"provider_reference\":\"nk-{seq}\",\"cancel_requested\":false")
    });
    let mut group = criterion.benchmark_group("compare");
    group
        .throughput(Throughput::Elements(PAIRS))
        .sample_size(10);
    group.bench_function(
        "whole run of 10,000 pairs of 1 KB, shipped rules",
        |bencher| {
            bencher.iter(|| {
                let compared = compare(&plan, &legacy, &candidate, None, &rules);
                assert_eq!(compared.conflicts, []);
                compared.requests.len()
            });
        },
    );
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

criterion_group!(benches, comparison, whole_run, reading);
criterion_main!(benches);
