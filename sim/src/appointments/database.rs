//! The cluster's database: a server that owns the store, and the store that reaches it over the network.
//!
//! It stands in for a PostgreSQL server: the same store requests, one transaction each, with a network between caller and commit, so that
//! answers are lost after the commit as they are in production; and a subscription that tells of new work, as LISTEN and NOTIFY do. Frames are
//! a length (4 bytes, big-endian) and postcard.
//!
//! **Invariant**: a connection carries one request at a time and is dropped after any failure, so an answer never meets another's request. A
//! call that failed after its request may have left reports an unknown outcome. It never retries: that is the caller's decision.

mod faults;

use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt, select};
use rehearsal_host::{Host, Listener, Stream};
use rehearsal_service::store::{Reply, Request, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, watch},
};

pub(super) use faults::{COMMITS, Faults, Noticed};
pub use faults::{Database, DatabaseEvent};

use super::Event;
use crate::trace::HostRecorder;

/// Longest time for a connection to be made, as drivers have it.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// Longest time for an answer: an answer that takes longer is given up, and its outcome is unknown.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// Longest frame: a page of rows is far below it.
const FRAME: usize = 64 << 20;
/// Room for a usual frame, an appointment with its entry, in bytes; a longer one grows.
const USUAL: usize = 1 << 10;
/// Most idle connections that a client keeps.
const IDLE: usize = 32;
/// The wait before a subscription that ended is made again.
const AGAIN: Duration = Duration::from_secs(1);
/// A subscriber that heard nothing for so long says something itself.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// What a client asks of the server. Written from a borrowed request and read as an owned one.
#[derive(Serialize, Deserialize)]
enum Call<R> {
    /// One request, one answer.
    Ask(R),
    /// From now on, one byte whenever there may be new work.
    Listen,
}

/// What the server does worse than it could, and where that is written down.
pub(super) type Trouble = Option<(Arc<Faults>, HostRecorder<Event>)>;

/// Serves `store` on `listener` for as long as the host is up.
pub(super) async fn serve(
    host: Host,
    mut listener: Listener,
    store: Arc<dyn Store>,
    trouble: Trouble,
) {
    let (work, _) = watch::channel(());
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let (store, work) = (store.clone(), work.clone());
                host.spawn(session(host.clone(), stream, store, work, trouble.clone()));
            }
            Err(_) => host.sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The store by the clock of the host that has it: its callers' own may differ from it, and from each other.
pub(super) struct Clocked {
    pub(super) host: Host,
    pub(super) store: Arc<dyn Store>,
}

impl Store for Clocked {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        self.store.call(request.at(self.host.now()))
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}

/// One client's connection, until either side ends it.
async fn session(
    host: Host,
    mut stream: Stream,
    store: Arc<dyn Store>,
    work: watch::Sender<()>,
    trouble: Trouble,
) {
    while let Ok(frame) = read(&mut stream).await {
        let answer = match (postcard::from_bytes(&frame), &trouble) {
            (Ok(Call::Ask(request)), None) => store.call(request).await,
            (Ok(Call::Ask(request)), Some((faults, recorder))) => {
                let (answer, lost) = faults.call(&host, &store, request).await;
                if let Some(lost) = lost {
                    recorder.record(Event::Database(lost));
                    if answer.as_ref().is_ok_and(Reply::adds_work) {
                        work.send_replace(());
                    }
                    return;
                }
                answer
            }
            (Ok(Call::Listen), _) => return tell(stream, work.subscribe()).await,
            // The connection ends: its sender is not one of ours.
            (Err(_), _) => return,
        };
        if answer.as_ref().is_ok_and(Reply::adds_work) {
            work.send_replace(());
        }
        if write(&mut stream, &answer).await.is_err() {
            return;
        }
    }
}

/// Tells of new work until the client is gone.
async fn tell(stream: Stream, mut work: watch::Receiver<()>) {
    let (mut from, mut to) = tokio::io::split(stream);
    let telling = async {
        while work.changed().await.is_ok() && to.write_all(&[1]).await.is_ok() {
            if to.flush().await.is_err() {
                return;
            }
        }
    };
    let gone = async { while matches!(from.read(&mut [0; 16]).await, Ok(1..)) {} };
    select(pin!(telling), pin!(gone)).await;
}

