//! `append`: transactions that append unique values to lists and read them; the lists lie in all partitions, and every
//! read of one tells who was before whom. Write skew, long forks, lost updates, fractured reads: all of them are cycles in
//! what `strictly-serializable` infers from it.
//!
//! A list is a text, `,17,23`: appending is one UPDATE, which shows its client nothing of the list, so that two blind appends
//! to one list never disturb one another. Few lists at a time are hot, others in turn.
//!
//! - `append` does everything.
//! - `write_skew`: whoever has read a pair of lists appends to one of them, as a doctor goes off call who has seen that another
//!   one is on; two of them on one pair, each to its list, are in no order, though neither has changed what it saw itself.
//! - `long_fork`: appends to one list each, and readers of four lists in any order: two of them see two appends in opposite
//!   orders unless all reads of one are of one moment.
//! - `moments`: the same in blocks that only read and do not say so, by key and by range, of lists that come into being when first
//!   appended to: what was not there has been read, too.

use super::wire::{Answer, Exchange, ResultSet, integer, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::{MICROS_MAX, Micro, Micros, Operation, Script};
use orrery::types::Rng;
use orrery::types::random::below;

/// Lists that are hot at a time.
const HOT: u64 = 3;
/// After so many operations of a client the next lists are hot.
const TURN: u64 = 25;
/// Likewise, where lists are to come into being.
const BIRTHS: u64 = 4;

/// See the module.
pub(super) struct Append(Shape);

/// Everything.
pub(super) const APPEND: Append = Append(Shape::Mixed);
/// Whoever has read a pair appends to one of it.
pub(super) const WRITE_SKEW: Append = Append(Shape::Skew);
/// Writers of one list, readers of four.
pub(super) const LONG_FORK: Append = Append(Shape::Fork);
/// The same in blocks, of lists that come into being.
pub(super) const MOMENTS: Append = Append(Shape::Moments);

/// What its transactions look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Mixed,
    Skew,
    Fork,
    Moments,
}

