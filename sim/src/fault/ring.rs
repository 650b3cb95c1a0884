use super::{Definition, Strike};
use crate::env::network::Condition;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "ring",
    what: "each node reaches only its two neighbours: every majority is another one",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

fn strike(world: &mut World, strike: &Strike) {
    let mut ring = strike.targets.clone();
    strike.dice.dice(1).shuffle(&mut ring);
    let length = ring.len();
    for (i, &from) in ring.iter().enumerate() {
        for (j, &to) in ring.iter().enumerate() {
            let apart = i.abs_diff(j);
            if apart > 1 && apart < length - 1 {
                world.network.lay(strike.id, from, to, Condition::Cut);
            }
        }
    }
}
