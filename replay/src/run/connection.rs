//! Connections to a target: one request on each at a time (HTTP/1.1), or many (HTTP/2), with or without TLS.
//!
//! A session keeps the connections it opened; a request without a session takes any that no session has.
//!
//! **Invariant**: a request is written once. On a kept connection that turns out to be closed before anything was written it is sent on a new
//! one. A target may also close a kept connection while the request is on its way: one that changes nothing (RFC 9110, section 9.2.1), of which no
//! byte of an answer came, is then sent once more, and counted. Whatever else happens is the outcome. It deliberately has no tasks of its own
//! for HTTP/1.1: who waits for an answer drives its connection ([`http1`]), so that a run is one future.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Uri, header::HOST, uri::Authority};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::TokioIo;
use rehearsal_host::{
    Host,
    client::ClientLimits,
    hyper_glue::{HostExecutor, HostTimer},
};

use super::http1::{Connection, Lost};
use crate::run::{
    Answer, FailureReason,
    target::{Protocol, Target, Transport},
};

/// Why no whole answer came.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) reason: FailureReason,
    pub(super) message: String,
}

/// Opens connections to one target and exchanges on them.
pub(super) struct Dialer {
    host: Host,
    address: String,
    name: String,
    transport: Transport,
    limits: ClientLimits,
}

