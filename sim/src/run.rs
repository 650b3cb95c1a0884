//! What a run yields, for the checkers over histories and for the verdict.

use crate::history::HistoryEvent;
use crate::trace::Recording;
use std::collections::BTreeMap;
use std::time::Duration;

/// The outcome of running a plan.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Rolling hash over every event of the run.
    pub trace_hash: u128,
    /// Events.
    pub events: u64,
    /// Simulated time at the end.
    pub simulated_ns: u64,
    /// What clients noted, in order of time, with the time.
    pub history: Vec<(u64, HistoryEvent)>,
    /// By name of the fault kind ([`crate::plan::FaultKind::name`]); also `loss`, `duplicate`, `reorder`, `delay`, `restart`,
    /// `torn_write`, `lost_write`, `clock_skew`, …: the standing faults of network and disk.
    pub faults: BTreeMap<&'static str, FaultCount>,
    /// Probes hit, by name.
    pub probes: BTreeMap<&'static str, u64>,
    /// Changes of a partition's leader after its first.
    pub leader_changes: u64,
    /// Restarts of nodes.
    pub restarts: u64,
    /// Cluster invariants broken, in order of time. The run stops at the first.
    pub violations: Vec<Violation>,
    /// Last events of the trace in words, for the failure report.
    pub tail: Vec<String>,
    /// All of the trace, if it was asked for.
    pub recording: Option<Recording>,
    /// What the processor has worked for it: told, and decides nothing.
    pub cpu: Duration,
}

/// How often a kind of fault was planned and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCount {
    /// Took place.
    pub injected: u64,
    /// Left out: the budget forbade it, or there was nobody to hit.
    pub skipped: u64,
    /// Changed something (a split that lost a message, a pause during which an event came).
    pub effective: u64,
}

/// An invariant broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the checker: `election-safety`, `linearizable-registers`, …; `panic` for a panic of the product.
    pub checker: &'static str,
    /// What kind of violation, stable over seeds: with `checker`, the fingerprint.
    pub kind: String,
    /// When, in simulated time.
    pub at_ns: u64,
    /// What was seen, in words, with names and times.
    pub message: String,
}

impl Violation {
    /// What two failures of the same cause have in common.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{}/{}", self.checker, self.kind)
    }
}
