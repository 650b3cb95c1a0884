//! `sim chaos`: real processes, killed under load; prints how long each blow kept writers waiting.

use super::{seed, told, workspace};
use crate::chaos::{Settings, run};
use crate::verdict::Exit;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// What `chaos` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Blows with kill -9; stops and clean restarts come in addition.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Of what is drawn, like 42 or 0x2a; another each time if not given.
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// The program; built in release if not given.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Data and logs of the nodes go into a new directory below this one.
    #[arg(long, value_name = "DIR", default_value = "target/chaos")]
    directory: PathBuf,
    /// Keeps that directory even when nothing is broken.
    #[arg(long)]
    keep: bool,
    /// Data partitions.
    #[arg(long, default_value_t = 1)]
    partitions: u32,
    /// Workers of each node.
    #[arg(long, default_value_t = 1)]
    workers: u16,
    /// Each node on a host of its own (a network namespace, which needs root), and blows to the network between them.
    #[arg(long)]
    hosts: bool,
    /// Milliseconds between two operations of each of the clients.
    #[arg(long, default_value_t = 25)]
    period_ms: u64,
}

/// Runs it.
pub(super) fn chaos(arguments: &Arguments) -> Result<Exit, String> {
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    let seed = arguments.seed.unwrap_or_else(new_seed);
    let directory = arguments.directory.join(format!("{seed:x}-{}", std::process::id()));
    let settings = Settings {
        partitions: arguments.partitions,
        workers: arguments.workers,
        period: Duration::from_millis(arguments.period_ms.max(1)),
        hosts: arguments.hosts,
        ..Settings::new(binary, directory, seed, arguments.kills)
    };
    let report = run(&settings)?;
    report.write(&mut io::stdout().lock()).map_err(told)?;
    if report.exit() == Exit::Pass && !arguments.keep {
        std::fs::remove_dir_all(&settings.directory).map_err(told)?;
    }
    Ok(report.exit())
}

/// The product, as it is shipped.
pub(super) fn build() -> Result<PathBuf, String> {
    let built = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(["build", "--quiet", "--release", "--package", "orrerydb", "--bin", "orrery"])
        .status()
        .map_err(|error| format!("cannot start cargo to build the program: {error}"))?;
    if !built.success() {
        return Err("the program does not build".to_owned());
    }
    Ok(workspace().join("target").join("release").join("orrery"))
}

/// One that has not been had before; it is printed.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "real processes do not replay anyway")]
pub(super) fn new_seed() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
