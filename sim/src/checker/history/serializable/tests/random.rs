//! Random histories: those of a serial execution are accepted, and however one of their reads is changed, the judge says
//! what a search through all orders says.

use super::super::*;
use crate::stream::{between, chance, stream};
use orrery::types::Rng;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LISTS: i64 = 3;

/// A serial execution, each transaction at its instant, with intervals around those instants that overlap.
fn execution(rng: &mut Rng, count: usize, overlap: i64) -> Vec<Transaction> {
    let mut lists: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
    let mut value = 0;
    let mut transactions = Vec::new();
    for number in 0..count {
        let at = 10_000 + 100 * number as i64;
        let fate = match between(rng, 0, 9) {
            0 => Fate::Unknown,
            1 => Fate::Refused,
            _ => Fate::Committed,
        };
        let happens = fate == Fate::Committed || fate == Fate::Unknown && chance(rng, 500_000);
        let mut steps = Vec::new();
        for _ in 0..between(rng, 1, 4) {
            let key = (0, between(rng, 1, LISTS) as u32);
            if chance(rng, 500_000) {
                value += 1;
                steps.push(Step::Append { key, value });
                if happens {
                    lists.entry(key).or_default().push(value);
                }
            } else if fate == Fate::Committed {
                steps.push(Step::Read { key, list: lists.get(&key).cloned().unwrap_or_default() });
            }
        }
        transactions.push(Transaction {
            label: format!("T{number}"),
            said: "one statement",
            invoked_ns: (at - between(rng, 0, overlap)) as u64,
            returned_ns: (fate != Fate::Unknown).then(|| (at + between(rng, 0, overlap)) as u64),
            fate,
            steps,
        });
    }
    transactions
}

/// Changes one thing. What comes of it may still be explicable.
fn change(rng: &mut Rng, transactions: &mut [Transaction]) {
    let index = between(rng, 0, transactions.len() as i64 - 1) as usize;
    let transaction = &mut transactions[index];
    if chance(rng, 200_000) {
        // It took less time: what was concurrent is so no more.
        if let Some(returned) = transaction.returned_ns {
            transaction.returned_ns = Some(between(rng, transaction.invoked_ns as i64, returned as i64) as u64);
        }
        return;
    }
    let reads = transaction.steps.iter_mut().filter_map(|step| match step {
        Step::Read { list, .. } => Some(list),
        Step::Append { .. } => None,
    });
    let mut lists: Vec<&mut Vec<u64>> = reads.filter(|list| !list.is_empty()).collect();
    if lists.is_empty() {
        return;
    }
    let list = between(rng, 0, lists.len() as i64 - 1) as usize;
    let list = &mut *lists[list];
    let at = between(rng, 0, list.len() as i64 - 1) as usize;
    match between(rng, 0, 4) {
        // Most often an older list.
        0 | 1 => list.truncate(at),
        2 => drop(list.remove(at)),
        3 => list.insert(at, list[at]),
        _ => list.swap(0, at),
    }
}

/// Is there an order that explains everything? Tries all.
fn explicable(transactions: &[Transaction]) -> bool {
    let left: Vec<usize> = (0..transactions.len()).filter(|index| transactions[*index].fate != Fate::Refused).collect();
    go_on(transactions, &left, &BTreeMap::new())
}

fn go_on(transactions: &[Transaction], left: &[usize], lists: &BTreeMap<Key, Vec<u64>>) -> bool {
    // Those whose outcome is unknown need not happen.
    if left.iter().all(|index| transactions[*index].fate == Fate::Unknown) {
        return true;
    }
    let earliest = left.iter().filter_map(|index| transactions[*index].returned_ns).min().unwrap_or(u64::MAX);
    left.iter().any(|index| {
        let transaction = &transactions[*index];
        if transaction.invoked_ns > earliest {
            return false;
        }
        let mut lists = lists.clone();
        let explained = transaction.steps.iter().all(|step| match step {
            Step::Append { key, value } => {
                lists.entry(*key).or_default().push(*value);
                true
            }
            Step::Read { key, list } => lists.get(key).map_or(&[][..], |list| list) == list.as_slice(),
        });
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != index).collect();
        explained && go_on(transactions, &rest, &lists)
    })
}

proptest! {
    #[test]
    fn a_serial_execution_is_accepted(seed in any::<u64>(), count in 1..200_usize, overlap in 0..3_000_i64) {
        let transactions = execution(&mut stream(seed, "execution", 0), count, overlap);
        if let Err(anomaly) = judge(&transactions) {
            prop_assert!(false, "{}: {}", anomaly.kind, anomaly.what);
        }
    }

    #[test]
    fn the_judge_and_a_search_through_all_orders_agree(seed in any::<u64>(), count in 2..7_usize, overlap in 0..400_i64) {
        let mut rng = stream(seed, "execution", 1);
        let mut transactions = execution(&mut rng, count, overlap);
        for _ in 0..between(&mut rng, 1, 3) {
            change(&mut rng, &mut transactions);
        }
        let judged = judge(&transactions);
        prop_assert_eq!(judged.is_ok(), explicable(&transactions), "{:?} {:#?}", judged, transactions);
    }

    #[test]
    fn in_a_long_history_an_older_list_is_caught(seed in any::<u64>(), count in 20..300_usize) {
        let mut rng = stream(seed, "execution", 2);
        let mut transactions = execution(&mut rng, count, 0);
        // Nothing is concurrent: a reader that misses anything acknowledged is wrong.
        let committed = transactions.iter().filter(|transaction| transaction.fate == Fate::Committed);
        let values = |step: &Step| match step {
            Step::Append { value, .. } => Some(*value),
            Step::Read { .. } => None,
        };
        let sure: Vec<u64> = committed.flat_map(|transaction| &transaction.steps).filter_map(values).collect();
        let full = |transaction: &Transaction| transaction.steps.iter().rposition(|step| match step {
            Step::Read { list, .. } => list.last().is_some_and(|last| sure.contains(last)),
            Step::Append { .. } => false,
        });
        let places: Vec<(usize, usize)> =
            transactions.iter().enumerate().filter_map(|(index, transaction)| Some((index, full(transaction)?))).collect();
        prop_assume!(!places.is_empty());
        let (reader, at) = places[between(&mut rng, 0, places.len() as i64 - 1) as usize];
        if let Step::Read { list, .. } = &mut transactions[reader].steps[at] {
            list.pop();
        }
        prop_assert!(judge(&transactions).is_err());
    }
}

#[test]
fn both_verdicts_are_common_among_the_changed() {
    let mut good = 0;
    for seed in 0..300 {
        let mut rng = stream(seed, "execution", 1);
        let mut transactions = execution(&mut rng, 5, 300);
        change(&mut rng, &mut transactions);
        good += u32::from(judge(&transactions).is_ok());
    }
    assert!((60..240).contains(&good), "{good} of 300 are good");
}
