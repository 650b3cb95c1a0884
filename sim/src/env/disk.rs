//! A worker's directory behind a page cache.
//!
//! A file has its *durable* bytes and a list of changes since they were last synced; what reads see is both together.
//! A sync moves the changes into the durable bytes. A killed process changes nothing here: the page cache belongs to the
//! machine. A *power loss* decides for each change since the last sync whether it reached the platter: whole, not at
//! all, or *torn*, each 512-byte sector by itself; a later change may survive and an earlier one be lost. Names work
//! alike: creations, renames and removals since the last directory sync may vanish one by one.
//!
//! # Invariants
//! - What was synced (bytes and length by [`DiskOp::Sync`], names by [`DiskOp::SyncDirectory`]) survives every power loss.
//! - After a failed sync its changes are never durable, though they still read back, and the next sync says yes (what Linux
//!   does: the pages are marked clean). Clean pages may go at any time: here, at the end of the process or not before a
//!   power loss.
//!
//! # Caveats
//! - A misdirected write shows only once a later write of the same file is durable. Before that it cannot be told from a
//!   write that never reached the disk, and no log can survive the silent loss of its last record on a disk that said
//!   otherwise: the cluster does, by its other copies, but only if it is told.
//! - Operations take effect when they complete, one after another; what is in flight at a crash is decided by whoever
//!   owns the queue (`world::node`), which completes some of it first.

use super::dice::Dice;
use bytes::Bytes;
use orrery::env::{DiskError, DiskOp, DiskOutput, DiskResult};
use std::collections::{BTreeMap, BTreeSet};

/// What a device writes atomically.
pub const SECTOR: u64 = 512;

/// One worker's directory.
#[derive(Debug, Default)]
pub struct SimDisk {
    files: BTreeMap<u64, File>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    last_write: Option<(u64, u64, u64)>,
    /// Operations fail with an I/O error.
    pub io_error: bool,
    /// What needs space fails.
    pub full: bool,
    /// The next sync of a file with changes fails, and its pages are dropped.
    pub fail_sync: bool,
    /// The next write stores only a part of its bytes, drawn from this number, and fails.
    pub short_write: Option<u64>,
    /// A write goes to another place, by this fault and drawn from this number.
    pub misdirect: Option<(u32, u64)>,
    /// How often the flags above have failed an operation.
    pub failures: u64,
    /// Faults whose damage has been read since this was last looked at.
    pub damage_read: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    changes: Vec<Change>,
    length: u64,
    /// Damaged sectors, with the fault that did it.
    rotten: BTreeMap<u64, u32>,
    /// While a write is to be misdirected: the last durable one, with what was there before.
    last: Option<Written>,
}

/// A durable write and what it has replaced.
#[derive(Debug)]
struct Written {
    offset: u64,
    data: Bytes,
    before: Vec<u8>,
}

#[derive(Debug)]
struct Change {
    what: What,
    state: State,
}

#[derive(Debug)]
enum What {
    Write { offset: u64, data: Bytes },
    Length(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for a sync.
    Dirty,
    /// A failed sync has dropped it: visible, never durable.
    Dropped,
    /// Durable, but still listed since an older dropped change must not shine through.
    Durable,
}

#[derive(Debug)]
enum NameChange {
    Create(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

/// What a power loss did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerLoss {
    /// Unsynced changes that survived whole.
    pub kept: u32,
    /// Unsynced changes that vanished whole.
    pub lost: u32,
    /// Unsynced writes of which a part survived.
    pub torn: u32,
    /// Creations, renames and removals that vanished.
    pub names: u32,
}

impl SimDisk {
    /// Carries one operation out, now.
    pub fn execute(&mut self, op: &DiskOp) -> DiskResult {
        if self.io_error {
            self.failures += 1;
            return Err(DiskError::Io("input/output error (injected)".to_owned()));
        }
        match op {
            DiskOp::List => Ok(DiskOutput::Files(self.list())),
            DiskOp::Create { file, length } => self.create(file, *length),
            DiskOp::Write { file, offset, data } => self.write(file, *offset, data),
            DiskOp::Sync { file } => self.sync(file),
            DiskOp::Read { file, offset, length } => self.read(file, *offset, *length),
            DiskOp::Truncate { file, length } => self.truncate(file, *length),
            DiskOp::Rename { from, to } => self.rename(from, to),
            DiskOp::Remove { file } => self.remove(file),
            DiskOp::SyncDirectory => {
                self.durable_names = self.names.clone();
                self.name_changes.clear();
                self.collect();
                Ok(DiskOutput::Done)
            }
        }
    }

    fn list(&self) -> Vec<(String, u64)> {
        self.names.iter().map(|(name, id)| (name.clone(), self.files[id].length)).collect()
    }

