//! `indexes`: rows under a primary key, a unique constraint and a secondary index, changed by statements of several rows
//! of which many are doomed: their last row violates something after the others have been written. Audits read the
//! table row by row and along each index, all in one implicit transaction: the three must tell of the same rows.
//!
//! A *batch* is the rows that one INSERT brings: all of them or none are there, whatever happens. All rows have
//! `shelf = 1` as the first column of their key and of both indexes: they lie in one partition.
//!
//! `rebuilt`: the same over a larger table, with many rows on other shelves that nobody touches, so that definitions take their time:
//! the index on colors is dropped and made again, a column gets its type again and with it all rows are written anew, constraints
//! come and go, and some that the rows do not keep are asked for.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::{Doom, Operation};
use orrery::types::Rng;
use orrery::types::random::below;

/// Rows of a batch.
pub const BATCH_ROWS: u64 = 3;
/// Row numbers that a batch may have: those of batch `b` begin at `b` times this.
pub const BATCH_STRIDE: u64 = 4;
/// A row's first code is its number times this; each successful renumbering adds one.
const CODE_STRIDE: u64 = 1_000;

/// How an audit marks the rows that it read one way: the first field of each.
pub const WAYS: [&str; 3] = ["table", "color", "code"];

/// Definitions of `rebuilt`, about table `{n}`. From [`FIRST_REFUSED`] on the rows do not keep them.
const DEFINITIONS: [&str; 7] = [
    "DROP INDEX items_{n}_color",
    "CREATE INDEX items_{n}_color ON items_{n} (shelf, color)",
    "ALTER TABLE items_{n} ADD CONSTRAINT light CHECK (color < 1000000)",
    "ALTER TABLE items_{n} DROP CONSTRAINT light",
    // All rows are written anew, and come to the same.
    "ALTER TABLE items_{n} ALTER COLUMN color TYPE int8 USING color + 0",
    "CREATE UNIQUE INDEX items_{n}_once ON items_{n} (shelf, color)",
    "ALTER TABLE items_{n} ADD CONSTRAINT none CHECK (color <> 0)",
];
/// Number of the first that is always refused.
pub const FIRST_REFUSED: u32 = 5;
/// Rows of `rebuilt` that nobody touches, and how many of them one statement brings.
const FILLING: u64 = 3_200;
const FILLED_AT_ONCE: u64 = 100;

/// See the module.
pub(super) struct Indexes {
    name: &'static str,
    rebuilds: bool,
}

/// Its definitions stay.
pub(super) const INDEXES: Indexes = Indexes { name: "indexes", rebuilds: false };
/// They come and go.
pub(super) const REBUILT: Indexes = Indexes { name: "rebuilt", rebuilds: true };

