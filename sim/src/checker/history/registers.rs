//! `linearizable-registers`: each row alone behaves as if every operation on it happened at one instant between its
//! invocation and its return.
//!
//! A search in the manner of Wing and Gong with Lowe's memory of states seen, row by row. That every written value is
//! unique makes it nearly linear: a value that is still to be read may not be overwritten, and a read of the current
//! value may be placed at once. An unknown write that somebody saw took effect before that somebody's return; one that
//! nobody saw is left out, and with it what it could have explained: refusals of compare-and-set that may be its doing.

use super::{Checker, Finding, History, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use crate::run::Violation;
use orrery::types::collections::HashSet;
use std::collections::BTreeMap;

/// See the module.
pub(super) struct LinearizableRegisters;

/// States visited for one row before the search gives up.
const STEPS_MAX: u64 = 200_000;

/// What rows hold at first.
const INITIAL: i64 = 0;

impl Checker for LinearizableRegisters {
    fn name(&self) -> &'static str {
        "linearizable-registers"
    }

    fn doc(&self) -> &'static str {
        "each row's operations can be put in one order that respects real time and explains every answer"
    }

    fn check(&self, history: &History) -> Finding {
        let mut rows: BTreeMap<(u32, u32), Vec<&Recorded>> = BTreeMap::new();
        for recorded in &history.operations {
            let (Operation::Read { key }
            | Operation::Write { key, .. }
            | Operation::Compare { key, .. }
            | Operation::WriteRead { key, .. }) = recorded.operation
            else {
                continue;
            };
            rows.entry((recorded.workload, key)).or_default().push(recorded);
        }
        let mut finding = Finding::default();
        for ((_, key), operations) in &rows {
            match judge(operations) {
                Ok(true) => {}
                Ok(false) => finding.gave_up += 1,
                Err(anomaly) => {
                    finding.violations.push(Violation {
                        checker: self.name(),
                        kind: anomaly.kind.to_owned(),
                        at_ns: anomaly.at_ns,
                        message: format!("row {key}: {}", anomaly.what),
                    });
                    break;
                }
            }
        }
        finding
    }
}

struct Anomaly {
    kind: &'static str,
    at_ns: u64,
    what: String,
}

fn anomaly(kind: &'static str, at: &Recorded, what: String) -> Anomaly {
    Anomaly { kind, at_ns: at.returned_ns.unwrap_or(at.invoked_ns), what }
}

/// An operation that certainly took effect (or was certainly answered) between two times.
#[derive(Clone, Copy)]
struct Step<'h> {
    from_ns: u64,
    to_ns: u64,
    effect: Effect,
    recorded: &'h Recorded,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Read(i64),
    Write(i64),
    /// It found the first and wrote the second.
    Swap(i64, i64),
    /// It did not find this.
    Miss(i64),
}

impl Effect {
    const fn written(self) -> Option<i64> {
        match self {
            Self::Write(value) | Self::Swap(_, value) => Some(value),
            Self::Read(_) | Self::Miss(_) => None,
        }
    }

    const fn found(self) -> Option<i64> {
        match self {
            Self::Read(value) | Self::Swap(value, _) => Some(value),
            Self::Write(_) | Self::Miss(_) => None,
        }
    }
}

