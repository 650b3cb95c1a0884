//! What is said of a run.

use super::outage::{Outage, write_blows, write_outages};
use super::{NODES, Settings};
use crate::checker::history::time;
use crate::judge::Judged;
use crate::run::Violation;
use crate::verdict::{self, Exit};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

/// A run and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of what was drawn.
    pub seed: u64,
    /// What ran.
    pub binary: PathBuf,
    /// Data and logs of the nodes.
    pub directory: PathBuf,
    /// Blow by blow.
    pub outages: Vec<Outage>,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// By checker: parts of the history that it could not decide within its bounds.
    pub gave_up: BTreeMap<&'static str, u64>,
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// By kind of operation: acknowledged, refused, unknown.
    pub outcomes: BTreeMap<String, [u64; 3]>,
    /// Refusals and losses by what the client was told.
    pub reasons: BTreeMap<String, u64>,
    /// How long it took.
    pub wall_ns: u64,
    shape: String,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        outages: Vec<Outage>,
        judged: Judged,
        violations: Vec<Violation>,
        wall_ns: u64,
    ) -> Self {
        let (workers, partitions) = (settings.workers, settings.partitions);
        Self {
            seed: settings.seed,
            binary: settings.binary.clone(),
            directory: settings.directory.clone(),
            outages,
            violations,
            gave_up: judged.gave_up,
            acknowledged: judged.acknowledged,
            outcomes: judged.outcomes,
            reasons: judged.reasons,
            wall_ns,
            shape: format!("{NODES} nodes, {workers} worker(s) each, {partitions} data partition(s)"),
        }
    }

    /// Blows that killed a process.
    #[must_use]
    pub fn kills(&self) -> usize {
        self.outages.iter().filter(|outage| outage.kind.is_kill()).count()
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.violations.is_empty() { Exit::Pass } else { Exit::Broken }
    }

    /// Writes the verdict.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "chaos       {}", self.binary.display())?;
        writeln!(out, "seed        {:#x}", self.seed)?;
        writeln!(out, "cluster     {}", self.shape)?;
        verdict::outcomes(out, &self.outcomes, &self.reasons)?;
        write_blows(out, &self.outages)?;
        write_outages(out, &self.outages)?;
        let (kills, blows) = (self.kills(), self.outages.len());
        writeln!(out, "\nreached     {} acknowledged operations", self.acknowledged)?;
        writeln!(out, "            {kills} kills of {blows} blows in {}", time(self.wall_ns))?;
        for (checker, count) in &self.gave_up {
            writeln!(out, "undecided   {checker} gave up on {count} part(s) of the history")?;
        }
        verdict::violations(out, &self.violations)?;
        if !self.violations.is_empty() {
            writeln!(out, "kept        {}", self.directory.display())?;
        }
        writeln!(out, "verdict     {}", verdict::in_words(self.exit()))
    }
}
