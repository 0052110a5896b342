//! Every kind of fault once where it is felt, and once where it changes nothing: there the run is inconclusive, never a pass.

use rehearsal_sim::{
    fault::KindName,
    verdict::{FaultRecord, Record, Verdict},
};

use crate::appointments::record;

const HEAD: &str = "format = \"rehearsal.scenario/1\"\nname = \"effects\"\nquestion = \"Is it felt?\"\n\
                    [workload]\nrequests = 40\narrival = { every_ms = 100 }\n";
/// The service is down from 8 s to 14 s, when every request has long been answered.
const DOWN: &str = "[[faults]]\nkind = \"kill\"\ntarget = \"service\"\nat_s = 8\ndown_s = 6\n";

fn run(tables: &str) -> Record {
    record(&format!("{HEAD}{tables}"), 1)
}

fn fault(text: &str) -> String {
    format!("[[faults]]\n{}\n", text.replace("; ", "\n"))
}

fn count(fault: &FaultRecord) -> u64 {
    fault.effect.values().sum()
}

/// Where each kind is felt amid the traffic, and where it changes nothing: at rest, on a host that is down anyway, or as what is there already.
fn cases(name: KindName) -> (&'static str, &'static str) {
    use KindName as K;
    const WITHIN: &str = "target = 'service'; at_s = 9; down_s = 2";
    const AMID: &str = "target = 'service'; at_s = 1; down_s = 0.5";
    const BUSY: &str = "target = 'service'; at_s = 1; for_s = 2";
    match name {
        K::Crash | K::Kill | K::PowerLoss => (AMID, WITHIN),
        // It empties a disk also where the host is down.
        K::Wipe => (
            "target = 'provider-acme'; at_s = 1; down_s = 0.5",
            "target = 'provider-acme'; when = { event = 'attempt_started', nth = 4000 }; down_s = 1",
        ),
        K::CrashLoop => (
            "target = 'service'; at_s = 1; down_s = 0.2; up_s = 0.2; crashes = 2",
            "target = 'service'; at_s = 9; down_s = 0.2; up_s = 0.2; crashes = 2",
        ),
        K::Stop => (
            AMID,
            "target = 'service'; at_s = 9; down_s = 2; grace_s = 0.5",
        ),
        K::Pause | K::Partition | K::Hold => {
            (BUSY, "target = 'provider-acme'; at_s = 6; for_s = 1")
        }
        K::Slow => (
            "target = 'service'; at_s = 1; for_s = 2; delay = { fixed_ms = 20 }",
            "target = 'provider-acme'; at_s = 6; for_s = 1; delay = { fixed_ms = 20 }",
        ),
        K::Skew | K::Step => (
            "target = 'service'; at_s = 1; for_s = 2; offset_s = -1",
            "target = 'service'; at_s = 1; for_s = 2; offset_s = 0",
        ),
        K::Drift => (
            "target = 'service'; at_s = 1; for_s = 2; ppm = 500",
            "target = 'service'; at_s = 1; for_s = 2; ppm = 0",
        ),
        K::Latency => (
            "target = 'service'; at_s = 1; for_s = 2; latency = { uniform_ms = [2, 6] }",
            "target = 'service'; at_s = 1; for_s = 2; latency = { uniform_ms = [1, 5] }",
        ),
        K::Loss => (
            "target = 'service'; at_s = 1; for_s = 2; rate = 0.3",
            "target = 'provider-acme'; at_s = 6; for_s = 1; rate = 0.3",
        ),
        K::Reset => (
            "target = 'service'; at_s = 1; for_s = 2; after_segments = 3",
            "target = 'service'; at_s = 1; for_s = 2; after_bytes = 10000000",
        ),
        K::Bandwidth | K::SlowReads => (
            "target = 'service'; at_s = 1; for_s = 2; bytes_per_s = 2000",
            "target = 'service'; at_s = 1; for_s = 2; bytes_per_s = 100000000",
        ),
        K::FsyncError | K::Eio | K::Enospc => (BUSY, "target = 'service'; at_s = 9; for_s = 1"),
        K::Stall => (
            "target = 'service'; at_s = 1; for_s = 2; each_ms = 1",
            "target = 'service'; at_s = 9; for_s = 1; each_ms = 1",
        ),
        K::BitRot => (
            "target = 'service'; at_s = 6; for_s = 12; bits = 4000",
            // Whenever a bit has flipped on a disk, somebody may read it later: only one that never flips is sure to be inert.
            "target = 'service'; when = { event = 'attempt_started', nth = 4000 }; for_s = 1",
        ),
    }
}

#[test]
fn every_kind_is_felt_somewhere_and_inert_elsewhere() {
    for name in KindName::ALL {
        let (felt, inert) = cases(*name);
        let table = |text: &str| fault(&format!("kind = '{}'; {text}", name.name()));
        // By time: the fault that is looked at comes first where it is felt, and last where it is not.
        let record = run(&format!("{}{DOWN}", table(felt)));
        assert!(
            count(&record.faults[0]) > 0,
            "{name:?}: {:?}",
            record.faults
        );
        let record = run(&format!("{DOWN}{}", table(inert)));
        let (effects, last) = (&record.faults, record.faults.iter().map(count));
        assert_eq!(last.min(), Some(0), "{name:?}: {effects:?}");
        assert_eq!(
            record.verdict,
            Verdict::Inconclusive,
            "{name:?}: {effects:?}"
        );
    }
}

#[test]
fn a_fault_whose_moment_never_comes_is_inert() {
    for text in [
        "kind = 'kill'; target = '@event'; when = { event = 'attempt_started', nth = 4000 }; down_s = 1",
        "kind = 'power_loss'; target = 'service'; at_operation = 4000000; down_s = 1",
    ] {
        let record = run(&fault(text));
        assert_eq!(count(&record.faults[0]), 0, "{text}: {:?}", record.faults);
        assert_eq!(record.verdict, Verdict::Inconclusive, "{text}");
    }
}

#[test]
fn every_fault_of_a_provider_is_felt_somewhere_and_inert_elsewhere() {
    for fault in [
        "errors = [{ status = 503, rate = 0.4 }]",
        "hang_rate = 0.4",
        "processed_but_unanswered = 0.4",
        "garbled = [{ how = 'not_json', rate = 0.4 }]",
        "listing_lag = { rate = 1, lag = { fixed_ms = 60000 } }",
        "latency = { fixed_ms = 300 }",
    ] {
        let window = |from: u32, to: u32| {
            let provider =
                "[service]\nattempt_timeout_ms = 1000\nbackoff_cap_ms = 500\n[providers.acme]\n";
            run(&format!(
                "{provider}windows = [{{ from_s = {from}, to_s = {to}, {fault} }}]\n"
            ))
        };
        // The auditor lists every 30 s, so what is booked late is missed there.
        let felt = window(1, 35);
        assert!(count(&felt.faults[0]) > 0, "{fault}: {:?}", felt.faults);
        let inert = window(500, 501);
        assert_eq!(count(&inert.faults[0]), 0, "{fault}: {:?}", inert.faults);
        assert_eq!(inert.verdict, Verdict::Inconclusive, "{fault}");
    }
    let usual = "[providers.acme]\nwindows = [{ from_s = 0, to_s = 9, latency = { uniform_ms = [10, 50] } }]\n";
    let record = run(usual);
    assert_eq!(count(&record.faults[0]), 0, "{:?}", record.faults);
    assert_eq!(record.verdict, Verdict::Inconclusive);
}
