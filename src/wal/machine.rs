//! The machine: recovery step by step, then batch after batch.

use super::format::BLOCK;
use super::hard_state::{self, HardState, SLOT};
use super::recovery::{Analysis, Files, Verdict, analyse};
use super::retention::{Retention, Span};
use super::segment::{self, Tail, UNFINISHED};
use super::writer::Writer;
use super::{Config, Floor, Record, RecoveredGroup, WalEvent};
use crate::env::{DiskError, DiskOp, DiskOutput, DiskResult};
use crate::types::{Incarnation, PartitionId};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What the names of damaged files begin with that were set aside.
const ASIDE: &str = "lost-";

/// The log of one worker.
///
/// Usage: [`Wal::start`] once; after every call, submit [`Wal::take_ops`] in order and take [`Wal::poll`] until `None`; hand each
/// completion to [`Wal::completed`] in the order of submission. Appending is allowed once [`WalEvent::Recovered`] is out.
pub struct Wal {
    config: Config,
    ops: Vec<DiskOp>,
    steps: VecDeque<Step>,
    events: VecDeque<WalEvent>,
    state: State,
    /// Why a damaged log was set aside in this life.
    lost: Option<String>,
}

/// What the completion of a submitted operation means.
#[derive(Debug)]
enum Step {
    /// Only its failure matters.
    Plain,
    /// A sync: its failure leaves unknown what is durable.
    Sync,
    /// Names of all files.
    List,
    /// The hard-state file; `true`: nothing more is to be read.
    ReadHardState,
    /// A segment.
    ReadSegment(u64),
    /// The last sync of the recovery.
    Settled,
    /// The sync of a batch, with its ticket, if any waited for it.
    Batch(Option<u64>),
}

enum State {
    /// Before [`Wal::start`].
    New,
    /// Reading what there is.
    Reading { files: Files, left: usize, names: Vec<String> },
    /// Making the recovered log durable again, in new files.
    Settling { groups: BTreeMap<PartitionId, RecoveredGroup>, log: Box<Log> },
    /// Recovered.
    Running(Box<Log>),
    /// The last event is out.
    Dead,
}

/// A log that can be appended to.
struct Log {
    writer: Writer,
    hard_state: HardState,
    hard_state_changed: bool,
    tail: Tail,
    /// The segment created ahead.
    spare: Tail,
    /// Highest ticket appended and not yet in a batch.
    waiting: Option<u64>,
    in_flight: Option<InFlight>,
    flush_wanted: bool,
    retention: Retention,
    /// Lowest segment whose file is there.
    oldest: u64,
    /// Floors that take effect when the batch of that number is durable: no floor may outrun a record appended before it.
    released: VecDeque<(u64, PartitionId, Floor)>,
}

/// The batch that is being written.
struct InFlight {
    batch: u64,
    segment: u64,
    bytes: u64,
    spans: BTreeMap<PartitionId, Span>,
}

