//! How it came about, in words: the events before the failure that somebody who explains it would name.

use super::json::{Json, row};
use super::lanes::named;
use crate::checker::history::History;
use crate::history::Outcome;
use crate::judge::Report;
use crate::trace::{Event, Mark, Recording};
use orrery::consensus::Role;
use std::collections::BTreeMap;

/// Longest story. Of more, the last are told, and those that have to do with what was broken.
const LINES_MAX: usize = 40;

/// A line: time, class, words, must it be told?
struct Line(u64, &'static str, String, bool);

/// Rows of time, class and words.
pub(super) fn tell(report: &Report, recording: &Recording, history: &History) -> Json {
    let end = report.violations.first().map_or(report.run.simulated_ns, |violation| violation.at_ns);
    let mut lines: Vec<Line> = Vec::new();
    let mut faults: BTreeMap<(u64, u32), (&'static str, Vec<String>)> = BTreeMap::new();
    for (at, event) in recording.events.iter().filter(|(at, _)| *at <= end) {
        let (class, words) = match event {
            Event::Fault { id, name, node } => {
                let entry = faults.entry((*at, *id)).or_insert((name, Vec::new()));
                entry.1.extend((node.0 > 0).then(|| node.to_string()));
                continue;
            }
            Event::Lifted { name, .. } => ("fault", format!("{} ends", title(name))),
            Event::Down { node, why, .. } if *why != "crash" && *why != "power loss" => {
                ("down", format!("{node} goes down ({why})"))
            }
            Event::DiskLost { node, lost, torn, names } if lost + torn + names > 0 => {
                let words = format!(
                    "the power loss takes from {node} {lost} unsynced writes, tears {torn}, takes {names} names"
                );
                ("down", words)
            }
            Event::Restart { node, life } if *life > 1 => ("up", format!("{node} starts again (life {life})")),
            Event::Healed { core } => {
                let nodes: Vec<String> =
                    (0..64).filter(|bit| core >> bit & 1 == 1).map(|bit| format!("n{}", bit + 1)).collect();
                ("up", format!("the chaos ends; {} are healed and left in peace", nodes.join(", ")))
            }
            _ => continue,
        };
        lines.push(Line(*at, class, words, false));
    }
    for ((at, _), (name, nodes)) in faults {
        let whom = if nodes.is_empty() { "the network".to_owned() } else { nodes.join(", ") };
        lines.push(Line(at, "fault", format!("{} strikes {whom}", title(name)), false));
    }
    for (at, mark) in recording.marks.iter().filter(|(at, _)| *at <= end) {
        if let Mark::Role { node, partition, role, era, committed } = mark {
            let words = match role {
                Role::Leader => {
                    format!("{node} leads p{partition} in era {era}, with everything up to @{committed} committed")
                }
                Role::Candidate => format!("{node} stands for election in p{partition}, era {era}"),
                _ => continue,
            };
            let class = if *role == Role::Leader { "leader" } else { "candidate" };
            lines.push(Line(*at, class, words, false));
        }
    }
    if let Some(violation) = report.violations.first() {
        let names = named(&violation.message);
        for recorded in &history.operations {
            let id = recorded.id.to_string();
            if !names.contains(id.as_str()) {
                continue;
            }
            let (client, operation) = (recorded.id.client(), recorded.operation);
            lines.push(Line(recorded.invoked_ns, "client", format!("client {client} asks: {operation} ({id})"), true));
            if let Some(at) = recorded.returned_ns {
                let words = match &recorded.outcome {
                    Outcome::Done(_) => format!("client {client} is answered: {operation} is done ({id})"),
                    Outcome::Failed(words) => format!("client {client} is refused: {operation}, {words} ({id})"),
                    Outcome::Unknown(words) => {
                        format!("client {client} cannot know what became of {operation}: {words} ({id})")
                    }
                };
                lines.push(Line(at, "client", words, true));
            }
        }
    }
    lines.sort_by_key(|line| line.0);
    let spare = lines.len().saturating_sub(LINES_MAX);
    let mut left_out = 0;
    lines.retain(|line| {
        let keep = line.3 || left_out >= spare;
        left_out += usize::from(!keep);
        keep
    });
    let mut rows: Vec<Json> = Vec::new();
    if left_out > 0 {
        rows.push(row![
            0_u32,
            "note",
            format!("… {left_out} earlier events are left out here; they are all drawn below")
        ]);
    }
    rows.extend(lines.into_iter().map(|Line(at, class, words, _)| row![at / 1_000, class, words]));
    if let Some(violation) = report.violations.first() {
        rows.push(row![violation.at_ns / 1_000, "broken", violation.message.clone()]);
    }
    Json::List(rows)
}

/// A kind's name as the subject of a sentence.
fn title(name: &str) -> String {
    match name {
        "ring" => "a ring split".to_owned(),
        "bridge" => "a bridge split".to_owned(),
        "io_error" => "an I/O error".to_owned(),
        "power_loss" => "a power loss".to_owned(),
        "fail_sync" => "a failing sync".to_owned(),
        "stop" => "a clean stop".to_owned(),
        "rot" => "bit rot".to_owned(),
        other => format!("a {}", other.replace('_', " ")),
    }
}
