//! `orrery start`.

use super::file::{self, FileConfig};
use super::nodes;
use crate::consensus::detection::Detection;
use crate::directory::{MAX_SHARE, check_zone};
use crate::env::buggify::MUTANTS;
use crate::node::WorkerConfig;
use crate::server::introduction::Introduction;
use crate::server::{self, Failure, NodeOptions};
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_PG: &str = "127.0.0.1:5433";
const DEFAULT_PEER: &str = "127.0.0.1:5434";
const DEFAULT_HTTP: &str = "127.0.0.1:8433";
const DEFAULT_DATA: &str = "orrery-data";
const DEFAULT_CLUSTER: &str = "orrery";
const MAX_PARTITIONS: u32 = 4096;
const MAX_WORKERS: u16 = 256;
const DEFAULT_MAX_CONNECTIONS: u32 = 10_000;
const MAX_MAX_CONNECTIONS: u32 = 1_000_000;

/// Flags of `orrery start`. They override the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Start {
    /// Read settings from this file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep data in this directory [default: orrery-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen here for PostgreSQL clients [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDR")]
    pg: Option<String>,
    /// Listen here for other nodes [default: this node's entry in --nodes]
    #[arg(long, value_name = "ADDR")]
    peer: Option<String>,
    /// Serve /health, /ready and /metrics here, or nowhere: `off` [default: 127.0.0.1:8433]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// This node's id [default: 1]
    #[arg(long, value_name = "N")]
    id: Option<u32>,
    /// Name of the cluster [default: orrery]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// All nodes of the cluster: 1=host:port,2=host:port,3=host:port
    #[arg(long, value_name = "LIST")]
    nodes: Option<String>,
    /// Join a cluster: addresses for clients of some of its nodes, host:port,host:port; needs --peer
    #[arg(long, value_name = "LIST", conflicts_with_all = ["id", "nodes", "cluster", "partitions"])]
    join: Option<String>,
    /// Data partitions; chosen when the cluster is created [default: 1]
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,
    /// Worker threads; chosen when the directory is created [default: as many as cores and partitions allow]
    #[arg(long, value_name = "N")]
    workers: Option<u16>,
    /// Clients at a time; one more is told 53300 [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<u32>,
    /// How a failed leader is found out: phi, fixed or progress [default: phi]
    #[arg(long, value_name = "HOW", value_parser = detection)]
    failure_detection: Option<Detection>,
    /// Length of leaders' leases in milliseconds; 0: every read is proved by a round [default: 0]
    #[arg(long, value_name = "MS")]
    lease_ms: Option<u64>,
    /// What may fail together with this node: replicas are spread over zones. Counts until the cluster is told otherwise
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// This node's share of replicas, beside the others' [default: 1]
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Who is to lead, if several can: the greatest [default: 0]
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// A replica that has lacked something for so many milliseconds is not in sync: synchronous writes wait for it no longer [default: 5000]
    #[arg(long, value_name = "MS")]
    in_sync_timeout_ms: Option<u64>,
    /// Allow listening beyond this machine although nobody is asked for a password
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    storage: super::storage::Storage,
    #[command(flatten)]
    pub(super) log: super::log::Log,
}

/// Runs the node until it is told to stop.
pub(super) fn run(start: Start) -> Result<(), Failure> {
    if MUTANTS {
        return Err(Failure::usage(
            "this binary has planted bugs compiled in (feature `mutants`) and is for the simulator only: build it without",
        ));
    }
    let file = start.config.as_deref().map_or_else(|| Ok(FileConfig::default()), file::read);
    let members = start.join.as_deref().map(members).transpose().map_err(Failure::usage)?;
    let mut options = options(start, file.map_err(Failure::usage)?).map_err(Failure::usage)?;
    if let Some(members) = members {
        options = server::join::join(options, &members)?;
    }
    server::run(&options, |address| greet(&options, address))
}

/// Whom to ask to be taken in.
fn members(list: &str) -> Result<Vec<String>, String> {
    let members: Vec<String> = list.split(',').map(|member| member.trim().to_owned()).collect();
    members.iter().try_for_each(|member| nodes::check_address(member))?;
    Ok(members)
}

/// Tells a person how to connect.
fn greet(options: &NodeOptions, address: SocketAddr) {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        ip => ip.to_string(),
    };
    super::say(&format!(
        "node {} of cluster `{}` is ready, data in {}\nconnect:  psql -h {host} -p {} -U orrery orrery",
        options.node.0,
        options.cluster,
        options.data.display(),
        address.port()
    ));
}

