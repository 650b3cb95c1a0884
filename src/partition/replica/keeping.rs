//! What a replica keeps of its state beyond the log: checkpoints of its own, snapshots for others, a snapshot it lacks.
//!
//! Of the two things that write this partition's checkpoint file, one at a time is at work: the checkpoint that the replica
//! makes of itself, or the snapshot that it pulls from another. A pull goes first: a state that is too far behind is not worth
//! saving.

use super::Replica;
use crate::checkpoint::Header;
use crate::consensus::{Fetch, Floor, Role, Standing};
use crate::partition::snapshot::{Position, Snapshot};
use crate::partition::state_machine::StateMachine;
use crate::partition::transfer::{Download, FetchFacts, FileOrder, GivenUp, SnapshotMessage, Sources};
use crate::types::{Duration, Instant, LogIndex, NodeId, PartitionId};
use crate::{planted, sometimes};
use serde::{Deserialize, Serialize};

/// While a state is being sent so many times the entries are kept that are kept anyway, and no fewer than these.
const PRESSED: u64 = 16;
const PRESSED_AT_LEAST: u64 = 100_000;

/// How a replica keeps its state.
#[derive(Clone, Copy, Debug)]
pub struct KeepingConfig {
    /// A checkpoint is due after so many entries.
    pub checkpoint_every: u64,
    /// So many entries before the checkpoint stay in memory, for followers that are a little behind.
    pub log_keep_entries: u64,
    /// Size of a chunk.
    pub chunk_bytes: usize,
    /// A request for a chunk is repeated after this time.
    pub patience: Duration,
}

/// What is to be carried out for it.
#[derive(Debug, Default)]
pub struct Keep {
    /// Orders for the checkpoint file, in order.
    pub files: Vec<FileOrder>,
    /// A published checkpoint covers the log up to here.
    pub release: Option<Floor>,
    /// What other replicas are told.
    pub snapshots: Vec<(NodeId, SnapshotMessage)>,
}

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A snapshot at this index or later.
    pub at_least: LogIndex,
    /// Going on with this one, from here.
    pub resume: Option<(Header, Position)>,
    /// No chunk is due before this time has passed.
    pub wait: Option<Duration>,
}

/// How a replica comes to what it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryFacts {
    /// Has it its vote?
    pub standing: Standing,
    /// Its state is missing: it executes nothing until it has a snapshot.
    pub lacks_state: bool,
    /// The snapshot that is on its way here.
    pub fetch: Option<FetchFacts>,
    /// The last one that was installed in this life.
    pub fetched: Option<FetchFacts>,
}

/// What a replica keeps, and what it is about.
pub(super) struct Keeping {
    config: KeepingConfig,
    /// The latest published checkpoint.
    saved: LogIndex,
    work: Work,
    sources: Sources,
    /// The last snapshot that was installed.
    fetched: Option<FetchFacts>,
    /// Bytes of the checkpoint in the making, and of the last one.
    written: u64,
    saved_bytes: u64,
}

/// What writes the checkpoint file.
enum Work {
    Idle,
    /// A checkpoint of the own state.
    Own {
        header: Header,
        snapshot: Box<Snapshot>,
        /// Where the next chunk begins; `None`: there are no more.
        next: Option<Position>,
    },
    /// A snapshot of another replica.
    Download(Box<Download>),
}

impl Keeping {
    pub(super) fn new(config: KeepingConfig, saved: LogIndex) -> Self {
        Self { config, saved, work: Work::Idle, sources: Sources::default(), fetched: None, written: 0, saved_bytes: 0 }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let download = match &self.work {
            Work::Download(download) => download.next_timeout(),
            Work::Idle | Work::Own { .. } => None,
        };
        self.sources.next_timeout().into_iter().chain(download).min()
    }
}

