use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "bridge",
    what: "two halves do not reach each other, and one node reaches both",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

fn strike(world: &mut World, strike: &Strike) {
    let mut nodes = strike.targets.clone();
    strike.dice.dice(1).shuffle(&mut nodes);
    let Some((_bridge, banks)) = nodes.split_first() else { return };
    let (left, right) = banks.split_at(banks.len() / 2);
    for &a in left {
        for &b in right {
            world.network.lay(strike.id, a, b, Condition::Cut);
            world.network.lay(strike.id, b, a, Condition::Cut);
        }
    }
}
