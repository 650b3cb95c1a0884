use super::{Definition, Strike};
use crate::plan::FaultKind;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "slow_disk",
    what: "each disk operation of the node takes longer",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(lift),
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::SlowDisk { extra_ns, .. } = strike.kind else { return };
    for &at in &strike.targets {
        world.nodes[at].slow_disk.push((strike.id, extra_ns));
    }
}

fn lift(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        world.nodes[at].slow_disk.retain(|(fault, _)| *fault != strike.id);
    }
}