/// `Ok(false)`: not decided within the bounds.
fn judge(operations: &[&Recorded]) -> Result<bool, Anomaly> {
    let (mut steps, unknown) = definite(operations)?;
    // Who saw which value, and by when.
    let mut seen_by: BTreeMap<i64, u64> = BTreeMap::new();
    for step in &steps {
        if let Some(value) = step.effect.found() {
            let by = seen_by.entry(value).or_insert(u64::MAX);
            *by = (*by).min(step.to_ns);
        }
    }
    // An unknown compare that is seen has itself seen what it expected: again until nothing is added.
    let mut unseen = unknown;
    loop {
        let before = unseen.len();
        unseen.retain(|(recorded, effect)| {
            let Some(by) = effect.written().and_then(|value| seen_by.get(&value).copied()) else { return true };
            if let Some(expected) = effect.found() {
                let expected_by = seen_by.entry(expected).or_insert(u64::MAX);
                *expected_by = (*expected_by).min(by);
            }
            steps.push(Step { from_ns: recorded.invoked_ns, to_ns: by, effect: *effect, recorded });
            false
        });
        if unseen.len() == before {
            break;
        }
    }
    if let Some(first_unseen) = unseen.iter().map(|(recorded, _)| recorded.invoked_ns).min() {
        steps.retain(|step| !matches!(step.effect, Effect::Miss(_)) || step.to_ns < first_unseen);
    }
    steps.sort_by_key(|step| (step.from_ns, step.to_ns));
    explainable(operations, &steps)?;
    search(&steps)
}

type Unknown<'h> = Vec<(&'h Recorded, Effect)>;

/// What is certain, and what may have happened.
fn definite<'h>(operations: &[&'h Recorded]) -> Result<(Vec<Step<'h>>, Unknown<'h>), Anomaly> {
    let (mut steps, mut unknown) = (Vec::new(), Vec::new());
    for recorded in operations.iter().copied() {
        let intended = match recorded.operation {
            Operation::Write { value, .. } | Operation::WriteRead { value, .. } => Some(Effect::Write(value as i64)),
            Operation::Compare { expected, value, .. } => Some(Effect::Swap(expected, value as i64)),
            _ => None,
        };
        let effect = match (&recorded.outcome, recorded.operation, intended) {
            (Outcome::Failed(_), ..) | (Outcome::Unknown(_), _, None) => continue,
            (Outcome::Unknown(_), _, Some(effect)) => {
                unknown.push((recorded, effect));
                continue;
            }
            (Outcome::Done(Seen::Value(Some(value))), Operation::Read { .. }, _) => Effect::Read(*value),
            (Outcome::Done(Seen::Written(true)), Operation::Write { .. } | Operation::Compare { .. }, Some(effect)) => {
                effect
            }
            (Outcome::Done(Seen::Written(false)), Operation::Compare { expected, .. }, _) => Effect::Miss(expected),
            (Outcome::Done(Seen::Value(Some(shown))), Operation::WriteRead { value, .. }, Some(effect)) => {
                if *shown != value as i64 {
                    let what = format!("{recorded} wrote {value} and read {shown} in one transaction");
                    return Err(anomaly("transaction-torn", recorded, what));
                }
                effect
            }
            (Outcome::Done(Seen::Value(None) | Seen::Written(false)), ..) => {
                return Err(anomaly("row-vanished", recorded, format!("{recorded} found no row")));
            }
            (Outcome::Done(other), ..) => {
                return Err(anomaly("unreadable", recorded, format!("{recorded} showed {other:?}")));
            }
        };
        let to_ns = recorded.latest_ns();
        steps.push(Step { from_ns: recorded.invoked_ns, to_ns, effect, recorded });
    }
    Ok((steps, unknown))
}

