//! `sim mutants`: plants each known bug, and sees whether the right checker catches it.
//!
//! The bugs are compiled in only with the feature `mutants`. Called from a build without it, this builds one into a
//! target directory of its own and calls that.

use super::{duration, keep, load, seed, told, workspace};
use crate::draw::draw;
use crate::judge::judge;
use crate::planted::{PLANTED, Planted};
use crate::verdict::Exit;
use crate::world::Options;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What `mutants` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Numbers of the bugs, like 2,3,60; all if not given.
    #[arg(long, value_delimiter = ',')]
    ids: Vec<u32>,
    /// Time of computing for each bug.
    #[arg(long, value_parser = duration, default_value = "200s")]
    budget: Duration,
    /// Most seeds for each bug.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// First seed.
    #[arg(long, value_parser = seed, default_value = "0")]
    start_seed: u64,
    /// Keeps the plan that first caught each, in `sim-failures`.
    #[arg(long)]
    keep: bool,
    /// Bugs at a time; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
}

/// What came of one bug.
#[derive(Default)]
struct Detection {
    /// Runs with the bug until it was caught (or the budget was used up).
    seeds: u64,
    /// Time of computing that those took.
    spent: Duration,
    /// Simulated time that those took: the same on every machine.
    simulated_ns: u64,
    /// By whom: checker and kind.
    caught_by: Option<String>,
    /// Failures of other checkers on the way, by fingerprint.
    others: BTreeMap<String, u64>,
    /// Failures of the same seeds without the bug.
    dirty: Vec<String>,
}

/// Runs it.
pub(super) fn mutants(arguments: &Arguments) -> Result<Exit, String> {
    if !orrery::env::buggify::MUTANTS {
        return build_and_call();
    }
    if let Some(id) = arguments.ids.iter().find(|id| PLANTED.iter().all(|planted| planted.id != **id)) {
        let known: Vec<String> = PLANTED.iter().map(|planted| planted.id.to_string()).collect();
        return Err(format!("there is no planted bug {id}; there are {}", known.join(", ")));
    }
    let wanted: Vec<&Planted> =
        PLANTED.iter().filter(|planted| arguments.ids.is_empty() || arguments.ids.contains(&planted.id)).collect();
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    let bar = ProgressBar::new(wanted.len() as u64);
    let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} planted bugs");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<u32, Result<Detection, String>>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(planted) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = hunt(planted, arguments);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(planted.id, result);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut detections = BTreeMap::new();
    for (id, result) in results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        detections.insert(id, result.map_err(|message| format!("planted bug {id}: {message}"))?);
    }
    write(&mut io::stdout().lock(), &wanted, &detections).map_err(told)?;
    let good = |detection: &Detection| detection.caught_by.is_some() && detection.dirty.is_empty();
    Ok(if detections.values().all(good) { Exit::Pass } else { Exit::Broken })
}

/// Builds the simulator with the planted bugs in it, beside this one, and hands the command line over to it: its output
/// is ours, and so is its exit code.
pub(super) fn build_and_call() -> Result<Exit, String> {
    // Paths are given as from the caller's directory, which the child has too: only cargo works in the workspace.
    let (workspace, target) = (workspace(), workspace().join("target-mutants"));
    if !workspace.join("Cargo.toml").is_file() {
        let workspace = workspace.display();
        return Err(format!("the planted bugs are built from the source, and {workspace} has none: it has moved"));
    }
    // The cargo that runs us, if one does; else the one that built us.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "building the planted bugs into {} (minutes, the first time)", target.display());
    let built = Command::new(&cargo)
        .current_dir(&workspace)
        .args(["build", "--package", "orrerydb-sim", "--bin", "sim", "--profile", "sim", "--features", "mutants"])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .map_err(|error| format!("cannot start {} to build the planted bugs: {error}", cargo.display()))?;
    if !built.success() {
        return Err("the build with the planted bugs failed: see above".to_owned());
    }
    let binary = target.join("sim").join("sim").with_extension(std::env::consts::EXE_EXTENSION);
    let called = Command::new(&binary)
        .args(std::env::args_os().skip(1))
        .status()
        .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
    match called.code() {
        Some(0) => Ok(Exit::Pass),
        Some(1) => Ok(Exit::Broken),
        Some(3) => Ok(Exit::Nondeterminism),
        Some(4) => Ok(Exit::Unreached),
        // It has told already what is wrong.
        Some(code) => Err(format!("the build with the planted bugs ended with exit code {code}")),
        None => Err(format!("the build with the planted bugs was killed: {called}")),
    }
}

