//! `sim shrink`: a failing plan made smaller.

use super::{Stopwatch, planted_elsewhere, read_plan, remembered, told};
use crate::judge::judge;
use crate::plan::Plan;
use crate::run::Violation;
use crate::shrink::{Limits, Size, shrink};
use crate::verdict::Exit;
use crate::world::Options;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What `shrink` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Plan file of a run that fails.
    plan: PathBuf,
    /// Where the smaller plan goes; beside the plan, as `….min.plan.toml`, if not given.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which of its failures to keep, like `indexes-agree/index-differs`; the first if not given.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Most runs.
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// Runs at a time; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
}

/// Runs it.
pub(super) fn shrink_plan(arguments: &Arguments) -> Result<Exit, String> {
    let shown = arguments.plan.display();
    let (plan, _) = read_plan(&arguments.plan)?;
    if let Some(exit) = planted_elsewhere(&plan)? {
        return Ok(exit);
    }
    let options = Options { tail: 0, ..Options::default() };
    let original = judge(&plan, &options)?;
    let wanted = |violation: &&Violation| {
        arguments.fingerprint.as_ref().is_none_or(|fingerprint| violation.fingerprint() == *fingerprint)
    };
    let Some(violation) = original.violations.iter().find(wanted) else {
        let found: Vec<String> = original.violations.iter().map(Violation::fingerprint).collect();
        return Err(match found.as_slice() {
            [] => format!("{shown}: nothing is broken when it runs, so there is nothing to shrink"),
            found => format!("{shown}: what is broken is {}", found.join(", ")),
        });
    };
    let fingerprint = violation.fingerprint();
    let again = judge(&plan, &options)?;
    if again.run.trace_hash != original.run.trace_hash {
        let mut out = io::stdout().lock();
        writeln!(out, "UNSTEADY    {shown} runs in two ways: `cargo sim diff {shown}` shows where").map_err(told)?;
        return Ok(Exit::Nondeterminism);
    }
    let mut start = plan.clone();
    // Only the checker that objects is asked: the others could only object in another way.
    start.checks.retain(|name| *name == violation.checker);
    let oracle = |candidate: &Plan| {
        // A candidate that cannot be run is no smaller failure.
        let report = judge(candidate, &options).ok()?;
        report.violations.iter().find(|violation| violation.fingerprint() == fingerprint).map(|found| found.at_ns)
    };
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    let bar = ProgressBar::new(arguments.runs);
    let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} runs, {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let watch = Stopwatch::start();
    let limits = Limits { runs: arguments.runs, jobs };
    let shrunk = shrink(&start, violation.at_ns, &limits, &oracle, &mut |runs, best| {
        let size = Size::of(best);
        bar.set_position(runs);
        bar.set_message(format!("{} faults, {} operations, {} nodes", size.faults, size.operations, size.nodes));
    });
    bar.finish_and_clear();
    let report = judge(&shrunk.plan, &options)?;
    let output = arguments.output.clone().unwrap_or_else(|| beside(&arguments.plan));
    std::fs::write(&output, remembered(&report)?).map_err(|error| format!("{}: {error}", output.display()))?;
    let (before, after) = (Size::of(&plan), Size::of(&shrunk.plan));
    let mut out = io::stdout().lock();
    let mut write = || -> io::Result<()> {
        writeln!(out, "fingerprint {fingerprint}")?;
        writeln!(out, "\n                    before     after")?;
        for (what, before, after) in [
            ("faults", before.faults, after.faults),
            ("clients", before.clients, after.clients),
            ("operations", before.operations, after.operations),
            ("nodes", before.nodes as usize, after.nodes as usize),
            ("partitions", before.partitions as usize, after.partitions as usize),
            ("bytes of plan", before.bytes, after.bytes),
        ] {
            writeln!(out, "  {what:<14}{before:>10}{after:>10}")?;
        }
        let (fails, failed) = (seconds(violation.at_ns), seconds(shrunk.at_ns));
        writeln!(out, "  {:<14}{fails:>10}{failed:>10}", "fails after")?;
        writeln!(out, "  {:<14}{:>10}{:>10}", "events", original.run.events, report.run.events)?;
        let cut = if shrunk.is_cut_short { ": the budget is used up, --runs gives more" } else { "" };
        writeln!(out, "\nruns        {} in {:.1} s{cut}", shrunk.runs, watch.elapsed().as_secs_f64())?;
        writeln!(out, "size        {} % of the original", (after.bytes * 100).div_ceil(before.bytes.max(1)))?;
        if let Some(found) = report.violations.iter().find(|violation| violation.fingerprint() == fingerprint) {
            writeln!(out, "BROKEN      {}", found.message)?;
        }
        writeln!(out, "replay      cargo sim replay {}", output.display())?;
        writeln!(out, "report      cargo sim report {}", output.display())
    };
    write().map_err(told)?;
    Ok(Exit::Pass)
}

fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

fn beside(plan: &Path) -> PathBuf {
    let name = plan.file_name().map_or_else(|| "plan".into(), |name| name.to_string_lossy().into_owned());
    let stem = name.strip_suffix(".toml").unwrap_or(&name);
    let stem = stem.strip_suffix(".plan").unwrap_or(stem);
    plan.with_file_name(format!("{stem}.min.plan.toml"))
}
