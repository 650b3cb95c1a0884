//! `orrery dump-wal`: what the log of a data directory says, record by record. The node must not run.

use super::offline;
use crate::consensus::{self, Protocol};
use crate::partition::words;
use crate::server::Failure;
use std::io::Write as _;
use std::path::PathBuf;

/// Flags of `orrery dump-wal`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Dump {
    /// The data directory of a node that does not run
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// Only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// From this index on
    #[arg(long, value_name = "I", default_value_t = 0)]
    from: u64,
    /// Up to this index
    #[arg(long, value_name = "I", default_value_t = u64::MAX)]
    to: u64,
}

/// Dumps.
pub(super) fn run(dump: &Dump) -> Result<(), Failure> {
    let offline = offline::open(&dump.data)?;
    if let Some(number) = dump.partition.filter(|number| *number > offline.identity.partitions) {
        let most = offline.identity.partitions;
        return Err(Failure::usage(format!("there is no partition {number}: they are numbered from 0 to {most}")));
    }
    let (workers, partitions) = offline::look(&offline)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (partition, found) in partitions {
        if dump.partition.is_some_and(|number| number != partition.0) {
            continue;
        }
        let group = &found.group;
        let hard_state =
            group.hard_state.as_deref().and_then(|bytes| consensus::hard_state_words(Protocol::Raft, bytes));
        let floor = group.floor.unwrap_or_default();
        let hard_state = hard_state.unwrap_or_else(|| "no hard state".to_owned());
        // A closed pipe is not our business.
        let _ = writeln!(out, "# partition {}: {hard_state}; a checkpoint covers what is up to {floor}", partition.0);
        if let Some(hole) = group.damaged {
            let _ = writeln!(out, "# records {}..{} are not all there", hole.first, hole.last);
        }
        for record in group.records.iter().filter(|record| (dump.from..=dump.to).contains(&record.index.0)) {
            let words = consensus::payload(Protocol::Raft, record)
                .map_or_else(|| format!("unreadable, {} bytes", record.bytes.len()), |payload| words::words(&payload));
            let _ = writeln!(out, "{partition} {} {} {words}", record.index, record.era);
        }
    }
    let _ = out.flush();
    match workers.iter().find_map(|found| found.lost.clone()) {
        Some(reason) => Err(Failure::broken(format!("a log cannot be used: {reason}: see `orrery check`"))),
        None => Ok(()),
    }
}
