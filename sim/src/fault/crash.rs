use super::{Definition, Strike};
use crate::world::{Pending, World};

pub(super) const FAULT: Definition = Definition {
    name: "crash",
    what: "the process is killed; what it had written stays in the page cache",
    needs_up: true,
    destroys: false,
    strike: |world, strike| world.crash(strike, "crash", false),
    lift: None,
};

impl World {
    /// Ends the targets' processes, with `power` their unsynced writes too, and plans their restart.
    pub(super) fn crash(&mut self, strike: &Strike, why: &'static str, power: bool) {
        for &at in &strike.targets {
            if self.take_down(at, why, power) {
                self.had_effect(strike.id);
            }
            if let Some(after) = strike.restart_ns {
                // Not all in the same instant: a rack does not boot like that.
                let due = self.now + after + strike.dice.dice(at as u64 + 1).below(100_000_000);
                let (life, id) = (self.nodes[at].life, u64::from(strike.id) << 8 | at as u64 | 7 << 60);
                self.queue.push(due, id, Pending::Restart { node: at, life });
            }
        }
    }
}
