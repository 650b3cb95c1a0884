//! Three nodes become five and three again under load: what becomes of throughput, whether anything fails, and how evenly replicas
//! and leaders are shared out in the end.
//!
//! A writer is a teller: it moves one unit from an account of its own to another one, every other teller between two partitions. It
//! goes through a node that stays. So what is on each account in the end is known exactly: an acknowledged transfer counts once.

use super::process::{Process, network, version};
use super::writer::{Clock, Lane, Patience, Writer, write_sql};
use super::{PATIENCE, Settings};
use crate::chaos::{self, in_real_time};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

/// The server asks again in a client's place.
const CLIENT: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(30) };
/// Moves may take so long.
const MOVES: Duration = Duration::from_secs(300);
/// What is called a dip is one of throughput over so long.
const WINDOW_NS: u64 = 3_000_000_000;
/// What is on an account in the beginning.
const BALANCE: i64 = 1_000_000;
const NODES: usize = 5;
const FOUNDERS: usize = 3;
/// They go again: one that was there from the beginning, and one that has come.
const LEAVING: [usize; 2] = [0, 4];

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Resized {
    name: String,
    phases: Vec<Phase>,
    /// Transfers that failed, by what the client was told.
    pub failed: BTreeMap<String, u64>,
    /// What is wrong with the books, in words.
    pub wrong: Vec<String>,
    /// Replicas and leaders of each node, with five and in the end.
    shares: Vec<(usize, Vec<u64>, Vec<u64>)>,
}

/// A part of the run.
#[derive(Clone, Debug)]
struct Phase {
    name: &'static str,
    seconds: f64,
    /// Transfers in a second: on the whole, and in the worst stretch.
    rate: f64,
    worst: f64,
    silence_ns: u64,
}

impl Resized {
    /// By how much throughput has fallen at worst while nodes came or went, as a part of what it was before.
    #[must_use]
    pub fn dip(&self) -> f64 {
        let before = self.phases.first().map_or(0.0, |phase| phase.rate);
        let worst = self.phases.iter().skip(1).map(|phase| phase.worst).fold(f64::INFINITY, f64::min);
        if before > 0.0 { 1.0 - worst / before } else { 1.0 }
    }

    /// Nodes whose share of replicas or leaders is more than a tenth from an equal one that whole numbers allow.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let even = |counts: &[u64]| {
            let (sum, nodes) = (counts.iter().sum::<u64>(), counts.len() as u64);
            let (least, most) = (sum / nodes.max(1), sum.div_ceil(nodes.max(1)));
            counts.iter().all(|count| count * 10 >= least * 9 && count * 10 <= most * 11)
        };
        self.shares.iter().all(|(nodes, replicas, leaders)| {
            replicas.len() == *nodes && leaders.len() == *nodes && even(replicas) && even(leaders)
        })
    }

    /// Is it as it is meant to be?
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && self.wrong.is_empty() && self.is_balanced() && self.dip() < 1.0 / 3.0
    }

    /// Writes what came of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)?;
        writeln!(out, "{:<24} {:>8} {:>12} {:>12} {:>12}", "", "seconds", "transfers/s", "worst 3 s", "silence, ms")?;
        for Phase { name, seconds, rate, worst, silence_ns } in &self.phases {
            let silence = *silence_ns as f64 / 1e6;
            writeln!(out, "{name:<24} {seconds:>8.1} {rate:>12.0} {worst:>12.0} {silence:>12.0}")?;
        }
        for (nodes, replicas, leaders) in &self.shares {
            writeln!(out, "{nodes} nodes: replicas {replicas:?}, leaders {leaders:?}")?;
        }
        writeln!(out, "throughput has dipped by {:.0} % at worst", self.dip() * 100.0)?;
        writeln!(out, "{} transfers failed", self.failed.values().sum::<u64>())?;
        for (what, count) in &self.failed {
            writeln!(out, "{count:>6}  {what}")?;
        }
        for what in &self.wrong {
            writeln!(out, "WRONG  {what}")?;
        }
        Ok(())
    }
}

