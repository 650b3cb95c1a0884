//! **Transfer**: a snapshot on its way from a replica that has it to one that is too far behind, chunk by chunk.
//!
//! The receiver pulls: it asks for a chunk, gives it to its checkpoint file, and asks for the next when the file has taken
//! it. So its disk sets the pace, at most one chunk waits anywhere, and a broken transfer is resumed by asking again. The
//! sender keeps nothing of a receiver: a request says what it continues ([`SnapshotMessage::Fetch`]), and any replica that
//! holds that very state, or is still in it, can answer.
//!
//! # Invariants
//! - A chunk is taken only if it belongs to the snapshot that was begun and begins where the last one ended: what is late,
//!   doubled or of another snapshot is passed over.
//! - A source holds at most [`MAX_HELD`] snapshots, each for [`HOLD`] after its last use: who needs yet another one waits until one is
//!   let go. (Once the one not used for longest went: three receivers took theirs from each other for ever.) While it holds one, the
//!   log after it is kept too, so that a receiver that has installed it can go on from there.
//! - A download ends: by its state being built and published, by being overtaken, or after [`MAX_ATTEMPTS`] requests in a row
//!   without an answer. Then consensus asks again, perhaps for another source. Being told to wait is an answer.
//!
//! # Caveats
//! - A receiver that ends its life begins again from the first chunk: half a file is worth nothing to the next life.
//! - Only the source keeps its log for a receiver. When another node comes to lead, and has forgotten the log behind the state that is
//!   on its way, the receiver begins again from there: a state should be sent in less time than leaders last.

use crate::checkpoint::Header;
use crate::consensus::Fetch;
use crate::partition::StateMachine;
use crate::partition::snapshot::{Builder, MAX_CHUNK_BYTES, Position, Snapshot};
use crate::sometimes;
use crate::types::{Duration, Instant, LogIndex, NodeId, PartitionId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Most snapshots that a replica holds for others.
pub const MAX_HELD: usize = 2;
/// A snapshot that nobody has asked for during this time is let go.
pub const HOLD: Duration = Duration::from_secs(10);
/// After so many requests without an answer the download is given up.
pub const MAX_ATTEMPTS: u32 = 6;

/// What replicas of a partition say to each other about snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotMessage {
    /// A chunk is wanted.
    Fetch {
        /// Of a snapshot at this index or later.
        at_least: LogIndex,
        /// Going on with this one, from here; else from the beginning of any.
        resume: Option<(Header, Position)>,
    },
    /// A chunk.
    Chunk {
        /// Of which snapshot.
        header: Header,
        /// Where it begins.
        from: Position,
        /// Where the next one begins; `None`: it is the last.
        next: Option<Position>,
        /// The chunk.
        bytes: Bytes,
        /// Rows of the whole.
        rows: u64,
    },
    /// No snapshot at that index or later is here.
    Unavailable,
    /// The next chunk is not due yet (see `recovery_rate`): ask again after this time.
    Later {
        /// So long.
        wait: Duration,
    },
}

/// What a replica wants done with its checkpoint file, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOrder {
    /// Begin one.
    Begin(Header),
    /// Its next chunk.
    Append(Bytes),
    /// There are no more.
    Finish,
    /// Drop it.
    Abandon,
}

/// A snapshot that is, or was, fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFacts {
    /// From whom.
    pub from: NodeId,
    /// Its position; before the first chunk has come the least that is wanted.
    pub index: LogIndex,
    /// Bytes that have come.
    pub bytes: u64,
    /// So much of its rows has come.
    pub percent: u32,
}

/// Snapshots held for others.
#[derive(Default)]
pub(super) struct Sources {
    held: Vec<Held>,
}

struct Held {
    header: Header,
    snapshot: Snapshot,
    taken: Instant,
    used: Instant,
}