/// Passes on what the server at `address` tells, and subscribes again whenever the connection ends.
async fn listen(host: Host, address: String, work: Arc<Notify>) {
    loop {
        // An error is no news: the worker looks by itself, and its next call says what is wrong.
        let _ = hear(&host, &address, &work).await;
        host.sleep(AGAIN).await;
    }
}

async fn hear(host: &Host, address: &str, work: &Notify) -> io::Result<()> {
    let connected = host.timeout(CONNECT, host.connect(address)).await;
    let mut stream = connected.map_err(|_| io::ErrorKind::TimedOut)??;
    write(&mut stream, &Call::<()>::Listen).await?;
    // What was committed before the subscription was not told.
    work.notify_one();
    loop {
        match host.timeout(SIGN_OF_LIFE, stream.read(&mut [0; 64])).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => work.notify_one(),
            Ok(Err(error)) => return Err(error),
            // A server that lost its power says nothing; a byte to its successor is answered with a reset.
            Err(_) => {
                stream.write_all(&[0]).await?;
                stream.flush().await?;
            }
        }
    }
}

/// A store on another host.
#[derive(Debug)]
pub(super) struct RemoteStore {
    host: Host,
    address: String,
    idle: Mutex<Vec<Stream>>,
    /// What the server tells, once somebody has asked for it.
    told: OnceLock<Arc<Notify>>,
}

impl RemoteStore {
    /// The store that the server at `address` owns, as `host` reaches it.
    pub(super) fn new(host: Host, address: String) -> Self {
        Self {
            host,
            address,
            idle: Mutex::default(),
            told: OnceLock::new(),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Reply, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let answer = self.host.timeout(ANSWER, async {
            write(&mut stream, &Call::Ask(request)).await?;
            read(&mut stream).await
        });
        let frame = match answer.await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return Err(lost(&self.address, &error)),
            Err(_) => {
                return Err(lost(
                    &self.address,
                    &io::Error::from(io::ErrorKind::TimedOut),
                ));
            }
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(stream);
        }
        drop(idle);
        postcard::from_bytes::<Result<Reply, StoreError>>(&frame)
            .map_err(|_| StoreError::Protocol)?
    }

    async fn connect(&self) -> Result<Stream, StoreError> {
        let unreachable = |cause: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("no connection to {}: {cause}", self.address))
        };
        match self
            .host
            .timeout(CONNECT, self.host.connect(&self.address))
            .await
        {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(unreachable(&"timed out")),
        }
    }
}

impl Store for RemoteStore {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        async move { self.exchange(&request).await }.boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        let told = self.told.get_or_init(|| {
            let work = Arc::new(Notify::new());
            let (host, address) = (self.host.clone(), self.address.clone());
            self.host.spawn(listen(host, address, work.clone()));
            work
        });
        Some(told.notified().boxed())
    }
}

fn lost(address: &str, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("outcome unknown: {address}: {error}"))
}

async fn write<T: Serialize>(stream: &mut Stream, value: &T) -> io::Result<()> {
    let mut frame = Vec::with_capacity(USUAL);
    frame.extend([0; 4]);
    let mut frame = postcard::to_extend(value, frame).map_err(|_| io::ErrorKind::InvalidData)?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| io::ErrorKind::InvalidData)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await?;
    stream.flush().await
}

