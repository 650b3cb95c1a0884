//! `orrery recover --unsafe`: from a majority that is lost for good. What one surviving node holds becomes a cluster of its own,
//! in a new directory; what is given is not changed.
//!
//! A group that has lost its majority can never again know what that had acknowledged. So this is no repair: what the survivor
//! does not hold is lost, and what it holds and nobody had acknowledged comes true. All of it is said before anything is done.
//!
//! # How
//! The files are copied, and a life begins on the copy. To the log of each partition it adds one record, of a new era, that makes
//! this node its only member, with a hard state that agrees ([`consensus::alone`]); behind a hole in the log everything is void
//! with it. The directory gets its name only when all that is durable, so that what a crash leaves is no directory of a node.
//!
//! # Caveats
//! - Each partition's log is taken as it is. The order of commands over several partitions (kept by partition 0) is not brought into
//!   line with what the others hold: if partition 0 lost its end, numbers are given again that others have seen, and if another one
//!   lost what partition 0 has dropped, it waits for it for ever. So what comes out is for reading: it is said, and to be dumped.

use super::offline::{self, Offline, PartitionFound};
use crate::consensus::{self, Membership, Protocol};
use crate::env::tokio::disk::Directory;
use crate::env::tokio::{Stats, os_random};
use crate::env::{DiskOp, OpId};
use crate::server::Failure;
use crate::server::directory::DataDirectory;
use crate::server::identity::Identity;
use crate::types::{PartitionId, WorkerId};
use crate::wal::{Wal, WalEvent, inspect};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Flags of `orrery recover`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Recover {
    /// Needed: what the lost nodes have acknowledged and the survivor does not hold is lost
    #[arg(long = "unsafe")]
    understood: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Put the new cluster of one node here
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Data directories of survivors that do not run; the one that holds most is taken
    #[arg(value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
}

/// A survivor.
struct Survivor {
    offline: Offline,
    partitions: BTreeMap<PartitionId, PartitionFound>,
}

/// Recovers.
pub(super) fn run(recover: &Recover) -> Result<(), Failure> {
    if !recover.understood {
        return Err(Failure::usage(
            "what lost nodes have acknowledged may be lost by this: say --unsafe if they never come back",
        ));
    }
    if recover.to.exists() {
        return Err(Failure::usage(format!("{} exists: name a new directory with --to", recover.to.display())));
    }
    let mut survivors = Vec::new();
    for path in &recover.data {
        survivors.push(survivor(path)?);
    }
    let best = best(survivors)?;
    let identity = alone(&best.offline.identity)?;
    super::say(&said(&best, &recover.to));
    if !recover.yes && !confirmed(&identity.cluster) {
        return Err(Failure::usage("that is not its name: nothing was done"));
    }
    let broken = |what: String| Failure::broken(format!("{}: {what}", recover.to.display()));
    make(&best, &identity, &recover.to).map_err(broken)?;
    let (node, to) = (identity.node.0, recover.to.display());
    super::say(&format!(
        "done. Start it with\n  orrery start --data {to} --id {node} --nodes {node}=HOST:PORT --cluster {}\n\
         and never again with one of the old directories: they are of a cluster that is no more",
        identity.cluster
    ));
    Ok(())
}

/// One that can go on.
fn survivor(path: &Path) -> Result<Survivor, Failure> {
    let offline = offline::open(path)?;
    let (workers, partitions) = offline::look(&offline)?;
    let shown = path.display();
    if let Some(reason) = workers.iter().find_map(|found| found.lost.as_ref()) {
        return Err(Failure::broken(format!("{shown}: its log cannot be used: {reason}: see `orrery check {shown}`")));
    }
    for (partition, found) in &partitions {
        let number = partition.0;
        if found.lacks_state() {
            let line = format!("{shown}: it does not hold the rows of partition {number}: see `orrery check {shown}`");
            return Err(Failure::broken(line));
        }
        // A log that took the place of a damaged one holds nothing before the group has taught it anew. A node that begins on
        // such a log waits for others who know more, and there would be none.
        let worker = offline::worker_of(&offline.identity, *partition);
        let forgetful = workers.iter().any(|found| found.worker == worker && found.amnesia);
        let taught = found.group.hard_state.as_ref().is_some_and(|hard| consensus::remembers(Protocol::Raft, hard));
        if forgetful && !taught {
            return Err(Failure::broken(format!(
                "{shown}: its log was set aside as damaged in an earlier life, and partition {number} had not got it back from \
                 the others: name another survivor, or a directory that was saved before"
            )));
        }
    }
    Ok(Survivor { offline, partitions })
}

