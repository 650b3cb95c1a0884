//! A snapshot over ways that lose, double and delay, from sources that come and go.

use super::*;
use crate::consensus::Floor;
use crate::partition::snapshot::tests::full_state;
use crate::types::random::{RngCore, SeedableRng};
use crate::types::{Era, Rng};

const PATIENCE: Duration = Duration::from_millis(100);
const CHUNK: usize = 1500;

fn header(machine: &StateMachine) -> Header {
    Header { floor: Floor { index: machine.executed(), era: Era(1) }, digest: machine.digest() }
}

/// A replica that answers, and its state.
struct Source {
    sources: Sources,
    machine: StateMachine,
}

impl Source {
    fn new() -> Self {
        Self { sources: Sources::default(), machine: full_state() }
    }

    fn answer(&mut self, now: Instant, message: SnapshotMessage) -> SnapshotMessage {
        let SnapshotMessage::Fetch { at_least, resume } = message else { panic!("only requests are answered") };
        let machine = &self.machine;
        let take = || (machine.executed() >= at_least).then(|| (header(machine), machine.snapshot()));
        self.sources.serve(now, at_least, resume, CHUNK, take)
    }

    /// Executes one more entry, so that its state is another.
    fn go_on(&mut self) {
        let index = self.machine.executed().next();
        self.machine.execute(crate::types::Timestamp(0), index, crate::consensus::Payload::Empty);
    }
}

fn download(at_least: u64) -> Download {
    Download::new(PartitionId(1), Instant(0), Fetch { from: NodeId(1), at_least: LogIndex(at_least) }, PATIENCE)
}

fn give(download: &mut Download, now: Instant, source: NodeId, message: SnapshotMessage) -> Result<(), GivenUp> {
    match message {
        SnapshotMessage::Chunk { header, from, next, bytes, rows } => {
            download.has_rows(rows);
            download.chunk(now, source, header, &from, next, bytes)
        }
        SnapshotMessage::Later { wait } => {
            download.later(now, source, wait);
            Ok(())
        }
        SnapshotMessage::Unavailable => download.unavailable(source),
        SnapshotMessage::Fetch { .. } => panic!("a download is asked for nothing"),
    }
}

/// What a checkpoint file would hold, and whether it was finished.
#[derive(Default)]
struct File {
    chunks: Vec<Bytes>,
    begun: u32,
    finished: bool,
}

impl File {
    /// Carries out orders and says at once that more is wanted.
    fn serve(&mut self, download: &mut Download, now: Instant) -> Result<(), GivenUp> {
        while !download.orders.is_empty() {
            for order in std::mem::take(&mut download.orders) {
                match order {
                    FileOrder::Begin(_) => {
                        self.begun += 1;
                        self.chunks.clear();
                    }
                    FileOrder::Append(chunk) => self.chunks.push(chunk),
                    FileOrder::Finish => self.finished = true,
                    FileOrder::Abandon => self.chunks.clear(),
                }
            }
            if !self.finished {
                download.file_wants(now)?;
            }
        }
        Ok(())
    }
}

#[test]
fn a_snapshot_comes_whole_over_a_way_that_loses_and_doubles() {
    for seed in 0..20 {
        let mut dice = Rng::seed_from_u64(seed);
        let mut source = Source::new();
        let mut download = download(3);
        let mut file = File::default();
        let mut now = Instant(0);
        let mut answers: Vec<SnapshotMessage> = Vec::new();
        while !file.finished {
            for (_, ask) in std::mem::take(&mut download.asks) {
                for _ in 0..dice.next_u64() % 4 {
                    answers.push(source.answer(now, ask.clone()));
                }
            }
            // Execution goes on at the source; the snapshot that it holds stands still.
            source.go_on();
            if answers.is_empty() {
                now = now + PATIENCE;
                match download.handle_timeout(now) {
                    Ok(()) => continue,
                    Err(GivenUp(reason)) => panic!("seed {seed}: {reason}"),
                }
            }
            let at = usize::try_from(dice.next_u64()).unwrap() % answers.len();
            give(&mut download, now, NodeId(1), answers.swap_remove(at)).unwrap();
            file.serve(&mut download, now).unwrap();
        }
        let header = download.header().unwrap();
        assert_eq!(file.begun, 1, "seed {seed}");
        assert_eq!(download.into_built().unwrap().digest(), header.digest);
        let mut builder = Builder::new();
        file.chunks.iter().for_each(|chunk| builder.push(chunk).unwrap());
        assert!(
            builder.finish(PartitionId(1), header.floor.index, header.digest).is_ok(),
            "the file is what was built"
        );
    }
}

#[test]
fn another_source_in_the_same_state_goes_on_and_one_in_another_state_begins_again() {
    for same in [true, false] {
        let (mut first, mut second) = (Source::new(), Source::new());
        if !same {
            second.go_on();
        }
        let mut download = download(1);
        let mut file = File::default();
        for _ in 0..3 {
            let (to, ask) = download.asks.remove(0);
            assert_eq!(to, NodeId(1));
            let answer = first.answer(Instant(0), ask);
            give(&mut download, Instant(0), NodeId(1), answer).unwrap();
            file.serve(&mut download, Instant(0)).unwrap();
        }
        let chunks = file.chunks.len();
        assert!(chunks >= 3);
        // The first falls silent; consensus names the second, which is heeded once a request has gone unanswered.
        download.asks.clear();
        let fetch = Fetch { from: NodeId(2), at_least: LogIndex(1) };
        download.redirect(Instant(0), fetch);
        assert!(download.asks.is_empty(), "a source that may yet answer is kept");
        let mut now = Instant(0) + PATIENCE;
        download.handle_timeout(now).unwrap();
        download.redirect(now, fetch);
        download.asks.remove(0);
        while !file.finished {
            now = now + Duration::from_millis(1);
            let (to, ask) = download.asks.remove(0);
            assert_eq!(to, NodeId(2));
            let answer = second.answer(now, ask);
            give(&mut download, now, NodeId(2), answer).unwrap();
            file.serve(&mut download, now).unwrap();
        }
        assert_eq!(file.begun, if same { 1 } else { 2 });
        assert_eq!(download.into_built().unwrap().digest(), second.machine.digest());
    }
}

