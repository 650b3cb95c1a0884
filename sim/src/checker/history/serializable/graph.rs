//! Who must come before whom, and the cycles in it.

use super::Key;
use super::Transaction;
use super::order::Orders;
use std::collections::VecDeque;

/// Why one comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Both appended to this list, and the first one's append stands earlier; the second one's, at this position, may be
    /// beyond the end of what anybody saw.
    Ww { key: Key, at: usize },
    /// The second saw the first one's append to this list, at this position, as the last.
    Wr { key: Key, at: usize },
    /// The first saw this list when it had so many values, and the second one's append was not yet among them.
    Rw { key: Key, length: usize },
    /// The first had returned before the second was invoked.
    RealTime,
}

impl Why {
    /// The list that it is about.
    pub(super) const fn key(self) -> Option<Key> {
        match self {
            Self::Ww { key, .. } | Self::Wr { key, .. } | Self::Rw { key, .. } => Some(key),
            Self::RealTime => None,
        }
    }
}

/// An edge of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) to: usize,
    pub(super) why: Why,
}

/// A cycle: each transaction, and why it comes before the next.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    pub(super) class: String,
    pub(super) nodes: Vec<(usize, Why)>,
}

pub(super) struct Graph {
    edges: Vec<Vec<Edge>>,
    /// When what each one did was over, or it began: of two cycles the earlier is told.
    over_ns: Vec<u64>,
}

/// Which edges a class of cycles is made of.
#[derive(Clone, Copy)]
struct Class {
    name: &'static str,
    wr: bool,
    rw: Anti,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Anti {
    None,
    One,
    Any,
}

/// From what breaks the weakest isolation to what breaks the strongest.
const CLASSES: [Class; 4] = [
    Class { name: "G0", wr: false, rw: Anti::None },
    Class { name: "G1c", wr: true, rw: Anti::None },
    Class { name: "G-single", wr: true, rw: Anti::One },
    Class { name: "G2", wr: true, rw: Anti::Any },
];

/// Most beginnings in one component from which its shortest cycle is sought.
const STARTS_MAX: usize = 300;

/// Draws the graph of what has happened.
pub(super) fn draw(transactions: &[Transaction], orders: &Orders) -> Graph {
    let over = |transaction: &Transaction| transaction.returned_ns.unwrap_or(transaction.invoked_ns);
    let mut graph =
        Graph { edges: vec![Vec::new(); transactions.len()], over_ns: transactions.iter().map(over).collect() };
    for (key, list) in &orders.lists {
        let key = *key;
        for (at, pair) in list.writers.windows(2).enumerate() {
            graph.add(pair[0], pair[1], Why::Ww { key, at: at + 1 });
        }
        for (writer, _) in &list.unseen {
            if let Some(last) = list.writers.last() {
                graph.add(*last, *writer, Why::Ww { key, at: list.writers.len() });
            }
        }
    }
    for read in &orders.reads {
        let (list, key, length) = (&orders.lists[&read.key], read.key, read.length);
        if let Some(at) = length.checked_sub(1) {
            graph.add(list.writers[at], read.reader, Why::Wr { key, at });
        }
        match list.writers.get(length) {
            Some(next) => graph.add(read.reader, *next, Why::Rw { key, length }),
            None => {
                for (writer, _) in &list.unseen {
                    graph.add(read.reader, *writer, Why::Rw { key, length });
                }
            }
        }
    }
    graph.add_real_time(transactions, &orders.happened);
    graph
}

impl Graph {
    fn add(&mut self, from: usize, to: usize, why: Why) {
        let edge = Edge { to, why };
        if from != to && !self.edges[from].contains(&edge) {
            self.edges[from].push(edge);
        }
    }

    /// From each transaction to those invoked after its return, but not to those that another one, wholly between the
    /// two, leads to.
    fn add_real_time(&mut self, transactions: &[Transaction], happened: &[bool]) {
        let mut events: Vec<(u64, bool, usize)> = Vec::new();
        for (index, transaction) in transactions.iter().enumerate().filter(|(index, _)| happened[*index]) {
            // At the same instant invocations come first: those two are concurrent.
            events.push((transaction.invoked_ns, false, index));
            events.extend(transaction.returned_ns.map(|returned| (returned, true, index)));
        }
        events.sort_unstable();
        // Those that have returned, none of them before another one of them was invoked.
        let mut last: Vec<usize> = Vec::new();
        for (_, has_returned, index) in events {
            if has_returned {
                let invoked = transactions[index].invoked_ns;
                last.retain(|other| transactions[*other].returned_ns.is_none_or(|returned| returned >= invoked));
                last.push(index);
            } else {
                for before in &last {
                    self.edges[*before].push(Edge { to: index, why: Why::RealTime });
                }
            }
        }
    }

    /// The shortest cycle of the first class that has one.
    pub(super) fn worst_cycle(&self) -> Option<Cycle> {
        // Nearly always there is none at all.
        if self.components(&|_| true).is_empty() {
            return None;
        }
        for class in CLASSES {
            for real_time in [false, true] {
                let allowed = |why: Why| match why {
                    Why::Ww { .. } => true,
                    Why::Wr { .. } => class.wr,
                    Why::Rw { .. } => class.rw != Anti::None,
                    Why::RealTime => real_time,
                };
                let found = self.components(&allowed).into_iter().filter_map(|component| match class.rw {
                    Anti::One => self.with_one_rw(&component, &allowed),
                    Anti::None | Anti::Any => self.shortest(&component, &allowed),
                });
                let best = found.min_by_key(|nodes| self.rank(nodes));
                if let Some(nodes) = best {
                    let suffix = if real_time { "-realtime" } else { "" };
                    return Some(Cycle { class: format!("{}{suffix}", class.name), nodes: merged(nodes) });
                }
            }
        }
        None
    }

