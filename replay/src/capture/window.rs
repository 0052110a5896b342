//! Records are put into the order of their time, and requests and responses that came apart are put together again.
//!
//! A window of exchanges is held, in order of time. A response joins the oldest request with its id that still has none (ids repeat:
//! pipelining, reused ports) and lies within [`SPAN_NS`]; the window lets its oldest exchange go when it is full, and all at the end.
//!
//! **Invariant**: every half that came in goes out, in an exchange or as a [`Skipped`]; the window is bounded in count and bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::capture::{
    Body, Exchange, Flag, Headers, Record, Response, Skipped, SkippedKind,
    parsed::{Id, Parsed, ResponseHalf, What},
    session::Connections,
};

/// A response belongs to a request at most this far away.
const SPAN_NS: u64 = 120_000_000_000;

/// Records are out of order within a few thousand; the window is wider than any recorder's buffer.
const WINDOW: usize = 10_000;

/// However many they are, what waits takes at most about this much memory.
const WINDOW_BYTES: usize = 20 << 20;

/// What an exchange, a header or an id takes beyond its text: the structures themselves and an allocator's rounding.
const EXCHANGE_BYTES: usize = 512;
const HEADER_BYTES: usize = 80;

#[derive(Debug)]
struct Slot {
    ts_ns: u64,
    ordinal: u64,
    id: Option<Id>,
    bytes: usize,
    exchange: Box<Exchange>,
}

#[derive(Debug)]
struct Early {
    file: Arc<str>,
    offset: u64,
    bytes: usize,
    response: Box<ResponseHalf>,
}

/// The window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// By time, then by their order in the files.
    slots: VecDeque<Slot>,
    /// Requests without a response: their time by id and order. `None` until there is a response to look for one: many captures have none.
    open: Option<BTreeMap<(Id, u64), u64>>,
    /// Responses that came before their request.
    early: BTreeMap<(Id, u64), Early>,
    early_order: BTreeMap<u64, Id>,
    connections: Connections,
    bytes: usize,
    ordinal: u64,
    released: u64,
    latest_ns: u64,
    last_ns: u64,
}

impl Window {
    /// Takes a record of `file`, and puts what is complete or too old into `ready`.
    pub(crate) fn push(&mut self, file: &Arc<str>, parsed: Parsed, ready: &mut VecDeque<Record>) {
        self.ordinal += 1;
        match parsed.what {
            What::Skipped(kind, reason) => ready.push_back(Record::Skipped(Skipped {
                file: Arc::clone(file),
                line: parsed.line,
                offset: parsed.offset,
                kind,
                reason,
                count: 1,
            })),
            What::SkippedBefore(kind, reason, count) => {
                ready.push_back(Record::Skipped(Skipped {
                    file: Arc::clone(file),
                    line: parsed.line,
                    offset: parsed.offset,
                    kind,
                    reason,
                    count,
                }));
            }
            What::Exchange(mut exchange) => {
                if exchange.flags.contains(&Flag::TimeUnknown) {
                    exchange.ts_ns = self.latest_ns;
                    if let Some(response) = &mut exchange.response {
                        response.ts_ns = exchange.ts_ns.saturating_add(response.latency_ns);
                    }
                }
                self.latest_ns = self.latest_ns.max(exchange.ts_ns);
                self.insert(None, exchange);
            }
            What::Request(id, mut exchange) => {
                if exchange.ts_ns < self.latest_ns {
                    exchange.flag(Flag::OutOfOrder);
                }
                self.latest_ns = self.latest_ns.max(exchange.ts_ns);
                let (ts_ns, ordinal) = (exchange.ts_ns, self.ordinal);
                let early = self.early_response(&id, ts_ns);
                if let (None, Some(open)) = (&early, &mut self.open) {
                    open.insert((id.clone(), ordinal), ts_ns);
                }
                self.insert(Some(id), exchange);
                if let Some(response) = early {
                    self.attach(ts_ns, ordinal, *response);
                }
            }
            What::Response(response) => match self.open_request(&response) {
                Some((ts_ns, ordinal)) => self.attach(ts_ns, ordinal, *response),
                None => self.wait(file, parsed.offset, response),
            },
        }
        while self.slots.len() > WINDOW || (self.bytes > WINDOW_BYTES && !self.slots.is_empty()) {
            self.release(ready);
        }
        while self.early.len() > WINDOW || (self.bytes > WINDOW_BYTES && !self.early.is_empty()) {
            self.abandon(ready);
        }
    }

    /// Lets everything go.
    pub(crate) fn finish(&mut self, ready: &mut VecDeque<Record>) {
        while !self.slots.is_empty() {
            self.release(ready);
        }
        while !self.early.is_empty() {
            self.abandon(ready);
        }
    }

    fn insert(&mut self, id: Option<Id>, exchange: Box<Exchange>) {
        let (ts_ns, ordinal) = (exchange.ts_ns, self.ordinal);
        let bytes = EXCHANGE_BYTES
            + exchange.request.target.len()
            + weight(&exchange.request.headers, &exchange.request.body)
            + exchange
                .response
                .as_ref()
                .map_or(0, |response| weight(&response.headers, &response.body));
        self.bytes += bytes;
        let slot = Slot {
            ts_ns,
            ordinal,
            id,
            bytes,
            exchange,
        };
        if self.slots.back().is_none_or(|last| last.ts_ns <= ts_ns) {
            self.slots.push_back(slot);
        } else {
            let at = self.slots.partition_point(|other| other.ts_ns <= ts_ns);
            self.slots.insert(at, slot);
        }
    }

