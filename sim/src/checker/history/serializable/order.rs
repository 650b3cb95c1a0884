//! The order of each list's appends, as reads tell it, and the anomalies that a read shows by itself or with one other.

use super::{Anomaly, Fate, Key, Step, Transaction, tell};
use orrery::types::collections::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of all lists.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) lists: BTreeMap<Key, List>,
    /// Every transaction's reads of what others had appended: one a key at most.
    pub(super) reads: Vec<Read>,
    /// By transaction: has it happened?
    pub(super) happened: Vec<bool>,
}

/// What is known of a list.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The longest that anybody saw.
    pub(super) values: Vec<u64>,
    /// Who appended each.
    pub(super) writers: Vec<usize>,
    /// Who saw it.
    pub(super) shown_to: Option<usize>,
    /// Who has appended what nobody saw: it comes after everything that was seen.
    pub(super) unseen: Vec<(usize, u64)>,
}

/// A transaction read a list when it had this many of its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) reader: usize,
    pub(super) key: Key,
    pub(super) length: usize,
}

/// Who appends a value to a list, and at which of its steps.
type Writers = HashMap<(Key, u64), (usize, usize)>;

pub(super) fn infer(transactions: &[Transaction]) -> Result<Orders, Anomaly> {
    let writers = writers(transactions)?;
    let mut orders = Orders { happened: vec![false; transactions.len()], ..Orders::default() };
    let mut committed: Vec<usize> = (0..transactions.len()).collect();
    committed.retain(|index| transactions[*index].fate == Fate::Committed);
    for index in &committed {
        orders.happened[*index] = true;
    }
    // By the time of their return: the first anomaly is the first that a client could have noticed.
    committed.sort_by_key(|index| transactions[*index].returned_ns);
    for reader in committed {
        for (key, list) in from_others(transactions, reader)? {
            let from = orders.known_to_be_sound(transactions, reader, key, &list);
            sound(transactions, &writers, reader, key, &list, from)?;
            orders.take(transactions, &writers, reader, key, list)?;
        }
    }
    orders.find_unseen(transactions);
    orders.none_is_lost(transactions)?;
    Ok(orders)
}

fn writers(transactions: &[Transaction]) -> Result<Writers, Anomaly> {
    let mut writers = Writers::default();
    for (index, transaction) in transactions.iter().enumerate() {
        for (position, step) in transaction.steps.iter().enumerate() {
            let Step::Append { key, value } = step else { continue };
            if let Some((other, _)) = writers.insert((*key, *value), (index, position)) {
                let what = format!("{} and {} both append {value}", transactions[other].label, transaction.label);
                return Err(tell::anomaly("unreadable", &[&transactions[other], transaction], *key, what));
            }
        }
    }
    Ok(writers)
}

/// What a transaction read of each list, without what it had appended itself; it must agree with itself.
fn from_others(transactions: &[Transaction], reader: usize) -> Result<Vec<(Key, Vec<u64>)>, Anomaly> {
    let transaction = &transactions[reader];
    let mut own: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
    let mut others: BTreeMap<Key, &[u64]> = BTreeMap::new();
    for step in &transaction.steps {
        let (key, list) = match step {
            Step::Append { key, value } => {
                own.entry(*key).or_default().push(*value);
                continue;
            }
            Step::Read { key, list } => (key, list),
        };
        let mine: &[u64] = own.get(key).map_or(&[], |mine| mine);
        let shown = tell::list(list);
        let Some(before) = list.strip_suffix(mine) else {
            let what = format!(
                "{} appended {} to {} and then read it as {shown}",
                transaction.label,
                tell::list(mine),
                tell::key(*key)
            );
            return Err(tell::anomaly("internal", &[transaction], *key, what));
        };
        if let Some(earlier) = others.get(key).filter(|earlier| **earlier != before) {
            let what = format!(
                "{} read {} as {shown}, and earlier, without its own appends, as {}",
                transaction.label,
                tell::key(*key),
                tell::list(earlier)
            );
            return Err(tell::anomaly("internal", &[transaction], *key, what));
        }
        others.insert(*key, before);
    }
    Ok(others.into_iter().map(|(key, list)| (key, list.to_vec())).collect())
}

