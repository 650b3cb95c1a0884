//! The machine: loading at the beginning of a life, then writing.

use super::format::{self, Identity, Kind, Total};
use super::load::{Loading, Progress};
use super::{CheckpointEvent, Config, Header};
use crate::env::{DiskOp, DiskOutput, DiskResult};
use crate::types::{LogIndex, PartitionId};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// No more than about this is written between two syncs.
const SYNC_EVERY: u64 = 1 << 20;

/// The checkpoints of one worker's partitions.
///
/// Usage as of [`crate::wal::Wal`]: [`Checkpoints::start`] once, when the log has recovered; after every call, submit
/// [`Checkpoints::take_ops`] in order and take [`Checkpoints::poll`] until `None`; hand each completion to
/// [`Checkpoints::completed`] in the order of submission. Writing is allowed once [`CheckpointEvent::Loaded`] is out.
pub struct Checkpoints {
    config: Config,
    ops: Vec<DiskOp>,
    steps: VecDeque<Step>,
    events: VecDeque<CheckpointEvent>,
    state: State,
    /// Complete files, by partition.
    files: BTreeMap<PartitionId, BTreeSet<LogIndex>>,
    writing: BTreeMap<PartitionId, Writing>,
    /// Number of the next one begun.
    serial: u64,
}

/// What the completion of a submitted operation means.
#[derive(Debug)]
enum Step {
    /// Only its failure matters.
    Plain,
    /// Names of all files.
    List,
    /// A piece of the file being loaded.
    Read,
    /// What was appended to the checkpoint of that number is written.
    Wrote(PartitionId, u64),
    /// The checkpoint is durable under its name.
    Published(PartitionId, Header),
}

enum State {
    /// Before [`Checkpoints::start`].
    New,
    /// Listing, then reading one file after another.
    Loading { current: Option<Box<Loading>>, left: Vec<(PartitionId, LogIndex, u64)> },
    /// Everything has been handed out.
    Loaded,
    /// The last event is out.
    Dead,
}

/// A checkpoint that is being written.
struct Writing {
    serial: u64,
    header: Header,
    file: String,
    offset: u64,
    unsynced: u64,
    frames: u32,
    total: Total,
    /// The next chunk may come.
    wants: bool,
}

impl Checkpoints {
    /// At the beginning of a life.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            ops: Vec::new(),
            steps: VecDeque::new(),
            events: VecDeque::new(),
            state: State::New,
            files: BTreeMap::new(),
            writing: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Begins loading.
    pub fn start(&mut self) {
        assert!(matches!(self.state, State::New), "checkpoints are loaded once in a life");
        self.state = State::Loading { current: None, left: Vec::new() };
        self.submit(DiskOp::List, Step::List);
    }

    /// Operations to be submitted, in this order. Call after every other call.
    #[must_use]
    pub fn take_ops(&mut self) -> Vec<DiskOp> {
        std::mem::take(&mut self.ops)
    }

    /// What there is to tell. Call after every other call until it returns `None`.
    #[must_use]
    pub fn poll(&mut self) -> Option<CheckpointEvent> {
        self.events.pop_front()
    }

    /// The oldest operation that has not been reported yet has ended so.
    pub fn completed(&mut self, result: DiskResult) {
        let step = self.steps.pop_front().expect("the disk completes what was submitted, once");
        if matches!(self.state, State::Dead) {
            return;
        }
        let output = match result {
            Ok(output) => output,
            Err(error) => return self.fail(format!("{}: {error}", step.what())),
        };
        match (step, output) {
            (Step::List, DiskOutput::Files(files)) => self.listed(files),
            (Step::Read, DiskOutput::Data(data)) => self.read(&data),
            (Step::Wrote(partition, serial), _) => self.wrote(partition, serial),
            (Step::Published(partition, header), _) => self.published(partition, header),
            (Step::Plain, _) => {}
            (step, output) => self.fail(format!("the disk answers {output:?} to {step:?}")),
        }
    }

