//! `exactly-once`: the ledger holds each acknowledged transfer once, no refused one, an unknown one at most once; and
//! the balances read with it are what its entries make of the opening balances.

use super::{Checker, Finding, History, Judgement, Recorded, money::balances, seen_by};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use crate::workload::OPENING_BALANCE;
use std::collections::BTreeMap;

/// See the module.
pub(super) struct ExactlyOnce;

impl Checker for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly-once"
    }

    fn doc(&self) -> &'static str {
        "each acknowledged transfer took effect once, each refused one never, each unknown one at most once"
    }

    fn check(&self, history: &History) -> Finding {
        let mut transfers: BTreeMap<(u32, u64), &Recorded> = BTreeMap::new();
        for recorded in &history.operations {
            if let Operation::Transfer { id, .. } = recorded.operation {
                transfers.insert((recorded.workload, id), recorded);
            }
        }
        Finding::first(self, &history.operations, |read| match (read.operation, &read.outcome) {
            (Operation::Ledger, Outcome::Done(Seen::Rows(rows))) => {
                judge(&transfers, history.keys[read.workload as usize], read, rows).map_err(seen_by(read))
            }
            _ => Ok(()),
        })
    }
}

/// A ledger entry: source, target, amount.
type Entry = (u32, u32, u32);

fn judge(
    transfers: &BTreeMap<(u32, u64), &Recorded>,
    accounts: u32,
    read: &Recorded,
    rows: &[Vec<Option<String>>],
) -> Judgement {
    let unreadable = || ("unreadable", "the ledger has unreadable rows".to_owned());
    let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.len() == 4) {
        let number = |column: usize| row[column].as_ref()?.parse::<u64>().ok();
        let small = |column: usize| u32::try_from(number(column)?).ok();
        let (Some(id), Some(source), Some(target), Some(amount)) = (number(0), small(1), small(2), small(3)) else {
            return Err(unreadable());
        };
        if entries.insert(id, (source, target, amount)).is_some() {
            return Err(("applied-twice", format!("transfer {id} stands in the ledger twice")));
        }
    }
    for (id, entry) in &entries {
        let Some(transfer) = transfers.get(&(read.workload, *id)) else {
            return Err(("from-nowhere", format!("nobody asked for transfer {id}, and the ledger has it")));
        };
        let Operation::Transfer { from, to, amount, .. } = transfer.operation else { continue };
        if (from, to, amount) != *entry {
            return Err(("altered", format!("{transfer} stands in the ledger as {entry:?}")));
        }
        if matches!(transfer.outcome, Outcome::Failed(_)) {
            return Err(("refused-yet-applied", format!("{transfer} was refused, and the ledger has it")));
        }
    }
    for ((workload, id), transfer) in transfers {
        let before = *workload == read.workload && transfer.latest_ns() < read.invoked_ns;
        if before && matches!(transfer.outcome, Outcome::Done(_)) && !entries.contains_key(id) {
            return Err(("lost", format!("{transfer} was acknowledged, and the ledger does not have it")));
        }
    }
    let mut expected = vec![OPENING_BALANCE; accounts as usize];
    for (source, target, amount) in entries.values() {
        let (source, target) = (*source as usize, *target as usize);
        if source.max(target) >= expected.len() {
            return Err(unreadable());
        }
        expected[source] -= i64::from(*amount);
        expected[target] += i64::from(*amount);
    }
    for (account, balance) in balances(rows).ok_or_else(unreadable)? {
        let wanted = expected.get(account as usize).copied();
        if wanted != Some(balance) {
            let what = format!("account {account} holds {balance}, and the ledger accounts for {wanted:?}");
            return Err(("balance-differs", what));
        }
    }
    Ok(())
}
