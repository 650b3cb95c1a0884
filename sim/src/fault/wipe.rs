use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "wipe",
    what: "the process ends and its disks are replaced by empty ones: what comes back under its name remembers nothing",
    needs_up: false,
    destroys: true,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    // The restart that is planned is that of a crash: of what was on the disks, nothing is left to be lost or torn.
    world.crash(strike, "wiped", false);
    for &at in &strike.targets {
        world.wipe_disks(at);
        world.had_effect(strike.id);
    }
}
