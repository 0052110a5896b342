//! One flow of mitmproxy as an exchange.
//!
//! **Invariant**: content that mitmproxy did not keep (it streamed the body) is unknown, not empty.

use bytes::Bytes;

use super::tnetstring::Value;
use crate::capture::{
    Body, Exchange, Flag, Headers, Request, Response, SkippedKind, header, parsed::What, protocol,
    session, status, target, times,
};

/// Reads a flow.
///
/// # Errors
/// For people: what it lacks.
pub(super) fn read(flow: &Value<'_>) -> Result<What, String> {
    let kind = flow.get("type").and_then(Value::text).unwrap_or_default();
    if kind != "http" {
        let reason = format!("a flow of type {kind:?}");
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    }
    if matches!(flow.get("websocket"), Some(Value::Dict(_))) {
        let reason = "a WebSocket, whose messages are no requests".to_owned();
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    }
    let recorded = flow.get("request").ok_or("a flow without a request")?;
    let text = |name: &str| recorded.get(name).and_then(Value::text);
    let method = text("method")
        .filter(|method| !method.is_empty())
        .ok_or("a request without a method")?;
    if method == "CONNECT" {
        let reason = "a CONNECT, which opens a tunnel".to_owned();
        return Ok(What::Skipped(SkippedKind::NotHttp, reason));
    }
    let path = text("path").ok_or("a request without a path")?;
    let (target, _) = target::split(&path);
    let start = seconds(recorded, "timestamp_start").ok_or("a request without a time")?;
    let mut headers = headers(recorded);
    target::set_host(&mut headers, authority(recorded).as_deref());
    let body = body(recorded, &mut headers, false);
    let version = text("http_version").unwrap_or_default();
    let mut flags = Vec::new();
    let answer = flow
        .get("response")
        .filter(|answer| matches!(answer, Value::Dict(_)));
    let response = answer
        .map(|answer| response(answer, &method, start))
        .transpose()?;
    if response.is_none() {
        flags.push(Flag::Status0);
    }
    let conn = flow.get("client_conn").and_then(connection);
    let session = session::of_headers(&headers).or_else(|| conn.clone());
    Ok(What::Exchange(Box::new(Exchange {
        seq: 0,
        ts_ns: start,
        conn,
        session,
        request: Request {
            version: protocol::version(&version).to_owned(),
            method,
            target,
            headers,
            body,
        },
        response,
        flags,
    })))
}

fn response(answer: &Value<'_>, method: &str, sent_ns: u64) -> Result<Response, String> {
    let status = match answer.get("status_code") {
        Some(Value::Int(number)) => u64::try_from(*number)
            .ok()
            .and_then(|number| status::checked(number).ok()),
        _ => None,
    };
    let status = status.ok_or("a response without a status from 100 to 999")?;
    let mut headers = headers(answer);
    let body = body(answer, &mut headers, status::bodiless(method, status));
    let end = seconds(answer, "timestamp_end").or_else(|| seconds(answer, "timestamp_start"));
    let latency_ns = end.unwrap_or(sent_ns).saturating_sub(sent_ns);
    Ok(Response {
        ts_ns: sent_ns.saturating_add(latency_ns),
        latency_ns,
        status,
        headers,
        body,
    })
}

fn seconds(message: &Value<'_>, name: &str) -> Option<u64> {
    times::float_seconds(message.get(name)?.number()?)
}

fn headers(message: &Value<'_>) -> Headers {
    let Some(Value::List(pairs)) = message.get("headers") else {
        return Headers::new();
    };
    pairs
        .iter()
        .filter_map(|pair| match pair {
            Value::List(pair) => Some((pair.first()?.text()?, pair.get(1)?.text()?)),
            _ => None,
        })
        .filter(|(name, _)| !name.starts_with(':') && !name.is_empty())
        .collect()
}

/// The content. It is without chunks already, and still in its content coding.
fn body(message: &Value<'_>, headers: &mut Headers, bodiless: bool) -> Body {
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
    match message.get("content").and_then(Value::bytes) {
        _ if bodiless => Body::EMPTY,
        Some(bytes) => Body::Whole(Bytes::copy_from_slice(bytes)),
        None if header(headers, "content-length").is_some_and(|length| length.trim() == "0") => {
            Body::EMPTY
        }
        None => Body::Missing,
    }
}

fn authority(request: &Value<'_>) -> Option<String> {
    let stated = request.get("authority").and_then(Value::text);
    if let Some(stated) = stated.filter(|stated| !stated.is_empty()) {
        return Some(stated);
    }
    let host = request.get("host")?.text()?;
    let scheme = request
        .get("scheme")
        .and_then(Value::text)
        .unwrap_or_default();
    match (request.get("port"), &*scheme) {
        (Some(Value::Int(80)), "http") | (Some(Value::Int(443)), "https") | (None, _) => Some(host),
        (Some(Value::Int(port)), _) => Some(format!("{host}:{port}")),
        _ => Some(host),
    }
}

/// The client's connection: its id, or the address that it came from (`address` in older versions).
fn connection(conn: &Value<'_>) -> Option<String> {
    if let Some(id) = conn.get("id").and_then(Value::text) {
        return Some(id);
    }
    let Value::List(address) = conn.get("peername").or_else(|| conn.get("address"))? else {
        return None;
    };
    let port = match address.get(1)? {
        Value::Int(port) => *port,
        _ => return None,
    };
    Some(format!("{}:{port}", address.first()?.text()?))
}
