//! Crashes at every point: what was reported durable is there, nothing else than what was appended is, and in order;
//! floors and resets included.

use super::*;
use crate::types::Rng;
use crate::wal::Floor;
use proptest::prelude::*;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What was asked of the log for a group.
#[derive(Clone, Debug, PartialEq)]
enum Change {
    Append(Record),
    Reset(Floor),
}

/// What the log must give back of a group.
#[derive(Clone, Default)]
struct Expected {
    changes: Vec<Change>,
    durable: usize,
    /// Floors that may come back, each with the number of changes that it stands behind.
    floors: Vec<(Option<Floor>, usize)>,
    /// Hard states that may come back: the last durable one and all later ones.
    states: Vec<Option<Bytes>>,
}

/// The log that these changes make: a record voids what stands at its index and after.
fn replay(changes: &[Change]) -> BTreeMap<LogIndex, Record> {
    let mut log = BTreeMap::new();
    for change in changes {
        match change {
            Change::Append(record) => {
                log.split_off(&record.index);
                log.insert(record.index, record.clone());
            }
            Change::Reset(_) => log.clear(),
        }
    }
    log
}

impl Expected {
    fn fresh() -> Self {
        Self { floors: vec![(None, 0)], states: vec![None], ..Self::default() }
    }

    /// Takes what was recovered, which must be what some number of changes make, the durable ones at least.
    fn recovered(&mut self, group: u32, found: RecoveredGroup) {
        assert_eq!(found.damaged, None, "a crash damages nothing");
        assert!(self.states.contains(&found.hard_state), "{group}: hard state {:?}", found.hard_state);
        let at_least = self.floors.iter().filter(|(floor, _)| *floor == found.floor).map(|(_, changes)| *changes).min();
        let at_least = at_least.unwrap_or_else(|| panic!("{group}: a floor out of nowhere: {:?}", found.floor));
        let covered = found.floor.unwrap_or_default().index;
        let appended: Vec<Change> = found.records.into_iter().map(Change::Append).collect();
        let log = replay(&appended).split_off(&covered.next());
        let resets = |change: &Change| if let Change::Reset(floor) = change { Some(floor.index) } else { None };
        let makes = |count: &usize| {
            let changes = &self.changes[..*count];
            let reset = changes.iter().filter_map(resets).next_back();
            reset.is_none_or(|reset| reset <= covered) && replay(changes).split_off(&covered.next()) == log
        };
        assert!(
            (self.durable.max(at_least)..=self.changes.len()).any(|count| makes(&count)),
            "{group}: {:?}, floor {:?}: not what {:?} of {:?} make",
            log.keys(),
            found.floor,
            self.durable,
            self.changes
        );
        self.changes = log.into_values().map(Change::Append).collect();
        self.durable = self.changes.len();
        self.floors = vec![(found.floor, 0)];
        self.states = vec![found.hard_state];
    }

    fn highest_floor(&self) -> LogIndex {
        self.floors.iter().map(|(floor, _)| floor.unwrap_or_default().index).max().unwrap_or_default()
    }

    fn end(&self) -> LogIndex {
        let log = replay(&self.changes);
        log.last_key_value().map_or(LogIndex(0), |(index, _)| *index).max(self.highest_floor())
    }
}

struct Model {
    groups: BTreeMap<PartitionId, Expected>,
    /// By ticket: which group, and how many changes and which hard state it then had.
    tickets: BTreeMap<u64, (PartitionId, usize, Option<Bytes>)>,
    serial: u64,
}

impl Model {
    fn persisted(&mut self, up_to: u64) {
        let rest = self.tickets.split_off(&(up_to + 1));
        for (_, (group, changes, state)) in std::mem::replace(&mut self.tickets, rest) {
            let expected = self.groups.get_mut(&group).expect("appended");
            expected.durable = expected.durable.max(changes);
            if let Some(state) = state {
                let at = expected.states.iter().position(|known| known.as_ref() == Some(&state)).expect("appended");
                expected.states.drain(..at);
            }
        }
    }

    /// Compares with what was recovered, and goes on from there.
    fn recovered(&mut self, mut found: Groups) {
        for (group, expected) in &mut self.groups {
            expected.recovered(group.0, found.remove(group).unwrap_or_default());
        }
        assert!(found.is_empty(), "groups out of nowhere: {found:?}");
        self.tickets.clear();
    }

