use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::plan::FaultKind;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "lossy",
    what: "a part of the node's messages, both ways, is lost",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::Lossy { loss_ppm, .. } = strike.kind else { return };
    world.lay_around(strike, Condition::Lossy { loss_ppm });
}

impl World {
    /// Lays a condition on all links of the targets, both ways, once on each.
    pub(super) fn lay_around(&mut self, strike: &Strike, condition: Condition) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if strike.targets.contains(&from) || strike.targets.contains(&to) {
                    self.network.lay(strike.id, from, to, condition);
                }
            }
        }
    }
}
