//! Replay on simulated hosts: the legacy model and its replacement, each with providers of its own, in virtual time.
//!
//! The replay code is the one that runs live; here its hosts are simulated, so that an hour of traffic takes seconds and always ends alike.
//! **Invariant**: both sides face providers with the same behavior, and nothing they share can carry an effect from one to the other.

pub mod defect;
pub mod record;
mod hosts;
mod traffic;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::FutureExt;
use rehearsal_core::identity::ProviderName;
use rehearsal_replay::{
    plan::Plan,
    rules::{Rules, Side},
    run::{Journal, Observations, Options, Progress as ReplayProgress, Run, Shelf, Target},
};

use self::{defect::Defect, hosts::Stand};
use crate::{
    chance::Chance,
    engine::{Control, Director, Engine, EngineError, Next, Setup},
    range::Latency,
    scenario::Network,
    system::{Node, Progress, Storage},
    trace::Clock,
};

/// Providers that both sides always know, besides those that the traffic names.
pub const PROVIDERS: [&str; 3] = ["acme", "globex", "initech"];
/// Most providers taken from the traffic: each is a host.
const MOST_PROVIDERS: usize = 32;
/// So many times the candidate's auditor sweeps in a long replay.
const SWEEPS: u32 = 10;
/// How often the end of the replay is looked for, in virtual time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One simulated side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// Which side it plays: the legacy model or its replacement.
    pub side: Side,
    /// What is wrong with it, for a drill. Only the replacement can have a defect.
    pub defect: Option<Defect>,
}

/// Replays `plan` against one side in virtual time, in this process; gives what it saw, packed ([`Observations::unpacked`]).
///
/// The sides share nothing, so each can have a process of its own.
///
/// # Errors
/// What the engine says.
///
/// # Panics
/// When the run came to its end and saw nothing: a bug.
pub fn observe(
    plan: &Arc<Plan>,
    rules: &Arc<Rules>,
    options: Options,
    simulated: Simulated,
    seed: u64,
    storage: &Storage,
    progress: &Arc<Mutex<dyn FnMut(ReplayProgress) + Send>>,
) -> Result<Vec<u8>, EngineError> {
    let providers = providers(plan);
    let mut world = Builder::new(seed);
    let stand = Stand {
        side: simulated.side,
        providers: &providers,
        seed,
        storage,
        audit_every: Some(audit_every(plan)),
    };
    let url = format!("http://{}", stand.address());
    world.nodes.extend(stand.nodes(simulated.defect));
    let slot: Arc<Mutex<Option<Observations>>> = Arc::default();
    let shelf = Shelf::default();
    let target = Target::new(simulated.side, url);
    let (plan, rules, progress) = (plan.clone(), rules.clone(), progress.clone());
    let (kept, journal) = (slot.clone(), shelf.clone());
    world.client(&format!("replayer-{}", stand.name()), move |host| {
        let (target, plan, rules, progress) = (
            target.clone(),
            plan.clone(),
            rules.clone(),
            progress.clone(),
        );
        let (slot, mut recorder) = (kept.clone(), journal.clone());
        async move {
            let tell = move |now: ReplayProgress| {
                (progress.lock().expect("no panic in a progress report"))(now);
            };
            let run = Run {
                host: &host,
                target: &target,
                plan: &plan,
                rules: &rules,
                options: &options,
                horizon: None,
            };
            let journal = Journal {
                known: Vec::new(),
                recorder: &mut recorder,
            };
            let observed = run.observe(journal, std::future::pending(), tell).await;
            *slot.lock().expect("no panic while storing") = Some(observed);
        }
    });
    world.run()?;
    let observed = slot.lock().expect("no panic while storing").take();
    Ok(observed
        .expect("a run that came to its end has seen something")
        .packed(&shelf))
}

/// How often the candidate's auditor sweeps: each sweep looks at every appointment there is, so that one a minute, as the service has it, would
/// make the cost of a replay grow with the square of its length.
fn audit_every(plan: &Plan) -> Duration {
    let span = plan.requests.last().map_or(0, |last| last.at_ns);
    (Duration::from_nanos(span) / SWEEPS).max(Duration::from_mins(1))
}

/// The providers that the traffic names, and those that are always there.
fn providers(plan: &Plan) -> BTreeSet<ProviderName> {
    #[derive(serde::Deserialize)]
    struct Named {
        provider: Option<String>,
    }
    let requests = (0..plan.contents.len()).filter_map(|at| plan.contents.get(at));
    let named = requests.filter_map(|request| {
        let named: Named = serde_json::from_slice(request.body.whole()?).ok()?;
        named.provider
    });
    let mut providers: BTreeSet<ProviderName> = PROVIDERS
        .iter()
        .filter_map(|name| ProviderName::parse(name).ok())
        .collect();
    for name in named {
        if providers.len() >= MOST_PROVIDERS {
            break;
        }
        providers.extend(ProviderName::parse(&name));
    }
    providers
}

/// A world of services that run for ever and clients that come to an end.
struct Builder {
    nodes: Vec<Node>,
    clients: u32,
    progress: Progress,
    chance: Chance,
}

impl Builder {
    fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            clients: 0,
            progress: Progress::default(),
            chance: Chance::new(seed).named("shadow"),
        }
    }

    fn client<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &str,
        work: impl Fn(rehearsal_host::Host) -> F + Send + Sync + 'static,
    ) {
        self.clients += 1;
        let progress = self.progress.clone();
        let main = move |host: rehearsal_host::Host, _boot: u32| {
            let (work, progress) = (work(host), progress.clone());
            async move {
                work.await;
                progress.observed();
                std::future::pending::<()>().await;
            }
            .boxed()
        };
        self.nodes.push(Node {
            name: name.to_owned(),
            main: Box::new(main),
        });
    }

    fn run(self) -> Result<(), EngineError> {
        let setup = Setup {
            nodes: self.nodes,
            network: Network {
                latency: Latency::UniformMs([0.2, 2.0]),
                ..Network::default()
            },
            chance: self.chance,
            clock: Clock::default(),
            addresses: BTreeMap::new(),
            booted: Box::new(|_, _| {}),
        };
        let mut director = UntilDone {
            progress: self.progress,
            clients: self.clients,
        };
        Engine::Pipes.run(setup, &mut director)
    }
}

struct UntilDone {
    progress: Progress,
    clients: u32,
}

impl Director for UntilDone {
    fn direct(&mut self, now: Duration, _: &mut dyn Control) -> Next {
        if self.progress.counts().observed >= self.clients {
            Next::Done
        } else {
            Next::At(now + LOOK_EVERY)
        }
    }
}
