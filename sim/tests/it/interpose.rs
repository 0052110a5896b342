//! Every way to a clock or to entropy that our dependencies use is caught, and is a function of the seed.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rehearsal_core::time::Timestamp;
use rehearsal_sim::{child, interpose};

const LIMIT: Duration = Duration::from_secs(30);
const EPOCH_SECS: u64 = 1_800_000_000;

/// What each source says in a simulated child, by name.
fn readings(seed: u64) -> Vec<(String, String)> {
    let text = child::run(LIMIT, move || {
        interpose::enter(seed, Timestamp::from_secs(EPOCH_SECS.cast_signed()));
        interpose::set_elapsed(1_500_000_000);
        let lines = sources().map(|(name, reading)| format!("{name}={reading}"));
        lines.join("\n").into_bytes()
    })
    .expect("a result");
    String::from_utf8(text)
        .expect("text")
        .lines()
        .map(|line| {
            let (name, reading) = line.split_once('=').expect("name=reading");
            (name.to_owned(), reading.to_owned())
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "asking the OS is the point")]
fn sources() -> [(&'static str, String); 6] {
    let mut bytes = [0u8; 24];
    getrandom::fill(&mut bytes).expect("entropy");
    let getrandom_04 = format!("{bytes:?}");
    getrandom_03::fill(&mut bytes).expect("entropy");
    let getrandom_03 = format!("{bytes:?}");
    [
        ("getrandom 0.4", getrandom_04),
        ("getrandom 0.3", getrandom_03),
        (
            "RandomState",
            RandomState::new().hash_one("a key").to_string(),
        ),
        ("tokio::select!", select_order()),
        (
            "SystemTime",
            format!("{:?}", SystemTime::now().duration_since(UNIX_EPOCH)),
        ),
        ("Instant", format!("{:?}", Instant::now())),
    ]
}

/// Which of two ready branches tokio takes first, 64 times over.
fn select_order() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut order = String::new();
        for _ in 0..64 {
            order.push(tokio::select! {
                () = std::future::ready(()) => 'a',
                () = std::future::ready(()) => 'b',
            });
        }
        order
    })
}

#[test]
fn one_seed_gives_one_set_of_readings_and_another_seed_other_entropy() {
    let first = readings(1);
    assert_eq!(first, readings(1));
    for ((name, one), (_, other)) in first.iter().zip(readings(2)) {
        let entropy = !["SystemTime", "Instant"].contains(&name.as_str());
        assert_eq!(*one != other, entropy, "{name}: {one} and {other}");
    }
}

#[test]
fn the_wall_clock_shows_epoch_and_elapsed() {
    let shown = readings(1)
        .into_iter()
        .find(|(name, _)| name == "SystemTime");
    assert_eq!(
        shown.expect("listed").1,
        format!("Ok({}.5s)", EPOCH_SECS + 1)
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asking the OS is the point")]
fn instants_follow_the_elapsed_time_and_reads_are_counted() {
    let counted = child::run(LIMIT, || {
        interpose::enter(1, Timestamp::from_secs(0));
        let start = Instant::now();
        assert_eq!(start.elapsed(), Duration::ZERO);
        interpose::set_elapsed(3_600_000_000_000);
        assert_eq!(start.elapsed(), Duration::from_hours(1));
        assert!(start.checked_sub(Duration::from_hours(24)).is_some());
        getrandom::u64().expect("entropy");
        let counts = interpose::counts();
        assert_eq!(counts.monotonic_reads, 3);
        assert_eq!(counts.wall_reads, 0);
        // The getrandom crate asks for no bytes once, to see whether the symbol works.
        assert_eq!(counts.entropy_bytes, 8);
        Vec::new()
    });
    assert_eq!(counted, Ok(Vec::new()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asking the OS is the point")]
fn outside_a_simulated_run_everything_is_real() {
    assert!(!interpose::is_simulated());
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(10) {
        std::hint::spin_loop();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    assert!(now > Duration::from_secs(1_700_000_000));
    assert_ne!(
        getrandom::u64().expect("entropy"),
        getrandom::u64().expect("entropy")
    );
    assert_eq!(interpose::counts(), interpose::Counts::default());
}

#[test]
fn a_process_is_simulated_once() {
    let ended = child::run(LIMIT, || {
        interpose::enter(1, Timestamp::from_secs(0));
        interpose::enter(1, Timestamp::from_secs(0));
        Vec::new()
    });
    assert!(matches!(ended, Err(child::ChildError::Panicked { .. })));
}
