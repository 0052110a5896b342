//! A small valid capture of each format, hand-made: what the tests of formats read, and what the fuzzing changes.
//!
//! **Invariant**: each holds every part that its parser knows.

use std::fmt::Write as _;

use rehearsal_replay::capture::Format;

/// A sample of every format, with the number of exchanges in it.
pub(crate) fn all() -> Vec<(Format, Vec<u8>, usize)> {
    vec![
        (Format::Rehearsal, REHEARSAL.as_bytes().to_vec(), 2),
        (Format::GoReplay, goreplay(), 2),
        (Format::Har, HAR.as_bytes().to_vec(), 4),
        (Format::Mitmproxy, mitmproxy(21), 2),
        (Format::EnvoyTap, TAP.as_bytes().to_vec(), 3),
        (Format::EnvoyLog, ENVOY_LOG.as_bytes().to_vec(), 2),
        (Format::JsonLog, NGINX.as_bytes().to_vec(), 3),
        (Format::Otlp, OTLP.as_bytes().to_vec(), 3),
    ]
}

/// Records whose numbers are as large as can be written.
pub(crate) const HOSTILE: [(Format, &str); 2] = [
    (
        Format::JsonLog,
        r#"{"msec":"18446744073709551615","rt":"1e9","m":"GET","u":"/a","st":"200","creq":"7"}
{"start_time":"18446744073709551615","duration":"18446744073709","m":"GET","u":"/a","st":"200","creq":"999999999","cl":"18446744073709551615"}
"#,
    ),
    (
        Format::Har,
        r#"{"log":{"entries":[{"startedDateTime":"2554-07-21T23:34:33.709551615Z","request":{"method":"GET","url":"/a","bodySize":1e300},"response":{"status":200,"content":{"size":1e300}},"timings":{"blocked":1e300,"wait":1e300,"receive":7}}]}}"#,
    ),
];

pub(crate) const REHEARSAL: &str = r#"{"format":"rehearsal.capture/1","exporter":"hand","exchanges":2}
{"v":1,"seq":0,"ts_ns":1,"conn":"c1","session":"s1","req":{"method":"GET","target":"/","version":"1.1","headers":[["a","b"]],"body":{"b64":"/wA="}},"resp":null,"flags":["body_missing"]}
{"v":1,"seq":1,"ts_ns":2,"req":{"method":"GET","target":"/"},"resp":{"ts_ns":3,"latency_ns":1,"status":200,"headers":[],"body":{"truncated":{"b64":"","length":9}}}}
"#;

pub(crate) fn goreplay() -> Vec<u8> {
    let records = [
        "1 aaaabbbbccccdddd00000001 1700000000000000000\nPOST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
        "2 aaaabbbbccccdddd00000001 1700000001000000000 5000\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "1 0123456789abcdef0123456789abcdef01234567 1700000002000000000 0\nGET /b HTTP/1.1\nHost: x\n\n",
        "3 0123456789abcdef0123456789abcdef01234567 1700000002000000000 9\nHTTP/1.1 204 No\r\n\r\n",
    ];
    records
        .map(|record| format!("{record}\n🐵🙈🙉\n"))
        .concat()
        .into_bytes()
}

