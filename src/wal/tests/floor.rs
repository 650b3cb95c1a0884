//! Floors: what is covered by a checkpoint goes, at last from the disk; a crash or an error at any step loses nothing else.

use super::*;
use crate::wal::{Damage, Floor};

fn floor(index: u64, era: u64) -> Floor {
    Floor { index: LogIndex(index), era: Era(era) }
}

fn segments(life: &Life) -> Vec<u64> {
    life.disk.files().iter().filter_map(|file| file.strip_prefix("wal-")?.parse().ok()).collect()
}

fn indices(groups: &Groups, group: u32) -> Vec<u64> {
    groups[&PartitionId(group)].records.iter().map(|record| record.index.0).collect()
}

/// Two groups in several small segments.
fn written() -> Life {
    let (mut life, ..) = Life::recover(Disk::default(), config(3)).expect("a new log");
    life.write(2, &[record(1, 1, b"cold")], Some(b"cold vote"));
    for index in 1..=12 {
        life.write(1, &[record(index, 1, &[index as u8; 3000])], None);
    }
    life
}

fn flush(life: &mut Life) {
    life.wal.flush();
    assert_eq!(life.run(), vec![], "a release says nothing");
}

#[test]
fn segments_go_when_every_group_covers_them_and_a_cold_group_is_named() {
    let mut life = written();
    let all = segments(&life);
    let bytes = life.wal.bytes();
    assert!(all.len() > 4, "{all:?}");
    assert_eq!(bytes, (all.len() as u64 - 1) * 3 * 4096, "the spare is not in use");
    life.wal.release(PartitionId(1), floor(10, 1));
    flush(&mut life);
    assert_eq!(segments(&life), all, "the cold group's only record pins the first");
    assert_eq!(life.wal.pinned_by(), Some(PartitionId(2)));
    life.wal.release(PartitionId(2), floor(1, 1));
    flush(&mut life);
    let left = segments(&life);
    assert!(left.len() <= 3 && left[0] > 4, "{left:?} of {all:?}");
    assert!(life.wal.bytes() < bytes);
    assert_eq!(life.wal.pinned_by(), Some(PartitionId(1)));

    let (life, groups, _) = Life::recover(life.disk.crashed(5), config(3)).expect("recovers");
    assert_eq!(indices(&groups, 1), [11, 12]);
    assert_eq!(groups[&PartitionId(1)].floor, Some(floor(10, 1)));
    assert_eq!(indices(&groups, 2), [] as [u64; 0]);
    assert_eq!(groups[&PartitionId(2)].hard_state.as_deref(), Some(&b"cold vote"[..]), "its vote outlives its records");
    let (_, again, _) = Life::recover(life.disk.crashed(6), config(3)).expect("recovers again");
    assert_eq!(again, groups);
}

#[test]
fn a_log_that_is_checkpointed_does_not_grow() {
    let (mut life, ..) = Life::recover(Disk::default(), config(4)).expect("a new log");
    let mut largest = 0;
    for index in 1..=300 {
        life.write(1, &[record(index, 1, &[index as u8; 2000])], None);
        if index % 10 == 0 {
            life.wal.release(PartitionId(1), floor(index, 1));
            flush(&mut life);
        }
        largest = largest.max(segments(&life).len());
        if index % 70 == 0 {
            let (next, groups, _) = Life::recover(life.disk.crashed(index), config(4)).expect("recovers");
            assert!(indices(&groups, 1).len() <= 10);
            life = next;
        }
    }
    assert!(largest <= 7, "{largest} segments at once");
    assert!(segments(&life)[0] > 60);
}

#[test]
fn a_floor_waits_for_what_was_appended_before_it() {
    let (mut life, ..) = Life::recover(Disk::default(), config(8)).expect("a new log");
    life.write(1, &[record(1, 1, b"a"), record(2, 1, b"b"), record(3, 1, b"c")], None);
    // Written again from 2 on by another leader; the floor stands on that, and above the old records.
    life.append(1, &[record(2, 2, b"B")], None);
    life.wal.release(PartitionId(1), floor(2, 2));
    life.wal.flush();
    for survivor in 0..40 {
        let (_, groups, _) = Life::recover(life.disk.crashed(survivor), config(8)).expect("recovers");
        let group = &groups[&PartitionId(1)];
        let replaced = group.records.iter().any(|record| record.era == Era(2));
        assert!(group.floor.is_none() || replaced || group.records.is_empty(), "{group:?}");
        if !life.step() {
            break;
        }
    }
    life.run();
    let (_, groups, _) = Life::recover(life.disk.crashed(1), config(8)).expect("recovers");
    assert_eq!(groups[&PartitionId(1)].floor, Some(floor(2, 2)));
    let last = groups[&PartitionId(1)].records.last().map(|record| (record.index.0, record.era.0));
    assert_eq!(last, Some((2, 2)), "what voids 3/e1 is handed out");
}

