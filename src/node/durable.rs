//! What a worker keeps on disk: the log and the checkpoints behind one door.
//!
//! Both are machines over the same disk, which completes operations in the order in which they were submitted: a queue
//! remembers whose each was. At the beginning of a life the log is recovered first (a checkpoint belongs to a log), then the
//! checkpoints are loaded and states built of them, chunk by chunk; the worker hears of both at once.

use crate::checkpoint::{self, CheckpointEvent, Checkpoints, Header};
use crate::consensus::{Floor, Recovered};
use crate::env::{DiskOp, DiskResult, StopReason};
use crate::partition::StateMachine;
use crate::partition::snapshot::Builder;
use crate::partition::transfer::FileOrder;
use crate::types::{Incarnation, PartitionId};
use crate::wal::{self, Record, Wal, WalEvent};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Log and checkpoints of one worker.
pub(super) struct Durable {
    config: wal::Config,
    wal: Wal,
    /// There once the log has recovered.
    checkpoints: Option<Checkpoints>,
    /// Whose the operations in flight are, in order.
    owners: VecDeque<Owner>,
    ops: Vec<DiskOp>,
    events: VecDeque<DurableEvent>,
    loading: Option<Loading>,
}

/// The hard state of a group whose replica was dropped: no protocol's own begins so.
const DROPPED: &[u8] = b"\xff dropped";

/// Is this the mark of a replica that was here and was dropped, and no hard state of a protocol?
pub(crate) fn is_dropped(hard_state: Option<&[u8]>) -> bool {
    hard_state == Some(DROPPED)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Wal,
    Checkpoints,
}

/// States in the making.
struct Loading {
    groups: BTreeMap<PartitionId, wal::RecoveredGroup>,
    incarnation: Incarnation,
    amnesia: bool,
    lost: Option<String>,
    building: BTreeMap<PartitionId, (Header, Builder)>,
    built: BTreeMap<PartitionId, (Floor, StateMachine)>,
    refused: BTreeMap<PartitionId, String>,
}

/// What was found of a partition.
pub(super) struct Found {
    /// For its consensus member.
    pub(super) recovered: Recovered,
    /// Its state.
    pub(super) machine: StateMachine,
    /// Why its checkpoint could not be used.
    pub(super) refused: Option<String>,
}

/// What is to be told.
pub(super) enum DurableEvent {
    /// First event of a good life.
    Recovered {
        found: BTreeMap<PartitionId, Found>,
        /// Partitions of which a replica was here, and was dropped.
        dropped: BTreeSet<PartitionId>,
        incarnation: Incarnation,
        /// Partitions that were not found have been here all the same.
        amnesia: bool,
        /// Why the log of earlier lives was set aside, if it was.
        lost: Option<String>,
    },
    /// Everything appended to the log with this ticket or a lower one is durable.
    Persisted { ticket: u64 },
    /// A checkpoint file takes its next chunk.
    Wants { partition: PartitionId },
    /// A checkpoint is durable.
    Published { partition: PartitionId, header: Header },
    /// The worker's life ends.
    Ended(StopReason),
}

impl Durable {
    /// Begins recovery.
    pub(super) fn start(config: wal::Config) -> Self {
        let mut wal = Wal::new(config.clone());
        wal.start();
        let mut durable = Self {
            config,
            wal,
            checkpoints: None,
            owners: VecDeque::new(),
            ops: Vec::new(),
            events: VecDeque::new(),
            loading: None,
        };
        durable.collect();
        durable
    }

    /// The oldest operation that has not been reported yet has ended so.
    pub(super) fn completed(&mut self, result: DiskResult) {
        match self.owners.pop_front() {
            Some(Owner::Wal) => self.wal.completed(result),
            Some(Owner::Checkpoints) => {
                if let Some(checkpoints) = &mut self.checkpoints {
                    checkpoints.completed(result);
                }
            }
            None => {}
        }
        self.collect();
    }

    /// Operations to be submitted, in this order. Call after every other call.
    pub(super) fn take_ops(&mut self) -> Vec<DiskOp> {
        std::mem::take(&mut self.ops)
    }

