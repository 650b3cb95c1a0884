use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "client_crash",
    what: "clients of the node disappear: a process, whose end is told, or a machine, of which nothing is heard any more",
    needs_up: true,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        world.crash_clients(at, strike.id, &mut strike.dice.dice(at as u64 + 1));
    }
}
