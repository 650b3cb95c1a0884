//! Anomalies in words: the transactions, what each did and saw, and why they contradict one another.

use super::graph::{Cycle, Why};
use super::order::Orders;
use super::{Anomaly, Fate, Key, Step, Transaction};
use crate::checker::history::time;

/// Lines of a message after the first.
const INDENT: &str = "\n              ";
/// Values of a list that are shown.
const SHOWN_MAX: usize = 6;

/// An anomaly with the transactions that it is about, what they did to the list that it is about, and what follows from it.
pub(super) fn anomaly(kind: &str, involved: &[&Transaction], about: Key, what: String) -> Anomaly {
    let at_ns = involved.iter().map(|one| one.returned_ns.unwrap_or(one.invoked_ns)).max().unwrap_or(0);
    let mut told = what;
    for (index, transaction) in involved.iter().enumerate() {
        if !involved[..index].iter().any(|before| std::ptr::eq(*before, *transaction)) {
            told.push_str(INDENT);
            told.push_str(&in_words(transaction, &[about]));
        }
    }
    told.push_str(INDENT);
    told.push_str(conclusion(kind));
    Anomaly { kind: kind.to_owned(), at_ns, what: told }
}

/// What an anomaly of one read or of two means.
fn conclusion(kind: &str) -> &'static str {
    match kind {
        "aborted-read" => "so something was read of a transaction whose client was told that it had changed nothing",
        "appended-twice" => "so a transaction that was sent once was executed twice",
        "intermediate-read" => "so a transaction was seen in the middle",
        "torn" => "so a transaction's appends to one list were torn apart",
        "from-nowhere" => "so something was read that nobody has written",
        "lost-append" => "so what was acknowledged is gone, or was not there when it was acknowledged",
        "incompatible-order" => "so the list has had two histories",
        "internal" => "so the transaction contradicts itself",
        _ => "so the history cannot be read",
    }
}

/// A contradiction.
pub(super) fn cycle(transactions: &[Transaction], orders: &Orders, cycle: &Cycle) -> Anomaly {
    let mut involved: Vec<&Transaction> = cycle.nodes.iter().map(|(node, _)| &transactions[*node]).collect();
    let mut what = format!("no order of {} transactions explains what they saw{}:", involved.len(), shape(cycle));
    let mut reasons = String::new();
    for (index, (node, why)) in cycle.nodes.iter().enumerate() {
        let next = cycle.nodes[(index + 1) % cycle.nodes.len()].0;
        let (first, second) = (&transactions[*node], &transactions[next]);
        reasons.push_str(INDENT);
        reasons.push_str(&format!("{} must come before {}: ", first.label, second.label));
        reasons.push_str(&reason(transactions, orders, first, (next, second), *why));
    }
    let label = involved.first().map_or("one of them", |first| first.label.as_str());
    involved.sort_by_key(|one| one.invoked_ns);
    let about: Vec<Key> = cycle.nodes.iter().filter_map(|(_, why)| why.key()).collect();
    for transaction in &involved {
        what.push_str(INDENT);
        what.push_str(&in_words(transaction, &about));
    }
    what.push_str(&reasons);
    what.push_str(INDENT);
    what.push_str(&format!("so {label} would come before itself"));
    let at_ns = involved.iter().map(|one| one.returned_ns.unwrap_or(one.invoked_ns)).max().unwrap_or(0);
    Anomaly { kind: cycle.class.clone(), at_ns, what }
}

/// What cycles of this shape are called.
fn shape(cycle: &Cycle) -> &'static str {
    let letter = |(_, why): &(usize, Why)| match why {
        Why::Ww { .. } => 'w',
        Why::Wr { .. } => 'r',
        Why::Rw { .. } => 'a',
        Why::RealTime => 't',
    };
    let mut letters: Vec<char> = cycle.nodes.iter().map(letter).collect();
    // The same shape wherever it begins.
    let rotations = (0..letters.len()).map(|_| {
        letters.rotate_left(1);
        letters.iter().collect::<String>()
    });
    let one_list = cycle.nodes.windows(2).all(|pair| pair[0].1.key() == pair[1].1.key());
    match rotations.min().unwrap_or_default().as_str() {
        "aa" if one_list => " (a lost update)",
        "aa" => " (write skew)",
        "at" => " (a stale read)",
        "aw" if one_list => " (a lost update)",
        "ar" => " (read skew: one of them is seen by half)",
        "arar" => " (a long fork: two readers saw two writers in opposite orders)",
        "atr" => " (a torn read: something later was seen, and something earlier was not)",
        "rt" => " (a read of the future)",
        "tw" => " (appends against real time)",
        _ => "",
    }
}

