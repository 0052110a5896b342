//! The deployment: which hosts boot, what runs on each, and how their state is looked at from outside.
//!
//! **Invariant**: what outlives a crash is what a disk or a third party would keep: the database's files and the providers' ledgers. Everything
//! else is made anew at each boot.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{self, BoxFuture, FutureExt};
use rehearsal_core::{identity::ProviderName, time::Timestamp};
use rehearsal_host::Host;
use rehearsal_mocks::provider::{self as mock, Ledger, ProviderEvent};
use rehearsal_service::{
    ServiceError,
    config::{Config, Roles},
    journal::Journal,
    store::{InlineStore, Store},
};

use super::{
    client::{self, Script},
    database::{self, Clocked, Faults, Noticed, RemoteStore},
    event::Event,
    leases::{Epochs, watched},
    look::{Open, lock, snapshot},
    operation::Operation,
    pace::Pace,
    planted::{Defect, planting},
    quiet::{Audits, Quiet},
    tables::Tables,
    topology::Layout,
    unheard::Overheard,
};
use crate::{
    disk::Loss,
    fault::Crash,
    system::{Address, Deployment, Node, Stage, Step, Storage},
    trace::{HostRecorder, Recorder, fnv},
};

/// A process that ended by itself is started again after this long, as a supervisor would.
const RESTART: Duration = Duration::from_millis(500);

/// Builds the hosts of `tables`.
pub(super) fn deploy(
    tables: &Tables,
    steps: &[Step<Operation>],
    stage: Stage<Event>,
) -> Deployment<Event> {
    stage
        .recorder
        .at("harness", 0)
        .record(Event::Given(Box::new(tables.clone())));
    let open = Open::default();
    let audits = Audits::default();
    let epochs = Epochs::default();
    let ledgers: BTreeMap<String, Ledger> = tables
        .providers
        .keys()
        .map(|name| (name.clone(), Ledger::new()))
        .collect();
    let mut nodes: Vec<Node> = tables
        .providers
        .keys()
        .map(|name| provider(tables, name, &ledgers[name], &stage))
        .collect();
    let faults = Faults::of(tables.database);
    if tables.topology.layout == Layout::Cluster {
        let faults = faults.clone();
        nodes.push(database_host(tables, &open, &epochs, faults, &stage));
    }
    for name in tables.topology.service_hosts() {
        nodes.push(service_host(
            tables,
            &name,
            &open,
            (&audits, &epochs),
            &stage,
        ));
    }
    let clients = scripts(tables, steps, &stage);
    nodes.extend(
        clients
            .into_iter()
            .map(|(name, script)| client_host(&name, script)),
    );
    let quiet = Quiet::new(open.clone(), audits, tables);
    Deployment {
        nodes,
        clients: tables.topology.clients,
        quiet: Box::new(move || quiet.look()),
        snapshot: snapshot(open.clone(), ledgers, faults),
        dying: dying(tables, open, stage.storage, stage.recorder),
    }
}

fn node(name: &str, main: impl Fn(Host, u32) -> BoxFuture<'static, ()> + 'static) -> Node {
    Node {
        name: name.to_owned(),
        main: Box::new(main),
    }
}

fn provider(tables: &Tables, name: &str, ledger: &Ledger, stage: &Stage<Event>) -> Node {
    let host_name = Tables::provider_host(name);
    let listen = stage.addresses[&host_name].listen.clone();
    let table = tables.providers[name].clone();
    let (ledger, recorder, stops) = (ledger.clone(), stage.recorder.clone(), stage.stops.clone());
    // The first boot's time: windows count from there, also after a crash.
    let started: Arc<Mutex<Option<Timestamp>>> = Arc::default();
    let name = host_name.clone();
    node(&host_name, move |host, boot| {
        let behaviour = table.behaviour(*lock(&started).get_or_insert_with(|| host.now()));
        let recorder = recorder.at(&name, boot);
        let (listen, ledger) = (listen.clone(), ledger.clone());
        let (stops, name) = (stops.clone(), name.clone());
        async move {
            let journal = recorder.clone();
            let journal =
                Arc::new(move |event: ProviderEvent| journal.record(Event::Provider(event)));
            loop {
                let ended = mock::run(
                    host.clone(),
                    &listen,
                    behaviour.clone(),
                    ledger.clone(),
                    journal.clone(),
                    stops.asked(&name),
                )
                .await;
                if stops.ended(&name) {
                    return future::pending().await;
                }
                restart(&host, &recorder, &format!("{ended:?}")).await;
            }
        }
        .boxed()
    })
}

async fn restart(host: &Host, recorder: &HostRecorder<Event>, error: &str) {
    recorder.record(Event::Restarted {
        error: error.to_owned(),
    });
    host.sleep(RESTART).await;
}