    /// Something is asked of the log.
    fn change(&mut self, life: &mut Life, rng: &mut Rng) {
        let group = PartitionId(rng.next_u32() % 3);
        let expected = self.groups.entry(group).or_insert_with(Expected::fresh);
        match rng.next_u32() % 16 {
            0..4 => {
                let floor = expected.highest_floor();
                let index = LogIndex(floor.0 + rng.next_u64() % (expected.end().0 - floor.0 + 1));
                if index > floor {
                    let floor = Floor { index, era: Era(1) };
                    expected.floors.push((Some(floor), expected.changes.len()));
                    life.wal.release(group, floor);
                }
            }
            4 => {
                let floor = Floor { index: LogIndex(expected.end().0 + rng.next_u64() % 20), era: Era(2) };
                if floor.index <= expected.highest_floor() {
                    return;
                }
                expected.changes.push(Change::Reset(floor));
                expected.floors.push((Some(floor), expected.changes.len()));
                let state = rng.next_u32().is_multiple_of(2).then(|| serial_bytes(&mut self.serial));
                expected.states.extend(state.clone().map(Some));
                life.ticket += 1;
                self.tickets.insert(life.ticket, (group, expected.changes.len(), state.clone()));
                life.wal.reset(life.ticket, group, floor, state);
            }
            _ => append(life, &mut self.tickets, &mut self.serial, group, expected, rng),
        }
    }
}

fn serial_bytes(serial: &mut u64) -> Bytes {
    *serial += 1;
    Bytes::copy_from_slice(&serial.to_le_bytes())
}

fn append(
    life: &mut Life,
    tickets: &mut BTreeMap<u64, (PartitionId, usize, Option<Bytes>)>,
    serial: &mut u64,
    group: PartitionId,
    expected: &mut Expected,
    rng: &mut Rng,
) {
    let mut next = expected.end().next();
    if rng.next_u32().is_multiple_of(6) {
        // Written again from somewhere above every floor, as a new leader does.
        let floor = expected.highest_floor();
        next = LogIndex(floor.0 + 1 + rng.next_u64() % (next.0 - floor.0));
    }
    let mut records = Vec::new();
    for _ in 0..rng.next_u32() % 4 {
        *serial += 1;
        let length = if rng.next_u32().is_multiple_of(8) { rng.next_u32() % 30_000 } else { rng.next_u32() % 600 };
        let bytes: Vec<u8> = (0..length).map(|at| (*serial as u32 + at) as u8).collect();
        records.push(record(next.0, *serial, &bytes));
        next = next.next();
    }
    let state = rng.next_u32().is_multiple_of(5).then(|| serial_bytes(serial));
    expected.changes.extend(records.iter().cloned().map(Change::Append));
    expected.states.extend(state.clone().map(Some));
    life.ticket += 1;
    tickets.insert(life.ticket, (group, expected.changes.len(), state.clone()));
    life.wal.append(life.ticket, group, &records, state);
}

fn crash_and_recover(seed: u64, lives: usize, segment_blocks: u64) {
    let mut rng = Rng::seed_from_u64(seed);
    let mut model = Model { groups: BTreeMap::new(), tickets: BTreeMap::new(), serial: 0 };
    let mut disk = Disk::default();
    let mut incarnation = Incarnation(0);
    for _ in 0..lives {
        let mut life = Life::begin(disk, config(segment_blocks));
        let mut left = rng.next_u32() % 90;
        let mut recovered = false;
        while left > 0 {
            left -= 1;
            let stepped = life.step();
            for event in std::mem::take(&mut life.events) {
                match event {
                    WalEvent::Recovered { groups, incarnation: new, .. } => {
                        assert!(new > incarnation, "every life has a larger number");
                        (incarnation, recovered) = (new, true);
                        model.recovered(groups);
                    }
                    WalEvent::Persisted { ticket } => model.persisted(ticket),
                    other => panic!("a crash alone makes no {other:?}"),
                }
            }
            if !stepped && !recovered {
                left += 1;
            }
            if recovered && rng.next_u32() % 3 == 0 {
                model.change(&mut life, &mut rng);
                life.wal.flush();
            }
        }
        disk = life.disk.crashed(rng.next_u64());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_crash_everything_durable_is_there_and_nothing_else(seed in any::<u64>(), blocks in 2_u64..12) {
        crash_and_recover(seed, 6, blocks);
    }
}
