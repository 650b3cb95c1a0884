//! The whole way from a rotten byte to a client: each byte of a small log and of its checkpoints is changed in turn, and a node
//! started on what is left. It answers with exactly the rows that were committed, or it does not answer: never with a wrong
//! row, never with fewer, never with a panic.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

use bytes::Bytes;
use orrery::env::{
    Buggify, ClientEvent, Clock, Control, Disk, DiskError, DiskOp, DiskOutput, DiskResult, Endpoint, Entropy, Event,
    Network, OpId, StopReason,
};
use orrery::node::{Worker, WorkerConfig};
use orrery::types::{ConnectionId, Instant, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

type Files = BTreeMap<String, Vec<u8>>;

/// Everything around one worker: files in memory, a clock that jumps to the next alarm, one client.
#[derive(Default)]
struct World {
    files: Files,
    now: u64,
    wake: Option<Instant>,
    ops: VecDeque<(OpId, DiskOp)>,
    next_op: u64,
    seeds: u64,
    /// What the client has been sent.
    answer: Vec<u8>,
}

impl World {
    fn execute(&mut self, op: DiskOp) -> DiskResult {
        let file = |files: &mut Files, name: &str| files.remove(name).ok_or(DiskError::NotFound);
        match op {
            DiskOp::List => {
                let files = self.files.iter().map(|(name, content)| (name.clone(), content.len() as u64));
                return Ok(DiskOutput::Files(files.collect()));
            }
            DiskOp::Create { file, length } => {
                if self.files.insert(file, vec![0; length as usize]).is_some() {
                    return Err(DiskError::Exists);
                }
            }
            DiskOp::Write { file, offset, data } => {
                let content = self.files.get_mut(&file).ok_or(DiskError::NotFound)?;
                let end = offset as usize + data.len();
                content.resize(content.len().max(end), 0);
                content[offset as usize..end].copy_from_slice(&data);
            }
            DiskOp::Read { file, offset, length } => {
                let content = self.files.get(&file).ok_or(DiskError::NotFound)?;
                let end = (offset + length).min(content.len() as u64) as usize;
                return Ok(DiskOutput::Data(Bytes::copy_from_slice(&content[offset as usize..end])));
            }
            DiskOp::Truncate { file, length } => {
                self.files.get_mut(&file).ok_or(DiskError::NotFound)?.resize(length as usize, 0);
            }
            DiskOp::Rename { from, to } => {
                let content = file(&mut self.files, &from)?;
                self.files.insert(to, content);
            }
            DiskOp::Remove { file: name } => drop(file(&mut self.files, &name)?),
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
        Ok(DiskOutput::Done)
    }
}

impl Clock for World {
    fn now(&self) -> Instant {
        Instant(self.now)
    }
    fn wall(&self) -> Timestamp {
        Timestamp(800_000_000_000_000 + (self.now / 1000) as i64)
    }
    fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(instant);
    }
}

impl Network for World {
    fn send(&mut self, _: Endpoint, _: Bytes) {}
    fn client_send(&mut self, _: ConnectionId, bytes: Bytes) {
        self.answer.extend_from_slice(&bytes);
    }
    fn client_close(&mut self, _: ConnectionId) {}
}

impl Disk for World {
    fn submit(&mut self, op: DiskOp) -> OpId {
        self.next_op += 1;
        self.ops.push_back((OpId(self.next_op), op));
        OpId(self.next_op)
    }
}

impl Entropy for World {
    fn seed(&mut self, _: &'static str) -> [u8; 32] {
        self.seeds += 1;
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.seeds.to_le_bytes());
        seed
    }
}

impl Buggify for World {
    fn buggify(&mut self, _: &'static str) -> bool {
        false
    }
}

struct Node {
    worker: Worker,
    world: World,
    stopped: Option<StopReason>,
}

const CLIENT: ConnectionId = ConnectionId(1);

impl Node {
    fn start(files: Files) -> Self {
        let config = WorkerConfig {
            wal_segment_bytes: 8 << 10,
            checkpoint_every: 12,
            log_keep_entries: 2,
            wal_bytes_before_checkpoint: 16 << 10,
            snapshot_chunk_bytes: 1 << 10,
            digest_every: 4,
            ..WorkerConfig::default()
        };
        let mut node = Self { worker: Worker::new(config), world: World { files, ..World::default() }, stopped: None };
        node.event(Event::Start);
        node
    }

