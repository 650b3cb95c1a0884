//! `registers`: rows with one value each; read, write, compare-and-set, write-and-read. Every written value is unique.
//!
//! `watched`: the same, read nearly always: for what only shows where nothing has been written for a while.

use super::wire::{Answer, Exchange, integer, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use orrery::types::random::below;

/// See the module.
pub(super) struct Registers;

impl Kind for Registers {
    fn name(&self) -> &'static str {
        "registers"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["linearizable-registers"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let table = format!("CREATE TABLE IF NOT EXISTS registers_{n} (key int8 PRIMARY KEY, value int8 NOT NULL)");
        // One at a time, since rows may lie in different partitions; the last one is a mark that all are there.
        let row = |key| format!("INSERT INTO registers_{n} (key, value) VALUES ({key}, 0)");
        std::iter::once(table).chain((0..=place.keys).map(row)).collect()
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT value FROM registers_{} WHERE key = {}", place.workload, place.keys)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, _earlier: &[Operation]) -> Operation {
        let key = below(rng, u64::from(place.keys)) as u32;
        match below(rng, 100) {
            0..45 => Operation::Read { key },
            45..80 => Operation::Write { key, value: unique },
            80..92 => Operation::Compare { key, expected: 0, value: unique },
            _ => Operation::WriteRead { key, value: unique },
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let key = below(rng, u64::from(place.keys)) as u32;
        let mut operations = vec![Operation::Write { key, value: unique }];
        if reads {
            operations.extend((0..place.keys).map(|key| Operation::Read { key }));
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        match operation {
            Operation::Write { key, value } => style.exchange(
                "write",
                &format!("UPDATE registers_{n} SET value = $1 WHERE key = $2"),
                &[value as i64, i64::from(key)],
            ),
            Operation::Compare { key, expected, value } => style.exchange(
                "compare",
                &format!("UPDATE registers_{n} SET value = $1 WHERE key = $2 AND value = $3"),
                &[value as i64, i64::from(key), expected],
            ),
            Operation::WriteRead { key, value } => Exchange::Simple(format!(
                "UPDATE registers_{n} SET value = {value} WHERE key = {key}; \
                 SELECT value FROM registers_{n} WHERE key = {key}"
            )),
            Operation::Read { key } => {
                style.exchange("read", &format!("SELECT value FROM registers_{n} WHERE key = $1"), &[i64::from(key)])
            }
            other => unreachable!("registers never plan `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        let Some(last) = answer.results.last() else { return Seen::Rows(Vec::new()) };
        match operation {
            Operation::Write { .. } | Operation::Compare { .. } => match last.affected() {
                Some(affected @ (0 | 1)) => Seen::Written(affected == 1),
                _ => Seen::Rows(vec![vec![Some(last.tag.clone())]]),
            },
            _ => match last.rows.as_slice() {
                [] => Seen::Value(None),
                [row] => match row.first().and_then(|field| integer(field.as_ref()?, binary)) {
                    Some(value) => Seen::Value(Some(value)),
                    None => Seen::Rows(texts(&last.rows)),
                },
                rows => Seen::Rows(texts(rows)),
            },
        }
    }
}

/// See the module.
pub(super) struct Watched;

impl Kind for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn checkers(&self) -> &'static [&'static str] {
        Registers.checkers()
    }

    fn setup(&self, place: Place) -> Vec<String> {
        Registers.setup(place)
    }

    fn ready(&self, place: Place) -> String {
        Registers.ready(place)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, _earlier: &[Operation]) -> Operation {
        let key = below(rng, u64::from(place.keys)) as u32;
        match below(rng, 100) {
            0..94 => Operation::Read { key },
            _ => Operation::Write { key, value: unique },
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        Registers.closing(rng, place, unique, reads)
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        Registers.exchange(place, operation, style)
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        Registers.interpret(operation, answer, binary)
    }
}
