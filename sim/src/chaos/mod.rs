//! **Chaos**: three real `orrery` processes, killed, stopped and restarted under load; the same workloads and the same
//! checkers over histories as in the simulated world.
//!
//! The simulator proves far more, and replays it. This proves what the simulator cannot: that sockets, files, signals
//! and process starts (`orrery::env::tokio`, `orrery::server`) carry the same machines as well as the virtual ones do.
//! Clients ask through an ordinary driver, tokio-postgres, in the SQL of [`crate::workload`]; times are real nanoseconds
//! of one clock, so real-time order holds over all of them; an outcome that a client cannot know is unknown, as
//! [`crate::workload::driver`] judges it.
//!
//! Whom it hits, how and for how long is drawn from a seed, which is printed. A run does not replay, though: a seed gives
//! the same blows, and the operating system answers them otherwise each time.
//!
//! # Invariants
//! - A majority lives, and is connected, at every moment, but for a power loss; writes must be acknowledged again within
//!   [`Settings::patience`] of every blow.
//! - A node that ends without having been told to is a violation, whatever it says.
//!
//! # Caveats
//! - `kill -9` leaves the page cache: nothing unsynced is lost. That is the simulator's to do.
//! - Each node listens on a loopback address of its own, which Linux has without being asked: a port of another process,
//!   or of a client's own end, can then never be in the way of a restart. Only with [`Settings::hosts`] is there a network
//!   between the nodes that can be cut.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge: it lives in real time, beside the virtual world"
)]

mod client;
pub(crate) mod cluster;
mod hosts;
mod nemesis;
mod outage;
mod recorder;
mod report;

pub(crate) use nemesis::ask;
pub use outage::Outage;
pub use report::Report;

use crate::judge::judge_history;
use crate::run::Violation;
use crate::workload::{GENERAL_CHECKERS, Kind, Place, find};
use client::Writer;
use cluster::{Cluster, NODES};
use recorder::Recorder;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program under test.
    pub binary: PathBuf,
    /// An empty directory: data and logs of the nodes.
    pub directory: PathBuf,
    /// Of what is drawn.
    pub seed: u64,
    /// Blows with `kill -9`; stops and clean restarts come in addition, one to every few.
    pub kills: u32,
    /// Data partitions.
    pub partitions: u32,
    /// Workers of each node.
    pub workers: u16,
    /// Time between two operations of a client.
    pub period: Duration,
    /// Longest time without progress.
    pub patience: Duration,
    /// Each node is on a host of its own (a network namespace), and what is between them is struck, too.
    pub hosts: bool,
    /// Length of leaders' leases in milliseconds; 0: none.
    pub lease_ms: u64,
}

impl Settings {
    /// With the usual load.
    #[must_use]
    pub fn new(binary: PathBuf, directory: PathBuf, seed: u64, kills: u32) -> Self {
        let (period, patience) = (Duration::from_millis(25), Duration::from_secs(10));
        Self { binary, directory, seed, kills, partitions: 2, workers: 2, period, patience, hosts: false, lease_ms: 0 }
    }

    /// Can nodes have hosts of their own here?
    ///
    /// # Errors
    /// What is in the way of it.
    pub fn may_have_hosts() -> Result<(), String> {
        hosts::Hosts::new(1).map(drop)
    }
}

/// Who asks: workload, rows, clients. The accounts of `branch_bank` lie in all partitions that there are: its transfers and
/// sums are commands over several of them.
const WORKLOADS: &[(&str, u32, u32)] = &[("registers", 8, 4), ("bank", 8, 3), ("insert", 1, 2), ("branch_bank", 12, 3)];

/// Longest time that all of the closing may take.
const CLOSING: Duration = Duration::from_secs(60);

/// Runs it.
///
/// # Errors
/// When it cannot be run: the program does not start, the directory cannot be written.
pub fn run(settings: &Settings) -> Result<Report, String> {
    in_real_time(torment(settings))
}

/// Runs what talks with real processes to its end, on this thread.
///
/// # Errors
/// What it says itself; or the system gives no event queue.
pub(crate) fn in_real_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no event queue: {error}"))?;
    LocalSet::new().block_on(&runtime, work)
}

