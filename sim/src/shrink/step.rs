//! Steps: a plan with something left out of it. `None` where there is nothing to leave out.

use crate::plan::{Clock, Plan, SECOND};
use std::ops::Range;

/// Ends the chaos at a time; what was planned for later is gone. If that is before the closing operations' time, they
/// are gone too.
pub(super) fn cut(plan: &Plan, at_ns: u64) -> Option<Plan> {
    if at_ns == 0 || at_ns >= plan.chaos_ns {
        return None;
    }
    let mut cut = plan.clone();
    cut.chaos_ns = at_ns;
    cut.faults.retain(|fault| fault.at_ns < at_ns);
    for client in &mut cut.clients {
        client.operations.retain(|operation| operation.at_ns < at_ns);
    }
    Some(cut)
}

pub(super) fn faults(plan: &Plan) -> usize {
    plan.faults.len()
}

pub(super) fn without_faults(plan: &Plan, out: Range<usize>) -> Plan {
    let mut less = plan.clone();
    less.faults.drain(out);
    less
}

/// Clients that have something to do during the chaos.
pub(super) fn busy_clients(plan: &Plan) -> usize {
    plan.clients.iter().filter(|client| !client.operations.is_empty()).count()
}

/// Clients stay, since their position is their number, and do nothing.
pub(super) fn without_work(plan: &Plan, out: Range<usize>) -> Plan {
    let mut less = plan.clone();
    let busy = less.clients.iter_mut().filter(|client| !client.operations.is_empty());
    for client in busy.skip(out.start).take(out.len()) {
        client.operations.clear();
    }
    less
}

pub(super) fn operations(plan: &Plan) -> usize {
    plan.clients.iter().map(|client| client.operations.len()).sum()
}

/// Operations are counted client by client.
pub(super) fn without_operations(plan: &Plan, out: Range<usize>) -> Plan {
    let mut less = plan.clone();
    let mut position = 0;
    for client in &mut less.clients {
        client.operations.retain(|_| {
            position += 1;
            !out.contains(&(position - 1))
        });
    }
    less
}

pub(super) fn closing(plan: &Plan) -> usize {
    plan.clients.iter().map(|client| client.closing.len()).sum()
}

pub(super) fn without_closing(plan: &Plan, out: Range<usize>) -> Plan {
    let mut less = plan.clone();
    let mut position = 0;
    for client in &mut less.clients {
        client.closing.retain(|_| {
            position += 1;
            !out.contains(&(position - 1))
        });
    }
    less
}

pub(super) fn clients(plan: &Plan) -> usize {
    plan.clients.len()
}

/// From the last one back, since those behind the one left out get other numbers.
pub(super) fn without_clients(plan: &Plan, out: Range<usize>) -> Plan {
    let mut less = plan.clone();
    let count = less.clients.len();
    less.clients.drain(count - out.end..count - out.start);
    less
}

pub(super) fn unused_workloads(plan: &Plan) -> usize {
    plan.workloads.len()
}

/// Without a workload that no client has.
pub(super) fn without_workload(plan: &Plan, nth: usize) -> Option<Plan> {
    let position = nth as u32;
    if nth >= plan.workloads.len() || plan.clients.iter().any(|client| client.workload == position) {
        return None;
    }
    let mut less = plan.clone();
    less.workloads.remove(nth);
    for client in less.clients.iter_mut().filter(|client| client.workload > position) {
        client.workload -= 1;
    }
    Some(less)
}

/// One node, two, … instead of all.
pub(super) fn fewer_nodes(plan: &Plan, nth: usize) -> Option<Plan> {
    let nodes = nth as u32 + 1;
    if nodes >= plan.cluster.nodes {
        return None;
    }
    let mut less = plan.clone();
    less.cluster.nodes = nodes;
    less.clocks.truncate(nth + 1);
    Some(less)
}

