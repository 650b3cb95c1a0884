//! **Shrink**: from a plan that fails to a smaller one that fails in the same way.
//!
//! A plan holds everything that a run will do, so it shrinks by leaving things out and running what is left: faults,
//! operations, clients, nodes, partitions, the rest of the time, gaps in which nothing is planned, the standing evils of
//! network, disks and clocks. What still fails with the same *fingerprint* (violated invariant and place) is the new
//! plan; the rest is forgotten. Lists are thinned as in Zeller's ddmin: half of them, a quarter, …, one by one.
//!
//! # Invariants
//! - The result fails with the fingerprint of the original: it is the last plan that was seen to.
//! - The result does not depend on how many runs are done at a time: of candidates tried together the first one in order
//!   is taken, and only those up to it are counted.
//! - No more runs than the budget. When it is used up, the smallest plan so far is the result.
//!
//! # Caveats
//! - What a fault's selector means is decided when it strikes, and what is left out moves what follows. So a step may
//!   fail for another reason of the same fingerprint: a smaller plan of the same symptom is what is asked for.

mod step;
#[cfg(test)]
mod tests;

use crate::plan::{Plan, SECOND};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a plan: when it failed with the fingerprint wanted, or `None`.
pub type Oracle<'a> = dyn Fn(&Plan) -> Option<u64> + Sync + 'a;

/// What the search may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs.
    pub runs: u64,
    /// Runs at a time.
    pub jobs: usize,
}

/// How large a plan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Faults planned.
    pub faults: usize,
    /// Clients.
    pub clients: usize,
    /// Operations of all clients.
    pub operations: usize,
    /// Nodes.
    pub nodes: u32,
    /// Data partitions.
    pub partitions: u32,
    /// Length of its text.
    pub bytes: usize,
}

impl Size {
    /// The size of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            faults: plan.faults.len(),
            clients: plan.clients.len(),
            operations: plan.clients.iter().map(|client| client.operations.len() + client.closing.len()).sum(),
            nodes: plan.cluster.nodes,
            partitions: plan.cluster.partitions,
            bytes: plan.to_text().map_or(0, |text| text.len()),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan found.
    pub plan: Plan,
    /// When it fails.
    pub at_ns: u64,
    /// Runs that it took.
    pub runs: u64,
    /// The budget ended the search; more might have been left out.
    pub is_cut_short: bool,
}

/// Shrinks a plan that fails at `at_ns`. `tell` hears of every step: runs done, and the best plan.
pub fn shrink(
    plan: &Plan,
    at_ns: u64,
    limits: &Limits,
    oracle: &Oracle<'_>,
    tell: &mut dyn FnMut(u64, &Plan),
) -> Shrunk {
    let mut best = plan.clone();
    // What a run must have reached is no part of how it fails.
    best.expect = crate::plan::Expect::default();
    let mut search = Search { oracle, limits: *limits, runs: 0, best, at_ns, tell };
    loop {
        let before = search.best.clone();
        search.pass();
        if search.best == before || search.is_over() {
            break;
        }
    }
    let is_cut_short = search.is_over();
    Shrunk { plan: search.best, at_ns: search.at_ns, runs: search.runs, is_cut_short }
}

