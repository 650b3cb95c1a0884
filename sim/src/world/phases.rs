//! The second phase: a random core is healed, everything outside it stays broken for good, and the core must converge
//! and serve. Healing everything would hide what a half-broken neighbour does to a healthy quorum (one that is heard and
//! does not hear can depose leaders for ever).
//!
//! # Caveats
//! - An outsider's links to the core are made uniform: to all of it sound, cut, deaf or mute. An outsider that reaches only
//!   a part of the core may lead by that part, and the rest of the core then rightly cannot follow: Raft's leader must
//!   reach a quorum, not everybody, and nobody relays. Such bridges belong to the chaos, where only safety is judged.

use super::{Pending, World};
use crate::client::ClientInput;
use crate::env::dice::Stream;
use crate::env::network::Condition;
use crate::plan::Budget;
use crate::run::Violation;
use crate::trace;
use orrery::types::{NodeId, PartitionId};

/// How often convergence is looked for.
const POLL_NS: u64 = 50_000_000;
/// Conditions laid on outsiders at the healing carry this number: no fault has it.
const OUTSIDE: u32 = u32::MAX;

impl World {
    /// Ends the chaos.
    pub(super) fn heal(&mut self) {
        let core = self.draw_core();
        let bits = core.iter().enumerate().fold(0, |bits, (at, &member)| bits | u64::from(member) << (at & 63));
        self.trace.record(self.now, trace::Event::Healed { core: bits });
        self.core = Some(core.clone());
        for from in 0..core.len() {
            for to in 0..core.len() {
                if core[from] && core[to] {
                    self.network.heal(from, to);
                }
            }
        }
        for (at, &member) in core.iter().enumerate() {
            if member {
                self.heal_node(at);
            } else {
                self.leave_outside(at, &core);
            }
        }
        let ids =
            core.iter().zip(&self.nodes).filter(|(member, _)| **member).map(|(_, node)| node.id).collect::<Vec<_>>();
        for client in 0..self.clients.len() {
            self.client(client, ClientInput::Healed(ids.clone()));
        }
        self.queue.push(self.now + POLL_NS, 0, Pending::Poll);
    }

    /// Every node holds every group: any quorum of intact nodes is a quorum of every group. Where the budget has left no
    /// such quorum (then nothing is judged but safety), any nodes will do.
    fn draw_core(&self) -> Vec<bool> {
        if let Some(alone) = self.alone {
            return self.nodes.iter().map(|node| node.id == alone).collect();
        }
        if self.plan.cluster.spares > 0 {
            // Groups are wherever their operator has had them moved to.
            return vec![true; self.nodes.len()];
        }
        let mut dice = Stream::new(self.plan.seed, "core").dice(0);
        let mut intact: Vec<usize> = (0..self.nodes.len()).filter(|&at| self.is_intact(at)).collect();
        let quorum = self.quorum();
        if intact.len() < quorum {
            intact = (0..self.nodes.len()).collect();
            if self.nodes.iter().any(|node| node.blank) {
                // A group that has not been formed needs them all.
                return vec![true; self.nodes.len()];
            }
        }
        dice.shuffle(&mut intact);
        let size = quorum + dice.index(intact.len() - quorum + 1);
        let mut core = vec![false; self.nodes.len()];
        intact[..size].iter().for_each(|&at| core[at] = true);
        // Who remembers nothing is to come back by itself: a quorum of others is there.
        for (at, node) in self.nodes.iter().enumerate() {
            core[at] |= node.blank && !node.unusable && !node.destroyed;
        }
        core
    }

    /// Members that make a group able to act.
    pub(crate) fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Has this node, up or down, all that it ever acknowledged?
    pub(crate) fn is_intact(&self, at: usize) -> bool {
        !self.nodes[at].destroyed && !self.nodes[at].unusable && !self.nodes[at].blank
    }

    /// Nothing is wrong with a node's disks any more.
    pub(crate) fn heal_disks(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.slow_disk.clear();
        for slot in &mut node.workers {
            slot.disk.io_error = false;
            slot.disk.full = false;
            slot.disk.fail_sync = false;
            slot.disk.short_write = None;
            slot.disk.misdirect = None;
        }
    }

    fn heal_node(&mut self, at: usize) {
        self.heal_disks(at);
        for slot in &mut self.nodes[at].workers {
            slot.life.points.silence();
        }
        if self.nodes[at].stopping.is_some() {
            // It cannot be asked to stay.
            self.take_down(at, "not waited for", false);
        }
        if !self.nodes[at].up {
            self.start_node(at);
        } else if self.nodes[at].paused {
            self.resume(at);
        }
    }

    /// A node outside the core keeps what it suffers, and may get worse.
    fn leave_outside(&mut self, at: usize, core: &[bool]) {
        let fate = Stream::new(self.plan.seed, "outside").dice(at as u64).below(5);
        for other in (0..core.len()).filter(|&other| core[other]) {
            self.network.clear(at, other);
            self.network.clear(other, at);
            if fate == 1 || fate == 2 {
                self.network.lay(OUTSIDE, at, other, Condition::Cut);
            }
            if fate == 1 || fate == 3 {
                self.network.lay(OUTSIDE, other, at, Condition::Cut);
            }
        }
        if fate == 0 {
            self.take_down(at, "left outside", false);
        }
        self.close_connections(at, false);
    }

