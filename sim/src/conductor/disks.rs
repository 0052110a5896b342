//! Faults of disks: handed to the simulated disk when they start, taken back when they end, with what they did.
//!
//! **Invariant**: a power cut that waits for an operation is armed before any host runs, strikes once at most, and is disarmed when the safety
//! phase ends. What a host's death means to its tasks and connections is the engine's business.

use std::collections::BTreeMap;

use crate::{
    disk::{self, Counters, Disk, Operation},
    fault::{Effect, OnDisk},
    system::Storage,
};

/// The disks of a run, as the conductor sees them.
pub(crate) struct Disks {
    /// None where files are real; there, a run with a fault of a disk is refused before it starts.
    disk: Option<Disk>,
    started: BTreeMap<usize, Started>,
    /// Faults that wait for an operation, and on which host.
    armed: BTreeMap<usize, String>,
}

/// What to take back, or to measure against.
enum Started {
    /// Faults on the disk, by their numbers there.
    Faults(Vec<u64>),
    /// Rot, by its number there.
    Rot(u64),
    /// The counters before a power loss.
    Loss(Counters),
}

impl Disks {
    pub(crate) fn new(storage: &Storage) -> Self {
        let disk = match storage {
            Storage::Simulated(disk) => Some(disk.clone()),
            Storage::Folder(_) => None,
        };
        Self {
            disk,
            started: BTreeMap::new(),
            armed: BTreeMap::new(),
        }
    }

    /// Arms fault `number` if it is a power cut at an operation; says whether it is.
    pub(super) fn arm(&mut self, number: usize, host: &str, on: &OnDisk) -> bool {
        let OnDisk::PowerLoss {
            loss,
            draw,
            operation: Some(operation),
        } = on
        else {
            return false;
        };
        if let Some(disk) = &self.disk {
            disk.cut_power_at(host, *operation, *loss, *draw);
            let before = Started::Loss(disk.counters(host));
            self.started.insert(number, before);
            self.armed.insert(number, host.to_owned());
        }
        true
    }

    /// Whether a fault still waits for its operation.
    pub(super) fn are_armed(&self) -> bool {
        !self.armed.is_empty()
    }

    /// Whether an operation has come that a fault was waiting for: its host has no power, but does not know it yet.
    pub(super) fn are_cut(&self) -> bool {
        let cut = |disk: &Disk| self.armed.values().any(|host| disk.was_cut(host));
        !self.armed.is_empty() && self.disk.as_ref().is_some_and(cut)
    }

    /// The faults whose operation has come, once each.
    pub(super) fn take_cut(&mut self) -> Vec<usize> {
        let Some(disk) = &self.disk else {
            return Vec::new();
        };
        let cut = self.armed.iter().filter(|(_, host)| disk.was_cut(host));
        let cut: Vec<usize> = cut.map(|(number, _)| *number).collect();
        for number in &cut {
            self.armed.remove(number);
        }
        cut
    }

    /// Gives up waiting; returns the faults whose operation has not come.
    pub(super) fn disarm(&mut self) -> Vec<usize> {
        let armed = std::mem::take(&mut self.armed);
        if let Some(disk) = &self.disk {
            for host in armed.values() {
                disk.cancel_cut(host);
            }
        }
        armed.into_keys().collect()
    }

    /// The run is over: what its taking down does to the disks is no part of it.
    pub(super) fn finish(&self) {
        if let Some(disk) = &self.disk {
            disk.end_journals();
        }
    }

    /// Starts a fault that has come by its time.
    pub(super) fn start(&mut self, number: usize, host: &str, on: &OnDisk) {
        let Some(disk) = &self.disk else { return };
        let inject = |faults: &[disk::Fault]| {
            let numbers = faults.iter().map(|fault| disk.inject(host, *fault));
            Started::Faults(numbers.collect())
        };
        let flaky = |operation: &Operation, rate: &f64| disk::Fault::Flaky {
            operation: *operation,
            rate: *rate,
        };
        let started = match on {
            OnDisk::PowerLoss { loss, draw, .. } => {
                let before = disk.counters(host);
                disk.power_loss(host, *loss, *draw);
                Started::Loss(before)
            }
            OnDisk::FsyncError { rate } => inject(&[flaky(&Operation::Sync, rate)]),
            OnDisk::Eio { operation, rate } => match operation {
                Some(operation) => inject(&[flaky(operation, rate)]),
                None => inject(&[Operation::Read, Operation::Write].map(|one| flaky(&one, rate))),
            },
            OnDisk::Enospc { room } => {
                let bytes = disk.size(host).saturating_add(*room);
                inject(&[disk::Fault::Capacity { bytes }])
            }
            OnDisk::Stall { each_ms } => inject(&[disk::Fault::Stall {
                each: std::time::Duration::from_millis(*each_ms),
            }]),
            OnDisk::BitRot { bits, draw } => Started::Rot(disk.flip(host, *bits, *draw)),
        };
        self.started.insert(number, started);
    }

    /// Ends a fault and says what it did.
    pub(super) fn stop(&mut self, number: usize, host: &str, on: &OnDisk) -> Effect {
        let (Some(disk), Some(started)) = (&self.disk, self.started.remove(&number)) else {
            return Effect::new();
        };
        match started {
            Started::Loss(before) => {
                let after = disk.counters(host);
                effect([
                    ("lost_writes", after.lost_writes - before.lost_writes),
                    ("torn_writes", after.torn_writes - before.torn_writes),
                ])
            }
            Started::Rot(number) => {
                effect([("flipped_bits_read", disk.flipped_bits_read(host, number))])
            }
            Started::Faults(numbers) => {
                let deeds: Vec<_> = numbers
                    .into_iter()
                    .map(|number| disk.lift(host, number))
                    .collect();
                let struck = deeds.iter().map(|deeds| deeds.struck).sum();
                let stalled: std::time::Duration = deeds.iter().map(|deeds| deeds.stalled).sum();
                match on {
                    OnDisk::FsyncError { .. } => effect([("syncs_failed", struck)]),
                    OnDisk::Enospc { .. } => effect([("writes_refused", struck)]),
                    OnDisk::Stall { .. } => effect([
                        ("operations_stalled", struck),
                        (
                            "stalled_ms",
                            u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX),
                        ),
                    ]),
                    _ => effect([("operations_failed", struck)]),
                }
            }
        }
    }
}

fn effect<const N: usize>(counts: [(&str, u64); N]) -> Effect {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}
