//! `orrery node`: the nodes of a running cluster, listed, and told to come and go. Each action is one statement of SQL, which
//! `orrery sql` takes as well; what the cluster refuses it refuses with a reason and a hint, printed here in one line.

use super::connect::{Connect, PATIENCE};
use super::table::{Style, draw};
use crate::client::{self, Answer, Client, Rows};
use crate::server::Failure;
use std::fmt::Write as _;
use std::time::Duration;

/// How often it is looked how far a drain is.
const LOOK: Duration = Duration::from_millis(500);

const NODES: &str =
    "SELECT node, state, membership, peer_address, zone, weight, priority, replicas, leads FROM system.nodes";
const MOVES: &str = "SELECT partition, state, coming, going, lag FROM system.moves";

/// Flags of `orrery node`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Node {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Show the nodes, and what is on the move
    #[command(disable_help_flag = true)]
    List(List),
    /// Announce a node: it is started with --join
    #[command(disable_help_flag = true)]
    Add(Add),
    /// Move a node's replicas elsewhere
    #[command(disable_help_flag = true)]
    Drain(Drain),
    /// Let a drained node take replicas again
    #[command(disable_help_flag = true)]
    Activate(Activate),
    /// Take a drained node, or one that never came, out of the cluster for good
    #[command(disable_help_flag = true)]
    Remove(Remove),
}

#[derive(Clone, Debug, clap::Args)]
struct List {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, clap::Args)]
struct Add {
    /// Where it listens for other nodes
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Its number; the next one if not given
    #[arg(long, value_name = "N")]
    id: Option<u32>,
    /// What may fail together with it
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// Its share of replicas, beside the others'
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Who is to lead, if several can: the greatest
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, clap::Args)]
struct Drain {
    /// Which node
    node: u32,
    /// Even if too few nodes are left for all voters
    #[arg(long)]
    force: bool,
    /// Wait until nothing is left on it
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, clap::Args)]
struct Activate {
    /// Which node
    node: u32,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, clap::Args)]
struct Remove {
    /// Which node
    node: u32,
    /// Even if it has replicas: it is gone for good
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connect: Connect,
}

/// What an action is in SQL; `None`: it only looks.
fn statement(action: &Action) -> Option<String> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let forced = |force: bool| if force { " FORCE" } else { "" };
    Some(match action {
        Action::List(_) => return None,
        Action::Add(Add { address, id, zone, weight, priority, .. }) => {
            let mut text = format!("ADD NODE {}", literal(address));
            let zone = zone.as_deref().map(literal);
            for (word, value) in [
                ("ID", id.map(|id| id.to_string())),
                ("ZONE", zone),
                ("WEIGHT", weight.map(|weight| weight.to_string())),
                ("PRIORITY", priority.map(|priority| priority.to_string())),
            ] {
                if let Some(value) = value {
                    let _ = write!(text, " {word} {value}");
                }
            }
            text
        }
        Action::Drain(Drain { node, force, .. }) => format!("DRAIN NODE {node}{}", forced(*force)),
        Action::Activate(Activate { node, .. }) => format!("ACTIVATE NODE {node}"),
        Action::Remove(Remove { node, force, .. }) => format!("REMOVE NODE {node}{}", forced(*force)),
    })
}

fn connection(action: &Action) -> &Connect {
    match action {
        Action::List(List { connect })
        | Action::Add(Add { connect, .. })
        | Action::Drain(Drain { connect, .. })
        | Action::Activate(Activate { connect, .. })
        | Action::Remove(Remove { connect, .. }) => connect,
    }
}

/// In one line.
fn told(failure: client::Failure) -> Failure {
    let client::Failure::Server(report) = failure else { return Failure::broken(failure.to_string()) };
    let more = [report.detail.as_deref(), report.hint.as_deref()];
    let more: String = more.into_iter().flatten().map(|more| format!(". {}", more.trim_end_matches('.'))).collect();
    Failure::broken(format!("{} ({}){more}", report.message, report.code))
}

