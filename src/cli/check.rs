//! `orrery check`: what of a data directory is intact, what is damaged, and who can mend it. The node must not run.
//!
//! Exit code 0: everything is intact (a write that a crash has cut is no damage: nobody was told of it). 1: something is damaged,
//! or cannot be read. 2: this is no data directory, or it is in use.

use super::offline::{self, PartitionFound, WorkerFound};
use crate::consensus::{self, Protocol};
use crate::server::Failure;
use crate::server::identity::Identity;
use crate::types::PartitionId;
use crate::wal::inspect::Finding;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Flags of `orrery check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Check {
    /// The data directory of a node that does not run
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks a directory.
pub(super) fn run(check: &Check) -> Result<(), Failure> {
    let offline = offline::open(&check.data)?;
    let (workers, partitions) = offline::look(&offline)?;
    let identity = &offline.identity;
    let partitions: Vec<Verdict> = partitions
        .into_iter()
        .map(|(partition, found)| {
            let worker = offline::worker_of(identity, partition);
            let lost = workers.iter().find(|found| found.worker == worker).and_then(|found| found.lost.clone());
            Verdict::of(identity, partition, &found, lost.as_deref())
        })
        .collect();
    let damaged = partitions.iter().filter(|verdict| !verdict.damage.is_empty()).count();
    let rotten = workers.iter().flat_map(|found| &found.findings).filter(|finding| !finding.torn).count();
    if check.json {
        super::say(&as_json(identity, &workers, &partitions, damaged + rotten == 0));
    } else {
        super::say(as_text(&check.data.display().to_string(), identity, &workers, &partitions).trim_end());
    }
    if damaged + rotten == 0 {
        return Ok(());
    }
    Err(Failure::broken(format!(
        "{damaged} of {} partitions and {rotten} blocks of the log are damaged",
        partitions.len()
    )))
}

/// What is said of a partition.
struct Verdict {
    partition: PartitionId,
    worker: u16,
    checkpoint: Option<(u64, u64)>,
    floor: u64,
    /// First and last index in the log, and its last era.
    log: Option<(u64, u64, u64)>,
    hard_state: Option<String>,
    /// What is wrong, each with who mends it.
    damage: Vec<(String, &'static str)>,
}

const BY_LEADER: &str =
    "the partition's leader sends them again when the node runs; until then this replica does not lead";
const BY_SNAPSHOT: &str = "another replica gives its state when the node runs; until then this one serves nothing";
const BY_LOG: &str = "the log goes back far enough: the node executes it again";
const BY_REJOIN: &str =
    "the node sets the log aside and asks the others; a majority of them must be there with their data";
const BY_NOBODY: &str = "no other node has a copy: restore a copy of the directory";

impl Verdict {
    fn of(identity: &Identity, partition: PartitionId, found: &PartitionFound, lost: Option<&str>) -> Self {
        let alone = identity.nodes.len() == 1 && !identity.joined;
        let by = |whom: &'static str| if alone { BY_NOBODY } else { whom };
        let group = &found.group;
        let mut damage = Vec::new();
        if let Some(reason) = lost {
            let whom = if identity.nodes.len() > 2 || identity.joined { BY_REJOIN } else { BY_NOBODY };
            damage.push((format!("the log cannot be used: {reason}"), whom));
        }
        if let Some(hole) = group.damaged {
            damage.push((format!("records {}..{} are not all there", hole.first, hole.last), by(BY_LEADER)));
        }
        let lacks = found.lacks_state();
        for reason in &found.damaged {
            damage.push((reason.clone(), if lacks { by(BY_SNAPSHOT) } else { BY_LOG }));
        }
        if lacks && found.damaged.is_empty() {
            let floor = group.floor.unwrap_or_default();
            damage.push((format!("there is no checkpoint of the state up to {}", floor.index), by(BY_SNAPSHOT)));
        }
        let hard_state = group.hard_state.as_ref().map(|bytes| {
            consensus::hard_state_words(Protocol::Raft, bytes).unwrap_or_else(|| {
                damage.push(("the hard state is of another version".to_owned(), BY_NOBODY));
                "unreadable".to_owned()
            })
        });
        let unreadable =
            group.records.iter().filter(|record| consensus::payload(Protocol::Raft, record).is_none()).count();
        if unreadable > 0 {
            damage.push((format!("{unreadable} records are of another version"), BY_NOBODY));
        }
        let log = group.records.first().zip(group.records.last());
        Self {
            partition,
            worker: offline::worker_of(identity, partition).0,
            checkpoint: found.state.as_ref().map(|(floor, _)| (floor.index.0, floor.era.0)),
            floor: group.floor.unwrap_or_default().index.0,
            log: log.map(|(first, last)| (first.index.0, last.index.0, last.era.0)),
            hard_state,
            damage,
        }
    }
}

fn as_text(directory: &str, identity: &Identity, workers: &[WorkerFound], partitions: &[Verdict]) -> String {
    let nodes: Vec<String> = identity.nodes.iter().map(|node| node.0.to_string()).collect();
    let mut out = format!(
        "{directory}: node {} of cluster `{}` (nodes {})\n",
        identity.node.0,
        identity.cluster,
        nodes.join(",")
    );
    for found in workers {
        let log = match (&found.lost, found.findings.iter().all(|finding| finding.torn)) {
            (Some(reason), _) => format!("cannot be used: {reason}"),
            (None, true) if found.findings.is_empty() => "intact".to_owned(),
            (None, true) => "ends in a write that a crash has cut, which the next start removes".to_owned(),
            (None, false) => "damaged".to_owned(),
        };
        let before = if found.amnesia { " (in the place of one that was damaged)" } else { "" };
        writeln!(out, "worker {}: log {log}{before}", found.worker.0).expect(STRING);
        for Finding { file, offset, batch, what, .. } in &found.findings {
            let batch = batch.map_or_else(String::new, |batch| format!(", batch {batch}"));
            writeln!(out, "  {file} at {offset}{batch}: {what}").expect(STRING);
        }
    }
    for verdict in partitions {
        let state = if verdict.damage.is_empty() { "intact" } else { "damaged" };
        let checkpoint =
            verdict.checkpoint.map_or_else(|| "no checkpoint".to_owned(), |(index, _)| format!("checkpoint @{index}"));
        let log = verdict.log.map_or_else(
            || "no records after it".to_owned(),
            |(first, last, era)| format!("log @{first}..@{last} of e{era}"),
        );
        let hard_state = verdict.hard_state.as_deref().unwrap_or("no hard state");
        writeln!(out, "partition {}: {state}; {checkpoint}, {log}; {hard_state}", verdict.partition.0).expect(STRING);
        for (what, mended) in &verdict.damage {
            writeln!(out, "  {what}\n    {mended}").expect(STRING);
        }
    }
    out
}

const STRING: &str = "a string takes everything";

fn as_json(identity: &Identity, workers: &[WorkerFound], partitions: &[Verdict], intact: bool) -> String {
    let finding = |finding: &Finding| {
        let Finding { file, offset, batch, torn, what } = finding;
        json!({ "file": file, "offset": offset, "batch": batch, "torn": torn, "what": what })
    };
    let worker = |found: &WorkerFound| {
        json!({
            "worker": found.worker.0,
            "unusable": found.lost,
            "replaced": found.amnesia,
            "findings": found.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    };
    let partition = |verdict: &Verdict| {
        let damage = |(what, mended): &(String, &'static str)| json!({ "what": what, "mended": mended });
        json!({
            "partition": verdict.partition.0,
            "worker": verdict.worker,
            "intact": verdict.damage.is_empty(),
            "checkpoint": verdict.checkpoint.map(|(index, era)| json!({ "index": index, "era": era })),
            "floor": verdict.floor,
            "log": verdict.log.map(|(first, last, era)| json!({ "first": first, "last": last, "era": era })),
            "hard_state": verdict.hard_state,
            "damage": verdict.damage.iter().map(damage).collect::<Vec<_>>(),
        })
    };
    let mut all = Map::new();
    all.insert("intact".to_owned(), Value::from(intact));
    all.insert("cluster".to_owned(), Value::from(identity.cluster.as_str()));
    all.insert("node".to_owned(), Value::from(identity.node.0));
    all.insert("workers".to_owned(), Value::Array(workers.iter().map(worker).collect()));
    all.insert("partitions".to_owned(), Value::Array(partitions.iter().map(partition).collect()));
    Value::Object(all).to_string()
}
