//! What a report says about real time: how long answers took, and whether the intended load was offered.
//!
//! **Invariant**: what differs between two runs of the same inputs stands here and nowhere else.

use std::collections::BTreeMap;

use crate::{
    report::SideLatency,
    run::{LATE_NS, Observations, Punctuality, Time},
};

/// Real time, which no two runs share.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Timing {
    /// The whole command, in milliseconds.
    pub wall_ms: u64,
    /// From the first sending to the last answer, in milliseconds, by running side.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub run_ms: BTreeMap<&'static str, u64>,
    /// How long answers of running services took, by side.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latency_ms: BTreeMap<&'static str, SideLatency>,
    /// How well the intended times were kept, by side. Nothing at full speed, which intends none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub punctuality: BTreeMap<&'static str, Punctuality>,
    /// How many reads were written a second time, by side: the target closed the connection that they went out on before it answered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resent: BTreeMap<&'static str, u64>,
    /// What a reader should know about the load.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl SideLatency {
    /// The latencies of a side.
    pub(crate) fn of(side: &Observations) -> Self {
        Self {
            response: side.latency.response(),
            service: side.latency.service(),
            send_delay: side.latency.late(),
        }
    }
}

impl Timing {
    /// The real time of both sides; nothing for simulated ones.
    pub(crate) fn of(sides: [&Observations; 2]) -> Self {
        let mut timing = Self::default();
        for side in sides.into_iter().filter(|side| side.time == Time::Real) {
            let name = side.side.name();
            timing.run_ms.insert(name, side.duration_ns / 1_000_000);
            timing.latency_ms.insert(name, SideLatency::of(side));
            if let Some(kept) = side.punctuality {
                timing.punctuality.insert(name, kept);
                timing.notes.extend(behind(side, &kept));
                if kept.fell_behind() {
                    timing.notes.push(format!(
                        "{name} did not keep up with the pace: the median answer came {} ms after its request's time at the beginning, and {} ms at the end",
                        kept.first_ms, kept.last_ms
                    ));
                }
            }
            if side.resent > 0 {
                timing.resent.insert(name, side.resent);
                timing.notes.push(format!(
                    "{} requests that change nothing were sent to {name} twice: it closed the kept connections that they went out on before it answered",
                    side.resent
                ));
            }
        }
        timing
    }
}

/// What there is to say about a pace that was not kept, and whose doing it was.
fn behind(side: &Observations, kept: &Punctuality) -> Option<String> {
    if kept.kept_up() {
        return None;
    }
    let own = kept.late - kept.waited - kept.held_back;
    let mut note = format!(
        "the intended pace was not kept with {}: {} of {} requests ({:.1} %) left more than {} ms after their time, p99 {} ms late",
        side.side.name(),
        kept.late,
        kept.sent,
        kept.late_share() * 100.0,
        LATE_NS / 1_000_000,
        side.latency.late().p99,
    );
    let reasons = [
        (
            kept.waited,
            "because an earlier answer that they depend on was not there yet: the target did not keep up",
        ),
        (
            kept.held_back,
            "because as many requests as allowed were under way: the target did not keep up, and the load was that of a closed loop, not of the capture",
        ),
        (
            own,
            "because the replaying machine was too busy to send them in time",
        ),
    ];
    let told = reasons.into_iter().filter(|(count, _)| *count > 0);
    for (count, reason) in told {
        note = format!("{note}; {count} {reason}");
    }
    Some(note)
}
