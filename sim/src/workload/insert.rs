//! `insert`: rows with `now()`, `random()` and `gen_random_uuid()` in them, read back later, often after another
//! replica has come to lead: what one replica evaluated must be what all of them hold.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use orrery::types::random::below;

/// See the module.
pub(super) struct Insert {
    name: &'static str,
    /// What all tables of the cluster ask for that say nothing themselves.
    mode: Option<&'static str>,
}

/// Rows as safe as any.
pub(super) const INSERT: Insert = Insert { name: "insert", mode: None };
/// Rows that outlive all replicas but one of those that are in sync. All other workloads' too: the whole cluster is set so.
pub(super) const SYNC_INSERT: Insert = Insert { name: "sync_insert", mode: Some("sync") };

impl Kind for Insert {
    fn name(&self) -> &'static str {
        self.name
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["acknowledged-durable", "reads-agree"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let mode = self.mode.map(|mode| format!("ALTER CLUSTER SET replication_mode = '{mode}'"));
        let tables = [
            format!(
                "CREATE TABLE IF NOT EXISTS events_{n} (topic int8, id int8, at timestamptz NOT NULL, \
                 dice float8 NOT NULL, tag uuid NOT NULL, PRIMARY KEY (topic, id))"
            ),
            format!(
                "INSERT INTO events_{n} (topic, id, at, dice, tag) VALUES (1, 0, now(), random(), gen_random_uuid())"
            ),
        ];
        mode.into_iter().chain(tables).collect()
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM events_{} WHERE topic = 1 AND id = 0", place.workload)
    }

    fn draw(&self, rng: &mut Rng, _place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        let inserted = |operation: &Operation| match operation {
            Operation::Insert { id } => Some(*id),
            _ => None,
        };
        // Of the client's last few, so that a row is read again and again over failovers.
        let ids: Vec<u64> = earlier.iter().rev().filter_map(inserted).take(16).collect();
        if ids.is_empty() || below(rng, 100) < 50 {
            return Operation::Insert { id: unique };
        }
        Operation::ReadRow { id: ids[below(rng, ids.len() as u64) as usize] }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let mut operations = vec![Operation::Insert { id: unique }];
        if reads {
            operations.push(Operation::ReadRows);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        // Reads are text, since their fields are compared as text.
        let read = if style == Style::Prepared { Style::Unnamed } else { style };
        match operation {
            Operation::Insert { id } => style.exchange(
                "insert",
                &format!(
                    "INSERT INTO events_{n} (topic, id, at, dice, tag) \
                     VALUES (1, $1, now(), random(), gen_random_uuid())"
                ),
                &[id as i64],
            ),
            Operation::ReadRow { id } => read.exchange(
                "read_row",
                &format!("SELECT id, at, dice, tag FROM events_{n} WHERE topic = 1 AND id = $1"),
                &[id as i64],
            ),
            Operation::ReadRows => {
                read.exchange("read_rows", &format!("SELECT id, at, dice, tag FROM events_{n} WHERE topic = $1"), &[1])
            }
            other => unreachable!("insert never plans `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        match operation {
            Operation::Insert { .. } => Seen::Nothing,
            _ => Seen::Rows(answer.results.last().map(|result| texts(&result.rows)).unwrap_or_default()),
        }
    }
}
