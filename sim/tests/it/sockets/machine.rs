//! The rest of the machine: timers, tasks, clocks, entropy, and HTTP on top of it all.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rehearsal_host::{
    client::{Client, ClientLimits, FailureKind},
    serve::{ServerLimits, serve},
};
use rehearsal_sim::{
    engine::EPOCH,
    fault::{Crash, Kind},
};
use tower::service_fn;

use super::stage::{Behavior, Outcome, Side, ensure, idle, said};

pub(super) const BEHAVIORS: &[Behavior] = &[
    Behavior::new(
        "a timeout fires, and not before its time",
        |side| Box::pin(timeouts(side)),
        idle,
    ),
    Behavior::new("sleeps end in order", |side| Box::pin(sleeps(side)), idle),
    Behavior::new(
        "wall time is the epoch and what has passed",
        |side| Box::pin(clocks(side)),
        idle,
    ),
    Behavior::new(
        "each host has entropy of its own",
        |side| Box::pin(entropy(side)),
        |side| {
            Box::pin(async move {
                drawing(&side);
                Ok(())
            })
        },
    ),
    Behavior::new(
        "HTTP: a request and its answer",
        |side| Box::pin(request(side)),
        |side| Box::pin(web(side)),
    ),
    Behavior::new(
        "HTTP: a client that gives up does no harm",
        |side| Box::pin(giving_up(side)),
        |side| Box::pin(web(side)),
    ),
    Behavior::new(
        "HTTP: a request to a server that dies is broken",
        |side| Box::pin(cut_short(side)),
        |side| Box::pin(web(side)),
    )
    .under(Kind::Crash { mode: Crash::Kill }),
];

async fn timeouts(side: Side) -> Outcome {
    let start = side.host.elapsed();
    let limit = Duration::from_millis(30);
    let never = side.host.timeout(limit, std::future::pending::<()>()).await;
    ensure(never.is_err(), "what never ends has ended")?;
    let took = side.since(start);
    ensure(
        took >= limit,
        format!("a timeout of {limit:?} fired after {took:?}"),
    )?;
    let ready = side.host.timeout(limit, std::future::ready(7)).await;
    ensure(ready == Ok(7), "what was ready has timed out")
}

async fn sleeps(side: Side) -> Outcome {
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    for ms in [30, 10, 20] {
        let (host, order, side) = (side.host.clone(), order.clone(), side.clone());
        side.host.clone().spawn(async move {
            let start = host.elapsed();
            host.sleep(Duration::from_millis(ms)).await;
            let took = side.since(start);
            order
                .lock()
                .expect("no panic while noting")
                .push((ms, took));
            side.tick();
        });
    }
    while side.ticks() < 3 {
        side.pause(1).await;
    }
    let order = order.lock().expect("no panic while noting").clone();
    let slept: Vec<u64> = order.iter().map(|(ms, _)| *ms).collect();
    ensure(slept == [10, 20, 30], format!("{order:?}"))?;
    let early = order
        .iter()
        .find(|(ms, took)| took.as_millis() < u128::from(*ms));
    ensure(early.is_none(), format!("woke early: {early:?}"))
}

async fn clocks(side: Side) -> Outcome {
    side.pause(25).await;
    let (now, elapsed) = (side.host.now(), side.host.elapsed());
    let since = now.as_micros() - EPOCH.as_micros();
    let since = Duration::from_micros(u64::try_from(since).map_err(said("before the epoch"))?);
    ensure(
        elapsed >= Duration::from_millis(25),
        format!("{elapsed:?} since the boot"),
    )?;
    let apart = since.abs_diff(elapsed);
    ensure(
        apart < Duration::from_millis(20),
        format!("wall {since:?}, monotonic {elapsed:?} since the start"),
    )
}

fn drawing(side: &Side) {
    side.note(&format!("drew {}", side.host.entropy()));
    side.note("drawn");
}

async fn entropy(side: Side) -> Outcome {
    side.noted("drawn").await;
    let (first, second) = (side.host.entropy(), side.host.entropy());
    ensure(first != second, "the same number twice")?;
    let shared = side.is_noted(&format!("drew {first}"));
    ensure(!shared, "two hosts draw the same numbers")
}

/// Answers with the length of the body; `/slow` takes a second and a half.
async fn web(side: Side) -> Outcome {
    let listener = side.bind().await?;
    let host = side.host.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let host = host.clone();
        async move {
            if request.uri().path() == "/slow" {
                host.sleep(Duration::from_millis(1500)).await;
            }
            let body = request.into_body().collect().await;
            let length = body.map_or(0, |body| body.to_bytes().len());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(length.to_string()))))
        }
    });
    serve(
        side.host.clone(),
        listener,
        service,
        ServerLimits::default(),
        std::future::pending(),
    )
    .await;
    Ok(())
}

fn post(side: &Side, path: &str, length: usize) -> Request<Bytes> {
    let uri = format!("http://{}{path}", side.server);
    Request::post(uri)
        .body(Bytes::from(vec![b'x'; length]))
        .expect("a valid request")
}

const PATIENT: Duration = Duration::from_secs(2);

async fn request(side: Side) -> Outcome {
    side.noted("listening").await;
    let client = Client::new(&side.host, ClientLimits::default());
    for length in [0, 1, 100_000] {
        let response = client
            .send(post(&side, "/", length), PATIENT)
            .await
            .map_err(said("send"))?;
        let expected = length.to_string();
        ensure(
            response.body() == expected.as_bytes(),
            format!("{:?} for {length}", response.body()),
        )?;
    }
    Ok(())
}

async fn giving_up(side: Side) -> Outcome {
    side.noted("listening").await;
    let client = Client::new(&side.host, ClientLimits::default());
    let early = client
        .send(post(&side, "/slow", 10), Duration::from_millis(60))
        .await;
    match early {
        Ok(_) => return Err("a slow answer came early".to_owned()),
        Err(failure) => ensure(
            failure.kind == FailureKind::Timeout && failure.sent,
            format!("{failure:?}"),
        )?,
    }
    let response = client
        .send(post(&side, "/", 3), PATIENT)
        .await
        .map_err(said("send"))?;
    ensure(
        response.body() == "3".as_bytes(),
        format!("{:?}", response.body()),
    )
}

async fn cut_short(side: Side) -> Outcome {
    side.noted("listening").await;
    let client = Client::new(&side.host, ClientLimits::default());
    let killer = side.clone();
    side.host.spawn(async move {
        killer.pause(60).await;
        killer.begin_fault().await;
    });
    match client.send(post(&side, "/slow", 10), PATIENT).await {
        Ok(_) => Err("an answer from the dead".to_owned()),
        Err(failure) => ensure(
            failure.kind == FailureKind::Broken && failure.sent,
            format!("{failure:?}"),
        ),
    }
}
