//! Access logs of JSON objects, one a line: nginx's with a log format of one's own, and Envoy's.
//!
//! nginx writes the time at which a request ended, Envoy that at which it began; a request's own time is its beginning. Without
//! `escape=json` nginx writes `\xHH`, which is no JSON: it is read all the same. Below the millisecond, which neither writes, stands the
//! request's number on its connection, so that what began together keeps its order.
//!
//! **Invariant**: a write whose body is not in the log has an unknown body, never an empty one.

use std::{borrow::Cow, collections::BTreeMap, io::Read, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use crate::capture::{
    Body, Exchange, Flag, Headers, Request, Response, SkippedKind,
    fields::Fields,
    input::Input,
    open::io_error,
    parsed::{Next, Parsed, What},
    protocol, session, status, target, times, values,
};

/// Lua filters that log answers commonly cut each piece to this; a length that is a multiple of it is not to be trusted.
const SUSPECT: usize = 1_000;

/// So deep a key is looked for.
const DEPTH: usize = 4;

/// Takes an access log apart.
#[derive(Debug)]
pub(crate) struct JsonLog<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    fields: Fields,
    line: u64,
}

impl<R: Read> JsonLog<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>, fields: Fields) -> Self {
        Self {
            name,
            input,
            fields,
            line: 1,
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Next {
        let Some(value) = values::element(&mut self.input, &mut self.line)
            .map_err(|error| io_error(&self.name, 0, &error))?
        else {
            return Ok(None);
        };
        let (offset, line) = (value.offset, self.line);
        self.line += value.lines();
        let what = match value.too_long {
            Some(length) => {
                let reason = format!("a record of {length} bytes, above the limit of a record");
                What::Skipped(SkippedKind::TooLarge, reason)
            }
            None => read(value.bytes, &self.fields)
                .unwrap_or_else(|reason| What::Skipped(SkippedKind::Malformed, reason)),
        };
        Ok(Some(Parsed {
            offset,
            line: Some(line),
            what,
        }))
    }
}

/// Whether `begin` looks like an access log: an object with a request's method or line, and its time.
pub(crate) fn is_log(begin: &[u8]) -> bool {
    let keys = values::first_keys(begin);
    let fields = Fields::default();
    let has = |field: &str| {
        fields
            .keys(field)
            .any(|key| keys.iter().any(|other| other == key))
    };
    (has("request") || has("method") && (has("target") || has("path")))
        && (has("start") || has("end"))
}

/// The fields of a line, flat: an object in the object gives `outer.inner`.
struct Line<'a> {
    values: BTreeMap<String, Value>,
    fields: &'a Fields,
    escaped: bool,
}

