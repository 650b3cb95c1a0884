//! Nodes: their workers' lives, disks, clocks; how they go down and come back.

use super::machine::Machine;
use super::{Pending, World};
use crate::env::buggify::Points;
use crate::env::clock::SimClock;
use crate::env::dice::{Dice, Stream, mix};
use crate::env::disk::{PowerLoss, SimDisk};
use crate::env::worker::Life;
use crate::fault::Stopping;
use crate::trace;
use orrery::consensus::Standing;
use orrery::env::{DiskError, DiskOp, DiskResult, Event, OpId};
use orrery::node::WorkerConfig;
use orrery::types::{Instant, NodeId, PartitionId, WorkerId};
use std::collections::{BTreeMap, VecDeque};

/// One node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// Number of the present life, or of the last. Fences what was meant for an earlier one.
    pub(crate) life: u64,
    /// Does its process run?
    pub(crate) up: bool,
    pub(crate) paused: bool,
    /// It was asked to end.
    pub(crate) stopping: Option<Stopping>,
    /// The fault that paused it.
    pub(crate) paused_by: u32,
    pub(crate) workers: Vec<Slot>,
    pub(crate) clock: SimClock,
    /// The reading of its monotonic clock when it was paused.
    pub(crate) paused_at: Instant,
    /// Events that came while it was paused, in order.
    pub(super) held: VecDeque<Pending>,
    /// Open connections by the number that the node knows them by.
    pub(crate) connections: BTreeMap<u64, usize>,
    pub(super) next_connection: u64,
    /// Faults that slow its disks, with the time that each operation takes longer.
    pub(crate) slow_disk: Vec<(u32, u64)>,
    /// Faults that a failed disk operation is counted for.
    pub(crate) disk_faults: Vec<u32>,
    /// Data that was acknowledged may be gone from its disk: it counts as failed for good.
    pub(crate) destroyed: bool,
    /// A disk fault has struck it in this run: its process may end by itself.
    pub(crate) disk_suspect: bool,
    /// It has said that its disk is unusable and stays out.
    pub(crate) unusable: bool,
    /// It remembers nothing: not yet, or its disks have been replaced. Counts as failed until it is a member of each group.
    pub(crate) blank: bool,
}

/// One worker's place on a node: what outlasts its lives, and what does not.
pub(crate) struct Slot {
    pub(super) machine: Option<Box<dyn Machine>>,
    /// Has this life had its first event?
    pub(super) started: bool,
    pub(crate) disk: SimDisk,
    pub(super) life: Life,
    /// Operations submitted and not completed.
    pub(super) in_flight: VecDeque<(OpId, DiskOp)>,
    /// So many of them were submitted behind one that has failed, and are refused.
    pub(super) refused: usize,
    /// When the disk has done all of them.
    pub(super) busy_until: u64,
    /// Disk operations of all lives: keys of their delays.
    pub(super) operations: u64,
    pub(super) wake_wanted: Option<Instant>,
    /// Earliest wake-up that stands in the queue.
    pub(super) wake_queued: Option<u64>,
    /// It executes until then, and hears nothing.
    pub(super) deaf_until: u64,
    /// The reading of its node's monotonic clock when that began.
    pub(super) deaf_since: Instant,
    /// Events that have come meanwhile, in order.
    pub(super) unheard: VecDeque<Event>,
    /// What it had executed in this life when it was last looked at.
    pub(super) statements: u64,
}

impl World {
    /// All nodes, down.
    pub(super) fn make_nodes(plan: &crate::plan::Plan) -> Vec<Node> {
        let boots = Stream::new(plan.seed, "boot");
        let node = |(position, id): (usize, NodeId)| Node {
            id,
            life: 0,
            up: false,
            paused: false,
            stopping: None,
            paused_by: 0,
            paused_at: Instant::default(),
            workers: (0..plan.cluster.workers).map(|worker| Slot::new(plan, id, worker)).collect(),
            clock: SimClock::new(
                plan.clocks.get(position).copied().unwrap_or_default(),
                boots.dice(u64::from(id.0)).between(1_000_000_000, 1_000_000_000_000_000),
            ),
            held: VecDeque::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            slow_disk: Vec::new(),
            disk_faults: Vec::new(),
            destroyed: false,
            disk_suspect: false,
            unusable: false,
            blank: true,
        };
        plan.cluster.node_ids().into_iter().enumerate().map(node).collect()
    }

