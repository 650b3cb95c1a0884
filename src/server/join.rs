//! How a node comes into a cluster that there is: it asks a member, as any client would, to be registered, and is told its number,
//! the cluster's settings and where the other nodes listen. What it was told it keeps in a file, for its later starts: the member
//! that it asked need not be there then.
//!
//! It registers itself under a token that it has drawn, so that asking again is asking for the same.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge: it waits in real time, before there is a worker"
)]

use super::directory::DataDirectory;
use super::{Failure, NodeOptions};
use crate::client::{Client, Rows, Target};
use crate::env::tokio::{Members, os_random};
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name of the file.
pub const FILE: &str = "orrery.peers";
/// Members are asked for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Each is given this long.
const ONE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked whether other nodes have come or gone.
const LOOK: Duration = Duration::from_secs(5);

/// What a member has told.
struct Told {
    node: NodeId,
    cluster: String,
    partitions: u32,
    nodes: BTreeMap<NodeId, String>,
}

/// Completes what the node is started with: from its directory if it belongs to the cluster already, else by asking `members`,
/// one after the other.
///
/// # Errors
/// When nobody takes it in, with the reason of the last one asked.
pub fn join(mut options: NodeOptions, members: &[String]) -> Result<NodeOptions, Failure> {
    let Some(address) = options.peer.clone() else {
        return Err(Failure::usage("--join needs --peer: the address at which the other nodes reach this one"));
    };
    let directory = DataDirectory::open(&options.data)?;
    let known = directory.identity.clone();
    if let Some(known) = &known {
        if !known.joined {
            return Err(Failure::usage(format!(
                "{} is of a node that the cluster was formed of: start it with --nodes, or choose another directory with --data",
                options.data.display()
            )));
        }
        if let Some(nodes) = remembered(&directory, known.node, &address) {
            (options.node, options.cluster) = (known.node, known.cluster.clone());
            (options.partitions, options.nodes, options.joined) = (Some(known.partitions), nodes, true);
            return Ok(options);
        }
    }
    let random = os_random().map_err(|error| Failure::broken(format!("the system gives no dice: {error}")))?;
    let drawn = u128::from_le_bytes(random[..16].try_into().expect("half of 32 is 16"));
    let token = known.as_ref().map_or(drawn, |known| known.log);
    let told = ask(members, &address, &options.introduction.clauses(), token)?;
    if let Some(known) = known.filter(|known| known.node != told.node) {
        return Err(Failure::usage(format!(
            "{} belongs to node {}, and the cluster knows this node as {}: start with an empty directory",
            options.data.display(),
            known.node.0,
            told.node.0
        )));
    }
    directory.write(FILE, &shown(&told.nodes))?;
    (options.node, options.cluster, options.partitions) = (told.node, told.cluster, Some(told.partitions));
    (options.nodes, options.joined, options.token) = (told.nodes, true, Some(token));
    Ok(options)
}

fn ask(members: &[String], address: &str, about: &str, token: u128) -> Result<Told, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut reason = String::new();
        for member in members {
            match ask_one(member, address, about, token) {
                Ok(told) => return Ok(told),
                // What the cluster has decided does not change by asking again.
                Err(crate::client::Failure::Server(report)) if !passes(&report.code) => {
                    let hint = report.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
                    return Err(Failure::usage(format!(
                        "{member} does not take this node in: {}{hint}",
                        report.message
                    )));
                }
                Err(why) => reason = format!("{member}: {why}"),
            }
        }
        if Instant::now() >= until {
            return Err(Failure::broken(format!("no member takes this node in: {reason}")));
        }
        tracing::info!("no member has taken this node in yet ({reason}); trying again");
        std::thread::sleep(PAUSE);
    }
}

/// Does what is refused with this code pass by itself? Somebody else changed the directory, too much is going on, the cluster is
/// being formed, nobody leads, a connection is lost.
fn passes(code: &str) -> bool {
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
}

