//! OpenTelemetry's spans, OTLP JSON as the collector's file exporter writes it: arrivals, targets, statuses and latencies.
//!
//! Old and new names of attributes are read: `http.request.method` and `http.method`, `url.path` and `http.target`, and so on.
//!
//! **Invariant**: spans hold no bodies, so a write's is unknown and the write is not replayed; a span that is no request is counted, and one that
//! cannot be read costs itself alone.

use std::{collections::VecDeque, io::Read, sync::Arc};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::capture::{
    Body, Exchange, Flag, Headers, Request, Response, SkippedKind, Spans,
    input::Input,
    lenient::{self, Text},
    open::io_error,
    parsed::{Next, Parsed, What},
    protocol, session, status, target, values,
};

#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow, default, rename = "resourceSpans", alias = "resource_spans")]
    spans: Option<Vec<ResourceSpans<'a>>>,
    #[serde(default, rename = "resourceMetrics", alias = "resource_metrics")]
    metrics: Option<IgnoredAny>,
    #[serde(default, rename = "resourceLogs", alias = "resource_logs")]
    logs: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ResourceSpans<'a> {
    #[serde(
        borrow,
        default,
        rename = "scopeSpans",
        alias = "scope_spans",
        alias = "instrumentationLibrarySpans",
        deserialize_with = "lenient::list"
    )]
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow, default, deserialize_with = "lenient::list")]
    spans: Vec<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(borrow, default, alias = "start_time_unix_nano")]
    start_time_unix_nano: Text<'a>,
    #[serde(borrow, default, alias = "end_time_unix_nano")]
    end_time_unix_nano: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient::list")]
    attributes: Vec<Attribute<'a>>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    value: Option<AnyValue<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are OTLP's names")]
struct AnyValue<'a> {
    #[serde(borrow, alias = "string_value")]
    string_value: Option<Text<'a>>,
    #[serde(borrow, alias = "int_value")]
    int_value: Option<Text<'a>>,
    #[serde(borrow, alias = "bool_value")]
    bool_value: Option<Text<'a>>,
    #[serde(borrow, alias = "double_value")]
    double_value: Option<Text<'a>>,
    #[serde(borrow, alias = "array_value")]
    array_value: Option<ArrayValue<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ArrayValue<'a> {
    #[serde(borrow, deserialize_with = "lenient::list")]
    values: Vec<Option<AnyValue<'a>>>,
}

impl AnyValue<'_> {
    /// Its text; the first of several.
    fn text(&self) -> Option<&str> {
        let scalar = [
            &self.string_value,
            &self.int_value,
            &self.bool_value,
            &self.double_value,
        ];
        let scalar = scalar.into_iter().flatten().next();
        scalar.map(|text| &**text).or_else(|| {
            let values = &self.array_value.as_ref()?.values;
            values.first()?.as_ref()?.text()
        })
    }
}

impl Span<'_> {
    fn any(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| {
            let attribute = self
                .attributes
                .iter()
                .find(|attribute| &*attribute.key == *key)?;
            let text = attribute.value.as_ref()?.text();
            text.filter(|text| !text.is_empty())
        })
    }

    fn is(&self, spans: Spans) -> bool {
        match spans {
            Spans::Server => matches!(&*self.kind, "2" | "SPAN_KIND_SERVER"),
            Spans::Client => matches!(&*self.kind, "3" | "SPAN_KIND_CLIENT"),
        }
    }

    /// The headers that were recorded under `prefix`.
    fn headers(&self, prefix: &str) -> Headers {
        let mut headers = Headers::new();
        for attribute in &self.attributes {
            let Some(name) = attribute.key.strip_prefix(prefix) else {
                continue;
            };
            let Some(value) = &attribute.value else {
                continue;
            };
            let name = name.replace('_', "-");
            match &value.array_value {
                Some(array) => headers.extend(
                    array
                        .values
                        .iter()
                        .filter_map(|value| value.as_ref()?.text())
                        .map(|value| (name.clone(), value.to_owned())),
                ),
                None => {
                    headers.extend(value.text().map(|value| (name, value.to_owned())));
                }
            }
        }
        headers
    }
}