    /// Begins a life: new workers on the disks as they are.
    pub(crate) fn start_node(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.up || node.unusable {
            return;
        }
        node.up = true;
        node.life += 1;
        node.next_connection = 1;
        let (id, life) = (node.id, node.life);
        self.silences.begins(at, self.now);
        self.pace.begins(at);
        if life > 1 {
            self.restarts += 1;
            let count = self.counts.entry("restart").or_default();
            count.injected += 1;
            count.effective += 1;
        }
        self.trace.record(self.now, trace::Event::Restart { node: id, life });
        for worker in 0..self.nodes[at].workers.len() {
            let number = u16::try_from(worker).expect("the plan counts workers in 16 bits");
            let mut machine_life = life_of(&self.plan, id, number, life);
            if self.core.is_some() {
                machine_life.points.silence();
            }
            let machine = (self.build)(self.worker_config(id, WorkerId(number)));
            let slot = &mut self.nodes[at].workers[worker];
            slot.life = machine_life;
            slot.started = false;
            slot.machine = Some(machine);
            slot.busy_until = self.now;
            slot.wake_wanted = None;
            slot.wake_queued = None;
            slot.listen_anew();
            let key = mix(u64::from(id.0) << 32 | worker as u64) ^ life;
            let delay = Stream::new(self.plan.seed, "start").dice(key).below(2_000_000);
            self.queue.push(self.now + delay, key, Pending::Start { node: at, worker, life });
        }
    }

    /// Ends a node's process, and with `power` also takes what its disks had not synced. Tells whether that changed
    /// anything.
    pub(crate) fn take_down(&mut self, at: usize, why: &'static str, power: bool) -> bool {
        let node = &mut self.nodes[at];
        let was_up = node.up;
        let mut dice = Stream::new(self.plan.seed, "crash").dice(mix(u64::from(node.id.0)) ^ self.now);
        node.up = false;
        node.paused = false;
        node.stopping = None;
        node.held.clear();
        let mut loss = PowerLoss::default();
        for slot in &mut node.workers {
            slot.machine = None;
            slot.listen_anew();
            slot.finish_some(&mut dice);
            if power {
                let one = slot.disk.power_loss(&mut dice, self.plan.disk.torn_ppm);
                loss.kept += one.kept;
                loss.lost += one.lost;
                loss.torn += one.torn;
                loss.names += one.names;
            } else {
                slot.disk.process_end(&mut dice);
            }
        }
        let (id, life) = (node.id, node.life);
        if was_up {
            self.trace.record(self.now, trace::Event::Down { node: id, life, why });
            self.checker.forget(at);
            self.close_connections(at, power);
            if !power {
                self.refuse_peers(at, 900_000);
            }
        }
        if power {
            let event = trace::Event::DiskLost { node: id, lost: loss.lost, torn: loss.torn, names: loss.names };
            self.trace.record(self.now, event);
            let at_stake = u64::from(loss.kept + loss.lost + loss.torn);
            self.add("lost_write", at_stake, u64::from(loss.lost));
            self.add("torn_write", at_stake, u64::from(loss.torn));
            self.add("lost_name", u64::from(loss.names), u64::from(loss.names));
        }
        was_up || loss.lost + loss.torn + loss.names > 0
    }

    /// What a worker is told at the beginning of its life.
    pub(crate) fn worker_config(&self, node: NodeId, worker: WorkerId) -> WorkerConfig {
        let config = self.plan.worker_config(node, worker);
        if self.alone == Some(node) { WorkerConfig { nodes: vec![node], founder: true, ..config } } else { config }
    }

    /// A node that is down gets new disks. Whatever had been destroyed on the old ones is gone with them.
    pub(crate) fn wipe_disks(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        for slot in &mut node.workers {
            slot.disk = SimDisk::default();
        }
        self.checker.wiped(at);
        let node = &mut self.nodes[at];
        node.blank = true;
        node.destroyed = false;
        node.unusable = false;
    }

