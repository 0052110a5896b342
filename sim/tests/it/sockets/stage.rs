//! A small world for one behavior: a client, a server and a third host, on any engine, with a fault that the client switches.
//!
//! **Invariant**: a play ends, well or not, within its bound of the engine's time.

use std::{
    collections::BTreeSet,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rehearsal_host::{Host, Listener, Stream};
use rehearsal_sim::{
    chance::Chance,
    engine::{Control, Director, Engine, Next, Setup},
    fault::{Effect, Fault, Kind},
    range::Latency,
    scenario::Network,
    system::Node,
    trace::Clock,
};

/// Virtual time costs little.
const BOUND_VIRTUAL: Duration = Duration::from_mins(1);
/// Real time does not.
const BOUND_REAL: Duration = Duration::from_secs(3);
/// How often the director looks at the board.
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub(super) type Outcome = Result<(), String>;

/// What one host does.
pub(super) type Part = fn(Side) -> BoxFuture<'static, Outcome>;

/// One behavior: the client's part decides the outcome, a failure of another part fails it too.
#[derive(Clone)]
pub(super) struct Behavior {
    pub(super) name: &'static str,
    pub(super) client: Part,
    pub(super) server: Part,
    /// The third host does the server's part too.
    pub(super) third: bool,
    /// Begun and ended by the client, between the server and the client.
    pub(super) fault: Option<Kind>,
}

impl Behavior {
    pub(super) const fn new(name: &'static str, client: Part, server: Part) -> Self {
        Self {
            name,
            client,
            server,
            third: false,
            fault: None,
        }
    }

    pub(super) const fn under(self, kind: Kind) -> Self {
        Self {
            fault: Some(kind),
            ..self
        }
    }
}

#[derive(Debug, Default)]
struct Board {
    notes: BTreeSet<String>,
    count: u64,
    outcome: Option<Outcome>,
    effect: Option<Effect>,
}

/// What a part has to work with.
#[derive(Clone)]
pub(super) struct Side {
    pub(super) host: Host,
    pub(super) boot: u32,
    /// Where this host listens.
    pub(super) listen: String,
    /// How to reach this host.
    pub(super) own: String,
    pub(super) server: String,
    pub(super) third: String,
    board: Arc<Mutex<Board>>,
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().expect("no panic while noting")
}

impl Side {
    /// Tells the other hosts, out of band.
    pub(super) fn note(&self, word: &str) {
        lock(&self.board).notes.insert(word.to_owned());
    }

    pub(super) fn is_noted(&self, word: &str) -> bool {
        lock(&self.board).notes.contains(word)
    }

    /// Waits for another host's note.
    pub(super) async fn noted(&self, word: &str) {
        while !self.is_noted(word) {
            self.pause(1).await;
        }
    }

    /// Adds one to the board's count.
    pub(super) fn tick(&self) {
        lock(&self.board).count += 1;
    }

    pub(super) fn ticks(&self) -> u64 {
        lock(&self.board).count
    }

    /// How long ago `start` was, by this host's monotonic clock.
    pub(super) fn since(&self, start: Duration) -> Duration {
        self.host.elapsed().saturating_sub(start)
    }

    pub(super) async fn pause(&self, ms: u64) {
        self.host.sleep(Duration::from_millis(ms)).await;
    }

    /// Begins the behavior's fault and waits until it is on.
    pub(super) async fn begin_fault(&self) {
        self.note("begin");
        self.noted("begun").await;
    }

    /// Ends it and says what it did, all together.
    pub(super) async fn end_fault(&self) -> u64 {
        self.note("end");
        self.noted("ended").await;
        let effect = lock(&self.board).effect.take().unwrap_or_default();
        effect.values().sum()
    }

    pub(super) async fn bind(&self) -> Result<Listener, String> {
        let listener = self.host.bind(&self.listen).await.map_err(said("bind"))?;
        self.note("listening");
        Ok(listener)
    }

    /// Connects to the server, once it listens.
    pub(super) async fn connect(&self) -> Result<Stream, String> {
        self.noted("listening").await;
        self.host
            .connect(&self.server)
            .await
            .map_err(said("connect"))
    }
}

/// For `map_err`: what was being done.
pub(super) fn said<E: Display>(doing: &str) -> impl Fn(E) -> String {
    move |error| format!("{doing}: {error}")
}

/// A check that does not panic: a panicking task would be missed by some engines.
pub(super) fn ensure(holds: bool, otherwise: impl Display) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_string())
    }
}

