//! A second system under test, a counter that must not lose what it acknowledged: proof that the harness knows nothing of appointments.
//!
//! It is small on purpose: what a team has to write for a system of its own is the first half of this file.

mod faults;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either, select};
use rehearsal_host::{Host, Stream};
use rehearsal_sim::{
    chance::Chance,
    engine::Engine,
    fault::{Crash, Effect},
    oracle::{Findings, Oracle},
    plan::Plan,
    run,
    scenario::Scenario,
    system::{Address, Deployment, Figures, Node, Stage, Step, System, Tables},
    trace::{Phase, Trace},
    verdict::{OracleRecord, Record, Verdict},
};
use serde::{Deserialize, Serialize, de::MapAccess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter;

/// The scenario's `[counter]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    adds: u64,
    /// The planted defect.
    #[serde(default)]
    forgets_every_third: bool,
    /// The spare talks to the counter too, so that faults between hosts meet something.
    #[serde(default)]
    chatty: bool,
    /// Another one: one boot in eight begins with nothing.
    #[serde(default)]
    forgets_when_unlucky: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CounterTables {
    counter: Settings,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    Acknowledged(u64),
    Kept(BTreeSet<u64>),
}

/// What the counter keeps, crash or not.
type Kept = Arc<Mutex<BTreeSet<u64>>>;

impl Tables for CounterTables {
    const KEYS: &'static [&'static str] = &["counter"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.counter = map.next_value()?;
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn hosts(&self) -> Vec<String> {
        vec!["counter".to_owned(), "spare".to_owned()]
    }
}

async fn count(host: Host, address: Address, kept: Kept, forgetful: bool) -> std::io::Result<()> {
    let mut listener = host.bind(&address.listen).await?;
    loop {
        let mut stream = listener.accept().await?;
        let (kept, host) = (kept.clone(), host.clone());
        let session = host.clone();
        session.spawn(async move {
            while let Ok(id) = stream.read_u64().await {
                // As a server's log would.
                let _ = host.now();
                if !(forgetful && id % 3 == 0) {
                    kept.lock().expect("no panic while keeping").insert(id);
                }
                let _ = stream.write_u8(1).await;
            }
        });
    }
}

/// Keeps asking, answered or not.
async fn chat(host: Host, address: Address) {
    loop {
        let word = add(&host, &address.dial, u64::MAX);
        let _ = host.timeout(Duration::from_millis(100), word).await;
        host.sleep(Duration::from_millis(10)).await;
    }
}

async fn add(host: &Host, address: &str, id: u64) -> std::io::Result<u8> {
    let mut stream: Stream = host.connect(address).await?;
    stream.write_u64(id).await?;
    stream.read_u8().await
}

async fn drive(host: Host, steps: Vec<Step<u64>>, stage: Arc<Stage<Event>>) {
    let recorder = stage.recorder.at("client", 1);
    for step in steps {
        host.sleep(Duration::from_millis(step.at_ms).saturating_sub(host.elapsed()))
            .await;
        let patience = Duration::from_millis(200);
        while !matches!(
            host.timeout(
                patience,
                add(&host, &stage.addresses["counter"].dial, step.operation)
            )
            .await,
            Ok(Ok(1))
        ) {
            host.sleep(Duration::from_millis(20)).await;
        }
        recorder.record(Event::Acknowledged(step.operation));
        stage.progress.operation_ended();
    }
    let _ = stage
        .phase
        .clone()
        .wait_for(|phase| *phase >= Phase::Observe)
        .await;
    stage.progress.observed();
}

fn node(name: &str, main: impl Fn(Host, u32) -> BoxFuture<'static, ()> + 'static) -> Node {
    Node {
        name: name.to_owned(),
        main: Box::new(main),
    }
}

fn nothing_acknowledged_is_lost(trace: &Trace<Event>) -> Findings {
    let mut findings = Findings::default();
    let kept = trace.system().find_map(|(_, event)| match event {
        Event::Kept(ids) => Some(ids.clone()),
        Event::Acknowledged(_) => None,
    });
    for (entry, event) in trace.system() {
        if let Event::Acknowledged(id) = event {
            let lost = !kept.as_ref().is_some_and(|kept| kept.contains(id));
            findings.examine(
                entry.at_us,
                lost.then(|| format!("{id} was acknowledged and is not kept")),
            );
        }
    }
    findings
}

impl System for Counter {
    type Tables = CounterTables;
    type Operation = u64;
    type Event = Event;

    fn draw(tables: &mut CounterTables, _: &Chance) -> Result<Vec<Step<u64>>, String> {
        Ok((0..tables.counter.adds)
            .map(|id| Step {
                id,
                at_ms: id * 10,
                client: 0,
                operation: id,
            })
            .collect())
    }

    fn names(tables: &CounterTables) -> Vec<String> {
        tables
            .hosts()
            .into_iter()
            .chain(["client".to_owned()])
            .collect()
    }

    fn deploy(
        tables: &CounterTables,
        steps: &[Step<u64>],
        stage: Stage<Event>,
    ) -> Deployment<Event> {
        let kept = Kept::default();
        let (stage, steps) = (Arc::new(stage), steps.to_vec());
        let (address, forgetful) = (
            stage.addresses["counter"].clone(),
            tables.counter.forgets_every_third,
        );
        let (disk, dialed, stops) = (kept.clone(), address.clone(), stage.stops.clone());
        let unlucky = tables.counter.forgets_when_unlucky;
        let counter = move |host: Host, boot| -> BoxFuture<'static, ()> {
            if unlucky && boot > 1 && host.entropy().is_multiple_of(8) {
                disk.lock().expect("no panic while keeping").clear();
            }
            let counting = count(host, address.clone(), disk.clone(), forgetful);
            let stops = stops.clone();
            Box::pin(async move {
                let counting = std::pin::pin!(counting);
                let asked = std::pin::pin!(stops.asked("counter"));
                if let Either::Left((ended, _)) = select(counting, asked).await {
                    ended.expect("the counter listens");
                }
                stops.ended("counter");
                std::future::pending::<()>().await;
            })
        };
        let chatty = tables.counter.chatty;
        let spare = move |host, _| -> BoxFuture<'static, ()> {
            if chatty {
                Box::pin(chat(host, dialed.clone()))
            } else {
                Box::pin(std::future::pending())
            }
        };
        let wiped = kept.clone();
        let client = move |host, _| -> BoxFuture<'static, ()> {
            Box::pin(drive(host, steps.clone(), stage.clone()))
        };
        Deployment {
            nodes: vec![
                node("counter", counter),
                node("spare", spare),
                node("client", client),
            ],
            clients: 1,
            quiet: Box::new(|| true),
            snapshot: Box::new(move || {
                vec![Event::Kept(
                    kept.lock().expect("no panic while keeping").clone(),
                )]
            }),
            dying: Box::new(move |host, mode| {
                if (host, mode) == ("counter", Crash::Wipe) {
                    wiped.lock().expect("no panic while keeping").clear();
                }
            }),
        }
    }

    fn oracles() -> Vec<Oracle<Event>> {
        vec![Oracle {
            name: "nothing_acknowledged_is_lost",
            property: "what the counter acknowledged is kept at the end",
            check: nothing_acknowledged_is_lost,
        }]
    }

    fn measure_names() -> Vec<&'static str> {
        vec!["acknowledged"]
    }

    fn figures(trace: &Trace<Event>) -> Figures {
        let acknowledged = trace
            .system()
            .filter(|(_, event)| matches!(event, Event::Acknowledged(_)));
        Figures {
            measures: BTreeMap::from([("acknowledged".to_owned(), acknowledged.count() as f64)]),
            ..Figures::default()
        }
    }

    fn own_faults(_: &CounterTables, _: &Trace<Event>) -> Vec<(String, u64, Effect)> {
        Vec::new()
    }
}

