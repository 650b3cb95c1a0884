//! Checkpoints on a disk in memory that crashes, fails and rots.

mod crash;
mod damage;
mod format;

use super::{CheckpointEvent, Checkpoints, Config, Floor, Header};
use crate::env::DiskOp;
use crate::types::{Era, LogIndex, NodeId, PartitionId, WorkerId};
use crate::wal::tests::disk::Disk;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

const CONFIG: Config = Config { node: NodeId(1), worker: WorkerId(0), log_id: 0x5eed_5eed_5eed_5eed };
const P: PartitionId = PartitionId(3);

/// What was loaded: by partition, complete checkpoints and their chunks.
type Loaded = BTreeMap<PartitionId, (Header, Vec<Bytes>)>;

struct Life {
    checkpoints: Checkpoints,
    disk: Disk,
    queue: VecDeque<DiskOp>,
    events: Vec<CheckpointEvent>,
}

fn header(index: u64) -> Header {
    Header { floor: Floor { index: LogIndex(index), era: Era(index / 10) }, digest: u128::from(index) << 70 | 1 }
}

/// Chunks that differ by index and place, small and large ones.
fn chunks(index: u64) -> Vec<Bytes> {
    let chunk = |number: u64| vec![(index * 7 + number) as u8; (number * index * 131 % 9000) as usize];
    (0..index % 5 + 1).map(|number| Bytes::from(chunk(number))).collect()
}

impl Life {
    fn begin(disk: Disk) -> Self {
        let mut checkpoints = Checkpoints::new(CONFIG);
        checkpoints.start();
        Self { checkpoints, disk, queue: VecDeque::new(), events: Vec::new() }
    }

    /// One operation is carried out and reported. `false`: there is none.
    fn step(&mut self) -> bool {
        self.queue.extend(self.checkpoints.take_ops());
        while let Some(event) = self.checkpoints.poll() {
            self.events.push(event);
        }
        let Some(op) = self.queue.pop_front() else { return false };
        let result = self.disk.execute(op);
        self.checkpoints.completed(result);
        true
    }

    fn run(&mut self) -> Vec<CheckpointEvent> {
        while self.step() {}
        std::mem::take(&mut self.events)
    }

    /// Loads everything; also what was said to be damaged.
    fn load(disk: Disk) -> (Self, Loaded, Vec<String>) {
        let mut life = Self::begin(disk);
        let events = life.run();
        let (loaded, damaged) = gather(&events);
        assert_eq!(events.last(), Some(&CheckpointEvent::Loaded));
        assert!(life.checkpoints.is_idle());
        (life, loaded, damaged)
    }

    /// Writes a checkpoint as far as the disk lets it.
    fn write(&mut self, partition: PartitionId, index: u64) -> Vec<CheckpointEvent> {
        let mut chunks = chunks(index).into_iter();
        self.checkpoints.begin(partition, header(index));
        let mut all = Vec::new();
        loop {
            let events = self.run();
            let wants = events.contains(&CheckpointEvent::Wants { partition });
            all.extend(events);
            if !wants {
                return all;
            }
            match chunks.next() {
                Some(chunk) => self.checkpoints.append(partition, chunk),
                None => self.checkpoints.finish(partition),
            }
        }
    }

    fn publish(&mut self, partition: PartitionId, index: u64) {
        let published = CheckpointEvent::Published { partition, header: header(index) };
        assert_eq!(self.write(partition, index).last(), Some(&published));
    }
}

/// Puts together what the events hand out.
fn gather(events: &[CheckpointEvent]) -> (Loaded, Vec<String>) {
    let (mut open, mut loaded, mut damaged) = (None, Loaded::new(), Vec::new());
    for event in events {
        match event {
            CheckpointEvent::Found { partition, header } => open = Some((*partition, *header, Vec::new())),
            CheckpointEvent::Chunk { bytes, .. } => open.as_mut().expect("found before").2.push(bytes.clone()),
            CheckpointEvent::Complete { partition } => {
                let (found, header, chunks) = open.take().expect("found before");
                assert_eq!(found, *partition);
                assert!(loaded.insert(found, (header, chunks)).is_none(), "a partition is loaded once");
            }
            CheckpointEvent::Damaged { reason, .. } => {
                open = None;
                damaged.push(reason.clone());
            }
            CheckpointEvent::Loaded => assert!(open.is_none(), "complete or damaged"),
            other => panic!("{other:?} while loading"),
        }
    }
    (loaded, damaged)
}

fn is(index: u64) -> (Header, Vec<Bytes>) {
    (header(index), chunks(index))
}

