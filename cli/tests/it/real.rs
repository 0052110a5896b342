//! The commands that serve for real, on ports that the machine chooses: the README's walk-through, and an orderly end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStderr, Stdio},
};

use serde_json::Value;

use crate::binary::Desk;

/// More lines than any server logs before it listens.
const LINES: usize = 50;
/// More looks than a confirmation takes; each waits for an answer of the service.
const LOOKS: usize = 20_000;

/// A running server; killed when the test ends before it was stopped.
pub(crate) struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(desk: &Desk, arguments: &[&str]) -> Self {
        let mut command = desk.command(arguments);
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = child.stderr.take().map(BufReader::new);
        let mut server = Self {
            child,
            log: log.expect("a pipe"),
            address: String::new(),
        };
        let mut said = String::new();
        for _ in 0..LINES {
            let mut line = String::new();
            server.log.read_line(&mut line).expect("a log");
            if let Some(address) = address(&line) {
                server.address = address;
                return server;
            }
            said += &line;
        }
        panic!("{arguments:?} never said where it listens: {said}");
    }

    /// Sends one request on a connection of its own and returns status and body.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.address
        );
        let length = body.len();
        write!(
            stream,
            "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        (status, body.to_owned())
    }

    /// Asks for an orderly end and returns the exit code and the rest of the log.
    fn stop(mut self) -> (i32, String) {
        let pid = self.child.id().to_string();
        let asked = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill is there");
        assert!(asked.success());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("a log");
        (
            self.child
                .wait()
                .expect("it ends")
                .code()
                .expect("an exit code"),
            rest,
        )
    }
}

/// Where a server listens, by a line of its log: the service says it in JSON, the mocks in a plain line.
pub(crate) fn address(line: &str) -> Option<String> {
    if let Ok(logged) = serde_json::from_str::<Value>(line) {
        return logged["extra"]["address"].as_str().map(str::to_owned);
    }
    let (_, rest) = line.split_once("http://")?;
    rest.split_whitespace().next().map(str::to_owned)
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_appointment_is_created_and_confirmed_on_real_sockets() {
    let desk = Desk::new();
    let provider = Server::start(
        &desk,
        &["provider", "--listen", "127.0.0.1:0", "--delay", "20ms"],
    );
    let acme = format!("acme=http://{}", provider.address);
    let service = Server::start(
        &desk,
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database",
            "a.db",
            "--provider",
            &acme,
        ],
    );
    let body = r#"{"id":"a-1","request_id":"r-1","provider":"acme","time":"2027-03-01T09:30:00Z","patient_name":"Ada Lovelace"}"#;
    let (status, accepted) = service.send("POST", "/v1/appointments", body);
    assert_eq!(status, 202, "{accepted}");
    let confirmed = (0..LOOKS).any(|_| {
        service
            .send("GET", "/v1/appointments/a-1", "")
            .1
            .contains("\"state\":\"confirmed\"")
    });
    assert!(
        confirmed,
        "{:?}",
        service.send("GET", "/v1/appointments/a-1", "")
    );
    assert_eq!(
        service.send("POST", "/v1/appointments", body),
        (202, accepted),
        "a repeat has the same answer"
    );
    let (code, log) = service.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("Lovelace"), "names are masked: {log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("a log line is JSON");
        assert!(
            line["evt"].is_string() && line["time"].is_number(),
            "{line}"
        );
    }
    let (code, log) = provider.stop();
    assert_eq!(code, 0);
    assert!(log.contains("\"event\":\"booked\""), "{log}");
    assert!(desk.path().join("a.db").is_file());
}

#[test]
fn both_sides_are_replayed_on_real_sockets() {
    let desk = Desk::new();
    let provider = Server::start(&desk, &["provider", "--listen", "127.0.0.1:0"]);
    let acme = format!("acme=http://{}", provider.address);
    let legacy = Server::start(
        &desk,
        &["legacy", "--listen", "127.0.0.1:0", "--provider", &acme],
    );
    let service = Server::start(
        &desk,
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database",
            "a.db",
            "--provider",
            &acme,
        ],
    );
    let line = r#"{"v":1,"seq":0,"ts_ns":1000,"req":{"method":"GET","target":"/appointments/a-1"},"resp":null}"#;
    desk.put(
        "c.jsonl",
        format!("{{\"format\":\"rehearsal.capture/1\"}}\n{line}\n"),
    );
    let urls = [
        format!("http://{}", legacy.address),
        format!("http://{}", service.address),
    ];
    let ended = desk.run(&[
        "replay",
        "c.jsonl",
        "--legacy",
        &urls[0],
        "--candidate",
        &urls[1],
        "--format",
        "json",
    ]);
    let report = ended.json();
    assert_eq!(report["accounting"]["answered"], 1, "{report}");
    assert_eq!(report["targets"]["legacy"], urls[0]);
    assert_ne!(ended.code, 0, "one request proves nothing");
    drop(service);
    let ended = desk.run(&[
        "replay",
        "c.jsonl",
        "--legacy",
        &urls[0],
        "--candidate",
        &urls[1],
    ]);
    assert_eq!(
        ended.code, 4,
        "a candidate that is down is the infrastructure's fault: {ended:?}"
    );
}

#[test]
fn an_address_that_is_taken_is_the_machines_fault() {
    let desk = Desk::new();
    let provider = Server::start(&desk, &["provider", "--listen", "127.0.0.1:0"]);
    let ended = desk.run(&["provider", "--listen", &provider.address]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended.err.contains(&provider.address) && ended.err.contains("hint:"),
        "{}",
        ended.err
    );
}
