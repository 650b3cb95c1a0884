//! Who is struck, how, and for how long; and whether the cluster goes on.

use super::Settings;
use super::cluster::{Cluster, NODES};
use super::hosts::{Hosts, Way};
use super::outage::{Blow, Kind};
use super::recorder::Recorder;
use crate::stream::{between, stream};
use orrery::types::Rng;
use std::time::Duration;
use tokio_postgres::{NoTls, SimpleQueryMessage, SimpleQueryRow};

/// How often it is looked whether writes go on.
const POLL: Duration = Duration::from_millis(2);

/// A node that is asked who leads must answer by then.
const LOOK: Duration = Duration::from_secs(1);

/// What went wrong: the checker's name, and what was seen.
type Broken = (&'static str, String);

/// What can happen to a network.
const NETWORK: [Kind; 5] = [Kind::Cut, Kind::Slow, Kind::Mute, Kind::Unplugged, Kind::Deaf];

/// The blows of a run, in order; with `hosts` each process's is followed by one to its network.
fn schedule(rng: &mut Rng, kills: u32, hosts: bool) -> Vec<Kind> {
    let mut blows = Vec::new();
    for nth in 0..kills {
        blows.extend(hosts.then(|| NETWORK[nth as usize % NETWORK.len()]));
        let is_power = nth == kills / 2 || nth + 1 == kills;
        blows.push(match between(rng, 0, 99) {
            _ if is_power => Kind::PowerLoss,
            0..=74 => Kind::Kill,
            _ => Kind::KillAgain,
        });
        if nth % 5 == 1 {
            blows.push(Kind::Stop);
        }
        if nth % 8 == 3 {
            blows.push(Kind::Restart);
        }
    }
    blows
}

/// Strikes until all blows have been struck, or the cluster fails one.
pub(super) async fn strike(cluster: &mut Cluster, recorder: &Recorder, settings: &Settings) -> Result<(), Broken> {
    let mut rng = stream(settings.seed, "chaos-nemesis", 0);
    let mut nemesis = Nemesis { cluster, recorder, patience: settings.patience, last: 0 };
    nemesis.progress(recorder.now(), "the start").await?;
    for kind in schedule(&mut rng, settings.kills, settings.hosts) {
        nemesis.pause(&mut rng, 50, 400).await;
        let leads = nemesis.leaders().await;
        let victim = nemesis.victim(&mut rng, &leads);
        let led = leads[victim];
        let from_ns = recorder.now();
        let back_ns = nemesis.blow(kind, victim, &mut rng).await?;
        nemesis.progress(back_ns, "a return").await?;
        recorder.blow(Blow { kind, node: victim as u32 + 1, led, from_ns, back_ns, until_ns: recorder.now() });
    }
    Ok(())
}

struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    recorder: &'a Recorder,
    patience: Duration,
    last: usize,
}

