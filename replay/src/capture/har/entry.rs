//! One entry of a HAR as an exchange, with the quirks of the exporters.
//!
//! | found | read as |
//! |---|---|
//! | `content.text` absent | an unknown body, unless its size is 0 |
//! | `encoding: base64` | decoded |
//! | status 0, or no response at all | no response |
//! | `_fromCache`, `_fetchType`, a service worker's answer, a 304 that was not asked for | answered without the server: skipped |
//! | `_file` without text | an unknown body: it is in a file of its own |
//! | `postData.params` without text | encoded again by media type |
//! | `:method`, `:path`, `:authority`, `:scheme` | no headers |
//! | no `startedDateTime` | a time that is not known |
//!
//! **Invariant**: a body that the exporter did not keep is never taken for an empty one.

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

use super::{form, headers::List};
use crate::capture::{
    Body, Exchange, Flag, Headers, Request, Response, SkippedKind, base64_text, header,
    lenient::{Number, Text},
    parsed::What,
    session, status, target, times,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, default)]
    started_date_time: Option<Text<'a>>,
    #[serde(default)]
    time: Number,
    #[serde(borrow)]
    request: EntryRequest<'a>,
    #[serde(borrow, default)]
    response: Option<EntryResponse<'a>>,
    #[serde(default)]
    timings: Option<Timings>,
    #[serde(borrow, default)]
    connection: Option<Text<'a>>,
    #[serde(borrow, default, rename = "_fromCache")]
    from_cache: Option<Text<'a>>,
    #[serde(borrow, default, rename = "_fetchedViaServiceWorker")]
    service_worker: Option<Text<'a>>,
    #[serde(borrow, default, rename = "_fetchType")]
    fetch_type: Option<Text<'a>>,
    #[serde(default, rename = "_webSocketMessages")]
    web_socket: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Timings {
    blocked: Number,
    dns: Number,
    connect: Number,
    send: Number,
    wait: Number,
    receive: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryRequest<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow, default)]
    http_version: Text<'a>,
    #[serde(default)]
    headers: List,
    #[serde(borrow, default)]
    post_data: Option<PostData<'a>>,
    #[serde(default)]
    body_size: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    #[serde(borrow, default)]
    mime_type: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    encoding: Option<Text<'a>>,
    #[serde(borrow, default)]
    params: Option<Vec<form::Param<'a>>>,
    #[serde(default, rename = "_file")]
    file: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryResponse<'a> {
    #[serde(default)]
    status: Number,
    #[serde(default)]
    headers: List,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(default)]
    body_size: Number,
    #[serde(borrow, default, rename = "_fromCache")]
    from_cache: Option<Text<'a>>,
    #[serde(borrow, default, rename = "_fetchedViaServiceWorker")]
    service_worker: Option<Text<'a>>,
    #[serde(borrow, default, rename = "_fetchType")]
    fetch_type: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default)]
    size: Number,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    encoding: Option<Text<'a>>,
    #[serde(default, rename = "_file")]
    file: Option<IgnoredAny>,
}

/// Reads an entry.
///
/// # Errors
/// For people: what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<What, String> {
    let entry: Entry<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if let Some(reason) = unsent(&entry) {
        return Ok(What::Skipped(SkippedKind::FromCache, reason.to_owned()));
    }
    let url = &*entry.request.url;
    if !(url.starts_with("http://") || url.starts_with("https://") || url.starts_with('/')) {
        let shown: String = url.chars().take(40).collect();
        let reason = format!("a request for {shown:?}, which is not HTTP");
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    }
    let method = &*entry.request.method;
    if method.is_empty() {
        return Err("a request without a method".to_owned());
    }
    if method == "CONNECT" {
        let reason = "a CONNECT, which opens a tunnel".to_owned();
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    }
    if entry.web_socket.is_some() {
        let reason = "a WebSocket, whose messages are no requests".to_owned();
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    }
    let mut flags = Vec::new();
    let started = entry
        .started_date_time
        .as_deref()
        .filter(|text| !text.is_empty());
    let ts_ns = if let Some(text) = started {
        times::iso(text).ok_or_else(|| format!("startedDateTime {text:?} is no time"))?
    } else {
        flags.push(Flag::TimeUnknown);
        0
    };
    let latency_ns = latency(&entry);
    let version = version(&entry.request.http_version);
    let response = entry
        .response
        .map(|response| answer(response, &entry.request.method, ts_ns, latency_ns))
        .transpose()?
        .flatten();
    if response.is_none() {
        flags.push(Flag::Status0);
    }
    let request = request(entry.request, version)?;
    let conn = entry
        .connection
        .map(|conn| conn.0.into_owned())
        .filter(|conn| !conn.is_empty());
    let session = session::of_headers(&request.headers).or_else(|| conn.clone());
    Ok(What::Exchange(Box::new(Exchange {
        seq: 0,
        ts_ns,
        conn,
        session,
        request,
        response,
        flags,
    })))
}