impl Sources {
    /// Answers a request. `take` freezes the present state, if it is far enough.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        at_least: LogIndex,
        resume: Option<(Header, Position)>,
        bytes: usize,
        take: impl FnOnce() -> Option<(Header, Snapshot)>,
    ) -> SnapshotMessage {
        self.expire(now);
        let fits = |held: &Held| match &resume {
            Some((header, _)) => held.header == *header,
            // A new receiver is not sent what is about to be let go: it would keep the log from being forgotten for ever.
            None => held.header.floor.index >= at_least && now.since(held.taken) < HOLD,
        };
        let at = match self.held.iter().position(fits) {
            Some(at) => at,
            None => {
                if self.held.len() >= MAX_HELD {
                    sometimes!("partition.snapshot_source_is_busy");
                    return SnapshotMessage::Later { wait: HOLD / 4 };
                }
                let Some((header, snapshot)) = take() else {
                    sometimes!("partition.snapshot_unavailable");
                    return SnapshotMessage::Unavailable;
                };
                self.held.push(Held { header, snapshot, taken: now, used: now });
                self.held.len() - 1
            }
        };
        let held = &mut self.held[at];
        held.used = now;
        let from = match resume {
            Some((header, position)) if header == held.header => {
                sometimes!("partition.snapshot_resumed_at_another_source", held.taken == now);
                position
            }
            _ => Position::default(),
        };
        let (bytes, next) = held.snapshot.chunk(&from, bytes);
        SnapshotMessage::Chunk { header: held.header, from, next, bytes, rows: held.snapshot.rows() }
    }

    /// Whoever pulls this has been told to wait: it is not let go.
    pub(super) fn keep(&mut self, now: Instant, resume: Option<&(Header, Position)>) {
        let pulled = |held: &&mut Held| resume.is_some_and(|(header, _)| held.header == *header);
        if let Some(held) = self.held.iter_mut().find(pulled) {
            held.used = now;
        }
    }

    /// The lowest index whose snapshot is held: the log after it is wanted.
    pub(super) fn lowest(&self) -> Option<LogIndex> {
        self.held.iter().map(|held| held.header.floor.index).min()
    }

    /// When [`Sources::expire`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.used + HOLD).min()
    }

    /// Lets go of what nobody wants any more. Tells whether there was any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.held.len();
        self.held.retain(|held| now < held.used + HOLD);
        self.held.len() < before
    }
}

/// A snapshot that is being pulled.
pub(super) struct Download {
    partition: PartitionId,
    /// Whom to ask.
    from: NodeId,
    at_least: LogIndex,
    /// Asked again after this time.
    patience: Duration,
    /// Which one, once the first chunk has come.
    header: Option<Header>,
    builder: Builder,
    /// Where the next chunk begins; `None`: all have come.
    awaited: Option<Position>,
    /// A chunk that waits for the file.
    arrived: Option<Bytes>,
    file_wants: bool,
    retry_at: Instant,
    attempts: u32,
    /// When that is is what the source has said.
    told_to_wait: bool,
    built: Option<StateMachine>,
    /// Bytes that have come of it.
    bytes: u64,
    /// Rows of the whole.
    rows: u64,
    /// Messages to be sent.
    pub(super) asks: Vec<(NodeId, SnapshotMessage)>,
    /// Orders for the file.
    pub(super) orders: Vec<FileOrder>,
}

/// A download has come to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenUp(pub(super) String);

impl Download {
    /// Begins to pull.
    pub(super) fn new(partition: PartitionId, now: Instant, fetch: Fetch, patience: Duration) -> Self {
        let mut download = Self {
            partition,
            from: fetch.from,
            at_least: fetch.at_least,
            patience,
            header: None,
            builder: Builder::new(),
            awaited: Some(Position::default()),
            arrived: None,
            file_wants: false,
            retry_at: now,
            attempts: 0,
            told_to_wait: false,
            built: None,
            bytes: 0,
            rows: 0,
            asks: Vec::new(),
            orders: Vec::new(),
        };
        download.ask(now);
        download
    }

    /// Which snapshot, if known.
    pub(super) const fn header(&self) -> Option<Header> {
        self.header
    }

    /// How far it has come.
    pub(super) fn facts(&self) -> FetchFacts {
        let index = self.header.map_or(self.at_least, |header| header.floor.index);
        let come = self.builder.rows_come();
        let percent = if self.built.is_some() { 100 } else { come.saturating_mul(100) / self.rows.max(come).max(1) };
        FetchFacts { from: self.from, index, bytes: self.bytes, percent: u32::try_from(percent).unwrap_or(100) }
    }

    /// Has this replica executed what the download would bring?
    pub(super) fn is_overtaken(&self, executed: LogIndex) -> bool {
        executed >= self.header.map_or(self.at_least, |header| header.floor.index)
    }

    /// Consensus says again what it needs, and from whom.
    pub(super) fn redirect(&mut self, now: Instant, fetch: Fetch) {
        self.at_least = self.at_least.max(fetch.at_least);
        if self.header.is_some_and(|header| header.floor.index < self.at_least) {
            sometimes!("partition.snapshot_too_old_before_it_was_whole");
            self.restart();
            self.from = fetch.from;
            self.ask(now);
        } else if self.from != fetch.from && self.attempts > 0 {
            // One that answers is kept: another is likely to be in another state, and all would begin again.
            sometimes!("partition.snapshot_source_changed", self.header.is_some());
            self.from = fetch.from;
            if self.waits_for_a_chunk() {
                self.ask(now);
            }
        }
    }

