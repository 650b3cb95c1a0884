use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "reset",
    what: "the node's connections are reset: clients lose theirs, and what is under way from and to peers is lost",
    needs_up: true,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let links = world.reset_links(at);
        if world.reset_connections(at) || links {
            world.had_effect(strike.id);
        }
    }
}