/// Is everything in this list from somebody who may be seen, whole, once, and in its order? Up to `from` that is known.
fn sound(
    transactions: &[Transaction],
    writers: &Writers,
    reader: usize,
    key: Key,
    list: &[u64],
    from: usize,
) -> Result<(), Anomaly> {
    let read = || format!("{} read {} as {}", transactions[reader].label, tell::key(key), tell::list(list));
    let mut met = BTreeSet::new();
    let mut at = from;
    while at < list.len() {
        let value = list[at];
        let Some((writer, _)) = writers.get(&(key, value)) else {
            let what = format!("{}, and nobody appended {value}", read());
            return Err(tell::anomaly("from-nowhere", &[&transactions[reader]], key, what));
        };
        let author = &transactions[*writer];
        let involved = [&transactions[reader], author];
        if author.fate == Fate::Refused {
            let what = format!("{}, and {}, which appends {value}, was refused", read(), author.label);
            return Err(tell::anomaly("aborted-read", &involved, key, what));
        }
        if *writer == reader {
            let what = format!("{}, with {value}, which it appends only later", read());
            return Err(tell::anomaly("internal", &involved, key, what));
        }
        if !met.insert(value) || list[..from].contains(&value) {
            let what = format!("{}, with {value} of {} twice", read(), author.label);
            return Err(tell::anomaly("appended-twice", &involved, key, what));
        }
        // All that it appends to this list stands together, in its order.
        let all = appended(author, key);
        let there = list[at..].iter().zip(&all).take_while(|(shown, wanted)| shown == wanted).count();
        if there < all.len() {
            let ends = there > 0 && at + there == list.len();
            let kind = if ends { "intermediate-read" } else { "torn" };
            let what = format!("{}, and {} appends {} to it, as a whole", read(), author.label, tell::list(&all));
            return Err(tell::anomaly(kind, &involved, key, what));
        }
        met.extend(&all);
        at += there;
    }
    Ok(())
}

/// What a transaction appends to a list.
fn appended(transaction: &Transaction, key: Key) -> Vec<u64> {
    let to_key = |step: &Step| match step {
        Step::Append { key: of, value } if *of == key => Some(*value),
        _ => None,
    };
    transaction.steps.iter().filter_map(to_key).collect()
}

impl Orders {
    /// How much of a list's beginning is as others read it, up to the end of somebody's appends, and so as sound as that was:
    /// lists grow long, and what is new in them is short.
    fn known_to_be_sound(&self, transactions: &[Transaction], reader: usize, key: Key, list: &[u64]) -> usize {
        let Some(known) = self.lists.get(&key).filter(|_| appended(&transactions[reader], key).is_empty()) else {
            return 0;
        };
        let whole = |length: usize| length == 0 || known.writers.get(length) != known.writers.get(length - 1);
        let common = known.values.len().min(list.len());
        if known.values[..common] == list[..common] && whole(common) { common } else { 0 }
    }

    /// Takes what a transaction read. Of any two readings of a list the shorter is the beginning of the longer.
    fn take(
        &mut self,
        transactions: &[Transaction],
        writers: &Writers,
        reader: usize,
        key: Key,
        list: Vec<u64>,
    ) -> Result<(), Anomaly> {
        self.reads.push(Read { reader, key, length: list.len() });
        let known = self.lists.entry(key).or_default();
        let agree = known.values.iter().zip(&list).all(|(known, shown)| known == shown);
        if let (false, Some(other)) = (agree, known.shown_to) {
            let (one, two) = (&transactions[other], &transactions[reader]);
            let what = format!(
                "{} read {} as {}, and {} as {}: neither is the beginning of the other",
                one.label,
                tell::key(key),
                tell::list(&known.values),
                two.label,
                tell::list(&list)
            );
            return Err(tell::anomaly("incompatible-order", &[one, two], key, what));
        }
        if known.shown_to.is_none() || list.len() > known.values.len() {
            let author = |value: &u64| writers.get(&(key, *value)).map_or(reader, |(writer, _)| *writer);
            known.writers = list.iter().map(author).collect();
            for writer in &known.writers {
                self.happened[*writer] = true;
            }
            known.values = list;
            known.shown_to = Some(reader);
        }
        Ok(())
    }

    fn find_unseen(&mut self, transactions: &[Transaction]) {
        for (index, transaction) in transactions.iter().enumerate().filter(|(index, _)| self.happened[*index]) {
            for step in &transaction.steps {
                let Step::Append { key, value } = step else { continue };
                let list = self.lists.entry(*key).or_default();
                if !list.writers.contains(&index) {
                    list.unseen.push((index, *value));
                }
            }
        }
    }

    /// What was acknowledged is in every list that is read after that.
    fn none_is_lost(&self, transactions: &[Transaction]) -> Result<(), Anomaly> {
        for read in &self.reads {
            let reader = &transactions[read.reader];
            for (writer, value) in &self.lists[&read.key].unseen {
                let writer = &transactions[*writer];
                if writer.returned_ns.is_none_or(|returned| returned >= reader.invoked_ns) {
                    continue;
                }
                let what = format!(
                    "{} was acknowledged, and {value}, which it appended to {}, is in no list that anybody read: not in \
                     {}, which {} read after that",
                    writer.label,
                    tell::key(read.key),
                    tell::list(&self.lists[&read.key].values[..read.length]),
                    reader.label
                );
                return Err(tell::anomaly("lost-append", &[writer, reader], read.key, what));
            }
        }
        Ok(())
    }
}
