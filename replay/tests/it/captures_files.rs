//! Captures of several files: folders, merging by time, names and hashes.

use std::{fmt::Write as _, fs, path::PathBuf};

use rehearsal_replay::capture::{
    Fault, Format, Options, Record, can_be_read_again, load_all, open_all,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::captures_samples::{HAR, NGINX};

const MONKEYS: &str = "\n🐵🙈🙉\n";

fn record(kind: u8, id: &str, second: u64, target: &str) -> String {
    let ts = second * 1_000_000_000;
    match kind {
        1 => format!("1 {id} {ts}\nGET {target} HTTP/1.1\r\n\r\n{MONKEYS}"),
        _ => format!("2 {id} {ts} 5\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA{MONKEYS}"),
    }
}

fn folder(files: &[(&str, String)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn paths(folder: &TempDir) -> [PathBuf; 1] {
    [folder.path().to_owned()]
}

fn targets(folder: &TempDir) -> Vec<String> {
    let stream = open_all(&paths(folder), &Options::default()).expect("a folder");
    stream
        .filter_map(|record| match record.expect("readable") {
            Record::Exchange(exchange) => Some(exchange.request.target),
            Record::Skipped(_) => None,
        })
        .collect()
}

#[test]
fn a_recording_in_pieces_is_one_capture() {
    let piece = |records: &[String]| records.concat();
    let folder = folder(&[
        (
            "rec_1.gor",
            piece(&[record(2, "x", 13, ""), record(1, "y", 14, "/second")]),
        ),
        ("rec_0.gor", piece(&[record(1, "x", 12, "/first")])),
        (
            "sub/rec_2.gor",
            piece(&[record(2, "y", 15, ""), record(1, "z", 16, "/third")]),
        ),
        (".hidden", "nothing that is read".to_owned()),
        ("empty.gor", String::new()),
    ]);
    let capture = load_all(&paths(&folder), &Options::default()).expect("a capture");
    let seen: Vec<(&str, bool, u64)> = capture
        .exchanges
        .iter()
        .map(|exchange| {
            (
                &*exchange.request.target,
                exchange.response.is_some(),
                exchange.seq,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("/first", true, 0),
            ("/second", true, 1),
            ("/third", false, 2)
        ]
    );
    assert_eq!(capture.skipped, []);
    assert_eq!(capture.format, Format::GoReplay);
}

#[test]
fn files_that_overlap_are_merged_by_time() {
    let even: Vec<String> = (0..50)
        .map(|n| record(1, &format!("e{n}"), 10 + 2 * n, &format!("/{}", 2 * n)))
        .collect();
    let odd: Vec<String> = (0..50)
        .map(|n| record(1, &format!("o{n}"), 11 + 2 * n, &format!("/{}", 2 * n + 1)))
        .collect();
    let folder = folder(&[("a.gor", odd.concat()), ("b.gor", even.concat())]);
    let expected: Vec<String> = (0..100).map(|n| format!("/{n}")).collect();
    assert_eq!(targets(&folder), expected);
}

#[test]
fn very_many_files_are_opened_one_after_the_other() {
    // One file an exchange, as a tap writes them; far more than may be open at once.
    let files: Vec<(String, String)> = (0..400)
        .map(|n| {
            (
                format!("{:03}.gor", 399 - n),
                record(1, "x", 10 + n, &format!("/{n}")),
            )
        })
        .collect();
    let files: Vec<(&str, String)> = files
        .iter()
        .map(|(name, text)| (&**name, text.clone()))
        .collect();
    let folder = folder(&files);
    let expected: Vec<String> = (0..400).map(|n| format!("/{n}")).collect();
    assert_eq!(targets(&folder), expected);
}

#[test]
fn very_many_small_files_may_overlap_in_time() {
    let exchanges = |n: u64| {
        let first = record(1, "x", 10 + n, &format!("/{n}"));
        first + &record(1, "x", 1_000 + n, &format!("/{}", 400 + n))
    };
    let files: Vec<(String, String)> = (0..400)
        .map(|n| (format!("{n:03}.gor"), exchanges(n)))
        .collect();
    let files: Vec<(&str, String)> = files
        .iter()
        .map(|(name, text)| (&**name, text.clone()))
        .collect();
    let overlapping = folder(&files);
    let expected: Vec<String> = (0..800).map(|n| format!("/{n}")).collect();
    assert_eq!(targets(&overlapping), expected);
    let files = load_all(&paths(&overlapping), &Options::default());
    assert_eq!(files.expect("a capture").exchanges.len(), 800);
}

#[test]
fn files_of_one_time_or_of_none_are_read_one_after_the_other() {
    let same = |text: String| {
        let names: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
        let files: Vec<(&str, String)> = names
            .iter()
            .map(|name| (&**name, text.replace("/0", &format!("/{name}"))))
            .collect();
        let expected: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
        assert_eq!(targets(&folder(&files)), expected);
    };
    same(record(1, "x", 10, "/0"));
    let pair = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":"{value}"}}"#);
    let head = [pair(":path", "/0"), pair(":method", "GET")].join(",");
    same(format!(
        r#"{{"http_buffered_trace":{{"request":{{"headers":[{head}]}}}}}}"#
    ));
}

#[test]
fn what_is_written_of_a_folder_is_not_read_in_it() {
    let folder = folder(&[
        ("a.gor", record(1, "x", 12, "/a")),
        ("sub/out.gor", record(1, "x", 12, "/written")),
    ]);
    let options = Options {
        passed_over: Some(folder.path().join("sub/../sub/out.gor")),
        ..Options::default()
    };
    let capture = load_all(&paths(&folder), &options).expect("a capture");
    assert_eq!(capture.exchanges.len(), 1);
    // Named by itself it is read.
    let named = [folder.path().join("sub/out.gor")];
    let capture = load_all(&named, &options).expect("a capture");
    assert_eq!(capture.exchanges[0].request.target, "/written");
}

#[test]
fn files_are_hashed_and_counted() {
    let folder = folder(&[("a.har", HAR.to_owned()), ("b.log", NGINX.to_owned())]);
    let mut stream = open_all(&paths(&folder), &Options::default()).expect("a folder");
    let total = stream.total_bytes().expect("files have a length");
    assert_eq!(total, (HAR.len() + NGINX.len()) as u64);
    let places: Vec<String> = (&mut stream)
        .filter_map(|record| match record.expect("readable") {
            Record::Skipped(skipped) => Some(skipped.place()),
            Record::Exchange(_) => None,
        })
        .collect();
    assert!(
        places.iter().all(|place| place.contains("a.har: byte ")),
        "{places:?}"
    );
    assert_eq!(stream.read_bytes(), total);
    let files = stream.finish().expect("readable");
    let hash = |text: &str| {
        let digest = Sha256::digest(text);
        digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    let seen: Vec<(Option<Format>, &str)> = files
        .iter()
        .map(|file| (file.format, &*file.sha256))
        .collect();
    assert_eq!(
        seen,
        [
            (Some(Format::Har), &*hash(HAR)),
            (Some(Format::JsonLog), &*hash(NGINX))
        ]
    );
    let capture = load_all(&paths(&folder), &Options::default()).expect("a capture");
    assert_eq!(capture.format, Format::Mixed);
    assert_eq!(capture.exchanges.len(), 7);
    assert_eq!(
        capture.sha256,
        hash(&format!("{}\n{}\n", hash(HAR), hash(NGINX)))
    );
}

#[test]
fn what_is_no_capture_is_named() {
    let check = |files: &[(&str, String)], fault: Fault, found: &str| {
        let folder = folder(files);
        let error = load_all(&paths(&folder), &Options::default()).expect_err("no capture");
        assert_eq!(error.fault, fault);
        assert!(error.to_string().contains(found), "{error}");
    };
    check(&[], Fault::Empty, "found no file");
    check(
        &[("a.gor", String::new())],
        Fault::Empty,
        "found an empty file",
    );
    check(
        &[
            ("a.gor", record(1, "x", 1, "/")),
            ("notes.txt", "hello".to_owned()),
        ],
        Fault::UnknownFormat,
        "notes.txt: byte 0: found \"hello\"",
    );
    let missing =
        load_all(&[PathBuf::from("/nowhere/x.gor")], &Options::default()).expect_err("missing");
    assert_eq!(missing.fault, Fault::Unreadable);
}

#[cfg(unix)]
fn fifo(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("it starts").success());
    path
}

/// What cannot be opened twice is read once, beside other files as well.
#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_and_loses_nothing() {
    // More than a pipe holds and more than is read at once, so that a first opening that was given up would be missed.
    let piped: Vec<String> = (0..4_000)
        .map(|n| record(1, &format!("p{n}"), 10 + 2 * n, &format!("/{}", 2 * n)))
        .collect();
    let folder = folder(&[("a.gor", record(1, "x", 11, "/1"))]);
    let pipe = fifo(&folder, "b.gor");
    let text = folder.path().join(".text");
    fs::write(&text, piped.concat()).expect("a file");
    let mut writer = std::process::Command::new("sh")
        .args(["-c", "cat \"$0\" > \"$1\""])
        .args([&text, &pipe])
        .spawn()
        .expect("it starts");
    let paths = [folder.path().join("a.gor"), pipe];
    assert!(!can_be_read_again(&paths).expect("paths"));
    let stream = open_all(&paths, &Options::default()).expect("a capture");
    assert_eq!(stream.total_bytes(), None);
    let records: Vec<Record> = stream.map(|record| record.expect("readable")).collect();
    assert!(writer.wait().expect("it ends").success());
    assert_eq!(records.len(), 4_001);
    assert!(can_be_read_again(&paths[..1]).expect("a path"));
    assert!(!can_be_read_again(&[folder.path().to_owned()]).expect("a folder"));
    assert!(!can_be_read_again(&[PathBuf::from("-")]).expect("standard input"));
}

#[test]
fn a_file_that_is_given_twice_is_refused() {
    let folder = folder(&[
        ("a.gor", record(1, "x", 12, "/first")),
        ("b.gor", record(1, "y", 13, "/b")),
    ]);
    let (here, file) = (folder.path().to_owned(), folder.path().join("a.gor"));
    let roundabout = here
        .join("..")
        .join(here.file_name().expect("a name"))
        .join("a.gor");
    for paths in [
        vec![file.clone(), file.clone()],
        vec![file.clone(), roundabout],
        vec![here.clone(), file.clone()],
        vec![here.clone(), here.clone()],
    ] {
        let error = open_all(&paths, &Options::default()).expect_err("twice");
        assert_eq!(error.fault, Fault::Repeated);
        assert!(
            error.found.contains("twice") && error.to_string().contains("a.gor"),
            "{error}"
        );
    }
    open_all(&[file, here.join("b.gor")], &Options::default()).expect("each once");
}