    /// Begins a checkpoint; one of this partition that has not been finished is abandoned. [`CheckpointEvent::Wants`] follows.
    pub fn begin(&mut self, partition: PartitionId, header: Header) {
        if matches!(self.state, State::Dead) {
            return;
        }
        assert!(matches!(self.state, State::Loaded), "writing begins when everything is loaded");
        self.abandon(partition);
        let index = header.floor.index;
        let mut file = format::unfinished(partition, index);
        if planted!(30) {
            file = format::name(partition, index);
            self.remove_files(partition, None);
        }
        self.serial += 1;
        self.submit(DiskOp::Create { file: file.clone(), length: 0 }, Step::Plain);
        let writing = Writing {
            serial: self.serial,
            header,
            file,
            offset: 0,
            unsynced: 0,
            frames: 0,
            total: Total::default(),
            wants: true,
        };
        self.writing.insert(partition, writing);
        self.write(partition, Kind::Beginning, &format::beginning(&header));
    }

    /// The next chunk, once after each [`CheckpointEvent::Wants`].
    pub fn append(&mut self, partition: PartitionId, chunk: Bytes) {
        if let Some(writing) = self.writing.get_mut(&partition) {
            writing.total.add(&chunk);
        }
        self.write(partition, Kind::Chunk, &chunk);
    }

    /// There are no more chunks: after a [`CheckpointEvent::Wants`]. [`CheckpointEvent::Published`] follows.
    pub fn finish(&mut self, partition: PartitionId) {
        let Some(end) = self.writing.get(&partition).map(|writing| writing.total.end()) else {
            return self.write(partition, Kind::End, &[]);
        };
        self.write(partition, Kind::End, &end);
        let Some(Writing { file, header, .. }) = self.writing.remove(&partition) else { return };
        // The step of the last write has lost its checkpoint and says nothing any more.
        let to = format::name(partition, header.floor.index);
        let mut ops = vec![DiskOp::Sync { file: file.clone() }];
        if !planted!(30) {
            ops.push(DiskOp::Rename { from: file, to });
        }
        if !planted!(39) {
            ops.push(DiskOp::SyncDirectory);
        }
        let last = ops.pop();
        for op in ops {
            self.submit(op, Step::Plain);
        }
        if let Some(last) = last {
            self.submit(last, Step::Published(partition, header));
        }
    }

    /// What has been written since [`Checkpoints::begin`] is not wanted any more. Nothing if there is nothing.
    pub fn abandon(&mut self, partition: PartitionId) {
        if let Some(Writing { file, .. }) = self.writing.remove(&partition) {
            sometimes!("checkpoint.abandoned");
            self.submit(DiskOp::Remove { file }, Step::Plain);
        }
    }

    /// Is a checkpoint of this partition being written?
    #[must_use]
    pub fn is_writing(&self, partition: PartitionId) -> bool {
        let finishing = |step: &Step| matches!(step, Step::Published(of, _) if *of == partition);
        self.writing.contains_key(&partition) || self.steps.iter().any(finishing)
    }