    fn id(&self, file: &str) -> Result<u64, DiskError> {
        self.names.get(file).copied().ok_or(DiskError::NotFound)
    }

    fn file(&mut self, id: u64) -> &mut File {
        self.files.get_mut(&id).expect("a name points to a file")
    }

    fn needs_space(&mut self, needs: bool) -> Result<(), DiskError> {
        if self.full && needs {
            self.failures += 1;
            return Err(DiskError::Full);
        }
        Ok(())
    }

    fn create(&mut self, name: &str, length: u64) -> DiskResult {
        if self.names.contains_key(name) {
            return Err(DiskError::Exists);
        }
        self.needs_space(true)?;
        let id = self.next_file;
        self.next_file += 1;
        let mut file = File::default();
        file.change(What::Length(length));
        self.files.insert(id, file);
        self.names.insert(name.to_owned(), id);
        self.name_changes.push(NameChange::Create(name.to_owned(), id));
        Ok(DiskOutput::Done)
    }

    fn write(&mut self, name: &str, offset: u64, data: &Bytes) -> DiskResult {
        let id = self.id(name)?;
        let end = offset + data.len() as u64;
        let grows = end > self.file(id).length;
        self.needs_space(grows)?;
        if let Some(draw) = self.short_write.take_if(|_| !data.is_empty()) {
            // Whole sectors of the file, as a device or a file system out of blocks leaves them.
            let stored = ((offset + draw % data.len() as u64) / SECTOR * SECTOR).saturating_sub(offset) as usize;
            self.file(id).change(What::Write { offset, data: data.slice(..stored) });
            self.failures += 1;
            let words = format!("short write: {stored} of {} bytes (injected)", data.len());
            return Err(if draw >> 63 == 0 { DiskError::Full } else { DiskError::Io(words) });
        }
        let file = self.file(id);
        file.rotten.retain(|sector, _| !(offset..end).contains(&(sector * SECTOR)));
        file.change(What::Write { offset, data: data.clone() });
        self.last_write = Some((id, offset, end));
        Ok(DiskOutput::Done)
    }

    fn sync(&mut self, name: &str) -> DiskResult {
        let id = self.id(name)?;
        let fails = std::mem::take(&mut self.fail_sync);
        let file = self.file(id);
        if fails && file.changes.iter().any(|change| change.state == State::Dirty) {
            for change in &mut file.changes {
                if change.state == State::Dirty {
                    change.state = State::Dropped;
                }
            }
            self.failures += 1;
            return Err(DiskError::Io("sync failed (injected)".to_owned()));
        }
        self.fail_sync = fails; // nothing to fail: the next one does
        if let Some((fault, draw)) = self.misdirect
            && self.file(id).misdirect(fault, draw)
        {
            self.misdirect = None;
            self.files.values_mut().for_each(|file| file.last = None);
        }
        self.file(id).sync();
        Ok(DiskOutput::Done)
    }

    fn read(&mut self, name: &str, offset: u64, length: u64) -> DiskResult {
        let id = self.id(name)?;
        let file = self.file(id);
        let sectors = offset / SECTOR..offset.saturating_add(length).div_ceil(SECTOR);
        let damage: Vec<u32> = file.rotten.range(sectors).map(|(_, fault)| *fault).collect();
        let data = file.read(offset, length);
        self.damage_read.extend(damage);
        Ok(DiskOutput::Data(data))
    }

    fn truncate(&mut self, name: &str, length: u64) -> DiskResult {
        let id = self.id(name)?;
        let grows = length > self.file(id).length;
        self.needs_space(grows)?;
        self.file(id).change(What::Length(length));
        Ok(DiskOutput::Done)
    }

    fn rename(&mut self, from: &str, to: &str) -> DiskResult {
        let id = self.names.remove(from).ok_or(DiskError::NotFound)?;
        self.names.insert(to.to_owned(), id);
        self.name_changes.push(NameChange::Rename(from.to_owned(), to.to_owned(), id));
        Ok(DiskOutput::Done)
    }

    fn remove(&mut self, name: &str) -> DiskResult {
        self.names.remove(name).ok_or(DiskError::NotFound)?;
        self.name_changes.push(NameChange::Remove(name.to_owned()));
        Ok(DiskOutput::Done)
    }

    /// Forgets files that no name leads to any more.
    fn collect(&mut self) {
        let live: BTreeSet<u64> = self.names.values().chain(self.durable_names.values()).copied().collect();
        self.files.retain(|id, _| live.contains(id));
    }