    /// Has every replica of this node become a member again?
    pub(super) fn look_for_membership(&mut self, at: usize) {
        let groups = 0..=self.plan.cluster.partitions;
        let workers = usize::from(self.plan.cluster.workers);
        let node = &self.nodes[at];
        let is_member = |number: u32| {
            let machine = node.workers[number as usize % workers].machine.as_ref();
            let status = machine.and_then(|machine| machine.consensus_status(PartitionId(number)));
            status.is_some_and(|status| status.standing == Standing::Member)
        };
        if groups.into_iter().all(is_member) {
            self.nodes[at].blank = false;
        }
    }

    /// The process stands still.
    pub(crate) fn pause(&mut self, at: usize, fault: u32) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if !node.paused {
            (node.paused, node.paused_by, node.paused_at) = (true, fault, node.clock.monotonic(now));
        }
    }

    /// The process goes on: its workers notice for how long it stood still, then what was held comes, in order.
    pub(crate) fn resume(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.paused = false;
        let length = node.clock.monotonic(self.now).since(node.paused_at);
        for worker in 0..node.workers.len() {
            // One that has not started has nothing that it could have missed.
            if self.nodes[at].workers[worker].started {
                self.handle(at, worker, Event::Paused { length });
            }
        }
        while !self.nodes[at].paused
            && let Some(pending) = self.nodes[at].held.pop_front()
        {
            self.dispatch(pending);
        }
        self.reset_alarms(at);
    }

    /// What a worker has executed takes its time: so long it hears nothing. Nodes are of different speed, each slower than the
    /// one before it.
    pub(super) fn take_time(&mut self, at: usize, worker: usize) {
        let (fastest, uneven) = (self.plan.cpu.statement_ns, self.plan.cpu.uneven_percent);
        let (now, life) = (self.now, self.nodes[at].life);
        let node = &mut self.nodes[at];
        let clock = node.clock.monotonic(now);
        let slot = &mut node.workers[worker];
        let Some(statements) = slot.machine.as_ref().map(|machine| machine.statements()) else { return };
        let news = statements.saturating_sub(std::mem::replace(&mut slot.statements, statements));
        if fastest == 0 || news == 0 {
            return;
        }
        (slot.deaf_until, slot.deaf_since) = (now + news * fastest * (100 + uneven * at as u64) / 100, clock);
        let id = mix(9 << 56 | (at as u64) << 16 | worker as u64) ^ now;
        self.queue.push(slot.deaf_until, id, Pending::Listens { node: at, worker, life });
    }

    /// It listens again: first it notices for how long it did not, then comes what it has not heard, alarms last.
    pub(super) fn listens(&mut self, at: usize, worker: usize, life: u64) {
        let node = &mut self.nodes[at];
        if node.paused {
            node.held.push_back(Pending::Listens { node: at, worker, life });
            return;
        }
        let slot = &mut node.workers[worker];
        if node.life != life || slot.deaf_until == 0 || slot.deaf_until > self.now {
            return;
        }
        slot.deaf_until = 0;
        let length = node.clock.monotonic(self.now).since(slot.deaf_since);
        let (alarms, mut unheard): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut slot.unheard).into_iter().partition(|event| matches!(event, Event::Wake));
        unheard.push_front(Event::Paused { length });
        unheard.extend(alarms.into_iter().take(1));
        if let Some(last) = unheard.pop_back() {
            self.turn_of(at, worker, unheard.into_iter(), last);
        }
    }

    /// The clock's rate has changed: wake-ups are due at other times.
    pub(crate) fn reset_alarms(&mut self, at: usize) {
        for worker in 0..self.nodes[at].workers.len() {
            self.queue_wake(at, worker);
        }
    }

    /// Sees to it that a wake-up stands in the queue for what the worker wants.
    pub(super) fn queue_wake(&mut self, at: usize, worker: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        let slot = &mut node.workers[worker];
        let Some(wanted) = slot.wake_wanted else { return };
        let due = node.clock.when(wanted, now);
        if slot.wake_queued.is_none_or(|queued| queued > due) {
            slot.wake_queued = Some(due);
            let id = mix(1 << 60 | (at as u64) << 16 | worker as u64) ^ due;
            self.queue.push(due, id, Pending::Wake { node: at, worker });
        }
    }

    /// A wake-up in the queue has come: `true` if the worker is to be woken.
    pub(super) fn wake_is_due(&mut self, at: usize, worker: usize) -> bool {
        let now = self.now;
        let node = &mut self.nodes[at];
        let slot = &mut node.workers[worker];
        if slot.wake_queued != Some(now) {
            return false; // an earlier one took its place, or another life
        }
        slot.wake_queued = None;
        match slot.wake_wanted {
            Some(wanted) if node.clock.monotonic(now) >= wanted => {
                slot.wake_wanted = None;
                true
            }
            _ => {
                self.queue_wake(at, worker);
                false
            }
        }
    }

    /// Hands a disk operation over; its completion is put in the queue.
    pub(super) fn submit(&mut self, at: usize, worker: usize, id: OpId, op: DiskOp) {
        let knobs = &self.plan.disk;
        let node = &mut self.nodes[at];
        let slot = &mut node.workers[worker];
        slot.operations += 1;
        let stream = Stream::new(self.plan.seed, "disk").at((at as u64) << 16 | worker as u64);
        let mut dice = stream.dice(slot.operations);
        let mean = match op {
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => knobs.sync_mean_ns,
            _ => knobs.latency_mean_ns,
        };
        let mut delay = knobs.latency_min_ns + dice.exponential(mean.saturating_sub(knobs.latency_min_ns));
        if dice.chance(knobs.slow_ppm) {
            delay = delay.max(knobs.slow_ns);
            self.slow_operations += 1;
        }
        for (_, extra) in &node.slow_disk {
            delay += extra;
        }
        let slowed = node.slow_disk.first().map(|(fault, _)| *fault);
        slot.in_flight.push_back((id, op));
        slot.busy_until = slot.busy_until.max(self.now) + delay.max(1);
        let (due, life, key) = (slot.busy_until, node.life, stream.at(slot.operations).0);
        self.queue.push(due, key, Pending::Disk { node: at, worker, life });
        if let Some(fault) = slowed {
            self.had_effect(fault);
        }
    }
}

