//! One host's files: names, bytes, locks, power.
//!
//! **Invariant**: an operation of an earlier boot, or without power, fails and changes nothing. Bytes are durable once their file was synced;
//! names and removals, once the directory was: with the first sync of a new file, and with a removal that asks for it. Everything else is
//! decided by the loss model when the power goes.
//!
//! Nothing here waits: a lock that is taken is busy, a fault fails at once.

use std::{collections::BTreeMap, ffi::c_int, sync::Arc};

use libsqlite3_sys as sqlite;

use super::{
    fault::{Counters, Faults, Operation},
    image::{Cost, Image},
    journal::Journal,
    lock::{FileLocks, Level},
    loss::{Fate, Loss, Shape},
    memory::Index,
    names::Names,
    rot::Rot,
};
use crate::chance::Chance;

/// A host's disk. Switched on when new.
#[derive(Debug)]
pub(super) struct Volume {
    on: bool,
    boot: u64,
    files: BTreeMap<u64, File>,
    names: Names,
    next_id: u64,
    sequence: u64,
    operations: u64,
    journal: Journal,
    cut: Option<Cut>,
    was_cut: bool,
    faults: Faults,
    rot: Rot,
    counters: Counters,
}

#[derive(Debug, Default)]
struct File {
    image: Image,
    locks: FileLocks,
    index: Option<Arc<Index>>,
    handles: u32,
}

/// When the power goes, and how.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: u64,
    loss: Loss,
    draw: u64,
}

/// Which boot and which file a handle was opened for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) boot: u64,
    pub(super) handle: u64,
    pub(super) file: u64,
}

impl Volume {
    /// Empty; what its faults leave open is drawn from `chance`.
    pub(super) fn new(chance: &Chance) -> Self {
        Self {
            on: true,
            boot: 1,
            files: BTreeMap::new(),
            names: Names::default(),
            next_id: 1,
            sequence: 0,
            operations: 0,
            journal: Journal::default(),
            cut: None,
            was_cut: false,
            faults: Faults::new(chance.rng()),
            rot: Rot::default(),
            counters: Counters::default(),
        }
    }

    // Power.

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Begins a boot and returns its number; the running one, when the power is on already.
    pub(super) fn start(&mut self) -> u64 {
        self.on = true;
        self.boot
    }

    /// Ends the boot: its handles are dead, its locks and shared memory gone; what was written stays written.
    pub(super) fn kill(&mut self) {
        self.on = false;
        self.boot += 1;
        for file in self.files.values_mut() {
            file.locks = FileLocks::default();
            file.index = None;
            file.handles = 0;
        }
        self.collect();
    }

    /// As [`Volume::kill`], and the unsynced changes meet the fate that `loss` and `draw` give them.
    pub(super) fn power_loss(&mut self, loss: Loss, draw: u64) {
        self.kill();
        self.cut = None;
        let files = self.files.values().flat_map(|file| file.image.pending());
        let names = self
            .names
            .pending()
            .map(|sequence| (sequence, Shape::OF_A_NAME));
        let pending: BTreeMap<u64, Shape> = files.chain(names).collect();
        let shapes: Vec<Shape> = pending.values().copied().collect();
        let fates: BTreeMap<u64, Fate> =
            pending.into_keys().zip(loss.fates(&shapes, draw)).collect();
        self.counters.lost_writes += self.names.lose(|sequence| fates[&sequence]);
        for file in self.files.values_mut() {
            let Cost {
                lost_writes,
                lost_bytes,
                torn_writes,
            } = file.image.lose(|sequence| fates[&sequence]);
            self.counters.lost_writes += lost_writes;
            self.counters.lost_bytes += lost_bytes;
            self.counters.torn_writes += torn_writes;
        }
        self.collect();
    }

    /// As [`Volume::power_loss`], and nothing is left.
    pub(super) fn wipe(&mut self) {
        self.kill();
        self.cut = None;
        self.files.clear();
        self.names = Names::default();
    }

    pub(super) fn cut_power_at(&mut self, at: u64, loss: Loss, draw: u64) {
        self.cut = Some(Cut { at, loss, draw });
        self.was_cut = false;
    }