/// Makes three nodes five and three again, with this many seconds of rest before, between and afterwards.
///
/// # Errors
/// When the program does not start, or does not come to where it is to be.
pub fn resize(settings: &Settings, rest: Duration) -> Result<Resized, String> {
    in_real_time(measure(settings, rest))
}

async fn measure(settings: &Settings, rest: Duration) -> Result<Resized, String> {
    let mut run = Run::start(settings).await?;
    let groups = u64::from(settings.partitions) + 1;
    run.phase("three nodes", async |_| pause(rest).await).await?;
    run.phase("three become five", async |run| {
        run.join(3)?;
        run.join(4)?;
        run.spread(NODES, groups).await
    })
    .await?;
    run.phase("five nodes", async |_| pause(rest).await).await?;
    run.phase("five become three", async |run| {
        for place in LEAVING {
            run.ask(&format!("DRAIN NODE {}", place + 1)).await?;
        }
        let drained = "SELECT count(*) FROM system.nodes WHERE membership = 'drained'";
        run.until(drained, |rows| rows[0][0] == LEAVING.len().to_string()).await?;
        for place in LEAVING {
            run.ask(&format!("REMOVE NODE {}", place + 1)).await?;
            if let Some(process) = &run.processes[place] {
                process.signal(Signal::TERM);
            }
        }
        run.spread(FOUNDERS, groups).await
    })
    .await?;
    run.phase("three nodes again", async |_| pause(rest).await).await?;
    run.close().await
}

async fn pause(length: Duration) -> Result<(), String> {
    tokio::time::sleep(length).await;
    Ok(())
}

/// Processes, tellers and what they have seen.
struct Run {
    resized: Resized,
    clock: Clock,
    binary: std::path::PathBuf,
    directory: std::path::PathBuf,
    network: String,
    processes: Vec<Option<Process>>,
    tellers: Vec<Teller>,
    writers: Vec<Writer>,
}

/// One who moves money from one account to the other.
struct Teller {
    from: u32,
    to: u32,
    lane: Rc<Lane>,
}

impl Run {
    async fn start(settings: &Settings) -> Result<Self, String> {
        let directory = settings.directory.join("orrery");
        std::fs::create_dir_all(&directory).map_err(|error| format!("cannot make the directory: {error}"))?;
        let mut run = Self {
            resized: Resized::default(),
            clock: Clock::new(),
            binary: settings.binary.clone(),
            directory,
            network: network(3),
            processes: (0..NODES).map(|_| None).collect(),
            tellers: Vec::new(),
            writers: Vec::new(),
        };
        let (partitions, workers) = (settings.partitions, settings.workers);
        let build = version(&run.binary, "--version");
        run.resized.name = format!("{build}: {partitions} data partitions, {workers} worker(s) a node");
        let peers: Vec<String> = (0..FOUNDERS).map(|place| format!("{}={}", place + 1, run.peer(place))).collect();
        for place in 0..FOUNDERS {
            let flags = [
                "--id".to_owned(),
                (place + 1).to_string(),
                "--nodes".to_owned(),
                peers.join(","),
                "--partitions".to_owned(),
                partitions.to_string(),
                "--workers".to_owned(),
                workers.to_string(),
                "--lease-ms".to_owned(),
                settings.lease_ms.to_string(),
            ];
            run.spawn(place, &flags)?;
        }
        run.open_accounts(partitions).await?;
        Ok(run)
    }

    fn peer(&self, place: usize) -> String {
        format!("{}.{}:5434", self.network, place + 1)
    }