    /// The process ends. Its page cache stays; but of the files in which a failed sync has dropped something, the next
    /// process reads some anew from the disk, where it never was, and of others still sees it.
    pub fn process_end(&mut self, dice: &mut Dice) {
        for file in self.files.values_mut() {
            if file.changes.iter().any(|change| change.state == State::Dropped) && dice.chance(500_000) {
                file.changes.retain(|change| change.state == State::Dirty);
                file.measure();
            }
        }
    }

    /// The power fails: what was not synced is decided by the dice. `torn_ppm` of the unsynced writes survive in part.
    pub fn power_loss(&mut self, dice: &mut Dice, torn_ppm: u32) -> PowerLoss {
        // A quarter of the losses keeps nothing unsynced and a quarter everything: with many changes, independent dice
        // alone would hardly ever do either.
        let fate = match dice.below(4) {
            0 => Fate::AllLost,
            1 => Fate::AllKept,
            _ => Fate::Each { torn_ppm },
        };
        let mut report = PowerLoss::default();
        for change in std::mem::take(&mut self.name_changes) {
            if !fate.keeps(dice) {
                report.names += 1;
                continue;
            }
            match change {
                NameChange::Create(name, id) => {
                    self.durable_names.insert(name, id);
                }
                NameChange::Rename(from, to, id) => {
                    self.durable_names.retain(|name, file| *name != from || *file != id);
                    self.durable_names.insert(to, id);
                }
                NameChange::Remove(name) => {
                    self.durable_names.remove(&name);
                }
            }
        }
        self.names = self.durable_names.clone();
        self.collect();
        for file in self.files.values_mut() {
            file.power_loss(dice, fate, &mut report);
        }
        report
    }

    /// Flips one bit of synced data that is not the last written. `false`: there is none.
    pub fn rot(&mut self, fault: u32, dice: &mut Dice) -> bool {
        let mut sectors = Vec::new();
        for (&id, file) in &self.files {
            for (number, sector) in file.durable.chunks(SECTOR as usize).enumerate() {
                let at = number as u64 * SECTOR;
                let last = self.last_write.is_some_and(|(f, from, to)| f == id && at + SECTOR > from && at < to);
                if !last && sector.iter().any(|&byte| byte != 0) {
                    sectors.push((id, number));
                }
            }
        }
        if sectors.is_empty() {
            return false;
        }
        let (id, number) = sectors[dice.index(sectors.len())];
        let file = self.file(id);
        let start = number * SECTOR as usize;
        let length = (file.durable.len() - start).min(SECTOR as usize);
        let at = start + dice.index(length);
        file.durable[at] ^= 1 << dice.below(8);
        file.rotten.insert(number as u64, fault);
        true
    }
}

impl Written {
    fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}

/// What a power loss does to unsynced changes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    AllLost,
    AllKept,
    Each { torn_ppm: u32 },
}

impl Fate {
    /// Does a change that cannot be torn survive?
    fn keeps(self, dice: &mut Dice) -> bool {
        match self {
            Self::AllLost => false,
            Self::AllKept => true,
            Self::Each { .. } => dice.chance(500_000),
        }
    }
}

impl File {
    fn change(&mut self, what: What) {
        match &what {
            What::Write { offset, data } => self.length = self.length.max(offset + data.len() as u64),
            What::Length(length) => self.length = *length,
        }
        self.changes.push(Change { what, state: State::Dirty });
    }

    /// Recomputes the length.
    fn measure(&mut self) {
        self.length = self.durable.len() as u64;
        for change in &self.changes {
            match &change.what {
                What::Write { offset, data } => self.length = self.length.max(offset + data.len() as u64),
                What::Length(length) => self.length = *length,
            }
        }
    }

    /// A sync comes while a write is to be misdirected. The last write before another one is the one that went astray: its
    /// place still has what was there before, and its bytes lie elsewhere in the file, over whatever was there. `false`:
    /// no write had a successor yet.
    fn misdirect(&mut self, fault: u32, draw: u64) -> bool {
        let mut here = None;
        for index in 0..self.changes.len() {
            let (offset, data) = match &self.changes[index] {
                Change { what: What::Write { offset, data }, state: State::Dirty } if !data.is_empty() => {
                    (*offset, data.clone())
                }
                _ => continue,
            };
            let end = offset + data.len() as u64;
            if let Some(astray) = self.last.take_if(|last| last.end() <= offset || end <= last.offset) {
                self.lead_astray(&astray, (offset, end), fault, draw);
                if let Some(index) = here {
                    self.changes.remove(index); // of this very sync: it never reaches its place
                }
                return true;
            }
            let mut before = self.durable.get(offset as usize..).unwrap_or_default().to_vec();
            before.resize(data.len(), 0);
            self.last = Some(Written { offset, data, before });
            here = Some(index);
        }
        false
    }

