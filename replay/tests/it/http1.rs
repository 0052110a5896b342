//! HTTP/1.1 as targets speak it, well and badly, on real connections: where an answer ends, what a connection is good for afterwards, and what is a
//! failure. `run/framing` has the same of texts.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_host::Host;
use rehearsal_replay::{
    plan::{Pace, plan},
    rules::{Rules, Side},
    run::{Answer, Observations, Options, Outcome, Target, side},
};

use crate::{
    raw::{Asked, Log, Reaction, answer, raw},
    server::{captured, on_this_machine, options},
};

const FOLLOWING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext";

/// Requests of one session to one target, one after the other.
async fn asked(
    host: &Host,
    requests: &[(&'static str, &str, &str)],
    options: &Options,
    react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static,
) -> (Observations, Log) {
    let (url, log) = raw(host, react).await;
    let requests = requests
        .iter()
        .map(|(method, target, body)| (*method, (*target).to_owned(), (*body).to_owned()));
    let mut capture = captured(requests);
    for exchange in &mut capture.exchanges {
        exchange.session = Some("s".to_owned());
    }
    let rules = Rules::default();
    let plan = plan(capture, &rules, Pace::Rate(50.0));
    let (target, never) = (
        Target::new(Side::Candidate, url),
        std::future::pending::<()>(),
    );
    let seen = side(host, &target, &plan, &rules, options, never, |_| ()).await;
    assert!(seen.accounting().balances(), "{:?}", seen.accounting());
    (seen, log)
}

fn answered(seen: &Observations, at: usize) -> Answer {
    match seen.outcomes.read(at).into_owned() {
        Outcome::Answered(answer) => answer,
        other => panic!("{at}: {other:?}"),
    }
}

fn failed(seen: &Observations, at: usize) -> (&'static str, String) {
    match seen.outcomes.read(at).into_owned() {
        Outcome::Failed { reason, message } => (reason.name(), message),
        other => panic!("{at}: {other:?}"),
    }
}

fn connections(log: &Log) -> Vec<usize> {
    let log = log.lock().expect("no panic");
    log.iter().map(|asked| asked.connection).collect()
}

/// Asks `method /first`, answered by `first` byte by byte or at once, then `GET /next`: what the first one gave, and on how many connections.
fn first_and_next(
    method: &'static str,
    first: &'static str,
    expect: impl Fn(Result<Answer, (&'static str, String)>, usize) + Copy,
) {
    for apart in [None, Some(Duration::from_micros(50))] {
        on_this_machine(|host| async move {
            let react = move |asked: &Asked| match (asked.target(), apart) {
                ("/next", _) => Reaction::Write(FOLLOWING.to_owned()),
                (_, Some(apart)) => Reaction::Trickle(first.to_owned(), apart),
                (_, None) => Reaction::Write(first.to_owned()),
            };
            let requests = [(method, "/first", ""), ("GET", "/next", "")];
            let (seen, log) = asked(&host, &requests, &options(), react).await;
            let next = answered(&seen, 1);
            assert_eq!(next.body, "next", "{first:?}: what follows is undisturbed");
            let first = match seen.outcomes.read(0).into_owned() {
                Outcome::Answered(answer) => Ok(answer),
                Outcome::Failed { reason, message } => Err((reason.name(), message)),
                Outcome::Skipped(reason) => panic!("{reason:?}"),
            };
            let connections = connections(&log);
            assert_eq!(connections.len(), 2, "each was written once");
            expect(first, connections[1] + 1);
            assert_eq!(seen.resent, 0);
        });
    }
}

/// The first answer is this one, and the next request finds its connection usable or not.
fn check(method: &'static str, first: &'static str, status: u16, body: &str, connections: usize) {
    first_and_next(method, first, |found, used| {
        let found = found.unwrap_or_else(|failed| panic!("{first:?}: {failed:?}"));
        assert_eq!((found.status, &*found.body), (status, body.as_bytes()));
        assert_eq!(used, connections, "{first:?}");
    });
}

#[test]
fn chunks_are_joined_and_their_extensions_and_trailers_dropped() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntrailer: x-sum\r\n\r\n5;a=\"b\"\r\nhello\r\n7 \r\n, world\r\n000\r\nx-sum: 1\r\nset-cookie: a=b\r\n\r\n";
    first_and_next("GET", chunked, |found, connections| {
        let found = found.expect("an answer");
        assert_eq!((&*found.body, connections), (&b"hello, world"[..], 1));
        let names: Vec<&str> = found.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["transfer-encoding", "trailer"], "no trailers");
    });
    check(
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        200,
        "",
        1,
    );
    check(
        "POST",
        "HTTP/1.1 500 X\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        500,
        "a",
        2,
    );
}

#[test]
fn answers_that_announce_another_one_are_passed_over() {
    check(
        "POST",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\ncontent-length: 9\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok",
        201,
        "ok",
        1,
    );
    // Nobody asked for another protocol, and what follows is none of ours.
    check(
        "GET",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nanything",
        101,
        "",
        2,
    );
    on_this_machine(|host| async move {
        let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(20_000);
        let react = move |_: &Asked| Reaction::Write(endless.clone());
        let (seen, _) = asked(&host, &[("GET", "/", "")], &options(), react).await;
        let (reason, message) = failed(&seen, 0);
        assert_eq!(reason, "broken");
        assert!(message.contains("its head is too long"), "{message}");
    });
}

#[test]
fn what_has_no_body_has_none_whatever_its_length_says() {
    check(
        "HEAD",
        "HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n",
        200,
        "",
        1,
    );
    check(
        "HEAD",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        200,
        "",
        1,
    );
    check("HEAD", "HTTP/1.1 404 X\r\n\r\n", 404, "", 1);
    check("DELETE", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 1);
    check(
        "GET",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 12\r\netag: \"a\"\r\n\r\n",
        304,
        "",
        1,
    );
    check(
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        200,
        "",
        1,
    );
}

#[test]
fn a_target_says_whether_its_connection_goes_on() {
    let check = |head: &'static str, connections| {
        check("GET", head, 200, "ok", connections);
    };
    check(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        2,
    );
    check(
        "HTTP/1.1 200 OK\r\nConnection: X, Close\r\ncontent-length: 2\r\n\r\nok",
        2,
    );
    check(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok",
        1,
    );
    check("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 2);
    check(
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        1,
    );
}

#[test]
fn what_follows_an_answer_unasked_is_no_answer() {
    // A body after a 204 is such a one, whatever its length says.
    let answers = [
        (200, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        (204, "HTTP/1.1 204 X\r\ncontent-length: 2\r\n\r\n"),
    ];
    for garbage in [
        "garbage",
        "\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong",
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n",
    ] {
        for ((status, answer), later) in answers.into_iter().flat_map(|one| [(one, 0), (one, 3)]) {
            on_this_machine(|host| async move {
                let react = move |asked: &Asked| match (asked.target(), later) {
                    ("/next", _) => Reaction::Write(FOLLOWING.to_owned()),
                    (_, 0) => Reaction::Write(format!("{answer}{garbage}")),
                    (_, later) => Reaction::WriteTwice(
                        answer.to_owned(),
                        Duration::from_millis(later),
                        garbage.to_owned(),
                    ),
                };
                let requests = [("GET", "/first", ""), ("GET", "/next", "")];
                let (seen, log) = asked(&host, &requests, &options(), react).await;
                assert_eq!(answered(&seen, 0).status, status);
                assert_eq!(answered(&seen, 1).body, "next", "{garbage:?} {later}");
                assert_eq!((connections(&log), seen.resent), (vec![0, 1], 0));
            });
        }
    }
}

#[test]
fn a_body_without_a_length_is_read_to_the_end_of_its_connection() {
    on_this_machine(|host| async move {
        let large = "x".repeat(300_000);
        let body = large.clone();
        let react = move |asked: &Asked| match asked.target() {
            "/large" => Reaction::WriteAndClose(format!("HTTP/1.0 200 OK\r\n\r\n{body}")),
            "/coded" => Reaction::WriteAndClose(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, x-other\r\n\r\nends".to_owned(),
            ),
            "/none" => Reaction::WriteAndClose("HTTP/1.1 200 OK\r\n\r\n".to_owned()),
            _ => Reaction::Write("HTTP/1.1 200 OK\r\n\r\nnever ends".to_owned()),
        };
        let requests = ["/large", "/coded", "/none", "/endless"].map(|path| ("GET", path, ""));
        let options = Options {
            deadline: Duration::from_millis(300),
            ..options()
        };
        let (seen, log) = asked(&host, &requests, &options, react).await;
        assert_eq!(answered(&seen, 0).body, Bytes::from(large));
        assert_eq!(answered(&seen, 1).body, "ends");
        assert_eq!(answered(&seen, 2).body, "");
        assert_eq!(failed(&seen, 3).0, "timeout");
        assert_eq!(connections(&log), [0, 1, 2, 3]);
    });
}

/// A target that closes its first connection when it is asked on it the second time, saying so much.
fn closing(said: &'static str) -> impl Fn(&Asked) -> Reaction + Send + Sync {
    move |asked| match (asked.connection, asked.target()) {
        (0, "/second") => Reaction::WriteAndClose(said.to_owned()),
        _ => answer(200, "", "ok"),
    }
}

#[test]
fn a_read_that_a_closing_connection_swallowed_is_sent_once_more_and_counted() {
    on_this_machine(|host| async move {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let requests = [(method, "/first", ""), (method, "/second", "")];
            let react = move |asked: &Asked| match (asked.connection, asked.target()) {
                (0, "/second") => Reaction::WriteAndClose(String::new()),
                _ => Reaction::Write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()),
            };
            let (seen, log) = asked(&host, &requests, &options(), react).await;
            assert_eq!(answered(&seen, 1).status, 200, "{method}");
            assert_eq!((connections(&log), seen.resent), (vec![0, 0, 1], 1));
        }
    });
}

#[test]
fn what_may_have_had_an_effect_is_never_sent_twice() {
    on_this_machine(|host| async move {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let requests = [("GET", "/first", ""), (method, "/second", "{}")];
            let (seen, log) = asked(&host, &requests, &options(), closing("")).await;
            let (reason, message) = failed(&seen, 1);
            assert_eq!((reason, seen.resent), ("broken", 0), "{method}");
            assert!(message.contains("before an answer came"), "{message}");
            assert_eq!(connections(&log), [0, 0], "{method}");
        }
        // Nor is a read whose answer had begun, or that went out on a connection of its own.
        let requests = [("GET", "/first", ""), ("GET", "/second", "")];
        let (seen, log) = asked(&host, &requests, &options(), closing("HTTP/1.1 2")).await;
        assert_eq!((failed(&seen, 1).0, seen.resent), ("broken", 0));
        assert_eq!(connections(&log), [0, 0]);
        let (seen, log) = asked(&host, &requests[1..], &options(), closing("")).await;
        assert_eq!((failed(&seen, 0).0, seen.resent), ("broken", 0));
        assert_eq!(connections(&log), [0]);
        // A second time is the last one.
        let never = |asked: &Asked| match asked.target() {
            "/second" => Reaction::WriteAndClose(String::new()),
            _ => answer(200, "", "ok"),
        };
        let (seen, log) = asked(&host, &requests, &options(), never).await;
        assert_eq!((failed(&seen, 1).0, seen.resent), ("broken", 1));
        assert_eq!(connections(&log), [0, 0, 1]);
    });
}

