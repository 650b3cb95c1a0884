//! `sim run`: one scenario, one seed.

use super::{Stopwatch, TAIL, keep, load, seed, told, write_plan};
use crate::draw::draw;
use crate::judge::judge;
use crate::verdict::{self, Exit};
use crate::world::Options;
use std::io::{self, Write};
use std::path::PathBuf;

/// What `run` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Scenario file.
    file: PathBuf,
    /// Seed, like 42 or 0x2a.
    #[arg(long, value_parser = seed, default_value = "0")]
    seed: u64,
    /// Overrides a key of the scenario: network.loss=0.1.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    sets: Vec<String>,
    /// Writes the plan to this file.
    #[arg(long, value_name = "FILE")]
    plan_out: Option<PathBuf>,
    /// Plants a bug; only in a build with the feature `mutants`.
    #[arg(long, default_value_t = 0, value_name = "ID")]
    planted: u32,
    /// Prints the last events of the trace, this many if more than a few are wanted.
    #[arg(long, num_args = 0..=1, default_missing_value = "200", value_name = "EVENTS")]
    verbose: Option<usize>,
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, String> {
    let scenario = load(&arguments.file, &arguments.sets)?;
    let mut plan = draw(&scenario, arguments.seed);
    plan.planted = arguments.planted;
    if let Some(path) = &arguments.plan_out {
        write_plan(path, &plan)?;
    }
    let watch = Stopwatch::start();
    let report = judge(&plan, &Options { tail: arguments.verbose.unwrap_or(TAIL), ..Options::default() })?;
    let wall = watch.elapsed();
    let mut out = io::stdout().lock();
    if arguments.verbose.is_some() || !report.violations.is_empty() {
        for line in &report.run.tail {
            writeln!(out, "{line}").map_err(told)?;
        }
    }
    verdict::write(&mut out, &report, wall, &verdict::command(&plan, &arguments.sets)).map_err(told)?;
    let exit = verdict::exit(&report);
    if exit == Exit::Broken {
        let path = keep(&report)?;
        writeln!(out, "kept        cargo sim replay {}", path.display()).map_err(told)?;
    }
    Ok(exit)
}
