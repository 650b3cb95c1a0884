//! Orrery: three processes.

use super::process::version;
use super::writer::{Clock, Lane, Patience, Writer, write_sql};
use super::{Blow, Group, PATIENCE, Settings, System};
use crate::chaos;
use crate::chaos::cluster::{Cluster, NODES};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// A client of Orrery is patient: the server asks again in its place.
const CLIENT: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(30) };

/// Three nodes and their writers.
pub(super) struct Orrery {
    cluster: Cluster,
    binary: PathBuf,
    partitions: u32,
    workers: u16,
    clock: Clock,
    /// By partition, by node.
    lanes: Vec<Vec<Rc<Lane>>>,
    writers: Vec<Writer>,
    killed: Option<usize>,
    /// Nodes are not killed: they are cut off.
    cut: bool,
}

impl Orrery {
    pub(super) fn new(settings: &Settings, clock: &Clock) -> Result<Self, String> {
        let directory = settings.directory.join("orrery");
        let cluster = chaos::Settings {
            partitions: settings.partitions,
            workers: settings.workers,
            hosts: settings.cut,
            lease_ms: settings.lease_ms,
            ..chaos::Settings::new(settings.binary.clone(), directory, settings.seed, 0)
        };
        Ok(Self {
            cluster: Cluster::new(&cluster)?,
            binary: settings.binary.clone(),
            partitions: settings.partitions,
            workers: settings.workers,
            clock: *clock,
            lanes: Vec::new(),
            writers: Vec::new(),
            killed: None,
            cut: settings.cut,
        })
    }

    /// Asks until a node answers.
    async fn ask(&self, query: &str) -> Result<Vec<Vec<String>>, String> {
        let mut last = String::new();
        let addresses = self.cluster.addresses();
        for attempt in 0..200 {
            let address = &addresses[attempt % NODES];
            match tokio::time::timeout(Duration::from_secs(2), chaos::ask(address, query)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("orrery: `{query}` is not answered: {last}"))
    }

    /// The place of each data partition's leader.
    async fn leaders(&self) -> Result<Vec<usize>, String> {
        let query = "SELECT node FROM system.replicas WHERE role = 'leader' AND partition > 0 ORDER BY partition";
        for _ in 0..100 {
            let rows = self.ask(query).await?;
            let leaders: Vec<usize> = rows.iter().filter_map(|row| row.first()?.parse().ok()).collect();
            if leaders.len() == self.partitions as usize {
                return Ok(leaders.into_iter().map(|node| node - 1).collect());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("orrery: some partition has no leader".to_owned())
    }
}

impl Orrery {
    /// Asks a node to end, starts it again, and waits until it has a replica of everything that knows its leader.
    pub(super) async fn restart(&mut self, place: usize) -> Result<(), String> {
        self.cluster.terminate(place).await?;
        self.killed = Some(place);
        self.mend().await
    }

    /// What each writer's row says was written, beside what the writer was told of.
    pub(super) async fn written(&self) -> Result<Vec<(u64, u64)>, String> {
        let rows = self.ask("SELECT n FROM probe ORDER BY id").await?;
        let written = rows.iter().map(|row| row.first().and_then(|n| n.parse().ok()).unwrap_or_default());
        Ok(written.zip(self.lanes.iter().flatten().map(|lane| lane.total())).collect())
    }
}

impl System for Orrery {
    fn name(&self) -> String {
        let version = version(&self.binary, "--version");
        let (partitions, workers) = (self.partitions, self.workers);
        format!("{version}: {NODES} nodes, {partitions} data partitions, {workers} worker(s) a node")
    }

    async fn start(&mut self) -> Result<(), String> {
        self.cluster.start_all()?;
        let splits: Vec<String> = (1..self.partitions).map(|range| (range * 1000).to_string()).collect();
        let placement = match splits.is_empty() {
            true => String::new(),
            false => format!(" PARTITION BY RANGE (id) WITH (split_at = '{}')", splits.join(", ")),
        };
        // Asked until it is answered, so it may have been made already.
        self.ask(&format!("CREATE TABLE IF NOT EXISTS probe (id int PRIMARY KEY, n bigint NOT NULL){placement}"))
            .await?;
        for (place, address) in self.cluster.addresses().into_iter().enumerate() {
            for partition in 0..self.partitions {
                let lane = Rc::new(Lane::default());
                // The ranges are dealt out to the partitions in turn; a row of its own for each writer.
                let id = partition * 1000 + place as u32;
                self.ask(&format!("INSERT INTO probe VALUES ({id}, 0) ON CONFLICT DO NOTHING")).await?;
                let text = format!("UPDATE probe SET n = n + 1 WHERE id = {id}");
                let config = format!("{address} user=outage dbname=orrery");
                let work = write_sql(config, text, CLIENT, Rc::clone(&lane), self.clock);
                self.writers.push(Writer::begin(work));
                if place == 0 {
                    self.lanes.push(Vec::new());
                }
                self.lanes[partition as usize].push(lane);
            }
        }
        Ok(())
    }

    fn groups(&self) -> Vec<Group> {
        let group = |(nth, lanes): (usize, &Vec<Rc<Lane>>)| Group {
            name: format!("partition {}", nth + 1),
            lanes: lanes.iter().cloned().enumerate().collect(),
        };
        self.lanes.iter().enumerate().map(group).collect()
    }

    async fn strike(&mut self, clock: &Clock) -> Result<Blow, String> {
        let leaders = self.leaders().await?;
        let led_by = |place: usize| leaders.iter().filter(|leader| **leader == place).count();
        let victim = (0..NODES).max_by_key(|place| led_by(*place)).unwrap_or(0);
        let at_ns = clock.now();
        if self.cut {
            self.cluster.cut_off(victim, true)?;
        } else {
            self.cluster.kill(victim)?;
        }
        self.killed = Some(victim);
        let led = (0..leaders.len()).filter(|partition| leaders[*partition] == victim).collect();
        Ok(Blow { at_ns, victim, led })
    }

    async fn mend(&mut self) -> Result<(), String> {
        let Some(killed) = self.killed.take() else { return Ok(()) };
        if self.cut {
            self.cluster.cut_off(killed, false)?;
        } else {
            self.cluster.start(killed)?;
        }
        let replicas = "SELECT count(*) FROM system.replicas WHERE leader IS NOT NULL";
        let wanted = (self.partitions as usize + 1) * NODES;
        let whole = async {
            loop {
                let count = self.ask(replicas).await?;
                if count.first().and_then(|row| row.first()?.parse().ok()) == Some(wanted) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.map_err(|_| "orrery: the node does not come back".to_owned())?
    }
}
