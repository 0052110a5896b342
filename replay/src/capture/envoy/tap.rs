//! Envoy's HTTP tap, JSON: one buffered exchange an object, or segments of several exchanges that are put together by their trace id.
//!
//! Objects stand back to back, one a line or pretty-printed (the admin stream), or in an array.
//!
//! **Invariant**: a body that the tap cut says so. Segments are held for a bounded number of exchanges and bytes; one whose request came too
//! early or never is a record that is counted.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
    sync::Arc,
};

use serde::Deserialize;

use super::message::{Headed, Part, Side};
use crate::capture::{
    SkippedKind,
    input::Input,
    open::io_error,
    parsed::{Next, Parsed, What},
    values,
};

/// So many exchanges wait for their segments.
const TRACES: usize = 10_000;

/// Waiting segments take at most this much memory.
const TRACE_BYTES: usize = 8 << 20;

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default, alias = "httpBufferedTrace")]
    http_buffered_trace: Option<Buffered<'a>>,
    #[serde(borrow, default, alias = "httpStreamedTraceSegment")]
    http_streamed_trace_segment: Option<Segment<'a>>,
}

#[derive(Deserialize)]
struct Buffered<'a> {
    #[serde(borrow, default)]
    request: Option<Headed<'a>>,
    #[serde(borrow, default)]
    response: Option<Headed<'a>>,
}

#[derive(Deserialize)]
struct Segment<'a> {
    #[serde(borrow, default, alias = "traceId")]
    trace_id: crate::capture::lenient::Text<'a>,
    #[serde(borrow, default, alias = "requestHeaders")]
    request_headers: Option<Headed<'a>>,
    #[serde(borrow, default, alias = "requestBodyChunk")]
    request_body_chunk: Option<Part<'a>>,
    #[serde(borrow, default, alias = "responseHeaders")]
    response_headers: Option<Headed<'a>>,
    #[serde(borrow, default, alias = "responseBodyChunk")]
    response_body_chunk: Option<Part<'a>>,
    #[serde(default, alias = "responseTrailers")]
    response_trailers: Option<serde::de::IgnoredAny>,
}

/// An exchange whose segments are coming in.
#[derive(Debug)]
struct Trace {
    offset: u64,
    line: u64,
    request: Side,
    response: Side,
}

/// Takes a tap's output apart.
#[derive(Debug)]
pub(crate) struct EnvoyTap<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    line: u64,
    traces: BTreeMap<String, Trace>,
    order: VecDeque<(String, u64)>,
    bytes: usize,
    /// An exchange whose last segment was counted before it.
    given: Option<Parsed>,
}

impl<R: Read> EnvoyTap<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>) -> Self {
        Self {
            name,
            input,
            line: 1,
            traces: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            given: None,
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next exchange that is whole, or will get no more segments.
    pub(crate) fn next(&mut self) -> Next {
        if let Some(parsed) = self.given.take() {
            return Ok(Some(parsed));
        }
        loop {
            while self.traces.len() > TRACES || self.bytes > TRACE_BYTES && !self.traces.is_empty()
            {
                if let Some(parsed) = self.oldest() {
                    return Ok(Some(parsed));
                }
            }
            let (name, place) = (Arc::clone(&self.name), self.input.offset());
            let value = values::element(&mut self.input, &mut self.line)
                .map_err(|error| io_error(&name, place, &error))?;
            let Some(value) = value else {
                return Ok(self.oldest());
            };
            let (offset, line) = (value.offset, self.line);
            self.line += value.lines();
            let read = match value.too_long {
                Some(length) => Err((
                    SkippedKind::TooLarge,
                    format!("a record of {length} bytes, above the limit of a record"),
                )),
                None => serde_json::from_slice::<Object<'_>>(value.bytes)
                    .map_err(|error| (SkippedKind::Malformed, error.to_string())),
            };
            let parsed = |what| Parsed {
                offset,
                line: Some(line),
                what,
            };
            let object = match read {
                Ok(object) => object,
                Err((kind, reason)) => return Ok(Some(parsed(What::Skipped(kind, reason)))),
            };
            if let Some(buffered) = object.http_buffered_trace {
                let (mut request, mut response) = (Side::default(), Side::default());
                let read = request
                    .head(buffered.request)
                    .and_then(|()| response.head(buffered.response));
                let what = read.and_then(|()| Side::exchange(request, response));
                return Ok(Some(parsed(what.unwrap_or_else(malformed))));
            }
            let Some(segment) = object.http_streamed_trace_segment else {
                let reason =
                    "an object that is neither a buffered trace nor a segment of HTTP".to_owned();
                return Ok(Some(parsed(What::Skipped(SkippedKind::NotHttp, reason))));
            };
            let trace_id = segment.trace_id.0.clone().into_owned();
            if !self.traces.contains_key(&trace_id) {
                self.order.push_back((trace_id.clone(), offset));
            }
            let trace = self
                .traces
                .entry(trace_id.clone())
                .or_insert_with(|| Trace {
                    offset,
                    line,
                    request: Side::default(),
                    response: Side::default(),
                });
            let before = trace.request.bytes() + trace.response.bytes();
            let ended = segment.response_trailers.is_some();
            let added = add(trace, segment);
            let after = trace.request.bytes() + trace.response.bytes();
            self.bytes = self.bytes + after - before;
            let exchange = if ended { self.give(&trace_id) } else { None };
            if let Err(reason) = added {
                self.given = exchange;
                return Ok(Some(parsed(What::Skipped(SkippedKind::Malformed, reason))));
            }
            if exchange.is_some() {
                return Ok(exchange);
            }
        }
    }

    fn oldest(&mut self) -> Option<Parsed> {
        loop {
            let (trace_id, offset) = self.order.pop_front()?;
            // One that ended is gone already, and its id may be another's by now.
            if self
                .traces
                .get(&trace_id)
                .is_some_and(|trace| trace.offset == offset)
            {
                return self.give(&trace_id);
            }
        }
    }

    fn give(&mut self, trace_id: &str) -> Option<Parsed> {
        let trace = self.traces.remove(trace_id)?;
        self.bytes -= trace.request.bytes() + trace.response.bytes();
        if self.traces.is_empty() {
            self.order.clear();
        }
        let what = if trace.request.is_empty() {
            let reason =
                format!("segments of trace {trace_id}, whose request is not in the capture");
            What::Skipped(SkippedKind::OrphanResponse, reason)
        } else {
            Side::exchange(trace.request, trace.response).unwrap_or_else(malformed)
        };
        Some(Parsed {
            offset: trace.offset,
            line: Some(trace.line),
            what,
        })
    }
}

fn malformed(reason: String) -> What {
    What::Skipped(SkippedKind::Malformed, reason)
}

/// Adds a segment; what of it can be read is added whatever else cannot.
fn add(trace: &mut Trace, segment: Segment<'_>) -> Result<(), String> {
    let body = |side: &mut Side, part: Option<Part<'_>>| match part {
        Some(part) => side.body(&part),
        None => Ok(()),
    };
    let added = [
        trace.request.head(segment.request_headers),
        trace.response.head(segment.response_headers),
        body(&mut trace.request, segment.request_body_chunk),
        body(&mut trace.response, segment.response_body_chunk),
    ];
    added.into_iter().collect()
}
