use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "disk_full",
    what: "disk operations of the node that need space fail",
    needs_up: true,
    destroys: false,
    strike,
    lift: Some(lift),
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let node = &mut world.nodes[at];
        node.disk_suspect = true;
        node.disk_faults.push(strike.id);
        node.workers.iter_mut().for_each(|slot| slot.disk.full = true);
    }
}

fn lift(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let node = &mut world.nodes[at];
        node.disk_faults.retain(|fault| *fault != strike.id);
        node.workers.iter_mut().for_each(|slot| slot.disk.full = false);
    }
}