impl Replica {
    /// Is a checkpoint due by the number of entries executed since the last one?
    #[must_use]
    pub fn checkpoint_is_due(&self) -> bool {
        self.has_news() >= self.keeping.config.checkpoint_every
    }

    /// Could a checkpoint begin, and how many entries would it cover that the last does not? 0: it could not.
    #[must_use]
    pub fn has_news(&self) -> u64 {
        match self.keeping.work {
            // What is in the trees of a machine that stands is undecided, or half done.
            // Planted 231: nor is a half-done command looked at.
            Work::Idle if planted!(231) && self.machine.is_under_way() => {
                self.machine.executed().0.saturating_sub(self.keeping.saved.0)
            }
            Work::Idle if self.machine.stands() && !planted!(108) && !planted!(144) => 0,
            Work::Idle => self.machine.executed().0.saturating_sub(self.keeping.saved.0),
            Work::Own { .. } | Work::Download(_) => 0,
        }
    }

    /// Is this replica writing a checkpoint of its own state?
    #[must_use]
    pub const fn is_saving(&self) -> bool {
        matches!(self.keeping.work, Work::Own { .. })
    }

    /// Bytes of the last checkpoint made here; 0: none was made in this life.
    #[must_use]
    pub const fn saved_bytes(&self) -> u64 {
        self.keeping.saved_bytes
    }

    /// Begins a checkpoint of the state as it is. Its chunks are made one at a time, as the file wants them.
    pub fn begin_checkpoint(&mut self) {
        if self.has_news() == 0 {
            return;
        }
        let Some((header, snapshot)) = frozen(&self.machine, |index| self.consensus.position(index)) else { return };
        sometimes!("partition.checkpoint_begun");
        self.keeping.work = Work::Own { header, snapshot: Box::new(snapshot), next: Some(Position::default()) };
        self.keeping.written = 0;
        self.output.keeping.files.push(FileOrder::Begin(header));
    }

    /// Takes what is to be carried out.
    pub fn take_keep(&mut self) -> Keep {
        std::mem::take(&mut self.output.keeping)
    }

    /// The checkpoint file takes another chunk.
    pub fn file_wants(&mut self, now: Instant) {
        let result = match &mut self.keeping.work {
            // An order to abandon has crossed this.
            Work::Idle => return,
            Work::Own { snapshot, next, .. } => {
                let order = match next.take() {
                    Some(from) => {
                        let (bytes, following) = snapshot.chunk(&from, self.keeping.config.chunk_bytes);
                        sometimes!("partition.checkpoint_of_several_chunks", following.is_some());
                        *next = following;
                        self.keeping.written += bytes.len() as u64;
                        FileOrder::Append(bytes)
                    }
                    None => FileOrder::Finish,
                };
                self.output.keeping.files.push(order);
                Ok(())
            }
            Work::Download(download) => download.file_wants(now),
        };
        self.download_went(result);
    }

    /// A checkpoint is durable under its name.
    pub fn published(&mut self, now: Instant, header: Header) {
        let floor = header.floor;
        sometimes!("partition.checkpoint_published");
        match std::mem::replace(&mut self.keeping.work, Work::Idle) {
            Work::Own { header: own, .. } if own == header => {
                self.keeping.saved_bytes = self.keeping.written;
                sometimes!("partition.checkpoint_behind_execution", self.machine.executed() > floor.index);
            }
            Work::Download(download) if download.header() == Some(header) => {
                let facts = download.facts();
                if let Some(machine) = download.into_built()
                    && self.consensus.installed(now, floor, machine.membership())
                {
                    self.keeping.fetched = Some(facts);
                    self.install(machine);
                } else {
                    sometimes!("partition.snapshot_overtaken_when_whole");
                }
            }
            // The last order of a checkpoint that was given up for a download had been to finish it.
            other => {
                sometimes!("partition.checkpoint_published_behind_a_download");
                self.keeping.work = other;
            }
        }
        self.keeping.saved = self.keeping.saved.max(floor.index);
        self.output.keeping.release = Some(floor);
        self.forget();
    }

