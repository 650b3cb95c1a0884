//! `families`: children reference parents, and toys children, over all partitions (ON DELETE CASCADE). Clients bear children
//! with a toy each, by one query text or in a block, at times the toy before the child that it references (deferred), or the child under
//! another number at first, which lies elsewhere; others delete the parents meanwhile. Nobody may ever see an orphan, a child
//! without its toy, or a toy without its child.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use orrery::types::random::below;

/// What a reading of everything shows, in order.
pub const KIN: [&str; 3] = ["parent", "child", "toy"];

/// See the module.
pub(super) struct Families;

impl Kind for Families {
    fn name(&self) -> &'static str {
        "families"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["no-orphans"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let parents: Vec<String> = (0..place.keys).map(|id| format!("({id})")).collect();
        vec![
            format!("CREATE TABLE IF NOT EXISTS parents_{n} (id int8 PRIMARY KEY)"),
            format!(
                "CREATE TABLE IF NOT EXISTS children_{n} (id int8 PRIMARY KEY, \
                 parent int8 NOT NULL REFERENCES parents_{n} ON DELETE CASCADE DEFERRABLE)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS toys_{n} (id int8 PRIMARY KEY, \
                 child int8 NOT NULL UNIQUE REFERENCES children_{n} ON DELETE CASCADE DEFERRABLE)"
            ),
            format!("INSERT INTO parents_{n} (id) VALUES {}", parents.join(", ")),
        ]
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM parents_{} WHERE id < {}", place.workload, place.keys)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, _earlier: &[Operation]) -> Operation {
        let parent = below(rng, u64::from(place.keys)) as u32;
        match below(rng, 100) {
            0..20 => Operation::Found { parent },
            20..70 => Operation::Bear { id: unique, parent },
            70..85 => Operation::Dissolve { parent },
            _ => Operation::Kin,
        }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, _unique: u64, reads: bool) -> Vec<Operation> {
        let mut operations = vec![Operation::Found { parent: 0 }];
        if reads {
            operations.push(Operation::Kin);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        match operation {
            Operation::Found { parent } => style.exchange(
                "found",
                &format!("INSERT INTO parents_{n} (id) VALUES ($1) ON CONFLICT (id) DO NOTHING"),
                &[i64::from(parent)],
            ),
            Operation::Bear { id, parent } => {
                // The toy's number is another one's: they lie apart.
                let child = format!("INSERT INTO children_{n} (id, parent) VALUES ({id}, {parent})");
                let toy = format!("INSERT INTO toys_{n} (id, child) VALUES ({id} * 7 + 3, {id})");
                Exchange::Simple(match id % 6 {
                    0 => format!("{child}; {toy}"),
                    1 => format!("BEGIN; {child}; {toy}; COMMIT"),
                    2 => format!("BEGIN; SAVEPOINT s; {child}; {toy}; ROLLBACK TO s; {child}; {toy}; COMMIT"),
                    3 => format!("BEGIN; SET CONSTRAINTS ALL DEFERRED; {toy}; {child}; COMMIT"),
                    4 => format!(
                        "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO children_{n} (id, parent) VALUES (-{id}, {parent}); \
                         UPDATE children_{n} SET id = {id} WHERE id = -{id}; {toy}; COMMIT"
                    ),
                    _ => format!(
                        "BEGIN; SET CONSTRAINTS ALL DEFERRED; {toy}; {child}; SAVEPOINT s; \
                         DELETE FROM toys_{n} WHERE id = {id} * 7 + 3; ROLLBACK TO s; COMMIT"
                    ),
                })
            }
            Operation::Dissolve { parent } if parent.is_multiple_of(2) => {
                style.exchange("dissolve", &format!("DELETE FROM parents_{n} WHERE id = $1"), &[i64::from(parent)])
            }
            Operation::Dissolve { parent } => {
                Exchange::Simple(format!("BEGIN; DELETE FROM parents_{n} WHERE id = {parent}; COMMIT"))
            }
            Operation::Kin => Exchange::Simple(format!(
                "SELECT id FROM parents_{n}; SELECT id, parent FROM children_{n}; SELECT child FROM toys_{n}"
            )),
            other => unreachable!("families never plan `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        if operation != Operation::Kin {
            return Seen::Nothing;
        }
        let mut rows = Vec::new();
        for (kind, result) in KIN.iter().zip(&answer.results) {
            for row in texts(&result.rows) {
                rows.push(std::iter::once(Some((*kind).to_owned())).chain(row).collect());
            }
        }
        Seen::Rows(rows)
    }
}
