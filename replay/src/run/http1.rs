//! HTTP/1.1 as a replay speaks it: one request, then its whole answer, again and again on one connection.
//!
//! A general client streams bodies through channels, keeps headers in a map and has a task a connection. A replay keeps an answer as text and
//! asks tens of thousands of times a second, and what asking costs is taken from the service that it measures on the same machine; so it writes
//! a request as one text and reads the answer as one.
//!
//! **Invariant**: where an answer ends is decided as RFC 9112, section 6.3, has it, by [`framing`]; what is ambiguous there is a failure and never a
//! guess. A connection is used again only when request and answer came to their ends and nothing followed. It deliberately follows no upgrade and
//! keeps no trailers.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use rehearsal_host::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Framing, Malformed, framing, kept};
use crate::run::Answer;

/// An answer's head, with those that only announce it, is no longer than this.
const HEAD_BYTES: usize = 256 << 10;
/// It has no more headers than this.
const HEADERS: usize = 128;
/// Read at once; a buffer that grew beyond [`EVERYDAY`] is given back.
const READ_BYTES: usize = 8 << 10;
const EVERYDAY: usize = 64 << 10;

/// A connection, and what was read of it.
pub(super) struct Connection {
    stream: Stream,
    input: Vec<u8>,
    /// What of [`Self::input`] was read; the rest is room.
    filled: usize,
    output: Vec<u8>,
}

/// Why no whole answer came.
#[derive(Debug)]
pub(super) enum Lost {
    /// The connection was closed before anything was written: the request may be sent on another one.
    Unsent,
    /// The connection was closed before a byte of an answer came.
    Unanswered(String),
    /// It is not known what the target made of the request.
    Broken(String),
    /// The answer is longer than the limit.
    TooLarge,
}

impl From<Malformed> for Lost {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Broken(format!("the answer is no valid HTTP: {what}"))
    }
}

/// What was made of an answer so far.
enum Stage {
    Head,
    /// The head is read: status, headers, and whether the connection may be used again.
    Body(u16, Vec<(String, String)>, bool, Framing),
}