#[test]
fn a_reset_voids_what_was_there_and_what_waits() {
    let (mut life, ..) = Life::recover(Disk::default(), config(3)).expect("a new log");
    life.write(2, &[record(1, 1, b"other")], None);
    for index in 1..=6 {
        life.write(1, &[record(index, 1, &[1; 3000])], None);
    }
    life.append(1, &[record(7, 1, b"in flight")], None);
    life.wal.flush();
    life.append(1, &[record(8, 1, b"waits")], None);
    life.append(2, &[record(2, 1, b"waits too")], None);
    life.ticket += 1;
    life.wal.reset(life.ticket, PartitionId(1), floor(100, 4), Some(Bytes::from_static(b"vote in 5")));
    life.append(1, &[record(101, 4, b"new")], None);
    life.wal.flush();
    let events = life.run();
    assert_eq!(events.last(), Some(&WalEvent::Persisted { ticket: life.ticket }));
    assert_eq!(life.wal.pinned_by(), Some(PartitionId(2)), "the void records pin nothing");

    let (mut life, groups, _) = Life::recover(life.disk.crashed(1), config(3)).expect("recovers");
    let one = &groups[&PartitionId(1)];
    assert_eq!(one.records, [record(101, 4, b"new")]);
    assert_eq!((one.floor, one.damaged), (Some(floor(100, 4)), None));
    assert_eq!(one.hard_state.as_deref(), Some(&b"vote in 5"[..]));
    assert_eq!(indices(&groups, 2), [1, 2]);
    life.wal.release(PartitionId(2), floor(2, 1));
    flush(&mut life);
    assert!(segments(&life).len() <= 3, "{:?}", segments(&life));
}

#[test]
fn damage_at_or_below_the_floor_is_none() {
    let (mut life, ..) = Life::recover(Disk::default(), config(64)).expect("a new log");
    for index in 1..=5 {
        life.write(1, &[record(index, 1, &[index as u8; 64])], None);
    }
    life.wal.release(PartitionId(1), floor(3, 1));
    flush(&mut life);
    let damaged = |blocks: &[usize]| {
        let mut disk = life.disk.clone();
        for block in blocks {
            disk.content("wal-0000000000000001")[block * 4096 + 100] ^= 1;
        }
        let (_, groups, _) = Life::recover(disk, config(64)).expect("recovers");
        (indices(&groups, 1), groups[&PartitionId(1)].damaged)
    };
    // Blocks: the opening batch, then one for each index.
    assert_eq!(damaged(&[2]), (vec![4, 5], None));
    assert_eq!(damaged(&[1, 3]), (vec![4, 5], None));
    let hole = Damage { first: LogIndex(4), last: LogIndex(5), last_era: Era(1) };
    assert_eq!(damaged(&[2, 4]), (vec![5], Some(hole)));
}

#[test]
fn a_hole_is_closed_by_a_floor_or_a_reset_beyond_it() {
    for reset in [false, true] {
        let (mut life, ..) = Life::recover(Disk::default(), config(64)).expect("a new log");
        for index in 1..=5 {
            life.write(1, &[record(index, 1, &[index as u8; 64])], None);
        }
        life.disk.content("wal-0000000000000001")[2 * 4096 + 100] ^= 1;
        let (mut life, groups, _) = Life::recover(life.disk, config(64)).expect("recovers");
        assert_eq!(groups[&PartitionId(1)].damaged.map(|hole| hole.first), Some(LogIndex(2)));
        if reset {
            life.ticket += 1;
            life.wal.reset(life.ticket, PartitionId(1), floor(9, 2), None);
        } else {
            life.wal.release(PartitionId(1), floor(9, 2));
        }
        life.wal.flush();
        life.run();
        let (_, groups, _) = Life::recover(life.disk.crashed(1), config(64)).expect("recovers");
        assert_eq!(groups[&PartitionId(1)].damaged, None);
        assert_eq!(groups[&PartitionId(1)].floor, Some(floor(9, 2)));
    }
}

/// Every operation of a release and a reset, one after another, fails or is the last before a crash.
#[test]
fn a_crash_or_an_error_at_any_step_leaves_the_floor_before_or_the_floor_after() {
    let base = written();
    for crash in [false, true] {
        for at in 0..60 {
            let mut disk = base.disk.crashed(2);
            if !crash {
                disk.break_at(at);
            }
            let mut life = Life::begin(disk, config(3));
            let mut steps = at;
            let mut asked = 0;
            while steps > 0 || !crash {
                steps = steps.saturating_sub(1);
                let stepped = life.step();
                let running = life.events.iter().any(|event| matches!(event, WalEvent::Recovered { .. }));
                if !stepped && (asked == 2 || !running) {
                    break;
                }
                if !stepped && asked == 0 {
                    life.wal.release(PartitionId(1), floor(9, 1));
                    life.wal.release(PartitionId(2), floor(1, 1));
                    (asked, life.ticket) = (1, 1);
                } else if !stepped {
                    life.wal.reset(2, PartitionId(1), floor(50, 3), Some(Bytes::from_static(b"new vote")));
                    (asked, life.ticket) = (2, 2);
                }
                life.wal.flush();
            }
            life.disk.repair();
            let what = format!("{} at {at}", if crash { "crash" } else { "error" });
            let disk = if crash { life.disk.crashed(at as u64) } else { life.disk };
            let (_, groups, _) = Life::recover(disk, config(3)).unwrap_or_else(|event| panic!("{what}: {event:?}"));
            let one = &groups[&PartitionId(1)];
            let expected: Vec<u64> = match one.floor.map(|floor| floor.index.0) {
                None => (1..=12).collect(),
                Some(9) => (10..=12).collect(),
                Some(50) => Vec::new(),
                other => panic!("{what}: {other:?}"),
            };
            assert_eq!(indices(&groups, 1), expected, "{what}");
            assert_eq!(one.hard_state.is_some(), one.floor == Some(floor(50, 3)), "{what}: one instant for both");
            assert_eq!(one.damaged, None, "{what}");
        }
    }
}
