//! **Report**: a run as one HTML page that needs nothing but itself.
//!
//! The page says in words what was broken and how it came about, and draws the run on one axis of time: faults as bars, a
//! lane for each replica with its lives, pauses and the roles it had in each group, messages between them, a lane for
//! each client with its operations. [`lanes`] turns the recorded trace into what is drawn, [`story`] into words;
//! `page.html` draws. Times on the page are microseconds of simulated time.
//!
//! # Invariants
//! - No address of anything outside the page: it can be kept, sent, and opened without a network.
//! - The same run gives the same page.
//!
//! # Caveats
//! - Of a long run only the last messages before the end are on the page ([`FLIGHTS_MAX`]); it says so.

mod json;
mod lanes;
mod story;
#[cfg(test)]
mod tests;

use crate::checker::history::{CHECKERS, History, time};
use crate::judge::Report;
use crate::trace::Recording;
use json::{Json, row};

/// Most messages on a page.
pub const FLIGHTS_MAX: usize = 20_000;

const PAGE: &str = include_str!("page.html");

/// Where the data goes.
const PLACE: &str = "/*DATA*/null";

/// Draws a run whose trace was recorded. `again` is the command line that replays it.
#[must_use]
pub fn page(report: &Report, again: &str) -> String {
    let nothing = Recording::default();
    let recording = report.run.recording.as_ref().unwrap_or(&nothing);
    let history = History::new(&report.plan, &report.run.history);
    let violation = report.violations.first();
    let mut data = String::new();
    Json::Object(vec![
        ("title", report.plan.scenario.as_str().into()),
        ("fingerprint", violation.map(crate::run::Violation::fingerprint).into()),
        ("message", violation.map(|it| it.message.clone()).into()),
        ("meaning", violation.map(|it| meaning(it.checker)).into()),
        ("at", violation.map(|it| it.at_ns / 1_000).into()),
        ("also", Json::List(report.violations.iter().skip(1).map(in_short).collect())),
        ("planted", planted(report).into()),
        ("replay", again.into()),
        ("facts", facts(report)),
        ("counts", counts(report)),
        ("end", (report.run.simulated_ns / 1_000).into()),
        ("chaos", (report.plan.chaos_ns / 1_000).into()),
        ("nodes", report.plan.cluster.nodes.into()),
        ("partitions", report.plan.cluster.partitions.into()),
        ("lives", lanes::lives(report, recording)),
        ("roles", lanes::roles(report, recording)),
        ("faults", lanes::faults(report, recording)),
        ("flights", lanes::flights(recording)),
        ("marks", lanes::marks(recording)),
        ("clients", report.plan.clients.len().into()),
        ("ops", lanes::operations(&history, violation)),
        ("story", story::tell(report, recording, &history)),
    ])
    .write(&mut data);
    PAGE.replacen(PLACE, &data, 1)
}

/// What an invariant means, for somebody who hears of it for the first time.
fn meaning(checker: &str) -> &'static str {
    if let Some(checker) = CHECKERS.iter().find(|known| known.name() == checker) {
        return checker.doc();
    }
    match checker {
        "election-safety" => "in one era of a group at most one member may lead",
        "log-matching" => "two logs that have an entry of the same index and era are the same up to it",
        "leader-completeness" => "whoever leads holds every entry that was committed in earlier eras",
        "commit-history" => "what one member takes as committed at an index, every member does, for ever",
        "digests" => "replicas that have executed the same entries hold the same bytes",
        "state-kept" => {
            "no crash costs a member its state: a checkpoint is durable before the log that it stands for goes"
        }
        "liveness" => "once a quorum is healed and left in peace, it agrees and serves its clients",
        "panic" => "the product never panics",
        "stop" => "a node whose disk and peers are sound does not stop by itself",
        _ => "an invariant of the cluster",
    }
}

/// A violation behind the first.
fn in_short(violation: &crate::run::Violation) -> Json {
    row![violation.fingerprint(), violation.message.as_str()]
}

fn planted(report: &Report) -> Option<String> {
    let known = crate::planted::PLANTED.iter().find(|planted| planted.id == report.plan.planted);
    known.map(|planted| format!("Planted bug {}: {} [{}].", planted.id, planted.name, planted.source))
}

fn facts(report: &Report) -> Json {
    let (plan, run) = (&report.plan, &report.run);
    let cluster = plan.cluster;
    Json::List(vec![
        row!["scenario", plan.scenario_file.as_str()],
        row!["seed", format!("{:#x}", plan.seed)],
        row!["build", crate::build_id()],
        row![
            "cluster",
            format!(
                "{} nodes, {} data partitions, {} worker(s) each",
                cluster.nodes, cluster.partitions, cluster.workers
            )
        ],
        row!["simulated", time(run.simulated_ns)],
        row!["events", run.events],
        row!["acknowledged", report.acknowledged],
        row!["leader changes", run.leader_changes],
        row!["restarts", run.restarts],
        row!["trace hash", format!("{:032x}", run.trace_hash)],
    ])
}

fn counts(report: &Report) -> Json {
    let row = |(name, count): (&&'static str, &crate::run::FaultCount)| {
        row![*name, count.injected, count.skipped, count.effective]
    };
    let said = report.run.faults.iter().filter(|(_, count)| count.injected + count.skipped > 0);
    Json::List(said.map(row).collect())
}