    /// What there is to tell. Call after every other call until it returns `None`.
    pub(super) fn poll(&mut self) -> Option<DurableEvent> {
        self.events.pop_front()
    }

    /// See [`Wal::append`] and, with a floor, [`Wal::reset`].
    pub(super) fn append(
        &mut self,
        ticket: u64,
        group: PartitionId,
        reset: Option<Floor>,
        records: &[Record],
        hard_state: Option<Bytes>,
    ) {
        match reset {
            Some(floor) => {
                sometimes!("node.log_reset");
                self.wal.reset(ticket, group, floor, hard_state);
                self.wal.append(ticket, group, records, None);
            }
            None => self.wal.append(ticket, group, records, hard_state),
        }
        self.collect();
    }

    /// A partition's replica is here no more: its log is void, its checkpoints go, and a mark says that it was here.
    pub(super) fn forget(&mut self, ticket: u64, partition: PartitionId) {
        self.wal.forget(ticket, partition, Bytes::from_static(DROPPED));
        // Nor is a later life told what became of this one's checkpoint.
        self.events.retain(|event| match event {
            DurableEvent::Wants { partition: of } | DurableEvent::Published { partition: of, .. } => *of != partition,
            _ => true,
        });
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.forget(partition);
        }
        self.collect();
    }

    /// See [`Wal::flush`].
    pub(super) fn flush(&mut self) {
        self.wal.flush();
        self.collect();
    }

    /// See [`Wal::release`].
    pub(super) fn release(&mut self, group: PartitionId, floor: Floor) {
        self.wal.release(group, floor);
        self.collect();
    }

    /// The group whose checkpoint would let the log shrink, if the log is longer than this.
    pub(super) fn pinned_beyond(&self, bytes: u64) -> Option<PartitionId> {
        if self.wal.bytes() > bytes { self.wal.pinned_by() } else { None }
    }

    /// Carries out orders for a partition's checkpoint file.
    pub(super) fn order(&mut self, partition: PartitionId, order: FileOrder) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        match order {
            FileOrder::Begin(header) => checkpoints.begin(partition, header),
            FileOrder::Append(chunk) => checkpoints.append(partition, chunk),
            FileOrder::Finish => checkpoints.finish(partition),
            FileOrder::Abandon => checkpoints.abandon(partition),
        }
        self.collect();
    }

    /// Nothing of the log waits or is in flight. A checkpoint may be: it is worth nothing until it is published.
    pub(super) fn is_idle(&self) -> bool {
        self.wal.is_idle()
    }

    /// Takes operations and events of both, until neither has any.
    fn collect(&mut self) {
        loop {
            let ops = self.wal.take_ops();
            self.owners.extend(ops.iter().map(|_| Owner::Wal));
            self.ops.extend(ops);
            if let Some(checkpoints) = &mut self.checkpoints {
                let ops = checkpoints.take_ops();
                self.owners.extend(ops.iter().map(|_| Owner::Checkpoints));
                self.ops.extend(ops);
            }
            if let Some(event) = self.wal.poll() {
                self.of_the_log(event);
            } else if let Some(event) = self.checkpoints.as_mut().and_then(Checkpoints::poll) {
                self.of_a_checkpoint(event);
            } else {
                return;
            }
        }
    }

    fn of_the_log(&mut self, event: WalEvent) {
        let event = match event {
            WalEvent::Recovered { groups, incarnation, amnesia, lost } => {
                self.loading = Some(Loading {
                    groups,
                    incarnation,
                    amnesia,
                    lost,
                    building: BTreeMap::new(),
                    built: BTreeMap::new(),
                    refused: BTreeMap::new(),
                });
                let (node, worker) = (self.config.node, self.config.worker);
                let log_id = self.wal.log_id().expect("a log that has recovered has an identity");
                let mut checkpoints = Checkpoints::new(checkpoint::Config { node, worker, log_id });
                checkpoints.start();
                self.checkpoints = Some(checkpoints);
                return;
            }
            WalEvent::Persisted { ticket } => DurableEvent::Persisted { ticket },
            WalEvent::Failed(reason) => DurableEvent::Ended(StopReason::Disk(reason)),
            WalEvent::Corrupt(reason) | WalEvent::Unusable(reason) => DurableEvent::Ended(StopReason::Unusable(reason)),
        };
        self.events.push_back(event);
    }

    fn of_a_checkpoint(&mut self, event: CheckpointEvent) {
        let event = match (event, &mut self.loading) {
            (CheckpointEvent::Wants { partition }, _) => DurableEvent::Wants { partition },
            (CheckpointEvent::Published { partition, header }, _) => DurableEvent::Published { partition, header },
            (CheckpointEvent::Failed(reason), _) => DurableEvent::Ended(StopReason::Disk(reason)),
            (CheckpointEvent::Loaded, loading) => match loading.take() {
                Some(loading) => {
                    let event = loading.done();
                    if let (DurableEvent::Recovered { dropped, .. }, Some(checkpoints)) =
                        (&event, &mut self.checkpoints)
                    {
                        dropped.iter().for_each(|partition| checkpoints.forget(*partition));
                    }
                    event
                }
                None => return,
            },
            (event, Some(loading)) => return loading.take(event),
            (_, None) => return,
        };
        self.events.push_back(event);
    }
}