async fn read(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use rehearsal_host::real;
    use rehearsal_service::store::{AcceptReply, InlineStore, SqliteStore};

    use super::*;

    fn on_a_real_host(test: impl AsyncFnOnce(Host)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { test(real::RealMachine::host()).await });
    }

    #[test]
    fn a_remote_store_answers_as_the_store_itself() {
        on_a_real_host(async |host| {
            let store: Arc<dyn Store> =
                Arc::new(InlineStore::new(SqliteStore::open(":memory:").unwrap()));
            let listener = host.bind("127.0.0.1:0").await.unwrap();
            let address = listener.address().to_owned();
            host.spawn(serve(host.clone(), listener, store.clone(), None));
            let remote = RemoteStore::new(host, address);
            for request in [Request::Ping, Request::Depths, Request::Dump] {
                assert_eq!(
                    remote.call(request.clone()).await,
                    store.call(request).await
                );
            }
            assert_eq!(
                remote.idle.lock().unwrap().len(),
                1,
                "one connection did it all"
            );
        });
    }

    #[test]
    fn a_lost_answer_leaves_the_commit_and_an_unknown_outcome_and_is_counted() {
        on_a_real_host(async |host| {
            let listener = host.bind("127.0.0.1:0").await.unwrap();
            let remote = RemoteStore::new(host.clone(), listener.address().to_owned());
            let recorder = crate::trace::Recorder::new(crate::trace::Clock::default(), 0);
            let table: Database = toml::from_str("answer_lost = 0.999999").unwrap();
            let trouble = Faults::of(table).map(|faults| (faults, recorder.at("database", 1)));
            host.spawn(serve(
                host.clone(),
                listener,
                Arc::new(PingsAddWork),
                trouble,
            ));
            let error = remote.call(Request::Ping).await.unwrap_err();
            assert!(error.to_string().contains("outcome unknown"), "{error}");
            remote.call(Request::Depths).await.unwrap();
            let expected = Event::Database(DatabaseEvent::AnswerLost {
                request: "accept".to_owned(),
                appointments: Vec::new(),
                entries: Vec::new(),
            });
            let recorded = recorder.take();
            let events: Vec<_> = recorded.system().map(|(_, event)| event).collect();
            assert_eq!(
                events,
                [&expected],
                "a read that changed nothing is answered"
            );
        });
    }

    #[test]
    fn a_server_that_hangs_up_leaves_the_outcome_unknown() {
        on_a_real_host(async |host| {
            let mut listener = host.bind("127.0.0.1:0").await.unwrap();
            let remote = RemoteStore::new(host.clone(), listener.address().to_owned());
            host.spawn(async move {
                let mut stream = listener.accept().await.unwrap();
                read(&mut stream).await.unwrap();
            });
            let error = remote.call(Request::Ping).await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Unavailable(message) if message.contains("outcome unknown")),
                "{error}"
            );
            assert!(
                remote.idle.lock().unwrap().is_empty(),
                "a broken connection is not used again"
            );
        });
    }

    #[test]
    fn nobody_there_is_no_unknown_outcome() {
        on_a_real_host(async |host| {
            let address = host.bind("127.0.0.1:0").await.unwrap().address().to_owned();
            let error = RemoteStore::new(host, address)
                .call(Request::Ping)
                .await
                .unwrap_err();
            assert!(
                matches!(&error, StoreError::Unavailable(message) if message.contains("no connection")),
                "{error}"
            );
        });
    }

    /// Answers each ping with what an accept gets, and everything else as a read.
    struct PingsAddWork;

    impl Store for PingsAddWork {
        fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
            let reply = match request {
                Request::Ping => Reply::Accepted(AcceptReply::Fresh(Vec::new())),
                _ => Reply::Depths(Vec::new()),
            };
            std::future::ready(Ok(reply)).boxed()
        }
    }

    #[test]
    fn a_subscriber_is_told_of_others_work_and_of_nothing_else() {
        on_a_real_host(async |host| {
            let listener = host.bind("127.0.0.1:0").await.unwrap();
            let address = listener.address().to_owned();
            host.spawn(serve(host.clone(), listener, Arc::new(PingsAddWork), None));
            let subscriber = RemoteStore::new(host.clone(), address.clone());
            let other = RemoteStore::new(host.clone(), address);
            let told = async || {
                let changed = subscriber.changed().expect("a remote store tells");
                host.timeout(Duration::from_millis(300), changed)
                    .await
                    .is_ok()
            };
            assert!(told().await, "what came before the subscription");
            assert!(!told().await, "nothing has happened since");
            other.call(Request::Depths).await.unwrap();
            assert!(!told().await, "a read is no work");
            other.call(Request::Ping).await.unwrap();
            assert!(told().await, "another client's commit");
        });
    }
}
