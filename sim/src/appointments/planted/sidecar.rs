//! Defects of talking to a provider: something that stands between the service and it, and gets the calls or the answers wrong.
//!
//! Each connection of the service is one of the sidecar's: it is made before the service has it, ends with it, and costs no time.
//!
//! **Invariant**: what the defect is not about passes unchanged. It sees HTTP only; it knows no rows.

use std::{collections::BTreeSet, io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, select};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rehearsal_core::time::Timestamp;
use rehearsal_host::{
    Host, Listener, Machine, Stream,
    client::{Client, ClientLimits},
    hyper_glue::HostTimer,
    machine::Sleep,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Defect;

/// What fits into the way between the service and its sidecar.
const BUFFER: usize = 64 << 10;
/// How long a call of the sidecar's own may take.
const OWN_CALL: Duration = Duration::from_millis(200);

/// The machine of a service whose calls to providers go through a sidecar.
pub(super) struct Sidecar {
    pub(super) host: Host,
    pub(super) defect: Defect,
    /// The providers' addresses.
    pub(super) providers: BTreeSet<String>,
    /// How long the service waits for an answer.
    pub(super) timeout: Duration,
}

impl Machine for Sidecar {
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<Listener>> {
        let (host, address) = (self.host.clone(), address.to_owned());
        async move { host.bind(&address).await }.boxed()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        let connecting = self.host.connect(address);
        if !self.providers.contains(address) {
            return connecting;
        }
        let call = Link {
            host: self.host.clone(),
            defect: self.defect,
            address: address.to_owned(),
            timeout: self.timeout,
        };
        async move {
            let upstream = connecting.await?;
            let (near, far) = tokio::io::duplex(BUFFER);
            let peer = call.address.clone();
            call.host
                .clone()
                .spawn(call.serve(Stream::new(far, "service"), upstream));
            Ok(Stream::new(near, peer))
        }
        .boxed()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.host.spawn(task);
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn elapsed(&self) -> Duration {
        self.host.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.host.sleep(duration)
    }

    fn entropy(&self) -> u64 {
        self.host.entropy()
    }
}

/// One connection's two sides.
struct Link {
    host: Host,
    defect: Defect,
    address: String,
    timeout: Duration,
}

/// Why a call got no answer; the service's connection ends with it.
#[derive(Debug, thiserror::Error)]
#[error("the provider gave no answer")]
struct NoAnswer;

type Upstream = Mutex<SendRequest<Full<Bytes>>>;

impl Link {
    /// Passes calls on until either side ends its connection.
    async fn serve(self, service: Stream, provider: Stream) {
        let Ok((sender, upstream)) = handshake(TokioIo::new(provider)).await else {
            return;
        };
        let timer = HostTimer(self.host.clone());
        let shared = Arc::new((self, Mutex::new(sender)));
        let answer = service_fn(move |request: Request<Incoming>| {
            let shared = shared.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
                let (link, sender) = &*shared;
                link.answer(Request::from_parts(head, body), sender)
                    .await
                    .map(|response| response.map(Full::new))
            }
        });
        let downstream = server::Builder::new()
            .timer(timer)
            .serve_connection(TokioIo::new(service), answer);
        select(pin!(downstream), pin!(upstream)).await;
    }

    async fn answer(
        &self,
        request: Request<Bytes>,
        sender: &Upstream,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let path = request.uri().path().to_owned();
        let posts = request.method() == Method::POST;
        let books = posts && path == "/bookings";
        let key = key_of(&request);
        match self.defect {
            Defect::NewKeyPerAttempt if books => self.under_new_key(request, &key, sender).await,
            Defect::TimeoutAsSuccess | Defect::TimeoutAsFailure if books => {
                let limit = self.timeout.mul_f64(0.8);
                match self.host.timeout(limit, forward(request, sender)).await {
                    Ok(Ok(response)) => Ok(response),
                    Ok(Err(_)) | Err(_) if self.defect == Defect::TimeoutAsSuccess => {
                        Ok(booked(&key))
                    }
                    Ok(Err(_)) | Err(_) => {
                        let body = json!({ "code": "no_answer" });
                        Ok(made_up(StatusCode::UNPROCESSABLE_ENTITY, &body))
                    }
                }
            }
            Defect::CompensatesUnknown if books => {
                let limit = self.timeout.mul_f64(0.8);
                let answer = self.host.timeout(limit, forward(request, sender)).await;
                if !matches!(&answer, Ok(Ok(response)) if !response.status().is_server_error()) {
                    self.cancel(&key).await;
                }
                answer.unwrap_or(Err(NoAnswer))
            }
            Defect::CancelWithoutTombstone if posts && path.ends_with("/cancel") => {
                let look = path.trim_end_matches("/cancel");
                let look = Request::get(look).body(Bytes::new()).expect("a valid path");
                let found = forward(look, sender).await?;
                if found.status() == StatusCode::NOT_FOUND {
                    let body = json!({ "key": key, "status": "cancelled", "bookings": 0 });
                    return Ok(made_up(StatusCode::OK, &body));
                }
                forward(request, sender).await
            }
            Defect::LookUpIsBlind if !posts && path.len() > "/bookings/".len() => {
                forward(request, sender).await?;
                let body = json!({ "code": "not_found" });
                Ok(made_up(StatusCode::NOT_FOUND, &body))
            }
            _ => {
                let mut response = forward(request, sender).await?;
                match (self.defect, response.status()) {
                    (Defect::RetryAfterIgnored, _) => {
                        response.headers_mut().remove(header::RETRY_AFTER);
                    }
                    (Defect::RefusalTakenForBooking, status)
                        if books
                            && status.is_client_error()
                            && status != StatusCode::TOO_MANY_REQUESTS =>
                    {
                        return Ok(booked(&key));
                    }
                    _ => {}
                }
                Ok(response)
            }
        }
    }

    /// The first attempt goes by the entry's key, each later one by a key of its own.
    async fn under_new_key(
        &self,
        mut request: Request<Bytes>,
        key: &str,
        sender: &Upstream,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let epoch = request
            .headers()
            .get("x-attempt-epoch")
            .and_then(|epoch| epoch.to_str().ok())
            .unwrap_or("1")
            .to_owned();
        if epoch == "1" {
            return forward(request, sender).await;
        }
        let new = format!("{key}.{epoch}");
        let header = HeaderValue::from_str(&new).map_err(|_| NoAnswer)?;
        request.headers_mut().insert("idempotency-key", header);
        request.headers_mut().remove(header::CONTENT_LENGTH);
        let request = request.map(|body| with_key(&body, &new));
        let mut response = forward(request, sender).await?;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        Ok(response.map(|body| with_key(&body, key)))
    }

    /// Cancels at the provider, whatever came of the booking.
    async fn cancel(&self, key: &str) {
        let client = Client::new(&self.host, ClientLimits::default());
        let url = format!("http://{}/bookings/{key}/cancel", self.address);
        let request = Request::post(url)
            .header("idempotency-key", key)
            .body(Bytes::new())
            .expect("a valid request");
        // Whether it arrives is the provider's affair: nobody asks any more.
        let _ = client.send(request, OWN_CALL).await;
    }
}

async fn forward(request: Request<Bytes>, sender: &Upstream) -> Result<Response<Bytes>, NoAnswer> {
    let mut sender = sender.lock().await;
    sender.ready().await.map_err(|_| NoAnswer)?;
    let response = sender
        .send_request(request.map(Full::new))
        .await
        .map_err(|_| NoAnswer)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// The key that a call is about: from its header, or from its path.
fn key_of(request: &Request<Bytes>) -> String {
    let header = request.headers().get("idempotency-key");
    header
        .and_then(|key| key.to_str().ok())
        .or_else(|| request.uri().path().split('/').nth(2))
        .unwrap_or_default()
        .to_owned()
}

fn with_key(body: &Bytes, key: &str) -> Bytes {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) if fields.contains_key("key") => {
            fields.insert("key".to_owned(), json!(key));
            Bytes::from(Value::Object(fields).to_string())
        }
        _ => body.clone(),
    }
}

fn booked(key: &str) -> Response<Bytes> {
    let reference = format!("assumed-{key}");
    let body = json!({ "key": key, "reference": reference, "status": "booked", "bookings": 1 });
    made_up(StatusCode::CREATED, &body)
}

fn made_up(status: StatusCode, body: &Value) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body.to_string()))
        .expect("a valid response")
}