/// The anomalies that have names: quick to find and easy to tell.
fn explainable(operations: &[&Recorded], steps: &[Step<'_>]) -> Result<(), Anomaly> {
    let mut writers: BTreeMap<i64, &Step<'_>> = BTreeMap::new();
    for step in steps {
        if let Some(value) = step.effect.written() {
            writers.insert(value, step);
        }
    }
    // Writes by the time they had certainly happened, each with the latest-invoked so far.
    let mut ended: Vec<&Step<'_>> = steps.iter().filter(|step| step.effect.written().is_some()).collect();
    ended.sort_by_key(|step| step.to_ns);
    let mut latest: Vec<&Step<'_>> = Vec::with_capacity(ended.len());
    for step in &ended {
        latest.push(match latest.last() {
            Some(best) if best.from_ns >= step.from_ns => best,
            _ => step,
        });
    }
    for step in steps {
        let Some(value) = step.effect.found() else { continue };
        let read = step.recorded;
        let writer = writers.get(&value);
        if writer.is_none() && value != INITIAL {
            return Err(nowhere(operations, read, value));
        }
        if let Some(writer) = writer.filter(|writer| writer.from_ns > step.to_ns) {
            let what = format!("{read} saw {value}, which {} wrote only later", writer.recorded);
            return Err(anomaly("from-the-future", read, what));
        }
        // The initial value was there before anything was written.
        let written_by = writer.map(|writer| writer.to_ns);
        let before = ended.partition_point(|other| other.to_ns < step.from_ns);
        if let Some(newer) = before
            .checked_sub(1)
            .map(|index| latest[index])
            .filter(|newer| written_by.is_none_or(|by| newer.from_ns > by))
        {
            let whose = writer.map_or_else(|| "the initial value".to_owned(), |writer| format!("{}", writer.recorded));
            let what = format!("{read} saw {value} ({whose}), which {} had overwritten before", newer.recorded);
            return Err(anomaly("stale-read", read, what));
        }
    }
    Ok(())
}

fn nowhere(operations: &[&Recorded], read: &Recorded, value: i64) -> Anomaly {
    let wrote = |recorded: &&&Recorded| match recorded.operation {
        Operation::Write { value: wrote, .. }
        | Operation::WriteRead { value: wrote, .. }
        | Operation::Compare { value: wrote, .. } => wrote as i64 == value,
        _ => false,
    };
    match operations.iter().find(wrote) {
        Some(writer) if matches!(writer.outcome, Outcome::Failed(_)) => {
            anomaly("refused-yet-seen", read, format!("{read} saw {value}, and {writer} was refused"))
        }
        Some(writer) => {
            anomaly("missed-yet-seen", read, format!("{read} saw {value}, and {writer} was told that it wrote nothing"))
        }
        None => anomaly("from-nowhere", read, format!("{read} saw {value}, which nobody wrote")),
    }
}

/// A point of the search at which one of several writes may come next.
struct Branch {
    /// Steps placed on entering it.
    placed: Vec<usize>,
    value_before: i64,
    choices: Vec<usize>,
}

struct Search<'s, 'h> {
    steps: &'s [Step<'h>],
    done: Vec<bool>,
    first_open: usize,
    value: i64,
    /// Steps still to be placed that must find this value.
    waiting: BTreeMap<i64, u32>,
    placed: usize,
}

