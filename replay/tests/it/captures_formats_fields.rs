//! What exporters write in odd ways: each field means the same whoever wrote it, and what cannot be read costs itself alone.

use rehearsal_replay::capture::{
    Body, Capture, CaptureError, Exchange, Fault, Flag, Format, Options, Record, Skipped,
    SkippedKind, header, load, open_with,
};

fn har(entries: &str) -> String {
    format!(r#"{{"log":{{"version":"1.2","entries":[{entries}]}}}}"#)
}

fn entry(target: &str) -> String {
    format!(
        r#"{{"startedDateTime":"2026-11-23T10:00:00Z","request":{{"method":"GET","url":"{target}"}},"response":{{"status":200,"content":{{"size":0}}}}}}"#
    )
}

fn read(text: &str) -> Capture {
    load("test", text.as_bytes()).expect("a capture")
}

fn as_format(format: Format, text: &str) -> (Vec<Exchange>, Vec<Skipped>) {
    let options = Options {
        format: Some(format),
        ..Options::default()
    };
    let reader = open_with("test", text.as_bytes(), &options).expect("a capture");
    let records: Result<Vec<Record>, CaptureError> = reader.collect();
    let (mut exchanges, mut skipped) = (Vec::new(), Vec::new());
    for record in records.expect("readable") {
        match record {
            Record::Exchange(exchange) => exchanges.push(*exchange),
            Record::Skipped(one) => skipped.push(one),
        }
    }
    (exchanges, skipped)
}

fn targets(exchanges: &[Exchange]) -> Vec<&str> {
    let requests = exchanges.iter();
    requests.map(|exchange| &*exchange.request.target).collect()
}

fn lines(skipped: &[Skipped]) -> Vec<u64> {
    skipped.iter().filter_map(|one| one.line).collect()
}

#[test]
fn har_documents_may_follow_one_another_and_each_list_of_entries_is_read() {
    let one = har(&entry("/a"));
    let two = format!(
        r#"{{"log":{{"entries":[{}],"pages":[{{}}],"entries":[{}]}},"x":1,"log":{{"entries":[{}]}}}}"#,
        entry("/b"),
        entry("/c"),
        entry("/d")
    );
    for between in ["", "\n", "\n\u{feff}"] {
        let capture = read(&format!("{one}{between}{two}\n"));
        assert_eq!(targets(&capture.exchanges), ["/a", "/b", "/c", "/d"]);
        assert_eq!(capture.skipped, []);
    }
    let capture = read(&format!("{one}\ngarbage {{}}"));
    let [skipped] = &capture.skipped[..] else {
        panic!("one record: {:?}", capture.skipped)
    };
    assert_eq!(
        (skipped.kind, skipped.offset, &*skipped.reason),
        (
            SkippedKind::Malformed,
            one.len() as u64 + 1,
            "10 bytes behind a document, which are none"
        )
    );
    let cut = format!("{one}{}", &two[..two.len() - 2]);
    let error = load("test", cut.as_bytes()).expect_err("cut");
    assert_eq!(error.fault, Fault::Truncated);
}

#[test]
fn a_har_body_in_a_file_of_its_own_is_missing() {
    let post = |size: &str, headers: &str, data: &str| {
        let text = har(&format!(
            r#"{{"startedDateTime":"2026-11-23T10:00:00Z","request":{{"method":"POST","url":"/a","bodySize":{size},"headers":[{headers}],"postData":{data}}},"response":{{"status":200,"content":{{"size":-1,"text":"","_file":"x"}}}}}}"#
        ));
        let exchange = read(&text).exchanges.remove(0);
        let answer = exchange.response.as_ref().map(|answer| answer.body.clone());
        assert_eq!(answer, Some(Body::Missing));
        assert_eq!(exchange.flags, [Flag::BodyMissing]);
        exchange.request.body
    };
    let length = r#"{"name":"content-length","value":"27"}"#;
    let empty = r#"{"text":"","params":[]}"#;
    let file = r#"{"text":"","params":[],"_file":"abc.json"}"#;
    assert_eq!(post("-1", length, file), Body::Missing);
    assert_eq!(post("-1", "", file), Body::Missing);
    assert_eq!(post("-1", length, empty), Body::Missing);
    assert_eq!(post("27", "", empty), Body::Missing);
    assert_eq!(post("-1", "", empty), Body::EMPTY);
    assert_eq!(post("0", "", "{}"), Body::EMPTY);
}

#[test]
fn what_a_cache_answered_is_known_by_any_browsers_marks() {
    let with = |entry: &str, response: &str| {
        let text = har(&format!(
            r#"{{"startedDateTime":"2026-11-23T10:00:00Z",{entry}"request":{{"method":"GET","url":"/a"}},"response":{{{response}"status":200}}}}"#
        ));
        as_format(Format::Har, &text)
            .1
            .iter()
            .map(|one| one.kind)
            .collect::<Vec<_>>()
    };
    for mark in [
        r#""_fetchType":"Disk Cache","#,
        r#""_fetchType":"Memory Cache","#,
        r#""_fetchType":"Service Worker","#,
        r#""_fromCache":"memory","#,
        r#""_fetchedViaServiceWorker":true,"#,
    ] {
        assert_eq!(with(mark, ""), [SkippedKind::FromCache], "{mark}");
        assert_eq!(with("", mark), [SkippedKind::FromCache], "{mark}");
    }
    let sent =
        r#""_fetchType":"Network Load","_fromCache":false,"_fetchedViaServiceWorker":false,"#;
    assert_eq!((with(sent, ""), with("", sent)), (vec![], vec![]));
}

#[test]
fn a_har_request_needs_a_method_and_a_tunnel_is_none() {
    let kinds = ["null", r#""""#, r#""CONNECT""#].map(|method| {
        let text = har(&entry("/a").replace(r#""GET""#, method));
        as_format(Format::Har, &text).1[0].kind
    });
    let malformed = SkippedKind::Malformed;
    assert_eq!(kinds, [malformed, malformed, SkippedKind::NotHttp]);
}

#[test]
fn a_broken_line_of_a_log_costs_itself_alone() {
    let line = |target: &str| format!(r#"{{"msec":"1700000001.5","m":"GET","u":"{target}"}}"#);
    for cut in [
        r#"{"msec":"1700000001.5","#,
        r#"{"msec":"#,
        r#"{"msec":["#,
        r#"{"msec":"1700"#,
        "not json at all",
        "[1,2]",
        "} ]",
    ] {
        let text = format!("{}\n{cut}\n{}\n{}\n", line("/a"), line("/b"), line("/c"));
        let (exchanges, skipped) = as_format(Format::JsonLog, &text);
        assert_eq!(targets(&exchanges), ["/a", "/b", "/c"], "{cut}");
        assert_eq!(lines(&skipped), [2], "{cut}");
    }
}

#[test]
fn a_log_gives_the_target_that_was_sent() {
    for (fields, target) in [
        (
            r#""request":"GET /a?x=1&y=2 HTTP/1.1","uri":"/b","args":"z=3""#,
            "/a?x=1&y=2",
        ),
        (
            r#""m":"GET","request_uri":"/a?x=1","uri":"/b","args":"z=3""#,
            "/a?x=1",
        ),
        (
            r#""m":"GET","request_uri":"/a","uri":"/b","args":"z=3""#,
            "/a",
        ),
        (r#""m":"GET","uri":"/a","args":"x=1""#, "/a?x=1"),
        (r#""m":"GET","uri":"/a","query_string":"?x=1""#, "/a?x=1"),
        (r#""m":"GET","uri":"/a?x=1","args":"x=1""#, "/a?x=1"),
        (r#""m":"GET","uri":"/a","args":"""#, "/a"),
        (r#""m":"GET","path":"/a?x=1""#, "/a?x=1"),
    ] {
        let text = format!(r#"{{"msec":"1700000001.5",{fields}}}"#);
        let capture = read(&text);
        assert_eq!(targets(&capture.exchanges), [target], "{fields}");
    }
}

#[test]
fn a_log_gives_request_ids_and_versions() {
    for (fields, id) in [
        (r#""id":"a""#, Some("a")),
        (r#""request_id":"b","id":"a""#, Some("b")),
        (r#""http_x_request_id":"c","request_id":"b""#, Some("c")),
        (r#""http_x_request_id":"-","request_id":"b""#, Some("b")),
        (r#""request_id":"-""#, None),
    ] {
        let text =
            format!(r#"{{"msec":"1700000001.5","m":"GET","u":"/a","proto":"HTTP/2.0",{fields}}}"#);
        let request = read(&text).exchanges.remove(0).request;
        assert_eq!(header(&request.headers, "x-request-id"), id, "{fields}");
        assert_eq!(request.version, "2");
    }
}

#[test]
fn a_chunk_of_a_tap_that_cannot_be_read_cuts_the_body() {
    let segment =
        |inner: &str| format!(r#"{{"http_streamed_trace_segment":{{"trace_id":"1",{inner}}}}}"#);
    let head = |method: &str| {
        segment(&format!(
            r#""request_headers":{{"headers":[{{"key":":path","value":"/a"}},{{"key":":method","value":"{method}"}}]}}"#
        ))
    };
    let text = [
        head("POST"),
        segment(r#""request_body_chunk":{"as_bytes":"YQ=="}"#),
        segment(r#""request_body_chunk":{"as_bytes":"!!"}"#),
        segment(r#""request_body_chunk":{"as_string":"zz"}"#),
        segment(r#""response_headers":{"headers":[{"key":":status","value":"200"},{"key":"x","raw_value":"!!"},{"key":"y","value":"z"}]},"response_trailers":{}"#),
    ]
    .join("\n");
    let (exchanges, skipped) = as_format(Format::EnvoyTap, &text);
    let [exchange] = &exchanges[..] else {
        panic!("one exchange: {exchanges:?}")
    };
    let body = Body::Truncated {
        bytes: bytes::Bytes::from_static(b"a"),
        length: None,
    };
    assert_eq!(exchange.request.body, body);
    assert!(exchange.flags.contains(&Flag::Truncated));
    let answer = exchange.response.as_ref().expect("an answer");
    assert_eq!(header(&answer.headers, "y"), Some("z"));
    assert_eq!(lines(&skipped), [3, 5]);
}

#[test]
fn nulls_of_spans_are_nothing_and_a_bad_span_costs_itself_alone() {
    let span = |target: &str, more: &str| {
        format!(
            r#"{{"kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{{"key":"http.method","value":{{"stringValue":"GET"}}}},{{"key":"http.target","value":{{"stringValue":"{target}"}}}}{more}]}}"#
        )
    };
    let export = |spans: &str| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":null}},{{"scopeSpans":[{{"spans":[{spans}]}},{{"spans":null}}]}}]}}"#
        )
    };
    let nulls = [
        span("/a", ""),
        r#"{"kind":2,"attributes":null}"#.to_owned(),
        span(
            "/b",
            r#",{"key":"x","value":null},{"key":"http.request.header.y","value":{"arrayValue":{"values":[null]}}},{"key":"z","value":{"arrayValue":{"values":null}}}"#,
        ),
    ];
    let (exchanges, skipped) = as_format(Format::Otlp, &export(&nulls.join(",")));
    assert_eq!(targets(&exchanges), ["/a", "/b"]);
    assert_eq!((skipped.len(), skipped[0].kind), (1, SkippedKind::NotHttp));
    let bad = [
        span("/a", ""),
        r#"{"kind":[2],"attributes":[]}"#.to_owned(),
        "null".to_owned(),
        span("/b", r#",{"key":"x","value":7}"#),
        span("/c", ""),
    ];
    let (exchanges, skipped) = as_format(Format::Otlp, &export(&bad.join(",")));
    assert_eq!(targets(&exchanges), ["/a", "/c"]);
    let kinds: Vec<SkippedKind> = skipped.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [SkippedKind::Malformed; 3]);
    let text = r#"{"resourceSpans":[{"scopeSpans":7}]}"#;
    let (_, skipped) = as_format(Format::Otlp, text);
    assert_eq!(
        (skipped.len(), skipped[0].kind),
        (1, SkippedKind::Malformed)
    );
}
