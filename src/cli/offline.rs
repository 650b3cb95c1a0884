//! A data directory without its node: locked like by one, read by the machines that a node reads it with, and not changed.
//!
//! The log and the checkpoints of each worker begin a life on the files as they are; what that life writes goes nowhere. So what
//! is said here is what a node would find, by the same code.
//!
//! # Caveats
//! - The log of a worker is read into memory, as by a node; and the state of a partition, while it is being looked at.
//! - A lock is a file: on a read-only file system nothing can be looked at.

use crate::checkpoint::{self, CheckpointEvent, Checkpoints, Header};
use crate::env::tokio::disk::list;
use crate::env::{DiskError, DiskOp, DiskOutput, DiskResult, Port};
use crate::node::is_dropped;
use crate::partition::StateMachine;
use crate::partition::snapshot::Builder;
use crate::server::Failure;
use crate::server::directory::DataDirectory;
use crate::server::identity::Identity;
use crate::types::{PartitionId, WorkerId};
use crate::wal::inspect::{self, Finding};
use crate::wal::{self, Floor, RecoveredGroup, Wal, WalEvent};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A directory that no node uses as long as this is there.
pub(super) struct Offline {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// Locked.
    pub(super) directory: DataDirectory,
}

/// What a worker's files say.
pub(super) struct WorkerFound {
    pub(super) worker: WorkerId,
    /// What is not as it was written.
    pub(super) findings: Vec<Finding>,
    /// Why a node could not begin a life on this log, if it could not.
    pub(super) lost: Option<String>,
    /// The log took the place of a damaged one in an earlier life.
    pub(super) amnesia: bool,
}

/// What a directory says of a partition.
#[derive(Default)]
pub(super) struct PartitionFound {
    pub(super) group: RecoveredGroup,
    /// Its newest whole checkpoint, and the state that it makes.
    pub(super) state: Option<(Floor, StateMachine)>,
    /// Checkpoints that cannot be read, and why.
    pub(super) damaged: Vec<String>,
}

impl PartitionFound {
    /// Has the node a replica of it?
    pub(super) fn is_here(&self) -> bool {
        self.state.is_some()
            || self.group.hard_state.is_some()
            || !self.group.records.is_empty()
            || !self.damaged.is_empty()
    }

    /// The log begins after what the checkpoint covers, or there is none.
    pub(super) fn lacks_state(&self) -> bool {
        let floor = self.group.floor.unwrap_or_default();
        floor.index.0 > 0 && self.state.as_ref().is_none_or(|(state, _)| state.index < floor.index)
    }
}

/// Opens a directory.
///
/// # Errors
/// When it is none, is damaged beyond reading, or is in use.
pub(super) fn open(path: &Path) -> Result<Offline, Failure> {
    let refuse = |what: &str| Failure::usage(format!("{} {what}", path.display()));
    if !path.is_dir() {
        return Err(refuse("is not a directory: name the data directory of a node"));
    }
    if !path.join(crate::server::identity::FILE).exists() {
        return Err(refuse("is no data directory of a node: there is no orrery.identity in it"));
    }
    let directory = DataDirectory::open(path)?;
    let Some(identity) = directory.identity.clone() else { return Err(refuse("is no data directory of a node")) };
    Ok(Offline { path: path.to_owned(), identity, directory })
}

/// Looks at everything.
///
/// # Errors
/// When the system cannot read a file.
pub(super) fn look(offline: &Offline) -> Result<(Vec<WorkerFound>, BTreeMap<PartitionId, PartitionFound>), Failure> {
    let mut workers = Vec::new();
    let mut partitions = BTreeMap::new();
    for number in 0..offline.identity.workers {
        let worker = WorkerId(number);
        let (found, of_worker) = look_at_worker(offline, worker)
            .map_err(|reason| Failure::broken(format!("{}: {reason}", offline.directory.worker(worker).display())))?;
        workers.push(found);
        // A replica that was dropped is not here: what is left of it, a crash has spared.
        let here = |(_, found): &(PartitionId, PartitionFound)| !is_dropped(found.group.hard_state.as_deref());
        partitions.extend(of_worker.into_iter().filter(here));
    }
    for number in 0..=offline.identity.partitions {
        partitions.entry(PartitionId(number)).or_default();
    }
    Ok((workers, partitions))
}

/// Which worker has a partition.
pub(super) fn worker_of(identity: &Identity, partition: PartitionId) -> WorkerId {
    Port::Partition(partition).worker(identity.workers)
}

/// How a worker's log is opened.
pub(super) fn wal_config(identity: &Identity, worker: WorkerId) -> wal::Config {
    wal::Config {
        node: identity.node,
        worker,
        segment_bytes: crate::node::WorkerConfig::default().wal_segment_bytes,
        seed: 0,
        // Set aside by nobody who only looks.
        can_rejoin: false,
    }
}

