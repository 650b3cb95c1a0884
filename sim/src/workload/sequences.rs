//! `sequences`: clients draw tickets, one by one and for rows with a generated identity: by VALUES of one or several rows, by
//! INSERT … SELECT, in a transaction block; and give the rows of one of them new tickets, in whichever partitions they are.
//! Now and then somebody sets the sequence of tickets far ahead, each time to a stretch of numbers that nobody else has set it to,
//! in a transaction block too; and somebody adds a column that numbers all rows that are there.

use super::wire::{Answer, Exchange, integer};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use orrery::types::random::below;

/// Tickets between two places that the sequence is set to: more than are ever drawn.
pub const STRETCH: i64 = 1_000_000;

/// Rows that an issue makes.
#[must_use]
pub const fn issued_rows(id: u64) -> usize {
    match id % 4 {
        0 => 1,
        3 => 2,
        _ => 3,
    }
}

/// Does it set the sequence in a block? That is not undone if the block is.
#[must_use]
pub const fn jumps_in_block(id: u64) -> bool {
    id % 3 == 2
}

/// Where a jump sets the sequence.
#[must_use]
const fn landing(id: u64) -> i64 {
    (id as i64 + 1).saturating_mul(STRETCH)
}

/// See the module.
pub(super) struct Sequences;

impl Kind for Sequences {
    fn name(&self) -> &'static str {
        "sequences"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["values-once"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        vec![
            format!("CREATE SEQUENCE IF NOT EXISTS ticket_{n}"),
            format!(
                "CREATE TABLE IF NOT EXISTS drawn_{n} (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                 who int8 NOT NULL, ticket int8 NOT NULL DEFAULT nextval('ticket_{n}'))"
            ),
            format!("INSERT INTO drawn_{n} (id, who, ticket) OVERRIDING SYSTEM VALUE VALUES (-1, 0, 0)"),
        ]
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM drawn_{} WHERE id = -1", place.workload)
    }

    fn draw(&self, rng: &mut Rng, _place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        let issued = earlier.iter().rev().find_map(|operation| match operation {
            Operation::Issue { id } => Some(*id),
            _ => None,
        });
        match (below(rng, 100), issued) {
            (0..25, _) => Operation::Ticket { id: unique },
            (25..30, _) => Operation::Jump { id: unique },
            (30..33, _) => Operation::Issued,
            (33..35, _) => Operation::Number { id: unique },
            (35..45, Some(who)) => Operation::Renew { id: unique, who },
            _ => Operation::Issue { id: unique },
        }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let mut operations = vec![Operation::Ticket { id: unique }, Operation::Issue { id: unique }];
        if reads {
            operations.push(Operation::Issued);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        let insert = format!("INSERT INTO drawn_{n} (who)");
        let returning = "RETURNING id, ticket";
        match operation {
            Operation::Ticket { .. } => style.exchange("ticket", &format!("SELECT nextval('ticket_{n}')"), &[]),
            Operation::Issue { id } => match id % 4 {
                0 => style.exchange("issue_one", &format!("{insert} VALUES ($1) {returning}"), &[id as i64]),
                1 => style.exchange(
                    "issue_values",
                    &format!("{insert} VALUES ($1), ($1), ($1) {returning}"),
                    &[id as i64],
                ),
                2 => style.exchange(
                    "issue_select",
                    &format!("{insert} SELECT $1::int8 FROM generate_series(1, 3) RETURNING id, nextval('ticket_{n}')"),
                    &[id as i64],
                ),
                _ => Exchange::Simple(format!(
                    "BEGIN; {insert} VALUES ({id}) {returning}; {insert} VALUES ({id}) {returning}; COMMIT"
                )),
            },
            Operation::Renew { who, .. } => style.exchange(
                "renew",
                &format!("UPDATE drawn_{n} SET ticket = DEFAULT WHERE who = $1 {returning}"),
                &[who as i64],
            ),
            Operation::Jump { id } if jumps_in_block(id) => Exchange::Simple(format!(
                "BEGIN; UPDATE drawn_{n} SET who = 0 WHERE id = -1; SELECT setval('ticket_{n}', {}, false); COMMIT",
                landing(id)
            )),
            Operation::Jump { id } if id.is_multiple_of(2) => {
                Exchange::Simple(format!("SELECT setval('ticket_{n}', {}, false)", landing(id)))
            }
            Operation::Jump { id } => {
                Exchange::Simple(format!("ALTER SEQUENCE ticket_{n} RESTART WITH {}", landing(id)))
            }
            // What the sequence gives next is behind all of them.
            Operation::Number { id } => Exchange::Simple(format!(
                "ALTER TABLE drawn_{n} ADD COLUMN n{id} bigserial; SELECT n{id} FROM drawn_{n};                  SELECT nextval('drawn_{n}_n{id}_seq'); ALTER TABLE drawn_{n} DROP COLUMN n{id}"
            )),
            Operation::Issued => Exchange::Simple(format!("SELECT id, ticket, who FROM drawn_{n} WHERE id > 0")),
            other => unreachable!("sequences never plan `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        if matches!(operation, Operation::Jump { .. }) {
            return Seen::Nothing;
        }
        let shown = |field: &Option<bytes::Bytes>| integer(field.as_ref()?, binary).map(|number| number.to_string());
        let rows = answer.results.iter().flat_map(|result| &result.rows);
        Seen::Rows(rows.map(|row| row.iter().map(shown).collect()).collect())
    }
}