/// Takes an export apart.
#[derive(Debug)]
pub(crate) struct Otlp<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    spans: Spans,
    line: u64,
    waiting: VecDeque<Parsed>,
}

impl<R: Read> Otlp<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>, spans: Spans) -> Self {
        Self {
            name,
            input,
            spans,
            line: 1,
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next span.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            if let Some(parsed) = self.waiting.pop_front() {
                return Ok(Some(parsed));
            }
            let (name, place) = (Arc::clone(&self.name), self.input.offset());
            let value = values::element(&mut self.input, &mut self.line)
                .map_err(|error| io_error(&name, place, &error))?;
            let Some(value) = value else {
                return Ok(None);
            };
            let (offset, line) = (value.offset, self.line);
            self.line += value.lines();
            let parsed = |what| Parsed {
                offset,
                line: Some(line),
                what,
            };
            if let Some(length) = value.too_long {
                let reason = format!("a record of {length} bytes, above the limit of a record");
                return Ok(Some(parsed(What::Skipped(SkippedKind::TooLarge, reason))));
            }
            let export = match serde_json::from_slice::<Export<'_>>(value.bytes) {
                Ok(export) => export,
                Err(error) => {
                    let read = one_by_one(value.bytes, self.spans, error.to_string());
                    self.waiting.extend(read.into_iter().map(parsed));
                    continue;
                }
            };
            let Some(resource_spans) = export.spans else {
                let other = export.metrics.or(export.logs);
                return Ok(Some(parsed(if other.is_some() {
                    let reason = "metrics or logs, which are no requests".to_owned();
                    What::Skipped(SkippedKind::NotHttp, reason)
                } else {
                    let reason = "an object without resourceSpans".to_owned();
                    What::Skipped(SkippedKind::Malformed, reason)
                })));
            };
            let scopes = resource_spans
                .iter()
                .flat_map(|resource| &resource.scope_spans);
            for span in scopes.flat_map(|scope| &scope.spans) {
                let what = read(span, self.spans)
                    .unwrap_or_else(|reason| What::Skipped(SkippedKind::Malformed, reason));
                self.waiting.push_back(parsed(what));
            }
        }
    }
}

/// The spans of an export that does not read as one, so that what is wrong with a span costs that span alone. `reason` is why it does not.
fn one_by_one(bytes: &[u8], spans: Spans, reason: String) -> Vec<What> {
    let malformed = |reason| What::Skipped(SkippedKind::Malformed, reason);
    let Ok(export) = serde_json::from_slice::<Value>(bytes) else {
        return vec![malformed(reason)];
    };
    let mut found = Vec::new();
    let scopes = ["scopeSpans", "scope_spans", "instrumentationLibrarySpans"];
    for resource in within(&export, &["resourceSpans", "resource_spans"]) {
        let scopes = resource.map_or_else(|()| vec![Err(())], |one| within(one, &scopes));
        for scope in scopes {
            found.extend(scope.map_or_else(|()| vec![Err(())], |one| within(one, &["spans"])));
        }
    }
    // What is wrong is neither a span nor what holds spans: the export as a whole is.
    if found.is_empty() {
        return vec![malformed(reason)];
    }
    let read = |span: Result<&Value, ()>| {
        let span = span.map_err(|()| "a list of spans that is no list".to_owned())?;
        let span = Span::deserialize(span).map_err(|error| error.to_string())?;
        read(&span, spans)
    };
    let found = found.into_iter();
    found
        .map(|span| read(span).unwrap_or_else(malformed))
        .collect()
}

/// The elements of the list under one of `keys`; one that is wrong where what is there is no list.
fn within<'v>(value: &'v Value, keys: &[&str]) -> Vec<Result<&'v Value, ()>> {
    let Some(object) = value.as_object() else {
        return vec![Err(())];
    };
    match keys.iter().find_map(|key| object.get(*key)) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(Ok).collect(),
        Some(_) => vec![Err(())],
    }
}

