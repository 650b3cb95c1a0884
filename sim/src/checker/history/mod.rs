//! Checkers over histories: judges who know what the clients asked and were told, and nothing else.
//!
//! One file each, one entry in [`CHECKERS`]. A checker must bear operations whose outcome is unknown: they may have
//! taken effect at any time from their invocation on, once, or not at all. What it cannot decide within its bounds it
//! counts and says so ([`Finding::gave_up`]): never silently.

mod agree;
mod claims;
mod directory;
mod durable;
mod exactly_once;
mod indexes;
mod internal;
mod money;
mod observed;
mod orphans;
mod registers;
mod schema;
mod serializable;
mod served;
mod steady;
mod sums;
mod values;

use crate::history::{HistoryEvent, OperationId, Outcome};
use crate::operation::Operation;
use crate::plan::Plan;
use crate::run::Violation;
use std::collections::BTreeMap;
use std::fmt;

/// A judge.
pub trait Checker: Sync {
    /// Its name in scenarios and fingerprints.
    fn name(&self) -> &'static str;

    /// What it holds, in a sentence.
    fn doc(&self) -> &'static str;

    /// Judges. Stops at the first violation of each kind.
    fn check(&self, history: &History) -> Finding;
}

/// All checkers.
pub const CHECKERS: &[&dyn Checker] = &[
    &registers::LinearizableRegisters,
    &money::MoneyConserved,
    &exactly_once::ExactlyOnce,
    &durable::AcknowledgedDurable,
    &agree::ReadsAgree,
    &indexes::IndexesAgree,
    &serializable::StrictlySerializable,
    &sums::SumsAgree,
    &claims::ClaimsExclusive,
    &orphans::NoOrphans,
    &schema::SchemaAgrees,
    &observed::SystemTablesSound,
    &internal::NoInternalErrors,
    &values::ValuesOnce,
    &served::RequestsServed,
    &steady::KeepsAnswering,
    &directory::DirectorySound,
];

/// What a checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Violations.
    pub violations: Vec<Violation>,
    /// Parts of the history (keys) that it could not decide within its bounds.
    pub gave_up: u64,
}

/// What is said of an operation: the kind of the violation, and what is wrong in a sentence.
type Judgement = Result<(), (&'static str, String)>;

impl Finding {
    /// The first of the operations that is found wrong, if one is.
    fn first<'h>(
        checker: &dyn Checker,
        operations: impl IntoIterator<Item = &'h Recorded>,
        mut judge: impl FnMut(&'h Recorded) -> Judgement,
    ) -> Self {
        let wrong = operations.into_iter().find_map(|recorded| judge(recorded).err().map(|wrong| (recorded, wrong)));
        let violation = wrong.map(|(recorded, (kind, message))| Violation {
            checker: checker.name(),
            kind: kind.to_owned(),
            at_ns: recorded.returned_ns.unwrap_or(recorded.invoked_ns),
            message,
        });
        Self { violations: violation.into_iter().collect(), gave_up: 0 }
    }

    /// The same, one workload after the other: `gather` makes of a workload's operations what its judge must know.
    fn first_by_workload<'h, K>(
        checker: &dyn Checker,
        history: &'h History,
        gather: impl Fn(&'h History, u32) -> K,
        mut judge: impl FnMut(&mut K, &'h Recorded) -> Judgement,
    ) -> Self {
        let judged = (0..history.keys.len() as u32).map(|workload| {
            let mut known = gather(history, workload);
            let operations = history.operations.iter().filter(|recorded| recorded.workload == workload);
            Self::first(checker, operations, |recorded| judge(&mut known, recorded))
        });
        judged.into_iter().find(|finding| !finding.violations.is_empty()).unwrap_or_default()
    }
}

/// Says of what is wrong who has seen it.
fn seen_by(reader: &Recorded) -> impl Fn((&'static str, String)) -> (&'static str, String) {
    move |(kind, what)| (kind, format!("{what}; seen by {reader}"))
}

/// Everything that the clients of a run asked and were told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In order of invocation.
    pub operations: Vec<Recorded>,
    /// Rows of each workload, by position in the plan.
    pub keys: Vec<u32>,
    /// When the chaos ended.
    pub chaos_ns: u64,
}

/// An operation with its times and outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Number.
    pub id: OperationId,
    /// Position of its workload in the plan.
    pub workload: u32,
    /// What.
    pub operation: Operation,
    /// When it was sent.
    pub invoked_ns: u64,
    /// When its outcome was known; `None`: never, the run ended.
    pub returned_ns: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
}

impl History {
    /// Pairs up what the clients of a plan noted.
    #[must_use]
    pub fn new(plan: &Plan, events: &[(u64, HistoryEvent)]) -> Self {
        let keys = plan.workloads.iter().map(|workload| workload.keys).collect();
        let workload_of = |client: u32| plan.clients.get(client as usize).map_or(0, |client| client.workload);
        Self { chaos_ns: plan.chaos_ns, ..Self::paired(keys, workload_of, events) }
    }

    /// Pairs up what clients noted: `keys` are the rows of each workload, `workload_of` tells which one a client has.
    #[must_use]
    pub fn paired(keys: Vec<u32>, workload_of: impl Fn(u32) -> u32, events: &[(u64, HistoryEvent)]) -> Self {
        let mut history = Self { keys, chaos_ns: u64::MAX, ..Self::default() };
        let mut open: BTreeMap<OperationId, usize> = BTreeMap::new();
        for (at_ns, event) in events {
            match event {
                HistoryEvent::Invoke { id, operation } => {
                    open.insert(*id, history.operations.len());
                    history.operations.push(Recorded {
                        id: *id,
                        workload: workload_of(id.client()),
                        operation: *operation,
                        invoked_ns: *at_ns,
                        returned_ns: None,
                        outcome: Outcome::Unknown("the run ended".to_owned()),
                    });
                }
                HistoryEvent::Return { id, outcome } => {
                    if let Some(index) = open.remove(id) {
                        history.operations[index].returned_ns = Some(*at_ns);
                        history.operations[index].outcome = outcome.clone();
                    }
                }
            }
        }
        history
    }

    /// Operations of clients that were acknowledged, setup left out.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let counts = |recorded: &&Recorded| {
            matches!(recorded.outcome, Outcome::Done(_)) && !matches!(recorded.operation, Operation::Setup { .. })
        };
        self.operations.iter().filter(counts).count() as u64
    }
}

impl Recorded {
    /// Not after this time did it take effect, if it did: an unknown outcome may still come to be.
    #[must_use]
    pub fn latest_ns(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown(_) => u64::MAX,
            _ => self.returned_ns.unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match &self.outcome {
            Outcome::Done(_) => "acknowledged",
            Outcome::Failed(_) => "refused",
            Outcome::Unknown(_) => "unknown",
        };
        write!(f, "{} `{}` ({outcome}, {}", self.id, self.operation, time(self.invoked_ns))?;
        match self.returned_ns {
            Some(at) => write!(f, " – {})", time(at)),
            None => f.write_str(" – never)"),
        }
    }
}

/// A simulated time in words.
#[must_use]
pub fn time(ns: u64) -> String {
    format!("{}.{:06} s", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

#[cfg(test)]
mod tests;