    /// Nothing is being loaded or written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::New | State::Loaded | State::Dead)
            && self.writing.is_empty()
            && self.steps.is_empty()
    }

    fn submit(&mut self, op: DiskOp, step: Step) {
        self.ops.push(op);
        self.steps.push_back(step);
    }

    fn fail(&mut self, reason: String) {
        sometimes!("checkpoint.disk_failed");
        self.state = State::Dead;
        self.writing.clear();
        self.ops.clear();
        self.events.push_back(CheckpointEvent::Failed(reason));
    }

    fn listed(&mut self, files: Vec<(String, u64)>) {
        let mut found = Vec::new();
        for (file, length) in files {
            if format::is_unfinished(&file) {
                sometimes!("checkpoint.leftover_removed");
                self.submit(DiskOp::Remove { file }, Step::Plain);
            } else if let Some((partition, index)) = format::parse(&file) {
                found.push((partition, index, length));
                self.files.entry(partition).or_default().insert(index);
            }
        }
        // Taken from the end: partitions upwards, of each the newest first.
        found.sort_by_key(|(partition, index, _)| (std::cmp::Reverse(*partition), *index));
        self.state = State::Loading { current: None, left: found };
        self.load_next();
    }

    fn load_next(&mut self) {
        let State::Loading { current, left } = &mut self.state else { return };
        let Some((partition, index, length)) = left.pop() else {
            self.state = State::Loaded;
            self.events.push_back(CheckpointEvent::Loaded);
            return;
        };
        let identity = Identity { config: self.config, partition, index };
        let read = current.insert(Box::new(Loading::new(identity, length))).read();
        self.submit(read, Step::Read);
    }

    fn read(&mut self, data: &[u8]) {
        let State::Loading { current: Some(current), left } = &mut self.state else { return };
        let Identity { partition, index, .. } = *current.identity();
        match current.take(data, &mut |event| self.events.push_back(event)) {
            Progress::More => {
                let read = current.read();
                self.submit(read, Step::Read);
            }
            Progress::Whole => {
                left.retain(|(other, ..)| *other != partition);
                self.events.push_back(CheckpointEvent::Complete { partition });
                // Older ones, which a crash has spared; newer ones are damaged and stay.
                self.remove_files(partition, Some(index));
                self.load_next();
            }
            Progress::Damaged(reason) => {
                sometimes!("checkpoint.damaged");
                let reason = format!("{}: {reason}", format::name(partition, index));
                self.events.push_back(CheckpointEvent::Damaged { partition, reason });
                self.load_next();
            }
        }
    }

    /// Nothing of a partition is to be here any more.
    pub fn forget(&mut self, partition: PartitionId) {
        if matches!(self.state, State::Dead) {
            return;
        }
        self.abandon(partition);
        self.remove_files(partition, None);
        // What is about to be complete is of that life, too: it must not be told to a later one, which has nothing that it covers. Its
        // file goes behind the operations that make it.
        let mut finished = Vec::new();
        for step in &mut self.steps {
            if let Step::Published(of, header) = *step
                && of == partition
            {
                sometimes!("checkpoint.forgotten_while_published");
                finished.push(header.floor.index);
                *step = Step::Plain;
            }
        }
        for index in finished {
            self.submit(DiskOp::Remove { file: format::name(partition, index) }, Step::Plain);
        }
    }

    /// Removes the complete files of a partition: those older than one, or all.
    fn remove_files(&mut self, partition: PartitionId, older_than: Option<LogIndex>) {
        let Some(files) = self.files.get_mut(&partition) else { return };
        let kept = older_than.map_or_else(BTreeSet::new, |index| files.split_off(&index));
        for index in std::mem::replace(files, kept) {
            self.submit(DiskOp::Remove { file: format::name(partition, index) }, Step::Plain);
        }
    }

    fn write(&mut self, partition: PartitionId, kind: Kind, payload: &[u8]) {
        if matches!(self.state, State::Dead) {
            return;
        }
        let writing = self.writing.get_mut(&partition).expect("what is appended to has been begun");
        assert!(std::mem::take(&mut writing.wants), "a chunk is appended when it is wanted");
        let Header { floor, .. } = writing.header;
        let identity = Identity { config: self.config, partition, index: floor.index };
        let data = format::frame(&identity, floor.era, kind, writing.frames, payload);
        let (file, offset) = (writing.file.clone(), writing.offset);
        writing.frames += 1;
        writing.offset += data.len() as u64;
        writing.unsynced += data.len() as u64;
        let done = Step::Wrote(partition, writing.serial);
        if writing.unsynced < SYNC_EVERY || kind == Kind::End {
            return self.submit(DiskOp::Write { file, offset, data }, done);
        }
        writing.unsynced = 0;
        self.submit(DiskOp::Write { file: file.clone(), offset, data }, Step::Plain);
        self.submit(DiskOp::Sync { file }, done);
    }

    fn wrote(&mut self, partition: PartitionId, serial: u64) {
        if let Some(writing) = self.writing.get_mut(&partition).filter(|writing| writing.serial == serial) {
            writing.wants = true;
            self.events.push_back(CheckpointEvent::Wants { partition });
        }
    }

    fn published(&mut self, partition: PartitionId, header: Header) {
        let index = header.floor.index;
        self.events.push_back(CheckpointEvent::Published { partition, header });
        let files = self.files.entry(partition).or_default();
        files.remove(&index);
        // No sync of the directory: what a crash brings back, the next life removes, or reads if the newest has rotted.
        self.remove_files(partition, None);
        self.files.entry(partition).or_default().insert(index);
    }
}

impl Step {
    fn what(&self) -> &'static str {
        match self {
            Self::List | Self::Read => "reading a checkpoint",
            Self::Plain | Self::Wrote(..) | Self::Published(..) => "writing a checkpoint",
        }
    }
}