    fn spawn(&mut self, place: usize, flags: &[String]) -> Result<(), String> {
        let host = format!("{}.{}", self.network, place + 1);
        let data = self.directory.join(format!("node-{}", place + 1)).display().to_string();
        let own = ["start".to_owned(), "--data".to_owned(), data, "--pg".to_owned(), format!("{host}:5433")];
        let quiet = ["--http", "off", "--log", "warn"].map(str::to_owned);
        let arguments: Vec<String> = own.iter().chain(&quiet).chain(flags).cloned().collect();
        let log = self.directory.join(format!("node-{}.log", place + 1));
        self.processes[place] = Some(Process::start(&self.binary, &arguments, None, &log)?);
        Ok(())
    }

    fn join(&mut self, place: usize) -> Result<(), String> {
        let member = format!("{}.2:5433", self.network);
        let flags = ["--join".to_owned(), member, "--peer".to_owned(), self.peer(place)];
        self.spawn(place, &flags)
    }

    /// A node that is there from the beginning to the end.
    fn address(&self, nth: usize) -> String {
        format!("host={}.{} port=5433", self.network, 2 + nth % 2)
    }

    async fn ask(&self, query: &str) -> Result<Vec<Vec<String>>, String> {
        let mut last = String::new();
        for attempt in 0..200 {
            match tokio::time::timeout(PATIENCE, chaos::ask(&self.address(attempt), query)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("`{query}` is not answered: {last}"))
    }

    /// Asks until the answer is good.
    async fn until(&self, query: &str, good: impl Fn(&[Vec<String>]) -> bool) -> Result<Vec<Vec<String>>, String> {
        let mut last = Vec::new();
        let asking = async {
            loop {
                last = self.ask(query).await?;
                if good(&last) {
                    return Ok(last.clone());
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let outcome = tokio::time::timeout(MOVES, asking).await;
        outcome.unwrap_or_else(|_| Err(format!("`{query}` is still {last:?} after {MOVES:?}")))
    }

    /// Waits until nothing is on the move, and all groups have all their replicas on so many nodes.
    async fn spread(&mut self, nodes: usize, groups: u64) -> Result<(), String> {
        let count =
            |which: &str| format!("SELECT count(*) FROM system.replicas WHERE {which} GROUP BY node ORDER BY node");
        let numbers =
            |rows: &[Vec<String>]| -> Vec<u64> { rows.iter().filter_map(|row| row.first()?.parse().ok()).collect() };
        let whole = |rows: &[Vec<String>], all: u64| {
            let counts = numbers(rows);
            counts.len() == nodes && counts.iter().sum::<u64>() == all
        };
        self.until("SELECT count(*) FROM system.moves", |rows| rows[0][0] == "0").await?;
        let replicas = self.until(&count("role IS NOT NULL"), |rows| whole(rows, groups * FOUNDERS as u64)).await?;
        let even = |rows: &[Vec<String>]| {
            let counts = numbers(rows);
            whole(rows, groups) && counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref()
        };
        let leaders = self.until(&count("role = 'leader'"), even).await?;
        self.resized.shares.push((nodes, numbers(&replicas), numbers(&leaders)));
        Ok(())
    }

    /// Two accounts for each teller, of one partition or of two; tellers go through both nodes that stay.
    async fn open_accounts(&mut self, partitions: u32) -> Result<(), String> {
        let splits: Vec<String> = (1..partitions).map(|range| (range * 1000).to_string()).collect();
        let placement = match splits.is_empty() {
            true => String::new(),
            false => format!(" PARTITION BY RANGE (id) WITH (split_at = '{}')", splits.join(", ")),
        };
        let create = "CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, balance bigint NOT NULL)";
        self.ask(&format!("{create}{placement}")).await?;
        for number in 0..partitions {
            let neighbour = if number % 2 == 0 { number } else { (number + 1) % partitions };
            let (from, to) = (number * 1000 + 1, neighbour * 1000 + 500 + number);
            for id in [from, to] {
                self.ask(&format!("INSERT INTO account VALUES ({id}, {BALANCE}) ON CONFLICT DO NOTHING")).await?;
            }
            let text = format!(
                "UPDATE account SET balance = balance + CASE id WHEN {from} THEN -1 ELSE 1 END WHERE id IN ({from}, {to})"
            );
            let lane = Rc::new(Lane::default());
            lane.set_writing(true);
            let config = format!("{} user=outage dbname=orrery", self.address(number as usize));
            self.writers.push(Writer::begin(write_sql(config, text, CLIENT, Rc::clone(&lane), self.clock)));
            self.tellers.push(Teller { from, to, lane });
        }
        self.until("SELECT count(*) FROM system.moves", |rows| rows[0][0] == "0").await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Something happens, and what tellers see of it is counted.
    async fn phase(
        &mut self,
        name: &'static str,
        what: impl AsyncFnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let begin = self.clock.now();
        what(self).await?;
        let end = self.clock.now();
        let count = |from, until| self.tellers.iter().map(|teller| teller.lane.count(from, until)).sum::<u64>();
        let rate = |from: u64, until: u64| count(from, until) as f64 * 1e9 / (until - from).max(1) as f64;
        let steps = (end - begin).saturating_sub(WINDOW_NS) / (WINDOW_NS / 6);
        let windows = (0..=steps).map(|step| begin + step * (WINDOW_NS / 6));
        let worst = windows.map(|from| rate(from, (from + WINDOW_NS).min(end))).fold(f64::INFINITY, f64::min);
        let silence_ns = self.tellers.iter().map(|teller| teller.lane.longest_silence(begin, end)).max().unwrap_or(0);
        let seconds = (end - begin) as f64 / 1e9;
        self.resized.phases.push(Phase { name, seconds, rate: rate(begin, end), worst, silence_ns });
        Ok(())
    }

    /// Tellers go home, and the books are looked at.
    async fn close(mut self) -> Result<Resized, String> {
        self.tellers.iter().for_each(|teller| teller.lane.set_writing(false));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let rows = self.ask("SELECT id, balance FROM account").await?;
        let balances: BTreeMap<u32, i64> =
            rows.iter().filter_map(|row| Some((row.first()?.parse().ok()?, row.get(1)?.parse().ok()?))).collect();
        for Teller { from, to, lane } in &self.tellers {
            for (what, count) in lane.take_complaints() {
                *self.resized.failed.entry(what).or_default() += count;
            }
            let moved = lane.count(0, u64::MAX) as i64;
            for (id, expected) in [(from, BALANCE - moved), (to, BALANCE + moved)] {
                if balances.get(id) != Some(&expected) {
                    let found = balances.get(id);
                    self.resized.wrong.push(format!("account {id}: {found:?}, and {expected} after {moved} transfers"));
                }
            }
        }
        Ok(self.resized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(rate: f64, worst: f64) -> Phase {
        Phase { name: "", seconds: 1.0, rate, worst, silence_ns: 0 }
    }

    #[test]
    fn a_dip_is_the_worst_stretch_against_what_was_before() {
        let resized =
            Resized { phases: vec![phase(100.0, 10.0), phase(95.0, 80.0), phase(120.0, 110.0)], ..Resized::default() };
        assert!((resized.dip() - 0.2).abs() < 1e-9, "how even it was before says nothing");
        assert!(Resized::default().dip() >= 1.0);
    }

    #[test]
    fn shares_are_equal_as_far_as_whole_numbers_are() {
        let with = |replicas: &[u64], leaders: &[u64]| Resized {
            shares: vec![(3, replicas.to_vec(), leaders.to_vec())],
            ..Resized::default()
        };
        assert!(with(&[15, 15, 15], &[5, 5, 5]).is_balanced());
        assert!(with(&[15, 14, 16], &[5, 5, 6]).is_balanced());
        assert!(!with(&[15, 15, 15], &[4, 5, 6]).is_balanced());
        assert!(!with(&[15, 30], &[5, 10]).is_balanced(), "a node has nothing");
    }
}