/// Says a statement, and repeats what the cluster says to it.
fn say(client: &mut Client, text: &str) -> Result<(), Failure> {
    let mut refused = None;
    client
        .query(text, &mut || None, |answer| match answer {
            Answer::Complete(tag) => super::say(&tag),
            Answer::Notice(notice) => super::say(&notice.message),
            Answer::Error(report) => refused = Some(report),
            _ => {}
        })
        .map_err(told)?;
    refused.map_or(Ok(()), |report| Err(told(client::Failure::Server(report))))
}

fn rows(client: &mut Client, text: &str) -> Result<Rows, Failure> {
    client.rows(text, PATIENCE).map_err(told)
}

fn list(client: &mut Client) -> Result<(), Failure> {
    let nodes = rows(client, NODES)?;
    super::say(&format!("Nodes\n{}", draw(&nodes.columns, &nodes.rows, Style::Aligned)));
    let moves = rows(client, MOVES)?;
    if !moves.rows.is_empty() {
        super::say(&format!("On the move\n{}", draw(&moves.columns, &moves.rows, Style::Aligned)));
    }
    Ok(())
}

/// Waits until a node is drained, and says what is still on the move when that changes.
fn wait(client: &mut Client, node: u32) -> Result<(), Failure> {
    let mut shown = String::new();
    loop {
        let found = rows(client, &format!("SELECT membership FROM system.nodes WHERE node = {node}"))?;
        let membership = found.rows.first().and_then(|row| row.first().cloned().flatten());
        match membership.as_deref() {
            Some("drained") => {
                super::say(&format!("node {node} is drained: it can be stopped, and removed"));
                return Ok(());
            }
            Some("draining") => {}
            _ => return Err(Failure::broken(format!("node {node} is not being drained any more"))),
        }
        let moves = rows(client, MOVES)?;
        let left: Vec<&str> = moves.rows.iter().filter_map(|row| row.first()?.as_deref()).collect();
        let text = format!("on the move: partitions {}", left.join(", "));
        if !left.is_empty() && text != shown {
            super::say(&text);
            shown = text;
        }
        #[allow(clippy::disallowed_methods, reason = "an edge: a person waits")]
        std::thread::sleep(LOOK);
    }
}

/// Does it.
pub(super) fn run(node: &Node) -> Result<(), Failure> {
    let target = connection(&node.action).target("orrery", "orrery node");
    let mut client = Client::connect(&target, PATIENCE).map_err(told)?;
    match statement(&node.action) {
        Some(text) => say(&mut client, &text)?,
        None => list(&mut client)?,
    }
    match &node.action {
        Action::Drain(Drain { node, wait: true, .. }) => wait(&mut client, *node),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        node: Node,
    }

    fn said(words: &[&str]) -> Option<String> {
        let program = Program::try_parse_from([&["node"], words].concat()).unwrap_or_else(|error| panic!("{error}"));
        statement(&program.node.action)
    }

    #[test]
    fn each_action_is_a_statement() {
        assert_eq!(said(&["list", "--port", "5451"]), None);
        assert_eq!(said(&["add", "h:1"]).as_deref(), Some("ADD NODE 'h:1'"));
        let all = ["add", "h:1", "--id", "7", "--zone", "o'clock", "--weight", "2", "--priority", "3", "-h", "db1"];
        assert_eq!(said(&all).as_deref(), Some("ADD NODE 'h:1' ID 7 ZONE 'o''clock' WEIGHT 2 PRIORITY 3"));
        assert_eq!(said(&["drain", "2", "--wait"]).as_deref(), Some("DRAIN NODE 2"));
        assert_eq!(said(&["drain", "2", "--force"]).as_deref(), Some("DRAIN NODE 2 FORCE"));
        assert_eq!(said(&["activate", "2"]).as_deref(), Some("ACTIVATE NODE 2"));
        assert_eq!(said(&["remove", "2", "--force"]).as_deref(), Some("REMOVE NODE 2 FORCE"));
    }

    #[test]
    fn a_refusal_is_one_line_with_its_reason_and_its_hint() {
        let report = client::Report {
            code: "55000".to_owned(),
            message: "node 2 has replicas".to_owned(),
            hint: Some("DRAIN NODE moves them elsewhere first.".to_owned()),
            ..client::Report::default()
        };
        let line = told(client::Failure::Server(Box::new(report))).line;
        assert_eq!(line, "node 2 has replicas (55000). DRAIN NODE moves them elsewhere first");
    }
}