impl Line<'_> {
    /// The text of `field`; `-` and null are none.
    fn text(&self, field: &str) -> Option<Cow<'_, str>> {
        self.fields.keys(field).find_map(|key| self.key(key))
    }

    fn key(&self, key: &str) -> Option<Cow<'_, str>> {
        match self.values.get(key)? {
            Value::String(text) if text == "-" => None,
            Value::String(text) => Some(self.repaired(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(value) => Some(Cow::Owned(value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Text that was written byte by byte is UTF-8 again.
    fn repaired<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.escaped || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let bytes: Option<Vec<u8>> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect();
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map_or(Cow::Borrowed(text), Cow::Owned)
    }

    fn has(&self, field: &str) -> bool {
        self.fields
            .keys(field)
            .any(|key| self.values.contains_key(key))
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.text(field)?.trim().parse().ok()
    }
}

fn read(bytes: &[u8], fields: &Fields) -> Result<What, String> {
    let (value, escaped) = match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => (value, false),
        Err(error) => match without_hex_escapes(bytes) {
            Some(rewritten) => {
                let value =
                    serde_json::from_slice(&rewritten).map_err(|error| error.to_string())?;
                (value, true)
            }
            None => return Err(error.to_string()),
        },
    };
    let Value::Object(object) = value else {
        return Err("a line that is no object".to_owned());
    };
    let mut values = BTreeMap::new();
    flatten("", object, DEPTH, &mut values);
    let line = Line {
        values,
        fields,
        escaped,
    };
    exchange(&line).map(|exchange| What::Exchange(Box::new(exchange)))
}

fn flatten(
    prefix: &str,
    object: serde_json::Map<String, Value>,
    depth: usize,
    values: &mut BTreeMap<String, Value>,
) {
    for (key, value) in object {
        let key = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Object(inner) if depth > 0 => flatten(&key, inner, depth - 1, values),
            value => drop(values.insert(key, value)),
        }
    }
}

/// `\xHH` as `\u00HH`, where there is one.
fn without_hex_escapes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rewritten = Vec::with_capacity(bytes.len() + 16);
    let (mut at, mut found) = (0, false);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'\\', b'x', rest @ ..] => {
                rewritten.extend_from_slice(b"\\u00");
                rewritten.extend_from_slice(&rest[..rest.len().min(2)]);
                at += 2 + rest.len().min(2);
                found = true;
            }
            [b'\\', next, ..] => {
                rewritten.extend_from_slice(&[b'\\', *next]);
                at += 2;
            }
            _ => {
                rewritten.push(bytes[at]);
                at += 1;
            }
        }
    }
    found.then_some(rewritten)
}

fn exchange(line: &Line<'_>) -> Result<Exchange, String> {
    let request_line = line.text("request");
    let mut parts = request_line.as_deref().unwrap_or_default().split(' ');
    let method = line
        .text("method")
        .unwrap_or_else(|| Cow::Borrowed(parts.next().unwrap_or_default()));
    if method.is_empty()
        || !method
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    {
        return Err(format!("method {method:?}, expected one as GET"));
    }
    let url = url(line, request_line.as_deref());
    let url = url.ok_or("no target: none of the keys it is looked for under is there")?;
    let protocol = match line.text("protocol") {
        Some(protocol) => protocol.into_owned(),
        None => parts.next_back().unwrap_or_default().to_owned(),
    };
    let (mut ts_ns, latency_ns) = times_of(line)?;
    ts_ns = ts_ns.saturating_add(line.number("connection_request").unwrap_or(0).min(999_999));
    let (target, authority) = target::split(&url);
    let mut headers = headers(line);
    target::set_host(&mut headers, line.text("host").as_deref().or(authority));
    let mut flags = Vec::new();
    let response = response(line, &method, (ts_ns, latency_ns))?;
    if response.is_none() {
        flags.push(Flag::Status0);
    }
    let body = request_body(line, &method);
    let conn = line.text("connection").map(Cow::into_owned);
    let session = session::of_headers(&headers)
        .or_else(|| conn.clone())
        .or_else(|| {
            line.text("address")
                .map(|address| session::digest("address", &address))
        });
    Ok(Exchange {
        seq: 0,
        ts_ns,
        conn,
        session,
        request: Request {
            method: method.into_owned(),
            target,
            version: protocol::version(&protocol).to_owned(),
            headers,
            body,
        },
        response,
        flags,
    })
}

/// The target as it was sent, where it is there; else the path, and the query that stands beside it.
fn url<'l>(line: &'l Line<'_>, request_line: Option<&str>) -> Option<Cow<'l, str>> {
    let sent = line.text("target").or_else(|| {
        let url = request_line?.split(' ').nth(1)?;
        Some(Cow::Owned(url.to_owned()))
    });
    if sent.is_some() {
        return sent;
    }
    let path = line.text("path")?;
    match line.text("query").filter(|query| !query.is_empty()) {
        Some(query) if !path.contains('?') => Some(Cow::Owned(format!(
            "{path}?{}",
            query.trim_start_matches('?')
        ))),
        _ => Some(path),
    }
}