    fn event(&mut self, event: Event) {
        if self.stopped.is_none()
            && let Control::Stop(reason) = self.worker.handle(&mut self.world, event)
        {
            self.stopped = Some(reason);
        }
    }

    /// Goes on until the client has been sent a complete answer, the node has stopped, or that much time has passed.
    fn run(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let deadline = self.world.now + limit.as_nanos() as u64;
        while self.stopped.is_none() {
            // ReadyForQuery ends every answer.
            if self.world.answer.ends_with(b"Z\0\0\0\x05I") {
                return Some(std::mem::take(&mut self.world.answer));
            }
            if let Some((op, what)) = self.world.ops.pop_front() {
                let result = self.world.execute(what);
                self.event(Event::Disk { op, result });
                continue;
            }
            let wake = self.world.wake.take()?;
            self.world.now = self.world.now.max(wake.0);
            if self.world.now > deadline {
                return None;
            }
            self.event(Event::Wake);
        }
        None
    }

    /// A client connects.
    fn connect(&mut self) -> Option<Vec<u8>> {
        self.event(Event::Client { connection: CLIENT, event: ClientEvent::Opened { local: true } });
        let parameters = b"\0\x03\0\0user\0orrery\0database\0orrery\0\0";
        let mut startup = (parameters.len() as u32 + 4).to_be_bytes().to_vec();
        startup.extend_from_slice(parameters);
        self.send(startup);
        self.run(Duration::from_secs(5))
    }

    fn query(&mut self, sql: &str) -> Option<Vec<u8>> {
        let mut message = vec![b'Q'];
        message.extend_from_slice(&(sql.len() as u32 + 5).to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        self.send(message);
        self.run(Duration::from_secs(5))
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.event(Event::Client { connection: CLIENT, event: ClientEvent::Bytes(bytes.into()) });
    }
}

/// Is it an ErrorResponse?
fn is_error(answer: &[u8]) -> bool {
    answer.first() == Some(&b'E')
}

const QUESTION: &str = "SELECT * FROM planet ORDER BY id";

/// A node that has written some rows, with a checkpoint of each partition and records after them; and the true answer.
fn written() -> (Files, Vec<u8>) {
    let mut node = Node::start(Files::new());
    node.connect().expect("a new node serves");
    let mut statements = vec!["CREATE TABLE planet (id int PRIMARY KEY, name text, moons bigint)".to_owned()];
    for id in 1..=30 {
        statements.push(format!("INSERT INTO planet VALUES ({id}, 'planet number {id}', {})", id * 7));
    }
    statements.push("UPDATE planet SET moons = moons + 1 WHERE id < 20".to_owned());
    statements.push("DELETE FROM planet WHERE id = 5".to_owned());
    for statement in statements {
        let answer = node.query(&statement).expect("answered");
        assert!(!is_error(&answer), "{statement}: {}", String::from_utf8_lossy(&answer));
    }
    let truth = node.query(QUESTION).expect("answered");
    let tag = b"SELECT 29\0";
    assert!(truth.windows(tag.len()).any(|bytes| bytes == tag), "{}", String::from_utf8_lossy(&truth));
    node.run(Duration::from_millis(100));
    (node.world.files, truth)
}

/// What a node says that starts on these files; `None` if it does not serve.
fn answer(files: Files) -> Option<Vec<u8>> {
    let mut node = Node::start(files);
    node.connect()?;
    node.query(QUESTION).filter(|answer| !is_error(answer))
}

#[test]
fn a_change_of_any_byte_makes_no_wrong_answer() {
    let (files, truth) = written();
    assert_eq!(answer(files.clone()).as_ref(), Some(&truth), "without a change");
    let checkpoints = files.keys().filter(|file| file.starts_with("checkpoint-")).count();
    assert!(checkpoints >= 1, "{:?}", files.keys());
    let (mut served, mut refused) = (0, 0);
    for (file, content) in &files {
        for (at, &byte) in content.iter().enumerate() {
            // All that was written, at this density; of the zeros between, a sample.
            let step = if byte == 0 { 199 } else { 5 };
            if at % step != 0 {
                continue;
            }
            let mut rotten = files.clone();
            rotten.get_mut(file).unwrap()[at] ^= 1 << (at / step % 8);
            match answer(rotten) {
                Some(answer) => {
                    assert!(answer == truth, "{file} byte {at}: {}", String::from_utf8_lossy(&answer));
                    served += 1;
                }
                None => refused += 1,
            }
        }
    }
    assert!(served > 100 && refused > 100, "{served} served, {refused} refused");
}