/// Why the server never saw it, if it did not.
fn unsent(entry: &Entry<'_>) -> Option<&'static str> {
    // Some exporters mark the entry, some its response.
    let response = entry.response.as_ref();
    let from_cache = [
        entry.from_cache.as_deref(),
        response.and_then(|response| response.from_cache.as_deref()),
    ];
    let by_worker = [
        entry.service_worker.as_deref(),
        response.and_then(|response| response.service_worker.as_deref()),
    ];
    let fetched = [
        entry.fetch_type.as_deref(),
        response.and_then(|response| response.fetch_type.as_deref()),
    ];
    let fetched_as = |wanted: &str| fetched.iter().flatten().any(|kind| *kind == wanted);
    let stated = |from: &&str| !matches!(*from, "" | "false");
    if from_cache.iter().flatten().any(stated)
        || fetched_as("Disk Cache")
        || fetched_as("Memory Cache")
    {
        return Some("answered from the browser's cache");
    }
    if by_worker.contains(&Some("true")) || fetched_as("Service Worker") {
        return Some("answered by a service worker");
    }
    let headers = &entry.request.headers.0;
    let conditional = header(headers, "if-none-match").or(header(headers, "if-modified-since"));
    let not_modified = entry
        .response
        .as_ref()
        .and_then(|response| response.status.whole())
        == Some(304);
    (not_modified && conditional.is_none())
        .then_some("answered from the browser's cache: a 304 that was not asked for")
}

fn latency(entry: &Entry<'_>) -> u64 {
    entry.time.ms_as_ns().unwrap_or_else(|| {
        let timings = entry.timings.as_ref();
        timings.map_or(0, |timings| {
            // `ssl` is part of `connect`.
            [
                timings.blocked,
                timings.dns,
                timings.connect,
                timings.send,
                timings.wait,
                timings.receive,
            ]
            .into_iter()
            .filter_map(Number::ms_as_ns)
            .fold(0, u64::saturating_add)
        })
    })
}

/// `HTTP/1.1`, `http/2.0`, `h3` and the rest as `1.1`, `2`, `3`.
fn version(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    match text.trim_start_matches("http/").trim_start_matches('h') {
        "0.9" => "0.9",
        "1.0" | "1" => "1.0",
        "2" | "2.0" | "2c" => "2",
        "3" | "3.0" => "3",
        _ => "1.1",
    }
}

fn request(entry: EntryRequest<'_>, version: &str) -> Result<Request, String> {
    let mut headers = plain(entry.headers.0);
    let (target, authority) = target::split(&entry.url);
    target::set_host(&mut headers, authority);
    let body = match entry.post_data {
        Some(data) => posted(&data, entry.body_size, &mut headers)?,
        None if sent(&headers, entry.body_size) => Body::Missing,
        None => Body::EMPTY,
    };
    Ok(Request {
        method: entry.method.0.into_owned(),
        target,
        version: version.to_owned(),
        headers,
        body,
    })
}

/// Whether a body was sent, whatever is left of it: its size or the request's head says so.
fn sent(headers: &Headers, size: Number) -> bool {
    let length = header(headers, "content-length").and_then(|text| text.trim().parse().ok());
    size.whole().unwrap_or(0) > 0 || length.unwrap_or(0_u64) > 0
}

/// Without the pseudo headers of HTTP/2.
fn plain(mut headers: Headers) -> Headers {
    headers.retain(|(name, _)| !name.starts_with(':') && !name.is_empty());
    headers
}

fn posted(data: &PostData<'_>, size: Number, headers: &mut Headers) -> Result<Body, String> {
    let params = data.params.as_deref().unwrap_or_default();
    // The standard lets text and params exclude each other; some write both, and then the text is what was sent.
    let text = data
        .text
        .as_ref()
        .filter(|text| !text.is_empty() || params.is_empty());
    let Some(text) = text else {
        if params.is_empty() {
            let known = size.whole() == Some(0) && data.file.is_none() && !sent(headers, size);
            return Ok(if known { Body::EMPTY } else { Body::Missing });
        }
        let stated = header(headers, "content-type").filter(|kind| kind.contains("boundary="));
        let media_type =
            stated.map_or_else(|| data.mime_type.0.clone().into_owned(), ToOwned::to_owned);
        let Some(encoded) = form::encode(&media_type, params) else {
            return Ok(Body::Missing);
        };
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        let typed = header(headers, "content-type").is_some();
        if encoded.media_type.is_some() {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        }
        if encoded.media_type.is_some() || !typed {
            let media_type = encoded.media_type.unwrap_or(media_type);
            headers.push(("Content-Type".to_owned(), media_type));
        }
        return Ok(Body::Whole(encoded.body));
    };
    let bytes = decoded(text, data.encoding.as_deref())?;
    // A browser that writes bytes as text puts a mark where they were no text, and what they were is gone.
    let mangled =
        text.contains('\u{fffd}') && size.whole().is_some_and(|size| size != bytes.len() as u64);
    let elsewhere = data.file.is_some() || sent(headers, size);
    if bytes.is_empty() && elsewhere || mangled {
        return Ok(Body::Missing);
    }
    if header(headers, "content-type").is_none() && !data.mime_type.is_empty() {
        headers.push((
            "Content-Type".to_owned(),
            data.mime_type.0.clone().into_owned(),
        ));
    }
    Ok(Body::Whole(bytes))
}

fn decoded(text: &Text<'_>, encoding: Option<&str>) -> Result<Bytes, String> {
    if !encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64")) {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    base64_text::decode(text)
        .map(Bytes::from)
        .map_err(|error| format!("a body that is not base64: {error}"))
}

/// The answer, if there was one.
fn answer(
    entry: EntryResponse<'_>,
    method: &str,
    sent_ns: u64,
    latency_ns: u64,
) -> Result<Option<Response>, String> {
    let status = match entry.status.whole() {
        None | Some(0) => return Ok(None),
        Some(number) => status::checked(number)?,
    };
    let mut headers = plain(entry.headers.0);
    let text = entry
        .content
        .as_ref()
        .and_then(|content| content.text.as_ref());
    let size = entry
        .content
        .as_ref()
        .map_or(Number(None), |content| content.size);
    let unsized_or_more = entry.body_size.whole().unwrap_or(0) > 0;
    let elsewhere = entry
        .content
        .as_ref()
        .is_some_and(|content| content.file.is_some());
    let body = match text {
        _ if status::bodiless(method, status) => Body::EMPTY,
        Some(text) if text.is_empty() && (elsewhere || size.whole().unwrap_or(0) > 0) => {
            Body::Missing
        }
        Some(text) => {
            let encoding = entry
                .content
                .as_ref()
                .and_then(|content| content.encoding.as_deref());
            // The text is already decoded, so what the headers say of its coding and length is no longer true.
            let gone = ["content-encoding", "transfer-encoding", "content-length"];
            headers.retain(|(name, _)| !gone.iter().any(|gone| name.eq_ignore_ascii_case(gone)));
            Body::Whole(decoded(text, encoding)?)
        }
        None if size.whole() == Some(0) && !unsized_or_more && !elsewhere => Body::EMPTY,
        None => Body::Missing,
    };
    Ok(Some(Response {
        ts_ns: sent_ns.saturating_add(latency_ns),
        latency_ns,
        status,
        headers,
        body,
    }))
}
