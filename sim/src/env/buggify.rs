//! Rare behaviour on demand, in two levels: a point is enabled for a whole run or not at all, and an enabled one fires
//! sometimes. So that every run is quiet in most places, and combinations of few nasty ones get their turn.

use super::dice::Stream;
use crate::plan;
use std::collections::BTreeMap;

/// The points of one worker's life.
#[derive(Clone, Debug)]
pub struct Points {
    /// Decides which points are enabled: the same in the whole run.
    sites: Stream,
    /// Decides when one fires: this worker's.
    fires: Stream,
    site_ppm: u32,
    fire_ppm: u32,
    asked: BTreeMap<&'static str, (bool, u64)>,
}

impl Points {
    /// The points of the worker whose stream is `fires`.
    #[must_use]
    pub const fn new(knobs: plan::Buggify, sites: Stream, fires: Stream) -> Self {
        Self { sites, fires, site_ppm: knobs.site_ppm, fire_ppm: knobs.fire_ppm, asked: BTreeMap::new() }
    }

    /// Does the point fire, this time?
    pub fn fire(&mut self, point: &'static str) -> bool {
        let Self { sites, fires, site_ppm, fire_ppm, asked } = self;
        let (enabled, count) = asked.entry(point).or_insert_with(|| {
            let site = Stream::new(sites.0, point);
            (site.dice(0).chance(*site_ppm), 0)
        });
        if !*enabled {
            return false;
        }
        *count += 1;
        Stream::new(fires.0, point).dice(*count).chance(*fire_ppm)
    }

    /// No point fires any more.
    pub fn silence(&mut self) {
        self.fire_ppm = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_points_is_enabled_and_those_fire_sometimes() {
        const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let knobs = plan::Buggify { site_ppm: 250_000, fire_ppm: 50_000 };
        let (mut enabled, mut fired, mut asked) = (0, 0, 0);
        for seed in 0..200 {
            let mut points = Points::new(knobs, Stream::new(seed, "sites"), Stream::new(seed, "fires"));
            for name in NAMES {
                let fires = (0..200).filter(|_| points.fire(name)).count();
                enabled += usize::from(fires > 0);
                fired += fires;
                asked += if fires > 0 { 200 } else { 0 };
            }
            points.silence();
            assert!(NAMES.iter().all(|name| !points.fire(name)));
        }
        let sites = 200 * NAMES.len();
        assert!((sites / 5..sites * 3 / 10).contains(&enabled), "{enabled} of {sites}");
        assert!((asked / 25..asked * 6 / 100).contains(&fired), "{fired} of {asked}");
    }
}
