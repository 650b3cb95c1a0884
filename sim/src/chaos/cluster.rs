//! Three processes.

use super::Settings;
use super::hosts::{Hosts, Way};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Nodes of a cluster.
pub(crate) const NODES: usize = 3;
/// Where clients connect.
const PG_PORT: u16 = 5433;
/// Where peers connect.
const PEER_PORT: u16 = 5434;
/// A clean stop may take this long.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// All nodes; they are killed when it is dropped.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// After the nodes, which live on them.
    hosts: Option<Hosts>,
}

struct Node {
    number: usize,
    host: String,
    /// The program and its arguments.
    words: Vec<String>,
    log: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    pub(crate) fn new(settings: &Settings) -> Result<Self, String> {
        let directory = &settings.directory;
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let hosts = if settings.hosts { Some(Hosts::new(NODES)?) } else { None };
        let addresses: Vec<String> = match &hosts {
            Some(hosts) => (0..NODES).map(|place| hosts.address(place)).collect(),
            None => loopback(),
        };
        let list: Vec<String> =
            addresses.iter().enumerate().map(|(place, host)| format!("{}={host}:{PEER_PORT}", place + 1)).collect();
        let nodes = addresses.into_iter().enumerate().map(|(place, host)| {
            let number = place + 1;
            let data = directory.join(format!("node-{number}")).display().to_string();
            let (id, pg, list) = (number.to_string(), format!("{host}:{PG_PORT}"), list.join(","));
            let (partitions, workers) = (settings.partitions.to_string(), settings.workers.to_string());
            let lease = settings.lease_ms.to_string();
            let arguments = [
                "start",
                "--id",
                &id,
                "--data",
                &data,
                "--pg",
                &pg,
                "--nodes",
                &list,
                "--partitions",
                &partitions,
                "--workers",
                &workers,
                "--lease-ms",
                &lease,
            ];
            let mut words: Vec<String> = hosts.iter().flat_map(|hosts| hosts.enter(place)).collect();
            words.push(settings.binary.display().to_string());
            words.extend(arguments.map(str::to_owned));
            // Who is not on loopback is reached by others than this machine; here there are none.
            words.extend(hosts.iter().map(|_| "--insecure".to_owned()));
            let log = directory.join(format!("node-{number}.log"));
            Node { number, host, words, log, process: None }
        });
        let nodes = nodes.collect();
        Ok(Self { nodes, hosts })
    }

    /// The network between the nodes, if it is ours.
    pub(super) const fn hosts(&self) -> Option<&Hosts> {
        self.hosts.as_ref()
    }

    /// Where clients connect, as a driver's configuration has it.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("host={} port={PG_PORT}", node.host)).collect()
    }

    /// Starts every node that is not running.
    pub(crate) fn start_all(&mut self) -> Result<(), String> {
        (0..NODES).try_for_each(|place| self.start(place))
    }

    /// Starts a node if it is not running.
    pub(crate) fn start(&mut self, place: usize) -> Result<(), String> {
        self.nodes[place].start()
    }

    /// What a node and the others send each other gets lost, without a word, until they are joined again. Clients reach it.
    pub(crate) fn cut_off(&self, place: usize, lost: bool) -> Result<(), String> {
        let hosts = self.hosts.as_ref().ok_or("nodes on one host cannot be cut off from each other")?;
        if lost { hosts.cut(place, Way::Both) } else { hosts.join(place, Way::Both) }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, place: usize) -> Result<(), String> {
        let node = &mut self.nodes[place];
        node.signal(Signal::KILL)?;
        node.wait().map(drop)
    }

    /// `kill -9` of all, at once.
    pub(super) fn kill_all(&mut self) -> Result<(), String> {
        self.nodes.iter().try_for_each(|node| node.signal(Signal::KILL))?;
        self.nodes.iter_mut().try_for_each(|node| node.wait().map(drop))
    }

    /// It stands still.
    pub(super) fn stop(&self, place: usize) -> Result<(), String> {
        self.nodes[place].signal(Signal::STOP)
    }

    /// It goes on.
    pub(super) fn go_on(&self, place: usize) -> Result<(), String> {
        self.nodes[place].signal(Signal::CONT)
    }

    /// Asks a node to stop, and sees that it does.
    pub(crate) async fn terminate(&mut self, place: usize) -> Result<(), String> {
        let node = &mut self.nodes[place];
        node.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = node.ended()? {
                return if status.success() { Ok(()) } else { Err(node.last_words(status)) };
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("node {} did not stop within {STOP_PATIENCE:?}", node.number))
    }

    pub(super) async fn terminate_all(&mut self) -> Result<(), String> {
        for place in 0..NODES {
            self.terminate(place).await?;
        }
        Ok(())
    }

    /// Has any node ended that was not told to?
    pub(super) fn check(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            if let Some(status) = node.ended()? {
                return Err(node.last_words(status));
            }
        }
        Ok(())
    }
}

/// Addresses of a network of its own for each run on a machine, and for each of several in one process: 127.64.0.0 and up.
fn loopback() -> Vec<String> {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = std::process::id().wrapping_add(run.wrapping_mul(0x2a5b));
    let network = format!("127.{}.{}", 64 + (id >> 8 & 0x7f), id & 0xff);
    (1..=NODES).map(|node| format!("{network}.{node}")).collect()
}

impl Node {
    fn start(&mut self) -> Result<(), String> {
        if self.process.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| format!("{}: {error}", self.log.display()))?;
        let child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", self.words[0]))?;
        self.process = Some(child);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        kill_process(Pid::from_child(process), signal)
            .map_err(|error| format!("node {} cannot be signalled: {error}", self.number))
    }

    /// Waits for its end.
    fn wait(&mut self) -> Result<Option<ExitStatus>, String> {
        let Some(mut process) = self.process.take() else { return Ok(None) };
        process.wait().map(Some).map_err(|error| format!("node {} cannot be waited for: {error}", self.number))
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let status = process.try_wait().map_err(|error| format!("node {} is not there: {error}", self.number))?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("node {} has ended by itself ({status}): {}", self.number, lines.join(" | "))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A stopped process dies of it, too. What cannot be killed is gone already.
        let _ = self.signal(Signal::KILL);
        let _ = self.wait();
    }
}
