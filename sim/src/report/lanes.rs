//! What is drawn: spans and points on the axis of time, from the events and marks of a recorded run.

use super::FLIGHTS_MAX;
use super::json::{Json, row};
use crate::checker::history::History;
use crate::history::{Outcome, Seen};
use crate::judge::Report;
use crate::run::Violation;
use crate::trace::{Event, Mark, Recording};
use orrery::consensus::{Protocol, Role};
use orrery::node::wire::{Body, Frame};
use std::collections::{BTreeMap, BTreeSet};

const fn us(ns: u64) -> u64 {
    ns / 1_000
}

/// Node, from, to, number of its life, why it ended.
pub(super) fn lives(report: &Report, recording: &Recording) -> Json {
    let mut lives = Vec::new();
    let mut open: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (at, event) in &recording.events {
        match *event {
            Event::Restart { node, life } => drop(open.insert(node.0, (*at, life))),
            Event::Down { node, why, .. } => {
                if let Some((from, life)) = open.remove(&node.0) {
                    lives.push(row![node.0, us(from), us(*at), life, why]);
                }
            }
            _ => {}
        }
    }
    for (node, (from, life)) in open {
        lives.push(row![node, us(from), us(report.run.simulated_ns), life, None::<&str>]);
    }
    Json::List(lives)
}

/// Node, partition, role (0 follower, 1 candidate, 2 leader), era, from, to, committed at its beginning.
pub(super) fn roles(report: &Report, recording: &Recording) -> Json {
    let mut roles = Vec::new();
    let mut open: BTreeMap<(u32, u32), (u64, u32, u64, u64)> = BTreeMap::new();
    let mut downs = recording.events.iter().filter_map(|(at, event)| match event {
        Event::Down { node, .. } => Some((*at, node.0)),
        _ => None,
    });
    let mut next_down = downs.next();
    let mut close = |open: &mut BTreeMap<(u32, u32), (u64, u32, u64, u64)>, key: (u32, u32), to: u64| {
        if let Some((from, role, era, committed)) = open.remove(&key) {
            roles.push(row![key.0, key.1, role, era, us(from), us(to), committed]);
        }
    };
    for (at, mark) in &recording.marks {
        let Mark::Role { node, partition, role, era, committed } = mark else { continue };
        while let Some((down, whose)) = next_down.filter(|(down, _)| down <= at) {
            for partition in 0..=report.plan.cluster.partitions {
                close(&mut open, (whose, partition), down);
            }
            next_down = downs.next();
        }
        close(&mut open, (node.0, *partition), *at);
        let role = match role {
            Role::Leader => 2,
            Role::Candidate => 1,
            _ => 0,
        };
        open.insert((node.0, *partition), (*at, role, *era, *committed));
    }
    while let Some((down, whose)) = next_down {
        for partition in 0..=report.plan.cluster.partitions {
            close(&mut open, (whose, partition), down);
        }
        next_down = downs.next();
    }
    let left: Vec<(u32, u32)> = open.keys().copied().collect();
    for key in left {
        close(&mut open, key, report.run.simulated_ns);
    }
    Json::List(roles)
}