/// Opens the database of the host `name`, trying again for as long as that fails. Whoever asks it waits for its disk.
async fn opened(
    host: &Host,
    recorder: &HostRecorder<Event>,
    (storage, name): (&Storage, &str),
    defect: Option<Defect>,
    open: &Open,
) -> Arc<dyn Store> {
    let pace = Pace::of(host, storage, name);
    loop {
        let opening = planting::open(defect, &storage.path(name, "appointments.db"));
        pace.wait().await;
        match opening {
            Ok(store) => {
                let store = Arc::new(InlineStore::new(store));
                *lock(open) = Some(store.clone());
                return pace.over(store);
            }
            Err(error) => restart(host, recorder, &format!("opening the database: {error}")).await,
        }
    }
}

fn power_on(storage: &Storage, name: &str) {
    if let Storage::Simulated(disk) = storage {
        disk.start(name);
    }
}

/// The store as its host's callers get it: with each commit noticed.
fn noticed(store: Arc<dyn Store>, recorder: &HostRecorder<Event>) -> Arc<dyn Store> {
    let recorder = recorder.clone();
    Arc::new(Noticed { store, recorder })
}

fn database_host(
    tables: &Tables,
    open: &Open,
    epochs: &Epochs,
    faults: Option<Arc<Faults>>,
    stage: &Stage<Event>,
) -> Node {
    let name = tables.topology.database_host();
    let listen = stage.addresses[name].listen.clone();
    let (open, storage, recorder) = (open.clone(), stage.storage.clone(), stage.recorder.clone());
    let (tables, epochs, stops) = (tables.clone(), epochs.clone(), stage.stops.clone());
    node(name, move |host, boot| {
        power_on(&storage, name);
        let path = storage.path(name, "appointments.db");
        let (open, listen, recorder) = (open.clone(), listen.clone(), recorder.at(name, boot));
        let (tables, storage) = (tables.clone(), storage.clone());
        let (epochs, stops, faults) = (epochs.clone(), stops.clone(), faults.clone());
        async move {
            let trouble = faults.map(|faults| (faults, recorder.clone()));
            let store = opened(&host, &recorder, (&storage, name), tables.defect(), &open).await;
            let store = planting::store(&tables, &host, &path, store);
            let store = noticed(watched(store, &epochs, &recorder), &recorder);
            let store: Arc<dyn Store> = Arc::new(Clocked {
                host: host.clone(),
                store,
            });
            loop {
                match host.bind(&listen).await {
                    Ok(listener) => {
                        let (store, trouble) = (store.clone(), trouble.clone());
                        let serving = database::serve(host.clone(), listener, store, trouble);
                        future::select(pin!(serving), pin!(stops.asked(name))).await;
                        // What was asked is answered at once: there is nothing to drain.
                        if stops.ended(name) {
                            return future::pending().await;
                        }
                    }
                    Err(error) => restart(&host, &recorder, &format!("listening: {error}")).await,
                }
            }
        }
        .boxed()
    })
}

fn service_host(
    tables: &Tables,
    name: &str,
    open: &Open,
    (audits, epochs): (&Audits, &Epochs),
    stage: &Stage<Event>,
) -> Node {
    let config = config(
        tables,
        roles(name, tables),
        &stage.addresses,
        &stage.addresses[name].listen,
    );
    let embedded = tables.topology.layout == Layout::Embedded;
    let database = embedded.then(String::new).unwrap_or_else(|| {
        stage.addresses[tables.topology.database_host()]
            .dial
            .clone()
    });
    let (open, audits, epochs, storage, recorder, stops) = (
        open.clone(),
        audits.clone(),
        epochs.clone(),
        stage.storage.clone(),
        stage.recorder.clone(),
        stage.stops.clone(),
    );
    let (name, tables) = (name.to_owned(), tables.clone());
    node(&name.clone(), move |host, boot| {
        let recorder = recorder.at(&name, boot);
        let journal: Arc<dyn Journal> = Arc::new(TraceJournal {
            recorder: recorder.clone(),
            audits: audits.clone(),
        });
        let path = storage.path(&name, "appointments.db");
        if embedded {
            power_on(&storage, &name);
        }
        let (config, open, database) = (config.clone(), open.clone(), database.clone());
        let (stops, name) = (stops.clone(), name.clone());
        let (tables, epochs) = (tables.clone(), epochs.clone());
        let (storage, name) = (storage.clone(), name.clone());
        async move {
            let store: Arc<dyn Store> = if embedded {
                let store =
                    opened(&host, &recorder, (&storage, &name), tables.defect(), &open).await;
                let store = planting::store(&tables, &host, &path, store);
                noticed(watched(store, &epochs, &recorder), &recorder)
            } else {
                Arc::new(Overheard {
                    store: Arc::new(RemoteStore::new(host.clone(), database)),
                    recorder: recorder.clone(),
                })
            };
            let (journal, store) = planting::journal(&tables, journal, store);
            let host = planting::host(&tables, host, &config);
            loop {
                let ended = rehearsal_service::role::run_with(
                    host.clone(),
                    config.clone(),
                    store.clone(),
                    journal.clone(),
                    planting::breakers(&tables),
                    stops.asked(&name),
                )
                .await;
                if stops.ended(&name) {
                    return future::pending().await;
                }
                // The same settings would be refused again, for ever.
                if let Err(refused @ ServiceError::Config(_)) = &ended {
                    panic!("{name}: {refused}");
                }
                restart(&host, &recorder, &format!("{ended:?}")).await;
            }
        }
        .boxed()
    })
}

