//! **World**: one virtual universe. The real workers live in it and cannot tell.
//!
//! A plan says how many nodes and workers there are, what clients do, and which faults strike when. The world is one
//! loop over a heap of events in simulated time: it takes the earliest, moves the clock there, gives it to the worker or
//! client that it is for, and carries out what that wants. Nothing else runs; a crash is a dropped struct.
//!
//! - `queue`: what is to come.
//! - `node`: lives of nodes and workers, disks, wake-ups; `peers`: messages; `clients`: clients and connections.
//! - `phases`: the healing of a core, and the judgement of liveness.
//! - `sandbox`: the thread and the madsim runtime around it all.
//!
//! # Invariants
//! - A run is a function of its plan and of the product: same plan, same trace hash, in every process and build.
//! - A worker sees events of its own life only, and none after it has stopped.
//! - After each event of a worker the cluster's invariants are checked on it; at the first violation the run stops.
//!
//! # Caveats
//! - A worker's computing takes no simulated time, but for what it executes, in scenarios that say how long that takes; and what
//!   comes of that is there at its beginning.
//! - Splits are between nodes; clients reach every node that is up, until the healing: then only the core.

mod clients;
mod machine;
mod node;
mod panic;
mod peers;
mod phases;
mod queue;
mod sandbox;
#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;

pub use machine::{Build, Machine, product};
pub use sandbox::{Options, simulate, simulate_with};

use crate::checker::cluster::ClusterChecker;
use crate::checker::hand_overs::HandOvers;
use crate::checker::pace::Pace;
use crate::checker::silence::Silences;
use crate::client::{Client, ClientInput};
use crate::env::network::SimNetwork;
use crate::env::worker::{Wish, WorkerEnv};
use crate::fault::Nemesis;
use crate::history::HistoryEvent;
use crate::plan::Plan;
use crate::run::{FaultCount, Run, Violation};
use crate::trace::{self, Trace};
use clients::{Connection, Piece, Place};
use madsim::time::TimeHandle;
use node::Node;
pub(crate) use node::Slot;
use orrery::env::{Control, Event, StopReason};
use orrery::types::{Duration, NodeId, WorkerId};
use peers::{Clogged, Message};
use queue::Queue;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// What is to come.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A message comes off its link.
    Message(Box<Message>),
    /// A message that a paused node had already received.
    Held(Box<Message>),
    Start {
        node: usize,
        worker: usize,
        life: u64,
    },
    Wake {
        node: usize,
        worker: usize,
    },
    Disk {
        node: usize,
        worker: usize,
        life: u64,
    },
    /// A process is asked to end.
    Shutdown {
        node: usize,
        worker: usize,
        life: u64,
    },
    /// A worker finds a peer's machine refusing connections.
    PeerGone {
        node: usize,
        worker: usize,
        life: u64,
        peer: NodeId,
    },
    ToNode {
        connection: usize,
        piece: Piece,
    },
    Accepted {
        connection: usize,
    },
    ToClient {
        connection: usize,
        piece: Piece,
    },
    ClientWake {
        client: usize,
    },
    /// A client that has disappeared begins anew.
    ClientEnded {
        client: usize,
    },
    /// A planned fault's time has come.
    Fault {
        position: usize,
    },
    /// A fault ends.
    Lift {
        fault: u32,
    },
    /// A flapping split changes its state.
    Flap {
        fault: u32,
        turn: u64,
        until_ns: u64,
    },
    /// A node starts again, if it is still in the life after which this was decided.
    Restart {
        node: usize,
        life: u64,
    },
    /// A worker has executed what it was about.
    Listens {
        node: usize,
        worker: usize,
        life: u64,
    },
    Heal,
    Poll,
}