    /// The oldest request that `response` may belong to; it is no longer open.
    fn open_request(&mut self, response: &ResponseHalf) -> Option<(u64, u64)> {
        let from = (response.id.clone(), 0);
        let slots = &self.slots;
        let open = self.open.get_or_insert_with(|| {
            let ids = slots
                .iter()
                .filter_map(|slot| Some((slot, slot.id.clone()?)));
            ids.map(|(slot, id)| ((id, slot.ordinal), slot.ts_ns))
                .collect()
        });
        let (key, ts_ns) = open
            .range(from..)
            .take_while(|((id, _), _)| *id == response.id)
            .find(|(_, ts_ns)| response.ts_ns.abs_diff(**ts_ns) <= SPAN_NS)?;
        let (key, ts_ns) = (key.clone(), *ts_ns);
        open.remove(&key);
        Some((ts_ns, key.1))
    }

    fn early_response(&mut self, id: &Id, ts_ns: u64) -> Option<Box<ResponseHalf>> {
        if self.early.is_empty() {
            return None;
        }
        let key = self
            .early
            .range((id.clone(), 0)..)
            .take_while(|((other, _), _)| other == id)
            .find(|(_, early)| early.response.ts_ns.abs_diff(ts_ns) <= SPAN_NS)
            .map(|(key, _)| key.clone())?;
        self.early_order.remove(&key.1);
        let early = self.early.remove(&key)?;
        self.bytes -= early.bytes;
        Some(early.response)
    }

    fn wait(&mut self, file: &Arc<str>, offset: u64, response: Box<ResponseHalf>) {
        let bytes = EXCHANGE_BYTES + weight(&response.headers, &response.body);
        self.bytes += bytes;
        self.early_order.insert(self.ordinal, response.id.clone());
        let early = Early {
            file: Arc::clone(file),
            offset,
            bytes,
            response,
        };
        self.early
            .insert((early.response.id.clone(), self.ordinal), early);
    }

    fn attach(&mut self, ts_ns: u64, ordinal: u64, response: ResponseHalf) {
        let place = self
            .slots
            .binary_search_by(|slot| (slot.ts_ns, slot.ordinal).cmp(&(ts_ns, ordinal)));
        let Some(slot) = place.ok().and_then(|at| self.slots.get_mut(at)) else {
            return;
        };
        let exchange = &mut slot.exchange;
        // Old files repeat the request's time and put the round trip into the fourth field.
        let latency_ns = if response.ts_ns <= ts_ns {
            response.receive_ns
        } else {
            (response.ts_ns - ts_ns).saturating_add(response.receive_ns)
        };
        for flag in response.flags {
            exchange.flag(flag);
        }
        let bytes = weight(&response.headers, &response.body);
        slot.bytes += bytes;
        self.bytes += bytes;
        // What answers a HEAD has no body, whatever its head declares.
        let body = match response.body {
            Body::Truncated { bytes, .. }
                if bytes.is_empty() && exchange.request.method == "HEAD" =>
            {
                exchange.flags.retain(|flag| *flag != Flag::Truncated);
                Body::EMPTY
            }
            body => body,
        };
        exchange.response = Some(Response {
            ts_ns: ts_ns.saturating_add(latency_ns),
            latency_ns,
            status: response.status,
            headers: response.headers,
            body,
        });
    }

    fn release(&mut self, ready: &mut VecDeque<Record>) {
        let Some(mut slot) = self.slots.pop_front() else {
            return;
        };
        if let Some(id) = slot.id {
            if let (None, Some(open)) = (&slot.exchange.response, &mut self.open) {
                open.remove(&(id, slot.ordinal));
            }
            self.connections.name(&mut slot.exchange);
        }
        if slot.ts_ns < self.last_ns {
            slot.exchange.flag(Flag::OutOfOrder);
        }
        self.last_ns = self.last_ns.max(slot.ts_ns);
        self.bytes -= slot.bytes;
        slot.exchange.seq = self.released;
        self.released += 1;
        ready.push_back(Record::Exchange(slot.exchange));
    }

    fn abandon(&mut self, ready: &mut VecDeque<Record>) {
        let Some((ordinal, id)) = self.early_order.pop_first() else {
            return;
        };
        let key = (id, ordinal);
        let Some(early) = self.early.remove(&key) else {
            return;
        };
        self.bytes -= early.bytes;
        ready.push_back(Record::Skipped(Skipped {
            file: early.file,
            line: None,
            offset: early.offset,
            kind: SkippedKind::OrphanResponse,
            reason: format!(
                "a response with id {}, whose request is not in the capture",
                key.0
            ),
            count: 1,
        }));
    }
}

fn weight(headers: &Headers, body: &Body) -> usize {
    let text: usize = headers
        .iter()
        .map(|(name, value)| HEADER_BYTES + name.len() + value.len())
        .sum();
    text + match body {
        Body::Whole(bytes) | Body::Truncated { bytes, .. } => bytes.len(),
        Body::Missing => 0,
    }
}
