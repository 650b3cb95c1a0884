//! The file thread's directory: what each operation does, on a file system with direct writes and on one without.

use bytes::Bytes;
use orrery::env::tokio::Stats;
use orrery::env::tokio::disk::Directory;
use orrery::env::{DiskError, DiskOp, DiskOutput, DiskResult, OpId};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// Carries operations out and checks that they end in order.
fn carry_out(directory: &mut Directory, ops: Vec<DiskOp>) -> Vec<DiskResult> {
    let count = ops.len() as u64;
    let ops: VecDeque<_> = (1..).map(OpId).zip(ops).collect();
    let mut results = Vec::new();
    directory.carry_out(ops, &mut |ended| results.extend(ended));
    assert!(results.iter().map(|(id, _)| id.0).eq(1..=count), "operations end in the order submitted");
    results.into_iter().map(|(_, result)| result).collect()
}

fn create(length: u64) -> DiskOp {
    DiskOp::Create { file: "log".into(), length }
}

fn write(offset: u64, data: &[u8]) -> DiskOp {
    DiskOp::Write { file: "log".into(), offset, data: Bytes::copy_from_slice(data) }
}

fn read(offset: u64, length: u64) -> DiskOp {
    DiskOp::Read { file: "log".into(), offset, length }
}

fn sync() -> DiskOp {
    DiskOp::Sync { file: "log".into() }
}

/// Temporary directories: one beside the build (a disk), one in memory (no `O_DIRECT` on older kernels).
fn places() -> Vec<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let mut places = vec![tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
    if memory.is_dir() {
        places.push(tempfile::tempdir_in(memory).unwrap());
    }
    places
}

#[test]
fn writes_are_there_however_they_were_written() {
    for place in places() {
        let stats = Arc::new(Stats::default());
        let mut directory = Directory::open(place.path().to_owned(), Arc::clone(&stats)).unwrap();
        let block = |byte: u8| vec![byte; 4096];
        let results = carry_out(
            &mut directory,
            vec![
                create(1 << 20),
                sync(),
                DiskOp::SyncDirectory,
                write(0, &block(1)),
                write(4096, &block(2)),
                sync(),
                write(16384, &block(4)),
                sync(),
                write(8192, b"small"),
                write(12288, &block(3)),
                sync(),
                write(20480, &block(5)),
                read(0, 4096 * 6),
            ],
        );
        let (last, others) = results.split_last().unwrap();
        assert!(others.iter().all(|result| *result == Ok(DiskOutput::Done)), "{others:?}");
        let mut expected = [block(1), block(2), block(0), block(3), block(4), block(5)].concat();
        expected[8192..8197].copy_from_slice(b"small");
        assert_eq!(last.clone(), Ok(DiskOutput::Data(expected.into())));
        assert_eq!(stats.disk_syncs.get(), 4);
        assert_eq!(stats.disk_ops.get(), 13);
    }
}

#[test]
fn filling_never_touches_what_was_written() {
    for place in places() {
        let mut directory = Directory::open(place.path().to_owned(), Arc::default()).unwrap();
        let length = 3 << 20;
        carry_out(&mut directory, vec![create(length), write(1 << 20, &[7; 8192]), write(10, b"unaligned"), sync()]);
        let mut pieces = 0;
        while directory.wants_filling() {
            directory.fill_piece();
            pieces += 1;
            assert!(pieces < 100, "filling ends");
            if pieces == 2 {
                carry_out(&mut directory, vec![write((2 << 20) + 4096, &[9; 4096]), sync()]);
            }
        }
        let mut expected = vec![0; length as usize];
        expected[1 << 20..(1 << 20) + 8192].fill(7);
        expected[10..19].copy_from_slice(b"unaligned");
        expected[(2 << 20) + 4096..(2 << 20) + 8192].fill(9);
        assert_eq!(std::fs::read(place.path().join("log")).unwrap(), expected);
    }
}

#[test]
fn mistakes_are_errors() {
    for place in places() {
        let mut directory = Directory::open(place.path().to_owned(), Arc::default()).unwrap();
        let other = DiskOp::Rename { from: "log".into(), to: "old".into() };
        let results = carry_out(
            &mut directory,
            vec![
                write(0, b"x"),
                sync(),
                read(0, 1),
                other.clone(),
                create(100),
                create(100),
                read(90, 100),
                DiskOp::Truncate { file: "log".into(), length: 5 },
                read(0, u64::MAX),
                read(500, 5),
                other,
                DiskOp::List,
                DiskOp::Remove { file: "old".into() },
                DiskOp::Remove { file: "old".into() },
                DiskOp::List,
            ],
        );
        let data = |length| Ok(DiskOutput::Data(vec![0; length].into()));
        assert_eq!(
            results,
            vec![
                Err(DiskError::NotFound),
                Err(DiskError::NotFound),
                Err(DiskError::NotFound),
                Err(DiskError::NotFound),
                Ok(DiskOutput::Done),
                Err(DiskError::Exists),
                data(10),
                Ok(DiskOutput::Done),
                data(5),
                data(0),
                Ok(DiskOutput::Done),
                Ok(DiskOutput::Files(vec![("old".into(), 5)])),
                Ok(DiskOutput::Done),
                Err(DiskError::NotFound),
                Ok(DiskOutput::Files(vec![])),
            ]
        );
        for name in ["", "..", "a/b"] {
            let results = carry_out(&mut directory, vec![DiskOp::Create { file: name.into(), length: 1 }]);
            assert!(matches!(results[0], Err(DiskError::Io(_))));
        }
    }
}

#[test]
fn a_file_that_does_not_fit_is_not_there() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut directory = Directory::open(place.path().to_owned(), Arc::default()).unwrap();
    let results = carry_out(&mut directory, vec![create(1 << 50), DiskOp::List]);
    assert!(results.iter().all(Result::is_err), "nothing is carried out behind a failure");
    let mut again = Directory::open(place.path().to_owned(), Arc::default()).unwrap();
    assert_eq!(carry_out(&mut again, vec![DiskOp::List])[0], Ok(DiskOutput::Files(vec![])));
}