    /// Is more of the log kept for a state that is being sent than should be? Then it had better be sent quickly.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        let most = self.keeping.config.log_keep_entries.saturating_mul(PRESSED).max(PRESSED_AT_LEAST);
        let lowest = self.keeping.sources.lowest();
        let pressed = lowest.is_some_and(|lowest| self.consensus.status().last.0.saturating_sub(lowest.0) > most);
        sometimes!("partition.pressed_to_send", pressed);
        pressed
    }

    /// A chunk is wanted: it is sent, with so many bytes at most, unless none is due for a while. Returns its length.
    pub fn snapshot_wanted(&mut self, now: Instant, from: NodeId, wanted: Wanted, bytes: usize) -> u64 {
        let Wanted { at_least, resume, wait } = wanted;
        if let Some(wait) = wait {
            self.keeping.sources.keep(now, resume.as_ref());
            self.output.keeping.snapshots.push((from, SnapshotMessage::Later { wait }));
            return 0;
        }
        self.serve(now, from, at_least, resume, bytes)
    }

    /// Takes a message about a snapshot that is fetched.
    pub fn snapshot_message(&mut self, now: Instant, from: NodeId, message: SnapshotMessage) {
        match message {
            SnapshotMessage::Fetch { .. } => {}
            SnapshotMessage::Later { wait } => {
                if let Work::Download(download) = &mut self.keeping.work {
                    download.later(now, from, wait);
                }
            }
            SnapshotMessage::Chunk { header, from: position, next, bytes, rows } => {
                if let Work::Download(download) = &mut self.keeping.work {
                    download.has_rows(rows);
                    let result = download.chunk(now, from, header, &position, next, bytes);
                    self.download_went(result);
                }
            }
            SnapshotMessage::Unavailable => {
                if let Work::Download(download) = &mut self.keeping.work {
                    let result = download.unavailable(from);
                    self.download_went(result);
                }
            }
        }
    }

    /// An operator wants a snapshot to be fetched, if this replica has not come as far. Tells whether it is fetched.
    pub fn recover(&mut self, now: Instant, fetch: Fetch) -> bool {
        // What it has been handed and is still executing, it does not lack.
        let has = self.backlog.back().map_or(self.machine.executed(), |whole| whole.last.max(self.machine.executed()));
        let wanted = self.consensus.status().role != Role::Leader && has < fetch.at_least;
        if wanted {
            sometimes!("partition.recovery_ordered");
            self.fetch(now, fetch);
        }
        wanted
    }

    /// What it lacks, and how it comes to that.
    #[must_use]
    pub fn recovery(&self) -> RecoveryFacts {
        let status = self.consensus.status();
        let fetch = match &self.keeping.work {
            Work::Download(download) => Some(download.facts()),
            Work::Idle | Work::Own { .. } => None,
        };
        let (standing, lacks_state) = (status.standing, status.lacks_state);
        RecoveryFacts { standing, lacks_state, fetch, fetched: self.keeping.fetched }
    }

    /// Consensus wants a snapshot.
    pub(super) fn fetch(&mut self, now: Instant, fetch: Fetch) {
        if let Work::Download(download) = &mut self.keeping.work {
            download.redirect(now, fetch);
        } else {
            sometimes!("partition.snapshot_wanted");
            if self.is_saving() {
                sometimes!("partition.checkpoint_abandoned_for_a_snapshot");
                self.output.keeping.files.push(FileOrder::Abandon);
            }
            let download = Download::new(self.partition, now, fetch, self.keeping.config.patience);
            self.keeping.work = Work::Download(Box::new(download));
        }
        self.download_went(Ok(()));
    }

    /// A download of what has been executed here in the meantime is of no use.
    pub(super) fn drop_overtaken_download(&mut self) {
        if let Work::Download(download) = &self.keeping.work
            && download.is_overtaken(self.machine.executed())
        {
            sometimes!("partition.snapshot_overtaken");
            self.give_up_download();
        }
    }

    pub(super) fn keeping_timeout(&mut self, now: Instant) {
        if self.keeping.sources.expire(now) {
            sometimes!("partition.snapshot_source_let_go");
            self.forget();
        }
        if let Work::Download(download) = &mut self.keeping.work {
            let result = download.handle_timeout(now);
            self.download_went(result);
        }
    }

    fn serve(
        &mut self,
        now: Instant,
        to: NodeId,
        at_least: LogIndex,
        resume: Option<(Header, Position)>,
        bytes: usize,
    ) -> u64 {
        let (machine, consensus) = (&self.machine, &self.consensus);
        let take = || {
            let far_enough = machine.executed() >= at_least.max(LogIndex(1)) && (!machine.stands() || planted!(108));
            far_enough.then(|| frozen(machine, |index| consensus.position(index))).flatten()
        };
        let bytes = bytes.min(self.keeping.config.chunk_bytes);
        let answer = self.keeping.sources.serve(now, at_least, resume, bytes, take);
        let sent = if let SnapshotMessage::Chunk { bytes, .. } = &answer { bytes.len() as u64 } else { 0 };
        self.output.keeping.snapshots.push((to, answer));
        sent
    }

    /// Takes what the download wants done; or the download has come to nothing, and consensus will ask again.
    fn download_went(&mut self, result: Result<(), GivenUp>) {
        let Work::Download(download) = &mut self.keeping.work else { return };
        self.output.keeping.snapshots.append(&mut download.asks);
        self.output.keeping.files.append(&mut download.orders);
        if let Err(GivenUp(reason)) = result {
            sometimes!("partition.snapshot_given_up");
            tracing::info!(partition = self.partition.0, reason, "a snapshot could not be had");
            self.give_up_download();
        }
    }

    fn give_up_download(&mut self) {
        self.keeping.work = Work::Idle;
        self.output.keeping.files.push(FileOrder::Abandon);
    }

    /// Puts another replica's state in the place of this one's.
    fn install(&mut self, machine: StateMachine) {
        sometimes!("partition.snapshot_installed");
        sometimes!("partition.snapshot_installed_over_a_state", self.machine.executed() > LogIndex(0));
        assert!(machine.executed() > self.machine.executed(), "a snapshot is installed over an older state only");
        self.backlog.retain(|entry| entry.last > machine.executed());
        self.assembler.forget_through(machine.executed());
        self.machine = machine;
        // What they are of is not there any more.
        self.forks = crate::partition::transaction::Forks::default();
        self.announce_restored();
    }

    /// Sessions learn of a catalog when it is executed; one that came with a state is executed too.
    pub(super) fn announce_restored(&mut self) {
        if self.partition == PartitionId::CLUSTER && self.machine.executed() > LogIndex(0) {
            self.output.catalog = Some(std::sync::Arc::clone(self.machine.catalog()));
            self.output.directory = Some(std::sync::Arc::clone(self.machine.directory()));
        }
    }

    /// Lets the log go as far as nobody is expected to need it.
    pub(super) fn forget(&mut self) {
        let kept = self.keeping.saved.0.saturating_sub(self.keeping.config.log_keep_entries);
        let through = self.keeping.sources.lowest().map_or(kept, |lowest| kept.min(lowest.0));
        self.consensus.compact(LogIndex(through));
    }
}

/// The state as it is, labelled with its place in the log; `None` if the log does not know it, or nothing is executed.
fn frozen(machine: &StateMachine, position: impl FnOnce(LogIndex) -> Option<Floor>) -> Option<(Header, Snapshot)> {
    let snapshot = machine.snapshot();
    let floor = position(snapshot.executed())?;
    Some((Header { floor, digest: snapshot.digest() }, snapshot))
}