    fn rank(&self, nodes: &[(usize, Why)]) -> (usize, u64) {
        (nodes.len(), nodes.iter().map(|(node, _)| self.over_ns[*node]).max().unwrap_or(0))
    }

    fn shortest(&self, component: &[usize], allowed: &dyn Fn(Why) -> bool) -> Option<Vec<(usize, Why)>> {
        let mut best: Option<Vec<(usize, Why)>> = None;
        for start in component.iter().take(STARTS_MAX) {
            for edge in self.edges[*start].iter().filter(|edge| allowed(edge.why)) {
                self.consider(&mut best, *start, *edge, component, allowed);
            }
        }
        best
    }

    /// The shortest cycle that has exactly one rw edge.
    fn with_one_rw(&self, component: &[usize], allowed: &dyn Fn(Why) -> bool) -> Option<Vec<(usize, Why)>> {
        let others = |why: Why| allowed(why) && !matches!(why, Why::Rw { .. });
        let mut best: Option<Vec<(usize, Why)>> = None;
        for start in component {
            for edge in self.edges[*start].iter().filter(|edge| matches!(edge.why, Why::Rw { .. })) {
                self.consider(&mut best, *start, *edge, component, &others);
            }
        }
        best
    }

    /// The cycle of an edge and the shortest way back, if it is better.
    fn consider(
        &self,
        best: &mut Option<Vec<(usize, Why)>>,
        start: usize,
        edge: Edge,
        component: &[usize],
        allowed: &dyn Fn(Why) -> bool,
    ) {
        if component.binary_search(&edge.to).is_err() {
            return;
        }
        let Some(back) = self.way(edge.to, start, component, allowed) else { return };
        let mut nodes = vec![(start, edge.why)];
        nodes.extend(back);
        if best.as_ref().is_none_or(|best| self.rank(&nodes) < self.rank(best)) {
            *best = Some(nodes);
        }
    }

    /// The shortest way, breadth first.
    fn way(
        &self,
        from: usize,
        to: usize,
        component: &[usize],
        allowed: &dyn Fn(Why) -> bool,
    ) -> Option<Vec<(usize, Why)>> {
        let place = |node: usize| component.binary_search(&node).ok();
        let mut came: Vec<Option<(usize, Why)>> = vec![None; component.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                break;
            }
            for edge in self.edges[node].iter().filter(|edge| allowed(edge.why) && edge.to != from) {
                let Some(place) = place(edge.to) else { continue };
                if came[place].is_none() {
                    came[place] = Some((node, edge.why));
                    queue.push_back(edge.to);
                }
            }
        }
        let (mut way, mut at) = (Vec::new(), to);
        while at != from {
            let (before, why) = came[place(at)?]?;
            way.push((before, why));
            at = before;
        }
        way.reverse();
        Some(way)
    }

    /// Strongly connected components of more than one node, each in order (Tarjan's algorithm, without recursion).
    fn components(&self, allowed: &dyn Fn(Why) -> bool) -> Vec<Vec<usize>> {
        const NEW: usize = usize::MAX;
        let count = self.edges.len();
        let (mut index, mut low, mut on_stack) = (vec![NEW; count], vec![0; count], vec![false; count]);
        let (mut stack, mut next, mut found) = (Vec::new(), 0, Vec::new());
        for root in 0..count {
            if index[root] != NEW {
                continue;
            }
            let mut path: Vec<(usize, usize)> = vec![(root, 0)];
            while let Some((node, edge)) = path.last_mut() {
                let node = *node;
                if *edge == 0 && index[node] == NEW {
                    (index[node], low[node], on_stack[node]) = (next, next, true);
                    next += 1;
                    stack.push(node);
                }
                if let Some(taken) = self.edges[node].get(*edge) {
                    *edge += 1;
                    if !allowed(taken.why) {
                        continue;
                    }
                    if index[taken.to] == NEW {
                        path.push((taken.to, 0));
                    } else if on_stack[taken.to] {
                        low[node] = low[node].min(index[taken.to]);
                    }
                    continue;
                }
                path.pop();
                if let Some((parent, _)) = path.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == index[node] {
                    let start = stack.iter().rposition(|on| *on == node).unwrap_or(0);
                    let mut component = stack.split_off(start);
                    for member in &component {
                        on_stack[*member] = false;
                    }
                    if component.len() > 1 {
                        component.sort_unstable();
                        found.push(component);
                    }
                }
            }
        }
        found
    }
}

/// Two real-time edges after one another are one.
fn merged(mut nodes: Vec<(usize, Why)>) -> Vec<(usize, Why)> {
    let real_time = |node: &(usize, Why)| node.1 == Why::RealTime;
    if let Some(other) = nodes.iter().position(|node| !real_time(node)) {
        // So that no run of them goes over the end.
        nodes.rotate_left(other);
    }
    nodes.dedup_by(|later, earlier| real_time(later) && real_time(earlier));
    nodes
}
