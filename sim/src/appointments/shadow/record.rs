//! Records an hour of the legacy model's traffic as a capture: what clients sent, and what it answered.
//!
//! **Invariant**: a function of the seed, byte for byte; it is how the sample capture was made and can be made again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rehearsal_core::identity::ProviderName;
use rehearsal_host::{
    Host,
    client::{Client, ClientLimits},
};
use rehearsal_replay::{
    capture::{Body, Exchange, Request, Response},
    rules::Side,
};

use super::{
    Builder, PROVIDERS,
    hosts::Stand,
    traffic::{self, Sent},
};
use crate::{chance::Chance, engine::EngineError, system::Storage};

/// A client of the legacy service waits this long: longer than the service waits for its provider.
const PATIENCE: Duration = Duration::from_mins(1);

/// Draws an hour of traffic from `seed`, sends it to the legacy model in virtual time, and returns the exchanges in order.
///
/// # Errors
/// What the engine says.
pub fn record(seed: u64, storage: &Storage) -> Result<Vec<Exchange>, EngineError> {
    let providers: BTreeSet<ProviderName> = PROVIDERS
        .iter()
        .filter_map(|name| ProviderName::parse(name).ok())
        .collect();
    let stand = Stand {
        side: Side::Legacy,
        providers: &providers,
        seed,
        storage,
        audit_every: None,
    };
    let mut world = Builder::new(seed);
    world.nodes.extend(stand.nodes(None));
    let traffic = Arc::new(traffic::draw(&Chance::new(seed).named("traffic")));
    let exchanges: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let (authority, sink) = (stand.address(), exchanges.clone());
    world.client("clients", move |host| {
        send_all(host, authority.clone(), traffic.clone(), sink.clone())
    });
    world.run()?;
    let mut exchanges = std::mem::take(&mut *exchanges.lock().expect("no panic while recording"));
    exchanges.sort_by_key(|exchange| exchange.seq);
    for (seq, exchange) in exchanges.iter_mut().enumerate() {
        exchange.seq = seq as u64;
    }
    Ok(exchanges)
}

async fn send_all(
    host: Host,
    authority: String,
    traffic: Arc<Vec<Sent>>,
    sink: Arc<Mutex<Vec<Exchange>>>,
) {
    let client = Client::new(&host, ClientLimits::default());
    let start = host.elapsed();
    for at in 0..traffic.len() {
        let due = start + Duration::from_nanos(traffic[at].at_ns);
        host.sleep(due.saturating_sub(host.elapsed())).await;
        let (host, client, authority) = (host.clone(), client.clone(), authority.clone());
        let (traffic, sink) = (traffic.clone(), sink.clone());
        host.clone().spawn(async move {
            let exchange = exchange(&host, &client, &authority, at as u64, &traffic[at]).await;
            sink.lock()
                .expect("no panic while recording")
                .push(exchange);
        });
    }
    // The last answers; a client gives up by then.
    host.sleep(PATIENCE + Duration::from_secs(1)).await;
}

async fn exchange(
    host: &Host,
    client: &Client,
    authority: &str,
    seq: u64,
    sent: &Sent,
) -> Exchange {
    let body = sent.body.clone().map(Bytes::from).unwrap_or_default();
    let mut headers = vec![
        ("host".to_owned(), "legacy.example".to_owned()),
        (
            "user-agent".to_owned(),
            format!("booking-app/{}.2", 1 + sent.session % 3),
        ),
    ];
    if sent.body.is_some() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let mut request = http::Request::builder()
        .method(sent.method)
        .uri(format!("http://{authority}{}", sent.target));
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    let request = request
        .body(body.clone())
        .expect("drawn parts make a valid request");
    let started = host.now().as_micros();
    let answer = client.send(request, PATIENCE).await;
    let ended = host.now().as_micros();
    let nanos = |micros: i64| u64::try_from(micros).unwrap_or(0) * 1_000;
    let response = answer.ok().map(|answer| Response {
        ts_ns: nanos(ended),
        latency_ns: nanos(ended - started),
        status: answer.status().as_u16(),
        headers: answer
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body: Body::Whole(answer.into_body()),
    });
    Exchange {
        seq,
        ts_ns: nanos(started),
        conn: Some(format!("c{}", sent.session)),
        session: Some(format!("s{}", sent.session)),
        request: Request {
            method: sent.method.to_owned(),
            target: sent.target.clone(),
            version: "1.1".to_owned(),
            headers,
            body: Body::Whole(body),
        },
        response,
        flags: Vec::new(),
    }
}
