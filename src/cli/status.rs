//! `orrery status`: the cluster as one node sees it, from its system tables; with `--watch` again and again, and replicas that are
//! behind, or fetch their state, with a bar each.

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

/// Beside them, for who watches: replicas to which a state is on its way.
const FETCHES: &str =
    "SELECT node, partition, source, bytes, percent FROM system.recoveries WHERE state = 'fetching a snapshot'";

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

/// The parts, and what is being fetched.
fn ask_all(client: &mut Client) -> Result<(Parts, Rows), Failure> {
    let parts = ask(client)?;
    let fetches = client.rows(FETCHES, PATIENCE).map_err(|failure| Failure::broken(failure.to_string()))?;
    Ok((parts, fetches))
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
            Some(client) => ask_all(client),
            None => connect(status).and_then(|connected| ask_all(client.insert(connected))),
        };
        let shown = match asked {
            Ok((parts, fetches)) => {
                let tables = parts.iter().map(|(_, heading, rows)| table(heading, rows));
                tables.chain(bars(&parts[2].2)).chain(fetched(&fetches)).collect::<Vec<_>>().join("\n")
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

/// So much of `all`, as a bar with per cent.
fn bar_of(done: u64, all: u64) -> String {
    let full = done.min(all) * BAR / all.max(1);
    let (full, left) = ("#".repeat(full as usize), "-".repeat((BAR - full) as usize));
    format!("[{full}{left}] {:>3} %", done.min(all) * 100 / all.max(1))
}

/// A number of a row.
fn number_of(rows: &Rows, row: &[Option<String>], name: &str) -> Option<u64> {
    let place = rows.columns.iter().position(|column| column.name == name)?;
    row.get(place)?.as_deref()?.parse().ok()
}

/// A bar for each state that is on its way to a replica.
fn fetched(fetches: &Rows) -> Vec<String> {
    let bar = |row: &Vec<Option<String>>| {
        let number = |name: &str| number_of(fetches, row, name);
        let (partition, node, source) = (number("partition")?, number("node")?, number("source")?);
        let (bytes, percent) = (number("bytes")?, number("percent")?);
        let bar = bar_of(percent, 100);
        Some(format!(
            "{bar}  partition {partition} on node {node}: its state comes from node {source}, {bytes} bytes so far"
        ))
    };
    fetches.rows.iter().filter_map(bar).collect()
}

/// A bar for each replica that has not executed all that is committed in its partition.
fn bars(replicas: &Rows) -> Vec<String> {
    let number = |row: &[Option<String>], name: &str| number_of(replicas, row, name);
    let committed = |partition| {
        let same = replicas.rows.iter().filter(|row| number(row, "partition") == Some(partition));
        same.filter_map(|row| number(row, "committed")).max()
    };
    let bar = |row: &Vec<Option<String>>| {
        let (partition, node) = (number(row, "partition")?, number(row, "node")?);
        let (executed, all) = (number(row, "executed")?, committed(partition)?);
        let behind = all.checked_sub(executed).filter(|behind| *behind > 0)?;
        let bar = bar_of(executed, all);
        Some(format!("{bar}  partition {partition} on node {node}: {behind} of {all} entries behind"))
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

    fn table_of<const N: usize>(columns: [&str; N], rows: &[[u64; N]]) -> Rows {
        Rows {
            columns: columns.iter().map(|name| Column { name: (*name).to_owned(), oid: 20 }).collect(),
            rows: rows.iter().map(|row| row.iter().map(|value| Some(value.to_string())).collect()).collect(),
        }
    }

    #[test]
    fn a_state_on_its_way_has_a_bar() {
        let columns = ["node", "partition", "source", "bytes", "percent"];
        let fetches = table_of(columns, &[[2, 1, 3, 4096, 40], [2, 4, 1, 0, 0]]);
        insta::assert_snapshot!(fetched(&fetches).join("\n"), @r"
        [############------------------]  40 %  partition 1 on node 2: its state comes from node 3, 4096 bytes so far
        [------------------------------]   0 %  partition 4 on node 2: its state comes from node 1, 0 bytes so far
        ");
    }

    #[test]
    fn a_replica_that_is_behind_has_a_bar() {
        let columns = ["partition", "node", "committed", "executed"];
        let replicas = table_of(columns, &[[1, 1, 200, 200], [1, 2, 200, 50], [2, 1, 7, 7], [2, 2, 0, 0]]);
        insta::assert_snapshot!(bars(&replicas).join("\n"), @r"
        [#######-----------------------]  25 %  partition 1 on node 2: 150 of 200 entries behind
        [------------------------------]   0 %  partition 2 on node 2: 7 of 7 entries behind
        ");
    }
}
