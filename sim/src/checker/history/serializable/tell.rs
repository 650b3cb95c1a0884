//! Anomalies in words: the transactions, what each did and saw, and why they contradict one another.

use super::graph::{Cycle, Why};
use super::order::Orders;
use super::{Anomaly, Fate, Key, Step, Transaction};
use crate::checker::history::time;

/// Lines of a message after the first.
const INDENT: &str = "\n              ";
/// Values of a list that are shown.
const SHOWN_MAX: usize = 6;

/// An anomaly with the transactions that it is about.
pub(super) fn anomaly(kind: &str, involved: &[&Transaction], what: String) -> Anomaly {
    let at_ns = involved.iter().map(|one| one.returned_ns.unwrap_or(one.invoked_ns)).max().unwrap_or(0);
    let mut told = what;
    for (index, transaction) in involved.iter().enumerate() {
        if !involved[..index].iter().any(|before| std::ptr::eq(*before, *transaction)) {
            told.push_str(INDENT);
            told.push_str(&in_words(transaction));
        }
    }
    Anomaly { kind: kind.to_owned(), at_ns, what: told }
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
    for transaction in &involved {
        what.push_str(INDENT);
        what.push_str(&in_words(transaction));
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
    let key_of = |why: Why| match why {
        Why::Ww { key, .. } | Why::Wr { key, .. } | Why::Rw { key, .. } => Some(key),
        Why::RealTime => None,
    };
    let mut letters: Vec<char> = cycle.nodes.iter().map(letter).collect();
    // The same shape wherever it begins.
    let rotations = (0..letters.len()).map(|_| {
        letters.rotate_left(1);
        letters.iter().collect::<String>()
    });
    let one_list = cycle.nodes.windows(2).all(|pair| key_of(pair[0].1) == key_of(pair[1].1));
    match rotations.min().unwrap_or_default().as_str() {
        "aa" if one_list => " (a lost update)",
        "aa" => " (write skew)",
        "at" => " (a stale read)",
        "aw" if one_list => " (a lost update)",
        "ar" => " (read skew: one of them is seen by half)",
        "arar" => " (a long fork: two readers saw two writers in opposite orders)",
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
    let shown = |of: Key| {
        let known = &orders.lists[&of];
        match known.shown_to {
            Some(reader) => format!("in {}, as {} read it", list(&known.values), transactions[reader].label),
            None => "and nobody ever read it".to_owned(),
        }
    };
    match why {
        Why::Ww { key: of, at } => {
            let known = &orders.lists[&of];
            let earlier = known.values[at - 1];
            match known.values.get(at) {
                Some(later) => {
                    format!("of their appends to {}, {earlier} stands before {later} {}", key(of), shown(of))
                }
                None => format!(
                    "its {earlier} is the last of {}, {}, and what {} appends to it is not there yet",
                    key(of),
                    shown(of),
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
                (Some(value), _) => (*value, format!("{}, {value} comes next", shown(of))),
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

/// A transaction, and what it did and saw.
fn in_words(transaction: &Transaction) -> String {
    let step = |step: &Step| match step {
        Step::Append { key: to, value } => format!("append {value} to {}", key(*to)),
        Step::Read { key: of, list: shown } => format!("read {} as {}", key(*of), list(shown)),
    };
    let steps: Vec<String> = transaction.steps.iter().map(step).collect();
    let fate = match transaction.fate {
        Fate::Committed => "acknowledged",
        Fate::Unknown => "outcome unknown to its client",
        Fate::Refused => "refused",
    };
    let until = transaction.returned_ns.map_or_else(|| "never".to_owned(), time);
    let (label, from) = (&transaction.label, time(transaction.invoked_ns));
    format!("{label} ({from} – {until}, {fate}): {}", steps.join(", "))
}

/// A list's name.
pub(super) fn key((workload, key): Key) -> String {
    if workload == 0 { format!("list {key}") } else { format!("list {key} of workload {workload}") }
}

/// A list, its beginning left out if it is long.
pub(super) fn list(values: &[u64]) -> String {
    let skipped = values.len().saturating_sub(SHOWN_MAX);
    let mut shown: Vec<String> = values[skipped..].iter().map(u64::to_string).collect();
    if skipped > 0 {
        shown.insert(0, format!("… {skipped} more"));
    }
    format!("[{}]", shown.join(", "))
}