impl Kind for Indexes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["indexes-agree"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let mut statements = vec![
            format!(
                "CREATE TABLE IF NOT EXISTS items_{n} (shelf int8, id int8, code int8 NOT NULL, \
                 color int8 NOT NULL CHECK (color >= 0), PRIMARY KEY (shelf, id), UNIQUE (shelf, code))"
            ),
            format!("CREATE INDEX IF NOT EXISTS items_{n}_color ON items_{n} (shelf, color)"),
            // The row that doomed statements run into.
            format!("INSERT INTO items_{n} (shelf, id, code, color) VALUES (1, 0, 0, 0)"),
        ];
        if self.rebuilds {
            let fill = |from: u64| {
                let to = from + FILLED_AT_ONCE - 1;
                format!(
                    "INSERT INTO items_{n} (shelf, id, code, color) \
                     SELECT 2 + g % 7, g, g, g % 2 FROM generate_series({from}, {to}) AS s(g)"
                )
            };
            let last = statements.pop();
            statements.extend((0..FILLING / FILLED_AT_ONCE).map(|part| fill(1 + part * FILLED_AT_ONCE)));
            // It is what [`Kind::ready`] looks for.
            statements.extend(last);
        }
        statements
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM items_{} WHERE shelf = 1 AND id = 0", place.workload)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        let stocked = |operation: &Operation| match operation {
            Operation::Stock { batch, doom: Doom::None, .. } => Some(*batch),
            _ => None,
        };
        let batches: Vec<u64> = earlier.iter().rev().filter_map(stocked).take(8).collect();
        let color = below(rng, u64::from(place.keys)) as u32;
        let roll = below(rng, 100);
        if self.rebuilds && roll < 12 {
            return Operation::Redefine { number: below(rng, DEFINITIONS.len() as u64) as u32 };
        }
        if batches.is_empty() || roll < 40 {
            return Operation::Stock { batch: unique, color, doom: doom(rng) };
        }
        let batch = batches[below(rng, batches.len() as u64) as usize];
        match roll {
            40..55 => Operation::Repaint { batch, color },
            55..75 => Operation::Renumber { batch, doomed: below(rng, 2) == 0 },
            75..82 => Operation::Withdraw { batch },
            _ => Operation::Audit,
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let color = below(rng, u64::from(place.keys)) as u32;
        let mut operations = vec![Operation::Stock { batch: unique, color, doom: Doom::None }];
        if reads {
            operations.push(Operation::Audit);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        let of_batch = "WHERE shelf = 1 AND id >= $1 AND id < $2";
        let range = |batch: u64| [(batch * BATCH_STRIDE) as i64, ((batch + 1) * BATCH_STRIDE) as i64];
        match operation {
            Operation::Stock { batch, color, doom } if self.rebuilds && doom != Doom::None => {
                // One transaction of a statement for each row: others may come in between, who must not see any of it.
                let insert = |row| format!("INSERT INTO items_{n} (shelf, id, code, color) VALUES {row}");
                Exchange::Simple(
                    stock(place, batch, color, doom).into_iter().map(insert).collect::<Vec<_>>().join("; "),
                )
            }
            Operation::Stock { batch, color, doom } => Exchange::Simple(format!(
                "INSERT INTO items_{n} (shelf, id, code, color) VALUES {}",
                stock(place, batch, color, doom).join(", ")
            )),
            Operation::Repaint { batch, color } => {
                let [from, to] = range(batch);
                style.exchange(
                    "repaint",
                    &format!("UPDATE items_{n} SET color = $3 {of_batch}"),
                    &[from, to, i64::from(color)],
                )
            }
            Operation::Renumber { batch, doomed: false } => {
                style.exchange("renumber", &format!("UPDATE items_{n} SET code = code + 1 {of_batch}"), &range(batch))
            }
            Operation::Renumber { batch, doomed: true } if self.rebuilds => {
                let [from, to] = range(batch);
                let rows = format!("WHERE shelf = 1 AND id >= {from} AND id < {to}");
                // That no batch has the colors that they would get shows if they stay anywhere.
                Exchange::Simple(format!(
                    "UPDATE items_{n} SET code = code + 1, color = color + 1 {rows}; \
                     UPDATE items_{n} SET color = color + 1 {rows}; UPDATE items_{n} SET code = 0 {rows}"
                ))
            }
            Operation::Renumber { batch, doomed: true } => {
                let [from, to] = range(batch);
                // The last row's new code is that of row 0.
                style.exchange(
                    "misnumber",
                    &format!("UPDATE items_{n} SET code = CASE WHEN id = $3 THEN 0 ELSE code + 1 END {of_batch}"),
                    &[from, to, from + BATCH_ROWS as i64 - 1],
                )
            }
            Operation::Redefine { number } => {
                let definition = DEFINITIONS.get(number as usize).copied().unwrap_or("SELECT 1");
                Exchange::Simple(definition.replace("{n}", &n.to_string()))
            }
            Operation::Withdraw { batch } => {
                style.exchange("withdraw", &format!("DELETE FROM items_{n} {of_batch}"), &range(batch))
            }
            Operation::Audit => {
                // Equal values of the index's second column, or a range of them, make the index the better path.
                let colors: Vec<String> = (0..place.keys).map(|color| color.to_string()).collect();
                Exchange::Simple(format!(
                    "SELECT id, code, color FROM items_{n} WHERE shelf = 1; \
                     SELECT id, code, color FROM items_{n} WHERE shelf = 1 AND color IN ({}); \
                     SELECT id, code, color FROM items_{n} WHERE shelf = 1 AND code >= 0",
                    colors.join(", ")
                ))
            }
            other => unreachable!("indexes never plan `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        if matches!(operation, Operation::Redefine { .. }) {
            return Seen::Nothing;
        }
        if operation != Operation::Audit {
            let affected = answer.results.last().and_then(super::wire::ResultSet::affected);
            return Seen::Value(affected.map(|rows| rows as i64));
        }
        let mut rows = Vec::new();
        for (way, result) in WAYS.iter().zip(&answer.results) {
            for row in texts(&result.rows) {
                rows.push(std::iter::once(Some((*way).to_owned())).chain(row).collect());
            }
        }
        Seen::Rows(rows)
    }
}

fn doom(rng: &mut Rng) -> Doom {
    match below(rng, 10) {
        0..5 => Doom::None,
        5..7 => Doom::Key,
        7..9 => Doom::Unique,
        _ => Doom::Check,
    }
}

/// The rows of a batch, and behind them, if it is doomed, one that cannot be.
fn stock(place: Place, batch: u64, color: u32, doom: Doom) -> Vec<String> {
    let row = |id: u64, code: u64, color: i64| format!("(1, {id}, {code}, {color})");
    let first = batch * BATCH_STRIDE;
    let mut rows: Vec<String> = (first..first + BATCH_ROWS)
        .map(|id| row(id, id * CODE_STRIDE, (i64::from(color) + id as i64) % i64::from(place.keys)))
        .collect();
    let last = first + BATCH_ROWS;
    match doom {
        Doom::None => {}
        Doom::Key => rows.push(row(0, last * CODE_STRIDE, 0)),
        Doom::Unique => rows.push(row(last, 0, 0)),
        Doom::Check => rows.push(row(last, last * CODE_STRIDE, -1)),
    }
    rows
}