fn reason(
    transactions: &[Transaction],
    orders: &Orders,
    first: &Transaction,
    (next, second): (usize, &Transaction),
    why: Why,
) -> String {
    let shown = |of: Key, at: usize| {
        let known = &orders.lists[&of];
        match known.shown_to {
            Some(reader) => format!("in {}, as {} read it", around(&known.values, at), transactions[reader].label),
            None => "and nobody ever read it".to_owned(),
        }
    };
    match why {
        Why::Ww { key: of, at } => {
            let known = &orders.lists[&of];
            let earlier = known.values[at - 1];
            match known.values.get(at) {
                Some(later) => {
                    format!("of their appends to {}, {earlier} stands before {later} {}", key(of), shown(of, at))
                }
                None => format!(
                    "its {earlier} is the last of {}, {}, and what {} appends to it is not there yet",
                    key(of),
                    shown(of, at),
                    second.label
                ),
            }
        }
        Why::Wr { key: of, at } => {
            let value = orders.lists[&of].values[at];
            format!("{} read {} with {value}, which {} appended, as its last", second.label, key(of), first.label)
        }
        Why::Rw { key: of, length } => {
            let known = &orders.lists[&of];
            let unseen = known.unseen.iter().find(|(writer, _)| *writer == next).map(|(_, value)| *value);
            let (missed, seen) = match (known.values.get(length), unseen) {
                (Some(value), _) => (*value, format!("{}, {value} comes next", shown(of, length))),
                (None, value) => (value.unwrap_or(0), "nobody ever saw it".to_owned()),
            };
            format!(
                "{} read {} as {}, without {missed}, which {} appended ({seen})",
                first.label,
                key(of),
                list(&known.values[..length]),
                second.label,
            )
        }
        Why::RealTime => format!(
            "it had returned at {}, and {} was invoked at {}",
            time(first.returned_ns.unwrap_or(0)),
            second.label,
            time(second.invoked_ns)
        ),
    }
}

/// A transaction, how it was said, and what it did and saw of these lists.
fn in_words(transaction: &Transaction, about: &[Key]) -> String {
    let step = |step: &Step| match step {
        Step::Append { key: to, value } => format!("append {value} to {}", key(*to)),
        Step::Read { key: of, list: shown } => format!("read {} as {}", key(*of), list(shown)),
    };
    let concerned =
        |step: &&Step| matches!(step, Step::Append { key, .. } | Step::Read { key, .. } if about.contains(key));
    let mut steps: Vec<String> = transaction.steps.iter().filter(concerned).map(step).collect();
    match transaction.steps.len() - steps.len() {
        0 => {}
        1 => steps.push("and one step on another list".to_owned()),
        others => steps.push(format!("and {others} steps on other lists")),
    }
    let fate = match transaction.fate {
        Fate::Committed => "acknowledged",
        Fate::Unknown => "outcome unknown to its client",
        Fate::Refused => "refused",
    };
    let until = transaction.returned_ns.map_or_else(|| "never".to_owned(), time);
    let Transaction { label, said, .. } = transaction;
    let from = time(transaction.invoked_ns);
    format!("{label} ({said}, {from} – {until}, {fate}): {}", steps.join(", "))
}

/// A list's name.
pub(super) fn key((workload, key): Key) -> String {
    if workload == 0 { format!("list {key}") } else { format!("list {key} of workload {workload}") }
}

/// A list, its beginning left out if it is long.
pub(super) fn list(values: &[u64]) -> String {
    around(values, values.len())
}

/// The values of a list about this position, if it is long.
fn around(values: &[u64], at: usize) -> String {
    let after = SHOWN_MAX / 3;
    let end = (at + after).max(SHOWN_MAX).min(values.len());
    let skipped = end.saturating_sub(SHOWN_MAX);
    let mut shown: Vec<String> = values[skipped..end].iter().map(u64::to_string).collect();
    if skipped > 0 {
        shown.insert(0, format!("… {skipped} more"));
    }
    if end < values.len() {
        shown.push(format!("{} more …", values.len() - end));
    }
    format!("[{}]", shown.join(", "))
}
