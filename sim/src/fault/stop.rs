use super::{Definition, Strike};
use crate::world::{Pending, World};
use orrery::types::WorkerId;

pub(super) const FAULT: Definition = Definition {
    name: "stop",
    what: "the process is asked to end: it finishes what it is about, hands over what it leads, and goes",
    needs_up: true,
    destroys: false,
    strike,
    lift: None,
};

/// A process that was asked to end.
pub(crate) struct Stopping {
    /// By which fault.
    pub(crate) fault: u32,
    /// It starts again so long after it has ended.
    restart_ns: Option<u64>,
}

fn strike(world: &mut World, strike: &Strike) {
    for &at in &strike.targets {
        if world.nodes[at].stopping.is_some() {
            continue;
        }
        let restart_ns = strike.restart_ns.map(|after| after + strike.dice.dice(at as u64 + 1).below(100_000_000));
        world.nodes[at].stopping = Some(Stopping { fault: strike.id, restart_ns });
        let life = world.nodes[at].life;
        for worker in 0..world.nodes[at].workers.len() {
            let key = u64::from(strike.id) << 24 | (at as u64) << 8 | worker as u64 | 8 << 56;
            world.queue.push(world.now, key, Pending::Shutdown { node: at, worker, life });
        }
    }
}

impl World {
    /// A worker has ended as it was asked to. With the last one the process is gone.
    pub(crate) fn shut_down(&mut self, at: usize, worker: WorkerId) {
        let node = &mut self.nodes[at];
        node.workers[usize::from(worker.0)].end();
        let Some(Stopping { fault, restart_ns }) =
            (!node.workers.iter().any(crate::world::Slot::runs)).then(|| node.stopping.take()).flatten()
        else {
            return;
        };
        self.had_effect(fault);
        self.take_down(at, "stopped", false);
        if let Some(after) = restart_ns {
            let (life, id) = (self.nodes[at].life, u64::from(fault) << 8 | at as u64 | 7 << 60);
            self.queue.push(self.now + after, id, Pending::Restart { node: at, life });
        }
    }
}
