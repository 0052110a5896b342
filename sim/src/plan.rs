//! A plan: what a seed makes of a scenario, with every operation and fault and its time.
//!
//! **Invariant**: all chance of a run is spent here, but for the streams that the plan's seed names (links, entropy).
//! A plan can be edited and run by itself; it is what shrinking and regressions keep.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    chance::{Chance, Fork},
    condition::Condition,
    fault::{Fault, Kind, OnDisk},
    finding::Found,
    scenario::{self, Network, Phases, Refused, Scenario},
    swarm::Subset,
    system::{Step, System, Tables},
    trigger::ITS_HOST,
};

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.plan/1";

/// Most operations of one plan: a run keeps its trace in memory.
pub const MOST_STEPS: usize = 1_000_000;

/// A plan for a system `S`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub struct Plan<S: System> {
    /// [`FORMAT`].
    pub format: String,
    /// The scenario it came from.
    pub scenario: String,
    /// The scenario's question.
    pub question: String,
    /// The seed of the streams that are left for the run.
    pub seed: u64,
    /// When the streams that are left for the run become others; for questions like `rehearsal why`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Fork>,
    /// The finding that the plan reproduces, if it was made for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// The network.
    pub network: Network,
    /// The bounds of the phases.
    pub phases: Phases,
    /// See [`Scenario::slo`].
    #[serde(default)]
    pub slo: BTreeMap<String, Condition>,
    /// See [`Scenario::expect`].
    #[serde(default)]
    pub expect: BTreeMap<String, Condition>,
    /// The system's tables, with everything drawn.
    pub system: S::Tables,
    /// What goes wrong, by time.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What clients do, by time.
    #[serde(default)]
    pub steps: Vec<Step<S::Operation>>,
}

impl<S: System> Plan<S> {
    /// Draws `scenario` with `seed`.
    ///
    /// # Errors
    /// [`Refused`] when the scenario asks for what cannot be: `file` is for its message.
    pub fn draw(file: &Path, scenario: &Scenario<S::Tables>, seed: u64) -> Result<Self, Refused> {
        let chance = Chance::new(seed);
        let mut system = scenario.tables.clone();
        let refuse = |message: String| Refused::new(file, message);
        let subset = Subset::draw(scenario.swarm, &chance.named("swarm"));
        if scenario.swarm.is_some() {
            system.thin(&|name| subset.keeps(name));
        }
        let mut steps = S::draw(&mut system, &chance.named("workload")).map_err(refuse)?;
        if steps.len() > MOST_STEPS {
            return Err(refuse(format!(
                "workload: {} operations, at most {MOST_STEPS} fit in one run",
                steps.len()
            )));
        }
        steps.sort_by_key(|step| (step.at_ms, step.id));
        let (hosts, disks) = (system.hosts(), system.disks());
        let mut faults = Vec::new();
        for (number, spec) in scenario.faults.iter().enumerate() {
            let hosts = if spec.is_on_disk() { &disks } else { &hosts };
            let drawn = spec.draw(hosts, &chance.named("faults").named(number));
            if !subset.keeps_fault(number, spec) && drawn.is_ok() {
                continue;
            }
            faults.extend(drawn.map_err(|error| refuse(format!("faults[{number}].{error}")))?);
        }
        faults.sort_by_key(|fault| fault.at_ms);
        let plan = Self {
            format: FORMAT.to_owned(),
            scenario: scenario.name.clone(),
            question: scenario.question.clone(),
            seed,
            fork: None,
            found: None,
            network: scenario.network.clone(),
            phases: scenario.phases,
            slo: scenario.slo.clone(),
            expect: scenario.expect.clone(),
            system,
            faults,
            steps,
        };
        plan.check().map_err(refuse)?;
        Ok(plan)
    }

    /// What `scenario` asks to go wrong and the plan of `seed` leaves out: by a `chance` of its own, or because it is a swarm.
    pub fn left_out(scenario: &Scenario<S::Tables>, seed: u64) -> BTreeSet<String> {
        let subset = Subset::draw(scenario.swarm, &Chance::new(seed).named("swarm"));
        let faults = scenario.faults.iter().enumerate();
        let left = faults.filter(|(number, spec)| !subset.keeps_fault(*number, spec));
        let mut names: BTreeSet<String> = left
            .map(|(number, spec)| {
                format!("faults[{number}], {} of {}", spec.kind.name(), spec.target)
            })
            .collect();
        if scenario.swarm.is_some() {
            let keys = RefCell::new(Vec::new());
            scenario.tables.clone().thin(&|name| {
                keys.borrow_mut().push(name.to_owned());
                true
            });
            let text = |tables: &S::Tables| toml::to_string(tables).expect("tables are plain data");
            let whole = text(&scenario.tables);
            // A system names all that it could leave out; what is not asked for changes nothing when it is.
            names.extend(keys.into_inner().into_iter().filter(|key| {
                let mut without = scenario.tables.clone();
                without.thin(&|name| name != key);
                !subset.keeps(key) && text(&without) != whole
            }));
        }
        names
    }

