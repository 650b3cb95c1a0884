//! Selectors: whom a fault means, as things stand.

use crate::env::dice::Dice;
use crate::plan::{FaultKind, Group, Selector};
use crate::world::World;

/// The selector of a fault; `None`: it is about all nodes.
pub(super) const fn selector(kind: &FaultKind) -> Option<Selector> {
    match *kind {
        FaultKind::Ring | FaultKind::Bridge | FaultKind::Disaster => None,
        FaultKind::Split { side, .. } | FaultKind::Flap { side, .. } => Some(side),
        FaultKind::Lossy { target, .. }
        | FaultKind::SlowLink { target, .. }
        | FaultKind::Clog { target }
        | FaultKind::Reset { target }
        | FaultKind::BitFlip { target, .. }
        | FaultKind::ClientCrash { target }
        | FaultKind::Crash { target, .. }
        | FaultKind::Stop { target }
        | FaultKind::Pause { target }
        | FaultKind::ClockJump { target, .. }
        | FaultKind::ClockDrift { target, .. }
        | FaultKind::SlowDisk { target, .. }
        | FaultKind::FailSync { target }
        | FaultKind::IoError { target }
        | FaultKind::ShortWrite { target }
        | FaultKind::DiskFull { target }
        | FaultKind::Misdirect { target }
        | FaultKind::Wipe { target }
        | FaultKind::Rot { target } => Some(target),
    }
}

impl World {
    /// Positions of the nodes that a selector means now. Every node holds every group.
    pub(super) fn select(&self, selector: Selector, dice: &mut Dice) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.nodes.len()).collect();
        let partition = match selector {
            Selector::Leader(group) | Selector::Follower(group) => self.partition(group, dice),
            Selector::Minority(group) | Selector::Majority(group) => self.partition(group, dice),
            Selector::OneOfEachGroup => self.partition(Group::Any, dice),
            Selector::Gateway | Selector::Random | Selector::All => 0,
        };
        let leader = self.checker.leader(partition);
        match selector {
            Selector::Leader(_) => leader.into_iter().collect(),
            Selector::Follower(_) => {
                all.retain(|&at| self.nodes[at].up && Some(at) != leader);
                one(&all, dice)
            }
            Selector::Minority(_) => {
                dice.shuffle(&mut all);
                let size = (all.len() - 1) / 2;
                // Its leader among them in half of the cases, whatever the shuffle says.
                if let Some(leader) = leader
                    && dice.chance(500_000)
                {
                    all.retain(|&at| at != leader);
                    all.insert(0, leader);
                }
                all.truncate(size);
                all
            }
            Selector::Majority(_) => {
                dice.shuffle(&mut all);
                all.truncate(self.quorum());
                all
            }
            // One node is a member of every group.
            Selector::OneOfEachGroup if dice.chance(500_000) => leader.into_iter().collect(),
            Selector::Gateway => {
                all.retain(|&at| self.nodes[at].up && !self.nodes[at].connections.is_empty());
                one(&all, dice)
            }
            Selector::OneOfEachGroup | Selector::Random => {
                all.retain(|&at| self.nodes[at].up);
                one(&all, dice)
            }
            Selector::All => all,
        }
    }

    fn partition(&self, group: Group, dice: &mut Dice) -> u32 {
        let drawn = u32::try_from(dice.below(u64::from(self.plan.cluster.partitions) + 1)).unwrap_or(0);
        match group {
            Group::Any => drawn,
            Group::Partition(number) => number,
        }
    }
}

fn one(all: &[usize], dice: &mut Dice) -> Vec<usize> {
    let index = dice.index(all.len());
    all.get(index).copied().into_iter().collect()
}
