//! `no-orphans`: whenever anybody looks, every child has its parent and its toy, and every toy its child; a child that was
//! acknowledged is there until its parent goes, and is refused (23503) only if its parent may not have been there.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use crate::workload::KIN;
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) struct NoOrphans;

impl Checker for NoOrphans {
    fn name(&self) -> &'static str {
        "no-orphans"
    }

    fn doc(&self) -> &'static str {
        "what is referenced is there, and a reference is refused only if it may not be"
    }

    fn check(&self, history: &History) -> Finding {
        Finding::first_by_workload(self, history, Families::of, |families, recorded| families.judge(recorded))
    }
}

/// What a workload's clients did.
#[derive(Default)]
struct Families<'h> {
    all: Vec<&'h Recorded>,
    /// By child.
    born: BTreeMap<u64, &'h Recorded>,
    /// By parent: what was acknowledged.
    founded: BTreeMap<u32, Vec<&'h Recorded>>,
    /// By parent: what was not refused.
    dissolved: BTreeMap<u32, Vec<&'h Recorded>>,
}

impl<'h> Families<'h> {
    fn of(history: &'h History, workload: u32) -> Self {
        let mut families = Self::default();
        for recorded in history.operations.iter().filter(|recorded| recorded.workload == workload) {
            families.all.push(recorded);
            match recorded.operation {
                Operation::Bear { id, .. } => drop(families.born.insert(id, recorded)),
                Operation::Found { parent } if matches!(recorded.outcome, Outcome::Done(_)) => {
                    families.founded.entry(parent).or_default().push(recorded);
                }
                Operation::Dissolve { parent } if !matches!(recorded.outcome, Outcome::Failed(_)) => {
                    families.dissolved.entry(parent).or_default().push(recorded);
                }
                _ => {}
            }
        }
        families
    }

    /// May the parent have gone at some time between these?
    fn may_go(&self, parent: u32, from_ns: u64, to_ns: u64) -> bool {
        let within = |gone: &&&Recorded| gone.invoked_ns <= to_ns && gone.latest_ns() >= from_ns;
        self.dissolved.get(&parent).is_some_and(|all| all.iter().any(|gone| within(&gone)))
    }

    fn judge(&self, recorded: &Recorded) -> Judgement {
        match (recorded.operation, &recorded.outcome) {
            (Operation::Kin, Outcome::Done(Seen::Rows(rows))) => self.read(recorded, rows),
            (Operation::Bear { parent, .. }, Outcome::Failed(why)) if why.starts_with("23503") => {
                let stood = |found: &&Recorded| {
                    found.latest_ns() < recorded.invoked_ns
                        && !self.may_go(parent, found.invoked_ns, recorded.latest_ns())
                };
                match self.founded.get(&parent).into_iter().flatten().find(|found| stood(found)) {
                    Some(found) => {
                        let what = format!("{recorded} was refused, though {found} and nobody took it away since");
                        Err(("refused-for-nothing", what))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn read(&self, read: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
        let (mut parents, mut children, mut toys) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for row in rows {
            let number = |column: usize| row.get(column)?.as_ref()?.parse::<u64>().ok();
            let unreadable = || ("unreadable", format!("{read} showed {row:?}"));
            let kind = row.first().and_then(Option::as_deref).unwrap_or_default();
            let first = number(1).ok_or_else(unreadable)?;
            match KIN.iter().position(|known| *known == kind) {
                Some(0) => drop(parents.insert(first)),
                Some(1) => drop(children.insert(first, number(2).ok_or_else(unreadable)?)),
                Some(2) if toys.insert(first) => {}
                Some(2) => return Err(("two-toys", format!("{read} showed two toys of child {first}"))),
                _ => return Err(unreadable()),
            }
        }
        for (child, parent) in &children {
            if !parents.contains(parent) {
                return Err(("orphan", format!("{read} showed child {child} without its parent {parent}")));
            }
            if !toys.contains(child) {
                return Err(("torn", format!("{read} showed child {child} without its toy")));
            }
            let Some(born) = self.born.get(child) else {
                return Err(("from-nowhere", format!("{read} showed child {child}, which nobody bore")));
            };
            if matches!(born.outcome, Outcome::Failed(_)) {
                return Err(("refused-yet-there", format!("{born} was refused, and {read} showed it")));
            }
        }
        if let Some(toy) = toys.iter().find(|child| !children.contains_key(child)) {
            return Err(("orphan", format!("{read} showed a toy without its child {toy}")));
        }
        for (child, born) in &self.born {
            let Operation::Bear { parent, .. } = born.operation else { continue };
            let stands = matches!(born.outcome, Outcome::Done(_))
                && born.latest_ns() < read.invoked_ns
                && !self.may_go(parent, born.invoked_ns, read.latest_ns());
            if stands && !children.contains_key(child) {
                let what = format!("{born} was acknowledged, nobody took its parent away, and {read} lacks it");
                return Err(("lost", what));
            }
        }
        Ok(())
    }
}