    /// Looks whether all is well: then the run ends. A run that is never well ends at its limit, with a violation.
    pub(super) fn poll(&mut self) {
        let served = self.clients.iter().all(|place| place.done);
        let trouble = self.not_converged();
        if served && trouble.is_none() {
            self.converged_ns = Some(self.now);
            self.finished = true;
            return;
        }
        if self.now < self.plan.chaos_ns + self.plan.liveness_ns {
            self.queue.push(self.now + POLL_NS, 0, Pending::Poll);
            return;
        }
        self.finished = true;
        if self.plan.budget == Budget::Unbounded {
            return;
        }
        let waiting: Vec<usize> = (0..self.clients.len()).filter(|&client| !self.clients[client].done).collect();
        let (kind, message) = match trouble {
            Some(trouble) => ("the core does not converge", trouble),
            None => {
                ("clients are not served", format!("clients {waiting:?} have not finished their closing operations"))
            }
        };
        self.violate(Violation { checker: "liveness", kind: kind.to_owned(), at_ns: self.now, message });
    }

    /// Something that a client has left behind: a connection that its node knows and that has ended.
    fn left_behind(&self, core: &[bool]) -> Option<String> {
        for node in self.nodes.iter().zip(core).filter(|(_, member)| **member).map(|(node, _)| node) {
            for (worker, slot) in node.workers.iter().enumerate() {
                let open = node.connections.values().filter(|at| self.connections[**at].worker == worker).count();
                let known = slot.machine.as_ref().map_or(open, |machine| machine.connections());
                if known != open {
                    return Some(format!("{}.w{worker} knows {known} connections, {open} are open", node.id));
                }
            }
        }
        None
    }

    /// Where nodes come and go: who belongs to a group, once that is as it is wanted, and nobody else has a replica of it.
    fn members(&self, partition: PartitionId, worker: usize) -> Result<Option<Vec<NodeId>>, String> {
        if self.plan.cluster.spares == 0 {
            return Ok(None);
        }
        let machine = |at: usize, worker: usize| self.nodes[at].workers[worker].machine.as_deref();
        let all = 0..self.nodes.len();
        let newest = all.clone().filter_map(|at| machine(at, 0)?.directory()).max_by_key(|directory| directory.version);
        let Some(newest) = newest.filter(|newest| newest.is_formed()) else {
            return Err("nobody knows of a directory of nodes".to_owned());
        };
        let leader = self.checker.leader(partition.0);
        let Some(membership) = leader.and_then(|at| machine(at, worker)?.membership(partition)) else {
            return Err(format!("{partition} has no leader"));
        };
        let wanted = newest.placement(partition).map(|placement| placement.voters.clone()).unwrap_or_default();
        let size = (newest.voters as usize).min(newest.active().count());
        if membership.is_joint() || membership.members() != wanted || wanted.len() + 1 < size {
            return Err(format!("{partition} is {membership:?}, and wanted on {wanted:?} of {size}"));
        }
        for at in all {
            let id = self.nodes[at].id;
            // Who was removed is not spoken to any more.
            let belongs = newest.member(id).is_some() && !membership.contains(id);
            if belongs && machine(at, worker).is_some_and(|machine| machine.consensus_status(partition).is_some()) {
                return Err(format!("{id} has a replica of {partition} and is no member: {membership:?}"));
            }
        }
        Ok(Some(wanted))
    }

    /// What still keeps the core from having converged, in words.
    fn not_converged(&self) -> Option<String> {
        let core = self.core.as_ref()?;
        if let Some(left) = self.left_behind(core) {
            return Some(left);
        }
        for number in 0..=self.plan.cluster.partitions {
            let partition = PartitionId(number);
            let worker = number as usize % usize::from(self.plan.cluster.workers);
            let mut first = None;
            let members = match self.members(partition, worker) {
                Ok(members) => members,
                Err(trouble) => return Some(trouble),
            };
            for (at, node) in self.nodes.iter().enumerate().filter(|(at, _)| core[*at]) {
                let id = node.id;
                if members.as_ref().is_some_and(|members| !members.contains(&id)) {
                    continue;
                }
                let Some(machine) = node.workers[worker].machine.as_ref() else {
                    return Some(format!("{id} is down"));
                };
                let _ = at;
                let Some(status) = machine.consensus_status(partition) else {
                    return Some(format!("{id} has no replica of {partition}: it has not recovered"));
                };
                let state = machine.state_digest(partition);
                let executed = state.map(|(index, _)| index);
                if status.leader.is_none() || status.last != status.committed || executed != Some(status.committed) {
                    return Some(format!("{id} {partition}: {status:?}, executed {executed:?}"));
                }
                let here = (status.era, status.leader, status.committed, state);
                match first {
                    None => first = Some((id, here)),
                    Some((other, there)) if there != here => {
                        return Some(format!("{partition}: {id} has {here:?}, {other} has {there:?}"));
                    }
                    Some(_) => {}
                }
            }
        }
        None
    }
}
