//! Captures that are damaged, cut or put together by hand: what each format still gives, and that what it loses is told with its place.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use rehearsal_replay::capture::{
    Body, Capture, CaptureError, Exchange, Fault, Flag, Skipped, SkippedKind, load,
};

const MONKEYS: &str = "\n🐵🙈🙉\n";

fn read(text: &str) -> Capture {
    load("test", text.as_bytes()).expect("a capture")
}

fn refused(text: &str) -> CaptureError {
    load("test", text.as_bytes()).expect_err("refused")
}

fn targets(capture: &Capture) -> Vec<&str> {
    let requests = capture.exchanges.iter();
    requests.map(|exchange| &*exchange.request.target).collect()
}

fn places(capture: &Capture) -> Vec<(SkippedKind, u64)> {
    let skipped = capture.skipped.iter();
    skipped
        .map(|Skipped { kind, offset, .. }| (*kind, *offset))
        .collect()
}

fn whole(text: &str) -> Body {
    Body::Whole(text.as_bytes().to_vec().into())
}

fn bodies(capture: &Capture) -> Vec<&Body> {
    let requests = capture.exchanges.iter();
    requests.map(|exchange| &exchange.request.body).collect()
}

#[test]
fn a_record_whose_separator_is_missing_is_seen() {
    let text = [
        "1 a 1000\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        MONKEYS,
        "1 b 2000\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n\n",
        "1 c 3000\nPOST /c HTTP/1.1\r\nContent-Length: 2\r\n\r\nab\n",
        "1 d 4000\nPOST /d HTTP/1.1\r\n\r\ncd\n",
        "2 d 5000 1\nHTTP/1.1 200 OK\r\n\r\nok\n",
        "1 e 6000\nGET /e HTTP/1.1\r\n\r\n",
        MONKEYS,
    ]
    .concat();
    let capture = read(&text);
    assert_eq!(targets(&capture), ["/a", "/b", "/c", "/d", "/e"]);
    let empty = Body::EMPTY;
    assert_eq!(
        bodies(&capture),
        [&empty, &empty, &whole("ab"), &whole("cd"), &empty]
    );
    let answer = capture.exchanges[3].response.as_ref().expect("an answer");
    assert_eq!(answer.body, whole("ok"));
    let flags: Vec<&[Flag]> = capture.exchanges.iter().map(|one| &one.flags[..]).collect();
    assert_eq!(
        flags,
        [
            &[][..],
            &[Flag::Unterminated],
            &[Flag::Unterminated],
            &[Flag::BadEncoding, Flag::Unterminated],
            &[],
        ]
    );
    assert_eq!(capture.skipped, []);
}

#[test]
fn a_body_may_hold_what_looks_like_records() {
    let inner = format!(
        "1 x 5\nGET /x HTTP/1.1\r\n\r\n{}1 y 6\nGET /y HTTP/1.1",
        "\n"
    );
    let length = inner.len();
    let text = format!(
        "1 a 1000\nPOST /a HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{inner}{MONKEYS}1 b 2000\nGET /b HTTP/1.1\r\n\r\n{MONKEYS}"
    );
    let capture = read(&text);
    assert_eq!(targets(&capture), ["/a", "/b"]);
    assert_eq!(capture.exchanges[0].request.body, whole(&inner));
    assert_eq!(
        (capture.skipped.len(), &capture.exchanges[0].flags),
        (0, &vec![])
    );
}

#[test]
fn bytes_behind_a_message_are_counted_with_their_place() {
    let begin = "1 a 1000\nPOST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
    let text = format!("{begin}POST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\nx{MONKEYS}");
    let capture = read(&text);
    assert_eq!(bodies(&capture), [&whole("ab")]);
    let place = begin.len() as u64;
    assert_eq!(places(&capture), [(SkippedKind::Malformed, place)]);
    let reason = "40 bytes behind a message, which its head does not tell of";
    assert_eq!(capture.skipped[0].reason, reason);
    // A request without a length has no body, so another request behind it is none.
    let text = format!("1 a 1000\nGET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n{MONKEYS}");
    let capture = read(&text);
    assert_eq!(bodies(&capture), [&Body::EMPTY]);
    assert_eq!(places(&capture), [(SkippedKind::Malformed, 28)]);
    // Line ends behind a body mean nothing.
    let capture = read(&format!("{begin}\r\n\r\n{MONKEYS}"));
    assert_eq!(
        (capture.skipped.len(), bodies(&capture)),
        (0, vec![&whole("ab")])
    );
}

