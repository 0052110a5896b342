//! Every format of captures: its sample gives what it should, its quirks are read, and what it lacks is said.

use std::{fmt::Write as _, io::Write as _};

use flate2::{Compression, write::ZlibEncoder};
use rehearsal_replay::capture::{
    Body, Capture, CaptureError, Exchange, Fault, Fields, Flag, Format, Limits, Options, Record,
    SkippedKind, Spans, Unreadable, header, load, open, open_with,
};

use crate::captures_samples::{ENVOY_LOG, HAR, NGINX, OTLP, TAP, all, mitmproxy};

fn read(name: &str, bytes: &[u8]) -> Capture {
    load(name, bytes).expect("a capture")
}

fn with(bytes: &[u8], options: &Options) -> Result<Vec<Record>, CaptureError> {
    open_with("test", bytes, options)?.collect()
}

fn whole(text: &str) -> Body {
    Body::Whole(text.as_bytes().to_vec().into())
}

fn host(exchange: &Exchange) -> Option<&str> {
    header(&exchange.request.headers, "host")
}

fn flags(capture: &Capture) -> Vec<&[Flag]> {
    capture
        .exchanges
        .iter()
        .map(|exchange| &exchange.flags[..])
        .collect()
}

fn kinds(capture: &Capture) -> Vec<SkippedKind> {
    capture.skipped.iter().map(|skipped| skipped.kind).collect()
}

#[test]
fn every_format_is_known_by_its_content_compressed_or_not() {
    for (format, bytes, count) in all() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&bytes).expect("memory");
        let zstd = ruzstd::encoding::compress_to_vec(
            &bytes[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        for bytes in [bytes, zlib.finish().expect("memory"), zstd] {
            let capture = read("stdin", &bytes);
            assert_eq!(capture.format, format);
            assert_eq!(capture.exchanges.len(), count, "{format}");
            let times: Vec<u64> = capture
                .exchanges
                .iter()
                .map(|exchange| exchange.ts_ns)
                .collect();
            assert!(times.is_sorted(), "{format}: {times:?}");
            let malformed = capture
                .skipped
                .iter()
                .find(|skipped| skipped.kind.loses_a_request());
            assert_eq!(malformed, None, "{format}");
        }
    }
}

#[test]
fn har_is_read_with_its_quirks() {
    let capture = read("x.har", HAR.as_bytes());
    let [zero, form, missing, timeless] = &capture.exchanges[..] else {
        panic!("four exchanges: {:?}", capture.exchanges)
    };
    assert_eq!(
        (&*zero.request.target, host(zero)),
        ("/", Some("h.example"))
    );
    assert_eq!(zero.response, None);
    assert_eq!(form.ts_ns, 1_795_428_001_500_000_000);
    assert_eq!(form.request.target, "/a?b=c");
    assert_eq!(form.request.version, "3");
    assert_eq!(form.request.body, whole("a=b+c"));
    assert_eq!(form.conn.as_deref(), Some("7"));
    let names: Vec<&str> = form
        .request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["Host", "X-A", "x-a", "Content-Type"]);
    let answer = form.response.as_ref().expect("an answer");
    assert_eq!(
        (answer.status, answer.latency_ns, &answer.body),
        (201, 12_500_000, &whole("hi"))
    );
    assert_eq!(header(&answer.headers, "content-encoding"), None);
    assert_eq!(missing.request.body, Body::Missing);
    assert_eq!(
        missing.response.as_ref().expect("an answer").body,
        Body::Missing
    );
    assert_eq!(timeless.request.method, "DELETE");
    assert_eq!(
        flags(&capture),
        [
            &[Flag::Status0][..],
            &[],
            &[Flag::BodyMissing],
            &[Flag::TimeUnknown, Flag::Status0]
        ]
    );
    assert_eq!(
        kinds(&capture),
        [SkippedKind::FromCache, SkippedKind::NotHttp]
    );
}