/// The universe.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) queue: Queue<Pending>,
    pub(crate) trace: Trace,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: SimNetwork,
    pub(crate) nemesis: Nemesis,
    pub(crate) checker: ClusterChecker,
    silences: Silences,
    hand_overs: HandOvers,
    pub(super) pace: Pace,
    pub(crate) counts: BTreeMap<&'static str, FaultCount>,
    /// Once healed: who belongs to the core.
    pub(crate) core: Option<Vec<bool>>,
    /// The only node of the cluster that there is since a disaster.
    pub(crate) alone: Option<NodeId>,
    build: Build,
    clients: Vec<Place>,
    connections: Vec<Connection>,
    clogged: Vec<Clogged>,
    /// Highest message number delivered on each link.
    delivered: Vec<u64>,
    wishes: Vec<Wish>,
    passed: Vec<(&'static str, usize)>,
    history: Vec<(u64, HistoryEvent)>,
    violations: Vec<Violation>,
    restarts: u64,
    slow_operations: u64,
    converged_ns: Option<u64>,
    finished: bool,
    until_ns: u64,
}

impl World {
    /// A universe in which nothing has happened yet.
    pub(crate) fn new(plan: &Plan, options: &Options, build: Build, clients: Vec<Box<dyn Client>>) -> Self {
        let nodes = Self::make_nodes(plan);
        let mut world = Self {
            now: 0,
            queue: Queue::new(plan.seed),
            trace: if options.record { Trace::new(options.tail).recorded() } else { Trace::new(options.tail) },
            network: SimNetwork::new(plan.network.clone(), plan.seed, nodes.len()),
            nemesis: Nemesis::default(),
            checker: ClusterChecker::new(&plan.cluster),
            silences: Silences::new(plan.knobs.attempt_timeout_ns),
            hand_overs: HandOvers::new(plan),
            pace: Pace::new(plan),
            counts: BTreeMap::new(),
            core: None,
            alone: None,
            build,
            clients: clients.into_iter().map(Place::new).collect(),
            connections: Vec::new(),
            clogged: Vec::new(),
            delivered: vec![0; nodes.len() * nodes.len()],
            wishes: Vec::new(),
            passed: Vec::new(),
            history: Vec::new(),
            violations: Vec::new(),
            restarts: 0,
            slow_operations: 0,
            converged_ns: None,
            finished: false,
            until_ns: options.until_ns.unwrap_or(u64::MAX),
            nodes,
            plan: plan.clone(),
        };
        world.count_clocks();
        world
    }

    /// Runs to the end.
    pub(crate) fn turn(&mut self, time: Option<TimeHandle>) {
        for node in 0..self.nodes.len() {
            self.start_node(node);
        }
        for client in 0..self.clients.len() {
            self.client(client, ClientInput::Start);
        }
        for position in 0..self.plan.faults.len() {
            let fault = &self.plan.faults[position];
            self.queue.push(fault.at_ns, u64::from(fault.id) | 3 << 60, Pending::Fault { position });
        }
        self.queue.push(self.plan.chaos_ns, 4 << 60, Pending::Heal);
        while !self.finished
            && let Some((at, pending)) = self.queue.pop()
        {
            if at > self.until_ns {
                break;
            }
            debug_assert!(at >= self.now, "time does not go back");
            if at > self.now {
                if let Some(time) = &time {
                    time.advance(Duration::from_nanos(at - self.now));
                }
                self.now = at;
            }
            self.dispatch(pending);
        }
        self.trace.record(self.now, trace::Event::End);
    }

    pub(super) fn dispatch(&mut self, pending: Pending) {
        match pending {
            Pending::Message(message) => self.arrive(message),
            Pending::Held(message) => self.receive(message),
            Pending::Start { .. }
            | Pending::Wake { .. }
            | Pending::Disk { .. }
            | Pending::PeerGone { .. }
            | Pending::Shutdown { .. } => {
                self.worker_event(pending);
            }
            Pending::ToNode { connection, piece } => self.at_node(connection, piece),
            Pending::Accepted { connection } => self.accepted(connection),
            Pending::ToClient { connection, piece } => self.at_client(connection, piece),
            Pending::ClientWake { client } => self.client_wake(client),
            Pending::ClientEnded { client } => self.client_ended(client),
            Pending::Fault { position } => self.fault_is_due(position),
            Pending::Lift { fault } => self.lift(fault),
            Pending::Flap { fault, turn, until_ns } => self.flap(fault, turn, until_ns),
            Pending::Restart { node, life } => {
                let wanted = self.core.as_ref().is_none_or(|core| core[node]);
                if wanted && self.nodes[node].life == life {
                    self.start_node(node);
                }
            }
            Pending::Listens { node, worker, life } => self.listens(node, worker, life),
            Pending::Heal => self.heal(),
            Pending::Poll => self.poll(),
        }
    }