/// When it began, and how long it took.
fn times_of(line: &Line<'_>) -> Result<(u64, u64), String> {
    let seconds = line
        .text("duration_s")
        .and_then(|text| times::decimal_seconds(&text));
    let milliseconds = || {
        let text = line.text("duration_ms")?;
        times::decimal_seconds(&text).map(|ns| ns / 1_000)
    };
    let latency_ns = seconds.or_else(milliseconds).unwrap_or(0);
    let parse = |text: &str| times::any(text).ok_or_else(|| format!("{text:?} is no time"));
    if let Some(text) = line.text("start") {
        return Ok((parse(&text)?, latency_ns));
    }
    let text = line
        .text("end")
        .ok_or("no time: none of the keys it is looked for under is there")?;
    let end_ns = parse(&text)?;
    Ok((end_ns.saturating_sub(latency_ns), latency_ns))
}

fn headers(line: &Line<'_>) -> Headers {
    let fields = [
        ("content_type", "Content-Type"),
        ("authorization", "Authorization"),
        ("cookie", "Cookie"),
        ("idempotency_key", "Idempotency-Key"),
        ("id", "X-Request-Id"),
        ("user_agent", "User-Agent"),
    ];
    let mut headers = Headers::new();
    let mut add = |name: &str, value: Option<Cow<'_, str>>| {
        let absent = !headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some(value) = value.filter(|value| absent && !value.is_empty()) {
            headers.push((name.to_owned(), value.into_owned()));
        }
    };
    for (field, name) in fields {
        add(name, line.text(field));
    }
    for (name, key) in line.fields.headers() {
        add(name, line.key(key));
    }
    // nginx's variables for headers: `$http_x_tenant` is X-Tenant.
    for key in line.values.keys() {
        if let Some(name) = key.strip_prefix("http_").filter(|_| !Fields::is_known(key)) {
            add(&name.replace('_', "-"), line.key(key));
        }
    }
    headers
}

fn request_body(line: &Line<'_>, method: &str) -> Body {
    let length = line.number("content_length");
    let text = line.text("body").unwrap_or_default();
    if !text.is_empty() {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        return match length {
            Some(length) if length > bytes.len() as u64 => Body::Truncated {
                bytes,
                length: Some(length),
            },
            _ => Body::Whole(bytes),
        };
    }
    let writes = matches!(method, "POST" | "PUT" | "PATCH");
    // Where the log has a field for bodies, a DELETE without one had none.
    let may_have_one = writes || method == "DELETE" && !line.has("body") && length.is_none();
    match length {
        Some(0) => Body::EMPTY,
        Some(_) => Body::Missing,
        None if may_have_one => Body::Missing,
        None => Body::EMPTY,
    }
}

fn response(
    line: &Line<'_>,
    method: &str,
    (ts_ns, latency_ns): (u64, u64),
) -> Result<Option<Response>, String> {
    let Some(text) = line.text("status") else {
        return Ok(None);
    };
    // nginx writes 000 where there was no answer, and 009 for HTTP/0.9.
    if text.parse().is_ok_and(|number: u64| number < 100) {
        return Ok(None);
    }
    let status = status::read(&text)?;
    let headers: Headers = line
        .values
        .keys()
        .filter_map(|key| {
            let name = key.strip_prefix("sent_http_")?.replace('_', "-");
            Some((name, line.key(key)?.into_owned()))
        })
        .collect();
    let length = line.number("response_length");
    let text = line.text("response_body");
    let body = match text {
        _ if status::bodiless(method, status) => Body::EMPTY,
        None if length == Some(0) => Body::EMPTY,
        None => Body::Missing,
        Some(text) => {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let short = length.is_some_and(|length| length > bytes.len() as u64);
            let suspect =
                length.is_none() && !bytes.is_empty() && bytes.len().is_multiple_of(SUSPECT);
            if short || suspect {
                Body::Truncated { bytes, length }
            } else {
                Body::Whole(bytes)
            }
        }
    };
    Ok(Some(Response {
        ts_ns: ts_ns.saturating_add(latency_ns),
        latency_ns,
        status,
        headers,
        body,
    }))
}