#[test]
fn a_broken_har_says_where() {
    let fault = |text: &str| {
        let error = load("x.har", text.as_bytes()).expect_err("broken");
        (error.fault, error.to_string())
    };
    assert_eq!(fault("{\"log\":{\"version\":\"1.2\"}}").0, Fault::Damaged);
    assert_eq!(
        fault("{\"log\":[]}").1,
        "x.har: byte 7: found '[', expected the value of \"log\""
    );
    assert_eq!(fault(&HAR[..HAR.len() - 30]).0, Fault::Truncated);
    assert_eq!(fault(&HAR[..HAR.len() / 2]).0, Fault::Truncated);
    assert_eq!(fault("[1, 2]").0, Fault::Damaged);
    let one = HAR.replace("\"url\":\"http://h.example/p\"", "\"url\":5.5.5");
    let capture = read("x.har", one.as_bytes());
    assert_eq!(capture.exchanges.len(), 3);
    let offset = one
        .find("{\"startedDateTime\":\"2026-11-23T10:00:02.1")
        .expect("there") as u64;
    assert_eq!(
        (capture.skipped[0].offset, capture.skipped[0].kind),
        (offset, SkippedKind::Malformed)
    );
}

#[test]
fn mitmproxy_flows_of_all_versions_are_read_and_others_refused() {
    for version in 7..=21 {
        let capture = read("x.mitm", &mitmproxy(version));
        let [first, second] = &capture.exchanges[..] else {
            panic!("two exchanges")
        };
        assert_eq!(first.ts_ns, 1_700_000_000_500_000_000);
        assert_eq!(
            (
                &*first.request.method,
                &*first.request.version,
                &first.request.body
            ),
            ("POST", "2", &whole("hi"))
        );
        assert_eq!(host(first), Some("h.example:8443"));
        assert_eq!(first.conn.as_deref(), Some("conn-1"));
        let answer = first.response.as_ref().expect("an answer");
        assert_eq!((answer.status, answer.latency_ns), (200, 500_000_000));
        // The proxy streamed the body and did not keep it.
        assert_eq!(answer.body, Body::Missing);
        assert_eq!(first.flags, [Flag::BodyMissing]);
        assert_eq!(second.flags, [Flag::Status0]);
        assert_eq!(
            kinds(&capture),
            [SkippedKind::NotHttp, SkippedKind::NotHttp]
        );
    }
    for (version, fault) in [(6, Fault::OldVersion), (22, Fault::NewerMajor)] {
        let error = load("x.mitm", &mitmproxy(version)[..]).expect_err("refused");
        assert_eq!(error.fault, fault);
        assert!(error.expected.contains("--set hardump="), "{error}");
    }
    let bytes = mitmproxy(21);
    let error = load("x.mitm", &bytes[..bytes.len() - 9]).expect_err("cut");
    assert_eq!(error.fault, Fault::Truncated);
}

#[test]
fn taps_are_read_buffered_and_in_segments() {
    let capture = read("tap", TAP.as_bytes());
    let targets: Vec<&str> = capture
        .exchanges
        .iter()
        .map(|exchange| &*exchange.request.target)
        .collect();
    assert_eq!(targets, ["/a", "/c", "/b"]);
    let [buffered, streamed, timeless] = &capture.exchanges[..] else {
        panic!("three exchanges")
    };
    assert_eq!(buffered.request.body, whole("hi"));
    assert_eq!(host(buffered), Some("h"));
    assert_eq!(buffered.flags, [Flag::Truncated]);
    assert_eq!(streamed.request.body, whole("ab"));
    let answer = streamed.response.as_ref().expect("an answer");
    assert_eq!(
        (answer.status, answer.latency_ns, &answer.body),
        (201, 250_000_000, &whole("ok"))
    );
    assert_eq!(timeless.flags, [Flag::TimeUnknown]);
    let orphan = r#"{"http_streamed_trace_segment":{"trace_id":"9","response_headers":{"headers":[{"key":":status","value":"404"}]}}}"#;
    let both = format!("{TAP}{orphan}\n{{\"http_buffered_trace\": {{\"request\"\n{orphan}");
    let capture = read("tap", both.as_bytes());
    assert_eq!(capture.exchanges.len(), 3);
    assert_eq!(
        kinds(&capture),
        [SkippedKind::Malformed, SkippedKind::OrphanResponse]
    );
}