    /// An event of a worker itself: its start, its alarm, its disk.
    fn worker_event(&mut self, pending: Pending) {
        let (Pending::Start { node: at, .. }
        | Pending::Wake { node: at, .. }
        | Pending::Disk { node: at, .. }
        | Pending::PeerGone { node: at, .. }
        | Pending::Shutdown { node: at, .. }) = pending
        else {
            return;
        };
        if !self.nodes[at].up {
            return;
        }
        if self.nodes[at].paused {
            let fault = self.nodes[at].paused_by;
            match pending {
                // The alarm that stood in the queue is gone: on resuming, it is set anew and due at once.
                Pending::Wake { worker, .. } => self.nodes[at].workers[worker].wake_queued = None,
                other => self.nodes[at].held.push_back(other),
            }
            self.had_effect(fault);
            return;
        }
        let node = self.nodes[at].id;
        match pending {
            Pending::Start { worker, life, .. } if life == self.nodes[at].life => {
                self.trace.record(self.now, trace::Event::Start { node, worker: of_worker(worker), life });
                self.nodes[at].workers[worker].started = true;
                self.handle(at, worker, Event::Start);
            }
            Pending::Wake { worker, .. } if self.wake_is_due(at, worker) => {
                self.trace.record(self.now, trace::Event::Wake { node, worker: of_worker(worker) });
                self.handle(at, worker, Event::Wake);
            }
            Pending::Disk { worker, life, .. } if life == self.nodes[at].life => self.disk_done(at, worker),
            Pending::PeerGone { worker, life, peer, .. }
                if life == self.nodes[at].life && self.nodes[at].workers[worker].started =>
            {
                self.trace.record(self.now, trace::Event::PeerGone { node, worker: of_worker(worker), peer });
                self.handle(at, worker, Event::PeerGone { node: peer });
            }
            Pending::Shutdown { worker, life, .. } if life == self.nodes[at].life => {
                if self.nodes[at].workers[worker].started {
                    self.handle(at, worker, Event::Shutdown);
                } else {
                    self.queue.push(self.now + 1_000_000, 8 << 56 | at as u64, pending);
                }
            }
            _ => {}
        }
    }

    fn disk_done(&mut self, at: usize, worker: usize) {
        let node = &mut self.nodes[at];
        let slot = &mut node.workers[worker];
        let Some((id, op)) = slot.in_flight.pop_front() else { return };
        let failures = slot.disk.failures;
        let result = slot.execute(&op);
        let failed = slot.disk.failures > failures;
        let damage = std::mem::take(&mut slot.disk.damage_read);
        let event = trace::Event::Disk {
            node: node.id,
            worker: WorkerId(u16::try_from(worker).unwrap_or(0)),
            operation: operation_name(&op),
            failed: result.is_err(),
            digest: match &result {
                Ok(orrery::env::DiskOutput::Data(data)) => xxh3_64(data),
                _ => 0,
            },
        };
        self.trace.record(self.now, event);
        damage.into_iter().for_each(|fault| self.had_effect(fault));
        if failed {
            for fault in self.nodes[at].disk_faults.clone() {
                self.had_effect(fault);
            }
        }
        self.handle(at, worker, Event::Disk { op: id, result });
    }

