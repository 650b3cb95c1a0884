use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "pause",
    what: "the process stands still; its clocks go on, and all that came meanwhile comes at once",
    needs_up: true,
    destroys: false,
    strike,
    lift: Some(lift),
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        world.pause(at, strike.id);
    }
}

fn lift(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        if world.nodes[at].paused && world.nodes[at].paused_by == strike.id {
            world.resume(at);
        }
    }
}
