//! Runs a plan and judges it: the world's own invariants first, then the checkers over what clients saw.

use crate::checker::history::{CHECKERS, History};
use crate::history::Outcome;
use crate::operation::Operation;
use crate::plan::Plan;
use crate::run::{Run, Violation};
use crate::workload::driver;
use crate::world::{Options, simulate};
use std::collections::BTreeMap;

/// A run and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// What ran.
    pub plan: Plan,
    /// What happened.
    pub run: Run,
    /// What was broken, the first first.
    pub violations: Vec<Violation>,
    /// By checker: parts of the history that it could not decide within its bounds.
    pub gave_up: BTreeMap<&'static str, u64>,
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// By kind of operation: acknowledged, refused, unknown.
    pub outcomes: BTreeMap<String, [u64; 3]>,
    /// Refusals and losses by what the client was told.
    pub reasons: BTreeMap<String, u64>,
    /// Expectations of the plan that the run did not meet.
    pub unmet: Vec<String>,
}

/// Runs a plan and judges it.
///
/// # Errors
/// When the plan cannot be run, or the simulator itself failed.
pub fn judge(plan: &Plan, options: &Options) -> Result<Report, String> {
    check(plan)?;
    let run = simulate(plan, options, driver::clients)?;
    Ok(report(plan, run))
}

/// A plan may come from a file.
fn check(plan: &Plan) -> Result<(), String> {
    for workload in &plan.workloads {
        if crate::workload::find(&workload.kind).is_none() {
            return Err(format!("the plan names the workload `{}`, which this build does not have", workload.kind));
        }
    }
    if plan.clients.iter().any(|client| client.workload as usize >= plan.workloads.len()) {
        return Err("a client of the plan has a workload that the plan does not have".to_owned());
    }
    if plan.cluster.nodes == 0 || plan.cluster.workers == 0 || plan.cluster.partitions == 0 {
        return Err("a cluster needs at least one node, one worker and one partition".to_owned());
    }
    if plan.clocks.len() != plan.cluster.nodes as usize {
        return Err(format!("{} nodes need as many clocks, not {}", plan.cluster.nodes, plan.clocks.len()));
    }
    for name in &plan.checks {
        if !CHECKERS.iter().any(|checker| checker.name() == name) {
            return Err(format!("the plan names the checker `{name}`, which this build does not have"));
        }
    }
    Ok(())
}

fn report(plan: &Plan, run: Run) -> Report {
    let judged = judge_history(&History::new(plan, &run.history), &plan.checks);
    let mut violations = run.violations.clone();
    violations.extend(judged.violations);
    let mut report = Report {
        plan: plan.clone(),
        violations,
        gave_up: judged.gave_up,
        acknowledged: judged.acknowledged,
        outcomes: judged.outcomes,
        reasons: judged.reasons,
        unmet: Vec::new(),
        run,
    };
    report.unmet = unmet(&report);
    report
}

/// What is to be said of a history alone. Fields as in [`Report`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) violations: Vec<Violation>,
    pub(crate) gave_up: BTreeMap<&'static str, u64>,
    pub(crate) acknowledged: u64,
    pub(crate) outcomes: BTreeMap<String, [u64; 3]>,
    pub(crate) reasons: BTreeMap<String, u64>,
}

/// Judges a history by the checkers of these names.
pub(crate) fn judge_history(history: &History, checks: &[String]) -> Judged {
    let mut judged = Judged { acknowledged: history.acknowledged(), ..Judged::default() };
    for checker in CHECKERS.iter().filter(|checker| checks.iter().any(|name| name == checker.name())) {
        let finding = checker.check(history);
        judged.violations.extend(finding.violations);
        if finding.gave_up > 0 {
            judged.gave_up.insert(checker.name(), finding.gave_up);
        }
    }
    for recorded in &history.operations {
        let (column, reason) = match &recorded.outcome {
            Outcome::Done(_) => (0, None),
            Outcome::Failed(reason) => (1, Some(reason)),
            Outcome::Unknown(reason) => (2, Some(reason)),
        };
        judged.outcomes.entry(verb(recorded.operation)).or_default()[column] += 1;
        if let Some(reason) = reason {
            *judged.reasons.entry(reason.clone()).or_default() += 1;
        }
    }
    judged
}

fn verb(operation: Operation) -> String {
    let text = operation.to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn unmet(report: &Report) -> Vec<String> {
    let (expect, run) = (&report.plan.expect, &report.run);
    let mut unmet = Vec::new();
    for (what, reached, wanted) in [
        ("acknowledged operations", report.acknowledged, expect.acknowledged),
        ("leader changes", run.leader_changes, expect.leader_changes),
        ("restarts", run.restarts, expect.restarts),
    ] {
        if reached < wanted {
            unmet.push(format!("{what}: expected at least {wanted}, reached {reached}"));
        }
    }
    for probe in expect.sometimes.iter().filter(|probe| !run.probes.contains_key(probe.as_str())) {
        unmet.push(format!("probe {probe}: expected to be hit, was not"));
    }
    for kind in &expect.effective {
        if run.faults.get(kind.as_str()).is_none_or(|count| count.effective == 0) {
            unmet.push(format!("fault {kind}: expected to change something, did not"));
        }
    }
    unmet
}