pub(crate) const CRASH: &str = "[[faults]]\nkind = \"crash\"\ntarget = \"counter\"\nat_s = [0.03, 0.09]\ndown_s = [0.05, 0.1]\n";
pub(crate) const INERT: &str = "[[faults]]\nkind = \"hold\"\ntarget = \"spare\"\npeer = \"counter\"\nat_s = 0.05\nfor_s = 0.05\n";

pub(crate) fn plan(counter: &str, faults: &str) -> Plan<Counter> {
    let text = format!(
        "format = \"rehearsal.scenario/1\"\nname = \"counter\"\nquestion = \"Is anything lost?\"\n[counter]\n{counter}\n{faults}"
    );
    let file = Path::new("counter.toml");
    let scenario: Scenario<CounterTables> = Scenario::parse(file, &text).expect("a valid scenario");
    Plan::draw(file, &scenario, 7).expect("a plan")
}

fn judged(plan: &Plan<Counter>, engine: Engine) -> Record {
    let outcome = run::in_child(plan, engine, Duration::from_secs(30), false);
    outcome
        .unwrap_or_else(|error| panic!("{}: {error}", engine.name()))
        .record
}

fn lost(record: &Record) -> &OracleRecord {
    let mut oracles = record.oracles.iter();
    oracles
        .find(|oracle| oracle.name == "nothing_acknowledged_is_lost")
        .expect("it is registered")
}

