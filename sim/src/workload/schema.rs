//! `schema`: tables, columns and indexes come and go while others insert into the common table, read it, and use what may
//! just not be there. Whoever is told that a table exists may count on it from then on; an index never tells of other
//! rows than its table; a row that is older than a column has in it what the column was added with, or what was written. Two tables
//! that come and go in a transaction block, with a mark of theirs in a third one, are there together or not at all.
//!
//! Objects are numbered by turns of ten operations, so that all clients are about the same ones at about the same time.
//! Each is made and dropped by one client, and used by all.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::{Object, Operation, Sort};
use orrery::types::Rng;
use orrery::types::random::below;

/// Operations of a turn.
const TURN: usize = 10;
/// Who makes an object of a turn follows from a client's numbers, which have this distance.
const STRIDE: u64 = 1_000_000;

/// See the module.
pub(super) struct Schema;

impl Kind for Schema {
    fn name(&self) -> &'static str {
        "schema"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["schema-agrees", "acknowledged-durable"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        vec![
            format!("CREATE TABLE IF NOT EXISTS things_{n} (id int8 PRIMARY KEY, a int8 NOT NULL)"),
            format!("CREATE TABLE IF NOT EXISTS marks_{n} (id int8 PRIMARY KEY)"),
            format!("INSERT INTO things_{n} (id, a) VALUES (0, 0)"),
        ]
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM things_{} WHERE id = 0", place.workload)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        let (turn, place_in_turn) = ((earlier.len() / TURN) as u32, earlier.len() % TURN);
        let keys = place.keys;
        let mine = object(turn, (unique / STRIDE) as u32 % keys, keys);
        match place_in_turn {
            1 => return Operation::Create { object: mine },
            7 => return Operation::Drop { object: mine },
            _ => {}
        }
        let inserted = |operation: &Operation| match operation {
            Operation::Insert { id } => Some(*id),
            _ => None,
        };
        let ids: Vec<u64> = earlier.iter().rev().filter_map(inserted).take(16).collect();
        match below(rng, 100) {
            0..40 => {
                let value = if below(rng, 2) == 0 { 0 } else { unique };
                Operation::Need { object: object(turn, below(rng, u64::from(keys)) as u32, keys), value }
            }
            40..55 => Operation::Count,
            55..70 if !ids.is_empty() => Operation::ReadRow { id: ids[below(rng, ids.len() as u64) as usize] },
            _ => Operation::Insert { id: unique },
        }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let mut operations = vec![Operation::Insert { id: unique }];
        if reads {
            operations.extend([Operation::Count, Operation::ReadRows]);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        // Reads are text, since their fields are compared as text.
        let read = if style == Style::Prepared { Style::Unnamed } else { style };
        match operation {
            Operation::Create { object } => Exchange::Simple(create(n, object)),
            Operation::Drop { object } => Exchange::Simple(drop_of(n, object)),
            Operation::Need { object, value } => Exchange::Simple(need(n, object, value)),
            Operation::Count => Exchange::Simple(format!(
                "SELECT count(*) FROM things_{n}; SELECT count(*) FROM things_{n} WHERE a >= 0"
            )),
            Operation::Insert { id } => {
                style.exchange("insert", &format!("INSERT INTO things_{n} (id, a) VALUES ($1, $1)"), &[id as i64])
            }
            Operation::ReadRow { id } => {
                read.exchange("read_row", &format!("SELECT id, a FROM things_{n} WHERE id = $1"), &[id as i64])
            }
            Operation::ReadRows => Exchange::Simple(format!("SELECT id, a FROM things_{n}")),
            other => unreachable!("schema never plans `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        match operation {
            Operation::Count | Operation::ReadRow { .. } | Operation::ReadRows | Operation::Need { value: 0, .. } => {
                Seen::Rows(answer.results.iter().flat_map(|result| texts(&result.rows)).collect())
            }
            _ => Seen::Nothing,
        }
    }
}

/// What is made in a turn by the client in this place.
fn object(turn: u32, place: u32, keys: u32) -> Object {
    let number = turn * keys + place;
    let sort = match (turn + place) % 4 {
        0 => Sort::Table,
        1 => Sort::Column,
        2 => Sort::Pair,
        _ => Sort::Index,
    };
    Object { sort, number }
}

fn create(n: u32, Object { sort, number }: Object) -> String {
    match sort {
        Sort::Table => format!("CREATE TABLE side_{n}_{number} (id int8 PRIMARY KEY)"),
        // Rows that are there have the first default for ever, whatever it becomes.
        Sort::Column => format!(
            "ALTER TABLE things_{n} ADD COLUMN c{number} int8 DEFAULT {number}, ALTER COLUMN c{number} SET DEFAULT -1"
        ),
        Sort::Index => format!("CREATE INDEX things_{n}_{number} ON things_{n} (a, id)"),
        Sort::Pair => format!(
            "BEGIN; CREATE TABLE left_{n}_{number} (id int8 PRIMARY KEY); INSERT INTO marks_{n} (id) VALUES ({number}); \
             CREATE TABLE right_{n}_{number} (id int8 PRIMARY KEY); COMMIT"
        ),
    }
}

fn drop_of(n: u32, Object { sort, number }: Object) -> String {
    match sort {
        Sort::Table => format!("DROP TABLE side_{n}_{number}"),
        Sort::Column => format!("ALTER TABLE things_{n} DROP COLUMN c{number}"),
        Sort::Index => format!("DROP INDEX things_{n}_{number}"),
        Sort::Pair => format!(
            "BEGIN; DROP TABLE left_{n}_{number}; DELETE FROM marks_{n} WHERE id = {number}; \
             DROP TABLE right_{n}_{number}; COMMIT"
        ),
    }
}

/// The tables of a pair, as a query names them: one is looked for first, now this one and now that.
fn pair(n: u32, number: u32) -> [String; 2] {
    let mut pair = [format!("left_{n}_{number}"), format!("right_{n}_{number}")];
    pair.rotate_left((number / 4 % 2) as usize);
    pair
}

/// The table that is looked for last. If it is missed, the other was there.
#[must_use]
pub fn last_of_pair(n: u32, number: u32) -> String {
    let [_, last] = pair(n, number);
    last
}

fn need(n: u32, Object { sort, number }: Object, value: u64) -> String {
    match (sort, value) {
        (Sort::Table, 0) => format!("SELECT count(*) FROM side_{n}_{number}"),
        (Sort::Table, value) => format!("INSERT INTO side_{n}_{number} (id) VALUES ({value})"),
        (Sort::Column, 0) => format!("SELECT c{number} FROM things_{n} WHERE id = 0"),
        (Sort::Column, value) => format!("UPDATE things_{n} SET c{number} = {value} WHERE id = 0"),
        (Sort::Pair, 0) => {
            let [first, second] = pair(n, number);
            format!(
                "SELECT (SELECT count(*) FROM {first}), (SELECT count(*) FROM {second}), \
                 (SELECT count(*) FROM marks_{n} WHERE id = {number})"
            )
        }
        (Sort::Pair, value) => format!("INSERT INTO left_{n}_{number} (id) VALUES ({value})"),
        // No statement needs an index. This one uses it, if it is there.
        (Sort::Index, _) => format!("SELECT count(*) FROM things_{n} WHERE a >= 0"),
    }
}
