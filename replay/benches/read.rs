//! How fast one processor reads captures: GoReplay and HAR from memory, each beside the same bytes through plain SHA-256 or `serde_json::Value`.
//!
//! With `REHEARSAL_READ=FILE` it reads that file once as `import` does, a record at a time, and prints the rate and the peak of the process's memory;
//! with `REHEARSAL_WRITE=FILE,GIB` it writes such a file first (HAR if its name ends in `.har`, else GoReplay).
//!
//! **Invariant**: what is measured is read in full: each case checks how many exchanges it gave.

use std::{
    fmt::Write as _,
    fs::{self, File},
    hint::black_box,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use criterion::{
    Criterion, Throughput,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use rehearsal_replay::capture::{Options, Record, open, open_all};
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MONKEYS: &str = "\n🐵🙈🙉\n";

/// Exchanges of one measured capture.
const EXCHANGES: u64 = 8_000;

fn json(number: u64, bytes: usize) -> String {
    let mut text = format!("{{\"id\":\"{number:032x}\",\"items\":[");
    while text.len() < bytes {
        let _ = write!(
            text,
            "{{\"name\":\"Grace Hopper\",\"slot\":\"2026-11-23T10:{:02}:00Z\",\"n\":{}}},",
            number % 60,
            text.len()
        );
    }
    text.pop();
    text.push_str("]}");
    text
}

/// A request of about 400 bytes and, if asked for, its answer with a body of `answer` bytes.
fn gor(number: u64, answer: Option<usize>, out: &mut String) {
    let ts = 1_760_000_000_000_000_000 + number * 1_000_000;
    let id = format!("{:08x}{:08x}{number:08x}", 0xd2a0_1f90_u32, number % 200);
    let body = format!(
        "{{\"request_id\":\"{number:032x}\",\"patient_name\":\"Ada Lovelace\",\"slot\":\"2026-11-23T10:00:00Z\"}}"
    );
    let _ = write!(
        out,
        "1 {id} {ts}\nPOST /v1/appointments?tenant={} HTTP/1.1\r\nHost: api.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: application/json\r\nContent-Type: application/json\r\nCookie: session={:024x}\r\nContent-Length: {}\r\n\r\n{body}{MONKEYS}",
        number % 9,
        number % 500,
        body.len(),
    );
    if let Some(bytes) = answer {
        let body = json(number, bytes);
        let _ = write!(
            out,
            "2 {id} {} 120000\nHTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}{MONKEYS}",
            ts + 9_000_000,
            body.len(),
        );
    }
}

fn har(number: u64, out: &mut String) {
    let ms = number % 1_000;
    let second = number / 1_000;
    let (minute, second) = (second / 60 % 60, second % 60);
    let answer = serde_json::Value::String(json(number, 2_000));
    let _ = write!(
        out,
        r#"{{"startedDateTime":"2026-11-23T10:{minute:02}:{second:02}.{ms:03}Z","time":12.5,"request":{{"method":"POST","url":"https://api.example.org/v1/appointments?tenant={}","httpVersion":"HTTP/2","headers":[{{"name":":method","value":"POST"}},{{"name":"content-type","value":"application/json"}},{{"name":"cookie","value":"session={:024x}"}},{{"name":"user-agent","value":"Mozilla/5.0 (X11; Linux x86_64)"}}],"queryString":[{{"name":"tenant","value":"{}"}}],"cookies":[],"headersSize":-1,"bodySize":60,"postData":{{"mimeType":"application/json","text":"{{\"request_id\":\"{number:032x}\",\"patient_name\":\"Ada\"}}"}}}},"response":{{"status":200,"statusText":"OK","httpVersion":"HTTP/2","headers":[{{"name":"content-type","value":"application/json"}},{{"name":"date","value":"Mon, 23 Nov 2026 10:00:00 GMT"}}],"cookies":[],"content":{{"size":2000,"mimeType":"application/json","text":{answer}}},"redirectURL":"","headersSize":-1,"bodySize":700}},"cache":{{}},"timings":{{"blocked":0.5,"dns":-1,"connect":-1,"ssl":-1,"send":0.1,"wait":10.9,"receive":1.0}},"serverIPAddress":"10.0.0.1","connection":"{}"}}"#,
        number % 9,
        number % 500,
        number % 9,
        number % 40,
    );
}

const HAR_BEGIN: &str =
    r#"{"log":{"version":"1.2","creator":{"name":"bench","version":"1"},"pages":[],"entries":["#;
const HAR_END: &str = "]}}";

fn exchanges(name: &str, bytes: &[u8]) -> u64 {
    let records = open(name, bytes).expect("a capture");
    let exchanges = records.filter(|record| matches!(record, Ok(Record::Exchange(_))));
    exchanges.count() as u64
}

/// Time on the processor, which other work on the machine does not lengthen.
#[derive(Clone, Copy)]
struct Processor;

impl Processor {
    /// Nanoseconds that this thread has run.
    fn now() -> u64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        let ran = text.split(' ').next().and_then(|text| text.parse().ok());
        ran.expect("nanoseconds")
    }
}

impl Measurement for Processor {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        Self::now()
    }
    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(Self::now() - start)
    }
    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn measure(criterion: &mut Criterion<Processor>) {
    let captures = [
        (
            "gor_requests",
            (0..EXCHANGES).fold(String::new(), |mut text, number| {
                gor(number, None, &mut text);
                text
            }),
        ),
        (
            "gor_with_answers_of_1KB",
            (0..EXCHANGES).fold(String::new(), |mut text, number| {
                gor(number, Some(1_000), &mut text);
                text
            }),
        ),
        ("har_with_answers_of_2KB", {
            let mut text = HAR_BEGIN.to_owned();
            for number in 0..EXCHANGES {
                if number > 0 {
                    text.push(',');
                }
                har(number, &mut text);
            }
            text + HAR_END
        }),
    ];
    for (name, text) in &captures {
        let mut group = criterion.benchmark_group(*name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.sample_size(20);
        group.bench_function("read", |bencher| {
            bencher.iter(|| assert_eq!(exchanges(name, text.as_bytes()), EXCHANGES));
        });
        group.bench_function("sha256", |bencher| {
            bencher.iter(|| black_box(Sha256::digest(text)));
        });
        if name.starts_with("har") {
            group.bench_function("serde_json_value", |bencher| {
                bencher.iter(|| {
                    black_box(serde_json::from_str::<serde_json::Value>(text).expect("JSON"))
                });
            });
        }
        group.finish();
    }
}

/// Writes a capture of about so many GiB.
fn write(path: &Path, gib: f64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let is_har = path.extension().is_some_and(|extension| extension == "har");
    let (mut text, mut written, mut number) = (String::new(), 0_u64, 0);
    if is_har {
        text.push_str(HAR_BEGIN);
    }
    while (written as f64) < gib * f64::from(1 << 30) {
        if is_har {
            if number > 0 {
                text.push_str(",\n");
            }
            har(number, &mut text);
        } else {
            gor(number, Some(1_000), &mut text);
        }
        number += 1;
        out.write_all(text.as_bytes())?;
        written += text.len() as u64;
        text.clear();
    }
    if is_har {
        out.write_all(HAR_END.as_bytes())?;
    }
    out.flush()
}

/// Reads a file once and says what it took.
#[expect(clippy::print_stdout, reason = "a measurement prints")]
fn read(path: &Path) {
    let start = Processor::now();
    let mut stream = open_all(&[path.to_owned()], &Options::default()).expect("a capture");
    let (mut exchanges, mut skipped) = (0_u64, 0_u64);
    for record in &mut stream {
        match record.expect("a whole capture") {
            Record::Exchange(_) => exchanges += 1,
            Record::Skipped(_) => skipped += 1,
        }
    }
    let bytes: u64 = stream
        .finish()
        .expect("a whole capture")
        .iter()
        .map(|file| file.bytes)
        .sum();
    let seconds = (Processor::now() - start) as f64 / 1e9;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or("no VmHWM");
    println!(
        "{exchanges} exchanges, {skipped} skipped, {bytes} bytes in {seconds:.2} s of one processor: {:.0} MB/s; {peak}",
        bytes as f64 / seconds / 1e6
    );
}

fn main() {
    if let Ok(asked) = std::env::var("REHEARSAL_WRITE") {
        let (path, gib) = asked.rsplit_once(',').expect("FILE,GIB");
        write(Path::new(path), gib.parse().expect("a number")).expect("a disk");
    }
    if let Ok(path) = std::env::var("REHEARSAL_READ") {
        return read(Path::new(&path));
    }
    let mut criterion = Criterion::default()
        .with_measurement(Processor)
        .configure_from_args();
    measure(&mut criterion);
    criterion.final_summary();
}