impl Wal {
    /// A log at the beginning of a life.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, ops: Vec::new(), steps: VecDeque::new(), events: VecDeque::new(), state: State::New, lost: None }
    }

    /// Begins recovery.
    pub fn start(&mut self) {
        assert!(matches!(self.state, State::New), "a log is started once in its life");
        let files = Files::default();
        self.state = State::Reading { files, left: 0, names: Vec::new() };
        self.submit(DiskOp::List, Step::List);
    }

    /// Operations to be submitted, in this order. Call after every other call.
    #[must_use]
    pub fn take_ops(&mut self) -> Vec<DiskOp> {
        std::mem::take(&mut self.ops)
    }

    /// What there is to tell. Call after every other call until it returns `None`.
    #[must_use]
    pub fn poll(&mut self) -> Option<WalEvent> {
        self.events.pop_front()
    }

    /// The oldest operation that has not been reported yet has ended so.
    pub fn completed(&mut self, result: DiskResult) {
        let step = self.steps.pop_front().expect("the disk completes what was submitted, once");
        if matches!(self.state, State::Dead) {
            return;
        }
        let syncs = matches!(step, Step::Sync | Step::Settled | Step::Batch(_));
        let output = match result {
            Ok(output) => output,
            Err(_) if syncs && planted!(40) => DiskOutput::Done,
            // Acknowledged all the same: the error is only noted.
            Err(_) if planted!(42) && (syncs || matches!(step, Step::Plain)) => DiskOutput::Done,
            Err(error) => return self.fail(&step, &error),
        };
        match (step, output) {
            (Step::List, DiskOutput::Files(files)) => self.listed(files),
            (Step::ReadHardState, DiskOutput::Data(data)) => self.read(|files| files.hard_state = Some(data)),
            (Step::ReadSegment(number), DiskOutput::Data(data)) => {
                self.read(|files| drop(files.segments.insert(number, data)));
            }
            (Step::Settled, _) => self.settled(),
            (Step::Batch(ticket), _) => self.batch_is_durable(ticket),
            (Step::Plain | Step::Sync, _) => {}
            (step, output) => self.end(WalEvent::Failed(format!("the disk answers {output:?} to {step:?}"))),
        }
    }

    /// Appends records of a group, in order, and replaces its hard state, durable before or together with the records.
    /// Tickets rise. Nothing is written before [`Wal::flush`] or the end of the batch in flight. What waits is bounded by
    /// whoever appends: this queue itself refuses nothing.
    pub fn append(&mut self, ticket: u64, group: PartitionId, records: &[Record], hard_state: Option<Bytes>) {
        if matches!(self.state, State::Dead) {
            return;
        }
        let State::Running(log) = &mut self.state else {
            panic!("appending begins when the log has recovered");
        };
        assert!(log.waiting.is_none_or(|waiting| waiting <= ticket), "tickets rise");
        log.waiting = Some(ticket);
        for record in records {
            log.writer.add(group, record);
        }
        if let Some(state) = hard_state {
            let group = log.hard_state.groups.entry(group).or_default();
            log.hard_state_changed |= group.state.as_ref() != Some(&state);
            group.state = Some(state);
        }
    }

    /// Starts a batch of everything that waits; if one is in flight, the next begins by itself at its end.
    pub fn flush(&mut self) {
        let State::Running(log) = &mut self.state else { return };
        if log.in_flight.is_some() {
            log.flush_wanted = log.waiting.is_some() || log.hard_state_changed;
            return;
        }
        log.flush_wanted = false;
        log.give_up_segments();
        let ticket = log.waiting.take();
        if log.writer.is_empty() && !log.hard_state_changed {
            self.events.extend(ticket.map(|ticket| WalEvent::Persisted { ticket }));
            return;
        }
        let mut ops = Vec::new();
        match log.write(&self.config, &mut ops) {
            Ok(file) => {
                self.submit_all(ops);
                self.submit(DiskOp::Sync { file }, Step::Batch(ticket));
                self.create_ahead();
            }
            Err(reason) => self.end(WalEvent::Failed(reason)),
        }
    }

    /// A published checkpoint covers the group's log up to the floor: what lies below may go. A floor that is not above
    /// the one known changes nothing. It becomes durable after everything appended so far; then segments go.
    pub fn release(&mut self, group: PartitionId, floor: Floor) {
        if matches!(self.state, State::Dead) {
            return;
        }
        let State::Running(log) = &mut self.state else {
            panic!("releasing begins when the log has recovered");
        };
        let waits_for = if log.writer.is_empty() {
            log.in_flight.as_ref().map(|in_flight| in_flight.batch)
        } else {
            Some(log.writer.batch())
        };
        match waits_for {
            Some(batch) => log.released.push_back((batch, group, floor)),
            None => log.raise_floor(group, floor),
        }
    }

    /// The group's log so far is void, and begins anew after the floor: a snapshot has been installed, its checkpoint is
    /// published. Takes the place of [`Wal::append`] for this ticket; records appended with later tickets, or after it with
    /// the same one, belong to the new log. The hard state, if one is given, becomes durable in the same instant.
    pub fn reset(&mut self, ticket: u64, group: PartitionId, floor: Floor, hard_state: Option<Bytes>) {
        self.append(ticket, group, &[], hard_state);
        let State::Running(log) = &mut self.state else { return };
        sometimes!("wal.reset");
        log.writer.forget(group);
        log.retention.void(group);
        log.released.retain(|(_, released, _)| *released != group);
        log.raise_floor(group, floor);
        log.hard_state.groups.entry(group).or_default().begins = log.writer.batch();
        log.hard_state_changed = true;
    }

    /// Nothing of the group is here any more: its log so far is void, and so is its floor. What is left is this in the place of its
    /// hard state, durable like one. A later life of the group here begins with an empty log.
    pub fn forget(&mut self, ticket: u64, group: PartitionId, left: Bytes) {
        self.reset(ticket, group, Floor::default(), Some(left));
        let State::Running(log) = &mut self.state else { return };
        log.hard_state.groups.entry(group).or_default().floor = None;
    }

    /// The group whose records keep the oldest segment from being removed, if there is a younger one: a checkpoint of it
    /// helps.
    #[must_use]
    pub fn pinned_by(&self) -> Option<PartitionId> {
        match &self.state {
            State::Running(log) => log.retention.pinned_by(|group| log.hard_state.floor(group)),
            _ => None,
        }
    }

    /// Size of all segments in use, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.state {
            State::Running(log) => log.retention.bytes(),
            _ => 0,
        }
    }

    /// Identity of the log, drawn when it was created: checkpoints of this directory carry it. `None` before it has
    /// recovered and after its last event.
    #[must_use]
    pub fn log_id(&self) -> Option<u64> {
        match &self.state {
            State::Running(log) => Some(log.hard_state.log_id),
            _ => None,
        }
    }

    /// Nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.state {
            State::Running(log) => log.in_flight.is_none() && log.waiting.is_none(),
            State::New | State::Dead => true,
            State::Reading { .. } | State::Settling { .. } => false,
        }
    }

    fn submit(&mut self, op: DiskOp, step: Step) {
        self.ops.push(op);
        self.steps.push_back(step);
    }

    fn submit_all(&mut self, ops: Vec<DiskOp>) {
        for op in ops {
            let step = match op {
                DiskOp::Sync { .. } | DiskOp::SyncDirectory => Step::Sync,
                _ => Step::Plain,
            };
            self.submit(op, step);
        }
    }

    /// The last event of this life.
    fn end(&mut self, event: WalEvent) {
        sometimes!("wal.corrupt", matches!(event, WalEvent::Corrupt(_)));
        self.state = State::Dead;
        self.ops.clear();
        self.events.push_back(event);
    }

    fn fail(&mut self, step: &Step, error: &DiskError) {
        sometimes!("wal.disk_failed");
        sometimes!("wal.disk_failed_in_recovery", !matches!(self.state, State::Running(_)));
        let what = match step {
            Step::Sync | Step::Settled | Step::Batch(_) => "syncing",
            Step::Plain => "writing",
            Step::List | Step::ReadHardState | Step::ReadSegment(_) => "reading",
        };
        self.end(WalEvent::Failed(format!("{what} the log: {error}")));
    }

    fn listed(&mut self, files: Vec<(String, u64)>) {
        let mut ops = Vec::new();
        for (file, length) in &files {
            let read = DiskOp::Read { file: file.clone(), offset: 0, length: *length };
            if file == hard_state::FILE {
                ops.push((read, Step::ReadHardState));
            } else if let Some(number) = segment::number(file) {
                ops.push((read, Step::ReadSegment(number)));
            }
        }
        if let State::Reading { left, names, .. } = &mut self.state {
            *left = ops.len();
            *names = files.into_iter().map(|(file, _)| file).collect();
        }
        if ops.is_empty() {
            return self.judge();
        }
        for (op, step) in ops {
            self.submit(op, step);
        }
    }

    fn read(&mut self, put: impl FnOnce(&mut Files)) {
        let State::Reading { files, left, .. } = &mut self.state else { return };
        put(files);
        *left -= 1;
        if *left == 0 {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let State::Reading { files, names, .. } = std::mem::replace(&mut self.state, State::Dead) else { return };
        match analyse(&self.config, &files) {
            Verdict::Fresh => {
                // A crash may have come between the setting aside and the new log.
                let analysis = self.fresh(names.iter().any(|name| name.starts_with(ASIDE)), 1);
                self.settle(analysis, &names);
            }
            Verdict::Good(analysis) => self.settle(*analysis, &names),
            Verdict::Corrupt(reason) if self.config.can_rejoin => self.set_aside(&files, names, reason),
            Verdict::Corrupt(reason) => self.end(WalEvent::Corrupt(reason)),
            Verdict::Unusable(reason) => self.end(WalEvent::Unusable(reason)),
        }
    }

    /// A new log in the place of a damaged one, which is kept under other names. Until the new hard state takes the old one's
    /// place, what is there is damaged, or says by those names that it was: the new log's first segment has a number that the
    /// old hard state does not begin with, so that the two are never taken for one log.
    fn set_aside(&mut self, files: &Files, mut names: Vec<String>, reason: String) {
        sometimes!("wal.set_aside");
        let aside = |name: &str| format!("{ASIDE}{:016x}-{name}", self.config.seed);
        let mut ops = Vec::new();
        if let Some(content) = &files.hard_state {
            rewrite(&aside(hard_state::FILE), content.len() as u64, 0, content.clone(), &mut ops);
        }
        for name in names.iter().filter(|name| segment::number(name).is_some()) {
            ops.push(DiskOp::Rename { from: name.clone(), to: aside(name) });
        }
        ops.push(DiskOp::SyncDirectory);
        names.retain(|name| segment::number(name).is_none());
        self.submit_all(ops);
        self.lost = Some(reason);
        let first = match files.hard_state.as_deref().map(hard_state::read) {
            Some(hard_state::Stored::Found(old)) => old.first_segment,
            _ => 0,
        };
        let highest = files.segments.keys().next_back().copied().unwrap_or_default();
        let analysis = self.fresh(true, first.max(highest) + 1);
        self.settle(analysis, &names);
    }

    /// A log that holds nothing yet.
    fn fresh(&self, amnesia: bool, segment: u64) -> Analysis {
        Analysis {
            groups: BTreeMap::new(),
            hard_state: HardState {
                log_id: self.config.seed,
                generation: 0,
                incarnation: Incarnation::before_first(self.config.seed).0,
                amnesia,
                node: self.config.node,
                worker: self.config.worker,
                first_segment: segment,
                first_batch: 1,
                groups: BTreeMap::new(),
            },
            segment,
            kept: Bytes::new(),
            batch: 1,
            previous: super::format::Directory::default(),
            retention: Retention::default(),
        }
    }

    /// Brings the log into a state that is durable whatever the page cache made us read: the last segment and the hard state
    /// into new files, everything beyond removed, then the batch that opens this life. Only its sync ends the recovery.
    fn settle(&mut self, analysis: Analysis, names: &[String]) {
        let Analysis { groups, mut hard_state, segment, kept, batch, previous, retention } = analysis;
        sometimes!("wal.settling");
        hard_state.generation += 1;
        hard_state.incarnation += 1;
        let mut ops: Vec<DiskOp> = Vec::new();
        // From the highest down, each for good before the next: a crash in between must leave no gap in the numbers.
        let beyond = |file: &&String| segment::number(file).is_some_and(|number| number > segment);
        let remove = |file: &String| DiskOp::Remove { file: file.clone() };
        ops.extend(names.iter().rev().filter(beyond).flat_map(|file| [remove(file), DiskOp::SyncDirectory]));
        ops.extend(names.iter().filter(|file| segment::is_unfinished(file)).map(remove));
        let bytes = self.config.segment_bytes.max(kept.len() as u64).next_multiple_of(BLOCK as u64);
        let tail = tail(segment, bytes, kept.len() as u64);
        rewrite(&segment::name(segment), bytes, 0, kept, &mut ops);
        let Some(slot) = hard_state.encode() else {
            return self.end(WalEvent::Failed("the hard state of all groups does not fit its slot".to_owned()));
        };
        rewrite(hard_state::FILE, 2 * SLOT as u64, hard_state.offset(), slot, &mut ops);
        // Files that an earlier life had given up and did not come to remove. The hard state that says so is durable now.
        let oldest = hard_state.first_segment;
        let given_up = |file: &&String| segment::number(file).is_some_and(|number| number < oldest);
        ops.extend(names.iter().filter(given_up).map(remove));
        let spare = segment + 1;
        let spare_bytes = self.config.segment_bytes.next_multiple_of(BLOCK as u64);
        ops.extend(segment::create(spare, spare_bytes));
        let mut log = Box::new(Log {
            writer: Writer::new(hard_state.log_id, hard_state.incarnation, batch, previous),
            hard_state,
            hard_state_changed: false,
            tail,
            spare: self::tail(spare, spare_bytes, 0),
            waiting: None,
            in_flight: None,
            flush_wanted: false,
            retention,
            oldest,
            released: VecDeque::new(),
        });
        match log.write(&self.config, &mut ops) {
            Ok(file) => {
                self.state = State::Settling { groups, log };
                self.submit_all(ops);
                self.submit(DiskOp::Sync { file }, Step::Settled);
                self.create_ahead();
            }
            Err(reason) => self.end(WalEvent::Failed(reason)),
        }
    }

    fn settled(&mut self) {
        let State::Settling { groups, mut log } = std::mem::replace(&mut self.state, State::Dead) else { return };
        log.landed();
        let incarnation = Incarnation(log.hard_state.incarnation);
        let amnesia = log.hard_state.amnesia;
        self.state = State::Running(log);
        self.events.push_back(WalEvent::Recovered { groups, incarnation, amnesia, lost: self.lost.take() });
    }

    fn batch_is_durable(&mut self, ticket: Option<u64>) {
        let State::Running(log) = &mut self.state else { return };
        let removed = log.landed();
        let again = log.flush_wanted || log.hard_state_changed;
        // No sync of the directory: if a crash brings the file back, the next life knows that it has been given up.
        self.submit_all(removed.map(|segment| DiskOp::Remove { file: segment::name(segment) }).collect());
        self.events.extend(ticket.map(|ticket| WalEvent::Persisted { ticket }));
        if again {
            self.flush();
        }
    }

    /// Creates the next segment as soon as the one before has come into use, behind the batch that brought it there.
    fn create_ahead(&mut self) {
        let (State::Running(log) | State::Settling { log, .. }) = &mut self.state else { return };
        if log.spare.segment > log.tail.segment {
            return;
        }
        let bytes = self.config.segment_bytes.next_multiple_of(BLOCK as u64);
        log.spare = tail(log.tail.segment + 1, bytes, 0);
        let ops = segment::create(log.spare.segment, bytes);
        self.submit_all(ops);
    }
}