#[test]
fn a_counter_that_keeps_its_word_passes_on_every_engine() {
    let plan = plan("adds = 20\n[slo]\nacknowledged = \"== 20\"", CRASH);
    for engine in [Engine::Pipes, Engine::Turmoil, Engine::Loopback] {
        let record = judged(&plan, engine);
        assert_eq!(
            record.verdict,
            Verdict::Pass,
            "{}: {record:#?}",
            engine.name()
        );
        assert_eq!(lost(&record).checked, 20);
        assert_eq!(record.faults[0].effect["processes_killed"], 1);
    }
}

#[test]
fn a_host_is_up_when_no_crash_holds_it_down() {
    let crash = |at: &str| {
        format!("[[faults]]\nkind = \"crash\"\ntarget = \"counter\"\nat_s = {at}\ndown_s = 0.1\n")
    };
    let plan = plan("adds = 20", &(crash("0.03") + &crash("0.08")));
    for engine in [Engine::Pipes, Engine::Turmoil, Engine::Loopback] {
        let outcome = run::in_child(&plan, engine, Duration::from_secs(30), true).expect("a run");
        let trace = outcome.trace.expect("it was asked for");
        let boots: Vec<&str> = trace
            .lines()
            .filter(|line| line.contains("\"counter\"") && line.contains("booted"))
            .collect();
        assert_eq!(boots.len(), 2, "{}: {boots:#?}", engine.name());
        assert_eq!(lost(&outcome.record).verdict, Verdict::Pass);
    }
}

#[test]
fn a_planted_defect_fails() {
    let record = judged(
        &plan("adds = 20\nforgets_every_third = true", CRASH),
        Engine::Pipes,
    );
    assert_eq!(record.verdict, Verdict::Fail);
    let oracle = lost(&record);
    assert_eq!(
        (oracle.verdict, oracle.checked, oracle.violations.len()),
        (Verdict::Fail, 20, 7)
    );
    assert_eq!(
        oracle.violations[1].message,
        "3 was acknowledged and is not kept"
    );
}

#[test]
fn a_fault_that_did_nothing_is_inconclusive() {
    for engine in [Engine::Pipes, Engine::Turmoil] {
        let record = judged(&plan("adds = 20", INERT), engine);
        assert_eq!(
            record.verdict,
            Verdict::Inconclusive,
            "{}: {record:#?}",
            engine.name()
        );
        assert_eq!(lost(&record).verdict, Verdict::Pass);
        assert!(record.faults[0].effect.values().all(|count| *count == 0));
    }
}

#[test]
fn an_oracle_that_examined_nothing_is_inconclusive() {
    let record = judged(&plan("adds = 0", ""), Engine::Pipes);
    assert_eq!(record.verdict, Verdict::Inconclusive, "{record:#?}");
    assert_eq!(
        (lost(&record).checked, lost(&record).verdict),
        (0, Verdict::Inconclusive)
    );
}

#[test]
fn a_plan_is_a_digest() {
    for engine in [Engine::Pipes, Engine::Turmoil] {
        let plan = plan("adds = 20", CRASH);
        let digest = judged(&plan, engine).digest;
        assert_eq!(judged(&plan, engine).digest, digest, "{}", engine.name());
        let read_back =
            Plan::parse(Path::new("counter.plan.toml"), &plan.to_toml()).expect("a plan");
        assert_eq!(
            judged(&read_back, engine).digest,
            digest,
            "{}",
            engine.name()
        );
    }
}
