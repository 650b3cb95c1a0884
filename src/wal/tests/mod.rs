//! The log on a disk in memory that crashes, tears and rots.

mod crash;
mod damage;
pub(crate) mod disk;
mod error;
mod floor;
pub(crate) mod format;

use super::{Config, Record, RecoveredGroup, Wal, WalEvent};
use crate::types::{Era, Incarnation, LogIndex, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use disk::Disk;
use std::collections::BTreeMap;

type Groups = BTreeMap<PartitionId, RecoveredGroup>;

/// A log and the disk under it.
struct Life {
    wal: Wal,
    disk: Disk,
    queue: std::collections::VecDeque<crate::env::DiskOp>,
    events: Vec<WalEvent>,
    ticket: u64,
}

fn config(segment_blocks: u64) -> Config {
    Config {
        node: NodeId(1),
        worker: WorkerId(0),
        segment_bytes: segment_blocks * 4096,
        seed: 0x5eed_5eed_5eed_5eed,
        can_rejoin: false,
    }
}

fn record(index: u64, era: u64, bytes: &[u8]) -> Record {
    Record { index: LogIndex(index), era: Era(era), bytes: Bytes::copy_from_slice(bytes) }
}

impl Life {
    fn begin(disk: Disk, config: Config) -> Self {
        let mut wal = Wal::new(config);
        wal.start();
        Self { wal, disk, queue: std::collections::VecDeque::new(), events: Vec::new(), ticket: 0 }
    }

    /// One operation is carried out and reported. `false`: there is none.
    fn step(&mut self) -> bool {
        self.queue.extend(self.wal.take_ops());
        while let Some(event) = self.wal.poll() {
            self.events.push(event);
        }
        let Some(op) = self.queue.pop_front() else { return false };
        let result = self.disk.execute(op);
        self.wal.completed(result);
        true
    }

    fn run(&mut self) -> Vec<WalEvent> {
        while self.step() {}
        std::mem::take(&mut self.events)
    }

    /// Recovers, or says what it said instead.
    fn recover(disk: Disk, config: Config) -> Result<(Self, Groups, Incarnation), WalEvent> {
        let mut life = Self::begin(disk, config);
        let mut events = life.run();
        assert_eq!(events.len(), 1, "recovery ends in one event");
        match events.remove(0) {
            WalEvent::Recovered { groups, incarnation, .. } => Ok((life, groups, incarnation)),
            other => Err(other),
        }
    }

    fn append(&mut self, group: u32, records: &[Record], hard_state: Option<&'static [u8]>) -> u64 {
        self.ticket += 1;
        self.wal.append(self.ticket, PartitionId(group), records, hard_state.map(Bytes::from_static));
        self.ticket
    }

    /// Appends as one batch and waits for it.
    fn write(&mut self, group: u32, records: &[Record], hard_state: Option<&'static [u8]>) {
        let ticket = self.append(group, records, hard_state);
        self.wal.flush();
        assert_eq!(self.run(), vec![WalEvent::Persisted { ticket }]);
    }
}

#[test]
fn a_new_log_is_empty_and_what_is_written_comes_back() {
    let (mut life, groups, incarnation) = Life::recover(Disk::default(), config(8)).expect("a new log");
    assert!(groups.is_empty());
    assert_eq!(incarnation.life(), 1);
    life.write(7, &[record(1, 1, b"one"), record(2, 1, b"two")], Some(b"vote"));
    life.write(9, &[], Some(b"other"));
    life.write(7, &[record(3, 2, b"")], None);

    let (_, groups, incarnation) = Life::recover(life.disk.crashed(3), config(8)).expect("recovers");
    assert_eq!(incarnation.life(), 2);
    let seven = &groups[&PartitionId(7)];
    assert_eq!(seven.records, vec![record(1, 1, b"one"), record(2, 1, b"two"), record(3, 2, b"")]);
    assert_eq!(seven.hard_state.as_deref(), Some(&b"vote"[..]));
    assert_eq!(seven.damaged, None);
    assert_eq!(groups[&PartitionId(9)].hard_state.as_deref(), Some(&b"other"[..]));
}

#[test]
fn what_waits_during_a_batch_goes_into_the_next_one_together() {
    let (mut life, ..) = Life::recover(Disk::default(), config(8)).expect("a new log");
    life.append(1, &[record(1, 1, b"a")], None);
    life.wal.flush();
    for index in 2..=20 {
        life.append(1, &[record(index, 1, b"b")], None);
        life.wal.flush();
    }
    assert!(!life.wal.is_idle());
    assert_eq!(life.run(), vec![WalEvent::Persisted { ticket: 1 }, WalEvent::Persisted { ticket: 20 }]);
    assert!(life.wal.is_idle());
}

#[test]
fn segments_roll_over_and_a_big_record_gets_a_big_segment() {
    let (mut life, ..) = Life::recover(Disk::default(), config(4)).expect("a new log");
    let big: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut expected = Vec::new();
    for index in 1..=12 {
        let bytes = if index == 6 { big.clone() } else { vec![index as u8; 3000] };
        expected.push(record(index, 1, &bytes));
        life.write(1, &expected[expected.len() - 1..], None);
    }
    assert!(life.disk.files().len() > 5, "several segments");
    for restart in 2..5 {
        let (next, groups, incarnation) = Life::recover(life.disk.crashed(restart), config(4)).expect("recovers");
        assert_eq!(incarnation.life(), restart);
        assert_eq!(groups[&PartitionId(1)].records, expected);
        life = next;
    }
    let (_, groups, _) = Life::recover(life.disk.crashed(9), config(64)).expect("another segment size is no obstacle");
    assert_eq!(groups[&PartitionId(1)].records, expected);
}

#[test]
fn records_carry_their_group_so_any_number_of_groups_can_be_recovered() {
    let (mut life, ..) = Life::recover(Disk::default(), config(16)).expect("a new log");
    for group in 0..200 {
        life.append(group, &[record(1, 1, &group.to_le_bytes())], Some(b"state"));
    }
    life.wal.flush();
    life.run();
    let (_, groups, _) = Life::recover(life.disk.crashed(1), config(16)).expect("recovers");
    assert_eq!(groups.len(), 200);
    assert!(groups.iter().all(|(group, found)| found.records == [record(1, 1, &group.0.to_le_bytes())]));
}

#[test]
fn a_failed_operation_ends_the_life_and_says_which() {
    for failing in 0..22 {
        let mut disk = Disk::default();
        disk.fail_at(failing);
        match Life::recover(disk, config(2)) {
            Err(WalEvent::Failed(_)) => {}
            Err(other) => panic!("{other:?}"),
            Ok((mut life, ..)) => {
                life.append(1, &[record(1, 1, &[1; 5000])], Some(b"vote"));
                life.wal.flush();
                let events = life.run();
                assert!(matches!(events[..], [.., WalEvent::Failed(_)]), "operation {failing}: {events:?}");
                life.append(1, &[record(2, 1, b"")], None);
                life.wal.flush();
                assert_eq!(life.run(), vec![], "nothing follows the failure");
            }
        }
    }
}

#[test]
fn another_nodes_directory_is_refused() {
    let (life, ..) = Life::recover(Disk::default(), config(8)).expect("a new log");
    let other = Config { node: NodeId(2), ..config(8) };
    let refused = Life::recover(life.disk, other).err();
    assert!(matches!(&refused, Some(WalEvent::Unusable(why)) if why.contains("node 1")), "{refused:?}");
}
