//! The disks of all hosts, as the simulator and its reports see them.
//!
//! **Invariant**: a path is `/<host>/<file>`; no operation on one host's files touches another's. A host's disk exists, empty and switched
//! on, from its first mention.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand_chacha::{ChaCha8Rng, rand_core::Rng};
use sha2::{Digest, Sha256};

use super::{
    fault::{Counters, Deeds, Fault, Operation},
    handle::locked,
    loss::Loss,
    volume::Volume,
};
use crate::chance::Chance;

/// All hosts' files. Clones are handles to the same files.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    volumes: Mutex<BTreeMap<String, Arc<Mutex<Volume>>>>,
    chance: Chance,
    journals: AtomicBool,
    entropy: Mutex<ChaCha8Rng>,
    sleeps: Mutex<u64>,
}

impl Disk {
    /// Empty disks. SQLite's own random numbers come from the stream `sqlite` of `seed`, what a host's faults leave open from `faults` and its
    /// name.
    pub fn new(seed: u64) -> Self {
        let chance = Chance::new(seed);
        Self(Arc::new(Inner {
            volumes: Mutex::default(),
            journals: AtomicBool::new(false),
            entropy: Mutex::new(chance.named("sqlite").rng()),
            chance: chance.named("faults"),
            sleeps: Mutex::new(0),
        }))
    }

    /// The path of `file` on `host`, to open a database by.
    pub fn path(host: &str, file: &str) -> String {
        format!("/{host}/{file}")
    }

    /// The machine is up (again). Returns the boot's number, which is higher than that of any boot before a crash.
    pub fn start(&self, host: &str) -> u64 {
        self.with(host, Volume::start)
    }

    /// The process is killed: its open files are dead and its locks void; what it wrote stays. The disk is off until [`Disk::start`].
    ///
    /// Drop the dead boot's connections before starting the next one.
    pub fn kill(&self, host: &str) {
        self.with(host, Volume::kill);
    }

    /// The machine loses its power: as [`Disk::kill`], and of the unsynced writes only those survive that `loss` and `draw` leave.
    pub fn power_loss(&self, host: &str, loss: Loss, draw: u64) {
        self.with(host, |volume| volume.power_loss(loss, draw));
    }

    /// The machine is replaced: as [`Disk::power_loss`], with no file left.
    pub fn wipe(&self, host: &str) {
        self.with(host, Volume::wipe);
    }

    /// Plans a power loss at the operation with this index (see [`Disk::operation_index`]): it fails, and so does everything after it,
    /// until [`Disk::start`]. The operation itself counts as one more unsynced write. An index that has passed means the next operation.
    pub fn cut_power_at(&self, host: &str, index: u64, loss: Loss, draw: u64) {
        self.with(host, |volume| volume.cut_power_at(index, loss, draw));
    }

    /// Whether the operation has come that [`Disk::cut_power_at`] was last called for.
    pub fn was_cut(&self, host: &str) -> bool {
        self.with(host, |volume| volume.was_cut())
    }

    /// Takes back a [`Disk::cut_power_at`] whose operation has not come.
    pub fn cancel_cut(&self, host: &str) {
        self.with(host, Volume::cancel_cut);
    }

    /// How many bytes the host's files hold in all.
    pub fn size(&self, host: &str) -> u64 {
        self.with(host, |volume| volume.held())
    }

    /// Whether the disk has power. False after a kill, a power loss, a wipe, or a planned cut whose operation came.
    pub fn is_on(&self, host: &str) -> bool {
        self.with(host, |volume| volume.is_on())
    }

    /// Adds a fault; it stays until [`Disk::lift`] with the number that this returns, or [`Disk::heal`].
    pub fn inject(&self, host: &str, fault: Fault) -> u64 {
        self.with(host, |volume| volume.faults().add(fault))
    }

    /// Takes one fault away and says what it did; nothing, when it was taken away before.
    pub fn lift(&self, host: &str, number: u64) -> Deeds {
        self.with(host, |volume| volume.faults().remove(number))
    }

    /// The time that [`Fault::Stall`] made this host's operations take since the last call. Whoever called SQLite has to let it pass before
    /// anybody learns of the result: the calls themselves are synchronous and cannot.
    pub fn take_owed(&self, host: &str) -> Duration {
        self.with(host, |volume| volume.faults().take_owed())
    }

    /// Flips `bits` bits, each of another byte as far as there are bytes, of what lies in the host's files, drawn evenly over all their bytes.
    /// Returns a number for [`Disk::flipped_bits_read`].
    pub fn flip(&self, host: &str, bits: u32, draw: u64) -> u64 {
        self.with(host, |volume| volume.flip(bits, draw))
    }