fn hunt(planted: &Planted, arguments: &Arguments) -> Result<Detection, String> {
    // Found from wherever it is called, and named in plans as from the workspace.
    let mut scenario = load(&workspace().join(planted.scenario), &[])?;
    scenario.file = planted.scenario.to_owned();
    let options = Options { tail: 0, ..Options::default() };
    let mut detection = Detection::default();
    for seed in (0..arguments.seeds).map(|nth| arguments.start_seed.wrapping_add(nth)) {
        if detection.spent > arguments.budget {
            break;
        }
        let mut plan = draw(&scenario, seed);
        plan.planted = planted.id;
        let report = judge(&plan, &options)?;
        detection.seeds += 1;
        detection.simulated_ns += report.run.simulated_ns;
        detection.spent += report.run.cpu;
        let right = report.violations.iter().find(|violation| planted.caught_by.contains(&violation.checker));
        if let Some(violation) = right {
            detection.caught_by = Some(violation.fingerprint());
            if arguments.keep {
                keep(&report)?;
            }
            break;
        }
        if let Some(other) = report.violations.first() {
            *detection.others.entry(other.fingerprint()).or_default() += 1;
        }
    }
    for seed in (0..detection.seeds).map(|nth| arguments.start_seed.wrapping_add(nth)) {
        let report = judge(&draw(&scenario, seed), &options)?;
        if let Some(violation) = report.violations.first() {
            detection.dirty.push(format!("seed {seed}: {}", violation.fingerprint()));
        }
    }
    Ok(detection)
}

fn write(out: &mut dyn Write, wanted: &[&Planted], detections: &BTreeMap<u32, Detection>) -> io::Result<()> {
    writeln!(
        out,
        "{:>3}  {:>5}  {:>7}  {:>6}  {:<60} control  planted bug",
        "id", "seeds", "sim s", "CPU s", "caught by"
    )?;
    let mut missed = 0;
    for planted in wanted {
        let Some(detection) = detections.get(&planted.id) else { continue };
        let caught = detection.caught_by.as_deref().unwrap_or("MISSED");
        let control = if detection.dirty.is_empty() { "clean" } else { "DIRTY" };
        let spent = detection.spent.as_secs_f64();
        let (id, seeds) = (planted.id, detection.seeds);
        writeln!(
            out,
            "{id:>3}  {seeds:>5}  {:>7}  {spent:>6.1}  {caught:<60} {control:<7}  {} [{}]",
            detection.simulated_ns / 1_000_000_000,
            planted.name,
            planted.source
        )?;
        for (fingerprint, count) in &detection.others {
            writeln!(out, "                       {count} run(s) failed otherwise: {fingerprint}")?;
        }
        for dirty in detection.dirty.iter().take(3) {
            writeln!(out, "                       without the bug, {dirty}")?;
        }
        missed += u32::from(detection.caught_by.is_none());
    }
    let dirty = detections.values().filter(|detection| !detection.dirty.is_empty()).count();
    writeln!(out, "{} of {} planted bugs caught", wanted.len() as u32 - missed, wanted.len())?;
    if dirty == 0 { Ok(()) } else { writeln!(out, "{dirty} of them on seeds that fail without the bug too") }
}