impl Kind for Append {
    fn name(&self) -> &'static str {
        match self.0 {
            Shape::Mixed => "append",
            Shape::Skew => "write_skew",
            Shape::Fork => "long_fork",
            Shape::Moments => "moments",
        }
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["strictly-serializable"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let table = format!("CREATE TABLE IF NOT EXISTS lists_{n} (k int8 PRIMARY KEY, v text NOT NULL)");
        // One at a time; the last one is a mark that all are there.
        let row = |key| format!("INSERT INTO lists_{n} (k, v) VALUES ({key}, '')");
        let first = if self.0 == Shape::Moments { place.keys } else { 0 };
        std::iter::once(table).chain((first..=place.keys).map(row)).collect()
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT k FROM lists_{} WHERE k = {}", place.workload, place.keys)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        let drawn = match self.0 {
            Shape::Mixed => mixed(rng, place, earlier.len() as u64),
            Shape::Skew => skew(rng, place, earlier.len() as u64),
            Shape::Fork => fork(rng, place),
            Shape::Moments => moments(rng, place, earlier.len() as u64),
        };
        match drawn {
            Some((script, micros)) => Operation::Lists { id: unique, script, micros },
            None => Operation::ReadLists,
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let micros = Micros::from_iter([Micro { key: key(rng, place, 0), append: true }]);
        let mut operations = vec![Operation::Lists { id: unique, script: Script::Statement, micros }];
        if reads {
            operations.push(Operation::ReadLists);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        let Operation::Lists { id, script, micros } = operation else {
            return Exchange::Simple(format!("SELECT k, v FROM lists_{n}"));
        };
        match script {
            Script::Statement if micros.len() == 1 && self.0 != Shape::Moments => {
                step(self.0, place, id, micros, 0, style)
            }
            Script::Statement if micros.writes() && self.0 == Shape::Moments => {
                Exchange::Simple(append_or_begin(place, id, micros))
            }
            Script::Statement if micros.writes() => Exchange::Simple(append_to_all(place, id, micros)),
            Script::Statement => Exchange::Simple(format!("SELECT k, v FROM lists_{n} WHERE k IN ({})", keys(micros))),
            Script::Batch => {
                let statements: Vec<String> =
                    (0..micros.len()).map(|index| text(self.0, place, id, micros, index)).collect();
                Exchange::Simple(statements.join("; "))
            }
            // Either BEGIN comes with the first statement, or by itself.
            Script::Block if id.is_multiple_of(2) => {
                Exchange::Simple(format!("BEGIN; {}", text(self.0, place, id, micros, 0)))
            }
            Script::Block | Script::Savepoint => Exchange::Simple("BEGIN".to_owned()),
            Script::ReadOnly => Exchange::Simple("BEGIN READ ONLY".to_owned()),
        }
    }

    fn next(&self, place: Place, operation: Operation, answered: u32, _answer: &Answer) -> Option<Exchange> {
        let Operation::Lists { id, script, micros } = operation else { return None };
        if matches!(script, Script::Statement | Script::Batch) {
            return None;
        }
        let with_begin = script == Script::Block && id.is_multiple_of(2);
        let index = answered as usize - usize::from(!with_begin);
        if index < micros.len() {
            if script == Script::Savepoint && micros.iter().nth(index).is_some_and(|micro| !micro.append) {
                let read = text(self.0, place, id, micros, index);
                return Some(Exchange::Simple(format!("SAVEPOINT s; {read}; ROLLBACK TO s")));
            }
            // Each client in a style of its own; which one follows from the number it has given the transaction.
            return Some(step(self.0, place, id, micros, index, Style::of((id / 7 % 3) as u32)));
        }
        (index == micros.len()).then(|| Exchange::Simple("COMMIT".to_owned()))
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        let Operation::Lists { script, micros, .. } = operation else {
            return Seen::Rows(answer.results.first().map(|result| texts(&result.rows)).unwrap_or_default());
        };
        let mut next = usize::from(matches!(script, Script::Block | Script::Savepoint | Script::ReadOnly));
        // Lists are text in either format, and nothing else is asked for in binary.
        let rows = micros.iter().map(|micro| {
            // A read that is rolled back stands between two results that say nothing.
            let around = usize::from(script == Script::Savepoint && !micro.append);
            let index = next + around;
            next = index + 1 + around;
            let field = match script {
                Script::Statement if micros.len() > 1 => {
                    answer.results.first().and_then(|all| of_all(all, micros, micro))
                }
                _ => answer.results.get(index).and_then(|result| of_one(result, micro)),
            };
            vec![Some(micro.key.to_string()), field]
        });
        Seen::Rows(rows.collect())
    }
}

/// `None`: all lists are read.
fn mixed(rng: &mut Rng, place: Place, done: u64) -> Option<(Script, Micros)> {
    let script = match below(rng, 100) {
        0..30 => Script::Statement,
        30..60 => Script::Batch,
        60..80 => Script::Block,
        80..85 => Script::Savepoint,
        85..95 => Script::ReadOnly,
        _ => return None,
    };
    let count = 1 + below(rng, MICROS_MAX as u64);
    let appends = below(rng, 2) == 0;
    let mut micros = Micros::default();
    for _ in 0..count {
        let key = key(rng, place, done);
        let append = match script {
            Script::Statement => appends,
            Script::ReadOnly => false,
            Script::Batch | Script::Block | Script::Savepoint => below(rng, 2) == 0,
        };
        // In one statement each list has one part.
        if script != Script::Statement || micros.iter().all(|micro| micro.key != key) {
            micros.push(Micro { key, append });
        }
    }
    Some((script, micros))
}

fn skew(rng: &mut Rng, place: Place, done: u64) -> Option<(Script, Micros)> {
    // One pair at a time is hot.
    let pairs = (u64::from(place.keys) / 2).max(1);
    let pair = if below(rng, 4) == 0 { below(rng, pairs) } else { done / TURN % pairs };
    let list = |second: u64| (pair * 2 + second) as u32;
    let script = match below(rng, 100) {
        0..55 => Script::Block,
        55..75 => Script::Savepoint,
        75..85 => Script::Batch,
        85..98 => Script::ReadOnly,
        _ => return None,
    };
    let first = below(rng, 2);
    let reads = [first, 1 - first].map(|second| Micro { key: list(second), append: false });
    let mut micros = Micros::from_iter(reads);
    if script != Script::ReadOnly {
        micros.push(Micro { key: list(below(rng, 2)), append: true });
    }
    Some((script, micros))
}

fn fork(rng: &mut Rng, place: Place) -> Option<(Script, Micros)> {
    let keys = u64::from(place.keys);
    let (at, step) = (below(rng, keys), 1 + below(rng, keys.max(2) - 1));
    let script = match below(rng, 100) {
        0..45 => {
            let append = Micro { key: at as u32, append: true };
            return Some((Script::Statement, Micros::from_iter([append])));
        }
        45..60 => Script::Statement,
        60..70 => Script::Batch,
        70..80 => Script::Block,
        _ => Script::ReadOnly,
    };
    let mut micros = Micros::default();
    for nth in 0..MICROS_MAX as u64 {
        let key = ((at + nth * step) % keys) as u32;
        if micros.iter().all(|micro| micro.key != key) {
            micros.push(Micro { key, append: false });
        }
    }
    Some((script, micros))
}

fn moments(rng: &mut Rng, place: Place, done: u64) -> Option<(Script, Micros)> {
    let keys = u64::from(place.keys);
    let mut list = || ((done / BIRTHS * HOT + below(rng, 2 * HOT)) % keys) as u32;
    let (first, second, third, fourth) = (list(), list(), list(), list());
    let (append, count) = (below(rng, 100) < 55, 1 + below(rng, 3) as usize);
    let mut micros = Micros::default();
    for key in [first, second, third, fourth].into_iter().take(if append { count.min(2) } else { count + 1 }) {
        if micros.iter().all(|micro| micro.key != key) {
            micros.push(Micro { key, append });
        }
    }
    Some((if append { Script::Statement } else { Script::Block }, micros))
}

fn key(rng: &mut Rng, place: Place, done: u64) -> u32 {
    let keys = u64::from(place.keys);
    let key = match below(rng, 10) {
        0..7 => done / TURN * HOT + below(rng, HOT),
        _ => below(rng, keys),
    };
    (key % keys) as u32
}

/// The statement of a step, alone in its exchange.
fn step(shape: Shape, place: Place, id: u64, micros: Micros, index: usize, style: Style) -> Exchange {
    let n = place.workload;
    match micros.iter().nth(index) {
        // The last one of some is a range, which all partitions are asked for.
        micro if shape == Shape::Moments => {
            let ranges = id.is_multiple_of(3) && index + 1 == micros.len();
            let (name, within) = if ranges { ("range", "k >= $1 AND k <= $1") } else { ("read", "k = $1") };
            style.exchange(
                name,
                &format!("SELECT coalesce(max(v), '') FROM lists_{n} WHERE {within}"),
                &[i64::from(micro.unwrap_or_default().key)],
            )
        }
        Some(Micro { key, append: true }) => style.exchange(
            "append",
            &format!("UPDATE lists_{n} SET v = v || ',' || $2 WHERE k = $1"),
            &[i64::from(key), Operation::appended(id, index) as i64],
        ),
        micro => style.exchange(
            "read",
            &format!("SELECT v FROM lists_{n} WHERE k = $1"),
            &[i64::from(micro.unwrap_or_default().key)],
        ),
    }
}

/// The same as text.
fn text(shape: Shape, place: Place, id: u64, micros: Micros, index: usize) -> String {
    match step(shape, place, id, micros, index, Style::Simple) {
        Exchange::Simple(text) | Exchange::Extended { text, .. } => text,
    }
}

/// One statement for all steps, each an append to another list.
fn append_to_all(place: Place, id: u64, micros: Micros) -> String {
    let n = place.workload;
    let part =
        |(index, micro): (usize, Micro)| format!("WHEN k = {} THEN ',{}'", micro.key, Operation::appended(id, index));
    let parts: Vec<String> = micros.iter().enumerate().map(part).collect();
    format!("UPDATE lists_{n} SET v = v || CASE {} END WHERE k IN ({})", parts.join(" "), keys(micros))
}

/// The same where a list may not be there yet.
fn append_or_begin(place: Place, id: u64, micros: Micros) -> String {
    let n = place.workload;
    let row = |(index, micro): (usize, Micro)| format!("({}, ',{}')", micro.key, Operation::appended(id, index));
    let rows: Vec<String> = micros.iter().enumerate().map(row).collect();
    let rows = rows.join(", ");
    format!("INSERT INTO lists_{n} AS l (k, v) VALUES {rows} ON CONFLICT (k) DO UPDATE SET v = l.v || EXCLUDED.v")
}

fn keys(micros: Micros) -> String {
    micros.iter().map(|micro| micro.key.to_string()).collect::<Vec<_>>().join(", ")
}

/// What a step's own statement showed: the list, or how many rows it was appended to.
fn of_one(result: &ResultSet, micro: Micro) -> Option<String> {
    if micro.append {
        return result.affected().map(|rows| rows.to_string());
    }
    let [row] = result.rows.as_slice() else { return None };
    row.first()?.as_ref().map(|list| String::from_utf8_lossy(list).into_owned())
}

/// What a statement for all steps showed of one.
fn of_all(result: &ResultSet, micros: Micros, micro: Micro) -> Option<String> {
    if micro.append {
        let all = result.affected() == Some(micros.len() as u64);
        return Some(u32::from(all).to_string());
    }
    let of_key = |row: &&Vec<Option<bytes::Bytes>>| {
        row.first().and_then(|key| integer(key.as_ref()?, false)) == Some(i64::from(micro.key))
    };
    let list = result.rows.iter().find(of_key)?.get(1)?.as_ref()?;
    Some(String::from_utf8_lossy(list).into_owned())
}