fn tail(segment: u64, bytes: u64, used: u64) -> Tail {
    let blocks = |bytes: u64| u32::try_from(bytes / BLOCK as u64).expect("a segment is smaller than 16 TiB");
    Tail { segment, blocks: blocks(bytes), next: blocks(used) }
}

/// Puts a file in place of whatever has its name, all of it or nothing.
fn rewrite(file: &str, length: u64, offset: u64, data: Bytes, ops: &mut Vec<DiskOp>) {
    let unfinished = format!("{file}{UNFINISHED}");
    ops.push(DiskOp::Create { file: unfinished.clone(), length });
    if !data.is_empty() {
        ops.push(DiskOp::Write { file: unfinished.clone(), offset, data });
    }
    ops.push(DiskOp::Sync { file: unfinished.clone() });
    ops.push(DiskOp::Rename { from: unfinished, to: file.to_owned() });
    ops.push(DiskOp::SyncDirectory);
}

impl Log {
    /// The operations that write everything that waits, up to the sync of the file returned: first the hard state, which the
    /// batch's directory then vouches for.
    fn write(&mut self, config: &Config, ops: &mut Vec<DiskOp>) -> Result<String, String> {
        if planted!(17) {
            let given_up = std::mem::replace(&mut self.oldest, self.hard_state.first_segment);
            ops.extend((given_up..self.oldest).map(|segment| DiskOp::Remove { file: segment::name(segment) }));
        }
        if std::mem::take(&mut self.hard_state_changed) {
            sometimes!("wal.hard_state_changed");
            self.hard_state.generation += 1;
            let data = self.hard_state.encode().ok_or("the hard state of all groups does not fit its slot")?;
            let file = hard_state::FILE.to_owned();
            ops.push(DiskOp::Write { file: file.clone(), offset: self.hard_state.offset(), data });
            ops.push(DiskOp::Sync { file });
        }
        let blocks = self.writer.blocks();
        if blocks > self.tail.room() {
            self.roll_over(blocks, config, ops);
        }
        let first = self.tail.next;
        self.tail.next += blocks;
        self.in_flight = Some(InFlight {
            batch: self.writer.batch(),
            segment: self.tail.segment,
            bytes: u64::from(self.tail.blocks) * BLOCK as u64,
            spans: self.writer.take_spans(),
        });
        let data = self.writer.seal(self.tail.segment, first, self.hard_state.generation);
        let file = segment::name(self.tail.segment);
        ops.push(DiskOp::Write { file: file.clone(), offset: u64::from(first) * BLOCK as u64, data });
        Ok(file)
    }

