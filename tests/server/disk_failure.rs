//! A device that fails, under the real loop: the real log on the real file thread, and the real binary.

use crate::node::{BINARY, Node};
use bytes::Bytes;
use orrery::env::tokio::{Handler, Mailbox, Stats, WorkerSettings, at_once, start_worker};
use orrery::env::{Control, DiskOp, Env, Event, StopReason};
use orrery::types::{Era, LogIndex, NodeId, PartitionId, WorkerId};
use orrery::wal::{Config, Record, RecoveredGroup, Wal, WalEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GROUP: PartitionId = PartitionId(1);
/// A device on which writing succeeds and `fdatasync` does not.
const DEVICE: &str = "/dev/null";
const BROKEN: &str = "broken";

/// What one life of the log has told.
#[derive(Debug, Default)]
struct Told {
    recovered: Option<RecoveredGroup>,
    durable: u64,
    /// Submitted so far.
    syncs: usize,
}

/// A worker that is nothing but the log: it appends as many records, one batch each, and stops.
struct Writer {
    wal: Wal,
    left: u64,
    next: u64,
    /// The sync of that number goes to the broken device; what was to stand behind it is submitted all the same.
    failing: Option<usize>,
    told: Arc<Mutex<Told>>,
}

impl Writer {
    fn drive(&mut self, env: &mut dyn Env) -> Control {
        let told = Arc::clone(&self.told);
        let mut told = told.lock().unwrap();
        loop {
            for op in self.wal.take_ops() {
                let sync = matches!(op, DiskOp::Sync { .. } | DiskOp::SyncDirectory);
                told.syncs += usize::from(sync);
                let fails = sync && self.failing == Some(told.syncs);
                env.submit(if fails { DiskOp::Sync { file: BROKEN.to_owned() } } else { op });
            }
            match self.wal.poll() {
                Some(WalEvent::Recovered { mut groups, .. }) => {
                    let group = groups.remove(&GROUP).unwrap_or_default();
                    self.next = group.records.last().map_or(1, |record| record.index.0 + 1);
                    told.recovered = Some(group);
                }
                Some(WalEvent::Persisted { ticket }) => told.durable = ticket,
                Some(WalEvent::Failed(reason)) => return Control::Stop(StopReason::Disk(reason)),
                Some(other) => return Control::Stop(StopReason::Unusable(format!("{other:?}"))),
                None if told.recovered.is_none() || !self.wal.is_idle() => return Control::Continue,
                None if self.left == 0 => return Control::Stop(StopReason::Shutdown),
                None => {
                    let bytes = Bytes::from(vec![self.next as u8; 3000]);
                    let record = Record { index: LogIndex(self.next), era: Era(1), bytes };
                    let vote = Bytes::copy_from_slice(&self.next.to_le_bytes());
                    self.wal.append(self.next, GROUP, &[record], Some(vote));
                    self.wal.flush();
                    self.left -= 1;
                    self.next += 1;
                }
            }
        }
    }
}

fn writer(records: u64, failing: Option<usize>, told: Arc<Mutex<Told>>) -> Handler {
    let config = Config { node: NodeId(1), worker: WorkerId(0), segment_bytes: 16 << 10, seed: 7, can_rejoin: false };
    let mut writer = Writer { wal: Wal::new(config), left: records, next: 1, failing, told };
    at_once(move |env, event| {
        match event {
            Event::Start => writer.wal.start(),
            Event::Disk { result, .. } => writer.wal.completed(result),
            _ => {}
        }
        writer.drive(env)
    })
}

/// One life on that directory: how it ended, and what it told.
fn life(directory: &Path, records: u64, failing: Option<usize>) -> (StopReason, Told) {
    let stats = Arc::new(Stats::default());
    let mailbox = Arc::new(Mailbox::new(Arc::clone(&stats)));
    let settings = WorkerSettings {
        members: Arc::default(),
        node: NodeId(1),
        worker: WorkerId(0),
        workers: 1,
        cluster: "test".into(),
        life: 1,
        directory: directory.to_owned(),
        peers: BTreeMap::new(),
        said: BTreeSet::new(),
        mailboxes: Arc::from([mailbox]),
        stats,
    };
    let told = Arc::new(Mutex::new(Told::default()));
    let (shared, (sender, stopped)) = (Arc::clone(&told), channel());
    let ended = |sender: Sender<StopReason>| move |reason| sender.send(reason).unwrap();
    start_worker(settings, move || writer(records, failing, shared), ended(sender)).unwrap();
    let reason = stopped.recv_timeout(Duration::from_secs(20)).expect("the life ends");
    let told = std::mem::take(&mut *told.lock().unwrap());
    (reason, told)
}

#[test]
fn a_failed_sync_of_the_device_ends_the_life_and_loses_nothing() {
    let mut failures = 0;
    for failing in 1.. {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (reason, _) = life(place.path(), 3, None);
        assert_eq!(reason, StopReason::Shutdown);
        std::os::unix::fs::symlink(DEVICE, place.path().join(BROKEN)).unwrap();

        let (reason, told) = life(place.path(), 4, Some(failing));
        if reason == StopReason::Shutdown {
            assert_eq!(told.durable, 7, "all that was to be written stands before the sync that would have failed");
            break;
        }
        assert!(matches!(&reason, StopReason::Disk(why) if why.contains("syncing")), "sync {failing}: {reason:?}");
        failures += 1;

        let (reason, after) = life(place.path(), 0, None);
        assert_eq!(reason, StopReason::Shutdown, "sync {failing}: the next life finds its log");
        let group = after.recovered.expect("recovered");
        let found: Vec<u64> = group.records.iter().map(|record| record.index.0).collect();
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "sync {failing}");
        let durable = told.durable.max(3);
        assert!(found.len() as u64 >= durable, "sync {failing}: {durable} were durable, {found:?} are there");
        assert_eq!(group.damaged, None, "sync {failing}");
        let vote = u64::from_le_bytes(group.hard_state.expect("a vote")[..].try_into().unwrap());
        assert!(vote >= durable, "sync {failing}: vote {vote}");
    }
    assert!(failures >= 12, "{failures} syncs: recovery, votes, batches, new segments");
}

#[tokio::test]
async fn a_node_whose_disk_refuses_says_so_ends_and_starts_again() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let client = crate::sql::connect(&node).await;
    client.batch_execute("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (42)").await.unwrap();
    node.kill();

    // No file may grow beyond a mebibyte: the log's next segment cannot be made.
    let limited = format!("trap '' XFSZ; ulimit -f 1024; exec '{BINARY}' start --pg 127.0.0.1:0 --data \"$0\"");
    let output = Command::new("bash")
        .args(["-c", &limited])
        .arg(data.path())
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.status.code().is_some(), "{:?}: {said}", output.status);
    assert!(said.contains("its disk failed"), "{said}");

    let node = Node::start(data.path(), &[]);
    let client = crate::sql::connect(&node).await;
    let row = client.query_one("SELECT a FROM t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
    assert_eq!(node.stop(), Some(0));
}
