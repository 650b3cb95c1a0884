use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::plan::FaultKind;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "bit_flip",
    what: "single bits of the node's messages, both ways, flip on the wire; whoever notices closes the connection",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::BitFlip { flip_ppm, .. } = strike.kind else { return };
    world.lay_around(strike, Condition::Flipping { flip_ppm });
}
