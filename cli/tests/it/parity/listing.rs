//! `rehearsal parity` on a listing: its pages are followed to their end, or it is refused.
//!
//! **Invariant**: rows are never missing in silence, and no query is ever shown.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use serde_json::{Value, json};

use super::{counts, lines, parity, row};
use crate::binary::{Desk, Ended};

/// Answers each request with the next of `answers`, whatever it asks, and each on a connection of its own: a client may or may not use the last.
#[expect(
    clippy::disallowed_methods,
    reason = "a server beside the command under test"
)]
fn listing(answers: &[&str], ask: impl FnOnce(&str)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let reader = BufReader::new(stream.try_clone().expect("a stream"));
                let mut lines = reader.lines().map_while(Result::ok);
                assert!(lines.any(|line| line.is_empty()), "a request");
                let closing = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                write!(stream, "{closing}").expect("sent");
            }
        });
        ask(&address);
    });
}

fn page(rows: &[Value], next: Option<&str>, link: &str) -> String {
    let mut body = json!({"appointments": rows, "page_size": 5});
    if let Some(next) = next {
        body["next_cursor"] = json!(next);
    }
    sent(&body, link)
}

fn sent(body: &Value, link: &str) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{link}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_listing_is_followed_to_its_end() {
    let desk = Desk::new();
    let rows: Vec<Value> = (0..5).map(row).collect();
    desk.put("a.jsonl", lines(&rows));
    let pages = [
        page(&rows[..2], Some("c 1"), ""),
        page(
            &rows[2..3],
            None,
            "link: </list?p=1,2>; rel=\"prev\", </list?p=3,4>; rel=\"next\"\r\n",
        ),
        page(&rows[3..], None, ""),
    ];
    listing(&pages.each_ref().map(String::as_str), |address| {
        let ended = parity(&desk, "a.jsonl", &format!("{address}/list"), &[]);
        assert_eq!(
            (ended.code, counts(&ended.json())),
            (0, [5, 0, 0, 0, 0]),
            "{ended:?}"
        );
    });
    listing(
        &["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"],
        |address| {
            let ended = parity(&desk, "a.jsonl", &format!("{address}/list"), &[]);
            assert_eq!(ended.code, 4, "{ended:?}");
            assert!(
                ended.err.contains("404") && ended.err.contains("--ids"),
                "{}",
                ended.err
            );
        },
    );
}

#[test]
fn a_listing_that_does_not_say_where_it_goes_on_is_refused() {
    let desk = Desk::new();
    desk.put("a.jsonl", lines(&[row(1)]));
    let check = |body: &Value, link: &str, said: &str| {
        listing(&[&sent(body, link)], |address| {
            let ended = parity(&desk, "a.jsonl", &format!("{address}/list?token=hush"), &[]);
            assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
            assert!(
                ended.err.contains(said) && !ended.err.contains("hush"),
                "{}",
                ended.err
            );
        });
    };
    let rows = json!({"items": [row(1)], "has_more": true});
    check(&rows, "", "found true at /has_more and no next page");
    let rows = json!({"items": [row(1)], "total": 5});
    check(&rows, "", "found 1 rows and 5 in all at /total");
    let rows = json!({"items": [row(1)]});
    check(
        &rows,
        "x-total-pages: 2\r\n",
        "found 1 pages and 2 in all at the header x-total-pages",
    );
    let rows = json!({"items": [row(1)], "next_cursor": 5});
    check(&rows, "", "found a JSON number at /next_cursor");
    let rows = json!([row(1)]);
    check(&rows, "link: /list?p=2; rel=next\r\n", "from byte 0 on");
}

#[test]
fn a_query_is_sent_and_never_shown() {
    let desk = Desk::new();
    desk.put("a.jsonl", lines(&[row(1)]));
    listing(&[&page(&[row(1)], None, "")], |address| {
        let ended = parity(&desk, "a.jsonl", &format!("{address}/list?token=hush"), &[]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let source = &ended.json()["right"]["source"];
        assert_eq!(source, &json!(format!("{address}/list")));
        let report = desk.get("results/parity_report.md");
        assert!(!format!("{ended:?}{report}").contains("hush"));
    });
}

#[test]
fn ctrl_c_ends_a_listing_between_two_pages() {
    let desk = Desk::new();
    desk.put("a.jsonl", lines(&[row(1)]));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/list", listener.local_addr().expect("an address"));
    let child = desk
        .command(&["parity", "a.jsonl", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (mut stream, _) = listener.accept().expect("a client");
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut asked = 0;
    let mut line = String::new();
    // The listing has no end; only Ctrl-C does.
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line == "\r\n" {
            asked += 1;
            if asked == 2 {
                let pid = child.id().to_string();
                let sent = Command::new("kill").args(["-INT", &pid]).status();
                assert!(sent.expect("kill is there").success());
            }
            let cursor = asked.to_string();
            if write!(stream, "{}", page(&[row(asked)], Some(&cursor), "")).is_err() {
                break;
            }
        }
        line.clear();
    }
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    assert_eq!((ended.code, asked >= 2), (130, true), "{ended:?}");
}