/// How far a partition's log can be relied on.
fn reach(found: &PartitionFound) -> (u64, u64) {
    let group = &found.group;
    let first_lost = group.damaged.map_or(u64::MAX, |hole| hole.first.0);
    let floor = group.floor.unwrap_or_default();
    let good = group.records.iter().rev().find(|record| record.index.0 < first_lost);
    let logged = good.map_or((floor.era.0, floor.index.0), |record| (record.era.0, record.index.0));
    // The log may be damaged, or lost, before what a checkpoint covers.
    let state = found.state.as_ref().map_or((0, 0), |(state, _)| (state.era.0, state.index.0));
    if state.1 > logged.1 { state } else { logged }
}

/// The one that holds at least what each of the others does.
fn best(survivors: Vec<Survivor>) -> Result<Survivor, Failure> {
    let same = |one: &Identity, other: &Identity| {
        // Not the nodes: who has joined names itself alone.
        (&one.cluster, one.partitions) == (&other.cluster, other.partitions)
    };
    let first = &survivors[0].offline.identity;
    if let Some(other) = survivors.iter().find(|other| !same(first, &other.offline.identity)) {
        let (one, other) = (survivors[0].offline.path.display(), other.offline.path.display());
        return Err(Failure::usage(format!("{one} and {other} are of different clusters")));
    }
    let holds = |one: &Survivor, other: &Survivor| {
        one.partitions.iter().all(|(partition, found)| {
            other.partitions.get(partition).is_none_or(|others| reach(found) >= reach(others))
        })
    };
    let best = survivors.iter().position(|one| survivors.iter().all(|other| holds(one, other)));
    let Some(best) = best else {
        let reaches = survivors.iter().map(|one| {
            let all = one.partitions.iter().map(|(partition, found)| format!("{partition} @{}", reach(found).1));
            format!("{} holds {}", one.offline.path.display(), all.collect::<Vec<_>>().join(", "))
        });
        let reaches = reaches.collect::<Vec<_>>().join("; ");
        return Err(Failure::usage(format!(
            "none of them holds what all hold: {reaches}: choose one and name it alone"
        )));
    };
    let mut survivors = survivors;
    Ok(survivors.swap_remove(best))
}

/// The identity of a cluster of this node alone.
fn alone(before: &Identity) -> Result<Identity, Failure> {
    let dice = os_random().map_err(|error| Failure::broken(format!("the system gives no random numbers: {error}")))?;
    let mut log = [0; 16];
    log.copy_from_slice(&dice[..16]);
    // It has joined nobody: it is what its cluster is formed of.
    Ok(Identity { nodes: vec![before.node], joined: false, log: u128::from_le_bytes(log), ..before.clone() })
}

/// What is going to be done, and what it costs.
fn said(best: &Survivor, to: &Path) -> String {
    let Offline { path, identity, .. } = &best.offline;
    let others: Vec<String> =
        identity.nodes.iter().filter(|node| **node != identity.node).map(|node| node.0.to_string()).collect();
    let others = if others.is_empty() { "all other nodes".to_owned() } else { format!("nodes {}", others.join(",")) };
    let mut lines = vec![format!(
        "node {} of cluster `{}` becomes a cluster of its own in {}, from {}, which stays as it is; {others} are given up",
        identity.node.0,
        identity.cluster,
        to.display(),
        path.display()
    )];
    for (partition, found) in &best.partitions {
        let (era, index) = reach(found);
        let number = partition.0;
        if !found.is_here() {
            lines.push(format!("partition {number}: it has no replica of it, and all of it is lost"));
            continue;
        }
        lines.push(format!(
            "partition {number}: it holds everything up to @{index} of e{era}; what was acknowledged behind that is lost, and what \
             stands there and was not acknowledged to its client comes true"
        ));
        if let Some(hole) = found.group.damaged {
            lines.push(format!("  its log is damaged: what it held from {} to {} is lost, too", hole.first, hole.last));
        }
        if let Some(hard_state) = &found.group.hard_state
            && !consensus::remembers(Protocol::Raft, hard_state)
        {
            lines.push(
                "  it had forgotten what it had promised and was asking the others: more may be missing".to_owned(),
            );
        }
    }
    lines.push(
        "partitions are not of one moment: a command over several of them may have come true in some only, and where partition 0 \
         holds less than the others, or more, later ones may be taken for it: dump what is there, and load it into a new cluster"
            .to_owned(),
    );
    lines.join("\n")
}

