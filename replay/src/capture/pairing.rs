//! Requests and responses that came apart are put together again, and requests into the order of their time.
//!
//! A window of requests is held. A response joins the oldest request with its id that still has none (ids repeat: pipelining, reused
//! ports) and lies within [`SPAN_NS`]; the window lets its oldest request go when it is full, and everything at the end.
//!
//! **Invariant**: every half that came in goes out, in an exchange or as a [`Skipped`]; the window is bounded in count and bytes.

use std::collections::{BTreeMap, VecDeque};

use crate::capture::{
    Body, Exchange, Flag, Headers, Record, Request, Response, Skipped, SkippedKind,
};

/// A response belongs to a request at most this far away.
const SPAN_NS: u64 = 120_000_000_000;

/// Records are out of order within a few thousand; the window is wider than any recorder's buffer.
const WINDOW: usize = 10_000;

/// However many they are, the window's bodies take at most this much memory.
const WINDOW_BYTES: usize = 24 << 20;

/// One record of a format that writes requests and responses apart.
#[derive(Clone, Debug)]
pub(crate) enum Half {
    Request {
        id: String,
        ts_ns: u64,
        request: Request,
        flags: Vec<Flag>,
        conn: Option<String>,
        session: Option<String>,
    },
    Response(ResponseHalf),
}

/// A response that looks for its request.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHalf {
    pub(crate) id: String,
    pub(crate) ts_ns: u64,
    /// The meta line's fourth field: the round trip in old files, the time of receiving in newer ones.
    pub(crate) receive_ns: u64,
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    pub(crate) flags: Vec<Flag>,
}

impl Half {
    pub(crate) fn flags_mut(&mut self) -> &mut Vec<Flag> {
        match self {
            Self::Request { flags, .. } => flags,
            Self::Response(response) => &mut response.flags,
        }
    }
}

type Place = (u64, u64);

/// The window.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    /// Exchanges by time, then by their order in the file.
    window: BTreeMap<Place, Exchange>,
    /// Requests without a response, oldest first, by id.
    open: BTreeMap<String, VecDeque<Place>>,
    /// The ids of what is in the window.
    ids: BTreeMap<Place, String>,
    /// Responses that came before their request, with their offset.
    early: BTreeMap<String, VecDeque<(u64, ResponseHalf)>>,
    early_order: VecDeque<String>,
    bytes: usize,
    ordinal: u64,
    released: u64,
    latest_ns: u64,
}

impl Pairing {
    /// Takes a half, and puts what is complete or too old into `ready`.
    pub(crate) fn push(&mut self, offset: u64, half: Half, ready: &mut VecDeque<Record>) {
        match half {
            Half::Request {
                id,
                ts_ns,
                request,
                mut flags,
                conn,
                session,
            } => {
                if ts_ns < self.latest_ns {
                    flags.push(Flag::OutOfOrder);
                }
                self.latest_ns = self.latest_ns.max(ts_ns);
                let place = (ts_ns, self.ordinal);
                self.ordinal += 1;
                self.bytes += size(&request.body);
                let exchange = Exchange {
                    seq: 0,
                    ts_ns,
                    conn,
                    session,
                    request,
                    response: None,
                    flags,
                };
                self.window.insert(place, exchange);
                match self.early_response(&id, ts_ns) {
                    Some(response) => self.attach(place, response),
                    None => self.open.entry(id.clone()).or_default().push_back(place),
                }
                self.ids.insert(place, id);
            }
            Half::Response(response) => {
                self.bytes += size(&response.body);
                if let Some(place) = self.open_request(&response) {
                    self.attach(place, response);
                } else {
                    self.early_order.push_back(response.id.clone());
                    self.early
                        .entry(response.id.clone())
                        .or_default()
                        .push_back((offset, response));
                }
            }
        }
        while self.window.len() > WINDOW || (self.bytes > WINDOW_BYTES && !self.window.is_empty()) {
            self.release(ready);
        }
        while self.early_order.len() > WINDOW
            || (self.bytes > WINDOW_BYTES && !self.early_order.is_empty())
        {
            self.abandon(ready);
        }
    }

    /// Lets everything go.
    pub(crate) fn finish(&mut self, ready: &mut VecDeque<Record>) {
        while !self.window.is_empty() {
            self.release(ready);
        }
        while !self.early_order.is_empty() {
            self.abandon(ready);
        }
    }

    fn open_request(&mut self, response: &ResponseHalf) -> Option<Place> {
        let places = self.open.get_mut(&response.id)?;
        let at = places
            .iter()
            .position(|(ts, _)| response.ts_ns.abs_diff(*ts) <= SPAN_NS)?;
        let place = places.remove(at);
        if places.is_empty() {
            self.open.remove(&response.id);
        }
        place
    }

    fn early_response(&mut self, id: &str, ts_ns: u64) -> Option<ResponseHalf> {
        let responses = self.early.get_mut(id)?;
        let at = responses
            .iter()
            .position(|(_, response)| response.ts_ns.abs_diff(ts_ns) <= SPAN_NS)?;
        let (_, response) = responses.remove(at)?;
        if responses.is_empty() {
            self.early.remove(id);
        }
        if let Some(at) = self.early_order.iter().position(|known| known == id) {
            self.early_order.remove(at);
        }
        Some(response)
    }

    fn attach(&mut self, place: Place, response: ResponseHalf) {
        let Some(exchange) = self.window.get_mut(&place) else {
            return;
        };
        let sent = exchange.ts_ns;
        // Old files repeat the request's time and put the round trip into the fourth field.
        let latency_ns = if response.ts_ns <= sent {
            response.receive_ns
        } else {
            (response.ts_ns - sent).saturating_add(response.receive_ns)
        };
        for flag in response.flags {
            if !exchange.flags.contains(&flag) {
                exchange.flags.push(flag);
            }
        }
        exchange.response = Some(Response {
            ts_ns: sent.saturating_add(latency_ns),
            latency_ns,
            status: response.status,
            headers: response.headers,
            body: response.body,
        });
    }

    fn release(&mut self, ready: &mut VecDeque<Record>) {
        let Some((place, mut exchange)) = self.window.pop_first() else {
            return;
        };
        if let Some(id) = self.ids.remove(&place)
            && let Some(places) = self.open.get_mut(&id)
        {
            places.retain(|open| *open != place);
            if places.is_empty() {
                self.open.remove(&id);
            }
        }
        self.bytes -= size(&exchange.request.body);
        if let Some(response) = &exchange.response {
            self.bytes -= size(&response.body);
        }
        exchange.seq = self.released;
        self.released += 1;
        ready.push_back(Record::Exchange(Box::new(exchange)));
    }

    fn abandon(&mut self, ready: &mut VecDeque<Record>) {
        let Some(id) = self.early_order.pop_front() else {
            return;
        };
        let Some(responses) = self.early.get_mut(&id) else {
            return;
        };
        if let Some((offset, response)) = responses.pop_front() {
            self.bytes -= size(&response.body);
            ready.push_back(Record::Skipped(Skipped {
                offset,
                kind: SkippedKind::OrphanResponse,
                reason: format!("a response with id {id}, whose request is not in the capture"),
            }));
        }
        if responses.is_empty() {
            self.early.remove(&id);
        }
    }
}

fn size(body: &Body) -> usize {
    match body {
        Body::Whole(bytes) | Body::Truncated { bytes, .. } => bytes.len(),
        Body::Missing => 0,
    }
}