fn read(span: &Span<'_>, spans: Spans) -> Result<What, String> {
    let method = span.any(&[
        "http.request.method_original",
        "http.request.method",
        "http.method",
    ]);
    let (Some(method), true) = (method, span.is(spans)) else {
        let kind = match spans {
            Spans::Server => "a server",
            Spans::Client => "a client",
        };
        let reason = format!("a span that is no HTTP request of {kind}");
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    };
    let time = |text: &str, what: &str| {
        let ns = text.parse::<u64>();
        ns.map_err(|_| format!("{what} {text:?} is no time in nanoseconds"))
    };
    let ts_ns = time(&span.start_time_unix_nano, "startTimeUnixNano")?;
    let end_ns = time(&span.end_time_unix_nano, "endTimeUnixNano")?;
    let latency_ns = end_ns.saturating_sub(ts_ns);
    let url = url(span).ok_or("a request without url.path, url.full, http.target or http.url")?;
    let (target, authority) = target::split(&url);
    let mut headers = span.headers("http.request.header.");
    if let Some(agent) = span.any(&["user_agent.original", "http.user_agent"])
        && crate::capture::header(&headers, "user-agent").is_none()
    {
        headers.push(("User-Agent".to_owned(), agent.to_owned()));
    }
    let named = span.any(&["server.address", "http.host", "net.host.name"]);
    let port = span.any(&["server.port", "net.host.port"]);
    let host = match (authority, named, port) {
        (Some(authority), ..) => Some(authority.to_owned()),
        (None, Some(name), Some(port)) if !matches!(port, "80" | "443") && !name.contains(':') => {
            Some(format!("{name}:{port}"))
        }
        (None, name, _) => name.map(ToOwned::to_owned),
    };
    target::set_host(&mut headers, host.as_deref());
    let mut flags = Vec::new();
    let response = response(span, method, (ts_ns, latency_ns))?;
    if response.is_none() {
        flags.push(Flag::Status0);
    }
    let address = span.any(&[
        "client.address",
        "http.client_ip",
        "net.peer.ip",
        "net.sock.peer.addr",
    ]);
    let session = session::of_headers(&headers)
        .or_else(|| address.map(|address| session::digest("address", address)));
    Ok(What::Exchange(Box::new(Exchange {
        seq: 0,
        ts_ns,
        conn: None,
        session,
        request: Request {
            method: method.to_owned(),
            target,
            version: span
                .any(&["network.protocol.version", "http.flavor"])
                .map_or("1.1", protocol::version)
                .to_owned(),
            headers,
            body: body(span, method),
        },
        response,
        flags,
    })))
}

/// The target or the whole URL.
fn url(span: &Span<'_>) -> Option<String> {
    if let Some(path) = span.any(&["url.path"]) {
        return Some(match span.any(&["url.query"]) {
            Some(query) => format!("{path}?{}", query.trim_start_matches('?')),
            None => path.to_owned(),
        });
    }
    span.any(&["http.target", "url.full", "http.url"])
        .map(ToOwned::to_owned)
}

fn body(span: &Span<'_>, method: &str) -> Body {
    let size = span.any(&["http.request.body.size", "http.request_content_length"]);
    match size.and_then(|size| size.parse::<u64>().ok()) {
        Some(0) => Body::EMPTY,
        None if matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") => Body::EMPTY,
        Some(_) | None => Body::Missing,
    }
}

fn response(
    span: &Span<'_>,
    method: &str,
    (ts_ns, latency_ns): (u64, u64),
) -> Result<Option<Response>, String> {
    let Some(text) = span.any(&["http.response.status_code", "http.status_code"]) else {
        return Ok(None);
    };
    let status = status::read(text)?;
    let size = span.any(&["http.response.body.size", "http.response_content_length"]);
    let empty = size == Some("0") || status::bodiless(method, status);
    Ok(Some(Response {
        ts_ns: ts_ns.saturating_add(latency_ns),
        latency_ns,
        status,
        headers: span.headers("http.response.header."),
        body: if empty { Body::EMPTY } else { Body::Missing },
    }))
}
