//! A scheduling provider in a few lines: bookings by key, tombstones, and a script of what goes wrong next.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rehearsal_host::{
    Host,
    serve::{ServerLimits, serve},
};
use serde_json::{Value, json};

/// What the next booking or cancel does instead of working.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Answers with this status, without an effect.
    Status(u16),
    /// Answers with this status and no body, without an effect.
    Bare(u16),
    /// 429 with a Retry-After in seconds.
    Throttle(u64),
    /// Takes effect, and answers after the caller has gone.
    EffectThenHang,
    /// 201 with a body that is cut in the middle.
    EffectThenGarbage,
}

impl Act {
    fn takes_effect(self) -> bool {
        matches!(self, Self::EffectThenHang | Self::EffectThenGarbage)
    }
}

#[derive(Default)]
struct Inside {
    script: VecDeque<Act>,
    look_ups: VecDeque<Act>,
    always: Option<Act>,
    bookings: BTreeMap<String, Vec<String>>,
    tombstones: BTreeSet<String>,
    calls: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Stub {
    host: Host,
    inside: Arc<Mutex<Inside>>,
}

impl Stub {
    /// Serves on loopback; its address as `http://host:port`.
    pub(crate) async fn start(host: &Host) -> (Self, String) {
        let stub = Self {
            host: host.clone(),
            inside: Arc::default(),
        };
        let listener = host.bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.address());
        let router = Router::new()
            .route("/bookings", post(book).get(list))
            .route("/bookings/{key}", get(look_up))
            .route("/bookings/{key}/cancel", post(cancel))
            .with_state(stub.clone());
        host.spawn(serve(
            host.clone(),
            listener,
            router,
            ServerLimits::default(),
            std::future::pending(),
        ));
        (stub, url)
    }

    pub(crate) fn script(&self, acts: &[Act]) {
        self.inside.lock().unwrap().script.extend(acts);
    }

    /// As [`Stub::script`], for look-ups.
    pub(crate) fn script_look_ups(&self, acts: &[Act]) {
        self.inside.lock().unwrap().look_ups.extend(acts);
    }

    pub(crate) fn always(&self, act: Option<Act>) {
        self.inside.lock().unwrap().always = act;
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.inside.lock().unwrap().calls.clone()
    }

    pub(crate) fn live(&self, key: &str) -> usize {
        let inside = self.inside.lock().unwrap();
        inside.bookings.get(key).map_or(0, Vec::len)
    }

    /// Makes a booking behind the service's back.
    pub(crate) fn plant(&self, key: &str, reference: &str) {
        let mut inside = self.inside.lock().unwrap();
        let of_key = inside.bookings.entry(key.to_owned()).or_default();
        of_key.push(reference.to_owned());
    }

    fn begin(&self, call: String) -> Option<Act> {
        let mut inside = self.inside.lock().unwrap();
        inside.calls.push(call);
        inside.script.pop_front().or(inside.always)
    }

    async fn go_wrong(&self, act: Act, person: &str, good: Response) -> Response {
        match act {
            Act::Status(status) => {
                let body = json!({"code": "scripted", "message": format!("sorry, {person}")});
                answer(status, &body)
            }
            Act::Bare(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Act::Throttle(seconds) => {
                let headers = [("retry-after", seconds.to_string())];
                (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
            }
            Act::EffectThenHang => {
                self.host.sleep(Duration::from_mins(1)).await;
                good
            }
            Act::EffectThenGarbage => (StatusCode::CREATED, "{\"refer").into_response(),
        }
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, body.to_string()).into_response()
}

async fn book(State(stub): State<Stub>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let key = body["key"].as_str().unwrap().to_owned();
    assert!(headers.contains_key("x-attempt-epoch") && headers.contains_key("idempotency-key"));
    let act = stub.begin(format!("book {key}"));
    let person = body["patient_name"].as_str().unwrap().to_owned();
    let effect = act.is_none_or(Act::takes_effect);
    let good = if effect {
        let mut inside = stub.inside.lock().unwrap();
        if inside.tombstones.contains(&key) {
            return answer(410, &json!({"code": "tombstoned"}));
        }
        let of_key = inside.bookings.entry(key.clone()).or_default();
        // Not idempotent on purpose: a second send is a second booking.
        of_key.push(format!("ref-{key}-{}", of_key.len() + 1));
        let reference = of_key.last().unwrap();
        answer(
            201,
            &json!({"key": key, "reference": reference, "status": "booked"}),
        )
    } else {
        StatusCode::OK.into_response()
    };
    match act {
        None => good,
        Some(act) => stub.go_wrong(act, &person, good).await,
    }
}

async fn cancel(State(stub): State<Stub>, Path(key): Path<String>) -> Response {
    let act = stub.begin(format!("cancel {key}"));
    let good = answer(200, &json!({"key": key, "status": "cancelled"}));
    if act.is_none_or(Act::takes_effect) {
        let mut inside = stub.inside.lock().unwrap();
        inside.bookings.remove(&key);
        inside.tombstones.insert(key);
    }
    match act {
        None => good,
        Some(act) => stub.go_wrong(act, "nobody", good).await,
    }
}

fn view(inside: &Inside, key: &str) -> Option<Value> {
    if inside.tombstones.contains(key) {
        return Some(json!({"key": key, "reference": null, "status": "cancelled", "bookings": 0}));
    }
    let of_key = inside.bookings.get(key)?;
    Some(json!({"key": key, "reference": of_key[0], "status": "booked", "bookings": of_key.len()}))
}

async fn look_up(State(stub): State<Stub>, Path(key): Path<String>) -> Response {
    let (act, good) = {
        let mut inside = stub.inside.lock().unwrap();
        inside.calls.push(format!("look up {key}"));
        let good = match view(&inside, &key) {
            Some(view) => answer(200, &view),
            None => answer(404, &json!({"code": "unknown_key"})),
        };
        (inside.look_ups.pop_front(), good)
    };
    match act {
        None => good,
        Some(act) => stub.go_wrong(act, "nobody", good).await,
    }
}

async fn list(State(stub): State<Stub>) -> Response {
    let inside = stub.inside.lock().unwrap();
    if let Some(Act::Status(status)) = inside.always {
        return answer(status, &json!({}));
    }
    let keys: BTreeSet<_> = inside.bookings.keys().chain(&inside.tombstones).collect();
    let views: Vec<_> = keys
        .into_iter()
        .filter_map(|key| view(&inside, key))
        .collect();
    answer(200, &json!({"bookings": views, "next": null}))
}
