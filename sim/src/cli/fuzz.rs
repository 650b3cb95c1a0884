//! `sim fuzz`: scenarios with many seeds, in parallel.

use super::{Stopwatch, keep, load, seed, told};
use crate::draw::draw;
use crate::judge::{Report, judge};
use crate::run::FaultCount;
use crate::scenario::Scenario;
use crate::stream::{chance, stream};
use crate::verdict::{self, Exit};
use crate::world::Options;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What `fuzz` takes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Scenario files, or directories of them (those in a directory `profiles` are only extended by others).
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Runs; they are dealt out to the scenarios in turn. Those that name their seeds (regressions) are run with these,
    /// before and beside.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// First seed.
    #[arg(long, value_parser = seed, default_value = "0")]
    start_seed: u64,
    /// Runs at a time; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Share of runs that are run twice and must be the same.
    #[arg(long, value_parser = percent, default_value = "5%", value_name = "PERCENT")]
    check_determinism: u32,
    /// Overrides a key of every scenario: network.loss=0.1.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    sets: Vec<String>,
    /// Stops after this many failures.
    #[arg(long, default_value_t = 20)]
    failures: u64,
}

/// `5%` in parts per million.
fn percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<u32>().ok().filter(|number| *number <= 100);
    number.map(|number| number * 10_000).ok_or_else(|| format!("`{text}` is not a percentage: expected 0% to 100%"))
}

/// What all runs came to.
#[derive(Default)]
struct Ensemble {
    runs: u64,
    checked_twice: u64,
    acknowledged: u64,
    leader_changes: u64,
    restarts: u64,
    simulated_ns: u128,
    events: u128,
    wall: Duration,
    longest: Option<(Duration, String)>,
    faults: BTreeMap<&'static str, FaultCount>,
    probes: BTreeMap<&'static str, u64>,
    gave_up: BTreeMap<&'static str, u64>,
    failures: BTreeMap<String, Vec<Failure>>,
    unsteady: Vec<String>,
    broken_simulator: Option<String>,
    /// By scenario: expectations that no run has met yet. Absent: no run yet.
    unmet: BTreeMap<String, BTreeSet<String>>,
}

struct Failure {
    command: String,
    message: String,
    kept: String,
}

/// Runs it.
pub(super) fn fuzz(arguments: &Arguments) -> Result<Exit, String> {
    let mut files = Vec::new();
    for path in &arguments.paths {
        collect(path, &mut files)?;
    }
    let scenarios = files.iter().map(|file| load(file, &arguments.sets)).collect::<Result<Vec<_>, _>>()?;
    if scenarios.is_empty() {
        return Err("no scenario found".to_owned());
    }
    let pinned: Vec<(&Scenario, u64)> =
        scenarios.iter().flat_map(|scenario| scenario.seeds.iter().map(move |seed| (scenario, *seed))).collect();
    let open: Vec<&Scenario> = scenarios.iter().filter(|scenario| scenario.seeds.is_empty()).collect();
    let drawn = if open.is_empty() { 0 } else { arguments.seeds };
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    let bar = ProgressBar::new(pinned.len() as u64 + drawn);
    let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} runs, {msg} (left: {eta})");
    bar.set_style(style.map_err(|error| error.to_string())?);
    bar.set_message("0 failures");
    let shared = Shared {
        arguments,
        pinned: &pinned,
        open: &open,
        drawn,
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        ensemble: Mutex::new(Ensemble::default()),
        bar: &bar,
    };
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| shared.work());
        }
    });
    bar.finish_and_clear();
    let ensemble = shared.ensemble.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(message) = ensemble.broken_simulator {
        return Err(message);
    }
    write(&mut io::stdout().lock(), &ensemble, watch.elapsed(), scenarios.len()).map_err(told)?;
    Ok(if !ensemble.failures.is_empty() {
        Exit::Broken
    } else if !ensemble.unsteady.is_empty() {
        Exit::Nondeterminism
    } else if ensemble.unmet.values().any(|unmet| !unmet.is_empty()) {
        Exit::Unreached
    } else {
        Exit::Pass
    })
}

/// Scenario files below a path, in order of name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let mut entries = std::fs::read_dir(path)
        .map_err(told)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(told)?;
    entries.sort();
    for entry in entries {
        let is_directory = entry.is_dir();
        if is_directory && !entry.ends_with("profiles")
            || entry.extension().is_some_and(|extension| extension == "toml")
        {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

struct Shared<'a> {
    arguments: &'a Arguments,
    /// Runs that come first: scenarios with the seeds that they name.
    pinned: &'a [(&'a Scenario, u64)],
    /// Scenarios that any seed is for.
    open: &'a [&'a Scenario],
    /// Runs of those.
    drawn: u64,
    next: AtomicU64,
    stop: AtomicBool,
    ensemble: Mutex<Ensemble>,
    bar: &'a ProgressBar,
}

impl Shared<'_> {
    /// What to run as the `nth`.
    fn job(&self, nth: u64) -> Option<(&Scenario, u64)> {
        let Some(drawn) = nth.checked_sub(self.pinned.len() as u64) else { return Some(self.pinned[nth as usize]) };
        let scenario = self.open.get((drawn % self.open.len().max(1) as u64) as usize)?;
        (drawn < self.drawn).then(|| (*scenario, self.arguments.start_seed.wrapping_add(drawn)))
    }

    fn work(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((scenario, seed)) = self.job(nth) else { return };
            let plan = draw(scenario, seed);
            let watch = Stopwatch::start();
            let outcome = judge(&plan, &Options { tail: 0, ..Options::default() });
            let wall = watch.elapsed();
            let twice = chance(&mut stream(seed, "check-determinism", 0), self.arguments.check_determinism);
            let again = match &outcome {
                Ok(_) if twice => judge(&plan, &Options { tail: 0, ..Options::default() }).ok(),
                _ => None,
            };
            let mut ensemble = self.ensemble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match outcome {
                Ok(report) => ensemble.add(&report, wall, again.as_ref(), &self.arguments.sets),
                Err(message) => {
                    ensemble.broken_simulator =
                        Some(format!("{}: {message}", verdict::command(&plan, &self.arguments.sets)));
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            let failures: usize = ensemble.failures.values().map(Vec::len).sum();
            if failures as u64 >= self.arguments.failures {
                self.stop.store(true, Ordering::Relaxed);
            }
            self.bar.set_message(format!("{failures} failures"));
            self.bar.inc(1);
        }
    }
}

