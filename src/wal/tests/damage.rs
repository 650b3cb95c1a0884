//! Rot: every change of a byte is detected, or shows as a hole that is known, never as another record.

use super::*;
use crate::wal::Damage;

/// Two groups, several batches, two segments.
fn written() -> (Disk, Groups) {
    let (mut life, ..) = Life::recover(Disk::default(), config(6)).expect("a new log");
    life.write(1, &[record(1, 1, b"one"), record(2, 1, &[0; 700])], Some(b"first vote"));
    life.append(2, &[record(1, 1, &[7; 5000])], None);
    life.write(1, &[record(3, 1, b"three")], None);
    life.write(2, &[record(2, 2, b"two of two")], Some(b"second vote"));
    life.write(1, &[record(4, 2, &[4; 1500]), record(5, 2, b"five")], None);
    let disk = life.disk.clone();
    let (_, groups, _) = Life::recover(disk.clone(), config(6)).expect("recovers");
    assert_eq!(groups[&PartitionId(1)].records.len(), 5);
    (disk, groups)
}

/// Three groups: one with a floor in the middle, one reset to a snapshot, one that is silent; the first segments are removed.
fn written_with_floors() -> (Disk, Groups) {
    let floor = |index, era| crate::wal::Floor { index: LogIndex(index), era: Era(era) };
    let (mut life, ..) = Life::recover(Disk::default(), config(3)).expect("a new log");
    life.write(1, &[record(1, 1, &[1; 900]), record(2, 1, b"two")], Some(b"vote"));
    life.write(2, &[record(1, 1, b"void"), record(2, 1, &[2; 3000])], None);
    life.write(1, &[record(3, 1, b"three")], None);
    life.ticket += 1;
    life.wal.reset(life.ticket, PartitionId(2), floor(50, 2), Some(Bytes::from_static(b"vote of two")));
    life.append(2, &[record(51, 2, b"fifty-one")], None);
    life.wal.flush();
    life.run();
    life.wal.release(PartitionId(1), floor(3, 1));
    life.write(1, &[record(4, 1, b"four"), record(5, 2, &[5; 700])], None);
    life.write(3, &[], Some(b"silent"));
    life.write(2, &[record(52, 2, b"fifty-two")], None);
    let (_, groups, _) = Life::recover(life.disk.clone(), config(3)).expect("recovers");
    assert!(!life.disk.files().contains(&"wal-0000000000000001".to_owned()), "{:?}", life.disk.files());
    assert_eq!(groups.values().map(|group| group.records.len()).collect::<Vec<_>>(), [2, 2, 0]);
    (life.disk, groups)
}

/// Whatever is recovered is right, and what is not is known to be missing.
fn check(disk: Disk, original: &Groups, what: &str) {
    let (life, groups, _) = match Life::recover(disk, config(6)) {
        Err(WalEvent::Corrupt(_) | WalEvent::Unusable(_)) => return,
        Err(other) => panic!("{what}: {other:?}"),
        Ok(recovered) => recovered,
    };
    compare(&groups, original, what);
    // The next life knows it too.
    let (_, again, _) =
        Life::recover(life.disk.crashed(1), config(6)).unwrap_or_else(|event| panic!("{what}: {event:?}"));
    assert_eq!(groups, again, "{what}");
}

fn compare(groups: &Groups, original: &Groups, what: &str) {
    for (group, original) in original {
        let found = groups.get(group).unwrap_or_else(|| panic!("{what}: {group} is gone"));
        assert_eq!(found.hard_state, original.hard_state, "{what}: {group}");
        let lost: Vec<&Record> = original.records.iter().filter(|record| !found.records.contains(record)).collect();
        assert!(found.records.iter().all(|record| original.records.contains(record)), "{what}: a wrong record");
        assert!(found.records.is_sorted_by_key(|record| record.index), "{what}: another order");
        assert_eq!(found.floor, original.floor, "{what}: {group}");
        let Some(last) = original.records.last() else {
            assert_eq!(found.damaged, None, "{what}: {group}");
            continue;
        };
        match found.damaged {
            None => assert!(lost.is_empty(), "{what}: {group} lost {} records in silence", lost.len()),
            Some(Damage { first, last: known, last_era }) => {
                assert!(lost.iter().all(|record| record.index >= first), "{what}: the hole begins earlier");
                assert_eq!((last_era, known), (last.era, last.index), "{what}: the true last position");
            }
        }
    }
}

#[test]
fn a_change_of_any_byte_never_yields_a_wrong_record() {
    change_bytes(&written());
    change_bytes(&written_with_floors());
}

fn change_bytes((disk, original): &(Disk, Groups)) {
    for file in disk.files() {
        let content = disk.clone().content(&file).clone();
        for at in 0..content.len() {
            if content[at] == 0 && at % 97 != 0 {
                continue;
            }
            for flip in [0x01, 0xff] {
                if content[at] ^ flip == 0 && at % 3 != 0
                    || content[at] == content[at.saturating_sub(1)] && at % 31 != 0
                {
                    continue;
                }
                let mut rotten = disk.clone();
                rotten.content(&file)[at] ^= flip;
                check(rotten, original, &format!("{file} byte {at} ^ {flip:02x}"));
            }
        }
    }
}

#[test]
fn a_damaged_block_in_the_middle_is_a_hole_with_known_ids() {
    let (disk, original) = written();
    let mut known = 0;
    // Block 0 holds this life's opening batch.
    for block in 0..4 {
        for (from, to) in [(0, 4096), (512, 1024), (3584, 4096)] {
            let mut rotten = disk.clone();
            rotten.content("wal-0000000000000001")[block * 4096 + from..block * 4096 + to].fill(0xab);
            let what = format!("block {block} bytes {from}..{to}");
            let (_, groups, _) = Life::recover(rotten, config(6)).unwrap_or_else(|event| panic!("{what}: {event:?}"));
            compare(&groups, &original, &what);
            known += usize::from(groups.values().any(|group| group.damaged.is_some()));
        }
    }
    assert!(known >= 6, "holes were seen: {known}");
}

