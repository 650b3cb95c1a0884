use super::*;
use crate::env::dice::Stream;

fn dice(key: u64) -> Dice {
    Stream::new(key, "disk test").dice(0)
}

fn done(disk: &mut SimDisk, op: DiskOp) {
    assert!(disk.execute(&op).is_ok(), "{op:?}");
}

fn name(text: &str) -> String {
    text.to_owned()
}

fn write(disk: &mut SimDisk, file: &str, offset: u64, byte: u8, length: usize) {
    done(disk, DiskOp::Write { file: name(file), offset, data: Bytes::from(vec![byte; length]) });
}

fn read(disk: &mut SimDisk, file: &str, offset: u64, length: u64) -> Result<Bytes, DiskError> {
    match disk.execute(&DiskOp::Read { file: name(file), offset, length })? {
        DiskOutput::Data(data) => Ok(data),
        other => panic!("a read yields data, not {other:?}"),
    }
}

/// A directory with one synced file of 8 KiB of ones.
fn prepared() -> SimDisk {
    let mut disk = SimDisk::default();
    done(&mut disk, DiskOp::Create { file: name("a"), length: 8192 });
    write(&mut disk, "a", 0, 1, 8192);
    done(&mut disk, DiskOp::Sync { file: name("a") });
    done(&mut disk, DiskOp::SyncDirectory);
    disk
}

#[test]
fn a_power_loss_keeps_what_was_synced() {
    for seed in 0..200 {
        let mut disk = prepared();
        write(&mut disk, "a", 4096, 2, 4096);
        disk.power_loss(&mut dice(seed), 500_000);
        let data = read(&mut disk, "a", 0, 10_000).expect("the name was synced");
        assert_eq!(data.len(), 8192);
        assert!(data[..4096].iter().all(|&byte| byte == 1), "synced bytes changed");
        assert!(data[4096..].iter().all(|&byte| byte == 1 || byte == 2), "bytes from nowhere");
    }
}

#[test]
fn an_unsynced_write_may_be_kept_lost_or_torn_at_sectors() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..400 {
        let mut disk = prepared();
        write(&mut disk, "a", 4096, 2, 4096);
        let report = disk.power_loss(&mut dice(seed), 500_000);
        let data = read(&mut disk, "a", 4096, 4096).expect("the name was synced");
        for sector in data.chunks(512) {
            assert!(sector.iter().all(|&byte| byte == sector[0]), "a sector is atomic");
        }
        let new = data.iter().filter(|&&byte| byte == 2).count();
        match new {
            0 => lost += 1,
            4096 => kept += 1,
            _ => torn += 1,
        }
        assert_eq!(report.torn > 0, new > 0 && new < 4096);
    }
    assert!(kept > 80 && lost > 80 && torn > 60, "{kept} {lost} {torn}");
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let reordered = (0..400).any(|seed| {
        let mut disk = prepared();
        write(&mut disk, "a", 0, 2, 512);
        write(&mut disk, "a", 4096, 3, 512);
        disk.power_loss(&mut dice(seed), 0);
        let data = read(&mut disk, "a", 0, 8192).expect("the name was synced");
        data[0] == 1 && data[4096] == 3
    });
    assert!(reordered);
}

#[test]
fn an_unsynced_name_may_vanish_and_a_synced_one_not() {
    let (mut vanished, mut stayed) = (0, 0);
    for seed in 0..200 {
        let mut disk = prepared();
        done(&mut disk, DiskOp::Create { file: name("b"), length: 512 });
        write(&mut disk, "b", 0, 9, 512);
        done(&mut disk, DiskOp::Sync { file: name("b") });
        disk.power_loss(&mut dice(seed), 0);
        assert!(read(&mut disk, "a", 0, 1).is_ok());
        match read(&mut disk, "b", 0, 512) {
            Ok(data) => {
                assert!(data.iter().all(|&byte| byte == 9), "its bytes were synced");
                stayed += 1;
            }
            Err(error) => {
                assert_eq!(error, DiskError::NotFound);
                vanished += 1;
            }
        }
    }
    assert!(vanished > 40 && stayed > 40, "{vanished} {stayed}");
}

