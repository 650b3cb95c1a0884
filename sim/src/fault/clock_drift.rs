use super::{Definition, Strike};
use crate::plan::FaultKind;
use crate::world::World;

pub(super) const FAULT: Definition = Definition {
    name: "clock_drift",
    what: "the node's clocks run at another rate",
    needs_up: false,
    destroys: false,
    strike,
    lift: Some(lift),
};

fn strike(world: &mut World, strike: &Strike) {
    let FaultKind::ClockDrift { ppm, .. } = strike.kind else { return };
    for &at in &strike.targets {
        if world.nodes[at].clock.drift_ppm() != ppm && world.nodes[at].up {
            world.had_effect(strike.id);
        }
        world.set_drift(at, ppm);
    }
}

fn lift(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        let usual = world.plan.clocks.get(at).map_or(0, |clock| clock.drift_ppm);
        world.set_drift(at, usual);
    }
}

impl World {
    fn set_drift(&mut self, at: usize, ppm: i32) {
        let now = self.now;
        self.nodes[at].clock.set_drift(now, ppm);
        self.reset_alarms(at);
    }
}
