//! The command line: one subcommand a file.

mod chaos;
mod diff;
mod fuzz;
mod mutants;
mod outage;
mod replay;
mod report;
mod run;
mod shrink;

use crate::judge::Report;
use crate::plan::Plan;
use crate::scenario::{Scenario, seed};
use crate::verdict::Exit;
use clap::{Parser, Subcommand};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The seeded simulator that Orrery lives in.
///
/// Exit codes: 0 pass, 1 an invariant is broken, 2 usage or a failure of the simulator, 3 the same plan ran in two ways,
/// 4 nothing is broken but an expectation or probe was not reached.
#[derive(Parser)]
#[command(name = "sim", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a scenario once.
    Run(run::Arguments),
    /// Runs scenarios with many seeds, in parallel, and groups what fails.
    Fuzz(fuzz::Arguments),
    /// Runs a plan from a file.
    Replay(replay::Arguments),
    /// Makes a failing plan smaller: it fails in the same way with fewer faults, operations, nodes and less time.
    Shrink(shrink::Arguments),
    /// Shows the first event in which two runs differ.
    Diff(diff::Arguments),
    /// Draws a run as one self-contained HTML page.
    Report(report::Arguments),
    /// Plants each known bug and sees whether the right checker catches it.
    Mutants(mutants::Arguments),
    /// Kills, stops and restarts three real processes under load.
    Chaos(chaos::Arguments),
    /// Measures how long nobody can write after kill -9 of the leader, with etcd and PostgreSQL beside.
    Outage(outage::Arguments),
}

/// Runs the command line.
#[must_use]
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output and is no mistake.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Pass };
            let _ = error.print();
            return exit;
        }
    };
    let done = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Shrink(arguments) => shrink::shrink_plan(&arguments),
        Command::Diff(arguments) => diff::diff(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Mutants(arguments) => mutants::mutants(&arguments),
        Command::Chaos(arguments) => chaos::chaos(&arguments),
        Command::Outage(arguments) => outage::outage(&arguments),
    };
    done.unwrap_or_else(|message| {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "sim: {message}");
        Exit::Usage
    })
}

/// A duration as people write it.
fn duration(text: &str) -> Result<Duration, String> {
    use crate::scenario::value::{Draw, Unit};
    match Draw::parse(Unit::Duration, text) {
        Some(Draw::Range(low, high)) if low == high => Ok(Duration::from_nanos(low.unsigned_abs())),
        _ => Err(format!("`{text}` is not a duration: expected one like 200s or 300ms")),
    }
}

fn load(path: &Path, sets: &[String]) -> Result<Scenario, String> {
    Scenario::load(path, sets).map_err(|mistake| mistake.to_string())
}

/// The workspace this was built from.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

fn told(error: io::Error) -> String {
    format!("cannot write: {error}")
}

/// Events of the trace's tail that a failure is told with.
const TAIL: usize = 60;

/// Where failing plans are kept, below the current directory.
const FAILURES: &str = "sim-failures";

/// Keeps a failing plan, with what to expect of its replay written at its head.
fn keep(report: &Report) -> Result<PathBuf, String> {
    let plan = &report.plan;
    let planted = if plan.planted == 0 { String::new() } else { format!("-planted{}", plan.planted) };
    let path = Path::new(FAILURES).join(format!("{}-{:x}{planted}.plan.toml", plan.scenario, plan.seed));
    fs::create_dir_all(FAILURES).map_err(told)?;
    fs::write(&path, remembered(report)?).map_err(told)?;
    Ok(path)
}

/// A plan's text, with what came of its run at the head.
fn remembered(report: &Report) -> Result<String, String> {
    let mut text = String::new();
    for violation in &report.violations {
        text.push_str(&format!("# {} {}\n", FINGERPRINT, violation.fingerprint()));
        text.push_str(&format!("# {}\n", violation.message.replace('\n', "\n# ")));
    }
    text.push_str(&format!("# {} {:032x}\n\n", TRACE_HASH, report.run.trace_hash));
    text.push_str(&report.plan.to_text()?);
    Ok(text)
}

/// A plan from a file, and the file's text.
fn read_plan(path: &Path) -> Result<(Plan, String), String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let plan = Plan::from_text(&text).map_err(|message| format!("{shown}: {message}"))?;
    Ok((plan, text))
}

/// A plan with a planted bug runs in the build that has them: it is made and given the whole command line, and its exit
/// code is ours. `None`: this build can run the plan.
fn planted_elsewhere(plan: &Plan) -> Result<Option<Exit>, String> {
    if plan.planted == 0 || orrery::env::buggify::MUTANTS { Ok(None) } else { mutants::build_and_call().map(Some) }
}

const FINGERPRINT: &str = "fingerprint:";
const TRACE_HASH: &str = "trace hash:";

fn write_plan(path: &Path, plan: &Plan) -> Result<(), String> {
    fs::write(path, plan.to_text()?).map_err(|error| format!("{}: {error}", path.display()))
}

/// Measures how long something takes on the real clock.
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long a run takes is told, and decides nothing in it"
)]
struct Stopwatch(std::time::Instant);

#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "see Stopwatch")]
impl Stopwatch {
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
