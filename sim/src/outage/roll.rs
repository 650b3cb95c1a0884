//! A rolling restart under load, in which nothing may fail.

use super::orrery::Orrery;
use super::writer::{Clock, Lane};
use super::{Settings, System, wait};
use crate::chaos::cluster::NODES;
use crate::chaos::in_real_time;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Rolled {
    /// Writes that failed for another reason than that their own node has said good-bye, by what the client was told.
    pub failed: BTreeMap<String, u64>,
    /// Writes that were executed, and not acknowledged.
    pub cut_off: u64,
    /// Writes acknowledged while some node was away.
    pub acknowledged: u64,
    /// By restart: the node, and the longest time in which a writer through another node was not acknowledged anything.
    pub silences: Vec<(usize, u64)>,
}

/// Restarts every node of a cluster, one after the other, `kills` times.
///
/// # Errors
/// When the program does not start, does not end when asked, or does not come back.
pub fn roll(settings: &Settings) -> Result<Rolled, String> {
    in_real_time(restart_all(settings))
}

async fn restart_all(settings: &Settings) -> Result<Rolled, String> {
    std::fs::create_dir_all(&settings.directory).map_err(|error| format!("cannot make the directory: {error}"))?;
    let clock = Clock::new();
    let mut orrery = Orrery::new(settings, &clock)?;
    orrery.start().await?;
    let groups = orrery.groups();
    let lanes: Vec<(usize, Rc<Lane>)> = groups.into_iter().flat_map(|group| group.lanes).collect();
    let through = |wanted: &dyn Fn(usize) -> bool| -> Vec<Rc<Lane>> {
        lanes.iter().filter(|(node, _)| wanted(*node)).map(|(_, lane)| Rc::clone(lane)).collect()
    };
    lanes.iter().for_each(|(_, lane)| lane.set_writing(true));
    wait(&through(&|_| true), clock.now(), "the start", orrery.name()).await?;
    let mut rolled = Rolled::default();
    for node in (0..settings.kills).flat_map(|_| 0..NODES) {
        lanes.iter().for_each(|(_, lane)| drop(lane.take_complaints()));
        let begin = clock.now();
        orrery.restart(node).await?;
        let others = through(&|other| other != node);
        wait(&others, clock.now(), "a clean restart", orrery.name()).await?;
        let end = clock.now();
        rolled.acknowledged += others.iter().map(|lane| lane.count(begin, end)).sum::<u64>();
        let longest = others.iter().map(|lane| lane.longest_silence(begin, end)).max();
        rolled.silences.push((node + 1, longest.unwrap_or_default()));
        for (through, lane) in &lanes {
            for (what, count) in lane.take_complaints() {
                // What was sent while the good-bye was on its way was not executed: the client goes elsewhere.
                let is_good_bye = *through == node && (what.starts_with("57P01") || what.starts_with("connection"));
                if !is_good_bye {
                    let what = format!("through node {} while node {} was restarted: {what}", through + 1, node + 1);
                    *rolled.failed.entry(what).or_default() += count;
                }
            }
            lane.forget();
        }
    }
    lanes.iter().for_each(|(_, lane)| lane.set_writing(false));
    rolled.cut_off = cut_off(&orrery).await?;
    Ok(rolled)
}

/// Writes that were executed and whose writers were told something else. A good-bye is an answer only to what was sent into it.
async fn cut_off(orrery: &Orrery) -> Result<u64, String> {
    let mut missing = 0;
    // What was under way when the writers were told to stop is answered soon.
    for _ in 0..50 {
        let written = orrery.written().await?;
        missing = written.iter().map(|(written, told)| written.saturating_sub(*told)).sum();
        if missing == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(missing)
}

impl Rolled {
    /// Has no request failed, and was none cut off?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.cut_off == 0
    }

    /// Writes what came of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (node, silence) in &self.silences {
            let ms = *silence as f64 / 1e6;
            writeln!(out, "node {node} was restarted: writers through others waited {ms:.0} ms at most")?;
        }
        writeln!(out, "{} writes through others were acknowledged meanwhile", self.acknowledged)?;
        writeln!(out, "{} failed", self.failed.values().sum::<u64>())?;
        writeln!(out, "{} were executed, and cut off before they were acknowledged", self.cut_off)?;
        for (what, count) in &self.failed {
            writeln!(out, "{count:>6}  {what}")?;
        }
        Ok(())
    }
}
