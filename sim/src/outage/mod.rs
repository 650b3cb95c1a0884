//! **Outage**: how long nobody can write after `kill -9` of the node that leads, again and again; with etcd and PostgreSQL
//! beside, struck in turn in the same run, so that what else the machine does meets all of them.
//!
//! A writer is an ordinary client that writes one row (or key), waits for the acknowledgement, rests a moment and writes
//! again. There is one for each pair of a group (a data partition) and a node. An outage of a group is the longest time
//! without an acknowledgement that a writer of it has seen through a *surviving* node, the worst of them, from the blow until
//! well after writes went on: so it holds detection, election, routing, and whatever goes wrong a little later.
//!
//! # The three
//! - Orrery: three processes with default settings; the victim is the node that leads most data partitions.
//! - etcd: three members with default settings. Its clients give an attempt up after 100 ms and make it again, since a put
//!   that was passed on to a dead leader would be answered seconds later.
//! - PostgreSQL: a primary and two synchronous standbys, and a watchdog of the kind that people write: asks every 100 ms and
//!   promotes the first standby after three failures. It compares no logs and fences nobody, so it is a floor, not a safe
//!   procedure. Its client tries both nodes all the time.
//!
//! # Rolling restart
//! [`roll`] asks one node after the other to end, and starts it again, under the same writers: those that go through other nodes
//! must not see anything fail.
//!
//! # Three nodes, five, three
//! [`resize`] starts two more nodes, waits until replicas and leaders are shared out, drains two, and says what became of throughput
//! meanwhile. Nothing may fail, and every account must hold what was acknowledged.
//!
//! # Caveats
//! - All processes and all clients share one machine: what others do on it shows in every tail. Compare within a run.
//! - etcd and PostgreSQL are left out, with a word, when their programs are not there (`PATH`, `PGBIN`).

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge: it lives in real time, beside the virtual world"
)]

mod etcd;
mod orrery;
mod postgres;
mod process;
mod report;
mod resize;
mod roll;
mod writer;

pub use report::Report;
pub use resize::{Resized, resize};
pub use roll::{Rolled, roll};

use crate::chaos::in_real_time;
use crate::stream::{between, stream};
use report::Struck;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use writer::{Clock, Lane};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program.
    pub binary: PathBuf,
    /// An empty directory: data and logs.
    pub directory: PathBuf,
    /// Of the pauses between blows.
    pub seed: u64,
    /// Blows at each system.
    pub kills: u32,
    /// Data partitions of Orrery.
    pub partitions: u32,
    /// Its workers on each node.
    pub workers: u16,
    /// Instead of being killed, nodes are cut off from each other: their links lose everything, silently.
    pub cut: bool,
    /// Names of peers to measure beside: `etcd`, `postgresql`.
    pub peers: Vec<String>,
    /// Length of leaders' leases in milliseconds; 0: none.
    pub lease_ms: u64,
}

/// A writer rests this long between two writes: the resolution.
const REST: Duration = Duration::from_millis(4);
/// Longest outage that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Writes must have gone on for this long before the blow, and after it.
const STEADY: Duration = Duration::from_millis(1000);

/// Something that is measured.
trait System {
    /// Name and version.
    fn name(&self) -> String;

    /// Starts it, empty, and what writes to it.
    async fn start(&mut self) -> Result<(), String>;

    /// The groups that are written to, and through which node each of their lanes goes.
    fn groups(&self) -> Vec<Group>;

    /// Kills the node that leads. The time must be noted in the blow before the signal is sent.
    async fn strike(&mut self, clock: &Clock) -> Result<Blow, String>;

    /// Brings everything back to full strength.
    async fn mend(&mut self) -> Result<(), String>;
}

/// What has one leader.
struct Group {
    name: String,
    lanes: Vec<(usize, Rc<Lane>)>,
}

/// A blow that was struck.
struct Blow {
    at_ns: u64,
    /// The place of the victim.
    victim: usize,
    /// Positions of the groups that it led.
    led: Vec<usize>,
}

/// Measures.
///
/// # Errors
/// When Orrery, or a peer that is there, does not start, or does not come back.
pub fn run(settings: &Settings) -> Result<Report, String> {
    in_real_time(measure(settings))
}

