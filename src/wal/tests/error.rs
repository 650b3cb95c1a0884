//! One operation fails and what was submitted behind it is refused: nothing that was reported durable is lost.

use super::*;

const GROUP: PartitionId = PartitionId(1);

/// A log of two segments, with votes, as an earlier life has left it.
fn written() -> Disk {
    let (mut life, ..) = Life::recover(Disk::default(), config(4)).expect("a new log");
    for index in 1..=5 {
        life.write(1, &[record(index, 1, &[index as u8; 300])], (index == 3).then_some(&b"vote 0"[..]));
    }
    life.disk.crashed(7)
}

/// A life on a disk of which one operation fails. Returns the disk, and how many records and which votes were durable.
fn life_with_failure(mut disk: Disk, failing: usize) -> (Disk, u64, Vec<&'static [u8]>) {
    disk.break_at(failing);
    let (mut durable, mut votes) = (5, vec![&b"vote 0"[..]]);
    let mut life = Life::begin(disk, config(4));
    let events = life.run();
    if !matches!(events[..], [WalEvent::Recovered { .. }]) {
        assert!(matches!(events[..], [WalEvent::Failed(_)]), "operation {failing}: {events:?}");
        return (life.disk, durable, votes);
    }
    for (index, vote) in [(6, None), (7, Some(&b"vote 1"[..])), (8, None), (9, Some(&b"vote 2"[..])), (10, None)] {
        let ticket = life.append(1, &[record(index, 1, &[index as u8; 300])], vote);
        life.wal.flush();
        let events = life.run();
        votes.extend(vote);
        if events.first() == Some(&WalEvent::Persisted { ticket }) {
            durable = index;
            if let Some(vote) = vote {
                votes = vec![vote];
            }
        }
        if events.iter().any(|event| matches!(event, WalEvent::Failed(_))) {
            break;
        }
    }
    (life.disk, durable, votes)
}

#[test]
fn a_failed_operation_destroys_nothing() {
    for failing in 0..60 {
        for power_fails in [None, Some(1), Some(2), Some(3), Some(4), Some(5)] {
            let (mut disk, durable, votes) = life_with_failure(written(), failing);
            disk.repair();
            let disk = power_fails.map_or_else(|| disk.clone(), |seed| disk.crashed(seed));
            let what = format!("operation {failing} failed, then power {power_fails:?}");
            let (_, groups, _) = Life::recover(disk, config(4)).unwrap_or_else(|event| panic!("{what}: {event:?}"));
            let group = &groups[&GROUP];
            assert_eq!(group.damaged, None, "{what}");
            let indices: Vec<u64> = group.records.iter().map(|record| record.index.0).collect();
            assert!(indices.iter().copied().eq(1..=indices.len() as u64), "{what}: {indices:?}");
            assert!(indices.len() as u64 >= durable, "{what}: {durable} were durable, {indices:?} are there");
            let vote = group.hard_state.as_deref();
            assert!(vote.is_some_and(|vote| votes.contains(&vote)), "{what}: {vote:?}, not one of {votes:?}");
        }
    }
}
