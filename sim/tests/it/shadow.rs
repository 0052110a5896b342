//! Replay on simulated hosts: the sample capture's recorder is deterministic, and the legacy model against itself is observed whole.

use std::time::Duration;

use rehearsal_replay::capture::{Exchange, Manifest, Writer};
use rehearsal_sim::{
    appointments::shadow::record::record,
    child,
    disk::{self, Disk},
    engine::EPOCH,
    interpose,
    system::Storage,
};

fn simulated(seed: u64) -> Storage {
    interpose::enter(seed, EPOCH);
    let disk = Disk::new(seed);
    disk::register(&disk);
    Storage::Simulated(disk)
}

fn recorded(seed: u64) -> Vec<u8> {
    child::run(Duration::from_mins(2), || {
        let exchanges: Vec<Exchange> = record(seed, &simulated(seed)).expect("the engine goes on");
        let manifest = Manifest::new(None, Some(exchanges.len() as u64));
        let mut writer = Writer::plain(Vec::new(), &manifest).expect("memory takes everything");
        for exchange in &exchanges {
            writer.write(exchange).expect("memory takes everything");
        }
        writer.finish().expect("memory takes everything")
    })
    .expect("a recording ends")
}

#[test]
fn an_hour_is_recorded_whole_and_always_alike() {
    let first = recorded(1);
    assert!(
        first == recorded(1),
        "two processes recorded different bytes"
    );
    let text = String::from_utf8(first).expect("JSON lines");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() > 10_511, "{} exchanges", lines.len() - 1);
    let unanswered = lines
        .iter()
        .skip(1)
        .filter(|line| line.contains("\"resp\":null"))
        .count();
    assert_eq!(unanswered, 0, "every request was answered");
    for status in ["\"status\":200", "\"status\":400", "\"status\":404"] {
        assert!(lines.iter().any(|line| line.contains(status)), "{status}");
    }
}