    /// `successor`: the write that came after, which stays where it belongs.
    fn lead_astray(&mut self, astray: &Written, successor: (u64, u64), fault: u32, draw: u64) {
        let place = astray.offset as usize..astray.end() as usize;
        if self.durable.len() < place.end {
            self.durable.resize(place.end, 0);
        }
        self.durable[place].copy_from_slice(&astray.before);
        self.mark(astray.offset, astray.end(), fault);
        // Another address of the same file at the same alignment, as a flipped address bit gives.
        let length = astray.data.len() as u64;
        let free = |at: u64| {
            let end = at + length;
            let apart = |from: u64, to: u64| end <= from || to <= at;
            apart(astray.offset, astray.end()) && apart(successor.0, successor.1)
        };
        let grain = 4096;
        let blocks = (self.durable.len() as u64).saturating_sub(length) / grain + 1;
        let first = draw % blocks;
        let found = (0..blocks).map(|step| (first + step) % blocks * grain).find(|at| free(*at));
        if let Some(at) = found {
            apply(&mut self.durable, &What::Write { offset: at, data: astray.data.clone() });
            self.mark(at, at + length, fault);
        }
    }

    fn mark(&mut self, from: u64, to: u64, fault: u32) {
        self.rotten.extend((from / SECTOR..to.div_ceil(SECTOR)).map(|sector| (sector, fault)));
    }

    fn sync(&mut self) {
        let lied = self.changes.iter().any(|change| change.state == State::Dropped);
        for change in &mut self.changes {
            if change.state == State::Dirty {
                apply(&mut self.durable, &change.what);
                change.state = State::Durable;
            }
        }
        if !lied {
            self.changes.clear();
        }
    }

    fn read(&self, offset: u64, length: u64) -> Bytes {
        let end = offset.saturating_add(length).min(self.length);
        if offset >= end {
            return Bytes::new();
        }
        let mut view = vec![0; (end - offset) as usize];
        let durable = self.durable.get(offset as usize..).unwrap_or_default();
        let known = durable.len().min(view.len());
        view[..known].copy_from_slice(&durable[..known]);
        for change in &self.changes {
            match &change.what {
                What::Write { offset: at, data } => overlay(&mut view, offset, *at, data),
                What::Length(cut) => view[(cut.clamp(&offset, &end) - offset) as usize..].fill(0),
            }
        }
        Bytes::from(view)
    }

    fn power_loss(&mut self, dice: &mut Dice, fate: Fate, report: &mut PowerLoss) {
        for change in std::mem::take(&mut self.changes) {
            match (change.state, &change.what, fate) {
                (State::Durable, ..) => {}
                (State::Dropped, ..) => report.lost += 1,
                (State::Dirty, What::Write { offset, data }, Fate::Each { torn_ppm }) if dice.chance(torn_ppm) => {
                    self.tear(*offset, data, dice, report);
                }
                (State::Dirty, what, _) if fate.keeps(dice) => {
                    apply(&mut self.durable, what);
                    report.kept += 1;
                }
                (State::Dirty, ..) => report.lost += 1,
            }
        }
        self.length = self.durable.len() as u64;
    }

    /// Each sector of a write survives or not.
    fn tear(&mut self, offset: u64, data: &Bytes, dice: &mut Dice, report: &mut PowerLoss) {
        let (mut kept, mut lost) = (false, false);
        let mut at = 0;
        while at < data.len() {
            let sector_end = ((offset + at as u64) / SECTOR + 1) * SECTOR;
            let end = data.len().min((sector_end - offset) as usize);
            if dice.chance(500_000) {
                apply(&mut self.durable, &What::Write { offset: offset + at as u64, data: data.slice(at..end) });
                kept = true;
            } else {
                lost = true;
            }
            at = end;
        }
        match (kept, lost) {
            (true, true) => report.torn += 1,
            (true, false) => report.kept += 1,
            _ => report.lost += 1,
        }
    }
}

/// Applies a change to durable bytes.
fn apply(durable: &mut Vec<u8>, what: &What) {
    match what {
        What::Write { offset, data } => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            if durable.len() < end {
                durable.resize(end, 0);
            }
            durable[start..end].copy_from_slice(data);
        }
        What::Length(0) => durable.clear(),
        What::Length(length) if durable.is_empty() => *durable = vec![0; *length as usize],
        What::Length(length) => durable.resize(*length as usize, 0),
    }
}

/// Lays a write at `at` over a view that begins at `offset`.
fn overlay(view: &mut [u8], offset: u64, at: u64, data: &[u8]) {
    let from = at.max(offset);
    let to = (at + data.len() as u64).min(offset + view.len() as u64);
    if from < to {
        let source = &data[(from - at) as usize..(to - at) as usize];
        view[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests;
