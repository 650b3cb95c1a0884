//! A disk in memory with the crash semantics of `env::Disk`.

use crate::env::{DiskError, DiskOp, DiskOutput, DiskResult};
use crate::types::Rng;
use bytes::Bytes;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use std::collections::BTreeMap;

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone)]
enum NameChange {
    Set(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

#[derive(Clone, Default)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
    fail_in: Option<usize>,
    break_in: Option<usize>,
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Set(name, inode) => drop(names.insert(name.clone(), *inode)),
        NameChange::Remove(name) => drop(names.remove(name)),
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}

impl Disk {
    /// The operation after `count` more fails.
    pub(crate) fn fail_at(&mut self, count: usize) {
        self.fail_in = Some(count);
    }

    /// The operation after `count` more fails, and what is behind it is refused. If it is a sync, what it should have made
    /// durable is gone.
    pub(crate) fn break_at(&mut self, count: usize) {
        self.break_in = Some(count);
    }

    /// Nothing fails any more: another process opens the files.
    pub(crate) fn repair(&mut self) {
        (self.fail_in, self.break_in) = (None, None);
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(crate) fn content(&mut self, file: &str) -> &mut Vec<u8> {
        let inode = self.names[file];
        &mut self.inodes[inode].live
    }

    pub(crate) fn remove(&mut self, file: &str) {
        self.names.remove(file);
    }

    fn change(&mut self, change: NameChange) -> DiskResult {
        apply(&mut self.names, &change);
        self.pending.push(change);
        Ok(DiskOutput::Done)
    }

    fn inode(&mut self, file: &str) -> Result<&mut Inode, DiskError> {
        let inode = *self.names.get(file).ok_or(DiskError::NotFound)?;
        Ok(&mut self.inodes[inode])
    }

    pub(crate) fn execute(&mut self, op: DiskOp) -> DiskResult {
        if let Some(left) = &mut self.fail_in {
            if *left == 0 {
                return Err(DiskError::Full);
            }
            *left -= 1;
        }
        match self.break_in {
            Some(0) => {
                (self.break_in, self.fail_in) = (None, Some(0));
                if let DiskOp::Sync { file } = op {
                    let inode = self.inode(&file)?;
                    inode.live = inode.durable.clone();
                }
                return Err(DiskError::Io("failed once".to_owned()));
            }
            Some(left) => self.break_in = Some(left - 1),
            None => {}
        }
        match op {
            DiskOp::List => {
                let length = |inode: usize| self.inodes[inode].live.len() as u64;
                Ok(DiskOutput::Files(self.names.iter().map(|(name, inode)| (name.clone(), length(*inode))).collect()))
            }
            DiskOp::Create { file, length } => {
                if self.names.contains_key(&file) {
                    return Err(DiskError::Exists);
                }
                self.inodes.push(Inode { live: vec![0; length as usize], durable: Vec::new() });
                self.change(NameChange::Set(file, self.inodes.len() - 1))
            }
            DiskOp::Write { file, offset, data } => {
                let live = &mut self.inode(&file)?.live;
                let end = offset as usize + data.len();
                live.resize(live.len().max(end), 0);
                live[offset as usize..end].copy_from_slice(&data);
                Ok(DiskOutput::Done)
            }
            DiskOp::Sync { file } => {
                let inode = self.inode(&file)?;
                inode.durable = inode.live.clone();
                Ok(DiskOutput::Done)
            }
            DiskOp::Read { file, offset, length } => {
                let live = &self.inode(&file)?.live;
                let end = (offset + length).min(live.len() as u64) as usize;
                Ok(DiskOutput::Data(Bytes::copy_from_slice(&live[offset as usize..end])))
            }
            DiskOp::Truncate { file, length } => {
                self.inode(&file)?.live.resize(length as usize, 0);
                Ok(DiskOutput::Done)
            }
            DiskOp::Rename { from, to } => {
                let inode = *self.names.get(&from).ok_or(DiskError::NotFound)?;
                self.change(NameChange::Rename(from, to, inode))
            }
            DiskOp::Remove { file } => {
                self.inode(&file)?;
                self.change(NameChange::Remove(file))
            }
            DiskOp::SyncDirectory => {
                self.durable_names = self.names.clone();
                self.pending.clear();
                Ok(DiskOutput::Done)
            }
        }
    }

    /// What a crash leaves: everything synced, and a part of the rest.
    pub(crate) fn crashed(&self, seed: u64) -> Self {
        let mut rng = Rng::seed_from_u64(seed);
        // From "nearly nothing of it survives" to "nearly all".
        let survival = rng.next_u32() % 5;
        let mut survives = move || rng.next_u32() % 4 < survival;
        let mut after = self.clone();
        after.names = self.durable_names.clone();
        for change in &self.pending {
            if survives() {
                apply(&mut after.names, change);
            }
        }
        for inode in &mut after.inodes {
            let length = if survives() { inode.live.len() } else { inode.durable.len() };
            let mut content = inode.durable.clone();
            content.resize(length, 0);
            for (at, sector) in content.chunks_mut(512).enumerate() {
                let new = inode.live.get(at * 512..at * 512 + sector.len());
                if let Some(new) = new.filter(|new| *new != sector)
                    && survives()
                {
                    sector.copy_from_slice(new);
                }
            }
            inode.durable.clone_from(&content);
            inode.live = content;
        }
        after.durable_names = after.names.clone();
        after.pending.clear();
        after.fail_in = None;
        after.break_in = None;
        after
    }
}
