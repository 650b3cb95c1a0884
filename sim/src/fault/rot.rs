use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "rot",
    what: "a bit of synced data that is not the last written flips, to be found when it is next read",
    needs_up: false,
    destroys: true,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let mut dice = strike.dice.dice(at as u64 + 1);
        let node = &mut world.nodes[at];
        let worker = dice.index(node.workers.len());
        if node.workers[worker].disk.rot(strike.id, &mut dice) {
            node.destroyed = true;
            node.disk_suspect = true;
        }
    }
}