async fn torment(settings: &Settings) -> Result<Report, String> {
    let mut cluster = Cluster::new(settings)?;
    let recorder = Rc::new(Recorder::new());
    let addresses: Rc<[String]> = cluster.addresses().into();
    cluster.start_all()?;
    let mut writers = Vec::new();
    for (workload, (name, keys, clients)) in WORKLOADS.iter().enumerate() {
        let kind = find(name).expect("the list names workloads that there are");
        let place = Place { workload: workload as u32, keys: *keys };
        for nth in 0..*clients {
            let number = writers.len() as u32;
            let reads = nth < 2;
            writers.push(Writer::new(number, kind, place, reads, settings, &addresses, &recorder));
        }
    }
    let mut violations = Vec::new();
    if let Err(what) = make_tables(&mut writers, settings).await {
        violations.push(broken(&recorder, "progress", "setup", what));
    } else {
        let working: Vec<_> = writers.into_iter().map(|writer| tokio::task::spawn_local(writer.work())).collect();
        let struck = nemesis::strike(&mut cluster, &recorder, settings).await;
        let cause = struck.as_ref().err().cloned();
        recorder.end();
        let mut writers = Vec::new();
        for working in working {
            writers.push(working.await.map_err(|error| format!("a client failed: {error}"))?);
        }
        match cause {
            Some((checker, what)) => violations.push(broken(&recorder, checker, "chaos", what)),
            None => violations.extend(close(writers, &mut cluster, &recorder).await?),
        }
    }
    drop(cluster);
    let checks = kinds().flat_map(|kind| kind.checkers()).chain(GENERAL_CHECKERS);
    let checks: Vec<String> = checks.map(|checker| (*checker).to_owned()).collect();
    let judged = judge_history(&recorder.history(workloads_of_clients()), &checks);
    violations.extend(judged.violations.iter().cloned());
    Ok(Report::new(settings, recorder.outages(), judged, violations, recorder.now()))
}

fn kinds() -> impl Iterator<Item = &'static dyn Kind> {
    WORKLOADS.iter().filter_map(|(name, ..)| find(name))
}

/// The workload of each client.
fn workloads_of_clients() -> Vec<u32> {
    let of = |(workload, (_, _, clients)): (usize, &(&str, u32, u32))| vec![workload as u32; *clients as usize];
    WORKLOADS.iter().enumerate().flat_map(of).collect()
}

/// The first client of each workload makes its tables.
async fn make_tables(writers: &mut [Writer], settings: &Settings) -> Result<(), String> {
    let all = async {
        let mut made = None;
        for writer in writers.iter_mut() {
            if made != Some(writer.workload()) {
                made = Some(writer.workload());
                writer.make_tables().await;
            }
        }
    };
    let limit = settings.patience * 3;
    tokio::time::timeout(limit, all).await.map_err(|_| format!("the tables are not made after {limit:?}"))
}

/// After the last blow every client is answered, everything is read, and every node stops when asked.
async fn close(writers: Vec<Writer>, cluster: &mut Cluster, recorder: &Rc<Recorder>) -> Result<Vec<Violation>, String> {
    let mut writers = writers;
    // All writes before all reads, so that these see what has become of the unknown ones.
    for reads in [false, true] {
        let closing: Vec<_> = writers.into_iter().map(|writer| tokio::task::spawn_local(writer.close(reads))).collect();
        let all = async {
            let mut writers = Vec::new();
            for closing in closing {
                writers.push(closing.await.map_err(|error| format!("a client failed: {error}"))?);
            }
            Ok::<_, String>(writers)
        };
        match tokio::time::timeout(CLOSING, all).await {
            Ok(back) => writers = back?,
            Err(_) => {
                let what = format!("not every client was answered within {CLOSING:?} after the last blow");
                return Ok(vec![broken(recorder, "progress", "closing", what)]);
            }
        }
    }
    Ok(match cluster.terminate_all().await {
        Ok(()) => Vec::new(),
        Err(what) => vec![broken(recorder, "process", "end", what)],
    })
}

fn broken(recorder: &Recorder, checker: &'static str, kind: &str, message: String) -> Violation {
    Violation { checker, kind: kind.to_owned(), at_ns: recorder.now(), message }
}