fn search(steps: &[Step<'_>]) -> Result<bool, Anomaly> {
    let mut waiting = BTreeMap::new();
    for value in steps.iter().filter_map(|step| step.effect.found()) {
        *waiting.entry(value).or_insert(0) += 1;
    }
    let done = vec![false; steps.len()];
    let mut state = Search { steps, done, first_open: 0, value: INITIAL, waiting, placed: 0 };
    let mut visited: HashSet<(usize, u128, i64)> = HashSet::default();
    let mut deepest = (0, 0);
    let mut branches = vec![state.enter(None)];
    let mut visits = 0u64;
    loop {
        if state.placed == steps.len() {
            return Ok(true);
        }
        if state.placed >= deepest.0 {
            deepest = (state.placed, state.most_urgent());
        }
        let Some(branch) = branches.last_mut() else { break };
        match branch.choices.pop() {
            None => {
                let branch = branches.pop().expect("the branch just looked at is there");
                state.leave(&branch);
            }
            Some(choice) => {
                visits += 1;
                if visits > STEPS_MAX {
                    return Ok(false);
                }
                let entered = state.enter(Some(choice));
                let known = state.key().is_some_and(|key| !visited.insert(key));
                if known && state.placed < steps.len() {
                    state.leave(&entered);
                } else {
                    branches.push(entered);
                }
            }
        }
    }
    let stuck = steps[deepest.1].recorded;
    let what =
        format!("no order of operations explains {stuck}; {} of {} can be placed before it", deepest.0, steps.len());
    Err(anomaly("not-linearizable", stuck, what))
}

impl Search<'_, '_> {
    /// Places a write (or, at first, nothing) and all that can only be placed now, and lists the writes that may follow.
    fn enter(&mut self, choice: Option<usize>) -> Branch {
        let mut branch = Branch { placed: Vec::new(), value_before: self.value, choices: Vec::new() };
        if let Some(index) = choice {
            self.place(index, &mut branch);
            if let Some(value) = self.steps[index].effect.written() {
                self.value = value;
            }
        }
        loop {
            let open = self.open();
            let harmless = |index: &usize| match self.steps[*index].effect {
                Effect::Read(value) => value == self.value,
                Effect::Miss(value) => value != self.value,
                Effect::Write(_) | Effect::Swap(..) => false,
            };
            let now: Vec<usize> = open.iter().copied().filter(harmless).collect();
            if now.is_empty() {
                branch.choices = open.into_iter().filter(|index| self.may_follow(*index)).collect();
                // The most urgent last: it is taken first.
                branch.choices.sort_by_key(|index| std::cmp::Reverse(self.steps[*index].to_ns));
                return branch;
            }
            for index in now {
                self.place(index, &mut branch);
            }
        }
    }

    fn leave(&mut self, branch: &Branch) {
        for index in &branch.placed {
            self.done[*index] = false;
            self.first_open = self.first_open.min(*index);
            if let Some(value) = self.steps[*index].effect.found() {
                *self.waiting.entry(value).or_insert(0) += 1;
            }
        }
        self.placed -= branch.placed.len();
        self.value = branch.value_before;
    }

    fn place(&mut self, index: usize, branch: &mut Branch) {
        self.done[index] = true;
        branch.placed.push(index);
        self.placed += 1;
        if let Some(count) = self.steps[index].effect.found().and_then(|value| self.waiting.get_mut(&value)) {
            *count -= 1;
        }
        while self.first_open < self.done.len() && self.done[self.first_open] {
            self.first_open += 1;
        }
    }

    /// Steps that may come next: nothing that is still open had ended before they began.
    fn open(&self) -> Vec<usize> {
        let (mut open, mut earliest_end) = (Vec::new(), u64::MAX);
        for index in self.first_open..self.steps.len() {
            let step = &self.steps[index];
            if step.from_ns > earliest_end {
                break;
            }
            if !self.done[index] {
                earliest_end = earliest_end.min(step.to_ns);
                open.push(index);
            }
        }
        open.retain(|index| self.steps[*index].from_ns <= earliest_end);
        open
    }

    /// May this write come next? Only if nobody is still to find the value that it replaces, but itself.
    fn may_follow(&self, index: usize) -> bool {
        let waiting = self.waiting.get(&self.value).copied().unwrap_or(0);
        match self.steps[index].effect {
            Effect::Write(_) => waiting == 0,
            Effect::Swap(expected, _) => expected == self.value && waiting == 1,
            Effect::Read(_) | Effect::Miss(_) => false,
        }
    }

    fn most_urgent(&self) -> usize {
        let open = (self.first_open..self.steps.len()).filter(|index| !self.done[*index]);
        open.min_by_key(|index| self.steps[*index].to_ns).unwrap_or(0)
    }

    /// What decides everything that can follow, if it fits.
    fn key(&self) -> Option<(usize, u128, i64)> {
        let mut mask = 0u128;
        for (offset, done) in self.done[self.first_open..].iter().take(128).enumerate() {
            mask |= u128::from(*done) << offset;
        }
        // Something is placed further ahead than the mask reaches: this state is not remembered.
        if self.placed - self.first_open != mask.count_ones() as usize {
            return None;
        }
        Some((self.first_open, mask, self.value))
    }
}