    /// Reads a plan from text; `file` is for messages.
    ///
    /// # Errors
    /// [`Refused`], with the place in the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Refused> {
        let plan: Self =
            toml::from_str(text).map_err(|error| Refused::new(file, scenario::explain(&error)))?;
        scenario::check_format(Some(&plan.format), FORMAT)
            .map_err(|message| Refused::new(file, message))?;
        plan.check()
            .map_err(|message| Refused::new(file, message))?;
        Ok(plan)
    }

    /// The plan as TOML, to keep, edit and run.
    ///
    /// # Panics
    /// When the plan cannot be written as TOML, which is a defect of a system's types.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a plan is plain data")
    }

    /// Refuses what can be read but not run.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        self.system.check()?;
        self.network.check(Some(&S::names(&self.system)))?;
        let mut names = S::measure_names();
        names.push(crate::verdict::CONVERGE_S);
        names.sort_unstable();
        for (table, conditions) in [("slo", &self.slo), ("expect", &self.expect)] {
            for name in conditions.keys() {
                if !names.contains(&name.as_str()) {
                    let hint = scenario::nearest(name, names.iter().copied());
                    let hint = hint
                        .map(|name| format!("; did you mean `{name}`?"))
                        .unwrap_or_default();
                    return Err(format!(
                        "{table}.{name}: no such measure, expected one of {}{hint}",
                        names.join(", ")
                    ));
                }
            }
        }
        let hosts = self.system.hosts();
        for (number, fault) in self.faults.iter().enumerate() {
            if let Some(trigger) = &fault.when {
                let names = S::trigger_names();
                if !names.contains(&trigger.event.as_str()) || trigger.nth == 0 {
                    let hint = scenario::nearest(&trigger.event, names.iter().copied());
                    let hint = hint
                        .map(|name| format!("; did you mean `{name}`?"))
                        .unwrap_or_default();
                    return Err(format!(
                        "faults[{number}].when: found event {:?}, nth {}, expected nth 1 or more of one of {}{hint}",
                        trigger.event,
                        trigger.nth,
                        names.join(", ")
                    ));
                }
            }
            let its_host = fault
                .targets
                .iter()
                .chain(&fault.peers)
                .any(|name| name == ITS_HOST);
            if let Some(trigger) = fault
                .when
                .as_ref()
                .filter(|it| its_host && S::is_of_clients(&it.event))
            {
                return Err(format!(
                    "faults[{number}].target: found {ITS_HOST:?} with the event `{}`, which happens at a client; expected a host ({})",
                    trigger.event,
                    hosts.join(", ")
                ));
            }
            let known = |name: &&String| {
                hosts.contains(name) || (fault.when.is_some() && *name == ITS_HOST)
            };
            if let Some(stranger) = fault
                .targets
                .iter()
                .chain(&fault.peers)
                .find(|name| !known(name))
            {
                return Err(format!(
                    "faults[{number}]: {stranger:?} is no host of this plan ({})",
                    hosts.join(", ")
                ));
            }
            if let Kind::Disk(on) = &fault.kind {
                self.check_disk(fault, on)
                    .map_err(|error| format!("faults[{number}].{error}"))?;
            }
            if fault.until_ms <= fault.at_ms {
                return Err(format!(
                    "faults[{number}].until_ms: found {}, expected more than at_ms {}",
                    fault.until_ms, fault.at_ms
                ));
            }
        }
        Ok(())
    }
}

impl<S: System> Plan<S> {
    /// A fault of a disk is of one host that has one, and no host waits for two operations at once.
    fn check_disk(&self, fault: &Fault, on: &OnDisk) -> Result<(), String> {
        let disks = self.system.disks();
        match fault.targets.as_slice() {
            [host] if !disks.contains(host) => {
                return Err(format!(
                    "targets: {host:?} has no disk, expected one of {}",
                    disks.join(", ")
                ));
            }
            [_] => {}
            targets => {
                return Err(format!(
                    "targets: found {} hosts, expected one: a fault of a disk is of one",
                    targets.len()
                ));
            }
        }
        let waits = |on: &OnDisk| {
            matches!(
                on,
                OnDisk::PowerLoss {
                    operation: Some(_),
                    ..
                }
            )
        };
        let same = self.faults.iter().filter(|other| {
            other.targets == fault.targets
                && matches!(&other.kind, Kind::Disk(other) if waits(other))
        });
        if waits(on) && same.count() > 1 {
            return Err(format!(
                "kind: {:?} already loses its power at another operation, expected one such fault a host",
                fault.targets[0]
            ));
        }
        Ok(())
    }
}

/// What a file holds: a scenario to draw from, or a plan to run as it is.
#[derive(Debug)]
pub enum Source<S: System> {
    /// A scenario.
    Scenario(Box<Scenario<S::Tables>>),
    /// A plan.
    Plan(Box<Plan<S>>),
}

impl<S: System> Source<S> {
    /// Reads a scenario or a plan, whichever the file says it is.
    ///
    /// # Errors
    /// [`Refused`], with the place in the file.
    pub fn load(file: &Path) -> Result<Self, Refused> {
        Self::parse(file, &scenario::read(file)?)
    }

    /// Reads a scenario or a plan from text, whichever it says it is; `file` is for messages.
    ///
    /// # Errors
    /// [`Refused`], with the place in the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        struct Head {
            format: Option<String>,
        }
        let head: Head =
            toml::from_str(text).map_err(|error| Refused::new(file, scenario::explain(&error)))?;
        match head.format.as_deref() {
            Some(format) if format.starts_with("rehearsal.plan/") => {
                Ok(Self::Plan(Box::new(Plan::parse(file, text)?)))
            }
            _ => Ok(Self::Scenario(Box::new(Scenario::parse(file, text)?))),
        }
    }

    /// The plan of `seed`; a plan keeps its own seed.
    ///
    /// # Errors
    /// [`Refused`] when the scenario asks for what cannot be.
    pub fn plan(&self, file: &Path, seed: u64) -> Result<Plan<S>, Refused> {
        match self {
            Self::Scenario(scenario) => Plan::draw(file, scenario, seed),
            Self::Plan(plan) => Ok((**plan).clone()),
        }
    }
}