fn look_at_worker(
    offline: &Offline,
    worker: WorkerId,
) -> Result<(WorkerFound, BTreeMap<PartitionId, PartitionFound>), String> {
    let disk = ReadOnly { path: offline.directory.worker(worker) };
    let mut found = WorkerFound { worker, findings: Vec::new(), lost: None, amnesia: false };
    let mut partitions: BTreeMap<PartitionId, PartitionFound> = BTreeMap::new();
    let mut wal = Wal::new(wal_config(&offline.identity, worker));
    wal.start();
    let event = loop {
        if let Some(event) = wal.poll() {
            break event;
        }
        for op in wal.take_ops() {
            wal.completed(disk.execute(op));
        }
    };
    match event {
        WalEvent::Recovered { groups, amnesia, .. } => {
            found.amnesia = amnesia;
            for (partition, group) in groups {
                partitions.entry(partition).or_default().group = group;
            }
        }
        WalEvent::Failed(reason) => return Err(reason),
        WalEvent::Corrupt(reason) | WalEvent::Unusable(reason) => found.lost = Some(reason),
        WalEvent::Persisted { .. } => {}
    }
    found.findings = inspect::inspect(&disk.log_files().map_err(|error| error.to_string())?);
    if let Some(log_id) = wal.log_id() {
        look_at_checkpoints(offline, worker, log_id, &disk, &mut partitions)?;
    }
    Ok((found, partitions))
}

fn look_at_checkpoints(
    offline: &Offline,
    worker: WorkerId,
    log_id: u64,
    disk: &ReadOnly,
    partitions: &mut BTreeMap<PartitionId, PartitionFound>,
) -> Result<(), String> {
    let config = checkpoint::Config { node: offline.identity.node, worker, log_id };
    let mut checkpoints = Checkpoints::new(config);
    checkpoints.start();
    let mut building: Option<(Header, Builder, Option<String>)> = None;
    loop {
        while let Some(event) = checkpoints.poll() {
            match event {
                CheckpointEvent::Found { header, .. } => building = Some((header, Builder::new(), None)),
                CheckpointEvent::Chunk { bytes, .. } => {
                    if let Some((_, builder, wrong)) = &mut building
                        && wrong.is_none()
                        && let Err(reason) = builder.push(&bytes)
                    {
                        *wrong = Some(reason.to_string());
                    }
                }
                CheckpointEvent::Complete { partition } => {
                    let Some((header, builder, wrong)) = building.take() else { continue };
                    let of = partitions.entry(partition).or_default();
                    let built = wrong.map_or_else(
                        || {
                            let built = builder.finish(partition, header.floor.index, header.digest);
                            built.map_err(|reason| reason.to_string())
                        },
                        Err,
                    );
                    match built {
                        Ok(machine) => of.state = Some((header.floor, machine)),
                        Err(reason) => of.damaged.push(format!("the checkpoint at {}: {reason}", header.floor.index)),
                    }
                }
                CheckpointEvent::Damaged { partition, reason } => {
                    building = None;
                    partitions.entry(partition).or_default().damaged.push(reason);
                }
                CheckpointEvent::Loaded => return Ok(()),
                CheckpointEvent::Failed(reason) => return Err(reason),
                CheckpointEvent::Wants { .. } | CheckpointEvent::Published { .. } => {}
            }
        }
        for op in checkpoints.take_ops() {
            checkpoints.completed(disk.execute(op));
        }
    }
}

/// A worker's directory that is read and never written.
struct ReadOnly {
    path: PathBuf,
}

impl ReadOnly {
    fn execute(&self, op: DiskOp) -> DiskResult {
        let failed = |error: io::Error| DiskError::Io(error.to_string());
        match op {
            DiskOp::List => Ok(DiskOutput::Files(list(&self.path).map_err(failed)?)),
            DiskOp::Read { file, offset, length } => {
                Ok(DiskOutput::Data(self.read(&file, offset, length).map_err(failed)?))
            }
            _ => Ok(DiskOutput::Done),
        }
    }

    fn read(&self, file: &str, offset: u64, length: u64) -> io::Result<Bytes> {
        let file = File::open(self.path.join(file))?;
        let length = length.min(file.metadata()?.len().saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    fn log_files(&self) -> io::Result<BTreeMap<String, Bytes>> {
        let mut files = BTreeMap::new();
        for (name, length) in list(&self.path)? {
            if inspect::is_hard_state(&name) || inspect::is_segment(&name) {
                let content = self.read(&name, 0, length)?;
                files.insert(name, content);
            }
        }
        Ok(files)
    }
}