fn confirmed(cluster: &str) -> bool {
    let mut out = io::stdout().lock();
    let _ = write!(out, "type the name of the cluster to go on: ").and_then(|()| out.flush());
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == cluster
}

/// Makes the new directory, all of it or nothing.
fn make(best: &Survivor, identity: &Identity, to: &Path) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let unfinished = to.with_extension("unfinished");
    if unfinished.exists() {
        return Err(format!("{} is left of an earlier attempt: remove it", unfinished.display()));
    }
    let new = DataDirectory::open(&unfinished).map_err(|failure| failure.line)?;
    for number in 0..identity.workers {
        let worker = WorkerId(number);
        let (from, into) = (best.offline.directory.worker(worker), new.worker(worker));
        copy(&from, &into).map_err(words)?;
        let of_worker = |(partition, _): &(&PartitionId, _)| offline::worker_of(identity, **partition) == worker;
        add_records(identity, worker, &into, best.partitions.iter().filter(of_worker))?;
    }
    new.bind(identity).map_err(|failure| failure.line)?;
    fs::rename(&unfinished, to).map_err(words)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(words)
}

/// Copies log and checkpoints, durably.
fn copy(from: &Path, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let checkpoint = name.starts_with("checkpoint-") && !name.ends_with(".new");
        if inspect::is_hard_state(&name) || inspect::is_segment(&name) || checkpoint {
            let target = into.join(&name);
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(into)?.sync_all()
}

/// Adds to each partition's log the record that makes this node its only member.
fn add_records<'a>(
    identity: &Identity,
    worker: WorkerId,
    directory: &Path,
    partitions: impl Iterator<Item = (&'a PartitionId, &'a PartitionFound)>,
) -> Result<(), String> {
    let mut disk =
        Directory::open(directory.to_owned(), Arc::new(Stats::default())).map_err(|error| error.to_string())?;
    let mut wal = Wal::new(offline::wal_config(identity, worker));
    wal.start();
    match until_event(&mut wal, &mut disk)? {
        WalEvent::Recovered { .. } => {}
        other => return Err(format!("{other:?}")),
    }
    let mut ticket = 0;
    for (partition, found) in partitions {
        if found.group.hard_state.is_none() && found.group.records.is_empty() {
            continue;
        }
        let known = found.state.as_ref().and_then(|(_, machine)| Membership::decode(machine.membership()?));
        let state = found.state.as_ref().map(|(state, _)| *state);
        let alone = consensus::alone(Protocol::Raft, identity.node, &found.group, state, known.as_ref())
            .map_err(|reason| format!("partition {}: {reason}", partition.0))?;
        ticket += 1;
        if let Some(floor) = alone.begins {
            wal.reset(ticket, *partition, floor, None);
        }
        wal.append(ticket, *partition, &[alone.record], Some(alone.hard_state));
    }
    wal.flush();
    let mut durable = 0;
    while durable < ticket {
        match until_event(&mut wal, &mut disk)? {
            WalEvent::Persisted { ticket } => durable = ticket,
            other => return Err(format!("{other:?}")),
        }
    }
    Ok(())
}

fn until_event(wal: &mut Wal, disk: &mut Directory) -> Result<WalEvent, String> {
    loop {
        if let Some(event) = wal.poll() {
            return Ok(event);
        }
        let ops: VecDeque<(OpId, DiskOp)> = (1..).map(OpId).zip(wal.take_ops()).collect();
        if ops.is_empty() {
            return Err("the log waits for nothing".to_owned());
        }
        let mut results = Vec::new();
        disk.carry_out(ops, &mut |some| results.extend(some));
        for (_, result) in results {
            wal.completed(result);
        }
    }
}
