//! `sim outage`: how long nobody can write after kill -9 of the node that leads, with etcd and PostgreSQL beside.

use super::chaos::{build, new_seed};
use super::{seed, told};
use crate::outage::{Settings, resize, roll, run};
use crate::verdict::Exit;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What `outage` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Blows at each system.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Of the pauses between blows, like 42 or 0x2a; another each time if not given.
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// The program; built in release if not given.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Data and logs go into a new directory below this one. PostgreSQL's user must be able to reach it.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Keeps that directory.
    #[arg(long)]
    keep: bool,
    /// Data partitions of Orrery.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Its workers on each node.
    #[arg(long, default_value_t = 1)]
    workers: u16,
    /// Length of leaders' leases in milliseconds: nobody takes over before they are over.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    lease: u64,
    /// Instead of killing the node, cuts it off from the others without a word: what a pulled cable does. Nodes get network namespaces
    /// of their own (root). Peers are left out: here they are on one host.
    #[arg(long)]
    cut: bool,
    /// Whom to measure beside it, as far as the programs are there; `none` for nobody.
    #[arg(long, value_delimiter = ',', default_value = "etcd,postgresql")]
    peers: Vec<String>,
    /// Instead of killing anything: restarts every node cleanly, one after the other, so many times. Fails (exit 1) if a request does.
    #[arg(long, value_name = "TIMES")]
    rolling: Option<u32>,
    /// Instead: three nodes become five and three again, with so long a rest before, between and after. Fails (exit 1) if a request
    /// does, if throughput dips by a third, or if replicas and leaders do not end in equal shares.
    #[arg(long, value_name = "REST", value_parser = super::duration, conflicts_with = "rolling")]
    resize: Option<Duration>,
    /// Fails (exit 1) if Orrery's median is longer.
    #[arg(long, value_parser = super::duration)]
    median: Option<Duration>,
    /// Fails (exit 1) if the worst of Orrery's outages is longer.
    #[arg(long, value_parser = super::duration)]
    worst: Option<Duration>,
}

/// Runs it.
pub(super) fn outage(arguments: &Arguments) -> Result<Exit, String> {
    let binary = arguments.binary.clone().map_or_else(build, Ok)?;
    let seed = arguments.seed.unwrap_or_else(new_seed);
    let below = arguments.directory.clone().unwrap_or_else(|| std::env::temp_dir().join("orrery-outage"));
    let settings = Settings {
        binary,
        directory: below.join(format!("{seed:x}-{}", std::process::id())),
        seed,
        kills: arguments.kills,
        partitions: arguments.partitions.max(1),
        workers: arguments.workers,
        cut: arguments.cut,
        lease_ms: arguments.lease,
        peers: if arguments.cut { Vec::new() } else { arguments.peers.clone() },
    };
    if let Some(times) = arguments.rolling {
        let rolled = roll(&Settings { kills: times, ..settings.clone() })?;
        rolled.write(&mut io::stdout().lock()).map_err(told)?;
        if !arguments.keep {
            std::fs::remove_dir_all(&settings.directory).map_err(told)?;
        }
        return Ok(if rolled.is_clean() { Exit::Pass } else { Exit::Broken });
    }
    if let Some(rest) = arguments.resize {
        let resized = resize(&settings, rest)?;
        resized.write(&mut io::stdout().lock()).map_err(told)?;
        if !arguments.keep {
            std::fs::remove_dir_all(&settings.directory).map_err(told)?;
        }
        return Ok(if resized.is_good() { Exit::Pass } else { Exit::Broken });
    }
    let report = run(&settings)?;
    report.write(&mut io::stdout().lock()).map_err(told)?;
    if !arguments.keep {
        std::fs::remove_dir_all(&settings.directory).map_err(told)?;
    }
    let Some((median, worst)) = report.orrery() else { return Ok(Exit::Unreached) };
    let exceeds =
        |length: u64, limit: Option<Duration>| limit.is_some_and(|limit| Duration::from_nanos(length) > limit);
    let broken = exceeds(median, arguments.median) || exceeds(worst, arguments.worst);
    Ok(if broken { Exit::Broken } else { Exit::Pass })
}
