//! **Faults**: what the plan lets go wrong, one kind a file, and one list of all.
//!
//! A fault *strikes* the nodes that its selector means at that moment, and if it lasts, is *lifted* after its time. It is
//! counted as injected, as skipped (nobody to hit, or the budget forbids it), and as *effective* once it has changed
//! something: a message really lost or delayed, a live process killed, an event held back, unsynced bytes gone.
//!
//! # Invariants
//! - Every kind corresponds to a physical event.
//! - Under [`Budget::Recoverable`] a fault that destroys what a node has acknowledged spares a quorum of intact nodes.
//!   A crash, even of all nodes with their unsynced writes, destroys nothing of that kind: it is only unavailability.
//!   Neither does an error of the disk (failed sync, I/O error, no space): it may end a life, and the next one must find all
//!   that was acknowledged. Only after rot or a misdirected write may a node call its log unusable; otherwise that is a
//!   violation (`stop`).
//! - After a disaster the cluster is the one node that has survived it, and the others never come back: what was a quorum before is none.
//! - A wiped node counts as failed until each of its replicas has said, durably, that it is a member again.
//! - Nothing strikes and nothing is lifted after the healing: what holds outside the core then holds for good.
//!
//! To add a kind: a variant of [`FaultKind`], a file here, and its line in [`FAULTS`] (a test compares).

mod bit_flip;
mod bridge;
mod client_crash;
mod clock_drift;
mod clock_jump;
mod clog;
mod crash;
mod disaster;
mod disk_full;
mod fail_sync;
mod flap;
mod io_error;
mod lossy;
mod misdirect;
mod pause;
mod power_loss;
mod reset;
mod ring;
mod rot;
mod select;
mod short_write;
mod slow_disk;
mod slow_link;
mod split;
mod stop;
mod wipe;
#[cfg(test)]
mod tests;

pub(crate) use stop::Stopping;

use crate::env::dice::Stream;
use crate::env::worker::Wish;
use crate::plan::{Budget, FaultKind, PlannedFault};
use crate::trace;
use crate::world::{Pending, World};
use orrery::types::NodeId;
use std::collections::BTreeMap;

/// A kind of fault.
pub struct Definition {
    /// See [`FaultKind::name`].
    pub name: &'static str,
    /// What happens, in a sentence.
    pub what: &'static str,
    /// Does it need a running process to hit?
    needs_up: bool,
    /// May it destroy what was acknowledged?
    destroys: bool,
    strike: fn(&mut World, &Strike),
    /// `None`: it is over at once.
    lift: Option<fn(&mut World, &Strike)>,
}

impl Definition {
    /// Does it last, until it is lifted?
    #[must_use]
    pub const fn lasts(&self) -> bool {
        self.lift.is_some()
    }
}

/// All kinds.
pub const FAULTS: &[Definition] = &[
    split::FAULT,
    flap::FAULT,
    ring::FAULT,
    bridge::FAULT,
    lossy::FAULT,
    slow_link::FAULT,
    clog::FAULT,
    reset::FAULT,
    bit_flip::FAULT,
    client_crash::FAULT,
    crash::FAULT,
    power_loss::FAULT,
    stop::FAULT,
    pause::FAULT,
    clock_jump::FAULT,
    clock_drift::FAULT,
    slow_disk::FAULT,
    fail_sync::FAULT,
    io_error::FAULT,
    short_write::FAULT,
    disk_full::FAULT,
    rot::FAULT,
    wipe::FAULT,
    misdirect::FAULT,
    disaster::FAULT,
];

/// What a run counts besides: standing faults of network, disk and clocks, and what a power loss took.
pub const STANDING: &[&str] = &[
    "clock_skew",
    "duplicate",
    "loss",
    "lost_name",
    "lost_write",
    "reorder",
    "restart",
    "slow_operation",
    "torn_write",
];

/// One fault that has struck.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    id: u32,
    kind: FaultKind,
    /// Positions of the nodes that it hit.
    targets: Vec<usize>,
    hold_ns: u64,
    restart_ns: Option<u64>,
    dice: Stream,
}

/// The driver's memory.
#[derive(Debug, Default)]
pub(crate) struct Nemesis {
    /// Positions in the plan of faults that wait for a named point.
    waiting: Vec<usize>,
    /// Those whose point has been passed during the present event, and by whom.
    due: Vec<(usize, usize)>,
    struck: BTreeMap<u32, (Strike, bool)>,
    skipped: BTreeMap<&'static str, u64>,
}

impl Nemesis {
    /// Does any fault wait for a named point?
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn definition(kind: &FaultKind) -> &'static Definition {
    FAULTS.iter().find(|fault| fault.name == kind.name()).expect("every kind is registered: a test compares")
}

/// The name of the point that a fault waits for.
fn point(fault: &PlannedFault) -> Option<&str> {
    fault.at.as_deref().or(fault.when.as_ref().map(|when| when.point.as_str()))
}

impl World {
    /// A planned fault's time has come: it strikes, or begins to wait for its point.
    pub(crate) fn fault_is_due(&mut self, position: usize) {
        if self.core.is_some() {
            return;
        }
        if point(&self.plan.faults[position]).is_some() {
            self.nemesis.waiting.push(position);
        } else {
            self.strike(position, None);
        }
    }