pub(crate) const HAR: &str = "\u{feff}{\"comment\": [1, {\"log\": 2}], \"log\": {\"version\":\"1.2\",\"creator\":{\"name\":\"x\",\"version\":\"1\"},\"pages\":[{\"id\":\"p\"}],\"entries\":[
{\"startedDateTime\":\"2026-11-23T12:00:01.5+02:00\",\"time\":12.5,\"connection\":\"7\",\"request\":{\"method\":\"POST\",\"url\":\"https://h.example/a?b=c#d\",\"httpVersion\":\"h3\",\"headers\":[{\"name\":\":authority\",\"value\":\"h.example\"},{\"name\":\"X-A\",\"value\":\"1\"},{\"name\":\"x-a\",\"value\":\"2\"}],\"bodySize\":3,\"postData\":{\"mimeType\":\"application/x-www-form-urlencoded\",\"text\":\"\",\"params\":[{\"name\":\"a\",\"value\":\"b c\"}]}},\"response\":{\"status\":201,\"headers\":[[\"Content-Encoding\",\"br\"],[\"X-B\",\"1\"]],\"content\":{\"size\":2,\"mimeType\":\"text/plain\",\"text\":\"aGk=\",\"encoding\":\"base64\"},\"bodySize\":9},\"timings\":{\"wait\":10,\"blocked\":-1}},
{\"startedDateTime\":\"2026-11-23T10:00:00Z\",\"time\":-1,\"request\":{\"method\":\"GET\",\"url\":\"http://h.example\",\"httpVersion\":\"\",\"headers\":[],\"bodySize\":0},\"response\":{\"status\":0,\"headers\":[],\"content\":{\"size\":0}},\"timings\":{\"blocked\":1,\"wait\":2,\"ssl\":50,\"receive\":-1}},
{\"startedDateTime\":\"2026-11-23T10:00:02.123456Z\",\"time\":\"3\",\"request\":{\"method\":\"PUT\",\"url\":\"http://h.example/p\",\"headers\":[{\"name\":\"Content-Length\",\"value\":\"5\"}],\"bodySize\":5},\"response\":{\"status\":200,\"headers\":[],\"content\":{\"size\":500001,\"comment\":\"body left out\"}}},
{\"startedDateTime\":\"2026-11-23T10:00:03Z\",\"time\":3,\"_fromCache\":\"disk\",\"request\":{\"method\":\"GET\",\"url\":\"http://h.example/c\",\"headers\":[]},\"response\":{\"status\":200,\"headers\":[],\"content\":{}}},
{\"startedDateTime\":\"2026-11-23T10:00:04Z\",\"time\":3,\"request\":{\"method\":\"GET\",\"url\":\"data:text/plain,hi\",\"headers\":[]}},
{\"time\":3,\"request\":{\"method\":\"DELETE\",\"url\":\"/d\",\"headers\":null}}
]}, \"after\": true}\n";

pub(crate) const TAP: &str = r#"{
  "http_buffered_trace": {
    "request": {"headers": [{"key": ":authority", "value": "h"}, {"key": ":path", "value": "/a"}, {"key": ":method", "value": "POST"}, {"key": "content-length", "value": "2"}],
      "body": {"truncated": false, "as_bytes": "aG\nk="}, "trailers": []},
    "response": {"headers": [{"key": ":status", "value": "200"}, {"key": "date", "value": "Mon, 23 Nov 2026 10:00:00 GMT"}],
      "body": {"truncated": true, "as_string": "begin"}}
  }
}
{"http_streamed_trace_segment":{"trace_id":"1","request_headers":{"headers":[{"key":":path","value":"/b"},{"key":":method","value":"GET"}]}}}
{"httpStreamedTraceSegment":{"traceId":2,"requestHeaders":{"headers":[{"key":":path","value":"/c"},{"key":":method","value":"PUT"}],"headersReceivedTime":"2026-11-23T10:00:01Z"}}}
{"http_streamed_trace_segment":{"trace_id":"2","request_body_chunk":{"as_bytes":"YQ=="}}}
{"http_streamed_trace_segment":{"trace_id":"1","response_headers":{"headers":[{"key":":status","value":"404"}]}}}
{"http_streamed_trace_segment":{"trace_id":"2","request_body_chunk":{"as_bytes":"Yg=="}}}
{"http_streamed_trace_segment":{"trace_id":"2","response_headers":{"headers":[{"key":":status","value":"201"}],"headers_received_time":"2026-11-23T10:00:01.25Z"}}}
{"http_streamed_trace_segment":{"trace_id":"2","response_body_chunk":{"truncated":false,"as_string":"ok"}}}
{"http_streamed_trace_segment":{"trace_id":"2","response_trailers":{"headers":[]}}}
"#;

pub(crate) const ENVOY_LOG: &str = r#"[2026-11-23T10:00:00.310Z] "GET /api/v1/locations HTTP/2" 200 - 0 55 226 100 "10.0.35.28" "nsq "2.0" x" "cc21d9b0" "locations" "tcp://10.0.2.1:80"
[2026-11-23T10:00:00.100Z] "POST /api HTTP/1.1" 0 DC 154 0 5 - "-" "-" "-" "h" "-"
"#;

pub(crate) const NGINX: &str = r#"{"msec":"1700000001.500","rt":"1.000","id":"a","conn":"3","creq":"1","addr":"10.0.0.1","m":"POST","u":"/a?b=c","proto":"HTTP/1.1","host":"h","st":"201","ct":"application/json","auth":"","cookie":"k=v","idem":"i-1","body":"{\"x\":1}","resp":"{}"}
{"msec":"1700000001.200","rt":"0.100","id":"b","conn":"4","creq":"9","addr":"10.0.0.2","m":"POST","u":"/b","proto":"HTTP/2.0","host":"h","st":"200","ct":"application/json","auth":"","cookie":"","idem":"","body":"","resp":"-"}
{"time":"14/Nov/2023:22:13:22 +0000","request":"GET /caf\xC3\xA9 HTTP/1.1","status":"200","remote_addr":"10.0.0.3","http_x_tenant":"t","request_time":"0.5","body_bytes_sent":"7","path\\x":"-"}
"#;

pub(crate) const OTLP: &str = r#"{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{},"spans":[
 {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET","kind":2,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":1700000000250000000,"attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"url.path","value":{"stringValue":"/a"}},{"key":"url.query","value":{"stringValue":"b=c"}},{"key":"server.address","value":{"stringValue":"h"}},{"key":"server.port","value":{"intValue":"8080"}},{"key":"http.response.status_code","value":{"intValue":200}},{"key":"http.request.header.x_tenant","value":{"arrayValue":{"values":[{"stringValue":"t"}]}}}]},
 {"kind":"SPAN_KIND_INTERNAL","startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{"key":"flag","value":{"boolValue":true}}]}]}]}]}
{"resourceSpans":[{"instrumentationLibrarySpans":[{"spans":[
{"kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1700000001000000000","endTimeUnixNano":"1700000001100000000","attributes":[{"key":"http.method","value":{"stringValue":"POST"}},{"key":"http.target","value":{"stringValue":"/b"}},{"key":"http.status_code","value":{"doubleValue":201}}]},
{"kind":2,"startTimeUnixNano":"1700000002000000000","endTimeUnixNano":"1700000002100000000","attributes":[{"key":"http.method","value":{"stringValue":"GET"}},{"key":"http.url","value":{"stringValue":"http://h/c"}}]}]}]}]}
"#;

fn tagged(payload: &[u8], tag: u8) -> Vec<u8> {
    let mut out = format!("{}:", payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out.push(tag);
    out
}

fn text(text: &str) -> Vec<u8> {
    tagged(text.as_bytes(), b';')
}

fn bytes(text: &[u8]) -> Vec<u8> {
    tagged(text, b',')
}

fn number(number: f64) -> Vec<u8> {
    let mut text = String::new();
    let _ = write!(text, "{number}");
    tagged(text.as_bytes(), b'^')
}

fn whole(number: i64) -> Vec<u8> {
    tagged(number.to_string().as_bytes(), b'#')
}

fn list(values: &[Vec<u8>]) -> Vec<u8> {
    tagged(&values.concat(), b']')
}

fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs
        .iter()
        .flat_map(|(key, value)| [text(key), value.clone()].concat())
        .collect();
    tagged(&pairs, b'}')
}

/// Four flows: a whole one, one that has no answer, a WebSocket's, and one of TCP.
pub(crate) fn mitmproxy(version: i64) -> Vec<u8> {
    let null = || tagged(b"", b'~');
    let header = |name: &[u8], value: &[u8]| list(&[bytes(name), bytes(value)]);
    let request = |method: &[u8], content: Vec<u8>| {
        dict(&[
            ("method", bytes(method)),
            ("scheme", bytes(b"https")),
            ("host", text("h.example")),
            ("port", whole(8443)),
            ("authority", bytes(b"")),
            ("path", bytes(b"/a?b=c")),
            ("http_version", bytes(b"HTTP/2.0")),
            (
                "headers",
                list(&[
                    header(b"content-type", b"text/plain"),
                    header(b"cookie", b"k=v"),
                ]),
            ),
            ("content", content),
            ("trailers", null()),
            ("timestamp_start", number(1_700_000_000.5)),
            ("timestamp_end", number(1_700_000_000.6)),
        ])
    };
    let response = dict(&[
        ("status_code", whole(200)),
        ("reason", bytes(b"OK")),
        ("headers", list(&[header(b"Transfer-Encoding", b"chunked")])),
        ("content", null()),
        ("timestamp_start", number(1_700_000_000.7)),
        ("timestamp_end", number(1_700_000_001.0)),
    ]);
    let client = dict(&[
        ("id", text("conn-1")),
        ("peername", list(&[text("10.0.0.1"), whole(5_000)])),
    ]);
    let flow = |kind: &str, request: Vec<u8>, response: Vec<u8>, websocket: Vec<u8>| {
        dict(&[
            ("version", whole(version)),
            ("type", text(kind)),
            ("id", text("f")),
            ("request", request),
            ("response", response),
            ("client_conn", client.clone()),
            ("is_replay", tagged(b"false", b'!')),
            ("websocket", websocket),
            ("error", null()),
        ])
    };
    [
        flow(
            "http",
            request(b"POST", bytes(b"hi")),
            response.clone(),
            null(),
        ),
        flow("http", request(b"GET", bytes(b"")), null(), null()),
        flow(
            "http",
            request(b"GET", bytes(b"")),
            response,
            dict(&[("messages", list(&[]))]),
        ),
        flow("tcp", null(), null(), null()),
    ]
    .concat()
}