#[test]
fn access_logs_give_what_they_hold_and_say_what_they_lack() {
    let capture = read("access.log", ENVOY_LOG.as_bytes());
    assert_eq!(
        flags(&capture),
        [
            &[Flag::Status0, Flag::BodyMissing][..],
            &[Flag::BodyMissing]
        ]
    );
    assert_eq!(capture.exchanges[0].request.body, Body::Missing);
    assert_eq!(capture.exchanges[1].request.body, Body::EMPTY);

    let capture = read("nginx.log", NGINX.as_bytes());
    let [first, second, third] = &capture.exchanges[..] else {
        panic!("three exchanges")
    };
    // The log holds the end; the number on the connection stands below the millisecond.
    assert_eq!(first.ts_ns, 1_700_000_000_500_000_001);
    assert_eq!(
        (&*first.request.target, &first.request.body),
        ("/a?b=c", &whole("{\"x\":1}"))
    );
    assert_eq!(
        header(&first.request.headers, "idempotency-key"),
        Some("i-1")
    );
    assert!(
        first
            .session
            .as_deref()
            .is_some_and(|session| session.starts_with("cookie:"))
    );
    assert_eq!(
        first.response.as_ref().expect("an answer").body,
        whole("{}")
    );
    assert_eq!(second.ts_ns, 1_700_000_001_100_000_009);
    assert_eq!(
        (&second.request.body, &second.flags[..]),
        (&Body::Missing, &[Flag::BodyMissing][..])
    );
    assert_eq!(third.request.target, "/caf\u{e9}");
    assert_eq!(header(&third.request.headers, "x-tenant"), Some("t"));
    assert!(
        third
            .session
            .as_deref()
            .is_some_and(|session| session.starts_with("address:"))
    );
}

#[test]
fn a_broken_line_harms_no_other_and_fields_can_be_named() {
    let text = "{\"t\":\"2026-11-23T10:00:00Z\",\"verb2\":\"GET\",\"where\":{\"path\":\"/a\"},\"tenant\":\"x\"}\n{\"t\":\"2026\n{\"t\":\"2026-11-23T10:00:01Z\",\"verb2\":\"GET\",\"where\":{\"path\":\"/b\"}}\n";
    let mut fields = Fields::default();
    for field in [
        "start=t",
        "method=verb2",
        "target=where.path",
        "header:X-Tenant=tenant",
    ] {
        fields.set(field).expect("a field");
    }
    let options = Options {
        format: Some(Format::JsonLog),
        fields,
        ..Options::default()
    };
    let records = with(text.as_bytes(), &options).expect("a capture");
    let [
        Record::Skipped(skipped),
        Record::Exchange(first),
        Record::Exchange(second),
    ] = &records[..]
    else {
        panic!("{records:?}")
    };
    assert_eq!(
        (skipped.line, skipped.kind),
        (Some(2), SkippedKind::Malformed)
    );
    assert!(
        skipped.place().starts_with("test: line 2, byte "),
        "{}",
        skipped.place()
    );
    assert_eq!(
        (&*first.request.target, &*second.request.target),
        ("/a", "/b")
    );
    assert_eq!(header(&first.request.headers, "x-tenant"), Some("x"));
}

#[test]
fn spans_give_reads_to_replay_and_writes_without_a_body() {
    let capture = read("spans.json", OTLP.as_bytes());
    let [get, post, old] = &capture.exchanges[..] else {
        panic!("three exchanges")
    };
    assert_eq!(
        (&*get.request.target, host(get), &get.request.body),
        ("/a?b=c", Some("h:8080"), &Body::EMPTY)
    );
    assert_eq!(header(&get.request.headers, "x-tenant"), Some("t"));
    assert_eq!(
        get.response
            .as_ref()
            .map(|answer| (answer.status, answer.latency_ns)),
        Some((200, 250_000_000))
    );
    assert_eq!(post.request.body, Body::Missing);
    assert_eq!(
        post.response.as_ref().map(|answer| answer.status),
        Some(201)
    );
    assert_eq!((&*old.request.target, &old.response), ("/c", &None));
    assert_eq!(kinds(&capture), [SkippedKind::NotHttp]);
    let client = Options {
        spans: Spans::Client,
        ..Options::default()
    };
    let records = with(OTLP.as_bytes(), &client).expect("a capture");
    assert!(
        records
            .iter()
            .all(|record| matches!(record, Record::Skipped(_)))
    );
    // A request that a client and a server tell of is one request.
    let both = OTLP.replace("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT");
    let targets = |spans: Spans| -> Vec<String> {
        let options = Options {
            spans,
            ..Options::default()
        };
        let records = with(both.as_bytes(), &options).expect("a capture");
        let targets = records.into_iter().filter_map(|record| match record {
            Record::Exchange(exchange) => Some(exchange.request.target),
            Record::Skipped(_) => None,
        });
        targets.collect()
    };
    assert_eq!(targets(Spans::Server), ["/a?b=c", "/c"]);
    assert_eq!(targets(Spans::Client), ["/b"]);
}