fn roles(host: &str, tables: &Tables) -> Roles {
    match host.split('-').next() {
        Some("api") => Roles::API,
        Some("worker") => Roles::WORKER,
        Some("auditor") => Roles::AUDITOR,
        _ => Roles {
            auditor: tables.topology.auditor,
            ..Roles::ALL
        },
    }
}

/// The service's configuration for one host.
pub(super) fn config(
    tables: &Tables,
    roles: Roles,
    addresses: &BTreeMap<String, Address>,
    listen: &str,
) -> Config {
    let url = |name: &String| format!("http://{}", addresses[&Tables::provider_host(name)].dial);
    let name = |name: &String| ProviderName::parse(name).expect("checked with the tables");
    let providers = tables
        .providers
        .keys()
        .map(|provider| (name(provider), url(provider)))
        .collect();
    let config = Config {
        roles,
        ..Config::new(listen, providers)
    };
    planting::config(tables, tables.service.configure(config, &tables.topology))
}

/// The service's log, in the trace.
struct TraceJournal {
    recorder: HostRecorder<Event>,
    audits: Audits,
}

impl Journal for TraceJournal {
    fn log(&self, event: rehearsal_core::log::LogEvent) {
        self.audits.note(self.recorder.elapsed(), &event);
        self.recorder.record(Event::Log(event));
    }
}

fn scripts(
    tables: &Tables,
    steps: &[Step<Operation>],
    stage: &Stage<Event>,
) -> Vec<(String, Script)> {
    let dial = |name: &String| stage.addresses[name].dial.clone();
    let hosts = tables.topology.service_hosts();
    let mut looked_at = std::collections::BTreeSet::new();
    let script = |(number, name): (usize, String)| {
        let steps: Vec<_> = steps
            .iter()
            .filter(|step| step.client as usize == number)
            .cloned()
            .collect();
        let submitted = steps.iter().filter_map(|step| match &step.operation {
            Operation::Submit(submission) => Some(submission.id.clone()),
            _ => None,
        });
        let appointments = submitted
            .filter(|id| looked_at.insert(id.clone()))
            .collect();
        let service = if number == 0 {
            hosts
                .iter()
                .map(|host| (host.clone(), dial(host)))
                .collect()
        } else {
            Vec::new()
        };
        let script = Script {
            steps,
            apis: tables.topology.api_hosts().iter().map(dial).collect(),
            timeout: Duration::from_secs_f64(tables.workload.client_timeout_ms / 1000.0),
            appointments,
            service,
            recorder: stage.recorder.at(&name, 1),
            phase: stage.phase.clone(),
            progress: stage.progress.clone(),
        };
        (name, script)
    };
    tables
        .topology
        .client_hosts()
        .into_iter()
        .enumerate()
        .map(script)
        .collect()
}

fn client_host(name: &str, script: Script) -> Node {
    let script = Arc::new(script);
    node(name, move |host, _boot| {
        client::run(script.clone(), host).boxed()
    })
}

/// See [`Deployment::dying`].
type Dying = Box<dyn FnMut(&str, Crash)>;

fn dying(tables: &Tables, open: Open, storage: Storage, recorder: Recorder<Event>) -> Dying {
    let database = tables.topology.database_host();
    let seeds: Vec<u8> = tables
        .providers
        .values()
        .flat_map(|provider| provider.seed.unwrap_or_default().to_le_bytes())
        .collect();
    let mut deaths = 0_u64;
    Box::new(move |host, crash| {
        if host != database {
            return;
        }
        deaths += 1;
        let power_lost = crash == Crash::PowerLoss;
        let recorder = recorder.at(host, 0);
        recorder.record(Event::StorageDied { power_lost });
        if let Storage::Simulated(disk) = &storage {
            match crash {
                Crash::Kill => disk.kill(host),
                Crash::PowerLoss => {
                    disk.power_loss(host, Loss::Subset, fnv(&seeds).wrapping_add(deaths));
                }
                Crash::Wipe => disk.wipe(host),
            }
        }
        // The connection dies with the process: its files are dead already, so that closing it writes nothing.
        lock(&open).take();
    })
}