/// The progress of one exchange.
struct Exchange {
    sent: usize,
    flushed: bool,
    /// It cannot be written any more; an answer may have come nevertheless.
    deaf: Option<io::Error>,
    stage: Stage,
    /// Where the next byte to look at is.
    at: usize,
    body: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            filled: 0,
            output: Vec::new(),
        }
    }

    /// Sends `request` and reads its answer, of at most `limit` bytes of body; says whether the connection may be used again.
    pub(super) async fn exchange(
        &mut self,
        request: &Request<Bytes>,
        limit: usize,
    ) -> Result<(Answer, bool), Lost> {
        self.output.clear();
        written(request, &mut self.output);
        let head_only = request.method() == Method::HEAD;
        let mut exchange = Exchange {
            sent: 0,
            flushed: false,
            deaf: None,
            stage: Stage::Head,
            at: 0,
            body: Vec::new(),
        };
        let done = poll_fn(|cx| self.advance(cx, &mut exchange, head_only, limit)).await;
        if self.output.capacity() > EVERYDAY {
            self.output = Vec::new();
        }
        if self.input.len() > EVERYDAY {
            self.input = Vec::new();
        }
        done
    }

    /// Whether nothing has come since the last answer: neither an end nor what nobody asked for.
    pub(super) async fn is_quiet(&mut self) -> bool {
        self.filled = 0;
        poll_fn(|cx| Poll::Ready(self.fill(cx).is_pending())).await
    }

    fn advance(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        head_only: bool,
        limit: usize,
    ) -> Poll<Result<(Answer, bool), Lost>> {
        if let Err(error) = self.send(cx, exchange) {
            if exchange.sent == 0 {
                return Poll::Ready(Err(Lost::Unsent));
            }
            exchange.deaf = Some(error);
        }
        loop {
            match self.fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(self.ended(exchange, limit)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let told = exchange.deaf.take().unwrap_or(error).to_string();
                    return Poll::Ready(Err(self.lost(exchange, told)));
                }
            }
            match self.read(exchange, head_only, limit) {
                Ok(None) => {}
                Ok(Some(done)) => return Poll::Ready(Ok(done)),
                Err(lost) => return Poll::Ready(Err(lost)),
            }
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> io::Result<()> {
        if exchange.deaf.is_some() {
            return Ok(());
        }
        while exchange.sent < self.output.len() {
            let left = &self.output[exchange.sent..];
            match Pin::new(&mut self.stream).poll_write(cx, left) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => exchange.sent += count,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if !exchange.flushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(done) => {
                    done?;
                    exchange.flushed = true;
                }
            }
        }
        Ok(())
    }

    /// Reads what is there.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.len() - self.filled < READ_BYTES / 2 {
            let grown = (self.input.len() * 2).max(READ_BYTES);
            self.input.resize(grown, 0);
        }
        let mut room = ReadBuf::new(&mut self.input[self.filled..]);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let count = room.filled().len();
        read.map_ok(|()| {
            self.filled += count;
            count
        })
    }

    /// Takes in what was read; gives the answer once it is whole.
    fn read(
        &mut self,
        exchange: &mut Exchange,
        head_only: bool,
        limit: usize,
    ) -> Result<Option<(Answer, bool)>, Lost> {
        while let Stage::Head = exchange.stage {
            let Some((length, head)) = self.head(exchange.at, head_only)? else {
                return Ok(None);
            };
            exchange.at += length;
            if let Some(stage) = head {
                exchange.stage = stage;
            }
        }
        let Stage::Body(_, _, _, framing) = &mut exchange.stage else {
            return Ok(None);
        };
        let there = &self.input[exchange.at..self.filled];
        let whole = match framing {
            Framing::Nothing => true,
            Framing::Length(length) => {
                if *length > limit as u64 {
                    return Err(Lost::TooLarge);
                }
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                let all = there.len() >= length;
                if all {
                    exchange.body.extend_from_slice(&there[..length]);
                    exchange.at += length;
                }
                all
            }
            Framing::Chunked(chunks) => {
                let (used, all) = chunks.take(there, &mut exchange.body)?;
                exchange.at += used;
                all
            }
            Framing::UntilClosed => {
                exchange.body.extend_from_slice(there);
                exchange.at = self.filled;
                false
            }
        };
        if exchange.body.len() > limit {
            return Err(Lost::TooLarge);
        }
        if whole {
            let nothing_follows = exchange.at == self.filled;
            let all_sent = exchange.flushed && exchange.deaf.is_none();
            return Ok(Some(taken(exchange, nothing_follows && all_sent)));
        }
        // What is read is let go, so that a body's framing adds nothing to what is kept of it.
        if exchange.at > 0 {
            self.input.copy_within(exchange.at..self.filled, 0);
            self.filled -= exchange.at;
            exchange.at = 0;
        }
        Ok(None)
    }

    /// The head that begins at `at`, if it is whole: its length, and what follows it; nothing after a head that only announces another one.
    fn head(&self, at: usize, head_only: bool) -> Result<Option<(usize, Option<Stage>)>, Lost> {
        let mut room = [httparse::EMPTY_HEADER; HEADERS];
        let mut head = httparse::Response::new(&mut room);
        let bytes = &self.input[at..self.filled];
        let parsed = head.parse(bytes);
        let length = match parsed {
            Ok(parsed) => {
                let length = match parsed {
                    httparse::Status::Complete(length) => length,
                    httparse::Status::Partial => bytes.len(),
                };
                if at + length > HEAD_BYTES {
                    return Err(Malformed("its head is too long").into());
                }
                if parsed.is_partial() {
                    return Ok(None);
                }
                length
            }
            Err(error) => {
                return Err(Lost::Broken(format!(
                    "the answer is no valid HTTP: {error}"
                )));
            }
        };
        let status = head.code.unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            return Ok(Some((length, None)));
        }
        let current = head.version == Some(1);
        let framing = framing(status, head_only, current, head.headers)?;
        let kept = status != 101 && kept(current, head.headers);
        let headers = head.headers.iter().map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_ascii_lowercase(), value)
        });
        let stage = Stage::Body(status, headers.collect(), kept, framing);
        Ok(Some((length, Some(stage))))
    }

    /// What an end of the connection makes of the answer.
    fn ended(&self, exchange: &mut Exchange, limit: usize) -> Result<(Answer, bool), Lost> {
        match &exchange.stage {
            Stage::Body(_, _, _, Framing::UntilClosed) if exchange.body.len() <= limit => {
                Ok(taken(exchange, false))
            }
            Stage::Head if self.filled == 0 => Err(Lost::Unanswered(
                "the connection was closed before an answer came".to_owned(),
            )),
            Stage::Head | Stage::Body(..) => Err(Lost::Broken(
                "the connection was closed in the middle of the answer".to_owned(),
            )),
        }
    }

    /// What an error of the connection makes of the answer.
    fn lost(&self, exchange: &Exchange, told: String) -> Lost {
        match &exchange.stage {
            Stage::Head if self.filled == 0 => Lost::Unanswered(told),
            Stage::Head | Stage::Body(..) => Lost::Broken(told),
        }
    }
}

/// The answer, once its body is whole, and whether the connection may be used again.
fn taken(exchange: &mut Exchange, quiet: bool) -> (Answer, bool) {
    let (status, headers, kept) = match std::mem::replace(&mut exchange.stage, Stage::Head) {
        Stage::Body(status, headers, kept, _) => (status, headers, kept),
        Stage::Head => (0, Vec::new(), false),
    };
    let mut body = std::mem::take(&mut exchange.body);
    body.shrink_to_fit();
    let answer = Answer {
        status,
        headers,
        body: Bytes::from(body),
    };
    (answer, kept && quiet)
}

/// Writes a request: its target as a path, the authority in `Host`, the body's length where there is a body.
fn written(request: &Request<Bytes>, text: &mut Vec<u8>) {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    for part in [request.method().as_str(), " ", path, " HTTP/1.1\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    let mut line = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            text.extend_from_slice(part);
        }
    };
    for (name, value) in request.headers() {
        line(name.as_str(), HeaderValue::as_bytes(value));
    }
    if !request.headers().contains_key(header::HOST)
        && let Some(authority) = uri.authority()
    {
        line("host", authority.as_str().as_bytes());
    }
    let body = request.body();
    // A method that is made for a body says that it has none (RFC 9110, section 8.6); some servers wait for one otherwise, or answer 411.
    let expects_one = matches!(request.method().as_str(), "POST" | "PUT" | "PATCH");
    if expects_one || !body.is_empty() {
        line("content-length", body.len().to_string().as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(body);
}
