//! An HTTP/1.1 client on the host: pooled connections, whole bodies, one deadline a request.
//!
//! It says how far a failed request came ([`Failure::sent`]), because a request that never left is safe to repeat and one that may have
//! arrived is not. It never retries by itself: retries belong to exactly one layer, and that is the caller's.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;

use crate::{
    Host,
    hyper_glue::{HostConnector, HostExecutor, HostTimer},
};

/// Limits of a [`Client`].
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// At most this long for a connection to be made.
    pub connect: Duration,
    /// At most this many bytes of a response's body are read; a longer one is a failure.
    pub body_bytes: usize,
    /// An idle connection is dropped from the pool after this long.
    pub idle: Duration,
    /// At most this many idle connections are kept for each peer.
    pub idle_per_host: usize,
}

impl Default for ClientLimits {
    /// 1 s to connect, 1 MiB of body, idle connections kept for 30 s, 64 for each peer.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            body_bytes: 1 << 20,
            idle: Duration::from_secs(30),
            idle_per_host: 64,
        }
    }
}

/// A pooled HTTP client. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Client {
    host: Host,
    inner: legacy::Client<HostConnector, Full<Bytes>>,
    body_bytes: usize,
}

/// Why a request got no whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection: refused, unknown name, or the connect timeout. Nothing was sent.
    Connect,
    /// The deadline passed. The peer may have processed the request, unless it was still connecting.
    Timeout,
    /// The connection broke after the request may have been sent, or the response was cut short or malformed.
    Broken,
    /// The response's body is longer than the client's limit.
    TooLarge,
}

/// A failed request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// Whether any byte of the request may have reached the peer.
    pub sent: bool,
    /// For people; names the address and the cause.
    pub message: String,
}

impl Client {
    /// A client on `host`.
    pub fn new(host: &Host, limits: ClientLimits) -> Self {
        let inner = legacy::Client::builder(HostExecutor(host.clone()))
            .pool_timer(HostTimer(host.clone()))
            .timer(HostTimer(host.clone()))
            .pool_idle_timeout(limits.idle)
            .pool_max_idle_per_host(limits.idle_per_host)
            .retry_canceled_requests(false)
            .build(HostConnector::new(host.clone(), limits.connect));
        Self {
            host: host.clone(),
            inner,
            body_bytes: limits.body_bytes,
        }
    }

    /// Sends `request` (its URI absolute: `http://name:port/path`) and reads the whole response within `deadline`.
    ///
    /// # Errors
    /// A [`Failure`] that says whether the request may have reached the peer.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        let target = request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let exchange = async {
            let response = self
                .inner
                .request(request.map(Full::new))
                .await
                .map_err(|error| {
                    let connect = error.is_connect();
                    let kind = if connect {
                        FailureKind::Connect
                    } else {
                        FailureKind::Broken
                    };
                    Failure {
                        kind,
                        sent: !connect,
                        message: format!("{target}: {}", chain(&error)),
                    }
                })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, self.body_bytes)
                .collect()
                .await
                .map_err(|error| {
                    let large = error.is::<http_body_util::LengthLimitError>();
                    let kind = if large {
                        FailureKind::TooLarge
                    } else {
                        FailureKind::Broken
                    };
                    Failure {
                        kind,
                        sent: true,
                        message: format!("{target}: reading the response: {}", chain(&*error)),
                    }
                })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        match self.host.timeout(deadline, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Failure {
                kind: FailureKind::Timeout,
                sent: true,
                message: format!("{target}: no whole response within {deadline:?}"),
            }),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
