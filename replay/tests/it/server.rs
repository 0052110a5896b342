//! Small services on real loopback sockets, and captures to replay against them.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rehearsal_host::{
    Host,
    real::RealMachine,
    serve::{ServerLimits, serve},
};
use rehearsal_replay::{
    capture::{self, Body, Capture, Exchange, Format},
    plan::{Pace, Plan, plan},
    rules::{Rules, Side},
    run::{Observations, Options, Target, side},
};
use tower::service_fn;

/// What a service answers: status, media type, body.
pub(crate) type Reply = (u16, &'static str, String);

/// Runs a test on the real machine.
pub(crate) fn on_this_machine<F: Future>(test: impl FnOnce(Host) -> F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test(RealMachine::host()))
}

/// Serves `reply(method, target, body)` until `limit` requests were answered, then is gone. Returns its URL.
pub(crate) async fn service(
    host: &Host,
    limit: usize,
    reply: impl Fn(&str, &str, &[u8]) -> Reply + Send + Sync + 'static,
) -> String {
    let listener = host.bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.address());
    let (reply, answered) = (Arc::new(reply), Arc::new(AtomicUsize::new(0)));
    let count = answered.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (reply, answered) = (reply.clone(), answered.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let target = head.uri.to_string();
            let (status, media, text) =
                reply(head.method.as_str(), &target, &body.unwrap_or_default());
            answered.fetch_add(1, Ordering::SeqCst);
            let response = Response::builder()
                .status(status)
                .header("content-type", media)
                .body(Full::new(Bytes::from(text)));
            Ok::<_, Infallible>(response.expect("a valid answer"))
        }
    });
    let (clock, server) = (host.clone(), host.clone());
    let gone = async move {
        while count.load(Ordering::SeqCst) < limit {
            clock.sleep(Duration::from_millis(1)).await;
        }
    };
    host.spawn(async move {
        let limits = ServerLimits {
            drain: Duration::from_millis(50),
            ..ServerLimits::default()
        };
        serve(server, listener, service, limits, gone).await;
    });
    url
}

/// A capture of `GET` or `POST` requests, 10 us apart, each with a session of its own.
pub(crate) fn captured(
    requests: impl IntoIterator<Item = (&'static str, String, String)>,
) -> Capture {
    let exchanges = (0..)
        .zip(requests)
        .map(|(seq, (method, target, body))| Exchange {
            seq,
            ts_ns: 1_700_000_000_000_000_000 + seq * 10_000,
            conn: None,
            session: Some(format!("s{seq}")),
            request: capture::Request {
                method: method.to_owned(),
                target,
                version: "1.1".to_owned(),
                headers: vec![("Host".to_owned(), "captured.example".to_owned())],
                body: Body::Whole(Bytes::from(body)),
            },
            response: None,
            flags: Vec::new(),
        });
    Capture {
        sha256: "ab".repeat(32),
        format: Format::Rehearsal,
        exchanges: exchanges.collect(),
        skipped: Vec::new(),
    }
}

/// `count` reads of distinct things.
pub(crate) fn reads(count: usize) -> Capture {
    captured((0..count).map(|at| ("GET", format!("/things/{at}"), String::new())))
}

/// A plan of `capture` at full speed.
pub(crate) fn planned(capture: Capture, rules: &Rules) -> Plan {
    plan(capture, rules, Pace::Max)
}

/// Limits that suit a test on loopback.
pub(crate) fn options() -> Options {
    Options {
        deadline: Duration::from_secs(5),
        in_flight: 16,
        settle: Duration::from_millis(1),
        ..Options::default()
    }
}

/// Runs one side to its end.
pub(crate) async fn observed(
    host: &Host,
    role: Side,
    url: &str,
    plan: &Plan,
    rules: &Rules,
) -> Observations {
    let target = Target::new(role, url);
    let never = std::future::pending();
    side(host, &target, plan, rules, &options(), never, |_| ()).await
}

/// Rules in the file's form, without its head.
pub(crate) fn rules(text: &str) -> Rules {
    let text = format!("format = \"rehearsal.rules/1\"\nname = \"test\"\n{text}");
    Rules::read("test.toml", &text).expect("rules")
}
