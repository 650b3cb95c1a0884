//! `append`: transactions that append unique values to lists and read them; the lists lie in all partitions, and every
//! read of one tells who was before whom. Write skew, long forks, lost updates, fractured reads: all of them are cycles in
//! what `strictly-serializable` infers from it.
//!
//! A list is a text, `,17,23`: appending is one UPDATE, which shows its client nothing of the list, so that two blind appends
//! to one list never disturb one another. Few lists at a time are hot, others in turn.

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

/// See the module.
pub(super) struct Append;

impl Kind for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["strictly-serializable"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let table = format!("CREATE TABLE IF NOT EXISTS lists_{n} (k int8 PRIMARY KEY, v text NOT NULL)");
        // One at a time; the last one is a mark that all are there.
        let row = |key| format!("INSERT INTO lists_{n} (k, v) VALUES ({key}, '')");
        std::iter::once(table).chain((0..=place.keys).map(row)).collect()
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT k FROM lists_{} WHERE k = {}", place.workload, place.keys)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        let script = match below(rng, 100) {
            0..30 => Script::Statement,
            30..60 => Script::Batch,
            60..85 => Script::Block,
            85..95 => Script::ReadOnly,
            _ => return Operation::ReadLists,
        };
        let count = 1 + below(rng, MICROS_MAX as u64);
        let appends = below(rng, 2) == 0;
        let mut micros = Micros::default();
        for _ in 0..count {
            let key = key(rng, place, earlier.len() as u64);
            let append = match script {
                Script::Statement => appends,
                Script::ReadOnly => false,
                Script::Batch | Script::Block => below(rng, 2) == 0,
            };
            // In one statement each list has one part.
            if script != Script::Statement || micros.iter().all(|micro| micro.key != key) {
                micros.push(Micro { key, append });
            }
        }
        Operation::Lists { id: unique, script, micros }
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
            Script::Statement if micros.len() == 1 => step(place, id, micros, 0, style),
            Script::Statement if micros.writes() => Exchange::Simple(append_to_all(place, id, micros)),
            Script::Statement => Exchange::Simple(format!("SELECT k, v FROM lists_{n} WHERE k IN ({})", keys(micros))),
            Script::Batch => {
                let statements: Vec<String> = (0..micros.len()).map(|index| text(place, id, micros, index)).collect();
                Exchange::Simple(statements.join("; "))
            }
            // Either BEGIN comes with the first statement, or by itself.
            Script::Block if id.is_multiple_of(2) => Exchange::Simple(format!("BEGIN; {}", text(place, id, micros, 0))),
            Script::Block => Exchange::Simple("BEGIN".to_owned()),
            Script::ReadOnly => Exchange::Simple("BEGIN READ ONLY".to_owned()),
        }
    }

    fn next(&self, place: Place, operation: Operation, answered: u32, _answer: &Answer) -> Option<Exchange> {
        let Operation::Lists { id, script: script @ (Script::Block | Script::ReadOnly), micros } = operation else {
            return None;
        };
        let with_begin = script == Script::Block && id.is_multiple_of(2);
        let index = answered as usize - usize::from(!with_begin);
        if index < micros.len() {
            // Each client in a style of its own; which one follows from the number it has given the transaction.
            return Some(step(place, id, micros, index, Style::of((id / 7 % 3) as u32)));
        }
        (index == micros.len()).then(|| Exchange::Simple("COMMIT".to_owned()))
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        let Operation::Lists { script, micros, .. } = operation else {
            return Seen::Rows(answer.results.first().map(|result| texts(&result.rows)).unwrap_or_default());
        };
        let first = usize::from(matches!(script, Script::Block | Script::ReadOnly));
        // Lists are text in either format, and nothing else is asked for in binary.
        let rows = micros.iter().enumerate().map(|(index, micro)| {
            let field = match script {
                Script::Statement if micros.len() > 1 => {
                    answer.results.first().and_then(|all| of_all(all, micros, micro))
                }
                _ => answer.results.get(first + index).and_then(|result| of_one(result, micro)),
            };
            vec![Some(micro.key.to_string()), field]
        });
        Seen::Rows(rows.collect())
    }
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
fn step(place: Place, id: u64, micros: Micros, index: usize, style: Style) -> Exchange {
    let n = place.workload;
    match micros.iter().nth(index) {
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
fn text(place: Place, id: u64, micros: Micros, index: usize) -> String {
    match step(place, id, micros, index, Style::Simple) {
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