async fn measure(settings: &Settings) -> Result<Report, String> {
    std::fs::create_dir_all(&settings.directory).map_err(|error| format!("cannot make the directory: {error}"))?;
    let clock = Clock::new();
    let mut report = Report::new(settings.seed, settings.cut);
    let mut rng = stream(settings.seed, "outage", 0);
    let mut orrery = orrery::Orrery::new(settings, &clock)?;
    orrery.start().await?;
    report.names.push(orrery.name());
    let mut etcd = match wanted(settings, "etcd") {
        true => etcd::Etcd::find(settings, &clock, &mut report.left_out),
        false => None,
    };
    let mut postgres = match wanted(settings, "postgresql") {
        true => postgres::Postgres::find(settings, &clock, &mut report.left_out),
        false => None,
    };
    if let Some(etcd) = &mut etcd {
        etcd.start().await?;
        report.names.push(etcd.name());
    }
    if let Some(postgres) = &mut postgres {
        postgres.start().await?;
        report.names.push(postgres.name());
    }
    for _ in 0..settings.kills {
        // Not in step with anybody's heartbeats.
        tokio::time::sleep(Duration::from_micros(between(&mut rng, 0, 200_000) as u64)).await;
        round(&mut orrery, 0, &clock, &mut report).await?;
        let mut place = 1;
        if let Some(etcd) = &mut etcd {
            round(etcd, place, &clock, &mut report).await?;
            place += 1;
        }
        if let Some(postgres) = &mut postgres {
            round(postgres, place, &clock, &mut report).await?;
        }
    }
    Ok(report)
}

fn wanted(settings: &Settings, peer: &str) -> bool {
    settings.peers.iter().any(|wanted| wanted == peer)
}

/// One blow: writers at work, the blow, writes go on, everything back.
async fn round(system: &mut impl System, place: usize, clock: &Clock, report: &mut Report) -> Result<(), String> {
    let groups = system.groups();
    let lanes = || groups.iter().flat_map(|group| &group.lanes);
    lanes().for_each(|(_, lane)| lane.set_writing(true));
    let begin = clock.now();
    let all: Vec<Rc<Lane>> = lanes().map(|(_, lane)| Rc::clone(lane)).collect();
    wait(&all, begin, "the start", system.name()).await?;
    let refused_before: Vec<u64> = all.iter().map(|lane| lane.refused()).collect();
    let blow = system.strike(clock).await?;
    let survivors: Vec<Rc<Lane>> =
        lanes().filter(|(node, _)| *node != blow.victim).map(|(_, lane)| Rc::clone(lane)).collect();
    wait(&survivors, blow.at_ns, "a kill", system.name()).await?;
    let end = clock.now();
    for (number, group) in groups.iter().enumerate() {
        let through = group.lanes.iter().filter(|(node, _)| *node != blow.victim);
        let outage = through.map(|(_, lane)| lane.longest_silence(blow.at_ns, end)).max().unwrap_or(end - blow.at_ns);
        let led = blow.led.contains(&number);
        report.struck.push(Struck { place, node: blow.victim, group: group.name.clone(), led, outage_ns: outage });
    }
    let refused = lanes().zip(&refused_before).filter(|((node, _), _)| *node != blow.victim);
    report.refuse(place, refused.map(|((_, lane), before)| lane.refused() - before).sum());
    for (_, lane) in lanes() {
        report.complain(place, lane.take_complaints());
        lane.set_writing(false);
        lane.forget();
    }
    report.blow_is_over(place)?;
    system.mend().await
}

/// Waits until each lane has been acknowledged something that was sent after `since`, and a while longer.
async fn wait(lanes: &[Rc<Lane>], since: u64, what: &str, name: String) -> Result<(), String> {
    let all = async {
        while !lanes.iter().all(|lane| lane.has_written_since(since)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(STEADY).await;
    };
    let silent = || {
        let complaints =
            lanes.iter().filter(|lane| !lane.has_written_since(since)).flat_map(|lane| lane.take_complaints());
        complaints.map(|(what, _)| what).collect::<Vec<_>>().join("; ")
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    outcome.map_err(|_| format!("{name}: no write within {PATIENCE:?} of {what}: {}", silent()))
}
