use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "misdirect",
    what: "a write that is not the last one goes to another place of its file, over whatever was there",
    needs_up: true,
    destroys: true,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let mut dice = strike.dice.dice(at as u64 + 1);
        let node = &mut world.nodes[at];
        let worker = dice.index(node.workers.len());
        node.workers[worker].disk.misdirect = Some((strike.id, dice.draw()));
        node.destroyed = true;
        node.disk_suspect = true;
    }
}
