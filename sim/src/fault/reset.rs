use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "reset",
    what: "the node's client connections are closed",
    needs_up: true,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        if world.reset_connections(at) {
            world.had_effect(strike.id);
        }
    }
}