/// Flags over file over defaults, checked.
fn options(start: Start, file: FileConfig) -> Result<NodeOptions, String> {
    let node = start.id.or(file.id).unwrap_or(1);
    if node == 0 {
        return Err("a node's id is a number from 1".to_owned());
    }
    let node = NodeId(node);
    let cluster = start.cluster.or(file.name).unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    check_name(&cluster)?;
    let peer = start.peer.or(file.peer);
    for address in [start.pg.as_ref(), file.pg.as_ref(), peer.as_ref()].into_iter().flatten() {
        nodes::check_address(address)?;
    }
    let http = match start.http.or(file.http) {
        Some(off) if off == "off" => None,
        Some(address) => {
            nodes::check_address(&address)?;
            Some((address, true))
        }
        None => Some((DEFAULT_HTTP.to_owned(), false)),
    };
    let nodes = match start.nodes {
        Some(list) => nodes::parse(&list)?,
        None => file
            .nodes
            .unwrap_or_else(|| BTreeMap::from([(node, peer.clone().unwrap_or_else(|| DEFAULT_PEER.to_owned()))])),
    };
    if !nodes.contains_key(&node) {
        let listed: Vec<String> = nodes.keys().map(|node| node.0.to_string()).collect();
        return Err(format!(
            "node {} is not among the nodes {}: choose one of them with --id, or add it",
            node.0,
            listed.join(",")
        ));
    }
    if let Some(k) = file.k
        && nodes.len() as u64 != 2 * u64::from(k) + 1
    {
        let needed = 2 * u64::from(k) + 1;
        return Err(format!(
            "k = {k} needs {needed} nodes and {} are listed: list {needed}, or leave k out",
            nodes.len()
        ));
    }
    let partitions = in_range("partitions", start.partitions.or(file.partitions), MAX_PARTITIONS)?;
    let workers = in_range("workers", start.workers.or(file.workers), MAX_WORKERS)?;
    let max_connections =
        in_range("max_connections", start.max_connections.or(file.max_connections), MAX_MAX_CONNECTIONS)?;
    let introduction = introduction(Introduction {
        zone: start.zone.or(file.zone),
        weight: start.weight.or(file.weight),
        priority: start.priority.or(file.priority),
    })?;
    Ok(NodeOptions {
        introduction,
        joined: false,
        token: None,
        cluster,
        node,
        nodes,
        partitions,
        workers,
        max_connections: max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS) as usize,
        data: start.data.or(file.data).unwrap_or_else(|| PathBuf::from(DEFAULT_DATA)),
        pg: start.pg.or(file.pg).unwrap_or_else(|| DEFAULT_PG.to_owned()),
        peer,
        http,
        insecure: start.insecure,
        keeping: start.storage.over(file.storage),
        detection: start.failure_detection.or(file.detection).unwrap_or_default(),
        lease: lease(start.lease_ms.or(file.lease_ms).unwrap_or(0))?,
        in_sync_timeout: in_sync_timeout(start.in_sync_timeout_ms.or(file.in_sync_timeout_ms))?,
    })
}

/// What the cluster would refuse is refused before anything is started.
fn introduction(said: Introduction) -> Result<Introduction, String> {
    in_range("weight", said.weight, MAX_SHARE)?;
    if let Some(priority) = said.priority.filter(|priority| *priority > MAX_SHARE) {
        return Err(format!("priority: {priority} is not between 0 and {MAX_SHARE}"));
    }
    if let Some(zone) = &said.zone {
        check_zone(zone).map_err(|error| format!("zone: {}", error.message))?;
    }
    Ok(said)
}

/// A lease that others wait for when a leader dies is no longer than this.
const MAX_LEASE_MS: u64 = 10_000;

fn lease(ms: u64) -> Result<Duration, String> {
    if ms > MAX_LEASE_MS {
        return Err(format!("lease_ms: {ms} is not between 0 and {MAX_LEASE_MS}"));
    }
    Ok(Duration::from_millis(ms))
}

/// Shorter ones, replicas would come and go with each hiccup.
const IN_SYNC_MS: std::ops::RangeInclusive<u64> = 100..=600_000;

fn in_sync_timeout(ms: Option<u64>) -> Result<Duration, String> {
    match ms {
        Some(ms) if !IN_SYNC_MS.contains(&ms) => {
            Err(format!("in_sync_timeout_ms: {ms} is not between {} and {}", IN_SYNC_MS.start(), IN_SYNC_MS.end()))
        }
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Ok(WorkerConfig::default().in_sync_timeout),
    }
}

/// A strategy by its name.
pub(super) fn detection(name: &str) -> Result<Detection, String> {
    let names = || Detection::ALL.map(|(name, _)| name).join(", ");
    Detection::of_name(name)
        .ok_or_else(|| format!("`{name}` is no way to find out a failed leader: one of {}", names()))
}

fn in_range<T: PartialOrd + From<u8> + std::fmt::Display>(
    name: &str,
    value: Option<T>,
    most: T,
) -> Result<Option<T>, String> {
    match value {
        Some(value) if value < T::from(1) || value > most => {
            Err(format!("{name}: {value} is not between 1 and {most}"))
        }
        other => Ok(other),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let good = (1..=64).contains(&name.len())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_');
    if good {
        Ok(())
    } else {
        Err(format!("`{}` is no name for a cluster: use up to 64 letters, digits, - and _", name.escape_default()))
    }
}
