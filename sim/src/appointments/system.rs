//! [`Appointments`]: the harness's view of it all.
//!
//! **Invariant**: nothing is decided here; each method hands over to the module that its answer comes from.

use std::collections::BTreeMap;

use super::{
    draw, effects,
    event::Event,
    history::given,
    hosts, measures, moments,
    operation::Operation,
    oracles,
    planted::{Defect, Planted},
    points, simpler, summary,
    tables::Tables,
    tally::Tally,
    tell,
};
use crate::{
    chance::Chance,
    fault::Effect,
    oracle::Oracle,
    point::{Hits, Point},
    scoreboard::Plantable,
    show::Told,
    system::{Deployment, Figures, Stage, Step, System, Tables as _},
    trace::Trace,
};

/// The appointment service, its providers and its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appointments;

impl System for Appointments {
    type Tables = Tables;
    type Operation = Operation;
    type Event = Event;

    fn draw(tables: &mut Tables, chance: &Chance) -> Result<Vec<Step<Operation>>, String> {
        draw::draw(tables, chance)
    }

    fn names(tables: &Tables) -> Vec<String> {
        tables
            .hosts()
            .into_iter()
            .chain(tables.topology.client_hosts())
            .collect()
    }

    fn deploy(
        tables: &Tables,
        steps: &[Step<Operation>],
        stage: Stage<Event>,
    ) -> Deployment<Event> {
        hosts::deploy(tables, steps, stage)
    }

    fn trigger(event: &Event) -> Option<&'static str> {
        moments::name(event)
    }

    fn trigger_names() -> Vec<&'static str> {
        moments::names()
    }

    fn is_of_clients(name: &str) -> bool {
        moments::CLIENTS.contains(&name)
    }

    fn oracles() -> Vec<Oracle<Event>> {
        oracles::all()
    }

    fn points() -> Vec<Point> {
        points::all()
    }

    fn hit(trace: &Trace<Event>) -> Hits {
        points::hit(trace)
    }

    fn measure_names() -> Vec<&'static str> {
        measures::names()
    }

    fn figures(trace: &Trace<Event>) -> Figures {
        let tally = Tally::of(trace);
        Figures {
            measures: measures::of(&tally),
            summary: summary::of(&tally, given(trace).and_then(Tables::defect)),
        }
    }

    fn own_faults(tables: &Tables, trace: &Trace<Event>) -> Vec<(String, u64, Effect)> {
        effects::of(tables, trace)
    }

    fn plantable() -> Vec<Plantable> {
        Defect::ALL
            .iter()
            .map(|defect| Plantable {
                name: defect.name(),
                sentence: defect.sentence(),
                traps: defect.traps(),
                hunt: defect.hunt(),
            })
            .collect()
    }

    fn plant(tables: &mut Tables, name: &str) -> Result<(), String> {
        let defect = Defect::named(name)?;
        tables.planted = Some(Planted { defect });
        Ok(())
    }

    fn about(operation: &Operation) -> Option<&str> {
        match operation {
            Operation::Submit(submission) => Some(&submission.id),
            Operation::Cancel { id, .. } | Operation::Read { id } => Some(id),
            Operation::Probe { .. } => None,
        }
    }

    fn simpler(tables: &Tables, steps: &[Step<Operation>]) -> Vec<Tables> {
        simpler::of(tables, steps)
    }

    fn tell(trace: &Trace<Event>) -> BTreeMap<u64, Told> {
        tell::of(trace)
    }
}
