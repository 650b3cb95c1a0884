//! Crashes at every point: what was reported durable is there, nothing else than what was appended is, and in order.

use super::*;
use crate::types::Rng;
use proptest::prelude::*;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What the log must give back of a group.
#[derive(Clone, Default)]
struct Expected {
    records: Vec<Record>,
    durable: usize,
    /// Hard states that may come back: the last durable one and all later ones.
    states: Vec<Option<Bytes>>,
}

struct Model {
    groups: BTreeMap<PartitionId, Expected>,
    /// By ticket: which group, and how many records and hard states it then had.
    tickets: BTreeMap<u64, (PartitionId, usize, Option<Bytes>)>,
}

impl Model {
    fn persisted(&mut self, up_to: u64) {
        let rest = self.tickets.split_off(&(up_to + 1));
        for (_, (group, records, state)) in std::mem::replace(&mut self.tickets, rest) {
            let expected = self.groups.get_mut(&group).expect("appended");
            expected.durable = expected.durable.max(records);
            if let Some(state) = state {
                let at = expected.states.iter().position(|known| known.as_ref() == Some(&state)).expect("appended");
                expected.states.drain(..at);
            }
        }
    }

    /// Compares with what was recovered, and goes on from there.
    fn recovered(&mut self, found: &Groups) {
        for (group, expected) in &mut self.groups {
            let found = found.get(group).cloned().unwrap_or_default();
            assert_eq!(found.damaged, None, "a crash damages nothing");
            assert!(
                found.records.len() >= expected.durable,
                "{group}: {} of {}",
                found.records.len(),
                expected.durable
            );
            expected.records.truncate(found.records.len());
            assert!(expected.records == found.records, "{group}: other records");
            assert!(expected.states.contains(&found.hard_state), "{group}: hard state {:?}", found.hard_state);
            expected.durable = found.records.len();
            expected.states = vec![found.hard_state];
        }
        assert!(found.keys().all(|group| self.groups.contains_key(group)), "a group out of nowhere");
        self.tickets.clear();
    }
}

fn crash_and_recover(seed: u64, lives: usize, segment_blocks: u64) {
    let mut rng = Rng::seed_from_u64(seed);
    let mut model = Model { groups: BTreeMap::new(), tickets: BTreeMap::new() };
    let mut disk = Disk::default();
    let mut incarnation = Incarnation(0);
    let mut serial = 0_u64;
    for _ in 0..lives {
        let mut life = Life::begin(disk, config(segment_blocks));
        let mut left = rng.next_u32() % 60;
        let mut recovered = false;
        while left > 0 {
            left -= 1;
            let stepped = life.step();
            for event in std::mem::take(&mut life.events) {
                match event {
                    WalEvent::Recovered { groups, incarnation: new } => {
                        assert!(new > incarnation, "every life has a larger number");
                        (incarnation, recovered) = (new, true);
                        model.recovered(&groups);
                    }
                    WalEvent::Persisted { ticket } => model.persisted(ticket),
                    other => panic!("a crash alone makes no {other:?}"),
                }
            }
            if !stepped && !recovered {
                left += 1;
            }
            if recovered && rng.next_u32() % 3 == 0 {
                append(&mut life, &mut model, &mut rng, &mut serial);
                life.wal.flush();
            }
        }
        disk = life.disk.crashed(rng.next_u64());
    }
}

fn append(life: &mut Life, model: &mut Model, rng: &mut Rng, serial: &mut u64) {
    let group = rng.next_u32() % 3;
    let expected = model
        .groups
        .entry(PartitionId(group))
        .or_insert_with(|| Expected { states: vec![None], ..Expected::default() });
    let mut records = Vec::new();
    for _ in 0..rng.next_u32() % 4 {
        *serial += 1;
        let length = if rng.next_u32().is_multiple_of(8) { rng.next_u32() % 30_000 } else { rng.next_u32() % 600 };
        let bytes: Vec<u8> = (0..length).map(|at| (*serial as u32 + at) as u8).collect();
        records.push(record(*serial, 1, &bytes));
    }
    let state = rng.next_u32().is_multiple_of(5).then(|| {
        *serial += 1;
        Bytes::copy_from_slice(&serial.to_le_bytes())
    });
    expected.records.extend_from_slice(&records);
    expected.states.extend(state.clone().map(Some));
    life.ticket += 1;
    model.tickets.insert(life.ticket, (PartitionId(group), expected.records.len(), state.clone()));
    life.wal.append(life.ticket, PartitionId(group), &records, state);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_crash_everything_durable_is_there_and_nothing_else(seed in any::<u64>(), blocks in 2_u64..12) {
        crash_and_recover(seed, 6, blocks);
    }
}
