//! What all parsers must agree on: answers without a body, statuses, hostile numbers, and lines that are no requests.
//!
//! **Invariant**: the same exchange in two formats differs only in what one of the formats cannot hold.

use std::io::Cursor;

use rehearsal_replay::capture::{
    Body, CaptureError, Exchange, Format, Options, Record, SkippedKind, open_with,
};

fn records(format: Format, text: &str) -> Vec<Record> {
    let options = Options {
        format: Some(format),
        ..Options::default()
    };
    let reader = open_with("test", Cursor::new(text.as_bytes()), &options).expect("a capture");
    let records: Result<Vec<Record>, CaptureError> = reader.collect();
    records.expect("readable")
}

/// The one exchange of a capture, or why it was skipped.
fn one(format: Format, text: &str) -> Result<Exchange, SkippedKind> {
    let mut records = records(format, text);
    assert_eq!(records.len(), 1, "{records:?}");
    match records.remove(0) {
        Record::Exchange(exchange) => Ok(*exchange),
        Record::Skipped(skipped) => Err(skipped.kind),
    }
}

/// One answered request, as each format that can say so writes it.
fn written(method: &str, status: &str) -> Vec<(Format, String)> {
    let tap = format!(
        r#"{{"http_buffered_trace":{{"request":{{"headers":[{{"key":":path","value":"/a"}},{{"key":":method","value":"{method}"}}]}},"response":{{"headers":[{{"key":":status","value":"{status}"}},{{"key":"content-length","value":"5"}}]}}}}}}"#
    );
    let log = format!(
        r#"[2026-11-23T10:00:00.310Z] "{method} /a HTTP/2" {status} - 0 5 226 100 "-" "-" "-" "h" "-""#
    );
    let nginx = format!(r#"{{"msec":"1700000001.500","m":"{method}","u":"/a","st":"{status}"}}"#);
    let span = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{{"key":"http.method","value":{{"stringValue":"{method}"}}}},{{"key":"http.target","value":{{"stringValue":"/a"}}}},{{"key":"http.status_code","value":{{"intValue":"{status}"}}}}]}}]}}]}}]}}"#
    );
    let har = format!(
        r#"{{"log":{{"entries":[{{"startedDateTime":"2026-11-23T10:00:00Z","time":1,"request":{{"method":"{method}","url":"http://h/a","headers":[{{"name":"If-None-Match","value":"x"}}]}},"response":{{"status":{status},"headers":[],"content":{{"size":5}},"bodySize":5}}}}]}}}}"#
    );
    let tail = "\u{1f435}\u{1f648}\u{1f649}";
    let gor = format!(
        "1 aa 1700000000000000000\n{method} /a HTTP/1.1\r\n\r\n\n{tail}\n2 aa 1700000001000000000 5\nHTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n\n{tail}\n"
    );
    vec![
        (Format::EnvoyTap, tap),
        (Format::EnvoyLog, log),
        (Format::JsonLog, nginx),
        (Format::Otlp, span),
        (Format::Har, har),
        (Format::GoReplay, gor),
    ]
}

#[test]
fn an_answer_that_has_no_body_has_none_in_any_format() {
    let answers = |method: &str, status: &str, bodiless: bool| {
        for (format, text) in written(method, status) {
            let response = one(format, &text).expect("an exchange").response;
            let body = response.expect("an answer").body;
            let shown = format!("{format}: {method} {status}: {body:?}");
            assert_eq!(body == Body::EMPTY, bodiless, "{shown}");
        }
    };
    answers("GET", "200", false);
    answers("HEAD", "200", true);
    answers("GET", "103", true);
    answers("DELETE", "204", true);
    answers("GET", "304", true);
}

#[test]
fn a_status_is_from_100_to_999_in_any_format() {
    for status in ["1000", "65535", "70000"] {
        for (format, text) in written("GET", status) {
            let records = records(format, &text);
            let lost = records.iter().any(|record| match record {
                Record::Skipped(skipped) => skipped.kind == SkippedKind::Malformed,
                Record::Exchange(_) => false,
            });
            assert!(lost, "{format}: {status}: {records:?}");
        }
    }
    for (format, text) in written("GET", "999") {
        let response = one(format, &text).expect("an exchange").response;
        assert_eq!(
            response.map(|response| response.status),
            Some(999),
            "{format}"
        );
    }
}

#[test]
fn hostile_numbers_saturate() {
    let line = r#"{"msec":"18446744073709551615","m":"GET","u":"/a","st":"200","creq":"7"}"#;
    let exchange = one(Format::JsonLog, line).expect("an exchange");
    assert_eq!(exchange.ts_ns, u64::MAX);
    let entry = r#"{"log":{"entries":[{"startedDateTime":"2026-11-23T10:00:00Z","request":{"method":"GET","url":"/a"},"response":{"status":200},"timings":{"blocked":1e300,"wait":1e300,"receive":7}}]}}"#;
    let response = one(Format::Har, entry).expect("an exchange").response;
    let response = response.expect("an answer");
    assert_eq!((response.latency_ns, response.ts_ns), (u64::MAX, u64::MAX));
}

#[test]
fn lines_of_metrics_and_logs_are_no_requests() {
    let span = written("GET", "200").remove(3).1;
    let text = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[]}}]}}\n{{\"resourceLogs\":[]}}\n{{\"resource_metrics\":[]}}\n{{\"other\":1}}\n{span}\n"
    );
    let kinds: Vec<Option<SkippedKind>> = records(Format::Otlp, &text)
        .iter()
        .map(|record| match record {
            Record::Skipped(skipped) => Some(skipped.kind),
            Record::Exchange(_) => None,
        })
        .collect();
    let (no, bad) = (Some(SkippedKind::NotHttp), Some(SkippedKind::Malformed));
    assert_eq!(kinds, [no, no, no, bad, None]);
    // A collector writes what comes first, first.
    let reader = open_with(
        "all.json",
        Cursor::new(text.as_bytes()),
        &Options::default(),
    );
    assert_eq!(reader.expect("a capture").format(), Format::Otlp);
}