#[test]
fn a_hole_is_closed_when_it_has_been_refilled() {
    let (mut life, ..) = Life::recover(Disk::default(), config(6)).expect("a new log");
    for index in 1..=5 {
        life.write(1, &[record(index, 1, &[index as u8; 64])], None);
    }
    life.write(2, &[record(1, 1, b"untouched")], None);
    // Blocks: the opening batch, then one for each index.
    life.disk.content("wal-0000000000000001")[2 * 4096 + 100] ^= 1;
    let (mut life, groups, _) = Life::recover(life.disk, config(6)).expect("recovers");
    let hole = |first| Some(Damage { first: LogIndex(first), last: LogIndex(5), last_era: Era(1) });
    assert_eq!(groups[&PartitionId(1)].damaged, hole(2));
    assert_eq!(groups[&PartitionId(1)].records.len(), 4);
    assert_eq!(groups[&PartitionId(2)].damaged, None);

    for (index, expected) in [(2, hole(3)), (3, hole(4)), (4, hole(5)), (5, None)] {
        life.write(1, &[record(index, 1, &[index as u8; 64])], None);
        let (next, groups, _) = Life::recover(life.disk, config(6)).expect("recovers");
        assert_eq!(groups[&PartitionId(1)].damaged, expected, "refilled up to {index}");
        life = next;
    }
}

#[test]
fn a_leader_of_a_later_era_with_a_shorter_log_closes_the_hole_too() {
    let (mut life, ..) = Life::recover(Disk::default(), config(6)).expect("a new log");
    for index in 1..=5 {
        life.write(1, &[record(index, 1, b"")], None);
    }
    life.disk.content("wal-0000000000000001")[3 * 4096 + 100] ^= 1;
    let (mut life, groups, _) = Life::recover(life.disk, config(6)).expect("recovers");
    assert_eq!(groups[&PartitionId(1)].damaged.map(|hole| hole.first), Some(LogIndex(3)));
    life.write(1, &[record(2, 4, b"")], None);
    let (_, groups, _) = Life::recover(life.disk, config(6)).expect("recovers");
    assert_eq!(groups[&PartitionId(1)].damaged, None);
}

#[test]
fn a_lost_file_is_noticed() {
    let (disk, _) = written();
    for file in disk.files() {
        let mut without = disk.clone();
        without.remove(&file);
        let outcome = Life::recover(without, config(6)).err();
        let spare = disk.files().last() == Some(&file);
        assert_eq!(matches!(outcome, Some(WalEvent::Corrupt(_))), !spare, "{file}: {outcome:?}");
    }
}

#[test]
fn a_stale_vote_is_not_taken_for_the_last_one() {
    let (mut life, ..) = Life::recover(Disk::default(), config(6)).expect("a new log");
    life.write(1, &[], Some(b"old vote"));
    life.write(1, &[], Some(b"new vote"));
    // Generation 3 stands in slot 1.
    life.disk.content("hard-state")[16 * 4096 + 20] ^= 1;
    let outcome = Life::recover(life.disk, config(6)).err();
    assert!(matches!(&outcome, Some(WalEvent::Corrupt(why)) if why.contains("vote")), "{outcome:?}");
}

/// Whatever is damaged beyond knowing is kept under another name, and what takes its place says so in every later life, at
/// whatever moment a crash comes.
#[test]
fn a_damaged_log_is_set_aside_and_never_taken_for_a_first_one() {
    let (sound, _) = written();
    for file in ["hard-state", "wal-0000000000000001"] {
        let mut damaged = sound.clone();
        damaged.content(file).fill(0x55);
        damaged.execute(crate::env::DiskOp::Sync { file: file.to_owned() }).expect("it syncs");
        let rejoining = |seed: u64| Config { can_rejoin: true, seed: seed << 32, ..config(6) };
        for steps in 0..60 {
            let mut first = Life::begin(damaged.clone(), rejoining(7));
            let alive = (0..steps).all(|_| first.step());
            let (life, _, incarnation) = match Life::recover(first.disk.crashed(steps), rejoining(8)) {
                Ok(recovered) => recovered,
                Err(event) => panic!("{file}, {steps} steps: {event:?}"),
            };
            let mut again = Life::begin(life.disk.clone(), config(6));
            let events = again.run();
            let Some(WalEvent::Recovered { groups, amnesia: true, lost: None, incarnation: next }) = events.last()
            else {
                let what: String = format!("{events:?}").chars().take(150).collect();
                panic!("{file}, {steps} steps: {what} {:?}", life.disk.files());
            };
            assert!(groups.is_empty() && incarnation.is_before(*next));
            let kept = life.disk.files().iter().filter(|name| name.starts_with("lost-")).count();
            assert!(kept >= sound.files().len() - 2, "{file}, {steps} steps: {:?}", life.disk.files());
            if !alive {
                break;
            }
        }
    }
}

#[test]
fn any_bytes_at_all_are_survived() {
    let (disk, _) = written();
    for seed in 0..200_u64 {
        let mut rotten = disk.clone();
        for file in disk.files() {
            let content = rotten.content(&file);
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for _ in 0..40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 20) as usize % content.len();
                content[at] = (state >> 56) as u8;
            }
            content.truncate(content.len() - (seed as usize * 37) % 5000);
        }
        let _ = Life::recover(rotten, config(6));
    }
}