struct Search<'a> {
    oracle: &'a Oracle<'a>,
    limits: Limits,
    runs: u64,
    best: Plan,
    at_ns: u64,
    tell: &'a mut dyn FnMut(u64, &Plan),
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.runs >= self.limits.runs
    }

    /// Everything once, the cheapest and greatest steps first: a shorter run makes all later ones cheaper.
    fn pass(&mut self) {
        self.cut_the_rest();
        self.thin(step::faults, step::without_faults);
        self.cut_the_rest();
        self.thin(step::busy_clients, step::without_work);
        self.close_gaps();
        self.thin(step::operations, step::without_operations);
        self.cut_the_rest();
        self.thin(step::closing, step::without_closing);
        self.first(usize::MAX, step::fewer_nodes);
        self.first(usize::MAX, step::fewer_partitions);
        self.thin(step::clients, step::without_clients);
        self.each(step::unused_workloads, step::without_workload);
        self.each(|_| step::CALM.len(), step::calmer);
        self.close_gaps();
        self.thin(step::faults, step::without_faults);
        self.cut_the_rest();
    }

    /// What comes after the failure cannot have caused it; and perhaps half of what comes before was enough.
    fn cut_the_rest(&mut self) {
        let at_ns = self.at_ns;
        if self.first(1, |plan, _| step::cut(plan, at_ns + 1)).is_none() {
            self.first(1, |plan, _| step::cut(plan, at_ns + SECOND));
        }
        while self.first(3, |plan, nth| step::cut(plan, plan.chaos_ns / 8 * [2, 4, 6][nth])).is_some() {}
    }

    fn close_gaps(&mut self) {
        while self.first(usize::MAX, step::closer).is_some() {}
    }

    /// Leaves out as much of a list as can be: blocks of half its length first, then smaller ones.
    fn thin(&mut self, count: fn(&Plan) -> usize, without: fn(&Plan, std::ops::Range<usize>) -> Plan) {
        let mut size = count(&self.best);
        while size > 0 {
            let mut start = 0;
            loop {
                let total = count(&self.best);
                let blocks = total.saturating_sub(start).div_ceil(size);
                let block = |nth: usize| start + nth * size..(start + (nth + 1) * size).min(total);
                // What stood behind the block left out stands in its place now.
                match self.first(blocks, |plan, nth| Some(without(plan, block(nth)))) {
                    Some(nth) => start += nth * size,
                    None if blocks > CANDIDATES_MAX && !self.is_over() => start += CANDIDATES_MAX * size,
                    None => break,
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    /// Tries each of so many steps by itself, and keeps all that work.
    fn each(&mut self, count: fn(&Plan) -> usize, step: fn(&Plan, usize) -> Option<Plan>) {
        let mut from = 0;
        while from < count(&self.best) {
            match self.first(count(&self.best) - from, |plan, nth| step(plan, from + nth)) {
                Some(nth) => from += nth + 1,
                None => break,
            }
        }
    }

    /// Tries candidates made from the best plan, in order, until one fails alike: that is the best plan now. `None` from
    /// `make` at number 0, or after the last that there is, ends the list; elsewhere there is nothing to try.
    fn first(&mut self, count: usize, make: impl Fn(&Plan, usize) -> Option<Plan>) -> Option<usize> {
        let mut candidates = Vec::new();
        for nth in 0..count.min(CANDIDATES_MAX) {
            match make(&self.best, nth) {
                Some(plan) if plan != self.best => candidates.push((nth, plan)),
                None if count == usize::MAX => break,
                _ => {}
            }
        }
        let mut rest = candidates.as_slice();
        while !rest.is_empty() && !self.is_over() {
            let left = usize::try_from(self.limits.runs - self.runs).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(self.limits.jobs.max(1)).min(left));
            rest = later;
            let failed = self.run(now);
            let found = failed.iter().position(Option::is_some);
            self.runs += found.map_or(now.len(), |position| position + 1) as u64;
            if let Some(position) = found {
                self.best = now[position].1.clone();
                self.at_ns = failed[position].unwrap_or(self.at_ns);
                (self.tell)(self.runs, &self.best);
                return Some(now[position].0);
            }
            (self.tell)(self.runs, &self.best);
        }
        None
    }

    /// Runs some candidates at a time.
    fn run(&self, candidates: &[(usize, Plan)]) -> Vec<Option<u64>> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(vec![None; candidates.len()]);
        std::thread::scope(|scope| {
            for _ in 0..candidates.len() {
                scope.spawn(|| {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let outcome = (self.oracle)(&candidates[position].1);
                    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[position] = outcome;
                });
            }
        });
        failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Most candidates of one step: each is a copy of the plan.
const CANDIDATES_MAX: usize = 256;