#[test]
fn limits_are_kept_and_told() {
    let small = |limits: Limits| Options {
        limits,
        ..Options::default()
    };
    let long = HAR.replace("aGk=", &"aGk=".repeat(2_000));
    let records = with(
        long.as_bytes(),
        &small(Limits {
            record_bytes: 4_000,
            ..Limits::default()
        }),
    );
    let records = records.expect("a capture");
    let skipped = records.iter().find_map(|record| match record {
        Record::Skipped(skipped) if skipped.kind == SkippedKind::TooLarge => Some(&skipped.reason),
        _ => None,
    });
    assert!(
        skipped.is_some_and(|reason| reason.contains("above the limit")),
        "{skipped:?}"
    );
    let bodies = with(
        long.replace("aGk=aGk=", "aGhoaGho").as_bytes(),
        &small(Limits {
            body_bytes: 1_000,
            ..Limits::default()
        }),
    );
    let large = bodies
        .expect("a capture")
        .into_iter()
        .find_map(|record| match record {
            Record::Exchange(exchange) if exchange.flags.contains(&Flag::BodyTooLarge) => {
                Some(exchange)
            }
            _ => None,
        });
    let answer = large.expect("a large body").response.expect("an answer");
    assert_eq!(
        answer.body,
        Body::Truncated {
            bytes: bytes::Bytes::new(),
            length: Some(6_000)
        }
    );
    let error = with(
        HAR.as_bytes(),
        &small(Limits {
            records: 3,
            ..Limits::default()
        }),
    )
    .expect_err("too many");
    assert_eq!(error.fault, Fault::TooLarge);
    let error = with(
        HAR.as_bytes(),
        &small(Limits {
            file_bytes: 100,
            ..Limits::default()
        }),
    )
    .expect_err("too long");
    assert_eq!(error.fault, Fault::TooLarge);
}

#[test]
fn a_strict_reading_stops_at_the_first_record_that_is_lost() {
    let broken = NGINX.replacen("\"m\":\"POST\"", "\"m\":POST", 1);
    let strict = Options {
        unreadable: Unreadable::Stop,
        ..Options::default()
    };
    let error = with(broken.as_bytes(), &strict).expect_err("strict");
    assert_eq!(
        (error.fault, &*error.place),
        (Fault::Strict, "line 1, byte 0")
    );
    assert_eq!(read("x.log", broken.as_bytes()).exchanges.len(), 2);
    // What loses no request does not stop it.
    assert_eq!(with(HAR.as_bytes(), &strict).expect("whole").len(), 6);
}

#[test]
fn a_window_puts_entries_in_order() {
    let mut text = "{\"log\":{\"entries\":[".to_owned();
    for number in (0..3_000).rev() {
        let (minute, second) = (number / 60, number % 60);
        let comma = if number == 2_999 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"startedDateTime\":\"2026-11-23T10:{minute:02}:{second:02}Z\",\"time\":1,\"request\":{{\"method\":\"GET\",\"url\":\"/{number}\"}}}}"
        );
    }
    text.push_str("]}}");
    let reader = open("x.har", text.as_bytes()).expect("a HAR");
    let targets: Vec<String> = reader
        .map(|record| match record {
            Ok(Record::Exchange(exchange)) => exchange.request.target,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<String> = (0..3_000).map(|number| format!("/{number}")).collect();
    assert_eq!(targets, expected);
}
