//! `orrery status`: the cluster as one node sees it, from its system tables.

use super::connect::{Connect, PATIENCE};
use super::table::{Style, draw};
use crate::client::{Client, Rows};
use crate::server::Failure;
use serde_json::{Map, Value};

/// Flags of `orrery status`.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Status {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is shown: name in JSON, heading, query.
const PARTS: [(&str, &str, &str); 3] = [
    (
        "nodes",
        "Nodes",
        "SELECT node, state, sql_address, version, incarnation, started_at, leads, replicas, sessions FROM system.nodes",
    ),
    (
        "partitions",
        "Partitions",
        "SELECT partition, kind, leader, era, answering, replicas, committed, max_lag FROM system.partitions",
    ),
    (
        "replicas",
        "Replicas",
        "SELECT partition, node, role, era, log_last, committed, executed, lag FROM system.replicas",
    ),
];

/// Shows the status.
pub(super) fn run(status: &Status) -> Result<(), Failure> {
    let target = status.connect.target("orrery", "orrery status");
    let failed = |failure: crate::client::Failure| Failure::broken(failure.to_string());
    let mut client = Client::connect(&target, PATIENCE).map_err(failed)?;
    let mut parts = Vec::with_capacity(PARTS.len());
    for (name, heading, query) in PARTS {
        parts.push((name, heading, client.rows(query, PATIENCE).map_err(failed)?));
    }
    let leaderless = leaderless(&parts[1].2);
    if status.json {
        super::say(&json(&parts, &leaderless));
    } else {
        for (_, heading, rows) in &parts {
            super::say(&format!("{heading}\n{}", draw(&rows.columns, &rows.rows, Style::Aligned)));
        }
    }
    if leaderless.is_empty() {
        return Ok(());
    }
    let word = if leaderless.len() == 1 { "partition" } else { "partitions" };
    Err(Failure::broken(format!("no leader of {word} {} answers: see system.events", leaderless.join(", "))))
}

/// Partitions without a leader.
fn leaderless(partitions: &Rows) -> Vec<String> {
    let place = |name: &str| partitions.columns.iter().position(|column| column.name == name);
    let (Some(number), Some(leader)) = (place("partition"), place("leader")) else { return Vec::new() };
    let without = |row: &&Vec<Option<String>>| row.get(leader).is_none_or(Option::is_none);
    partitions.rows.iter().filter(without).filter_map(|row| row.get(number).cloned().flatten()).collect()
}

fn json(parts: &[(&str, &str, Rows)], leaderless: &[String]) -> String {
    let value = |text: &Option<String>, number: bool| match text {
        None => Value::Null,
        Some(text) if number => text.parse::<i64>().map_or_else(|_| Value::from(text.as_str()), Value::from),
        Some(text) => Value::from(text.as_str()),
    };
    let mut all = Map::new();
    all.insert("healthy".to_owned(), Value::from(leaderless.is_empty()));
    for (name, _, part) in parts {
        let rows = part.rows.iter().map(|row| {
            let pairs = part.columns.iter().zip(row);
            Value::Object(pairs.map(|(column, text)| (column.name.clone(), value(text, column.is_number()))).collect())
        });
        all.insert((*name).to_owned(), Value::Array(rows.collect()));
    }
    Value::Object(all).to_string()
}