/// One partition and worker, then fewer of either.
pub(super) fn fewer_partitions(plan: &Plan, nth: usize) -> Option<Plan> {
    let (partitions, workers) = (plan.cluster.partitions, plan.cluster.workers);
    let choices = [(1, 1), (partitions, 1), (1, workers), (partitions.div_ceil(2), workers)];
    let (fewer, less_workers) = choices.get(nth)?;
    let mut less = plan.clone();
    less.cluster.partitions = *fewer;
    less.cluster.workers = *less_workers;
    Some(less)
}

/// The standing evils, each with what takes it away.
pub(super) const CALM: &[fn(&mut Plan)] = &[
    |plan| {
        plan.network.loss_ppm = 0;
        plan.network.duplicate_ppm = 0;
        plan.network.reorder_ppm = 0;
    },
    |plan| plan.network.loss_ppm = 0,
    |plan| plan.network.duplicate_ppm = 0,
    |plan| plan.network.reorder_ppm = 0,
    |plan| plan.buggify.site_ppm = 0,
    |plan| plan.disk.slow_ppm = 0,
    |plan| plan.disk.torn_ppm = 0,
    |plan| plan.clocks.fill(Clock::default()),
    |plan| {
        plan.clients.iter_mut().flat_map(|client| &mut client.operations).for_each(|planned| planned.abandon = false)
    },
];

pub(super) fn calmer(plan: &Plan, nth: usize) -> Option<Plan> {
    let mut calm = plan.clone();
    CALM.get(nth)?(&mut calm);
    Some(calm)
}

/// Gaps in which nothing is planned, shortened: all of them to a tenth of a second, to half of one, to two; then the
/// longest alone, the next, ….
pub(super) fn closer(plan: &Plan, nth: usize) -> Option<Plan> {
    const SHORT_NS: u64 = SECOND / 10;
    const ALONE: usize = 8;
    let all_ns = [SHORT_NS, SECOND / 2, 2 * SECOND];
    if nth >= all_ns.len() + ALONE {
        return None;
    }
    let mut times: Vec<u64> = plan.faults.iter().map(|fault| fault.at_ns).collect();
    times.extend(plan.faults.iter().map(|fault| fault.at_ns + fault.restart_ns.unwrap_or(fault.hold_ns)));
    times.extend(plan.clients.iter().flat_map(|client| client.operations.iter().map(|planned| planned.at_ns)));
    times.push(plan.chaos_ns);
    times.retain(|at| *at <= plan.chaos_ns);
    times.sort_unstable();
    times.dedup();
    let mut gaps: Vec<(u64, u64)> =
        times.iter().scan(0, |last, &at| Some((at - std::mem::replace(last, at), at))).collect();
    gaps.sort_unstable_by_key(|&(length, at)| (std::cmp::Reverse(length), at));
    // How long the gap that ends at this time may be.
    let most_ns = |at: u64| match all_ns.get(nth) {
        Some(most_ns) => *most_ns,
        None if gaps.get(nth - all_ns.len()).is_some_and(|gap| gap.1 == at) => SHORT_NS,
        None => u64::MAX,
    };
    // By how much each of these times moves.
    let mut shifts: Vec<(u64, u64)> = Vec::with_capacity(times.len());
    let (mut last, mut shift) = (0, 0);
    for at in times {
        shift += (at - last).saturating_sub(most_ns(at));
        shifts.push((at, shift));
        last = at;
    }
    let moved = |at: u64| {
        let position = shifts.partition_point(|(time, _)| *time <= at);
        at - position.checked_sub(1).map_or(0, |position| shifts[position].1)
    };
    let mut closer = plan.clone();
    for fault in &mut closer.faults {
        fault.at_ns = moved(fault.at_ns);
    }
    for planned in closer.clients.iter_mut().flat_map(|client| &mut client.operations) {
        planned.at_ns = moved(planned.at_ns);
    }
    closer.chaos_ns = moved(closer.chaos_ns);
    Some(closer)
}