    /// `passing`: the node that has passed the named point at which this fault strikes. With `at` it is the only one hit.
    fn strike(&mut self, position: usize, passing: Option<usize>) {
        let fault = self.plan.faults[position].clone();
        let name = fault.kind.name();
        let definition = definition(&fault.kind);
        let dice = Stream::new(fault.seed, "fault");
        let mut targets = match (passing, select::selector(&fault.kind)) {
            (Some(at), _) if fault.at.is_some() => vec![at],
            (_, Some(selector)) => self.select(selector, &mut dice.dice(0)),
            (_, None) => (0..self.nodes.len()).collect(),
        };
        if definition.needs_up {
            targets.retain(|&at| self.nodes[at].up);
        }
        if targets.is_empty() {
            self.skip(&fault, "nobody to hit");
            return;
        }
        if definition.destroys && self.plan.budget == Budget::Recoverable {
            targets = self.spare_a_quorum(targets);
            if targets.is_empty() {
                self.skip(&fault, "the budget");
                return;
            }
        }
        let everywhere = select::selector(&fault.kind).is_none();
        for &at in targets.iter().take(if everywhere { 1 } else { usize::MAX }) {
            let node = if everywhere { NodeId(0) } else { self.nodes[at].id };
            self.trace.record(self.now, trace::Event::Fault { id: fault.id, name, node });
        }
        let (hold_ns, restart_ns) = (fault.hold_ns, fault.restart_ns);
        let strike = Strike { id: fault.id, kind: fault.kind, targets, hold_ns, restart_ns, dice };
        self.nemesis.struck.insert(fault.id, (strike.clone(), false));
        (definition.strike)(self, &strike);
        if definition.lift.is_some() {
            let id = u64::from(fault.id) | 6 << 60;
            self.queue.push(self.now + fault.hold_ns, id, Pending::Lift { fault: fault.id });
        }
    }

    fn skip(&mut self, fault: &PlannedFault, why: &'static str) {
        let name = fault.kind.name();
        *self.nemesis.skipped.entry(name).or_insert(0) += 1;
        self.trace.record(self.now, trace::Event::Skipped { id: fault.id, name, why });
    }

    /// Those of the targets that may be destroyed with a quorum of intact nodes left.
    fn spare_a_quorum(&self, targets: Vec<usize>) -> Vec<usize> {
        let intact = (0..self.nodes.len()).filter(|&at| self.is_intact(at)).count();
        let mut may = intact.saturating_sub(self.quorum());
        let allowed = |&at: &usize| {
            let free = !self.is_intact(at);
            let take = free || may > 0;
            may -= usize::from(take && !free);
            take
        };
        targets.into_iter().filter(allowed).collect()
    }

    /// A fault's time is over.
    pub(crate) fn lift(&mut self, id: u32) {
        if self.core.is_some() {
            return;
        }
        let Some((strike, _)) = self.nemesis.struck.get(&id).cloned() else { return };
        let definition = definition(&strike.kind);
        self.trace.record(self.now, trace::Event::Lifted { id, name: definition.name });
        if let Some(lift) = definition.lift {
            lift(self, &strike);
        }
    }

    /// A fault has changed something.
    pub(crate) fn had_effect(&mut self, fault: u32) {
        if let Some((_, effective)) = self.nemesis.struck.get_mut(&fault) {
            *effective = true;
        }
    }

    /// Puts what struck and what was skipped into the counts.
    pub(crate) fn count_faults(&mut self) {
        for (strike, effective) in self.nemesis.struck.values() {
            let count = self.counts.entry(strike.kind.name()).or_default();
            count.injected += 1;
            count.effective += u64::from(*effective);
        }
        for &position in &self.nemesis.waiting {
            // Nobody has passed its point.
            self.counts.entry(self.plan.faults[position].kind.name()).or_default().skipped += 1;
        }
        for (name, skipped) in &self.nemesis.skipped {
            self.counts.entry(name).or_default().skipped += skipped;
        }
    }

    /// How often each awaited probe has been hit.
    pub(crate) fn probe_counts(&self) -> Vec<u64> {
        let count = |&position: &usize| point(&self.plan.faults[position]).map_or(0, orrery::env::probe::count);
        self.nemesis.waiting.iter().map(count).collect()
    }

    /// A worker of this node has handled an event: did it pass a point that a fault waits for? A crash at a point also
    /// takes away what the worker wanted done after it: wishes not yet carried out, such as the second of two disk
    /// operations, or the message behind the record.
    pub(crate) fn point_passed(&mut self, at: usize, probes: &[u64], wishes: &mut Vec<Wish>) {
        let waiting = std::mem::take(&mut self.nemesis.waiting);
        for (index, position) in waiting.into_iter().enumerate() {
            let fault = &self.plan.faults[position];
            let name = point(fault).unwrap_or_default();
            let buggify = self.points_passed().iter().find(|(point, _)| *point == name).map(|(_, wishes)| *wishes);
            let passed = buggify.is_some() || orrery::env::probe::count(name) > probes[index];
            let whose = match &fault.when {
                Some(when) => Some(when.on),
                None => select::selector(&fault.kind),
            };
            let mut dice = Stream::new(fault.seed, "fault").dice(0);
            let meant = passed && whose.is_none_or(|selector| self.select(selector, &mut dice).contains(&at));
            if !meant {
                self.nemesis.waiting.push(position);
                continue;
            }
            let crash = matches!(fault.kind, FaultKind::Crash { .. }) && fault.at.is_some();
            if crash {
                // A probe does not tell where it stands among the wishes: any of them may be the last. A worker's wishes
                // leave it in their order, so whatever is kept is what a process that ends there has done.
                let keep = buggify.unwrap_or_else(|| dice.index(wishes.len() + 1));
                wishes.truncate(keep);
            }
            self.nemesis.due.push((position, at));
        }
    }

    /// Faults whose point was passed during the event that has just ended.
    pub(crate) fn strike_waiting(&mut self) {
        while let Some((position, at)) = self.nemesis.due.pop() {
            if self.core.is_none() {
                self.strike(position, Some(at));
            }
        }
    }
}
