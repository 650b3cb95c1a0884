//! What is said of a run: what it was, what was done to it, what it reached, what broke, and how to see it again.

use crate::judge::Report;
use crate::plan::Plan;
use crate::run::{FaultCount, Violation};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything held.
    Pass = 0,
    /// An invariant was broken.
    Broken = 1,
    /// A mistake in how it was called, or a failure of the simulator itself.
    Usage = 2,
    /// The same plan ran in two ways.
    Nondeterminism = 3,
    /// Nothing was broken, but what was expected to be reached was not: the run proves little.
    Unreached = 4,
}

/// The command line that draws and runs this plan again.
#[must_use]
pub fn command(plan: &Plan, sets: &[String]) -> String {
    let mut line = format!("cargo sim run {} --seed {:#x}", plan.scenario_file, plan.seed);
    for set in sets {
        line.push_str(&format!(" --set {set}"));
    }
    if plan.planted != 0 {
        line.push_str(&format!(" --planted {}", plan.planted));
    }
    line
}

/// How a run ended.
#[must_use]
pub fn exit(report: &Report) -> Exit {
    if !report.violations.is_empty() {
        Exit::Broken
    } else if !report.unmet.is_empty() {
        Exit::Unreached
    } else {
        Exit::Pass
    }
}

/// Writes the verdict. `again` is the command line that replays the run.
///
/// # Errors
/// When it cannot be written.
pub fn write(out: &mut dyn Write, report: &Report, wall: Duration, again: &str) -> io::Result<()> {
    let (plan, run) = (&report.plan, &report.run);
    writeln!(out, "replay      {again}")?;
    writeln!(out, "scenario    {} ({})", plan.scenario, plan.scenario_file)?;
    writeln!(out, "seed        {:#x}", plan.seed)?;
    writeln!(out, "build       {}", crate::build_id())?;
    if plan.build != crate::build_id() {
        writeln!(out, "            the plan was drawn by build {}", plan.build)?;
    }
    if plan.planted != 0 {
        writeln!(out, "planted     bug {}", plan.planted)?;
    }
    let cluster = plan.cluster;
    let (nodes, partitions, workers) = (cluster.nodes, cluster.partitions, cluster.workers);
    writeln!(out, "cluster     {nodes} nodes, {workers} worker(s) each, {partitions} data partition(s)")?;
    writeln!(out, "\nfaults              injected  skipped  effective")?;
    faults(out, &run.faults)?;
    outcomes(out, &report.outcomes, &report.reasons)?;
    writeln!(out, "\nreached     {} acknowledged operations", report.acknowledged)?;
    writeln!(out, "            {} leader changes, {} restarts", run.leader_changes, run.restarts)?;
    probes(out, &run.probes)?;
    for (checker, count) in &report.gave_up {
        writeln!(out, "undecided   {checker} gave up on {count} part(s) of the history")?;
    }
    let speed = if wall.is_zero() { 0 } else { u128::from(run.simulated_ns) / wall.as_nanos() };
    let simulated = crate::checker::history::time(run.simulated_ns);
    writeln!(out, "\nsimulated   {simulated} in {:.2} s ({speed} times real time)", wall.as_secs_f64())?;
    writeln!(out, "events      {}", run.events)?;
    writeln!(out, "trace hash  {:032x}", run.trace_hash)?;
    for unmet in &report.unmet {
        writeln!(out, "UNREACHED   {unmet}")?;
    }
    violations(out, &report.violations)?;
    writeln!(out, "verdict     {}", in_words(exit(report)))?;
    writeln!(out, "replay      {again}")
}

pub(crate) fn in_words(exit: Exit) -> &'static str {
    match exit {
        Exit::Broken => "broken",
        Exit::Unreached => "nothing broken, but not what was expected",
        _ => "pass",
    }
}

/// The table of what came of operations.
pub(crate) fn outcomes(
    out: &mut dyn Write,
    outcomes: &BTreeMap<String, [u64; 3]>,
    reasons: &BTreeMap<String, u64>,
) -> io::Result<()> {
    writeln!(out, "\noperations      acknowledged  refused  unknown")?;
    for (verb, [done, refused, unknown]) in outcomes {
        writeln!(out, "  {verb:<18}{done:>8}{refused:>9}{unknown:>9}")?;
    }
    for (reason, count) in reasons {
        writeln!(out, "    {count:>6} × {reason}")?;
    }
    Ok(())
}

/// What was broken.
pub(crate) fn violations(out: &mut dyn Write, violations: &[Violation]) -> io::Result<()> {
    for violation in violations {
        let at = crate::checker::history::time(violation.at_ns);
        writeln!(out, "BROKEN      {} at {at}", violation.fingerprint())?;
        writeln!(out, "            {}", violation.message)?;
    }
    Ok(())
}

/// The table of faults.
///
/// # Errors
/// When it cannot be written.
pub fn faults(out: &mut dyn Write, faults: &BTreeMap<&'static str, FaultCount>) -> io::Result<()> {
    for (kind, count) in faults {
        writeln!(out, "  {kind:<18}{:>8}{:>9}{:>11}", count.injected, count.skipped, count.effective)?;
    }
    Ok(())
}

/// The list of probes, filled into lines.
///
/// # Errors
/// When it cannot be written.
pub fn probes(out: &mut dyn Write, probes: &BTreeMap<&'static str, u64>) -> io::Result<()> {
    const WIDTH: usize = 110;
    let mut line = String::new();
    let mut label = "probes";
    for (name, count) in probes {
        let word = format!("{name} {count}");
        if !line.is_empty() && line.len() + word.len() + 2 > WIDTH {
            writeln!(out, "{label:<12}{line}")?;
            label = "";
            line.clear();
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&word);
    }
    if line.is_empty() { Ok(()) } else { writeln!(out, "{label:<12}{line}") }
}
