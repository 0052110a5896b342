//! The trace: what happened in a run, in order. The hinge of the harness: the world writes it, oracles read it, neither knows the other.
//!
//! **Invariant**: entries are ordered by (virtual time, ordinal), and the digest is a function of the entries alone.
//! It holds no text that was parsed back and no reference into a running system.

mod canonical;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{scenario::Network, trigger::Watch};

/// Bytes that are hashed at once: the hash is faster over many, and these stay in the processor's cache.
const CHUNK: usize = 16 << 10;

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.trace/1";

/// Time since the run's start, in nanoseconds, as the engine last set it. Shared by everything that stamps entries.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Time since the run's start.
    pub fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Sets the time. Only an engine does this.
    pub fn set(&self, elapsed: std::time::Duration) {
        self.0.store(
            u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry<E> {
    /// Position in the trace, from 0.
    pub ordinal: u64,
    /// Time since the run's start, in microseconds.
    pub at_us: u64,
    /// Where: a host's name, or `harness`.
    pub host: Arc<str>,
    /// The host's boot, from 1; 0 for the harness.
    pub boot: u32,
    /// What.
    pub event: Event<E>,
}

/// What can happen: to the world, or in the system under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event<E> {
    /// The run entered a phase.
    Phase(Phase),
    /// A host booted.
    Booted,
    /// A host died.
    Died,
    /// A planned fault began.
    FaultStarted {
        /// The fault's position in the plan.
        fault: usize,
    },
    /// A planned fault ended, with what it did.
    FaultEnded {
        /// The fault's position in the plan.
        fault: usize,
        /// What it did, by name; all zero means that it was inert.
        effect: std::collections::BTreeMap<String, u64>,
    },
    /// The convergence phase hit its bound with the system still busy.
    NotConverged,
    /// The network that the run was made with, where it is not the default one: a system's oracles may have to allow for it.
    Network(Box<Network>),
    /// What a host has standing: before the first operation, and at the end. Engines that cannot count write none.
    Standing(Standing),
    /// Something of the system under test.
    System(E),
}

/// What a host holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Tasks that were started through the host and have not ended.
    pub tasks: u64,
    /// Sockets that are open.
    pub connections: u64,
    /// Of these, those whose peer has told that it is gone.
    pub abandoned: u64,
}

/// A run's phases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Operations and faults run.
    Safety,
    /// Every fault is undone; the system must become quiet within a bound.
    Converge,
    /// Clients take a last look.
    Observe,
    /// The final snapshot was taken.
    End,
}

/// A whole run, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace<E> {
    /// In order.
    pub entries: Vec<Entry<E>>,
}

impl<E> Trace<E> {
    /// The system's own events, with their entries.
    pub fn system(&self) -> impl Iterator<Item = (&Entry<E>, &E)> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Event::System(event) => Some((entry, event)),
            _ => None,
        })
    }
}

impl<E: Serialize> Trace<E> {
    /// SHA-256 over the ordered entries in a canonical form, as 64 hex digits.
    ///
    /// # Panics
    /// When an event refuses to be serialized, which is a defect of its type.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut bytes = Vec::with_capacity(2 * CHUNK);
        for entry in &self.entries {
            canonical::write(entry, &mut bytes).expect("an event is plain data");
            if bytes.len() >= CHUNK {
                hash.update(&bytes);
                bytes.clear();
            }
        }
        hash.update(&bytes);
        format!("{:x}", hash.finalize())
    }
}

/// Where a running world writes. Clones write to the same trace.
#[derive(Debug)]
pub struct Recorder<E> {
    clock: Clock,
    entries: Arc<Mutex<Vec<Entry<E>>>>,
    watch: Option<Watch<E>>,
}

impl<E> Clone for Recorder<E> {
    fn clone(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            entries: self.entries.clone(),
            watch: self.watch.clone(),
        }
    }
}

impl<E> Recorder<E> {
    /// An empty trace, stamped by `clock`, with room for `expected` entries: growing by doubling would touch twice the memory.
    pub fn new(clock: Clock, expected: usize) -> Self {
        Self {
            clock,
            entries: Arc::new(Mutex::new(Vec::with_capacity(expected))),
            watch: None,
        }
    }

    /// The recorder with `watch` over what is written from now on.
    #[must_use]
    pub(crate) fn watched(self, watch: Option<Watch<E>>) -> Self {
        Self { watch, ..self }
    }

    /// Writes one entry, stamped with the current virtual time.
    pub fn record(&self, host: &Arc<str>, boot: u32, event: Event<E>) {
        if let (Some(watch), Event::System(event)) = (&self.watch, &event) {
            watch.see(host, event);
        }
        let at_us = u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut entries = self.entries.lock().expect("no panic while recording");
        let ordinal = entries.len() as u64;
        crate::interpose::note_entry();
        entries.push(Entry {
            ordinal,
            at_us,
            host: host.clone(),
            boot,
            event,
        });
    }

    /// A recorder for one boot of one host.
    pub fn at(&self, host: &str, boot: u32) -> HostRecorder<E> {
        HostRecorder {
            recorder: self.clone(),
            host: Arc::from(host),
            boot,
        }
    }

    /// Takes what was written, leaving the recorder empty.
    pub fn take(&self) -> Trace<E> {
        Trace {
            entries: std::mem::take(&mut *self.entries.lock().expect("no panic while recording")),
        }
    }
}

/// A [`Recorder`] that knows where it is.
#[derive(Debug)]
pub struct HostRecorder<E> {
    recorder: Recorder<E>,
    host: Arc<str>,
    boot: u32,
}

impl<E> Clone for HostRecorder<E> {
    fn clone(&self) -> Self {
        Self {
            recorder: self.recorder.clone(),
            host: self.host.clone(),
            boot: self.boot,
        }
    }
}

impl<E> HostRecorder<E> {
    /// Time since the run's start: no host's clock.
    pub fn elapsed(&self) -> std::time::Duration {
        self.recorder.clock.elapsed()
    }

    /// Writes one of the system's events.
    pub fn record(&self, event: E) {
        self.recorder
            .record(&self.host, self.boot, Event::System(event));
    }

    /// Something happened that is no entry of its own, but that a fault may wait for by this name.
    pub fn notice(&self, name: &str) {
        if let Some(watch) = &self.recorder.watch {
            watch.notice(&self.host, name);
        }
    }

    /// Writes one of the world's events.
    pub fn world(&self, event: Event<E>) {
        self.recorder.record(&self.host, self.boot, event);
    }
}

/// FNV-1a, 64 bits: to tell two texts of one run apart, not to withstand an attacker.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(events: &[u8]) -> Trace<u8> {
        let recorder = Recorder::new(Clock::default(), 0);
        let host = recorder.at("a", 1);
        for event in events {
            host.record(*event);
        }
        recorder.take()
    }

    #[test]
    fn the_digest_sees_content_and_order() {
        assert_eq!(trace(&[1, 2]).digest(), trace(&[1, 2]).digest());
        assert_ne!(trace(&[1, 2]).digest(), trace(&[2, 1]).digest());
        assert_ne!(trace(&[1, 2]).digest(), trace(&[1]).digest());
    }

    #[test]
    fn fnv_is_the_published_function() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