#[test]
fn what_is_published_comes_back_and_older_ones_go() {
    let (mut life, loaded, _) = Life::load(Disk::default());
    assert!(loaded.is_empty());
    life.publish(P, 13);
    life.publish(PartitionId(0), 7);
    life.publish(P, 24);
    life.run();
    assert_eq!(life.disk.files(), ["checkpoint-00000000-0000000000000007", "checkpoint-00000003-0000000000000024"]);
    let (_, loaded, damaged) = Life::load(life.disk.crashed(4));
    assert_eq!(loaded, BTreeMap::from([(PartitionId(0), is(7)), (P, is(24))]));
    assert_eq!(damaged, [] as [&str; 0]);
}

#[test]
fn a_checkpoint_of_many_mebibytes_is_synced_on_the_way_and_read_in_pieces() {
    let (mut life, ..) = Life::load(Disk::default());
    let chunks: Vec<Bytes> = (0..9_u8).map(|number| Bytes::from(vec![number; 400_000 + usize::from(number)])).collect();
    let big = Bytes::from(vec![7; 3_000_000]);
    life.checkpoints.begin(P, header(5));
    let mut syncs = 0;
    for chunk in chunks.iter().chain([&big]) {
        assert_eq!(life.run(), [CheckpointEvent::Wants { partition: P }]);
        life.checkpoints.append(P, chunk.clone());
        let ops = life.checkpoints.take_ops();
        syncs += ops.iter().filter(|op| matches!(op, DiskOp::Sync { .. })).count();
        life.queue.extend(ops);
    }
    assert!((4..7).contains(&syncs), "{syncs}");
    life.run();
    life.checkpoints.finish(P);
    assert_eq!(life.run(), [CheckpointEvent::Published { partition: P, header: header(5) }]);
    let (_, loaded, _) = Life::load(life.disk.crashed(1));
    assert!(loaded[&P].1.iter().eq(chunks.iter().chain([&big])));
}

#[test]
fn several_partitions_are_written_at_once_and_one_that_is_abandoned_leaves_nothing() {
    let (mut life, ..) = Life::load(Disk::default());
    for number in 0..4 {
        life.checkpoints.begin(PartitionId(number), header(10));
    }
    assert_eq!(life.run().len(), 4);
    // Another one in its place, and one that is not wanted any more.
    life.checkpoints.append(PartitionId(1), chunks(10)[0].clone());
    life.checkpoints.begin(PartitionId(1), header(11));
    life.checkpoints.abandon(PartitionId(2));
    life.checkpoints.abandon(PartitionId(2));
    assert_eq!(life.run(), [CheckpointEvent::Wants { partition: PartitionId(1) }]);
    assert!(life.checkpoints.is_writing(PartitionId(1)) && !life.checkpoints.is_writing(PartitionId(2)));
    for number in [0, 1, 3] {
        life.checkpoints.finish(PartitionId(number));
    }
    assert!(life.checkpoints.is_writing(PartitionId(0)), "until it is published");
    assert_eq!(life.run().len(), 3);
    assert!(life.checkpoints.is_idle());
    let (_, loaded, _) = Life::load(life.disk.crashed(1));
    let found: Vec<(u32, u64)> = loaded.iter().map(|(p, (header, _))| (p.0, header.floor.index.0)).collect();
    assert_eq!(found, [(0, 10), (1, 11), (3, 10)]);
}

#[test]
fn other_files_are_left_alone() {
    let (mut life, ..) = Life::load(Disk::default());
    for file in ["wal-0000000000000001", "checkpoint-1-2", "checkpoint-00000001-0000000000000002.old"] {
        life.disk.execute(DiskOp::Create { file: file.to_owned(), length: 10 }).expect("created");
    }
    let before = life.disk.files();
    let (life, loaded, damaged) = Life::load(life.disk);
    assert_eq!((life.disk.files(), loaded.len(), damaged.len()), (before, 0, 0));
}

#[test]
fn what_is_forgotten_while_it_is_published_is_told_to_nobody_and_leaves_no_file() {
    // The last piece is written, synced, renamed, and its name synced.
    for done in 0..4 {
        let (mut life, _, _) = Life::load(Disk::default());
        life.checkpoints.begin(P, header(13));
        for chunk in chunks(13) {
            life.run();
            life.checkpoints.append(P, chunk);
        }
        life.run();
        life.checkpoints.finish(P);
        for _ in 0..done {
            assert!(life.step());
        }
        life.checkpoints.forget(P);
        assert!(!life.checkpoints.is_writing(P));
        let events = life.run();
        assert!(!events.iter().any(|event| matches!(event, CheckpointEvent::Published { .. })), "{done}: {events:?}");
        assert_eq!(life.disk.files(), [] as [&str; 0], "after {done} operations");
        life.publish(P, 24);
        life.run();
        assert_eq!(life.disk.files(), ["checkpoint-00000003-0000000000000024"]);
    }
}
