use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "fail_sync",
    what: "the next sync fails, its pages are dropped, and later syncs say yes all the same",
    needs_up: true,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let node = &mut world.nodes[at];
        node.disk_suspect = true;
        node.disk_faults.push(strike.id);
        node.workers.iter_mut().for_each(|slot| slot.disk.fail_sync = true);
    }
}