    /// Whether the cut that was planned last has come.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut
    }

    pub(super) fn cancel_cut(&mut self) {
        self.cut = None;
    }

    pub(super) fn held(&self) -> u64 {
        size(&self.files)
    }

    // Faults and counts.

    pub(super) fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Flips `bits` bits of what lies in the files, synced or not, and returns the number of this rot.
    pub(super) fn flip(&mut self, bits: u32, draw: u64) -> u64 {
        let names = self.names.iter().map(|(_, file)| file).collect::<Vec<_>>();
        let sizes = names
            .into_iter()
            .map(|file| (file, self.files[&file].image.bytes().len()));
        let (number, places) = self.rot.begin(bits, draw, &sizes.collect::<Vec<_>>());
        for place in places {
            self.file(place.file).image.flip(place.offset, place.bit);
        }
        number
    }

    /// How many of the bits of this rot have been read, wrong as they were.
    pub(super) fn flipped_bits_read(&self, number: u64) -> u64 {
        self.rot.read(number)
    }

    pub(super) fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
        self.cut = None;
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    // Whole files, past all locks.

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names
            .iter()
            .map(|(name, file)| (name, self.files[&file].image.bytes()))
    }

    pub(super) fn durable(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.names.find_durable(name)?;
        Some(self.files[&file].image.durable())
    }

    pub(super) fn load(&mut self, name: &str, bytes: Vec<u8>) {
        let id = self.id();
        let file = File {
            image: Image::synced(bytes),
            ..File::default()
        };
        self.files.insert(id, file);
        self.sequence += 1;
        self.names.change(self.sequence, name, Some(id));
        self.names.sync();
        self.collect();
    }

    // What a handle asks for.

    /// Opens `name`, creating it if `create`; `exclusive` refuses one that exists.
    pub(super) fn open(
        &mut self,
        name: &str,
        create: bool,
        exclusive: bool,
    ) -> Result<Ticket, c_int> {
        if !self.on {
            self.counters.refused += 1;
            return Err(sqlite::SQLITE_CANTOPEN);
        }
        let file = match self.names.find(name) {
            Some(_) if exclusive && create => return Err(sqlite::SQLITE_CANTOPEN),
            Some(file) => file,
            None if create => self.change(Operation::Create, 0, |volume, sequence| {
                let id = volume.id();
                volume.files.insert(id, File::default());
                volume.names.change(sequence, name, Some(id));
                Ok(id)
            })?,
            None => return Err(sqlite::SQLITE_CANTOPEN),
        };
        self.file(file).handles += 1;
        Ok(Ticket {
            boot: self.boot,
            handle: self.id(),
            file,
        })
    }

    pub(super) fn close(&mut self, ticket: Ticket) {
        if ticket.boot == self.boot {
            let file = self.file(ticket.file);
            file.locks.lower(ticket.handle, None);
            file.handles -= 1;
            self.collect();
        }
    }

    /// Removes `name`, for good if `synced`. Other handles keep its bytes.
    pub(super) fn delete(&mut self, name: &str, synced: bool) -> Result<(), c_int> {
        if !self.on {
            self.counters.refused += 1;
            return Err(Operation::Delete.error());
        }
        if self.names.find(name).is_none() {
            return Err(sqlite::SQLITE_IOERR_DELETE_NOENT);
        }
        self.change(Operation::Delete, 0, |volume, sequence| {
            volume.names.change(sequence, name, None);
            Ok(())
        })?;
        if synced {
            self.names.sync();
        }
        self.collect();
        Ok(())
    }

    /// The size of the file of that name.
    pub(super) fn size(&mut self, name: &str) -> Result<Option<usize>, c_int> {
        if !self.on {
            self.counters.refused += 1;
            return Err(sqlite::SQLITE_IOERR_ACCESS);
        }
        Ok(self
            .names
            .find(name)
            .map(|file| self.files[&file].image.bytes().len()))
    }

    /// Fills `out` from `offset`; returns how many bytes the file had for it.
    pub(super) fn read(
        &mut self,
        ticket: Ticket,
        offset: usize,
        out: &mut [u8],
    ) -> Result<usize, c_int> {
        self.admit(ticket, Operation::Read.error())?;
        if let Err(code) = self.faults.check(Operation::Read, || 0) {
            self.counters.faulted += 1;
            return Err(code);
        }
        self.counters.reads += 1;
        let bytes = self.file(ticket.file).image.bytes();
        let there = bytes.get(offset..).unwrap_or_default();
        let count = there.len().min(out.len());
        out[..count].copy_from_slice(&there[..count]);
        out[count..].fill(0);
        self.rot.was_read(ticket.file, offset..offset + count);
        Ok(count)
    }

    pub(super) fn write(
        &mut self,
        ticket: Ticket,
        offset: usize,
        data: &[u8],
    ) -> Result<(), c_int> {
        self.admit(ticket, Operation::Write.error())?;
        let size = self.file(ticket.file).image.bytes().len();
        let growth = (offset + data.len()).saturating_sub(size);
        self.change(Operation::Write, growth, |volume, sequence| {
            volume.file(ticket.file).image.write(sequence, offset, data);
            volume
                .rot
                .was_written(ticket.file, offset..offset + data.len());
            Ok(())
        })?;
        self.counters.writes += 1;
        self.counters.bytes_written += data.len() as u64;
        Ok(())
    }

    pub(super) fn resize(&mut self, ticket: Ticket, size: usize) -> Result<(), c_int> {
        self.admit(ticket, Operation::Resize.error())?;
        let before = self.file(ticket.file).image.bytes().len();
        self.change(
            Operation::Resize,
            size.saturating_sub(before),
            |volume, sequence| {
                volume.file(ticket.file).image.resize(sequence, size);
                Ok(())
            },
        )?;
        self.counters.writes += 1;
        Ok(())
    }

    pub(super) fn sync(&mut self, ticket: Ticket) -> Result<(), c_int> {
        self.admit(ticket, Operation::Sync.error())?;
        // A sync that the power interrupts has confirmed nothing, so there is nothing to do while it is under way.
        if let Err(code) = self.change(Operation::Sync, 0, |_, _| Ok(())) {
            if self.on {
                self.file(ticket.file).image.fail_sync();
            }
            return Err(code);
        }
        self.counters.syncs += 1;
        self.file(ticket.file).image.sync();
        // SQLite's own VFS syncs the directory with the first sync of a new journal; file systems do it for any new file.
        if self.names.is_new(ticket.file) {
            self.names.sync();
        }
        Ok(())
    }

    pub(super) fn file_size(&mut self, ticket: Ticket) -> Result<usize, c_int> {
        self.admit(ticket, sqlite::SQLITE_IOERR_FSTAT)?;
        Ok(self.file(ticket.file).image.bytes().len())
    }

    pub(super) fn lock(&mut self, ticket: Ticket, wanted: Level) -> Result<(), c_int> {
        self.admit(ticket, sqlite::SQLITE_IOERR_LOCK)?;
        if self.file(ticket.file).locks.raise(ticket.handle, wanted) {
            return Ok(());
        }
        Err(self.busy())
    }

    pub(super) fn unlock(&mut self, ticket: Ticket, to: Option<Level>) -> Result<(), c_int> {
        self.admit(ticket, sqlite::SQLITE_IOERR_UNLOCK)?;
        self.file(ticket.file).locks.lower(ticket.handle, to);
        Ok(())
    }

    pub(super) fn is_reserved(&mut self, ticket: Ticket) -> Result<bool, c_int> {
        self.admit(ticket, sqlite::SQLITE_IOERR_CHECKRESERVEDLOCK)?;
        Ok(self.file(ticket.file).locks.is_reserved())
    }

    /// The file's WAL index, made when there is none.
    pub(super) fn index(&mut self, ticket: Ticket) -> Result<Arc<Index>, c_int> {
        self.admit(ticket, sqlite::SQLITE_IOERR_SHMMAP)?;
        Ok(self.file(ticket.file).index.get_or_insert_default().clone())
    }

    /// Forgets the file's WAL index when `index` was the last that anybody else held of it.
    pub(super) fn drop_index(&mut self, ticket: Ticket, index: Arc<Index>) {
        if ticket.boot == self.boot {
            drop(index);
            let file = self.file(ticket.file);
            if file
                .index
                .as_ref()
                .is_some_and(|own| Arc::strong_count(own) == 1)
            {
                file.index = None;
            }
        }
    }

    /// Fails with `code` for a handle of another boot or without power.
    pub(super) fn admit(&mut self, ticket: Ticket, code: c_int) -> Result<(), c_int> {
        if self.on && ticket.boot == self.boot {
            return Ok(());
        }
        self.counters.refused += 1;
        Err(code)
    }

    pub(super) fn busy(&mut self) -> c_int {
        self.counters.busy += 1;
        sqlite::SQLITE_BUSY
    }

    // Behind the scenes.

    /// The one gate of everything that changes the disk: faults, the count, and the planned power cut, under which the change itself is
    /// only one more unsynced one.
    fn change<R>(
        &mut self,
        operation: Operation,
        growth: usize,
        apply: impl FnOnce(&mut Self, u64) -> Result<R, c_int>,
    ) -> Result<R, c_int> {
        let files = &self.files;
        let size_after = || size(files) + growth as u64;
        if let Err(code) = self.faults.check(operation, size_after) {
            self.counters.faulted += 1;
            return Err(code);
        }
        let index = self.operations;
        self.operations += 1;
        self.journal.push(operation);
        self.sequence += 1;
        let done = apply(self, self.sequence)?;
        if let Some(cut) = self.cut.take_if(|cut| cut.at <= index) {
            self.power_loss(cut.loss, cut.draw);
            self.was_cut = true;
            return Err(operation.error());
        }
        Ok(done)
    }

    fn file(&mut self, id: u64) -> &mut File {
        self.files
            .get_mut(&id)
            .expect("a live ticket's file is kept")
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Frees the files that no name and no handle leads to any more.
    fn collect(&mut self) {
        let names = &self.names;
        self.files
            .retain(|id, file| file.handles > 0 || names.lead_to(*id));
    }
}

fn size(files: &BTreeMap<u64, File>) -> u64 {
    let sizes = files.values().map(|file| file.image.bytes().len());
    sizes.sum::<usize>() as u64
}

#[cfg(test)]
mod tests;