impl Ensemble {
    fn add(&mut self, report: &Report, wall: Duration, again: Option<&Report>, sets: &[String]) {
        let run = &report.run;
        self.runs += 1;
        self.wall += wall;
        self.acknowledged += report.acknowledged;
        self.leader_changes += run.leader_changes;
        self.restarts += run.restarts;
        self.simulated_ns += u128::from(run.simulated_ns);
        self.events += u128::from(run.events);
        if self.longest.as_ref().is_none_or(|(longest, _)| wall > *longest) {
            self.longest = Some((wall, verdict::command(&report.plan, sets)));
        }
        for (kind, count) in &run.faults {
            let total = self.faults.entry(kind).or_default();
            total.injected += count.injected;
            total.skipped += count.skipped;
            total.effective += count.effective;
        }
        for (probe, count) in &run.probes {
            *self.probes.entry(probe).or_default() += count;
        }
        for (checker, count) in &report.gave_up {
            *self.gave_up.entry(checker).or_default() += count;
        }
        self.expect(report);
        self.blame(report, sets);
        if let Some(again) = again {
            self.checked_twice += 1;
            if (again.run.trace_hash, again.run.events) != (run.trace_hash, run.events) {
                self.unsteady.push(format!(
                    "{}: {:032x} ({} events), then {:032x} ({} events)",
                    verdict::command(&report.plan, sets),
                    run.trace_hash,
                    run.events,
                    again.run.trace_hash,
                    again.run.events
                ));
            }
        }
    }

    /// An expectation is of the ensemble: one run of the scenario that meets it is enough.
    fn expect(&mut self, report: &Report) {
        let subject = |unmet: &String| unmet.split(':').next().unwrap_or_default().to_owned();
        let unmet: BTreeSet<String> = report.unmet.iter().map(subject).collect();
        let file = report.plan.scenario_file.clone();
        self.unmet.entry(file).and_modify(|left| left.retain(|what| unmet.contains(what))).or_insert(unmet);
    }

    fn blame(&mut self, report: &Report, sets: &[String]) {
        let Some(first) = report.violations.first() else { return };
        let group = self.failures.entry(first.fingerprint()).or_default();
        // One plan of each group is enough to work with.
        let kept = match group.first() {
            Some(_) => String::new(),
            None => keep(report).map_or_else(|error| error, |path| format!("cargo sim replay {}", path.display())),
        };
        group.push(Failure { command: verdict::command(&report.plan, sets), message: first.message.clone(), kept });
    }
}

fn write(out: &mut dyn Write, ensemble: &Ensemble, elapsed: Duration, scenarios: usize) -> io::Result<()> {
    writeln!(out, "build       {}", crate::build_id())?;
    let (runs, twice) = (ensemble.runs, ensemble.checked_twice);
    writeln!(
        out,
        "runs        {runs} of {scenarios} scenario(s), {twice} of them twice, in {:.1} s",
        elapsed.as_secs_f64()
    )?;
    let per_run = ensemble.wall.as_secs_f64() / (runs.max(1) as f64);
    let simulated = ensemble.simulated_ns / 1_000_000_000;
    let speed = ensemble.simulated_ns / ensemble.wall.as_nanos().max(1);
    writeln!(out, "simulated   {simulated} s, {:.2} s of computing a run, {speed} times real time", per_run)?;
    if let Some((longest, command)) = &ensemble.longest {
        writeln!(out, "longest     {:.2} s: {command}", longest.as_secs_f64())?;
    }
    writeln!(out, "events      {}", ensemble.events)?;
    writeln!(out, "reached     {} acknowledged operations", ensemble.acknowledged)?;
    writeln!(out, "            {} leader changes, {} restarts", ensemble.leader_changes, ensemble.restarts)?;
    verdict::probes(out, &ensemble.probes)?;
    writeln!(out, "\nfaults              injected  skipped  effective")?;
    verdict::faults(out, &ensemble.faults)?;
    for (checker, count) in &ensemble.gave_up {
        writeln!(out, "undecided   {checker} gave up on {count} part(s) of histories")?;
    }
    for (file, unmet) in &ensemble.unmet {
        for what in unmet {
            writeln!(out, "UNREACHED   {file}: no run reached what it expects of {what}")?;
        }
    }
    for unsteady in &ensemble.unsteady {
        writeln!(out, "UNSTEADY    {unsteady}")?;
    }
    for (fingerprint, failures) in &ensemble.failures {
        writeln!(out, "\nBROKEN      {fingerprint} ({} run(s))", failures.len())?;
        for failure in failures.iter().take(3) {
            writeln!(out, "            {}", failure.command)?;
            writeln!(out, "              {}", failure.message)?;
            if !failure.kept.is_empty() {
                writeln!(out, "              {}", failure.kept)?;
            }
        }
    }
    writeln!(out, "verdict     {}", if ensemble.failures.is_empty() { "nothing broken" } else { "broken" })
}
