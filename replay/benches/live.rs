//! Replay over real sockets, beside a bare client of the same library: what the loop, the plan and the observations cost.
//!
//! Both ask a server in this process, over loopback, with the same number of connections.

use std::{convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use rehearsal_host::{
    Host,
    real::RealMachine,
    serve::{ServerLimits, serve},
};
use rehearsal_replay::{
    capture::{self, Body, Capture, Exchange, Format},
    plan::{Pace, Plan, plan},
    rules::{Rules, Side},
    run::{Options, Target, Time, side},
};
use tokio::runtime::{Builder, Runtime};
use tower::service_fn;

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 64;

fn reads() -> Plan {
    let exchange = |seq: u64| Exchange {
        seq,
        ts_ns: seq,
        conn: None,
        session: Some(format!("s{}", seq % CONNECTIONS as u64)),
        request: capture::Request {
            method: "GET".to_owned(),
            target: format!("/things/thing-{seq}"),
            version: "1.1".to_owned(),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Body::EMPTY,
        },
        response: None,
        flags: Vec::new(),
    };
    let capture = Capture {
        sha256: "00".repeat(32),
        format: Format::Rehearsal,
        exchanges: (0..REQUESTS as u64).map(exchange).collect(),
        skipped: Vec::new(),
    };
    plan(capture, &Rules::default(), Pace::Max)
}

async fn server(host: &Host) -> String {
    let listener = host.bind("127.0.0.1:0").await.expect("a port");
    let address = listener.address().to_owned();
    let service = service_fn(|_: Request<hyper::body::Incoming>| async {
        let body = Bytes::from_static(
            br#"{"id":"thing","name":"a thing","made_at":"2026-01-01T10:00:00Z"}"#,
        );
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(Full::new(body)).expect("a valid answer"))
    });
    let machine = host.clone();
    host.spawn(async move {
        let never = std::future::pending();
        serve(machine, listener, service, ServerLimits::default(), never).await;
    });
    address
}

/// One connection of the bare client: requests one after the other.
async fn bare(host: Host, address: String, requests: usize) -> usize {
    let stream = host.connect(&address).await.expect("it listens");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .expect("HTTP");
    host.spawn(async move {
        // It ends with its sender.
        let _ = connection.await;
    });
    let mut bytes = 0;
    for at in 0..requests {
        let request = Request::get(format!("/things/thing-{at}"))
            .header("host", &address)
            .header("accept", "application/json")
            .body(Full::new(Bytes::new()))
            .expect("a valid request");
        sender.ready().await.expect("it is kept");
        let answer = sender.send_request(request).await.expect("an answer");
        bytes += answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes()
            .len();
    }
    bytes
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn live(criterion: &mut Criterion) {
    let runtime = runtime();
    let host = RealMachine::host();
    let address = runtime.block_on(server(&host));
    let plan = reads();
    let mut group = criterion.benchmark_group("live");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    group.bench_function("replay", |bencher| {
        let target = Target::new(Side::Legacy, format!("http://{address}"));
        let options = Options {
            in_flight: CONNECTIONS,
            time: Time::Real,
            ..Options::default()
        };
        bencher.iter(|| {
            let never = std::future::pending();
            let rules = Rules::default();
            let run = side(&host, &target, &plan, &rules, &options, never, |_| ());
            let run = runtime.block_on(run);
            assert_eq!(run.accounting().answered, REQUESTS as u64);
            black_box(run)
        });
    });
    group.bench_function("bare client", |bencher| {
        bencher.iter(|| {
            let each = REQUESTS / CONNECTIONS;
            let all = (0..CONNECTIONS).map(|_| bare(host.clone(), address.clone(), each));
            let done = runtime.block_on(futures_util::future::join_all(all));
            black_box(done.into_iter().sum::<usize>())
        });
    });
    group.finish();
}

criterion_group!(benches, live);
criterion_main!(benches);
