//! Runs one scenario with one seed, or a range of seeds, and prints what became of each: for whoever works on a scenario or an oracle.
//!
//! `cargo run -p rehearsal-sim --example run_scenario -- FILE [SEED | FROM..TO] [pipes|turmoil|loopback] [record|trace]`
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{path::PathBuf, time::Duration};

use rehearsal_sim::{
    appointments::Appointments, engine::Engine, plan::Source, run, verdict::Verdict,
};

/// Real time that one run may take.
const LIMIT: Duration = Duration::from_mins(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().ok_or("which scenario?")?);
    let seeds = arguments.next().unwrap_or_else(|| "0".to_owned());
    let (from, to) = match seeds.split_once("..") {
        Some((from, to)) => (from.parse()?, to.parse()?),
        None => (seeds.parse()?, seeds.parse::<u64>()? + 1),
    };
    let engine = match arguments.next().as_deref() {
        None | Some("pipes") => Engine::Pipes,
        Some("turmoil") => Engine::Turmoil,
        Some("loopback") => Engine::Loopback,
        Some(other) => return Err(format!("{other}: no such engine").into()),
    };
    let detail = arguments.next().unwrap_or_default();
    let source = Source::<Appointments>::load(&file)?;
    for seed in from..to {
        let plan = source.plan(&file, seed)?;
        match run::in_child(&plan, engine, LIMIT, detail == "trace") {
            Err(error) => println!("seed {seed}: {error}"),
            Ok(outcome) => {
                let record = outcome.record;
                println!(
                    "seed {seed}: {:?} {} virtual ms, digest {}",
                    record.verdict,
                    record.virtual_ms,
                    &record.digest[..12]
                );
                for oracle in record
                    .oracles
                    .iter()
                    .filter(|oracle| oracle.verdict != Verdict::Pass)
                {
                    println!(
                        "  {:?} {} checked {}: {:?}",
                        oracle.verdict, oracle.name, oracle.checked, oracle.violations
                    );
                }
                for condition in record
                    .slo
                    .iter()
                    .chain(&record.expect)
                    .filter(|condition| condition.verdict != Verdict::Pass)
                {
                    println!(
                        "  {:?} {} {}: {:?}",
                        condition.verdict, condition.name, condition.target, condition.actual
                    );
                }
                for fault in record
                    .faults
                    .iter()
                    .filter(|fault| fault.effect.values().all(|count| *count == 0))
                {
                    println!("  inert: {} at {} ms", fault.kind, fault.at_ms);
                }
                if detail == "record" {
                    println!("{}", serde_json::to_string_pretty(&record)?);
                }
                if let Some(trace) = outcome.trace {
                    println!("{trace}");
                }
            }
        }
    }
    Ok(())
}
