//! Rot of every kind: a checkpoint is handed out whole or called damaged.

use super::*;

const FILE: &str = "checkpoint-00000003-0000000000000013";

fn written() -> Disk {
    let (mut life, ..) = Life::load(Disk::default());
    life.publish(P, 13);
    life.publish(PartitionId(4), 24);
    life.disk
}

/// Loads a disk of which [`FILE`] is damaged: why it was not taken.
fn damaged(disk: Disk) -> String {
    let (_, loaded, damaged) = Life::load(disk);
    assert_eq!(loaded.keys().copied().collect::<Vec<_>>(), [PartitionId(4)], "the other is whole: {damaged:?}");
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].starts_with(FILE), "{damaged:?}");
    damaged[0].clone()
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let (mut life, ..) = Life::load(Disk::default());
    life.publish(P, 11);
    let file = life.disk.files()[0].clone();
    let length = life.disk.content(&file).len();
    assert_eq!(length, 4 * 4096, "a beginning, two chunks, an end");
    for at in 0..length {
        for flip in [0x01, 0x80] {
            let mut rotten = life.disk.clone();
            rotten.content(&file)[at] ^= flip;
            let (_, loaded, damaged) = Life::load(rotten);
            assert!(loaded.is_empty() && damaged.len() == 1, "byte {at} ^ {flip:02x}: {loaded:?}");
        }
    }
}

#[test]
fn a_file_of_any_other_length_is_noticed() {
    let disk = written();
    let length = disk.clone().content(FILE).len();
    for other in (0..length).step_by(61).chain([length - 1, length + 1, length + 4096]) {
        let mut cut = disk.clone();
        cut.content(FILE).resize(other, 0);
        damaged(cut);
    }
}

#[test]
fn frames_in_other_places_are_noticed() {
    let disk = written();
    let content = disk.clone().content(FILE).clone();
    let other = disk.clone().content("checkpoint-00000004-0000000000000024").clone();
    let blocks = content.len() / 4096;
    for from in 0..blocks {
        for to in 0..blocks {
            let block = &content[from * 4096..(from + 1) * 4096];
            if block == &content[to * 4096..(to + 1) * 4096] {
                continue;
            }
            // A misdirected write, a hole, and a block of another checkpoint.
            let mut misdirected = disk.clone();
            misdirected.content(FILE)[to * 4096..(to + 1) * 4096].copy_from_slice(block);
            damaged(misdirected);
        }
        let mut hole = disk.clone();
        hole.content(FILE)[from * 4096..(from + 1) * 4096].fill(0);
        damaged(hole);
        let mut foreign = disk.clone();
        foreign.content(FILE)[from * 4096..(from + 1) * 4096].copy_from_slice(&other[..4096]);
        damaged(foreign);
        let mut missing = disk.clone();
        missing.content(FILE).drain(from * 4096..(from + 1) * 4096);
        damaged(missing);
    }
}

#[test]
fn a_file_of_another_log_partition_or_index_is_not_taken() {
    let disk = written();
    let renamed = |to: &str| {
        let mut disk = disk.clone();
        disk.execute(DiskOp::Rename { from: FILE.to_owned(), to: to.to_owned() }).expect("renamed");
        let (_, loaded, damaged) = Life::load(disk);
        assert_eq!(loaded.len(), 1, "{to}: {loaded:?}");
        damaged
    };
    assert!(renamed("checkpoint-00000005-0000000000000013")[0].contains("belongs elsewhere"));
    assert!(renamed("checkpoint-00000003-0000000000000014")[0].contains("belongs elsewhere"));
    for config in
        [Config { log_id: 1, ..CONFIG }, Config { node: NodeId(2), ..CONFIG }, Config { worker: WorkerId(1), ..CONFIG }]
    {
        let mut life = Life::begin(disk.clone());
        life.checkpoints = Checkpoints::new(config);
        life.checkpoints.start();
        let (loaded, damaged) = gather(&life.run());
        assert!(loaded.is_empty());
        assert!(damaged.iter().all(|reason| reason.contains("another log")), "{damaged:?}");
    }
}

#[test]
fn behind_a_damaged_one_an_older_one_is_found_and_the_next_published_clears_up() {
    let (mut life, ..) = Life::load(Disk::default());
    life.publish(P, 13);
    let older = life.disk.content(FILE).clone();
    life.publish(P, 24);
    life.run();
    let newer = "checkpoint-00000003-0000000000000024";
    life.disk.content(newer)[5000] ^= 1;
    life.disk.execute(DiskOp::Create { file: FILE.to_owned(), length: older.len() as u64 }).expect("created");
    life.disk.content(FILE).copy_from_slice(&older);
    let (mut life, loaded, damaged) = Life::load(life.disk);
    assert_eq!(loaded[&P], is(13));
    assert!(damaged[0].starts_with(newer), "{damaged:?}");
    life.publish(P, 38);
    life.run();
    assert_eq!(life.disk.files(), ["checkpoint-00000003-0000000000000038"]);
}

#[test]
fn any_bytes_at_all_are_survived() {
    let disk = written();
    for seed in 0..500_u64 {
        let mut rotten = disk.clone();
        let content = rotten.content(FILE);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..seed % 50 + 1 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 20) as usize % content.len();
            content[at] = content[at].wrapping_add((state >> 56) as u8 | 1);
        }
        content.truncate(content.len() - (seed as usize * 37) % 5000);
        let _ = Life::load(rotten);
    }
}