impl Slot {
    /// Is it in a life?
    pub(crate) fn runs(&self) -> bool {
        self.machine.is_some()
    }

    /// Its life has ended; what the disk was asked to do it still does.
    pub(crate) fn end(&mut self) {
        self.machine = None;
    }

    fn new(plan: &crate::plan::Plan, node: NodeId, worker: u16) -> Self {
        Self {
            machine: None,
            started: false,
            disk: SimDisk::default(),
            life: life_of(plan, node, worker, 0),
            in_flight: VecDeque::new(),
            refused: 0,
            busy_until: 0,
            operations: 0,
            wake_wanted: None,
            wake_queued: None,
            deaf_until: 0,
            deaf_since: Instant::default(),
            unheard: VecDeque::new(),
            statements: 0,
        }
    }

    /// A life begins or has ended: nothing of it is under way.
    fn listen_anew(&mut self) {
        self.deaf_until = 0;
        self.unheard.clear();
        self.statements = 0;
    }

    /// Carries out the oldest operation, unless one before it has failed after it was submitted.
    pub(super) fn execute(&mut self, op: &DiskOp) -> DiskResult {
        if self.refused > 0 {
            self.refused -= 1;
            return Err(DiskError::Io("an earlier operation failed".to_owned()));
        }
        let result = self.disk.execute(op);
        if matches!(result, Err(DiskError::Io(_) | DiskError::Full)) {
            self.refused = self.in_flight.len();
        }
        result
    }

    /// The process ends while operations are in flight: the first few of them may still happen.
    fn finish_some(&mut self, dice: &mut Dice) {
        let done = dice.index(self.in_flight.len() + 1);
        for _ in 0..done {
            let Some((_, op)) = self.in_flight.pop_front() else { break };
            let _nobody_hears = self.execute(&op);
        }
        self.in_flight.clear();
        self.refused = 0;
    }
}

/// The streams of one life of a worker.
fn life_of(plan: &crate::plan::Plan, node: NodeId, worker: u16, life: u64) -> Life {
    let place = u64::from(node.0) << 16 | u64::from(worker);
    Life {
        entropy: Stream::new(plan.seed, "entropy").at(place).at(life),
        points: Points::new(
            plan.buggify,
            Stream::new(plan.seed, "buggify sites"),
            Stream::new(plan.seed, "buggify").at(place).at(life),
        ),
        labels: BTreeMap::new(),
        operations: 0,
    }
}