/// Number, name, nodes struck (none: the network), from, to (the same: it was over at once), what it does.
pub(super) fn faults(report: &Report, recording: &Recording) -> Json {
    let mut struck: BTreeMap<(u32, u64), (&'static str, Vec<u32>, u64)> = BTreeMap::new();
    let mut open: BTreeMap<u32, u64> = BTreeMap::new();
    for (at, event) in &recording.events {
        match *event {
            Event::Fault { id, name, node } => {
                let lasts = crate::fault::FAULTS.iter().any(|fault| fault.name == name && fault.lasts());
                let to = if lasts { report.run.simulated_ns } else { *at };
                let entry = struck.entry((id, *at)).or_insert((name, Vec::new(), to));
                entry.1.extend((node.0 > 0).then_some(node.0));
                open.insert(id, *at);
            }
            Event::Lifted { id, .. } => {
                if let Some(fault) = open.remove(&id).and_then(|from| struck.get_mut(&(id, from))) {
                    fault.2 = *at;
                }
            }
            // What a crash began ends with the restart.
            Event::Restart { node, .. } => {
                let crash = struck.iter_mut().rev().find(|((_, from), (name, nodes, to))| {
                    matches!(*name, "crash" | "power_loss" | "stop") && nodes.contains(&node.0) && to == from
                });
                if let Some((_, fault)) = crash {
                    fault.2 = *at;
                }
            }
            _ => {}
        }
    }
    let what = |name: &str| crate::fault::FAULTS.iter().find(|fault| fault.name == name).map_or("", |fault| fault.what);
    let row = |((id, from), (name, nodes, to)): ((u32, u64), (&'static str, Vec<u32>, u64))| {
        row![id, name, nodes, us(from), us(to), what(name)]
    };
    let mut faults: Vec<_> = struck.into_iter().collect();
    faults.sort_by_key(|((id, from), _)| (*from, *id));
    Json::List(faults.into_iter().map(row).collect())
}

/// Messages: how many there were in all; words; and from, to, sent, arrived, words (by position), how lost (0: not).
pub(super) fn flights(recording: &Recording) -> Json {
    let all: Vec<_> = recording.marks.iter().filter(|(_, mark)| matches!(mark, Mark::Flight { .. })).collect();
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts: Vec<Json> = Vec::new();
    let mut rows = Vec::new();
    for (at, mark) in &all[all.len().saturating_sub(FLIGHTS_MAX)..] {
        let Mark::Flight { from, to, sent_ns, lost, payload, .. } = mark else { continue };
        let text = match lost {
            Some(why) => format!("{} — lost ({why})", message(payload)),
            None => message(payload),
        };
        let number = *words.entry(text.clone()).or_insert_with(|| {
            texts.push(text.into());
            texts.len() - 1
        });
        rows.push(row![from.0, to.0, us(*sent_ns), us(*at), number, u32::from(lost.is_some())]);
    }
    Json::Object(vec![("all", all.len().into()), ("texts", Json::List(texts)), ("rows", Json::List(rows))])
}

/// A message between workers in words.
fn message(payload: &[u8]) -> String {
    let Some(Frame::V1(frame)) = Frame::decode(payload) else { return format!("{} bytes", payload.len()) };
    match &frame.body {
        Body::Consensus { partition, message } => {
            let words = orrery::consensus::describe(Protocol::Raft, message);
            format!("{partition} {}", words.unwrap_or_else(|| "consensus".to_owned()))
        }
        Body::Request { partition, request } => {
            format!("{partition} request {} (attempt {})", request.id, request.attempt)
        }
        Body::Reply(reply) => format!("{} reply to {}", reply.partition, reply.id),
        Body::Digest { partition, index, digest } => format!("{partition} digest at {index}: {digest:032x}"),
        other => {
            let shown = format!("{other:?}");
            shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
        }
    }
}

/// Points: time, node (0: all), kind, words.
pub(super) fn marks(recording: &Recording) -> Json {
    let point = |(at, event): &(u64, Event)| match event {
        Event::DiskLost { node, lost, torn, names } if lost + torn + names > 0 => {
            Some(row![us(*at), node.0, "disk", format!("{lost} unsynced writes lost, {torn} torn, {names} names lost")])
        }
        Event::Disk { node, operation, failed: true, .. } => {
            Some(row![us(*at), node.0, "disk", format!("disk: {operation} failed")])
        }
        Event::Healed { .. } => Some(row![us(*at), 0_u32, "healed", event.to_string()]),
        _ => None,
    };
    Json::List(recording.events.iter().filter_map(point).collect())
}

/// Operations: client, what, from, to (null: never answered), outcome (0 acknowledged, 1 refused, 2 unknown), words, is
/// it part of what was broken?
pub(super) fn operations(history: &History, violation: Option<&Violation>) -> Json {
    let named = violation.map(|violation| named(&violation.message)).unwrap_or_default();
    let row = |recorded: &crate::checker::history::Recorded| {
        let (outcome, words) = match &recorded.outcome {
            Outcome::Done(seen) => (0_u32, shown(seen)),
            Outcome::Failed(words) => (1, words.clone()),
            Outcome::Unknown(words) => (2, words.clone()),
        };
        let id = recorded.id.to_string();
        let involved = named.contains(id.as_str());
        let (from, to) = (us(recorded.invoked_ns), recorded.returned_ns.map(us));
        row![recorded.id.client(), format!("{id} {}", recorded.operation), from, to, outcome, words, involved]
    };
    Json::List(history.operations.iter().map(row).collect())
}

/// Operations that a message names, like `c3.17`.
pub(super) fn named(message: &str) -> BTreeSet<&str> {
    let is_name = |word: &&str| {
        word.strip_prefix('c').and_then(|rest| rest.split_once('.')).is_some_and(|(client, counter)| {
            [client, counter].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    message
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .map(|word| word.trim_matches('.'))
        .filter(is_name)
        .collect()
}

/// Longest answer on the page.
const SHOWN_MAX: usize = 200;

fn shown(seen: &Seen) -> String {
    let text = match seen {
        Seen::Nothing => "done".to_owned(),
        Seen::Value(None) => "no row".to_owned(),
        Seen::Value(Some(value)) => format!("sees {value}"),
        Seen::Written(true) => "written".to_owned(),
        Seen::Written(false) => "not written: no such row".to_owned(),
        Seen::Rows(rows) => {
            let row = |row: &Vec<Option<String>>| {
                row.iter().map(|field| field.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(", ")
            };
            format!("{} rows: {}", rows.len(), rows.iter().map(row).collect::<Vec<_>>().join("; "))
        }
    };
    if text.chars().count() <= SHOWN_MAX { text } else { text.chars().take(SHOWN_MAX).chain("…".chars()).collect() }
}