/// An open connection.
pub(super) enum Link {
    One(Box<Connection>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// What an exchange came to.
pub(super) struct Done {
    /// An answer, or why there is none.
    pub(super) answer: Result<Answer, Broken>,
    /// The connection, where it can be used again.
    pub(super) link: Option<Link>,
    /// Whether it was written twice: the kept connection that it went out on was closed before an answer came.
    pub(super) resent: bool,
}

/// A request that has to be sent on another connection.
struct Again {
    request: Request<Bytes>,
    /// Whether it was written to this one.
    written: bool,
    /// For people: what happened to this one.
    told: String,
}

impl Done {
    fn new(answer: Result<Answer, Broken>, link: Option<Link>) -> Self {
        Self {
            answer,
            link,
            resent: false,
        }
    }
}

impl Dialer {
    pub(super) fn new(host: &Host, target: &Target, limits: ClientLimits) -> Self {
        let uri: Option<Uri> = target.url.parse().ok();
        let authority = uri.as_ref().and_then(Uri::authority);
        let secure = target.url.starts_with("https://");
        let name = authority.map_or("", Authority::host).to_owned();
        let port = authority.and_then(Authority::port_u16);
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Self {
            host: host.clone(),
            address: format!("{name}:{port}"),
            name,
            transport: target.transport.clone(),
            limits,
        }
    }

    /// Sends `request` and reads the whole answer within `deadline`; gives back the connection where it can be used again.
    pub(super) async fn exchange(
        &self,
        link: Option<Link>,
        request: Request<Bytes>,
        deadline: Duration,
    ) -> Done {
        let work = self.attempt(link, request);
        if let Ok(done) = self.host.timeout(deadline, work).await {
            return done;
        }
        let message = format!("{}: no whole answer within {deadline:?}", self.address);
        Done::new(Err(broken(FailureReason::Timeout, message)), None)
    }

    async fn attempt(&self, link: Option<Link>, mut request: Request<Bytes>) -> Done {
        let mut resent = false;
        if let Some(link) = link {
            let is_safe = request.method().is_safe();
            match self.on(link, request).await {
                Ok(done) => return done,
                Err(again) if again.written && !is_safe => return self.failed(&again.told),
                Err(again) => {
                    resent = again.written;
                    request = again.request;
                }
            }
        }
        // Boxed, because it is rare and large: every exchange would carry its room.
        let done = match Box::pin(self.connect()).await {
            Ok(link) => match self.on(link, request).await {
                Ok(done) => done,
                Err(again) => self.failed(&again.told),
            },
            Err(message) => Done::new(Err(broken(FailureReason::Connect, message)), None),
        };
        Done { resent, ..done }
    }

    fn failed(&self, told: &str) -> Done {
        let message = format!("{}: {told}", self.address);
        Done::new(Err(broken(FailureReason::Broken, message)), None)
    }

    /// Exchanges on `link`; the request comes back when the connection was closed before an answer came.
    async fn on(&self, link: Link, request: Request<Bytes>) -> Result<Done, Again> {
        let unsent = |request| Again {
            request,
            written: false,
            told: "closed before the request was sent".to_owned(),
        };
        match link {
            Link::One(mut one) => {
                if !one.is_quiet().await {
                    return Err(unsent(request));
                }
                match one.exchange(&request, self.limits.body_bytes).await {
                    Ok((answer, kept)) => Ok(Done::new(Ok(answer), kept.then_some(Link::One(one)))),
                    Err(Lost::Unsent) => Err(unsent(request)),
                    Err(Lost::Unanswered(told)) => Err(Again {
                        request,
                        written: true,
                        told,
                    }),
                    Err(Lost::Broken(told)) => Ok(self.failed(&told)),
                    Err(Lost::TooLarge) => Ok(Done::new(Err(self.too_large()), None)),
                }
            }
            Link::Two(mut sender) => {
                if sender.ready().await.is_err() {
                    return Err(unsent(request));
                }
                let (content, again) = (request.body().clone(), request.clone());
                match sender.try_send_request(absolute_form(request)).await {
                    Ok(head) => {
                        let (head, body) = head.into_parts();
                        let whole = self.body(body).await;
                        let answer = whole.map(|body| kept(&head, &body));
                        Ok(Done::new(answer, Some(Link::Two(sender))))
                    }
                    Err(mut error) => {
                        if let Some(back) = error.take_message() {
                            return Err(unsent(back.map(|_| content)));
                        }
                        let told = chain(error.error());
                        // A stream that is refused was not looked at (RFC 9113, section 8.7); of others nobody knows.
                        Err(Again {
                            request: again,
                            written: !told.contains("refused stream"),
                            told,
                        })
                    }
                }
            }
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Broken> {
        let limited = Limited::new(body, self.limits.body_bytes);
        match limited.collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Err(error) => Err(self.lost("reading the answer: ", &*error)),
        }
    }

    async fn connect(&self) -> Result<Link, String> {
        let address = &self.address;
        let connecting = async {
            let stream = self
                .host
                .connect(address)
                .await
                .map_err(|e| e.to_string())?;
            let (stream, http2) = match &self.transport.tls {
                Some(tls) => tls
                    .connect(stream, &self.name)
                    .await
                    .map_err(|error| format!("TLS: {error}"))?,
                None => (stream, self.transport.protocol == Protocol::Http2),
            };
            if http2 {
                let io = TokioIo::new(stream);
                let (sender, connection) = http2::Builder::new(HostExecutor(self.host.clone()))
                    .timer(HostTimer(self.host.clone()))
                    .handshake(io)
                    .await
                    .map_err(|error| chain(&error))?;
                self.host.spawn(async move {
                    // What ends the connection ends the requests on it, which say so.
                    let _ = connection.await;
                });
                return Ok(Link::Two(sender));
            }
            Ok(Link::One(Box::new(Connection::new(stream))))
        };
        match self.host.timeout(self.limits.connect, connecting).await {
            Ok(connected) => connected.map_err(|error: String| format!("{address}: {error}")),
            Err(_) => Err(format!(
                "connecting to {address} took over {:?}",
                self.limits.connect
            )),
        }
    }

    fn too_large(&self) -> Broken {
        let limit = self.limits.body_bytes;
        let message = format!("{}: the answer is over {limit} bytes", self.address);
        broken(FailureReason::TooLarge, message)
    }

    fn lost(&self, doing: &str, error: &dyn std::error::Error) -> Broken {
        let message = format!("{}: {doing}{}", self.address, chain(error));
        broken(FailureReason::Broken, message)
    }
}

fn broken(reason: FailureReason, message: String) -> Broken {
    Broken { reason, message }
}

/// What is kept of an answer.
fn kept(head: &http::response::Parts, body: &Bytes) -> Answer {
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Answer {
        status: head.status.as_u16(),
        headers: headers.collect(),
        // A copy of its own: as a slice it would keep the connection's whole read buffer for as long as the answer is kept.
        body: Bytes::copy_from_slice(body),
    }
}

/// HTTP/2 has the authority beside the path; a `Host` that a rule sets takes its place.
fn absolute_form(request: Request<Bytes>) -> Request<Full<Bytes>> {
    let mut request = request.map(Full::new);
    if let Some(host) = request.headers_mut().remove(HOST) {
        let mut parts = request.uri().clone().into_parts();
        if let Ok(authority) = Authority::try_from(host.as_bytes()) {
            parts.authority = Some(authority);
        }
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Idle connections, by session.
pub(super) struct Pool {
    dialer: Arc<Dialer>,
    /// All of them, the one that was idle longest first.
    idle: BTreeMap<u64, (u32, u64, Link)>,
    by_session: BTreeMap<u32, Vec<u64>>,
    ticks: u64,
    most: usize,
    limit_ns: u64,
}

impl Pool {
    /// At most `most` idle connections are kept, each for at most `limits.idle`.
    pub(super) fn new(dialer: Dialer, most: usize, limits: ClientLimits) -> Self {
        Self {
            dialer: Arc::new(dialer),
            idle: BTreeMap::new(),
            by_session: BTreeMap::new(),
            ticks: 0,
            most,
            limit_ns: u64::try_from(limits.idle.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn dialer(&self) -> Arc<Dialer> {
        self.dialer.clone()
    }

    /// A connection of `session` that is idle, if one is.
    pub(super) fn take(&mut self, session: u32, now_ns: u64) -> Option<Link> {
        while let Some(tick) = self.by_session.get_mut(&session)?.pop() {
            let Some((_, since_ns, link)) = self.idle.remove(&tick) else {
                continue;
            };
            if now_ns.saturating_sub(since_ns) > self.limit_ns {
                continue;
            }
            if let Link::Two(sender) = &link {
                if sender.is_closed() {
                    continue;
                }
                let shared = Link::Two(sender.clone());
                self.put(session, link, now_ns);
                return Some(shared);
            }
            return Some(link);
        }
        None
    }

    /// Keeps a connection of `session`.
    pub(super) fn put(&mut self, session: u32, link: Link, now_ns: u64) {
        let known = self.by_session.entry(session).or_default();
        let open = |tick: &u64| {
            let known = self.idle.get(tick).map(|(_, _, link)| link);
            matches!(known, Some(Link::Two(sender)) if !sender.is_closed())
        };
        // One that is open carries all of a session's requests.
        if matches!(link, Link::Two(_)) && known.iter().any(open) {
            return;
        }
        known.push(self.ticks);
        self.idle.insert(self.ticks, (session, now_ns, link));
        self.ticks += 1;
        while let Some(oldest) = self.idle.first_entry() {
            let (_, since_ns, _) = oldest.get();
            let stale = now_ns.saturating_sub(*since_ns) > self.limit_ns;
            if !stale && self.idle.len() <= self.most {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((tick, (session, _, _))) = self.idle.pop_first()
            && let Some(ticks) = self.by_session.get_mut(&session)
        {
            ticks.retain(|known| *known != tick);
            if ticks.is_empty() {
                self.by_session.remove(&session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_kept_keeps_no_buffer() {
        let buffer = Bytes::from(vec![b'x'; 8192]);
        let (head, ()) = http::Response::new(()).into_parts();
        let answer = kept(&head, &buffer.slice(100..110));
        assert_eq!(answer.body, "xxxxxxxxxx");
        assert!(buffer.is_unique(), "the connection can use it again");
    }
}