#[test]
fn heads_have_a_limit() {
    on_this_machine(|host| async move {
        let react = |asked: &Asked| match asked.target() {
            "/large" => answer(200, &format!("x: {}\r\n", "x".repeat(200 << 10)), "ok"),
            "/too-large" => answer(200, &format!("x: {}\r\n", "x".repeat(256 << 10)), "ok"),
            "/many" => answer(200, &"x: y\r\n".repeat(127), "ok"),
            "/too-many" => answer(200, &"x: y\r\n".repeat(128), "ok"),
            _ => Reaction::Write(format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1 << 20))),
        };
        let targets = ["/large", "/too-large", "/many", "/too-many", "/endless"];
        let requests = targets.map(|path| ("GET", path, ""));
        let (seen, _) = asked(&host, &requests, &options(), react).await;
        assert_eq!(answered(&seen, 0).headers[1].1.len(), 200 << 10);
        assert_eq!(answered(&seen, 2).headers.len(), 128);
        for (at, expect) in [
            (1, "its head is too long"),
            (3, "too many headers"),
            (4, "its head is too long"),
        ] {
            let (reason, message) = failed(&seen, at);
            assert_eq!(reason, "broken");
            assert!(message.contains(expect), "{message}");
        }
    });
}

#[test]
fn malformed_answers_are_failures_that_say_what_is_wrong() {
    let check = |first: &'static str, expect: &str| {
        first_and_next("GET", first, |found, connections| {
            let (reason, message) = found.expect_err(first);
            assert_eq!((reason, connections), ("broken", 2), "{first:?}");
            let told = format!("the answer is no valid HTTP: {expect}");
            assert!(message.contains(&told), "{first:?}: {message}");
        });
    };
    check("SSH-2.0-OpenSSH_9.6\r\n\r\n", "invalid HTTP version");
    check(
        "HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n",
        "invalid HTTP version",
    );
    check(
        "HTTP/1.1 two OK\r\ncontent-length: 0\r\n\r\n",
        "invalid response status",
    );
    check("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "invalid header name");
    check(
        "HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
        "invalid header name",
    );
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok",
        "a length that is none",
    );
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        "a length that is none",
    );
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "two lengths",
    );
    check(
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 with a transfer coding",
    );
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, expect) in [
        ("\r\n", "a chunk without a length"),
        ("zz\r\nok\r\n0\r\n\r\n", "a chunk without a length"),
        ("2\nok\r\n0\r\n\r\n", "a line without a carriage return"),
        (
            "1\r\nok\r\n0\r\n\r\n",
            "a chunk that is longer than it says",
        ),
    ] {
        check(format!("{chunks}{body}").leak(), expect);
    }
}

#[test]
fn an_answer_may_come_before_its_request_was_taken() {
    on_this_machine(|host| async move {
        let mut listener = host.bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.address());
        host.spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut kept = Vec::new();
            while let Ok(mut stream) = listener.accept().await {
                // It reads the head alone, and refuses what it announces.
                let mut head = [0; 16];
                let _ = stream.read_exact(&mut head).await;
                let refusal = "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno";
                let _ = stream.write_all(refusal.as_bytes()).await;
                kept.push(stream);
            }
        });
        let body = "x".repeat(16 << 20);
        let capture = captured([
            ("POST", "/first".to_owned(), body),
            ("GET", "/second".to_owned(), String::new()),
        ]);
        let rules = Rules::default();
        let plan = plan(capture, &rules, Pace::Max);
        let (target, never) = (
            Target::new(Side::Candidate, url),
            std::future::pending::<()>(),
        );
        let seen = side(&host, &target, &plan, &rules, &options(), never, |_| ()).await;
        for at in 0..2 {
            let answer = answered(&seen, at);
            assert_eq!((answer.status, &*answer.body), (413, &b"no"[..]));
        }
    });
}