fn ask_one(member: &str, address: &str, about: &str, token: u128) -> Result<Told, crate::client::Failure> {
    let malformed = || crate::client::Failure::Lost("its answer makes no sense".to_owned());
    let (host, port) = member.rsplit_once(':').ok_or_else(malformed)?;
    let target = Target::at(host.to_owned(), port.parse().map_err(|_| malformed())?, "orrery start");
    let mut client = Client::connect(&target, ONE)?;
    client.rows(&format!("ADD NODE '{}'{about} TOKEN '{token:032x}'", address.replace('\'', "''")), ONE)?;
    let settings = client.rows("SELECT name, value FROM system.cluster", ONE)?;
    let setting =
        |name: &str| settings.rows.iter().find(|row| field(row, 0) == name).map(|row| field(row, 1).to_owned());
    let nodes = client.rows("SELECT node, peer_address FROM system.nodes WHERE peer_address IS NOT NULL", ONE)?;
    let nodes = listed(&nodes).ok_or_else(malformed)?;
    let node = nodes.iter().find(|(_, known)| *known == address).map(|(node, _)| *node).ok_or_else(malformed)?;
    Ok(Told {
        node,
        cluster: setting("name").ok_or_else(malformed)?,
        partitions: setting("partitions").and_then(|number| number.parse().ok()).ok_or_else(malformed)?,
        nodes,
    })
}

fn field(row: &[Option<String>], at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

fn listed(rows: &Rows) -> Option<BTreeMap<NodeId, String>> {
    rows.rows.iter().map(|row| Some((NodeId(field(row, 0).parse().ok()?), field(row, 1).to_owned()))).collect()
}

/// What the file says; nothing if it is not there or is no such file.
pub(super) fn kept(directory: &DataDirectory) -> BTreeMap<NodeId, String> {
    directory.read(FILE).and_then(|text| parse(&text)).unwrap_or_default()
}

/// What it has kept, unless it listens elsewhere now: then it has to register itself there, or nobody would find it.
fn remembered(directory: &DataDirectory, node: NodeId, address: &str) -> Option<BTreeMap<NodeId, String>> {
    Some(kept(directory)).filter(|nodes| nodes.get(&node).is_some_and(|known| known == address))
}

/// The file's text: a line for each node.
fn shown(nodes: &BTreeMap<NodeId, String>) -> String {
    nodes.iter().fold(String::new(), |mut text, (node, address)| {
        let _ = writeln!(text, "{}={address}", node.0);
        text
    })
}

fn parse(text: &str) -> Option<BTreeMap<NodeId, String>> {
    let line = |line: &str| {
        let (node, address) = line.split_once('=')?;
        Some((NodeId(node.parse().ok()?), address.to_owned()))
    };
    text.lines().map(line).collect::<Option<BTreeMap<_, _>>>().filter(|nodes| !nodes.is_empty())
}

/// Keeps the file up to date with what the workers learn.
pub(super) async fn keep(data: std::path::PathBuf, node: NodeId, address: String, members: Arc<Members>) {
    let mut kept = String::new();
    loop {
        tokio::time::sleep_until(tokio::time::Instant::now() + LOOK).await;
        let mut nodes = members.addresses();
        if nodes.is_empty() {
            continue;
        }
        nodes.insert(node, address.clone());
        let text = shown(&nodes);
        if text != kept {
            match super::directory::write_atomically(&data, FILE, text.as_bytes()) {
                Ok(()) => kept = text,
                Err(error) => tracing::warn!("{FILE} cannot be written: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Amendment, Change, Directory};
    use crate::types::SqlState;

    #[test]
    fn what_passes_by_itself_is_asked_again_and_a_refusal_is_not() {
        for state in [SqlState::SERIALIZATION_FAILURE, SqlState::CANNOT_CONNECT_NOW] {
            assert!(passes(state.as_str()), "{state:?}");
        }
        for state in [SqlState::DUPLICATE_OBJECT, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE] {
            assert!(!passes(state.as_str()), "{state:?}");
        }
        // Of a cluster that is being formed.
        let change = Change::Pause(true);
        let error = Directory::default().amend(&Amendment { expected: None, change }).unwrap_err();
        assert!(passes(error.state.as_str()), "{error:?}");
    }

    #[test]
    fn who_listens_elsewhere_than_it_has_kept_asks_to_be_registered_there() {
        let data = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(data.path()).unwrap();
        assert_eq!(remembered(&directory, NodeId(2), "here:1"), None);
        directory.write(FILE, "2=here:1\n3=h3:1\n").unwrap();
        assert_eq!(remembered(&directory, NodeId(2), "here:1"), Some(kept(&directory)));
        assert_eq!(kept(&directory).len(), 2);
        assert_eq!(remembered(&directory, NodeId(2), "there:1"), None);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let nodes = BTreeMap::from([(NodeId(1), "a:1".to_owned()), (NodeId(7), "[::1]:5434".to_owned())]);
        assert_eq!(shown(&nodes), "1=a:1\n7=[::1]:5434\n");
        assert_eq!(parse(&shown(&nodes)), Some(nodes));
        for text in ["", "1", "x=a:1", "1=a:1\nrubbish"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
