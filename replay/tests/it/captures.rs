//! Reading captures: both formats, their odd forms, and what must never be silent.

use std::{
    fs::File,
    io::{Cursor, Write},
    path::Path,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use rehearsal_replay::capture::{
    Body, Capture, CaptureError, Exchange, Fault, Flag, Manifest, Record, Request, Response,
    SkippedKind, Writer, load, open,
};

const MONKEYS: &str = "\n🐵🙈🙉\n";

fn gor(records: &[&str]) -> Vec<u8> {
    records
        .iter()
        .flat_map(|record| [record.as_bytes(), MONKEYS.as_bytes()].concat())
        .collect()
}

fn read(bytes: &[u8]) -> Result<Capture, CaptureError> {
    load("test", bytes)
}

fn exchange(seq: u64) -> Exchange {
    Exchange {
        seq,
        ts_ns: 1_000 + seq,
        conn: Some("c".into()),
        session: None,
        request: Request {
            method: "POST".into(),
            target: "/things?a=b".into(),
            version: "1.1".into(),
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: Body::Whole(Bytes::from_static(b"{\"id\":1}")),
        },
        response: Some(Response {
            ts_ns: 2_000,
            latency_ns: 1_000 + seq,
            status: 200,
            headers: Vec::new(),
            body: Body::Whole(Bytes::from_static(b"\xff\x00")),
        }),
        flags: Vec::new(),
    }
}

fn lines(exchanges: &[Exchange], promised: u64) -> Vec<u8> {
    let manifest = Manifest::new(Some("test".into()), Some(promised));
    let mut writer = Writer::plain(Vec::new(), &manifest).expect("memory");
    for exchange in exchanges {
        writer.write(exchange).expect("memory");
    }
    writer.finish().expect("memory")
}

#[test]
fn the_shared_goreplay_capture_imports_whole() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures/isucon5-requests.gor");
    let Ok(file) = File::open(&path) else {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: {} is not there", path.display());
        }
        return;
    };
    let capture = load("isucon5-requests.gor", file).expect("a capture");
    assert_eq!(capture.exchanges.len(), 1_051);
    assert!(capture.skipped.is_empty());
    let posts = capture
        .exchanges
        .iter()
        .filter(|exchange| exchange.request.method == "POST");
    assert_eq!(posts.count(), 77);
    let sessions: std::collections::BTreeSet<_> = capture
        .exchanges
        .iter()
        .filter_map(|exchange| exchange.session.clone())
        .collect();
    assert_eq!(sessions.len(), 110);
    let span = capture.exchanges[1_050].ts_ns - capture.exchanges[0].ts_ns;
    assert_eq!(span, 90_942_649_323);
    assert!(
        capture
            .exchanges
            .iter()
            .all(|exchange| exchange.flags.is_empty())
    );
}