#[test]
fn an_answer_may_follow_an_interim_one() {
    let text = format!(
        "1 a 1000\nGET /a HTTP/1.1\r\n\r\n{MONKEYS}2 a 2000 1\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx{MONKEYS}"
    );
    let capture = read(&text);
    let answer = capture.exchanges[0].response.as_ref().expect("an answer");
    assert_eq!((answer.status, &answer.body), (201, &whole("x")));
    assert_eq!(capture.skipped, []);
}

#[test]
fn an_answer_to_head_that_declares_chunks_has_no_body() {
    let text = format!(
        "1 a 1000\nHEAD /a HTTP/1.1\r\n\r\n{MONKEYS}2 a 2000 1\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MONKEYS}"
    );
    let Exchange {
        flags, response, ..
    } = &read(&text).exchanges[0];
    assert_eq!(flags, &[]);
    assert_eq!(response.as_ref().map(|one| &one.body), Some(&Body::EMPTY));
}

#[test]
fn a_recording_whose_line_ends_were_converted_is_read() {
    let text = [
        "1 a 1000\nPOST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nab",
        MONKEYS,
        "1 b 2000\nGET /b HTTP/1.1\nHost: h\n\n",
        MONKEYS,
        "1 c 3000\nGET /c HTTP/1.1\r\n\r\n",
        MONKEYS,
    ]
    .concat();
    let converted = [
        text.replace('\n', "\r\n"),
        text.replace("\r\n", "\n").replace('\n', "\r\n"),
    ];
    for text in converted {
        let capture = read(&text);
        assert_eq!(targets(&capture), ["/a", "/b", "/c"]);
        assert_eq!(capture.exchanges[0].request.body, whole("ab"));
        for exchange in &capture.exchanges {
            assert_eq!(
                (&*exchange.request.version, &exchange.flags[..]),
                ("1.1", &[][..])
            );
        }
        assert_eq!(capture.skipped, []);
        // The last separator may lack its end.
        for cut in 1..=2 {
            let capture = read(&text[..text.len() - cut]);
            assert_eq!(capture.exchanges[2].flags, []);
        }
    }
}

#[test]
fn a_recording_that_ends_within_a_record_is_an_error() {
    let good = format!("1 a 1000\nGET /a HTTP/1.1\r\n\r\n{MONKEYS}");
    let last = "1 b 2000\nPOST /orders HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";
    let place = format!("byte {}", good.len());
    for length in 1..last.len() {
        let error = refused(&format!("{good}{}", &last[..length]));
        assert_eq!(
            (error.fault, &*error.place),
            (Fault::Truncated, &*place),
            "{length}"
        );
    }
    let whole = format!("{good}{last}{MONKEYS}");
    let end = whole.len() - MONKEYS.len();
    // A cut within the separator costs nothing.
    for length in end..whole.len() {
        let capture = load("test", &whole.as_bytes()[..length]).expect("a capture");
        assert_eq!(bodies(&capture), [&Body::EMPTY, &self::whole("ab")]);
        assert_eq!(capture.skipped, []);
    }
}

#[test]
fn a_cut_or_damaged_compression_is_told_where_it_was_reached() {
    let line = |n: u32| {
        format!(
            r#"{{"msec":"{}.5","m":"GET","u":"/{n}"}}"#,
            1_700_000_000 + n
        ) + "\n"
    };
    let text: String = (0..40_000).map(line).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(text.as_bytes(), level);
    for bytes in [gzip, zstd] {
        let error = load("test", &bytes[..bytes.len() * 3 / 4]).expect_err("cut");
        assert_eq!(error.fault, Fault::Truncated);
        let reached = error.place.strip_prefix("byte ").map(str::parse::<usize>);
        let reached = reached.expect("a byte").expect("a number");
        let expected = text.len() / 2..text.len();
        assert!(expected.contains(&reached), "{error}: {expected:?}");
    }
}