/// For a host with nothing to do.
pub(super) fn idle(_: Side) -> BoxFuture<'static, Outcome> {
    Box::pin(std::future::pending())
}

struct Prompter<'a> {
    board: Arc<Mutex<Board>>,
    fault: Option<&'a Fault>,
    bound: Duration,
    ended: Duration,
}

impl Director for Prompter<'_> {
    fn direct(&mut self, now: Duration, control: &mut dyn Control) -> Next {
        let noted = |word: &str| lock(&self.board).notes.contains(word);
        if let Some(fault) = self.fault {
            if noted("begin") && !noted("begun") {
                control.start(0, fault);
                lock(&self.board).notes.insert("begun".to_owned());
            }
            if noted("end") && !noted("ended") {
                let effect = control.stop(0, fault);
                let mut board = lock(&self.board);
                board.effect = Some(effect);
                board.notes.insert("ended".to_owned());
            }
        }
        let mut board = lock(&self.board);
        if now >= self.bound && board.outcome.is_none() {
            let notes = &board.notes;
            board.outcome = Some(Err(format!(
                "no end within {:?}; noted: {notes:?}",
                self.bound
            )));
        }
        self.ended = now;
        if board.outcome.is_some() {
            Next::Done
        } else {
            Next::At(now + LOOK_EVERY)
        }
    }
}

/// Plays a behavior; how long it took in the engine's time, or what went wrong.
pub(super) fn play(engine: Engine, behavior: &Behavior, seed: u64) -> Result<Duration, String> {
    let names = ["client", "server", "third"].map(str::to_owned);
    let addresses = engine.addresses(&names).map_err(said("addresses"))?;
    let board = Arc::new(Mutex::new(Board::default()));
    let node = |name: &String| {
        let (board, addresses) = (board.clone(), addresses.clone());
        let address = addresses[name].clone();
        let is_client = name == "client";
        let part = match name.as_str() {
            "client" => behavior.client,
            "third" if !behavior.third => idle,
            _ => behavior.server,
        };
        let main = move |host, boot| -> BoxFuture<'static, ()> {
            let side = Side {
                host,
                boot,
                listen: address.listen.clone(),
                own: address.dial.clone(),
                server: addresses["server"].dial.clone(),
                third: addresses["third"].dial.clone(),
                board: board.clone(),
            };
            let board = board.clone();
            Box::pin(async move {
                let outcome = part(side).await;
                if is_client || outcome.is_err() {
                    lock(&board).outcome.get_or_insert(outcome);
                }
                std::future::pending::<()>().await;
            })
        };
        Node {
            name: name.clone(),
            main: Box::new(main),
        }
    };
    let setup = Setup {
        nodes: names.iter().map(node).collect(),
        network: Network {
            latency: Latency::UniformMs([1.0, 5.0]),
            ..Network::default()
        },
        chance: Chance::new(seed),
        clock: Clock::default(),
        addresses: addresses.clone(),
        booted: Box::new(|_, _| {}),
    };
    let fault = behavior.fault.clone().map(|kind| Fault {
        when: None,
        at_ms: 0,
        until_ms: 1,
        targets: vec!["server".to_owned()],
        peers: vec!["client".to_owned()],
        kind,
    });
    let mut prompter = Prompter {
        board: board.clone(),
        fault: fault.as_ref(),
        bound: if engine == Engine::Loopback {
            BOUND_REAL
        } else {
            BOUND_VIRTUAL
        },
        ended: Duration::ZERO,
    };
    engine.run(setup, &mut prompter).map_err(said("engine"))?;
    let ended = prompter.ended;
    let outcome = lock(&board).outcome.take();
    outcome
        .unwrap_or_else(|| Err("no outcome".to_owned()))
        .map(|()| ended)
}