    /// A chunk has come.
    pub(super) fn chunk(
        &mut self,
        now: Instant,
        source: NodeId,
        header: Header,
        from: &Position,
        next: Option<Position>,
        bytes: Bytes,
    ) -> Result<(), GivenUp> {
        let begins = *from == Position::default();
        if begins && source == self.from && self.header != Some(header) && header.floor.index >= self.at_least {
            sometimes!("partition.snapshot_begun_again", self.header.is_some());
            self.restart();
            self.header = Some(header);
            self.orders.push(FileOrder::Begin(header));
        }
        if self.header != Some(header) || self.awaited.as_ref() != Some(from) || self.arrived.is_some() {
            sometimes!("partition.snapshot_chunk_passed_over");
            return Ok(());
        }
        if bytes.len() > MAX_CHUNK_BYTES {
            return Err(GivenUp(format!("a chunk of {} bytes", bytes.len())));
        }
        self.builder.push(&bytes).map_err(|reason| GivenUp(reason.to_string()))?;
        sometimes!("partition.snapshot_chunk_taken");
        self.attempts = 0;
        self.bytes += bytes.len() as u64;
        self.awaited = next;
        self.arrived = Some(bytes);
        self.pump(now)
    }

    /// The source will have the next chunk later.
    pub(super) fn later(&mut self, now: Instant, source: NodeId, wait: Duration) {
        if source == self.from && self.waits_for_a_chunk() {
            sometimes!("partition.snapshot_chunk_not_due");
            self.attempts = 0;
            self.told_to_wait = true;
            self.retry_at = now + wait.min(HOLD / 2);
        }
    }

    /// So many rows the whole has.
    pub(super) const fn has_rows(&mut self, rows: u64) {
        self.rows = rows;
    }

    /// The source has nothing that serves.
    pub(super) fn unavailable(&mut self, source: NodeId) -> Result<(), GivenUp> {
        if source == self.from && self.waits_for_a_chunk() {
            return Err(GivenUp(format!("{source} has no snapshot at {} or later", self.at_least)));
        }
        Ok(())
    }

    /// The file takes another chunk.
    pub(super) fn file_wants(&mut self, now: Instant) -> Result<(), GivenUp> {
        self.file_wants = true;
        self.pump(now)
    }

    /// When [`Download::handle_timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.waits_for_a_chunk().then_some(self.retry_at)
    }

    /// Asks again if nothing has come for long.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), GivenUp> {
        if !self.waits_for_a_chunk() || now < self.retry_at {
            return Ok(());
        }
        // Who was told to wait has an answer, and a source that is not to be exchanged for another.
        self.attempts += u32::from(!self.told_to_wait);
        if self.attempts >= MAX_ATTEMPTS {
            return Err(GivenUp(format!("{} does not answer", self.from)));
        }
        sometimes!("partition.snapshot_asked_again");
        self.ask(now);
        Ok(())
    }

    /// The state, once it is whole.
    pub(super) fn into_built(self) -> Option<StateMachine> {
        self.built
    }

    fn waits_for_a_chunk(&self) -> bool {
        self.awaited.is_some() && self.arrived.is_none()
    }

    fn restart(&mut self) {
        if self.header.take().is_some() {
            self.orders.push(FileOrder::Abandon);
        }
        self.builder = Builder::new();
        self.awaited = Some(Position::default());
        self.arrived = None;
        self.file_wants = false;
        self.bytes = 0;
        self.built = None;
    }

    fn ask(&mut self, now: Instant) {
        let resume = self.header.zip(self.awaited.clone());
        self.retry_at = now + self.patience;
        self.told_to_wait = false;
        self.asks.push((self.from, SnapshotMessage::Fetch { at_least: self.at_least, resume }));
    }

    /// Hands on what has come, and asks for more.
    fn pump(&mut self, now: Instant) -> Result<(), GivenUp> {
        if !self.file_wants {
            return Ok(());
        }
        if let Some(bytes) = self.arrived.take() {
            self.file_wants = false;
            self.orders.push(FileOrder::Append(bytes));
            if self.awaited.is_some() {
                self.ask(now);
            }
        } else if let (None, None, Some(header)) = (&self.awaited, &self.built, self.header) {
            // Only a state that is the one it says it is gets a name that the next life would believe.
            let builder = std::mem::take(&mut self.builder);
            let built = builder.finish(self.partition, header.floor.index, header.digest);
            self.built = Some(built.map_err(|reason| GivenUp(reason.to_string()))?);
            self.file_wants = false;
            self.orders.push(FileOrder::Finish);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
