//! `sim report`: a run as one page.

use super::{Stopwatch, planted_elsewhere, read_plan, told};
use crate::judge::judge;
use crate::verdict::{self, Exit};
use crate::world::Options;
use std::io::{self, Write};
use std::path::PathBuf;

/// What `report` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Plan file.
    plan: PathBuf,
    /// Where the page goes; to standard output if not given.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs it: the page is written whatever came of the run, and the exit code is the run's.
pub(super) fn report(arguments: &Arguments) -> Result<Exit, String> {
    let (plan, _) = read_plan(&arguments.plan)?;
    if let Some(exit) = planted_elsewhere(&plan)? {
        return Ok(exit);
    }
    let watch = Stopwatch::start();
    let report = judge(&plan, &Options { tail: 0, record: true, ..Options::default() })?;
    let page = crate::report::page(&report, &format!("cargo sim replay {}", arguments.plan.display()));
    match &arguments.output {
        None => io::stdout().lock().write_all(page.as_bytes()).map_err(told)?,
        Some(path) => {
            std::fs::write(path, &page).map_err(|error| format!("{}: {error}", path.display()))?;
            let what = report.violations.first().map_or_else(|| "nothing broken".to_owned(), |it| it.fingerprint());
            let mut out = io::stdout().lock();
            let (kib, took) = (page.len().div_ceil(1024), watch.elapsed().as_secs_f64());
            writeln!(out, "{}: {what}, {kib} KiB, in {took:.1} s", path.display()).map_err(told)?;
        }
    }
    Ok(verdict::exit(&report))
}
