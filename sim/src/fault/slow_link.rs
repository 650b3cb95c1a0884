use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::plan::FaultKind;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "slow_link",
    what: "the node's messages, both ways, take longer",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::SlowLink { extra_ns, .. } = strike.kind else { return };
    world.lay_around(strike, Condition::Slow { extra_ns });
}
