//! What `orrery recover --unsafe` is for, as an event of the simulated world. The survivor is any one that is in sync wherever the product says that
//! somebody is: so whatever was acknowledged in that mode must be there afterwards, and nothing else need be.
//!
//! Caveat: the survivor is one that has all of the cluster partition's log on disk. Whoever lacks its end gives numbers again that are known
//! elsewhere, and what such a survivor holds is to be dumped, not gone on with (`cli/recover.rs`).

use super::{Definition, Strike};
use crate::checker::cluster::ClusterChecker;
use crate::world::{Pending, World};
use orrery::consensus::{self, Protocol};
use orrery::env::DiskOp;
use orrery::types::{NodeId, WorkerId};
use orrery::wal::{self, Wal, WalEvent};

pub(super) const FAULT: Definition = Definition {
    name: "disaster",
    what: "all nodes lose power, all but one that is in sync lose their disks, and the operator goes on with what that one holds",
    needs_up: false,
    destroys: false,
    strike,
    lift: None,
};

fn strike(world: &mut World, strike: &Strike) {
    let may = |at: &usize| world.is_intact(*at) && world.checker.may_survive(*at);
    let candidates: Vec<usize> = (0..world.nodes.len()).filter(may).collect();
    if candidates.is_empty() || world.alone.is_some() {
        return;
    }
    let survivor = candidates[strike.dice.dice(0).index(candidates.len())];
    for at in 0..world.nodes.len() {
        world.take_down(at, "disaster", true);
        if at != survivor {
            world.wipe_disks(at);
            world.nodes[at].unusable = true;
        }
    }
    let id = world.nodes[survivor].id;
    world.alone = Some(id);
    // Nothing is left of what the others have seen.
    world.checker = ClusterChecker::new(&world.plan.cluster);
    world.heal_disks(survivor);
    for worker in 0..world.nodes[survivor].workers.len() {
        if !make_alone(world, survivor, worker) {
            return;
        }
    }
    world.had_effect(strike.id);
    let life = world.nodes[survivor].life;
    let due = world.now + strike.restart_ns.unwrap_or(500_000_000);
    world.queue.push(
        due,
        u64::from(strike.id) << 8 | survivor as u64 | 7 << 60,
        Pending::Restart { node: survivor, life },
    );
}

/// Adds to each partition's log the record that makes this node its only member. `false`: there is no such log.
fn make_alone(world: &mut World, at: usize, worker: usize) -> bool {
    let node = world.nodes[at].id;
    let mut wal = Wal::new(config(world, node, worker));
    wal.start();
    let Some(WalEvent::Recovered { groups, .. }) = until_event(&mut wal, world, at, worker) else { return false };
    let mut ticket = 0;
    for (partition, group) in &groups {
        // Its rows are in the log alone: scenarios of this kind make no checkpoints.
        let Ok(alone) = consensus::alone(Protocol::Raft, node, group, None, None) else { return false };
        ticket += 1;
        wal.append(ticket, *partition, &[alone.record], Some(alone.hard_state));
    }
    wal.flush();
    let mut durable = 0;
    while durable < ticket {
        match until_event(&mut wal, world, at, worker) {
            Some(WalEvent::Persisted { ticket }) => durable = ticket,
            _ => return false,
        }
    }
    true
}

fn config(world: &World, node: NodeId, worker: usize) -> wal::Config {
    let worker = WorkerId(u16::try_from(worker).unwrap_or(0));
    let config = world.worker_config(node, worker);
    wal::Config { node, worker, segment_bytes: config.wal_segment_bytes, seed: world.plan.seed, can_rejoin: false }
}

fn until_event(wal: &mut Wal, world: &mut World, at: usize, worker: usize) -> Option<WalEvent> {
    loop {
        if let Some(event) = wal.poll() {
            return Some(event);
        }
        let ops: Vec<DiskOp> = wal.take_ops();
        if ops.is_empty() {
            return None;
        }
        for op in ops {
            let result = world.nodes[at].workers[worker].disk.execute(&op);
            wal.completed(result);
        }
    }
}