impl Nemesis<'_> {
    /// How many data partitions each node leads, as far as the cluster tells.
    async fn leaders(&self) -> [u32; NODES] {
        let mut leads = [0; NODES];
        for address in self.cluster.addresses() {
            if let Ok(Ok(rows)) = tokio::time::timeout(LOOK, leaders(&address)).await {
                for node in rows {
                    if let Some(place) = node.checked_sub(1).and_then(|place| leads.get_mut(place)) {
                        *place += 1;
                    }
                }
                break;
            }
        }
        leads
    }

    /// A leader half of the time; otherwise by turn, so that each is struck.
    fn victim(&mut self, rng: &mut Rng, leads: &[u32; NODES]) -> usize {
        let leading: Vec<usize> = (0..NODES).filter(|place| leads[*place] > 0).collect();
        let nth = between(rng, 0, 2 * NODES as i64 - 1) as usize;
        self.last = match leading.get(nth % leading.len().max(1)) {
            Some(leader) if nth < NODES => *leader,
            _ => (self.last + 1) % NODES,
        };
        self.last
    }

    /// Strikes, and mends. Returns when everything was running again.
    async fn blow(&mut self, kind: Kind, victim: usize, rng: &mut Rng) -> Result<u64, Broken> {
        let struck = self.recorder.now();
        match kind {
            Kind::Kill | Kind::KillAgain => {
                self.cluster.kill(victim).map_err(harness)?;
                self.progress(struck, "a kill").await?;
                self.pause(rng, 0, 500).await;
                if kind == Kind::KillAgain {
                    // While it still reads its log, or has just begun to follow.
                    self.cluster.start(victim).map_err(harness)?;
                    self.pause(rng, 0, 250).await;
                    self.cluster.kill(victim).map_err(harness)?;
                    self.pause(rng, 0, 300).await;
                }
                self.cluster.start(victim).map_err(harness)?;
            }
            Kind::Stop => {
                self.cluster.stop(victim).map_err(harness)?;
                self.progress(struck, "a stop").await?;
                self.pause(rng, 0, 1000).await;
                self.cluster.go_on(victim).map_err(harness)?;
            }
            Kind::Restart => {
                self.cluster.terminate(victim).await.map_err(process)?;
                self.progress(struck, "a clean stop").await?;
                self.cluster.start(victim).map_err(harness)?;
            }
            Kind::Cut | Kind::Mute | Kind::Deaf | Kind::Unplugged | Kind::Slow => {
                self.network(kind, victim, true)?;
                self.progress(struck, kind.name()).await?;
                self.pause(rng, 200, 1500).await;
                self.network(kind, victim, false)?;
            }
            Kind::PowerLoss => {
                self.cluster.kill_all().map_err(harness)?;
                self.pause(rng, 0, 300).await;
                for nth in 0..NODES {
                    self.cluster.start((victim + nth) % NODES).map_err(harness)?;
                    self.pause(rng, 0, 200).await;
                }
            }
        }
        Ok(self.recorder.now())
    }

    /// Strikes the network of a node, or mends it.
    fn network(&self, kind: Kind, victim: usize, strikes: bool) -> Result<(), Broken> {
        let Some(hosts) = self.cluster.hosts() else { return Ok(()) };
        let cuts = if strikes { Hosts::cut } else { Hosts::join };
        let done = match kind {
            Kind::Cut => cuts(hosts, victim, Way::Both),
            Kind::Mute => cuts(hosts, victim, Way::Out),
            Kind::Deaf => cuts(hosts, victim, Way::In),
            Kind::Unplugged if strikes => hosts.unplug(victim),
            Kind::Unplugged => hosts.plug(victim),
            Kind::Slow if strikes => hosts.slow(victim),
            Kind::Slow => hosts.quick(victim),
            Kind::Kill | Kind::KillAgain | Kind::PowerLoss | Kind::Stop | Kind::Restart => Ok(()),
        };
        done.map_err(harness)
    }

    /// Waits for an acknowledged write that was sent after `since`.
    async fn progress(&mut self, since: u64, what: &str) -> Result<(), Broken> {
        let limit = u64::try_from(self.patience.as_nanos()).unwrap_or(u64::MAX);
        while !self.recorder.has_written_since(since) {
            self.cluster.check().map_err(process)?;
            if self.recorder.now() - since > limit {
                let silent = self.recorder.silent_since(since).join(", ");
                let view = self.view().await;
                let patience = self.patience;
                let what = format!("{silent}: no write was acknowledged within {patience:?} of {what}; {view}");
                return Err(("progress", what));
            }
            tokio::time::sleep(POLL).await;
        }
        self.cluster.check().map_err(process)
    }

    /// What the first node that answers tells of the cluster.
    async fn view(&self) -> String {
        for address in self.cluster.addresses() {
            if let Ok(Ok(view)) = tokio::time::timeout(LOOK * 5, view(&address)).await {
                return format!("{address} says:{view}");
            }
        }
        "no node answers".to_owned()
    }

    async fn pause(&self, rng: &mut Rng, least_ms: i64, most_ms: i64) {
        tokio::time::sleep(Duration::from_millis(between(rng, least_ms, most_ms) as u64)).await;
    }
}

/// The nodes that lead, once for each data partition.
async fn leaders(address: &str) -> Result<Vec<usize>, tokio_postgres::Error> {
    let query = "SELECT node FROM system.replicas WHERE role = 'leader' AND partition > 0";
    let rows = ask(address, query).await?;
    Ok(rows.iter().filter_map(|row| row.first()?.parse().ok()).collect())
}

/// Where the replicas stand, and who has led lately.
async fn view(address: &str) -> Result<String, tokio_postgres::Error> {
    let replicas = "SELECT partition, node, role, leader, era, log_last, committed, executed, pending \
                    FROM system.replicas ORDER BY partition, node";
    let events = "SELECT at, node, text FROM system.events WHERE kind = 'leader' OR kind = 'no_leader' \
                  ORDER BY at DESC LIMIT 30";
    let mut text = String::new();
    for (head, query) in
        [("partition node role leader era log_last committed executed pending", replicas), ("lately", events)]
    {
        text.push_str(&format!("\n  {head}"));
        for row in ask(address, query).await? {
            text.push_str(&format!("\n    {}", row.join(" ")));
        }
    }
    Ok(text)
}

/// Rows as text.
pub(crate) async fn ask(address: &str, query: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&format!("{address} user=nemesis dbname=orrery"), NoTls).await?;
    let task = tokio::task::spawn_local(async move { drop(connection.await) });
    let messages = client.simple_query(query).await;
    task.abort();
    let fields = |row: &SimpleQueryRow| (0..row.len()).map(|at| row.get(at).unwrap_or("-").to_owned()).collect();
    let rows = messages?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(fields(&row)),
        _ => None,
    });
    Ok(rows.collect())
}

fn harness(what: String) -> Broken {
    ("harness", what)
}

fn process(what: String) -> Broken {
    ("process", what)
}
