//! `sim diff`: where two runs part.

use super::{planted_elsewhere, read_plan, told};
use crate::judge::judge;
use crate::trace::{self, diff::difference};
use crate::verdict::Exit;
use crate::world::Options;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What `diff` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A plan, or a trace written by `replay --trace-out`.
    left: PathBuf,
    /// Another plan or trace; the plan is run twice if not given.
    right: Option<PathBuf>,
    /// Events shown around the difference.
    #[arg(long, default_value_t = 8)]
    context: usize,
}

/// The first line of a trace file.
const HEAD: &str = "# orrery trace 1";

/// Runs it. Two different runs are different; one plan that runs in two ways is a fault of determinism.
pub(super) fn diff(arguments: &Arguments) -> Result<Exit, String> {
    let left = match events(&arguments.left)? {
        Source::Events(events) => events,
        Source::Elsewhere(exit) => return Ok(exit),
    };
    let right = match events(arguments.right.as_ref().unwrap_or(&arguments.left))? {
        Source::Events(events) => events,
        Source::Elsewhere(exit) => return Ok(exit),
    };
    let mut out = io::stdout().lock();
    let Some(found) = difference(&left, &right, arguments.context) else {
        writeln!(out, "the same: {} events", left.len()).map_err(told)?;
        return Ok(Exit::Pass);
    };
    let (one, other) = match &arguments.right {
        Some(right) => (arguments.left.display().to_string(), right.display().to_string()),
        None => ("first run".to_owned(), "second run".to_owned()),
    };
    writeln!(out, "- {one}: {} events\n+ {other}: {} events", left.len(), right.len()).map_err(told)?;
    writeln!(out, "the same for {} events, then:\n\n{found}", found.same).map_err(told)?;
    Ok(if arguments.right.is_none() { Exit::Nondeterminism } else { Exit::Broken })
}

enum Source {
    Events(Vec<String>),
    /// Another build has done all the work.
    Elsewhere(Exit),
}

/// The events of a trace file, or of running a plan.
fn events(path: &Path) -> Result<Source, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if let Some(rest) = text.strip_prefix(HEAD) {
        return Ok(Source::Events(rest.lines().skip(1).map(str::to_owned).collect()));
    }
    let (plan, _) = read_plan(path)?;
    if let Some(exit) = planted_elsewhere(&plan)? {
        return Ok(Source::Elsewhere(exit));
    }
    let report = judge(&plan, &Options { tail: 0, record: true, ..Options::default() })?;
    let recording = report.run.recording.unwrap_or_default();
    Ok(Source::Events(recording.events.iter().map(|(at, event)| trace::line(*at, event)).collect()))
}

/// Writes a trace file.
pub(super) fn write_trace(path: &Path, recording: &trace::Recording) -> Result<(), String> {
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let mut out = io::BufWriter::new(fs::File::create(path).map_err(told)?);
    writeln!(out, "{HEAD}").map_err(told)?;
    for (at, event) in &recording.events {
        writeln!(out, "{}", trace::line(*at, event)).map_err(told)?;
    }
    out.flush().map_err(told)
}
