//! `orrery status`: the cluster as one node sees it, from its system tables; with `--watch` again and again, and replicas that are
//! behind with a bar each.

use super::connect::{Connect, PATIENCE};
use super::table::{Style, draw};
use crate::client::{Client, Rows};
use crate::server::Failure;
use serde_json::{Map, Value};
use std::io::IsTerminal as _;

/// Flags of `orrery status`.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Status {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show it again every so many seconds, with a bar for each replica that is behind
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", conflicts_with = "json",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
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

/// What came of each part.
type Parts = Vec<(&'static str, &'static str, Rows)>;

fn ask(client: &mut Client) -> Result<Parts, Failure> {
    let mut parts = Vec::with_capacity(PARTS.len());
    for (name, heading, query) in PARTS {
        let rows = client.rows(query, PATIENCE).map_err(|failure| Failure::broken(failure.to_string()))?;
        parts.push((name, heading, rows));
    }
    Ok(parts)
}

fn connect(status: &Status) -> Result<Client, Failure> {
    let target = status.connect.target("orrery", "orrery status");
    Client::connect(&target, PATIENCE).map_err(|failure| Failure::broken(failure.to_string()))
}

/// Shows the status again and again. A node that cannot be asked is asked again: it is what one watches for.
fn watch(status: &Status, seconds: u64) -> ! {
    let mut client = None;
    loop {
        let asked = match &mut client {
            Some(client) => ask(client),
            None => connect(status).and_then(|connected| ask(client.insert(connected))),
        };
        let shown = match asked {
            Ok(parts) => {
                let tables = parts.iter().map(|(_, heading, rows)| table(heading, rows));
                tables.chain(bars(&parts[2].2)).collect::<Vec<_>>().join("\n")
            }
            Err(failure) => {
                client = None;
                failure.line
            }
        };
        let clear = if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
        super::say(&format!("{clear}{shown}"));
        #[allow(clippy::disallowed_methods, reason = "an edge: a person watches")]
        std::thread::sleep(std::time::Duration::from_secs(seconds));
    }
}

fn table(heading: &str, rows: &Rows) -> String {
    format!("{heading}\n{}", draw(&rows.columns, &rows.rows, Style::Aligned))
}

/// Parts of a bar.
const BAR: u64 = 30;

/// A bar for each replica that has not executed all that is committed in its partition.
fn bars(replicas: &Rows) -> Vec<String> {
    let place = |name: &str| replicas.columns.iter().position(|column| column.name == name);
    let number = |row: &[Option<String>], name: &str| {
        let text = row.get(place(name)?)?.as_deref()?;
        text.parse::<u64>().ok()
    };
    let committed = |partition| {
        let same = replicas.rows.iter().filter(|row| number(row, "partition") == Some(partition));
        same.filter_map(|row| number(row, "committed")).max()
    };
    let bar = |row: &Vec<Option<String>>| {
        let (partition, node) = (number(row, "partition")?, number(row, "node")?);
        let (executed, all) = (number(row, "executed")?, committed(partition)?);
        let behind = all.checked_sub(executed).filter(|behind| *behind > 0)?;
        let full = executed * BAR / all;
        let (done, left) = ("#".repeat(full as usize), "-".repeat((BAR - full) as usize));
        let percent = executed * 100 / all;
        Some(format!(
            "[{done}{left}] {percent:>3} %  partition {partition} on node {node}: {behind} of {all} entries behind"
        ))
    };
    replicas.rows.iter().filter_map(bar).collect()
}

/// Shows the status.
pub(super) fn run(status: &Status) -> Result<(), Failure> {
    if let Some(seconds) = status.watch {
        watch(status, seconds);
    }
    let parts = ask(&mut connect(status)?)?;
    let leaderless = leaderless(&parts[1].2);
    if status.json {
        super::say(&json(&parts, &leaderless));
    } else {
        for (_, heading, rows) in &parts {
            super::say(&table(heading, rows));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Column;

    #[test]
    fn a_replica_that_is_behind_has_a_bar() {
        let columns = ["partition", "node", "committed", "executed"];
        let rows = [[1, 1, 200, 200], [1, 2, 200, 50], [2, 1, 7, 7], [2, 2, 0, 0]];
        let replicas = Rows {
            columns: columns.iter().map(|name| Column { name: (*name).to_owned(), oid: 20 }).collect(),
            rows: rows.iter().map(|row| row.iter().map(|value| Some(value.to_string())).collect()).collect(),
        };
        insta::assert_snapshot!(bars(&replicas).join("\n"), @r"
        [#######-----------------------]  25 %  partition 1 on node 2: 150 of 200 entries behind
        [------------------------------]   0 %  partition 2 on node 2: 7 of 7 entries behind
        ");
    }
}
