//! What the clients of a run note, and when the cluster was at work.

use super::WORKLOADS;
use super::outage::{Blow, Outage, outages};
use crate::checker::history::History;
use crate::history::{HistoryEvent, OperationId, Outcome};
use crate::operation::Operation;
use std::cell::{Cell, RefCell};
use std::time::Instant;

/// One for all clients, which share a thread.
pub(super) struct Recorder {
    start: Instant,
    events: RefCell<Vec<(u64, HistoryEvent)>>,
    /// When writes were acknowledged, in order.
    acknowledged: RefCell<Vec<u64>>,
    /// By workload: when the acknowledged write was sent that was sent last.
    newest: RefCell<[u64; WORKLOADS.len()]>,
    blows: RefCell<Vec<Blow>>,
    over: Cell<bool>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            events: RefCell::default(),
            acknowledged: RefCell::default(),
            newest: RefCell::default(),
            blows: RefCell::default(),
            over: Cell::new(false),
        }
    }

    /// Nanoseconds since the run began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A client is about to send. Returns when.
    pub(super) fn invoke(&self, id: OperationId, operation: Operation) -> u64 {
        let now = self.now();
        self.events.borrow_mut().push((now, HistoryEvent::Invoke { id, operation }));
        now
    }

    /// What came of it.
    pub(super) fn finish(&self, workload: u32, id: OperationId, operation: Operation, invoked: u64, outcome: Outcome) {
        let now = self.now();
        // What is written is unique, and so new when it is tried again; what is read is the same.
        let is_write = operation.renewed() != operation;
        if is_write && matches!(outcome, Outcome::Done(_)) {
            self.acknowledged.borrow_mut().push(now);
            let newest = &mut self.newest.borrow_mut()[workload as usize];
            *newest = (*newest).max(invoked);
        }
        self.events.borrow_mut().push((now, HistoryEvent::Return { id, outcome }));
    }

    /// Has every workload had a write acknowledged that was sent after this?
    pub(super) fn has_written_since(&self, at: u64) -> bool {
        self.newest.borrow().iter().all(|newest| *newest > at)
    }

    /// The workloads of which that is not so.
    pub(super) fn silent_since(&self, at: u64) -> Vec<&'static str> {
        let newest = self.newest.borrow();
        let silent = WORKLOADS.iter().zip(newest.iter()).filter(|(_, newest)| **newest <= at);
        silent.map(|((name, ..), _)| *name).collect()
    }

    pub(super) fn blow(&self, blow: Blow) {
        self.blows.borrow_mut().push(blow);
    }

    /// The chaos is over: clients come to an end.
    pub(super) fn end(&self) {
        self.over.set(true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    pub(super) fn outages(&self) -> Vec<Outage> {
        outages(&self.blows.borrow(), &self.acknowledged.borrow())
    }

    pub(super) fn history(&self, workloads: Vec<u32>) -> History {
        let keys = WORKLOADS.iter().map(|(_, keys, _)| *keys).collect();
        let workload_of = |client: u32| workloads.get(client as usize).copied().unwrap_or(0);
        History::paired(keys, workload_of, &self.events.borrow())
    }
}
