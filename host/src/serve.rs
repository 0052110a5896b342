//! The accept loop: HTTP/1.1 connections of a tower service, on any host.
//!
//! It is our own because `axum::serve` spawns on the runtime, where a simulated crash cannot reach, and installs no header timer
//! (reference: a half-read header then blocks shutdown for ever). It ends only by its shutdown future.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{Service, ServiceExt};

use crate::{
    Host,
    hyper_glue::HostTimer,
    stream::{Listener, Stream},
};

/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// A request's head has to arrive within this long.
    pub header: Duration,
    /// At most this many connections at once; more wait in the backlog.
    pub connections: usize,
    /// On shutdown, requests in flight get this long to finish.
    pub drain: Duration,
}

impl Default for ServerLimits {
    /// 10 s for a head, 4,096 connections, 10 s to drain.
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            connections: 4096,
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves `service` on `listener` until `shutdown` is done, then stops accepting and drains.
pub async fn serve<S, B>(
    host: Host,
    mut listener: Listener,
    service: S,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()> + Send,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (drain, draining) = watch::channel(false);
    let mut shutdown = std::pin::pin!(shutdown);
    let address = listener.address().to_owned();
    loop {
        let next = std::pin::pin!(async {
            let slot = slots
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (listener.accept().await, slot)
        });
        match select(shutdown.as_mut(), next).await {
            Either::Left(_) => break,
            Either::Right(((Ok(stream), slot), _)) => {
                host.spawn(connection(
                    host.clone(),
                    stream,
                    service.clone(),
                    limits,
                    draining.clone(),
                    slot,
                ));
            }
            Either::Right(((Err(error), _), _)) => {
                tracing::warn!(%error, address, "accept failed; trying again in 50 ms");
                host.sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let _ = drain.send(true);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = host.timeout(limits.drain, slots.acquire_many(all)).await;
}

async fn connection<S, B>(
    host: Host,
    stream: Stream,
    service: S,
    limits: ServerLimits,
    mut draining: watch::Receiver<bool>,
    slot: OwnedSemaphorePermit,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let peer = stream.peer().to_owned();
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(HostTimer(host))
            .header_read_timeout(limits.header)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| service.clone().oneshot(request))
            )
    );
    let stop = std::pin::pin!(async { draining.wait_for(|stop| *stop).await.map(|_| ()) });
    let ended = match select(connection.as_mut(), stop).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer, "connection ended");
    }
    drop(slot);
}
