//! `orrery demo`: three nodes on this machine's loopback, in one process, with something to look at.
//!
//! They are what `orrery start` starts, three times: three data directories, real sockets between them. Only that they
//! live and die together is different.

use super::connect::PATIENCE;
use crate::client::{Client, Target};
use crate::consensus::detection::Detection;
use crate::env::buggify::MUTANTS;
use crate::server::introduction::Introduction;
use crate::server::{self, Failure, Keeping, NodeOptions};
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NODES: u32 = 3;

/// What a new cluster gets to look at. It may be there already, from the last time.
const SAMPLE: &str = "
CREATE TABLE IF NOT EXISTS planet (
  id int PRIMARY KEY, name text UNIQUE NOT NULL, moons int NOT NULL DEFAULT 0 CHECK (moons >= 0), year_days numeric(8, 2));
INSERT INTO planet VALUES
  (1, 'Mercury', 0, 87.97), (2, 'Venus', 0, 224.70), (3, 'Earth', 1, 365.26), (4, 'Mars', 2, 686.98),
  (5, 'Jupiter', 95, 4332.59), (6, 'Saturn', 146, 10759.22), (7, 'Uranus', 28, 30688.50), (8, 'Neptune', 16, 60182.00)
ON CONFLICT (id) DO NOTHING;";

/// Flags of `orrery demo`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Demo {
    /// Keep the data in this directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen for PostgreSQL clients on this port and the next two [default: free ones]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    pub(super) log: super::log::Log,
}

impl Demo {
    /// Without --log only what is wrong is said: this is for a person who looks at SQL.
    pub(super) fn quieted(mut self) -> Self {
        self.log.quiet();
        self
    }
}

/// Runs the nodes until Ctrl-C.
pub(super) fn run(demo: &Demo) -> Result<(), Failure> {
    if MUTANTS {
        return Err(Failure::usage("this binary has planted bugs compiled in (feature `mutants`): build it without"));
    }
    if demo.port.is_some_and(|port| port > u16::MAX - 2 || port == 0) {
        return Err(Failure::usage("--port: three ports are needed from there: choose one from 1 to 65533"));
    }
    let temporary = match demo.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("orrery-demo-").tempdir().map_err(|error| {
            Failure::usage(format!("there is no place for temporary files ({error}): give one with --data"))
        })?),
    };
    let data = demo.data.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    let bound = |error: std::io::Error| Failure::broken(format!("loopback gives no port: {error}"));
    let peers = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>().map_err(bound)?;
    let addresses = peers.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>().map_err(bound)?;
    let nodes: BTreeMap<NodeId, String> = (1..).map(NodeId).zip(addresses.iter().map(SocketAddr::to_string)).collect();
    let options = |place: u16, node: NodeId| NodeOptions {
        joined: false,
        token: None,
        cluster: "demo".to_owned(),
        node,
        nodes: nodes.clone(),
        partitions: None,
        workers: Some(1),
        max_connections: 1000,
        data: data.join(format!("node{}", node.0)),
        pg: format!("127.0.0.1:{}", demo.port.map_or(0, |port| port.saturating_add(place))),
        peer: None,
        http: None,
        insecure: false,
        keeping: Keeping::default(),
        detection: Detection::default(),
        lease: Duration::ZERO,
        introduction: Introduction::default(),
        in_sync_timeout: crate::node::WorkerConfig::default().in_sync_timeout,
    };
    let options: Vec<NodeOptions> = (0..).zip(nodes.keys()).map(|(place, node)| options(place, *node)).collect();
    let kept = demo.data.as_ref().map_or("removed at the end", |_| "kept").to_owned();
    let place = data.display().to_string();
    let outcome = server::run_all(&options, peers, |addresses| {
        let addresses = addresses.to_vec();
        #[allow(clippy::disallowed_methods, reason = "an edge: the sample is loaded beside the nodes' accepting")]
        drop(std::thread::spawn(move || match load(&addresses) {
            Ok(()) => greet(&addresses, &place, &kept),
            Err(reason) => super::complain(&format!("the sample is not there: {reason}")),
        }));
    });
    if let Some(directory) = temporary
        && let Err(error) = directory.close()
    {
        super::complain(&format!("the temporary directory was not removed: {error}"));
    }
    outcome
}

/// Loads the sample through the first node.
fn load(addresses: &[SocketAddr]) -> Result<(), String> {
    let address = addresses.first().ok_or("there is no node")?;
    let target = Target::at(address.ip().to_string(), address.port(), "orrery demo");
    let mut client = Client::connect(&target, PATIENCE * 3).map_err(|failure| failure.to_string())?;
    client.rows(SAMPLE, PATIENCE * 3).map(drop).map_err(|failure| failure.to_string())
}

fn greet(addresses: &[SocketAddr], data: &str, kept: &str) {
    super::say(&format!("three nodes are up, data in {data} ({kept})"));
    for address in addresses {
        super::say(&format!("connect:  psql -h {} -p {} -U orrery orrery", address.ip(), address.port()));
    }
    let port = addresses.first().map_or(0, SocketAddr::port);
    super::say(&format!(
        "or:       orrery sql --port {port}\ntry:      SELECT * FROM planet;  SELECT * FROM system.replicas;\nCtrl-C ends it"
    ));
}
