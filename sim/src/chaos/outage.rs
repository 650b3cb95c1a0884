//! How long nobody could write, blow by blow, and the distribution of it.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// A kind of blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9` of one node, which is started again later.
    Kill,
    /// The same, and again soon after its start.
    KillAgain,
    /// `kill -9` of all nodes at once; all are started again.
    PowerLoss,
    /// SIGSTOP, and SIGCONT later.
    Stop,
    /// A clean stop and a start.
    Restart,
    /// A node and the others do not hear one another; clients hear all.
    Cut,
    /// A node hears the others, and is not heard by them.
    Mute,
    /// A node is heard by the others, and does not hear them.
    Deaf,
    /// A node is heard by nobody, and hears nobody.
    Unplugged,
    /// The way to and from a node is slow, and loses packets.
    Slow,
}

impl Kind {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillAgain => "kill twice",
            Self::PowerLoss => "power loss",
            Self::Stop => "stop",
            Self::Restart => "clean restart",
            Self::Cut => "cut",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::Unplugged => "unplugged",
            Self::Slow => "slow",
        }
    }

    /// Was a process killed?
    #[must_use]
    pub const fn is_kill(self) -> bool {
        matches!(self, Self::Kill | Self::KillAgain | Self::PowerLoss)
    }
}

/// What was done, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow {
    pub(super) kind: Kind,
    pub(super) node: u32,
    /// Data partitions that it led.
    pub(super) led: u32,
    /// It was struck.
    pub(super) from_ns: u64,
    /// All nodes were running again.
    pub(super) back_ns: u64,
    /// Writes had gone on after that.
    pub(super) until_ns: u64,
}

/// What came of a blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The blow.
    pub kind: Kind,
    /// The node that was struck (the first to be started again, if all were).
    pub node: u32,
    /// Data partitions that it led.
    pub led: u32,
    /// When.
    pub at_ns: u64,
    /// When all nodes were running again.
    pub back_ns: u64,
    /// The longest time from then until the return, and a write after it, in which no write was acknowledged.
    pub length_ns: u64,
    /// When that began.
    pub silent_ns: u64,
}

impl Outage {
    /// Was it a leader that was struck?
    const fn role(&self) -> &'static str {
        match (self.kind, self.led) {
            (Kind::PowerLoss, _) => "",
            (_, 0) => ", a follower",
            _ => ", a leader",
        }
    }
}

/// From the blows and the times of acknowledgements, both in order of time.
pub(super) fn outages(blows: &[Blow], acknowledged: &[u64]) -> Vec<Outage> {
    let outage = |blow: &Blow| {
        let first = acknowledged.partition_point(|at| *at <= blow.from_ns);
        let within = acknowledged[first..].iter().copied().take_while(|at| *at <= blow.until_ns);
        let mut before = blow.from_ns;
        let (mut longest, mut silent_ns) = (0, before);
        for at in within.chain([blow.until_ns]) {
            if at - before > longest {
                (longest, silent_ns) = (at - before, before);
            }
            before = at;
        }
        let Blow { kind, node, led, from_ns, back_ns, .. } = *blow;
        Outage { kind, node, led, at_ns: from_ns, back_ns, length_ns: longest, silent_ns }
    };
    debug_assert!(blows.iter().all(|blow| blow.from_ns <= blow.back_ns && blow.back_ns <= blow.until_ns));
    blows.iter().map(outage).collect()
}

/// Upper bounds of the histogram's bars, in milliseconds.
const BARS: &[u64] = &[10, 20, 50, 100, 200, 350, 500, 750, 1000, 2000, 5000, 10_000];

/// Writes the distribution: a line for each kind of blow, and a histogram of those that kill.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_outages(out: &mut dyn Write, outages: &[Outage]) -> io::Result<()> {
    writeln!(out, "\noutage, ms                 blows     min     p50     p90     p99     max")?;
    let mut groups: BTreeMap<(Kind, &str), Vec<u64>> = BTreeMap::new();
    for outage in outages {
        groups.entry((outage.kind, outage.role())).or_default().push(outage.length_ns);
    }
    for ((kind, role), mut lengths) in groups {
        lengths.sort_unstable();
        write!(out, "  {:<24}{:>6}", format!("{}{role}", kind.name()), lengths.len())?;
        for per_cent in [0, 50, 90, 99, 100] {
            write!(out, "{:>8.1}", millis(quantile(&lengths, per_cent)))?;
        }
        writeln!(out)?;
    }
    let kills: Vec<u64> =
        outages.iter().filter(|outage| outage.kind.is_kill()).map(|outage| outage.length_ns).collect();
    let mut low = 0;
    for high in BARS.iter().copied().chain([u64::MAX]) {
        let inside = |length: &&u64| (low..high).contains(&(**length / 1_000_000));
        let count = kills.iter().filter(inside).count();
        if count > 0 {
            let range = if high == u64::MAX { format!("{low} and more") } else { format!("{low} to {high}") };
            writeln!(out, "  {range:>14} ms {count:>5}  {}", "#".repeat(count.min(80)))?;
        }
        low = high;
    }
    Ok(())
}

/// Writes every blow, in order of time, with its outage.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_blows(out: &mut dyn Write, outages: &[Outage]) -> io::Result<()> {
    writeln!(out, "\nblow             node  leads        at, s   back, ms   silent for, ms   from, ms")?;
    for outage in outages {
        let since = |ns: u64| millis(ns.saturating_sub(outage.at_ns));
        writeln!(
            out,
            "  {:<14}{:>5}{:>7}{:>13.3}{:>11.1}{:>17.1}{:>11.1}",
            outage.kind.name(),
            outage.node,
            outage.led,
            millis(outage.at_ns) / 1000.0,
            since(outage.back_ns),
            millis(outage.length_ns),
            since(outage.silent_ns)
        )?;
    }
    Ok(())
}

fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Of sorted numbers, the smallest that is not below `per_cent` of them.
fn quantile(sorted: &[u64], per_cent: usize) -> u64 {
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blow(from_ns: u64, back_ns: u64, until_ns: u64) -> Blow {
        Blow { kind: Kind::Kill, node: 2, led: 1, from_ns, back_ns, until_ns }
    }

    #[test]
    fn the_longest_silence_between_the_blow_and_the_first_write_after_the_return_counts() {
        let blows = [blow(100, 200, 230), blow(300, 400, 450)];
        let found = outages(&blows, &[90, 110, 160, 190, 229, 240, 310, 320, 330, 440, 900]);
        let first =
            Outage { kind: Kind::Kill, node: 2, led: 1, at_ns: 100, back_ns: 200, length_ns: 50, silent_ns: 110 };
        assert_eq!(found[0], first);
        assert_eq!(found[1].length_ns, 110, "the return is part of it");
        assert_eq!(outages(&[blow(10, 20, 60)], &[])[0].length_ns, 50, "no write at all is the whole time");
    }

    #[test]
    fn quantiles_are_numbers_that_occurred() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!([0, 50, 90, 99, 100].map(|per_cent| quantile(&sorted, per_cent)), [1, 100, 180, 198, 200]);
        assert_eq!([0, 50, 100].map(|per_cent| quantile(&[7], per_cent)), [7, 7, 7]);
    }
}