    /// Buggify points passed during the present event, with the number of wishes before each.
    pub(crate) fn points_passed(&self) -> &[(&'static str, usize)] {
        &self.passed
    }

    /// Gives one event to a worker, checks the cluster, and carries out what the worker wants.
    pub(super) fn handle(&mut self, at: usize, worker: usize, event: Event) {
        if self.nodes[at].workers[worker].deaf_until > self.now {
            self.nodes[at].workers[worker].unheard.push_back(event);
            return;
        }
        self.turn_of(at, worker, std::iter::empty(), event);
    }

    /// Gives a worker what is there at the same time, in one turn; `last` ends it.
    pub(super) fn turn_of(&mut self, at: usize, worker: usize, first: impl Iterator<Item = Event>, last: Event) {
        // After the healing nothing strikes any more: neither may a point that is passed then take anything away.
        let waiting = self.nemesis.is_waiting() && self.core.is_none();
        let probes = if waiting { self.probe_counts() } else { Vec::new() };
        let node = &mut self.nodes[at];
        let (id, life, destroyed) = (node.id, node.life, node.destroyed);
        let (now, wall) = (node.clock.monotonic(self.now), node.clock.wall(self.now));
        let slot = &mut node.workers[worker];
        let Some(machine) = slot.machine.as_mut() else { return };
        let mut wishes = std::mem::take(&mut self.wishes);
        self.passed.clear();
        let mut env = WorkerEnv {
            now,
            wall,
            wishes: &mut wishes,
            life: &mut slot.life,
            passed: waiting.then_some(&mut self.passed),
        };
        let control = match panic::catch(|| {
            first.for_each(|event| machine.take(&mut env, event));
            machine.handle(&mut env, last)
        }) {
            Ok(control) => control,
            Err(panic) => {
                // Its destructor may panic again: a panicked worker is left where it is.
                std::mem::forget(slot.machine.take());
                self.panicked(id, worker, &panic);
                return;
            }
        };
        let check = self.checker.after(self.now, at, worker, destroyed, machine.as_ref(), &mut self.trace);
        if let Err(violation) = check {
            self.violate(violation);
        }
        if let Some(reason) = self.nodes[at].workers[worker].machine.as_ref().and_then(|machine| machine.lost_log())
            && !destroyed
        {
            // It comes back by itself; but what it has lost it must not lose.
            let message = format!("{id} has set its log aside: {reason}");
            let kind = "a sound disk is unusable".to_owned();
            self.violate(Violation { checker: "stop", kind, at_ns: self.now, message });
        }
        if self.nodes[at].blank {
            self.look_for_membership(at);
        }
        if waiting {
            self.point_passed(at, &probes, &mut wishes);
        }
        for wish in wishes.drain(..) {
            self.fulfil(at, worker, wish);
        }
        self.wishes = wishes;
        self.take_time(at, worker);
        if let Control::Stop(reason) = control
            && self.nodes[at].life == life
        {
            self.stopped(at, of_worker(worker), reason);
        }
        self.strike_waiting();
    }

    fn fulfil(&mut self, at: usize, worker: usize, wish: Wish) {
        match wish {
            Wish::Send(to, payload) => self.send(at, to, payload),
            Wish::ClientSend(connection, bytes) => self.client_send(at, connection, bytes),
            Wish::ClientClose(connection) => self.client_close(at, connection),
            Wish::Disk(id, op) => self.submit(at, worker, id, op),
            Wish::WakeAt(instant) => {
                self.nodes[at].workers[worker].wake_wanted = Some(instant);
                self.queue_wake(at, worker);
            }
        }
    }

    /// A worker has ended its life by itself.
    fn stopped(&mut self, at: usize, worker: WorkerId, reason: StopReason) {
        let id = self.nodes[at].id;
        let node = &self.nodes[at];
        if node.stopping.is_some() && matches!(reason, StopReason::Shutdown) {
            return self.shut_down(at, worker);
        }
        // An error of the disk may end a life, but only rot and misdirection take away what was synced: whoever finds
        // its log unusable without them has ruined the log itself, and with two such nodes a group is gone.
        let (kind, message, out, explained) = match reason {
            StopReason::Shutdown => ("shut down unasked", String::new(), false, false),
            StopReason::Disk(message) => ("a sound disk failed", message, false, node.disk_suspect),
            StopReason::Unusable(message) => ("a sound disk is unusable", message, true, node.destroyed),
            StopReason::Diverged(message) => ("replicas diverged", message, true, false),
        };
        if !explained {
            let message = format!("{id} has stopped: {message}");
            self.violate(Violation { checker: "stop", kind: kind.to_owned(), at_ns: self.now, message });
            return;
        }
        self.take_down(at, "stopped itself", false);
        self.nodes[at].unusable |= out;
        let life = self.nodes[at].life;
        let mut dice = crate::env::dice::Stream::new(self.plan.seed, "stopped").at(u64::from(id.0)).dice(life);
        let due = self.now + dice.between(1_000_000_000, 3_000_000_000);
        self.queue.push(due, u64::from(id.0) | 5 << 60, Pending::Restart { node: at, life });
    }

    fn panicked(&mut self, node: NodeId, worker: usize, panic: &panic::Panic) {
        let message = format!("{node}.w{worker} panicked at {}: {}", panic.place, panic.message);
        self.violate(Violation { checker: "panic", kind: panic.kind(), at_ns: self.now, message });
    }

    /// Notes a violation: the run stops.
    pub(crate) fn violate(&mut self, violation: Violation) {
        self.trace.record(self.now, trace::Event::Violation { digest: xxh3_64(violation.fingerprint().as_bytes()) });
        self.violations.push(violation);
        self.finished = true;
    }

    /// Counts occurrences and effects of a standing fault.
    pub(crate) fn add(&mut self, name: &'static str, injected: u64, effective: u64) {
        let count = self.counts.entry(name).or_default();
        count.injected += injected;
        count.effective += effective;
    }

    fn count_clocks(&mut self) {
        for node in 0..self.nodes.len() {
            let (skew, drift) = (self.nodes[node].clock.skew_ns(), self.nodes[node].clock.drift_ppm());
            self.add("clock_skew", u64::from(skew != 0), u64::from(skew != 0));
            self.add("clock_drift", u64::from(drift != 0), u64::from(drift != 0));
        }
    }

    /// Ends the universe: every worker and client is dropped, and the outcome is told.
    pub(crate) fn finish(mut self) -> Run {
        let (changes, most) = (self.checker.leader_changes(), self.plan.expect.most_leader_changes);
        if changes > most && self.violations.is_empty() {
            let message =
                format!("leaders have changed {changes} times, and nothing was a reason for more than {most}");
            let kind = "leaders change for nothing".to_owned();
            self.violations.push(Violation { checker: "leaders-stay", kind, at_ns: self.now, message });
        }
        let slow = self.slow_operations;
        self.add("slow_operation", slow, slow);
        self.count_faults();
        Run {
            trace_hash: self.trace.hash(),
            events: self.trace.count(),
            simulated_ns: self.now,
            history: self.history,
            faults: self.counts,
            probes: BTreeMap::new(),
            leader_changes: self.checker.leader_changes(),
            restarts: self.restarts,
            violations: self.violations,
            tail: self.trace.tail(),
            recording: self.trace.take_recording(),
            cpu: Duration::ZERO,
        }
    }
}

fn operation_name(op: &orrery::env::DiskOp) -> &'static str {
    use orrery::env::DiskOp;
    match op {
        DiskOp::List => "list",
        DiskOp::Create { .. } => "create",
        DiskOp::Write { .. } => "write",
        DiskOp::Sync { .. } => "sync",
        DiskOp::Read { .. } => "read",
        DiskOp::Truncate { .. } => "truncate",
        DiskOp::Rename { .. } => "rename",
        DiskOp::Remove { .. } => "remove",
        DiskOp::SyncDirectory => "sync directory",
    }
}

/// Workers are few.
fn of_worker(worker: usize) -> WorkerId {
    WorkerId(u16::try_from(worker).unwrap_or(0))
}
