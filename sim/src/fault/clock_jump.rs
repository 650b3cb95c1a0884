use super::{Definition, Strike};
use crate::plan::FaultKind;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "clock_jump",
    what: "the node's wall clock jumps, either way; its monotonic clock does not",
    needs_up: false,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::ClockJump { by_ns, .. } = strike.kind else { return };
    for &at in &strike.targets {
        world.nodes[at].clock.jump(by_ns);
        if by_ns != 0 && world.nodes[at].up {
            world.had_effect(strike.id);
        }
    }
}