#[test]
fn an_unsynced_rename_or_removal_may_be_undone() {
    let (mut renamed, mut back, mut removed, mut undone) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut disk = prepared();
        done(&mut disk, DiskOp::Rename { from: name("a"), to: name("b") });
        disk.power_loss(&mut dice(seed), 0);
        match (read(&mut disk, "a", 0, 1).is_ok(), read(&mut disk, "b", 0, 1).is_ok()) {
            (true, false) => back += 1,
            (false, true) => renamed += 1,
            both => panic!("a rename is atomic: {both:?}"),
        }
        let mut disk = prepared();
        done(&mut disk, DiskOp::Remove { file: name("a") });
        assert_eq!(read(&mut disk, "a", 0, 1), Err(DiskError::NotFound));
        disk.power_loss(&mut dice(seed), 0);
        *if read(&mut disk, "a", 0, 1).is_ok() { &mut undone } else { &mut removed } += 1;
    }
    assert!(renamed > 40 && back > 40 && removed > 40 && undone > 40);
}

#[test]
fn a_failed_sync_loses_the_pages_and_the_next_one_lies() {
    let mut disk = prepared();
    write(&mut disk, "a", 0, 2, 512);
    disk.fail_sync = true;
    assert!(disk.execute(&DiskOp::Sync { file: name("a") }).is_err());
    assert!(disk.execute(&DiskOp::Sync { file: name("a") }).is_ok(), "the second sync says yes");
    write(&mut disk, "a", 1024, 3, 512);
    done(&mut disk, DiskOp::Sync { file: name("a") });
    assert_eq!(read(&mut disk, "a", 0, 1).expect("there")[0], 2, "the page cache still has it");
    disk.power_loss(&mut dice(1), 0);
    assert_eq!(read(&mut disk, "a", 0, 1).expect("there")[0], 1, "the disk never had it");
    assert_eq!(read(&mut disk, "a", 1024, 1).expect("there")[0], 3, "a true sync holds");
    assert_eq!(disk.failures, 1);
}

#[test]
fn length_changes_read_as_zeros_and_survive_only_synced() {
    let mut disk = prepared();
    done(&mut disk, DiskOp::Truncate { file: name("a"), length: 100 });
    done(&mut disk, DiskOp::Truncate { file: name("a"), length: 200 });
    let data = read(&mut disk, "a", 0, 1000).expect("there");
    assert_eq!(data.len(), 200);
    assert!(data[..100].iter().all(|&byte| byte == 1) && data[100..].iter().all(|&byte| byte == 0));
    done(&mut disk, DiskOp::Sync { file: name("a") });
    disk.power_loss(&mut dice(3), 0);
    assert_eq!(read(&mut disk, "a", 0, 1000).expect("there"), data);
    assert_eq!(disk.execute(&DiskOp::List), Ok(DiskOutput::Files(vec![(name("a"), 200)])));
}

#[test]
fn full_and_broken_disks_refuse() {
    let mut disk = prepared();
    disk.full = true;
    write(&mut disk, "a", 0, 2, 512);
    let grow = DiskOp::Write { file: name("a"), offset: 8192, data: Bytes::from_static(b"x") };
    assert_eq!(disk.execute(&grow), Err(DiskError::Full));
    assert_eq!(disk.execute(&DiskOp::Create { file: name("b"), length: 0 }), Err(DiskError::Full));
    disk.full = false;
    done(&mut disk, grow);
    disk.io_error = true;
    assert!(matches!(disk.execute(&DiskOp::List), Err(DiskError::Io(_))));
    assert_eq!(disk.failures, 3);
}

#[test]
fn rot_flips_one_bit_of_what_was_synced_before_the_last_write() {
    let mut disk = prepared();
    write(&mut disk, "a", 0, 1, 512);
    done(&mut disk, DiskOp::Sync { file: name("a") });
    assert!(disk.rot(7, &mut dice(5)));
    let data = read(&mut disk, "a", 0, 8192).expect("there");
    assert_eq!(data.iter().map(|byte| (byte ^ 1).count_ones()).sum::<u32>(), 1);
    assert!(data[..512].iter().all(|&byte| byte == 1));
    assert_eq!(disk.damage_read, BTreeSet::from([7]));
}