    /// How many bits of this [`Disk::flip`] were read before anything was written over them. What is only cached above the disk does not count.
    pub fn flipped_bits_read(&self, host: &str, number: u64) -> u64 {
        self.with(host, |volume| volume.flipped_bits_read(number))
    }

    /// From now on keeps a journal of the operations that change any host's disk, for [`Disk::journal`]. Before any host's first one.
    pub fn keep_journals(&self) {
        self.0.journals.store(true, Ordering::Relaxed);
    }

    /// The journals are complete: what comes now, such as the closing of files when a world is taken down, is not in them.
    pub fn end_journals(&self) {
        self.0.journals.store(false, Ordering::Relaxed);
        for host in self.hosts() {
            self.with(&host, |volume| volume.journal().end());
        }
    }

    /// The hosts whose disks were mentioned so far, by name.
    pub fn hosts(&self) -> Vec<String> {
        let volumes = self.0.volumes.lock();
        let volumes = volumes.unwrap_or_else(PoisonError::into_inner);
        volumes.keys().cloned().collect()
    }

    /// The operations that changed the host's disk, in order: the one at place `n` is what [`Disk::cut_power_at`] with `n` strikes, while
    /// [`Disk::keep_journals`] is in force.
    pub fn journal(&self, host: &str) -> Vec<Operation> {
        self.with(host, |volume| volume.journal().entries().to_vec())
    }

    /// Takes every fault, and a planned power cut that has not come yet, away.
    pub fn heal(&self, host: &str) {
        self.with(host, Volume::heal);
    }

    /// What the host's disk did and suffered.
    pub fn counters(&self, host: &str) -> Counters {
        self.with(host, |volume| volume.counters())
    }

    /// How many operations have changed the host's disk: the next one's index. Counts creations, writes, resizes, syncs and removals, not
    /// those that a [`Fault`] failed.
    pub fn operation_index(&self, host: &str) -> u64 {
        self.with(host, |volume| volume.operations())
    }

    /// The host's files in the order of their names, with their sizes in bytes.
    pub fn files(&self, host: &str) -> Vec<(String, usize)> {
        self.with(host, |volume| {
            volume
                .files()
                .map(|(name, bytes)| (name.to_owned(), bytes.len()))
                .collect()
        })
    }

    /// A file's bytes as written.
    pub fn contents(&self, host: &str, file: &str) -> Option<Vec<u8>> {
        self.with(host, |volume| {
            volume
                .files()
                .find(|(name, _)| *name == file)
                .map(|(_, bytes)| bytes.to_vec())
        })
    }

    /// A file's bytes as a power loss that keeps nothing unsynced would leave them.
    pub fn durable(&self, host: &str, file: &str) -> Option<Vec<u8>> {
        self.with(host, |volume| volume.durable(file))
    }

    /// Puts a whole, durable file there, in place of any other of its name.
    pub fn load(&self, host: &str, file: &str, bytes: Vec<u8>) {
        self.with(host, |volume| volume.load(file, bytes));
    }

    /// SHA-256 over the host's file names and bytes as written.
    pub fn digest(&self, host: &str) -> [u8; 32] {
        self.with(host, |volume| {
            let mut hash = Sha256::new();
            for (name, bytes) in volume.files() {
                hash.update((name.len() as u64).to_le_bytes());
                hash.update(name.as_bytes());
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
            hash.finalize().into()
        })
    }

    /// How often SQLite asked to sleep. Always zero when its busy timeout is: a sleep returns at once, and a wait that does not wait is a bug.
    pub fn sleeps(&self) -> u64 {
        *self.0.sleeps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slept(&self) {
        *self.0.sleeps.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    pub(super) fn fill_entropy(&self, bytes: &mut [u8]) {
        let mut stream = self
            .0
            .entropy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        stream.fill_bytes(bytes);
    }

    pub(super) fn volume(&self, host: &str) -> Arc<Mutex<Volume>> {
        let mut volumes = self
            .0
            .volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(volume) = volumes.get(host) {
            return volume.clone();
        }
        let mut volume = Volume::new(&self.0.chance.named(host));
        if self.0.journals.load(Ordering::Relaxed) {
            volume.journal().begin();
        }
        let volume = Arc::new(Mutex::new(volume));
        volumes.insert(host.to_owned(), volume.clone());
        volume
    }

    fn with<R>(&self, host: &str, act: impl FnOnce(&mut Volume) -> R) -> R {
        act(&mut locked(&self.volume(host)))
    }
}
