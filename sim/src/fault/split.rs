use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::plan::{Direction, FaultKind};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "split",
    what: "messages between the selected nodes and the rest are lost, both ways or one way",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::Split { direction, .. } = strike.kind else { return };
    cut(world, strike, direction);
}

/// Cuts the targets off from the rest.
pub(super) fn cut(world: &mut World, strike: &Strike, direction: Direction) {
    for &inside in &strike.targets {
        for outside in (0..world.nodes.len()).filter(|at| !strike.targets.contains(at)) {
            if direction != Direction::Inbound {
                world.network.lay(strike.id, inside, outside, Condition::Cut);
            }
            if direction != Direction::Outbound {
                world.network.lay(strike.id, outside, inside, Condition::Cut);
            }
        }
    }
}
