//! A system that leaks in one chosen way, to see that `verify` catches and names it: eight kinds of leak, some of them in two forms, and none.
//!
//! The leaks stand where real ones do: in the drawing of the workload, which runs before the simulation begins, or in a host.

use std::{
    collections::BTreeMap,
    fmt::Write,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rehearsal_host::Host;
use rehearsal_sim::{
    chance::Chance,
    fault::Effect,
    oracle::{Findings, Oracle},
    system::{Deployment, Figures, Node, Stage, Step, System, Tables},
    trace::Trace,
};
use serde::{Deserialize, Serialize, de::MapAccess};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaky;

/// How it leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    None,
    HashMap,
    Clock,
    PlannedClock,
    Getrandom,
    PlannedEntropy,
    Thread,
    Statics,
    Pointer,
    Directory,
    Date,
    Surroundings,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leak {
    kind: Kind,
    /// What was drawn, or leaked into the drawing.
    #[serde(default)]
    drawn: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LeakTables {
    leak: Leak,
}

impl Tables for LeakTables {
    const KEYS: &'static [&'static str] = &["leak"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.leak = map.next_value()?;
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn hosts(&self) -> Vec<String> {
        vec!["leaky".to_owned()]
    }
}

/// Counts the drawings of this process: state that outlives a run.
static DRAWINGS: AtomicU64 = AtomicU64::new(0);

/// What the drawing sees of the world.
#[expect(clippy::disallowed_methods, reason = "the leaks are the point")]
fn drawn(kind: Kind) -> String {
    match kind {
        // The order in which a map would be walked: by the hash of its keys.
        Kind::HashMap => {
            let keys = RandomState::new();
            let ordered: BTreeMap<u64, u32> = (0..20).map(|n| (keys.hash_one(n), n)).collect();
            format!("{:?}", ordered.values())
        }
        Kind::PlannedClock => format!("{:?}", std::time::SystemTime::now()),
        Kind::PlannedEntropy => {
            let mut bytes = [0; 24];
            getrandom::fill(&mut bytes).expect("entropy");
            format!("{bytes:?}")
        }
        Kind::Statics => DRAWINGS.fetch_add(1, Relaxed).to_string(),
        Kind::Date => {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(served_head())
        }
        _ => String::new(),
    }
}

/// What a host sees of the world.
#[expect(clippy::disallowed_methods, reason = "the leaks are the point")]
async fn seen(kind: Kind) -> String {
    match kind {
        Kind::Clock => format!(
            "{:?}",
            rustix::time::clock_gettime(rustix::time::ClockId::Realtime)
        ),
        Kind::Getrandom => {
            let mut bytes = [0; 24];
            getrandom_02::getrandom(&mut bytes).expect("entropy");
            format!("{bytes:?}")
        }
        Kind::Thread => std::thread::spawn(|| "a thread ran")
            .join()
            .expect("it ran")
            .to_owned(),
        Kind::Pointer => format!("{:p}", &raw const DRAWINGS),
        Kind::Directory => {
            let names = std::fs::read_dir("/").expect("a root").flatten();
            names.fold(String::new(), |mut all, entry| {
                write!(all, "{} ", entry.file_name().display()).expect("a string takes everything");
                all
            })
        }
        Kind::Date => served_head().await,
        // What is closed: each of these is a function of the seed.
        _ => format!(
            "{} {:?} {} {} {:?} {:?} {:?}",
            RandomState::new().hash_one(1),
            std::time::SystemTime::now(),
            std::process::id(),
            std::thread::available_parallelism().expect("a count"),
            std::env::vars().collect::<Vec<_>>(),
            std::env::current_dir(),
            getrandom::u64(),
        ),
    }
}

/// The head of an answer that hyper serves on a pipe in memory, its `Date` among it.
async fn served_head() -> String {
    let (mut client, server) = duplex(4096);
    let answer = async |_: http::Request<hyper::body::Incoming>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    };
    let serving = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(Piped(server), hyper::service::service_fn(answer));
    let asking = async {
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("it listens");
        let mut head = String::new();
        client.read_to_string(&mut head).await.expect("text");
        head
    };
    let (served, head) = futures_util::future::join(serving, asking).await;
    served.expect("it was served");
    head
}

/// tokio's pipe, as hyper wants it.
struct Piped(DuplexStream);

impl hyper::rt::Read for Piped {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        mut out: hyper::rt::ReadBufCursor<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let mut bytes = [0; 1024];
        let room = out.remaining().min(bytes.len());
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes[..room]);
        let read =
            tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut self.0), context, &mut buffer);
        out.put_slice(buffer.filled());
        read
    }
}

impl hyper::rt::Write for Piped {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut self.0), context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut self.0), context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut self.0), context)
    }
}

impl System for Leaky {
    type Tables = LeakTables;
    type Operation = u64;
    type Event = String;

    fn draw(tables: &mut LeakTables, _: &Chance) -> Result<Vec<Step<u64>>, String> {
        tables.leak.drawn = match tables.leak.kind {
            Kind::Surroundings => std::env::var("TZ").unwrap_or_default(),
            kind => drawn(kind),
        };
        Ok(Vec::new())
    }

    fn names(tables: &LeakTables) -> Vec<String> {
        tables.hosts()
    }

    fn deploy(tables: &LeakTables, _: &[Step<u64>], stage: Stage<String>) -> Deployment<String> {
        let (leak, stage) = (tables.leak.clone(), Arc::new(stage));
        let main = move |_: Host, boot: u32| -> futures_util::future::BoxFuture<'static, ()> {
            let (leak, recorder) = (leak.clone(), stage.recorder.at("leaky", boot));
            Box::pin(async move {
                recorder.record("before".to_owned());
                // hyper's second look at its clock is the run's.
                recorder.record(if leak.kind == Kind::Date {
                    String::new()
                } else {
                    leak.drawn
                });
                recorder.record(seen(leak.kind).await);
                std::future::pending::<()>().await;
            })
        };
        Deployment {
            nodes: vec![Node {
                name: "leaky".to_owned(),
                main: Box::new(main),
            }],
            clients: 0,
            quiet: Box::new(|| true),
            snapshot: Box::new(Vec::new),
            dying: Box::new(|_, _| {}),
        }
    }

    fn oracles() -> Vec<Oracle<String>> {
        vec![Oracle {
            name: "something_was_seen",
            property: "the host recorded what it saw",
            check: |trace| {
                let mut findings = Findings::default();
                for (entry, _) in trace.system() {
                    findings.examine(entry.at_us, None);
                }
                findings
            },
        }]
    }

    fn measure_names() -> Vec<&'static str> {
        Vec::new()
    }

    fn figures(_: &Trace<String>) -> Figures {
        Figures::default()
    }

    fn own_faults(_: &LeakTables, _: &Trace<String>) -> Vec<(String, u64, Effect)> {
        Vec::new()
    }
}
