//! Links between nodes.
//!
//! Each ordered pair of nodes is a link. A message's fate on it (delay, loss, copy, holding back) is drawn from the
//! link's stream at the message's number on that link. Faults lay *conditions* on links; each remembers whose fault it
//! is, so that a fault that really changed a message's fate is counted as effective.
//!
//! Messages of a node to itself (to another of its workers) know no loss and no condition, only a tiny delay.

use super::dice::{Dice, Stream};
use crate::plan;

/// What a fault does to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Everything is lost.
    Cut,
    /// A part is lost.
    Lossy {
        /// Parts per million.
        loss_ppm: u32,
    },
    /// Everything takes longer.
    Slow {
        /// By this.
        extra_ns: u64,
    },
    /// Everything waits until the condition is lifted.
    Clogged,
    /// A part has one bit flipped.
    Flipping {
        /// Parts per million.
        flip_ppm: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Laid {
    fault: u32,
    from: usize,
    to: usize,
    condition: Condition,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// It arrives after this long; `None`: it does not.
    pub delay_ns: Option<u64>,
    /// A copy arrives after this long.
    pub copy_delay_ns: Option<u64>,
    /// It was held back so that others may overtake it.
    pub held_back: bool,
    /// Why it is lost.
    pub why_lost: &'static str,
    /// The faults that had a part in it (a loss and a delay at most).
    pub by: [Option<u32>; 2],
    /// It waits for the link to be released.
    pub clogged: bool,
    /// A bit of it flips, by this fault; which one is drawn from this number.
    pub flipped: Option<(u32, u64)>,
}

/// All links.
#[derive(Debug)]
pub struct SimNetwork {
    knobs: plan::Network,
    streams: Vec<Stream>,
    sent: Vec<u64>,
    clean: Vec<bool>,
    /// Messages in flight from one worker to another, at most this many: beyond it they are dropped.
    in_flight: Vec<u32>,
    laid: Vec<Laid>,
    /// How often each link has been reset: what was sent before the last time does not arrive.
    resets: Vec<u32>,
    nodes: usize,
}

/// Most messages in flight on a link; what a bounded send queue would hold.
pub const LINK_CAPACITY: u32 = 10_000;

impl SimNetwork {
    /// Links among `nodes` nodes.
    #[must_use]
    pub fn new(knobs: plan::Network, seed: u64, nodes: usize) -> Self {
        let stream = Stream::new(seed, "network");
        let links = nodes * nodes;
        let streams = (0..links).map(|link| stream.at((link / nodes * 1000 + link % nodes) as u64)).collect();
        Self {
            knobs,
            streams,
            sent: vec![0; links],
            clean: vec![false; links],
            in_flight: vec![0; links],
            laid: Vec::new(),
            resets: vec![0; links],
            nodes,
        }
    }

    const fn link(&self, from: usize, to: usize) -> usize {
        from * self.nodes + to
    }

    /// Draws the fate of the next message of a link, and its number there.
    pub fn send(&mut self, from: usize, to: usize) -> (u64, Fate) {
        let link = self.link(from, to);
        self.sent[link] += 1;
        let number = self.sent[link];
        let mut dice = self.streams[link].dice(number);
        let mut fate = Fate {
            delay_ns: None,
            copy_delay_ns: None,
            held_back: false,
            why_lost: "",
            by: [None; 2],
            clogged: false,
            flipped: None,
        };
        if from == to {
            fate.delay_ns = Some(500 + dice.exponential(2_000));
            return (number, fate);
        }
        self.draw(link, &mut dice, &mut fate);
        if !self.laid.is_empty() {
            self.conditions(from, to, &mut dice, &mut fate);
        }
        if fate.delay_ns.is_some() && self.in_flight[link] >= LINK_CAPACITY {
            fate.delay_ns = None;
            fate.why_lost = "queue full";
        }
        (number, fate)
    }

    /// The background: delay, loss, copies, holding back.
    fn draw(&self, link: usize, dice: &mut Dice, fate: &mut Fate) {
        let knobs = &self.knobs;
        let spread = knobs.latency_mean_ns.saturating_sub(knobs.latency_min_ns);
        let latency = |dice: &mut Dice| knobs.latency_min_ns + dice.exponential(spread);
        // Always the same number of draws, so that a knob set to zero moves nothing else.
        let mut delay = latency(dice);
        let copy = latency(dice);
        let lost = dice.chance(knobs.loss_ppm);
        let copied = dice.chance(knobs.duplicate_ppm);
        let held = dice.chance(knobs.reorder_ppm);
        let extra = dice.below(knobs.reorder_ns + 1);
        if self.clean[link] {
            fate.delay_ns = Some(delay);
            return;
        }
        if lost {
            fate.why_lost = "loss";
            return;
        }
        if held {
            delay += extra;
            fate.held_back = true;
        }
        fate.delay_ns = Some(delay);
        fate.copy_delay_ns = copied.then_some(delay + copy);
    }

    /// What faults have laid on the link.
    fn conditions(&self, from: usize, to: usize, dice: &mut Dice, fate: &mut Fate) {
        for laid in self.laid.iter().filter(|laid| laid.from == from && laid.to == to) {
            match laid.condition {
                Condition::Slow { extra_ns } => {
                    if let Some(delay) = &mut fate.delay_ns {
                        *delay += extra_ns;
                        fate.by[1] = Some(laid.fault);
                    }
                }
                Condition::Clogged => {
                    if fate.delay_ns.is_some() {
                        fate.clogged = true;
                        fate.by[1] = Some(laid.fault);
                    }
                }
                Condition::Flipping { flip_ppm } => {
                    let (hit, draw) = (dice.chance(flip_ppm), dice.draw());
                    if hit && fate.delay_ns.is_some() {
                        fate.flipped = Some((laid.fault, draw));
                    }
                }
                Condition::Lossy { loss_ppm } => {
                    if dice.chance(loss_ppm) && fate.delay_ns.is_some() {
                        self.lose(fate, "lossy", laid.fault);
                    }
                }
                Condition::Cut => {
                    if fate.delay_ns.is_some() {
                        self.lose(fate, "split", laid.fault);
                    }
                }
            }
        }
    }

    fn lose(&self, fate: &mut Fate, why: &'static str, fault: u32) {
        fate.delay_ns = None;
        fate.copy_delay_ns = None;
        fate.held_back = false;
        fate.clogged = false;
        fate.why_lost = why;
        fate.by[0] = Some(fault);
    }

    /// A message has been put on its way.
    pub fn depart(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        self.in_flight[link] += 1;
    }

    /// Messages under way on the link.
    #[must_use]
    pub fn in_flight(&self, from: usize, to: usize) -> u32 {
        self.in_flight[self.link(from, to)]
    }

    /// A message has come off the link.
    pub fn arrive(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        self.in_flight[link] -= 1;
    }

    /// The fault that cuts the link now, if any: a message under way when it was cut is lost too.
    #[must_use]
    pub fn cut_by(&self, from: usize, to: usize) -> Option<u32> {
        let cuts = |laid: &&Laid| laid.from == from && laid.to == to && laid.condition == Condition::Cut;
        self.laid.iter().find(cuts).map(|laid| laid.fault)
    }

    /// The link's connection is reset.
    pub fn reset(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        self.resets[link] += 1;
    }

    /// How often the link has been reset so far.
    #[must_use]
    pub fn resets(&self, from: usize, to: usize) -> u32 {
        self.resets[self.link(from, to)]
    }

    /// Lays a condition on a link.
    pub fn lay(&mut self, fault: u32, from: usize, to: usize, condition: Condition) {
        if from != to {
            self.laid.push(Laid { fault, from, to, condition });
        }
    }

    /// Takes away what a fault has laid.
    pub fn lift(&mut self, fault: u32) {
        self.laid.retain(|laid| laid.fault != fault);
    }

    /// Is the link clogged?
    #[must_use]
    pub fn is_clogged(&self, from: usize, to: usize) -> bool {
        self.laid.iter().any(|laid| laid.from == from && laid.to == to && laid.condition == Condition::Clogged)
    }

    /// From now on the link has no background faults and no conditions: delay only.
    pub fn heal(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        self.clean[link] = true;
        self.clear(from, to);
    }

    /// Takes away all conditions of a link; the background stays.
    pub fn clear(&mut self, from: usize, to: usize) {
        self.laid.retain(|laid| laid.from != from || laid.to != to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knobs() -> plan::Network {
        plan::Network {
            latency_min_ns: 1_000,
            latency_mean_ns: 11_000,
            loss_ppm: 100_000,
            duplicate_ppm: 50_000,
            reorder_ppm: 50_000,
            reorder_ns: 1_000_000,
            client_latency_mean_ns: 0,
        }
    }

    fn fates(network: &mut SimNetwork) -> Vec<Fate> {
        (0..10_000).map(|_| network.send(0, 1).1).collect()
    }

    #[test]
    fn background_loss_copies_and_holding_back_come_as_often_as_asked() {
        let fates = fates(&mut SimNetwork::new(knobs(), 1, 2));
        let count = |test: fn(&Fate) -> bool| fates.iter().filter(|fate| test(fate)).count();
        assert!((900..1_100).contains(&count(|fate| fate.delay_ns.is_none())));
        assert!((400..500).contains(&count(|fate| fate.copy_delay_ns.is_some())));
        assert!((400..500).contains(&count(|fate| fate.held_back)));
        assert!(fates.iter().all(|fate| fate.delay_ns.is_none_or(|delay| delay >= 1_000)));
    }

    #[test]
    fn a_knob_set_to_zero_moves_no_other_message() {
        let quiet = plan::Network { loss_ppm: 0, ..knobs() };
        let with = fates(&mut SimNetwork::new(knobs(), 1, 2));
        let without = fates(&mut SimNetwork::new(quiet, 1, 2));
        assert!(with.iter().zip(&without).all(|(a, b)| a == b || a.why_lost == "loss"));
    }

    #[test]
    fn conditions_hit_one_direction_and_end() {
        let mut network = SimNetwork::new(plan::Network { loss_ppm: 0, ..knobs() }, 1, 3);
        network.lay(7, 0, 1, Condition::Cut);
        let fate = network.send(0, 1).1;
        assert_eq!((fate.delay_ns, fate.by[0]), (None, Some(7)));
        assert!(network.send(1, 0).1.delay_ns.is_some());
        assert!(network.send(0, 2).1.delay_ns.is_some());
        assert_eq!(network.cut_by(0, 1), Some(7));
        network.lift(7);
        assert!(network.send(0, 1).1.delay_ns.is_some());

        network.lay(8, 0, 1, Condition::Slow { extra_ns: 1_000_000_000 });
        assert!(network.send(0, 1).1.delay_ns.is_some_and(|delay| delay > 1_000_000_000));
        network.lay(9, 0, 1, Condition::Clogged);
        assert!(network.send(0, 1).1.clogged && network.is_clogged(0, 1));
        network.lay(10, 0, 1, Condition::Lossy { loss_ppm: 1_000_000 });
        assert_eq!(network.send(0, 1).1.by[0], Some(10));
        network.lay(11, 0, 2, Condition::Flipping { flip_ppm: 1_000_000 });
        assert_eq!(network.send(0, 2).1.flipped.map(|(fault, _)| fault), Some(11));
        network.heal(0, 1);
        assert!(network.send(0, 1).1.delay_ns.is_some_and(|delay| delay < 1_000_000));
    }

    #[test]
    fn the_own_node_is_always_reached() {
        let mut network = SimNetwork::new(plan::Network { loss_ppm: 1_000_000, ..knobs() }, 1, 2);
        network.lay(1, 0, 0, Condition::Cut);
        assert!((0..1_000).all(|_| network.send(0, 0).1.delay_ns.is_some()));
    }
}
