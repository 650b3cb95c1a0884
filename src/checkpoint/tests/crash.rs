//! A crash or an error at any operation: what was published is there, or what was published later.

use super::*;

/// Two checkpoints of one partition stand on the disk, one after another; then a third is written.
fn published() -> Disk {
    let (mut life, ..) = Life::load(Disk::default());
    life.publish(P, 13);
    life.publish(P, 24);
    life.disk
}

/// Writes checkpoint 38 with that many operations at most. Was it published?
fn write_some(disk: Disk, mut operations: usize) -> (Disk, bool) {
    let (mut life, ..) = Life::load(disk);
    let mut chunks = chunks(38).into_iter();
    life.checkpoints.begin(P, header(38));
    while operations > 0 && life.step() {
        operations -= 1;
        life.queue.extend(life.checkpoints.take_ops());
        while let Some(event) = life.checkpoints.poll() {
            match event {
                CheckpointEvent::Wants { .. } => match chunks.next() {
                    Some(chunk) => life.checkpoints.append(P, chunk),
                    None => life.checkpoints.finish(P),
                },
                event => life.events.push(event),
            }
        }
    }
    life.step();
    let published = life.events.iter().any(|event| matches!(event, CheckpointEvent::Published { .. }));
    (life.disk, published)
}

#[test]
fn after_any_crash_the_last_published_one_is_whole() {
    let mut seen = [0, 0];
    for operations in 0..20 {
        for seed in 0..200 {
            let (disk, published) = write_some(published(), operations);
            let (life, loaded, damaged) = Life::load(disk.crashed(seed));
            let what = format!("{operations} operations, crash {seed}");
            assert_eq!(damaged, [] as [&str; 0], "{what}: a crash damages nothing");
            let found = &loaded[&P];
            assert!(*found == is(38) || !published && *found == is(24), "{what}: {:?}", found.0);
            seen[usize::from(*found == is(38))] += 1;
            let left = life.disk.files();
            assert!(left.len() == 1, "{what}: {left:?}");
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

#[test]
fn a_failed_operation_ends_the_life_and_destroys_nothing() {
    let mut failures = 0;
    for failing in 0..30 {
        for power_fails in [None, Some(1), Some(2), Some(3), Some(4)] {
            let mut disk = published();
            disk.break_at(failing);
            let mut life = Life::begin(disk);
            let mut events = life.run();
            if events.last() == Some(&CheckpointEvent::Loaded) {
                events = life.write(P, 38);
            }
            let what = format!("operation {failing} failed, then power {power_fails:?}");
            let failed = events.iter().position(|event| matches!(event, CheckpointEvent::Failed(_)));
            assert!(failed.is_none_or(|at| at == events.len() - 1), "{what}: nothing follows the failure");
            failures += usize::from(failed.is_some());
            life.disk.repair();
            let disk = power_fails.map_or_else(|| life.disk.clone(), |seed| life.disk.crashed(seed));
            let (_, loaded, damaged) = Life::load(disk);
            assert_eq!(damaged, [] as [&str; 0], "{what}");
            let published = events.iter().any(|event| matches!(event, CheckpointEvent::Published { .. }));
            assert!(loaded[&P] == is(38) || !published && loaded[&P] == is(24), "{what}");
        }
    }
    assert!(failures > 50, "{failures}");
}