impl Loading {
    fn take(&mut self, event: CheckpointEvent) {
        match event {
            CheckpointEvent::Found { partition, header } => {
                self.building.insert(partition, (header, Builder::new()));
            }
            CheckpointEvent::Chunk { partition, bytes } => {
                if let Some((_, builder)) = self.building.get_mut(&partition)
                    && let Err(reason) = builder.push(&bytes)
                {
                    self.refuse(partition, reason.to_string());
                }
            }
            CheckpointEvent::Complete { partition } => {
                let Some((header, builder)) = self.building.remove(&partition) else { return };
                match builder.finish(partition, header.floor.index, header.digest) {
                    Ok(machine) => drop(self.built.insert(partition, (header.floor, machine))),
                    Err(reason) => self.refuse(partition, reason.to_string()),
                }
            }
            CheckpointEvent::Damaged { partition, reason } => self.refuse(partition, reason),
            _ => {}
        }
    }

    /// The state must come from elsewhere: from the log if it goes back far enough, else from another replica.
    fn refuse(&mut self, partition: PartitionId, reason: String) {
        sometimes!("node.checkpoint_refused");
        self.building.remove(&partition);
        self.refused.insert(partition, reason);
    }

    fn done(mut self) -> DurableEvent {
        let partitions: BTreeSet<PartitionId> = self.groups.keys().chain(self.built.keys()).copied().collect();
        let (mut found, mut dropped) = (BTreeMap::new(), BTreeSet::new());
        for partition in partitions {
            let group = self.groups.remove(&partition).unwrap_or_default();
            if is_dropped(group.hard_state.as_deref()) {
                // A checkpoint may have come back with a crash: it is of no more use, and goes.
                dropped.insert(partition);
                continue;
            }
            let mut state = self.built.remove(&partition);
            if let (true, None, Some(floor)) = (planted!(38), &state, group.floor) {
                state = Builder::new().finish(partition, floor.index, 0).ok().map(|machine| (floor, machine));
            }
            sometimes!("node.state_loaded", state.is_some());
            let recovered = Recovered {
                state: state.as_ref().map(|(floor, _)| *floor),
                membership: state.as_ref().and_then(|(_, machine)| machine.membership().cloned()),
                amnesia: self.amnesia,
                ..group.into()
            };
            let machine = state.map_or_else(|| StateMachine::new(partition), |(_, machine)| machine);
            let refused = self.refused.remove(&partition);
            found.insert(partition, Found { recovered, machine, refused });
        }
        DurableEvent::Recovered {
            found,
            dropped,
            incarnation: self.incarnation,
            amnesia: self.amnesia,
            lost: self.lost,
        }
    }
}

impl Found {
    /// Of a partition that the disk knows nothing of.
    pub(super) fn nothing(partition: PartitionId, amnesia: bool) -> Self {
        let recovered = Recovered { amnesia, ..Recovered::default() };
        Self { recovered, machine: StateMachine::new(partition), refused: None }
    }
}
