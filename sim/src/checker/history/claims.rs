//! `claims-exclusive`: a name has one owner, who has both names of the claim or none; what was acknowledged is there
//! until it is given back, and who was refused had somebody in the way. `now()` is the same in both.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use std::collections::BTreeMap;

/// See the module.
pub(super) struct ClaimsExclusive;

impl Checker for ClaimsExclusive {
    fn name(&self) -> &'static str {
        "claims-exclusive"
    }

    fn doc(&self) -> &'static str {
        "a name has one owner, an owner both names or none, and a claim is refused only for another one"
    }

    fn check(&self, history: &History) -> Finding {
        Finding::first_by_workload(self, history, Claims::of, |claims, recorded| claims.judge(recorded))
    }
}

/// What a workload's clients did with names.
#[derive(Default)]
struct Claims<'h> {
    /// By owner.
    claims: BTreeMap<u64, &'h Recorded>,
    /// By owner: those not refused.
    releases: BTreeMap<u64, Vec<&'h Recorded>>,
    /// By name: who may have had it.
    by_name: BTreeMap<u32, Vec<u64>>,
}

impl<'h> Claims<'h> {
    fn of(history: &'h History, workload: u32) -> Self {
        let mut claims = Self::default();
        for recorded in history.operations.iter().filter(|recorded| recorded.workload == workload) {
            let refused = matches!(recorded.outcome, Outcome::Failed(_));
            match recorded.operation {
                Operation::Claim { id, first, second } => {
                    claims.claims.insert(id, recorded);
                    for name in [first, second].into_iter().filter(|_| !refused) {
                        claims.by_name.entry(name).or_default().push(id);
                    }
                }
                Operation::Release { id } if !refused => claims.releases.entry(id).or_default().push(recorded),
                _ => {}
            }
        }
        claims
    }

    fn judge(&self, recorded: &Recorded) -> Judgement {
        match (recorded.operation, &recorded.outcome) {
            (Operation::Names, Outcome::Done(Seen::Rows(rows))) => self.read(recorded, rows),
            (Operation::Claim { id, first, second }, Outcome::Failed(why)) if why.starts_with("23505") => {
                let others = [first, second].into_iter().filter_map(|name| self.by_name.get(&name)).flatten();
                if others.into_iter().any(|other| *other != id && self.may_stand(*other, recorded)) {
                    return Ok(());
                }
                Err(("refused-for-nobody", format!("{recorded} met nobody who could have had its names")))
            }
            _ => Ok(()),
        }
    }

    /// Could this owner have had its names at some time of `during`?
    fn may_stand(&self, owner: u64, during: &Recorded) -> bool {
        let claim = self.claims[&owner];
        claim.invoked_ns <= during.latest_ns() && !self.surely_gone(owner, during.invoked_ns)
    }

    /// Was it given back before that time, for certain?
    fn surely_gone(&self, owner: u64, at_ns: u64) -> bool {
        let claimed = self.claims[&owner].latest_ns();
        let after = |release: &&&Recorded| {
            matches!(release.outcome, Outcome::Done(_)) && release.invoked_ns >= claimed && release.latest_ns() < at_ns
        };
        self.releases.get(&owner).into_iter().flatten().any(|release| after(&release))
    }

    /// Is it there, for certain, during all of that time?
    fn surely_stands(&self, owner: u64, from_ns: u64, to_ns: u64) -> bool {
        let claim = self.claims[&owner];
        let released = |release: &&Recorded| release.invoked_ns <= to_ns;
        matches!(claim.outcome, Outcome::Done(_))
            && claim.latest_ns() < from_ns
            && !self.releases.get(&owner).into_iter().flatten().any(released)
    }

    fn read(&self, read: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
        let mut owners: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        let mut taken: BTreeMap<u32, u64> = BTreeMap::new();
        let mut times: BTreeMap<u64, Option<&str>> = BTreeMap::new();
        for row in rows {
            let number = |column: usize| row.get(column)?.as_ref()?.parse::<u64>().ok();
            let (Some(name), Some(owner)) = (number(0).and_then(|name| u32::try_from(name).ok()), number(1)) else {
                return Err(("unreadable", format!("{read} showed {row:?}")));
            };
            if let Some(other) = taken.insert(name, owner) {
                return Err(("two-owners", format!("{read} showed name {name} twice: of {other} and of {owner}")));
            }
            owners.entry(owner).or_default().push(name);
            let at = row.get(2).and_then(Option::as_deref);
            if let Some(other) = times.insert(owner, at).filter(|other| *other != at) {
                let what = format!("{read} showed {owner}'s names with two times: {other:?} and {at:?}");
                return Err(("two-times", what));
            }
        }
        for (owner, names) in &mut owners {
            let Some(claim) = self.claims.get(owner) else {
                return Err(("from-nowhere", format!("{read} showed {owner}, who never claimed anything")));
            };
            let Operation::Claim { first, second, .. } = claim.operation else { continue };
            if matches!(claim.outcome, Outcome::Failed(_)) {
                return Err((
                    "refused-yet-there",
                    format!("{claim} was refused, and {read} showed its names {names:?}"),
                ));
            }
            let mut wanted = [first, second];
            wanted.sort_unstable();
            names.sort_unstable();
            if *names != wanted {
                return Err(("torn", format!("{claim} takes both names, and {read} showed {names:?}")));
            }
            if self.surely_gone(*owner, read.invoked_ns) {
                return Err(("given-back-yet-there", format!("{claim} was given back before {read} showed its names")));
            }
        }
        for owner in self.claims.keys() {
            let to_ns = read.returned_ns.unwrap_or(u64::MAX);
            if !owners.contains_key(owner) && self.surely_stands(*owner, read.invoked_ns, to_ns) {
                let what = format!("{} was acknowledged and never given back, and {read} lacks it", self.claims[owner]);
                return Err(("lost", what));
            }
        }
        Ok(())
    }
}