#[test]
fn a_killed_process_leaves_the_page_cache_but_not_always_what_a_failed_sync_dropped() {
    let mut seen = [0, 0];
    for seed in 0..100 {
        let mut disk = prepared();
        write(&mut disk, "a", 0, 2, 512);
        disk.process_end(&mut dice(seed));
        assert_eq!(read(&mut disk, "a", 0, 1).expect("there")[0], 2);
        disk.fail_sync = true;
        assert!(disk.execute(&DiskOp::Sync { file: name("a") }).is_err());
        disk.process_end(&mut dice(seed));
        seen[usize::from(read(&mut disk, "a", 0, 1).expect("there")[0]) - 1] += 1;
        done(&mut disk, DiskOp::Sync { file: name("a") });
        disk.power_loss(&mut dice(seed), 0);
        assert_eq!(read(&mut disk, "a", 0, 1).expect("there")[0], 1, "the disk never had it");
    }
    assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
}

#[test]
fn a_short_write_stores_its_first_sectors_and_fails() {
    let mut disk = prepared();
    disk.short_write = Some(1000);
    let data = Bytes::from(vec![2; 4096]);
    let write = DiskOp::Write { file: name("a"), offset: 0, data };
    assert_eq!(disk.execute(&write), Err(DiskError::Full));
    let data = read(&mut disk, "a", 0, 4096).expect("there");
    assert!(data[..512].iter().all(|&byte| byte == 2) && data[512..].iter().all(|&byte| byte == 1));
    done(&mut disk, write);
    disk.short_write = Some(1 << 63 | 5);
    let one = DiskOp::Write { file: name("a"), offset: 0, data: Bytes::from_static(b"x") };
    assert!(matches!(disk.execute(&one), Err(DiskError::Io(_))));
    assert_eq!(disk.failures, 2);
}

#[test]
fn a_misdirected_write_shows_once_it_has_a_successor_and_is_not_the_last() {
    let mut disk = prepared();
    disk.misdirect = Some((9, 0));
    let step = |disk: &mut SimDisk, offset: u64, byte: u8| {
        write(disk, "b", offset, byte, 4096);
        done(disk, DiskOp::Sync { file: name("b") });
    };
    done(&mut disk, DiskOp::Create { file: name("b"), length: 16_384 });
    step(&mut disk, 0, 2);
    step(&mut disk, 4096, 3);
    // The second was written: the first, whose place has what was there before, lies where nothing was written yet.
    let data = read(&mut disk, "b", 0, 16_384).expect("there");
    let blocks: Vec<u8> = data.chunks(4096).map(|block| block[0]).collect();
    assert_eq!(blocks, [0, 3, 2, 0]);
    assert_eq!((disk.misdirect, disk.damage_read.clone()), (None, BTreeSet::from([9])));
    step(&mut disk, 8192, 4);
    step(&mut disk, 12_288, 5);
    let data = read(&mut disk, "b", 0, 16_384).expect("there");
    assert_eq!(
        data.chunks(4096).map(|block| block[0]).collect::<Vec<_>>(),
        [0, 3, 4, 5],
        "one write went astray, once"
    );
}

#[test]
fn a_misdirected_write_may_destroy_what_was_written_long_ago() {
    let mut disk = prepared();
    write(&mut disk, "a", 8192, 2, 4096);
    done(&mut disk, DiskOp::Sync { file: name("a") });
    disk.misdirect = Some((9, 1));
    for (offset, byte) in [(12_288, 3), (16_384, 4)] {
        write(&mut disk, "a", offset, byte, 4096);
        done(&mut disk, DiskOp::Sync { file: name("a") });
    }
    let data = read(&mut disk, "a", 0, 20_480).expect("there");
    assert_eq!(data.chunks(4096).map(|block| block[0]).collect::<Vec<_>>(), [1, 3, 2, 0, 4]);
}
