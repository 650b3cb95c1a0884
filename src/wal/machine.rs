use crate::env::{DiskOp, DiskResult};
use crate::types::{Era, Incarnation, LogIndex, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What a log is told when it is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose log. A directory written by another is refused.
    pub node: NodeId,
    /// Which worker's.
    pub worker: WorkerId,
    /// Size of a segment in bytes: a multiple of 4096.
    pub segment_bytes: u64,
    /// Dice: identity of the log if it is created now, and of this life's blocks.
    pub seed: u64,
}

/// One durable record, opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the group's log.
    pub index: LogIndex,
    /// Era under which it was written.
    pub era: Era,
    /// The protocol's own bytes.
    pub bytes: Bytes,
}

/// What is known of a hole in a group's records (rules A12 ii).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First index that may be lost.
    pub first: LogIndex,
    /// Last position that the log is known to have had.
    pub last: LogIndex,
    /// Era of that last position.
    pub last_era: Era,
}

/// What recovery found of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// All records in the order in which they were appended, superseded ones included.
    pub records: Vec<Record>,
    /// Last durable hard state.
    pub hard_state: Option<Bytes>,
    /// Records are lost whose indices are known.
    pub damaged: Option<Damage>,
}

/// What the log tells its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalEvent {
    /// Recovery is complete and durable: this life's incarnation too. First event of a good life.
    Recovered {
        /// By partition; groups without records and hard state are absent.
        groups: BTreeMap<PartitionId, RecoveredGroup>,
        /// Number of this life, larger than every earlier one.
        incarnation: Incarnation,
    },
    /// Everything appended with this ticket or a lower one is durable.
    Persisted {
        /// Highest durable ticket.
        ticket: u64,
    },
    /// The disk failed in a way that leaves unknown what it holds, or has no space: the worker ends its life. Last event.
    Failed(String),
    /// Whose records are lost, or a hard state, is not known: this node has amnesia and takes no part in any vote
    /// (rules A12 iii). Last event.
    Corrupt(String),
    /// The directory belongs to another node or worker, or to a newer version: what, and what the operator can do. Last event.
    Unusable(String),
}

/// The log of one worker.
///
/// Usage: [`Wal::start`] once; after every call, submit [`Wal::take_ops`] in order and take [`Wal::poll`] until `None`; hand each
/// completion to [`Wal::completed`] in the order of submission. Appending is allowed once [`WalEvent::Recovered`] is out.
pub struct Wal {
    ops: Vec<DiskOp>,
    events: VecDeque<WalEvent>,
    waiting: u64,
}

impl Wal {
    /// A log at the beginning of a life.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let _ = config;
        Self { ops: Vec::new(), events: VecDeque::new(), waiting: 0 }
    }

    /// Begins recovery.
    pub fn start(&mut self) {
        self.events.push_back(WalEvent::Recovered { groups: BTreeMap::new(), incarnation: Incarnation(1) });
    }

    /// Operations to be submitted, in this order. Call after every other call.
    #[must_use]
    pub fn take_ops(&mut self) -> Vec<DiskOp> {
        std::mem::take(&mut self.ops)
    }

    /// The oldest operation that has not been reported yet has ended so.
    pub fn completed(&mut self, result: DiskResult) {
        let _ = result;
    }

    /// What there is to tell. Call after every other call until it returns `None`.
    #[must_use]
    pub fn poll(&mut self) -> Option<WalEvent> {
        self.events.pop_front()
    }

    /// Appends records of a group, in order, and replaces its hard state, durable before or together with the records.
    /// Tickets rise. Nothing is written before [`Wal::flush`] or the end of the batch in flight.
    pub fn append(&mut self, ticket: u64, group: PartitionId, records: &[Record], hard_state: Option<Bytes>) {
        let _ = (group, records, hard_state);
        self.waiting = ticket;
    }

    /// Starts a batch of everything that waits, unless one is in flight (then the next begins by itself at its end).
    pub fn flush(&mut self) {
        if self.waiting > 0 {
            self.events.push_back(WalEvent::Persisted { ticket: std::mem::take(&mut self.waiting) });
        }
    }

    /// Nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting == 0
    }
}