    /// Raises a group's floor; the next batch makes it durable.
    fn raise_floor(&mut self, group: PartitionId, floor: Floor) {
        let group = self.hard_state.groups.entry(group).or_default();
        if group.floor.is_none_or(|known| known.index < floor.index) {
            group.floor = Some(floor);
            self.hard_state_changed = true;
        }
    }

    /// The batch in flight is durable. Returns the segments whose files are not needed any more.
    fn landed(&mut self) -> std::ops::Range<u64> {
        let Some(InFlight { batch, segment, bytes, spans }) = self.in_flight.take() else { return 0..0 };
        let begins = |group: &PartitionId| self.hard_state.groups.get(group).map_or(0, |group| group.begins);
        let counting = spans.into_iter().filter(|(group, _)| begins(group) <= batch);
        self.retention.batch(segment, bytes, batch, counting);
        while let Some((_, group, floor)) = self.released.pop_front_if(|(waits_for, ..)| *waits_for <= batch) {
            self.raise_floor(group, floor);
        }
        let removed = self.oldest..self.hard_state.first_segment;
        self.oldest = self.hard_state.first_segment;
        sometimes!("wal.segment_removed", !removed.is_empty());
        removed
    }

    /// Moves the beginning of the log behind the segments that no group needs. The next batch makes that durable; then
    /// they are removed.
    fn give_up_segments(&mut self) {
        let Some(beginning) = self.retention.beginning(|group| self.hard_state.floor(group)) else { return };
        if beginning.segment > self.hard_state.first_segment {
            self.hard_state.first_segment = beginning.segment;
            self.hard_state.first_batch = beginning.batch;
            self.hard_state_changed = true;
            self.retention.forget_below(beginning.segment);
        }
    }

    /// A batch lies in one segment: the rest of this one stays empty. For a batch larger than a segment the spare is extended.
    fn roll_over(&mut self, blocks: u32, config: &Config, ops: &mut Vec<DiskOp>) {
        sometimes!("wal.segment_rolled");
        assert!(self.spare.segment == self.tail.segment + 1, "a segment is created ahead");
        self.tail = self.spare;
        if blocks > self.tail.room() {
            sometimes!("wal.batch_larger_than_a_segment");
            let length = (u64::from(blocks) * BLOCK as u64).max(config.segment_bytes);
            self.tail.blocks = blocks;
            let file = segment::name(self.tail.segment);
            ops.push(DiskOp::Truncate { file: file.clone(), length });
            ops.push(DiskOp::Sync { file });
        }
    }
}
