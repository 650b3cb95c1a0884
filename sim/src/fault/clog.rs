use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "clog",
    what: "the node's messages, both ways, are queued and come all at once when it ends",
    needs_up: false,
    destroys: false,
    strike: |world, strike| world.lay_around(strike, Condition::Clogged),
    lift: Some(lift),
};

fn lift(world: &mut World, strike: &Strike) {
    world.network.lift(strike.id);
    world.release_clogged();
}