#[test]
fn responses_join_their_requests_in_order() {
    let new = "aaaabbbbccccdddd00000001";
    let bytes = gor(&[
        &format!("1 {new} 1000000000\nGET /a HTTP/1.1\r\n\r\n"),
        &format!("1 {new} 1500000000\nGET /b HTTP/1.1\r\n\r\n"),
        &format!("2 {new} 2000000000 5000\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"),
        &format!("2 {new} 2100000000 5000\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nB"),
        "1 old 3000000000\nGET /c HTTP/1.1\r\n\r\n",
        "2 old 3000000000 7000\nHTTP/1.1 204 None\r\n\r\n",
        "3 old 3000000000 7000\nHTTP/1.1 204 None\r\n\r\n",
        "2 lost 3000000000 7000\nHTTP/1.1 204 None\r\n\r\n",
    ]);
    let capture = read(&bytes).expect("a capture");
    let seen: Vec<_> = capture
        .exchanges
        .iter()
        .map(|exchange| {
            let response = exchange.response.as_ref().expect("a response");
            (
                exchange.request.target.as_str(),
                response.status,
                response.latency_ns,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("/a", 200, 1_000_005_000),
            ("/b", 404, 600_005_000),
            ("/c", 204, 7_000)
        ]
    );
    assert_eq!(
        capture.exchanges[0].conn.as_deref(),
        Some("aaaabbbbccccdddd")
    );
    assert_eq!(capture.exchanges[0].session, capture.exchanges[1].session);
    let kinds: Vec<_> = capture.skipped.iter().map(|skipped| skipped.kind).collect();
    assert_eq!(
        kinds,
        [SkippedKind::ReplayedResponse, SkippedKind::OrphanResponse]
    );
}

#[test]
fn a_response_of_two_minutes_later_is_of_no_request() {
    let ids = ["late", "fair"];
    let requests = ids.map(|id| format!("1 {id} 1000000000\nGET /{id} HTTP/1.1\r\n\r\n"));
    let bytes = gor(&[
        &requests[0],
        &requests[1],
        "2 fair 121000000000 1\nHTTP/1.1 200 OK\r\n\r\n",
        "2 late 121000000001 1\nHTTP/1.1 200 OK\r\n\r\n",
        "2 early 130000000000 1\nHTTP/1.1 200 OK\r\n\r\n",
        "1 early 251000000000\nGET /early HTTP/1.1\r\n\r\n",
    ]);
    let capture = read(&bytes).expect("a capture");
    let answered =
        |exchange: &Exchange| (exchange.request.target.clone(), exchange.response.is_some());
    let seen: Vec<_> = capture.exchanges.iter().map(answered).collect();
    let expected = [("/late", false), ("/fair", true), ("/early", false)];
    assert_eq!(seen, expected.map(|(target, is)| (target.to_owned(), is)));
    let kinds: Vec<_> = capture.skipped.iter().map(|skipped| skipped.kind).collect();
    assert_eq!(kinds, [SkippedKind::OrphanResponse; 2]);
}

#[test]
fn out_of_order_and_early_records_are_put_right() {
    let bytes = gor(&[
        "2 x 2000000000 1\nHTTP/1.1 200 OK\r\n\r\n",
        "1 y 1500000000\nGET /second HTTP/1.1\r\n\r\n",
        "1 x 1000000000\nGET /first HTTP/1.1\r\n\r\n",
    ]);
    let capture = read(&bytes).expect("a capture");
    assert_eq!(capture.exchanges[0].request.target, "/first");
    assert!(capture.exchanges[0].response.is_some());
    assert_eq!(capture.exchanges[0].flags, [Flag::OutOfOrder]);
    assert_eq!(capture.exchanges[1].request.target, "/second");
    assert_eq!(capture.exchanges[1].seq, 1);
}

#[test]
fn malformed_records_are_counted_with_their_place() {
    let good = "1 a 1000\nGET / HTTP/1.1\r\n\r\n";
    let bytes = gor(&[good, "1 b\nGET / HTTP/1.1\r\n\r\n", "1 c 5\nnonsense", good]);
    let capture = read(&bytes).expect("a capture");
    assert_eq!(capture.exchanges.len(), 2);
    let offsets: Vec<_> = capture
        .skipped
        .iter()
        .map(|skipped| skipped.offset)
        .collect();
    let first = (good.len() + MONKEYS.len()) as u64;
    let second = first + "1 b\nGET / HTTP/1.1\r\n\r\n".len() as u64 + MONKEYS.len() as u64;
    assert_eq!(offsets, [first, second]);
    assert!(
        capture
            .skipped
            .iter()
            .all(|skipped| skipped.kind.loses_a_request())
    );
}

#[test]
fn an_unterminated_record_is_kept_and_a_cut_one_is_an_error() {
    let capture = read(b"1 a 1000\nGET / HTTP/1.1\r\n\r\n").expect("hand-made");
    assert_eq!(capture.exchanges[0].flags, [Flag::Unterminated]);
    let bytes = [
        b"1 a 1000\nGET / HTTP/1.1\r\n\r\n".as_slice(),
        "\n🐵🙈🙉".as_bytes(),
    ]
    .concat();
    assert_eq!(read(&bytes).expect("closed").exchanges[0].flags, []);
    let cut = read(b"1 a 1000\nPOST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(cut.expect_err("cut").fault, Fault::Truncated);
    let recorded = gor(&["1 a 1000\nPOST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"]);
    let capture = read(&recorded).expect("the recorder's limit");
    assert_eq!(capture.exchanges[0].flags, [Flag::Truncated]);
}

#[test]
fn our_own_lines_read_back_equal_plain_and_compressed() {
    let exchanges = [exchange(0), exchange(1)];
    let plain = lines(&exchanges, 2);
    assert_eq!(read(&plain).expect("a capture").exchanges, exchanges);
    let manifest = Manifest::new(None, None);
    let mut writer = Writer::gzip(Vec::new(), &manifest).expect("memory");
    writer.write(&exchanges[0]).expect("memory");
    let compressed = writer.finish().expect("memory");
    assert_eq!(&compressed[..2], b"\x1f\x8b");
    let capture = read(&compressed).expect("a capture");
    assert_eq!(capture.exchanges, exchanges[..1]);
    assert_eq!(capture.sha256.len(), 64);
    let mut writer = Writer::zstd(Vec::new(), &manifest).expect("memory");
    let many: Vec<Exchange> = (0..6_000).map(exchange).collect();
    for one in &many {
        writer.write(one).expect("memory");
    }
    let compressed = writer.finish().expect("memory");
    assert_eq!(&compressed[..4], b"\x28\xb5\x2f\xfd");
    assert!(compressed.len() < 1 << 20, "{}", compressed.len());
    assert_eq!(read(&compressed).expect("a capture").exchanges, many);
}

#[test]
fn damaged_files_are_refused_with_file_place_found_and_expected() {
    let check = |bytes: &[u8], fault: Fault, message: &str| {
        let error = read(bytes).expect_err("damaged");
        assert_eq!((error.fault, error.to_string().as_str()), (fault, message));
    };
    let formats = "expected a capture: rehearsal.capture/1, GoReplay, HAR, mitmproxy, an Envoy tap or log, an nginx log of JSON or OTLP spans, gzip or zstd or neither";
    check(
        b"",
        Fault::Empty,
        &format!("test: byte 0: found an empty file, {formats}"),
    );
    check(
        b" \n",
        Fault::Empty,
        &format!("test: byte 0: found an empty file, {formats}"),
    );
    check(
        b"hello",
        Fault::UnknownFormat,
        &format!("test: byte 0: found \"hello\", {formats}"),
    );
    check(
        b"{\"format\":\"rehearsal.capture/2\"}\n",
        Fault::NewerMajor,
        "test: line 1: found format \"rehearsal.capture/2\", expected a manifest {\"format\":\"rehearsal.capture/1\"}",
    );
    check(
        b"{\"format\":\"rehearsal.capture/1\"}\n",
        Fault::Empty,
        "test: the whole file: found no exchange, expected at least one exchange",
    );
    let whole = lines(&[exchange(0), exchange(1)], 2);
    check(
        &whole[..whole.len() - 20],
        Fault::Truncated,
        "test: line 3: found the end of the file within a line, expected a whole exchange",
    );
    let first = whole.len()
        - whole
            .split(|byte| *byte == b'\n')
            .nth(2)
            .map_or(0, <[u8]>::len)
        - 1;
    check(
        &whole[..first],
        Fault::Truncated,
        "test: line 3: found the end of the file after 1 exchanges, expected 2, as its manifest says",
    );
    let mut binary = whole.clone();
    let at = whole.len() - 30;
    binary[at] = 0xff;
    check(
        &binary,
        Fault::Damaged,
        &format!(
            "test: line 3: found a byte that is not UTF-8 at byte {at}, expected JSON in UTF-8"
        ),
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&whole).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let error = read(&gzip[..gzip.len() - 10]).expect_err("cut");
    assert_eq!(error.fault, Fault::Truncated);
}

#[test]
fn a_line_that_is_no_exchange_is_counted() {
    let mut bytes = lines(&[exchange(0)], 1);
    bytes.extend_from_slice(b"{\"v\":1,\"surprise\":true}\n{\"v\":2}\n");
    let capture = read(&bytes).expect("a capture");
    assert_eq!(capture.exchanges.len(), 1);
    assert_eq!(capture.skipped.len(), 2);
    assert_eq!(capture.skipped[0].line, Some(3));
    assert!(
        capture.skipped[0]
            .reason
            .starts_with("unknown field `surprise`")
    );
}

/// Every record of a hostile file is an exchange, a counted skip, or one error at the end.
fn drain(bytes: &[u8]) {
    if let Ok(reader) = open("fuzz.gor", Cursor::new(bytes)) {
        let records: Vec<Result<Record, CaptureError>> = reader.collect();
        let errors = records.iter().filter(|record| record.is_err()).count();
        assert!(errors <= 1);
        assert!(errors == 0 || records.last().is_some_and(Result::is_err));
    }
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let text = r"[123] ([0-9a-f]{24}|[ab]) [0-9]{1,12}( [0-9]{1,5})?\r?\n((GET|POST) /[a-z]{0,3} HTTP/1\.1|HTTP/1\.1 [1-5][0-9]{2} OK)\r?\n((Content-Length: [0-9]|Transfer-Encoding: chunked|[a-z: ]{0,9})\r?\n){0,3}(\r?\n)?([0-9a-f]\r\n)?[a-z]{0,9}";
    let any = proptest::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        4 => proptest::string::string_regex(text).expect("a pattern").prop_map(String::into_bytes),
        1 => any
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drain(&bytes);
        drain(&[b"1 a 1\n", &bytes[..]].concat());
        drain(&[b"{\"format\":\"rehearsal.capture/1\"}\n", &bytes[..]].concat());
    }

    #[test]
    fn each_record_of_a_hostile_file_is_accounted_for(records in proptest::collection::vec(record(), 1..6)) {
        let bytes: Vec<u8> = records.iter().flat_map(|record| [record, MONKEYS.as_bytes()].concat()).collect();
        drain(&bytes);
        let whole = records.iter().all(|record| !record.is_empty() && memchr::memmem::find(record, "🐵".as_bytes()).is_none());
        if whole && let Ok(reader) = open("fuzz.gor", Cursor::new(&bytes)) {
            let mut halves = 0;
            for read in reader {
                halves += match read {
                    Ok(Record::Exchange(exchange)) => 1 + usize::from(exchange.response.is_some()),
                    // What is behind a message is counted besides.
                    Ok(Record::Skipped(skipped)) => usize::from(!skipped.reason.contains("behind a message")),
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                };
            }
            prop_assert_eq!(halves, records.len());
        }
    }
}
