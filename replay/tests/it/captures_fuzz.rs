//! Every parser against arbitrary bytes and against changed samples: none panics, and all that is read is accounted for.
//!
//! `REHEARSAL_FUZZ_INPUTS=1000000 cargo test --release -p rehearsal-replay --test it captures_fuzz` gives each parser so many inputs.
//! Inputs are a function of their number, so one that fails is named by it.

use std::io::Cursor;

use rehearsal_replay::capture::{Format, Limits, Options, Record, open_with};

use crate::captures_samples::{HOSTILE, all};

/// How many inputs a parser gets unless the environment says otherwise: what the whole suite can afford.
const INPUTS: u64 = 600;

/// What turns up in captures and means something to a parser.
const WORDS: [&[u8]; 25] = [
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\x",
    b"\\u12",
    b":",
    b",",
    b"0",
    b"-1",
    b"99999999999999999999",
    b"18446744073709551615",
    b"1e999",
    b"null",
    b"\xff",
    b"\xf0\x9f\x90\xb5",
    b"Content-Length: 9\r\n",
    b"chunked",
    b"\0",
    b"1 a 1\n",
    b"12:",
];

/// splitmix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// The input of this number.
fn input(number: u64, sample: &[u8]) -> Vec<u8> {
    let mut random = Random(number);
    if number.is_multiple_of(8) {
        return random.bytes(120);
    }
    let mut bytes = sample.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            3 => {
                let word = WORDS[random.below(WORDS.len())];
                drop(bytes.splice(at..at, word.iter().copied()));
            }
            4 => bytes.truncate(at),
            _ => {
                let noise = random.bytes(12);
                drop(bytes.splice(at..end, noise));
            }
        }
    }
    bytes
}

fn inputs() -> u64 {
    std::env::var("REHEARSAL_FUZZ_INPUTS")
        .map_or(INPUTS, |text| text.parse().expect("a number of inputs"))
}

/// Reads `bytes` to the end. Every record is an exchange with its place in the order, a skip within the file, or one error at the end.
fn drain(number: u64, bytes: &[u8], options: &Options) -> (u64, u64) {
    let Ok(reader) = open_with("fuzz", Cursor::new(bytes), options) else {
        return (0, 0);
    };
    let (mut exchanges, mut skipped, mut failed) = (0, 0, false);
    for record in reader {
        assert!(!failed, "input {number}: a record after an error");
        match record {
            Ok(Record::Exchange(exchange)) => {
                assert_eq!(exchange.seq, exchanges, "input {number}");
                exchanges += 1;
            }
            Ok(Record::Skipped(one)) => {
                let plain = options.format.is_some();
                assert!(
                    !plain || one.offset <= bytes.len() as u64,
                    "input {number}: {one:?}"
                );
                skipped += 1;
            }
            Err(_) => failed = true,
        }
    }
    (exchanges, skipped)
}

fn fuzz(format: Format) {
    let (_, sample, _) = all()
        .into_iter()
        .find(|(of, ..)| *of == format)
        .expect("a sample");
    let forced = Options {
        format: Some(format),
        limits: Limits {
            record_bytes: 5_000,
            body_bytes: 300,
            ..Limits::default()
        },
        ..Options::default()
    };
    let hostile = HOSTILE.iter().find(|(of, _)| *of == format);
    let hostile = hostile.map_or(&sample[..], |(_, text)| text.as_bytes());
    drain(u64::MAX, hostile, &forced);
    let (mut exchanges, mut skipped) = (0, 0);
    for number in 0..inputs() {
        let of = if number % 4 == 3 { hostile } else { &sample };
        let bytes = input(number, of);
        let seen = drain(number, &bytes, &forced);
        exchanges += seen.0;
        skipped += seen.1;
    }
    // Most inputs are close to a valid file: a fuzzing that reads nothing would prove nothing.
    assert!(exchanges > inputs() / 20, "{exchanges} exchanges");
    assert!(skipped > inputs() / 100, "{skipped} skipped");
}

#[test]
fn our_own_lines() {
    fuzz(Format::Rehearsal);
}

#[test]
fn goreplay() {
    fuzz(Format::GoReplay);
}

#[test]
fn har() {
    fuzz(Format::Har);
}

#[test]
fn mitmproxy() {
    fuzz(Format::Mitmproxy);
}

#[test]
fn envoy_tap() {
    fuzz(Format::EnvoyTap);
}

#[test]
fn envoy_log() {
    fuzz(Format::EnvoyLog);
}

#[test]
fn json_log() {
    fuzz(Format::JsonLog);
}

#[test]
fn otlp() {
    fuzz(Format::Otlp);
}

#[test]
fn detection_and_decompression() {
    let samples: Vec<Vec<u8>> = all()
        .into_iter()
        .flat_map(|(_, bytes, _)| {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            let zstd = ruzstd::encoding::compress_to_vec(&bytes[..], level);
            let mut gzip = flate2::read::GzEncoder::new(&bytes[..], flate2::Compression::fast());
            let mut packed = Vec::new();
            std::io::Read::read_to_end(&mut gzip, &mut packed).expect("memory");
            [zstd, packed, bytes]
        })
        .collect();
    let options = Options::default();
    let (mut exchanges, mut numbers) = (0, 0..inputs());
    for number in &mut numbers {
        let sample = &samples[usize::try_from(number).expect("small") % samples.len()];
        exchanges += drain(number, &input(number, sample), &options).0;
    }
    assert!(exchanges > inputs() / 100, "{exchanges} exchanges");
}
