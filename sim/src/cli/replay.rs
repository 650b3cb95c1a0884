//! `sim replay`: a plan from a file.

use super::diff::write_trace;
use super::{FINGERPRINT, Stopwatch, TAIL, TRACE_HASH, duration, planted_elsewhere, read_plan, told};
use crate::judge::{Report, judge};
use crate::verdict::{self, Exit};
use crate::world::Options;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// What `replay` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Plan file.
    plan: PathBuf,
    /// Stops at this simulated time.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    until: Option<Duration>,
    /// Prints the last events of the trace, this many if more than a few are wanted.
    #[arg(long, num_args = 0..=1, default_missing_value = "200", value_name = "EVENTS")]
    verbose: Option<usize>,
    /// Writes all events to this file, for `diff` with those of another build.
    #[arg(long, value_name = "FILE")]
    trace_out: Option<PathBuf>,
}

/// Runs it.
pub(super) fn replay(arguments: &Arguments) -> Result<Exit, String> {
    let shown = arguments.plan.display();
    let (plan, text) = read_plan(&arguments.plan)?;
    if let Some(exit) = planted_elsewhere(&plan)? {
        return Ok(exit);
    }
    let until_ns = arguments.until.map(|until| u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
    let watch = Stopwatch::start();
    let record = arguments.trace_out.is_some();
    let report = judge(&plan, &Options { until_ns, tail: arguments.verbose.unwrap_or(TAIL), record })?;
    let wall = watch.elapsed();
    if let (Some(path), Some(recording)) = (&arguments.trace_out, &report.run.recording) {
        write_trace(path, recording)?;
    }
    let mut out = io::stdout().lock();
    if arguments.verbose.is_some() || !report.violations.is_empty() {
        for line in &report.run.tail {
            writeln!(out, "{line}").map_err(told)?;
        }
    }
    verdict::write(&mut out, &report, wall, &format!("cargo sim replay {shown}")).map_err(told)?;
    if until_ns.is_none() {
        compare(&mut out, &text, &report).map_err(told)?;
    }
    Ok(verdict::exit(&report))
}

/// Says whether the run was what the head of the file remembers.
fn compare(out: &mut dyn Write, text: &str, report: &Report) -> io::Result<()> {
    let remembered = |label: &str| {
        text.lines()
            .take_while(|line| line.starts_with('#'))
            .find_map(|line| line.strip_prefix("# ")?.strip_prefix(label))
    };
    if let Some(fingerprint) = remembered(FINGERPRINT) {
        let now = report.violations.first().map_or_else(|| "nothing broken".to_owned(), |first| first.fingerprint());
        let same = if now == fingerprint.trim() { "the same failure" } else { "another outcome" };
        writeln!(out, "remembered  {}: {same}", fingerprint.trim())?;
    }
    if let Some(hash) = remembered(TRACE_HASH) {
        let same = format!("{:032x}", report.run.trace_hash) == hash.trim();
        let words =
            if same { "the same trace" } else { "another trace: the code has changed since, or a build differs" };
        writeln!(out, "remembered  trace hash {}: {words}", hash.trim())?;
    }
    Ok(())
}