#[test]
fn a_chunk_that_is_not_what_it_says_ends_the_download() {
    let mut source = Source::new();
    let mut download = download(1);
    let mut file = File::default();
    let mut number = 0;
    let given_up = loop {
        let (_, ask) = download.asks.remove(0);
        let SnapshotMessage::Chunk { header, from, next, bytes, .. } = source.answer(Instant(0), ask) else { panic!() };
        let mut bytes = bytes.to_vec();
        number += 1;
        if number == 2 {
            // In a row's value: every item still splits, and only the digest tells.
            let at = bytes.len() - 1;
            bytes[at] ^= 1;
        }
        let result = download
            .chunk(Instant(0), NodeId(1), header, &from, next, bytes.into())
            .and_then(|()| file.serve(&mut download, Instant(0)));
        if let Err(given_up) = result {
            break given_up;
        }
    };
    assert!(!file.finished, "{given_up:?}: no file of it gets a name");
}

#[test]
fn silence_and_refusal_end_a_download() {
    let mut silent = download(1);
    let mut now = Instant(0);
    let mut asked = 0;
    while silent.handle_timeout(now).is_ok() {
        asked += silent.asks.drain(..).count();
        now = now + PATIENCE;
    }
    assert_eq!(asked, MAX_ATTEMPTS as usize);
    let mut refused = download(1 << 40);
    let (_, ask) = refused.asks.remove(0);
    assert_eq!(Source::new().answer(Instant(0), ask), SnapshotMessage::Unavailable);
    assert!(refused.unavailable(NodeId(3)).is_ok(), "nobody asked it");
    assert!(refused.unavailable(NodeId(1)).is_err());
}

#[test]
fn a_source_holds_few_snapshots_and_not_for_ever() {
    let mut source = Source::new();
    let fetch = |at_least| SnapshotMessage::Fetch { at_least: LogIndex(at_least), resume: None };
    let first = source.machine.executed();
    source.answer(Instant(0), fetch(1));
    source.go_on();
    source.answer(Instant(1), fetch(1));
    assert_eq!(source.sources.held.len(), 1, "a new receiver is sent what is held already");
    source.answer(Instant(2), fetch(first.0 + 1));
    assert_eq!(source.sources.lowest(), Some(first));
    source.go_on();
    source.answer(Instant(3), fetch(first.0 + 2));
    assert_eq!(source.sources.held.len(), MAX_HELD);
    let third = source.answer(Instant(4), fetch(first.0 + 2));
    assert!(matches!(third, SnapshotMessage::Later { .. }), "nobody's is taken from him: {third:?}");
    assert_eq!(source.sources.lowest(), Some(first));
    let end = source.sources.next_timeout().unwrap();
    assert_eq!(end, Instant(1) + HOLD);
    let third = source.answer(end, fetch(first.0 + 2));
    assert!(matches!(third, SnapshotMessage::Chunk { .. }), "one was let go: {third:?}");
    assert!(source.sources.expire(Instant(2) + HOLD) && source.sources.expire(end + HOLD));
    assert_eq!((source.sources.lowest(), source.sources.next_timeout()), (None, None));
}

#[test]
fn who_is_told_to_wait_waits_and_does_not_give_up() {
    let mut source = Source::new();
    let mut download = download(1);
    let mut file = File::default();
    let (mut now, mut chunks, mut before) = (Instant(0), 0, 0);
    while !file.finished {
        let (_, ask) = download.asks.remove(0);
        let SnapshotMessage::Fetch { resume, .. } = &ask else { panic!("a request") };
        // For much longer than its patience lasts, and than a snapshot is held of which nothing is heard.
        for _ in 0..MAX_ATTEMPTS * 2 {
            source.sources.keep(now, resume.as_ref());
            give(&mut download, now, NodeId(1), SnapshotMessage::Later { wait: Duration::from_secs(2) }).unwrap();
            let asked = download.next_timeout().expect("it waits for a chunk");
            assert_eq!(asked, now + Duration::from_secs(2));
            download.handle_timeout(now + Duration::from_millis(1999)).unwrap();
            assert!(download.asks.is_empty(), "too early");
            now = asked;
            download.handle_timeout(now).unwrap();
            assert_eq!(download.asks.pop().map(|(_, again)| again).as_ref(), Some(&ask), "it goes on where it was");
            // Another node leads, and consensus names that: who answers is kept.
            download.redirect(now, Fetch { from: NodeId(2), at_least: LogIndex(1) });
            assert!(download.asks.is_empty() && download.facts().from == NodeId(1));
        }
        let answer = source.answer(now, ask);
        give(&mut download, now, NodeId(1), answer).unwrap();
        file.serve(&mut download, now).unwrap();
        let percent = download.facts().percent;
        assert!((before..=100).contains(&percent));
        (before, chunks) = (percent, chunks + 1);
    }
    assert!(chunks > 2 && before == 100 && file.begun == 1, "{chunks} chunks, {before} %, begun {}", file.begun);
}
