//! The distribution.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// What one blow did to one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Struck {
    /// Which system, in the order of the names.
    pub(super) place: usize,
    /// The victim's place.
    pub(super) node: usize,
    pub(super) group: String,
    /// Was the victim its leader?
    pub(super) led: bool,
    pub(super) outage_ns: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    seed: u64,
    /// Nodes were cut off, not killed.
    cut: bool,
    pub(super) names: Vec<String>,
    pub(super) left_out: Vec<String>,
    pub(super) struck: Vec<Struck>,
    /// Blows so far, as positions in `struck` where each begins, with the system.
    blows: Vec<(usize, usize)>,
    begin: usize,
    refused: BTreeMap<usize, u64>,
    complaints: BTreeMap<usize, BTreeMap<String, u64>>,
}

impl Report {
    pub(super) fn new(seed: u64, cut: bool) -> Self {
        Self { seed, cut, ..Self::default() }
    }

    /// Writes through surviving nodes were not acknowledged, and made again by the client.
    pub(super) fn refuse(&mut self, place: usize, count: u64) {
        *self.refused.entry(place).or_default() += count;
    }

    pub(super) fn complain(&mut self, place: usize, complaints: BTreeMap<String, u64>) {
        for (what, count) in complaints {
            *self.complaints.entry(place).or_default().entry(what).or_default() += count;
        }
    }

    /// Tells of a blow as soon as it is over: a run takes long.
    pub(super) fn blow_is_over(&mut self, place: usize) -> Result<(), String> {
        self.blows.push((place, self.begin));
        let groups = &self.struck[self.begin..];
        let mut line = format!("{:<12} node {}:", short(&self.names[place]), groups.first().map_or(0, |s| s.node + 1));
        for struck in groups.iter().filter(|struck| struck.led) {
            line.push_str(&format!("  {} {:.0} ms", struck.group, millis(struck.outage_ns)));
        }
        let rest = groups.iter().filter(|struck| !struck.led).map(|struck| struck.outage_ns).max();
        if let Some(rest) = rest {
            line.push_str(&format!("  (others {:.0} ms)", millis(rest)));
        }
        self.begin = self.struck.len();
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| format!("cannot write: {error}"))
    }

    /// Median and worst of the groups that Orrery's victims led, in nanoseconds.
    #[must_use]
    pub fn orrery(&self) -> Option<(u64, u64)> {
        let lengths = self.lengths(0, true);
        Some((quantile(&lengths, 50)?, quantile(&lengths, 100)?))
    }

    fn lengths(&self, place: usize, led: bool) -> Vec<u64> {
        let fits = |struck: &&Struck| struck.place == place && struck.led == led;
        let mut lengths: Vec<u64> = self.struck.iter().filter(fits).map(|struck| struck.outage_ns).collect();
        lengths.sort_unstable();
        lengths
    }

    /// Writes the distribution.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nseed         {:#x}", self.seed)?;
        for name in &self.names {
            writeln!(out, "measured     {name}")?;
        }
        for why in &self.left_out {
            writeln!(out, "             {why}")?;
        }
        let blow = if self.cut { "a silent cut" } else { "kill -9" };
        writeln!(out, "\nwrite outage after {blow} of the leader, ms")?;
        writeln!(out, "{:<44}{:>6}{:>8}{:>8}{:>8}{:>8}", "", "count", "min", "p50", "p90", "max")?;
        for (place, name) in self.names.iter().enumerate() {
            let name = short(name);
            line(out, &format!("{name}, each group that it led"), &self.lengths(place, true))?;
            line(out, &format!("{name}, each group that others led"), &self.lengths(place, false))?;
            let mut worst: Vec<u64> = self.worst_of_blows(place);
            worst.sort_unstable();
            if worst.len() < self.struck.iter().filter(|struck| struck.place == place).count() {
                line(out, &format!("{name}, the worst group of each kill"), &worst)?;
            }
        }
        for (place, name) in self.names.iter().enumerate() {
            let refused = self.refused.get(&place).copied().unwrap_or_default();
            writeln!(out, "{:<12} writes through survivors that failed and were made again: {refused}", short(name))?;
            for (what, count) in self.complaints.get(&place).into_iter().flatten() {
                writeln!(out, "{:<12}   {count:>6}  {what}", "")?;
            }
        }
        Ok(())
    }

    fn worst_of_blows(&self, place: usize) -> Vec<u64> {
        let ends = self.blows.iter().skip(1).map(|(_, begin)| *begin).chain([self.struck.len()]);
        let blows = self.blows.iter().zip(ends).filter(|((of, _), _)| *of == place);
        blows
            .filter_map(|((_, begin), end)| self.struck[*begin..end].iter().map(|struck| struck.outage_ns).max())
            .collect()
    }
}

fn line(out: &mut dyn Write, what: &str, lengths: &[u64]) -> io::Result<()> {
    if lengths.is_empty() {
        return Ok(());
    }
    write!(out, "{what:<44}{:>6}", lengths.len())?;
    for per_cent in [0, 50, 90, 100] {
        write!(out, "{:>8.0}", millis(quantile(lengths, per_cent).unwrap_or_default()))?;
    }
    writeln!(out)
}

/// The first word of a name.
fn short(name: &str) -> String {
    let word = name.split([' ', ':']).next().unwrap_or(name);
    word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase()
}

fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Of sorted numbers, the smallest that is not below `per_cent` of them.
fn quantile(sorted: &[u64], per_cent: usize) -> Option<u64> {
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_apart_by_who_led_them() {
        let mut report = Report { names: vec!["orrery 0.1: three".to_owned()], ..Report::new(7, false) };
        for (led, ms) in [(true, 300), (false, 9), (true, 250)] {
            let group = "partition 1".to_owned();
            report.struck.push(Struck { place: 0, node: 1, group, led, outage_ns: ms * 1_000_000 });
        }
        report.blow_is_over(0).expect("standard output takes a line");
        assert_eq!(report.orrery(), Some((250_000_000, 300_000_000)));
        assert_eq!(report.worst_of_blows(0), [300_000_000]);
        let mut text = Vec::new();
        report.write(&mut text).expect("memory takes it");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("orrery, each group that others led"), "{text}");
    }
}
