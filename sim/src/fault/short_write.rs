use super::{Definition, Strike};
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "short_write",
    what: "the next write stores only its first sectors and fails, for want of space or with an I/O error",
    needs_up: true,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let draw = strike.dice.dice(at as u64 + 1).draw();
        let node = &mut world.nodes[at];
        node.disk_suspect = true;
        node.disk_faults.push(strike.id);
        node.workers.iter_mut().for_each(|slot| slot.disk.short_write = Some(draw));
    }
}
