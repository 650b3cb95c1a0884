//! `claims`: clients race for names that are unique over all partitions. A claim takes two names at once, in two
//! partitions or one, by one statement or two; it has both or neither, with one time at both, and whoever comes later is refused (23505).
//!
//! In `claims` the name is the primary key, and the row's place. In `owners` rows have numbers of their own, and the name is
//! UNIQUE beside it: who has it is known in another partition than the row. There some claims are made in blocks, and some
//! are made, taken back to a savepoint, and made again; or said twice, the second time with ON CONFLICT.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use orrery::types::random::below;

/// Claims that a client has not given back, at most, besides the oldest.
const HELD: usize = 4;

/// See the module.
pub(super) struct Claims {
    name: &'static str,
    /// Is the name the primary key?
    placed_by_name: bool,
}

/// The name is the row's place.
pub(super) const CLAIMS: Claims = Claims { name: "claims", placed_by_name: true };
/// It is not.
pub(super) const OWNERS: Claims = Claims { name: "owners", placed_by_name: false };

impl Kind for Claims {
    fn name(&self) -> &'static str {
        self.name
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["claims-exclusive"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        if !self.placed_by_name {
            return vec![
                format!(
                    "CREATE TABLE IF NOT EXISTS names_{n} (slot int8 PRIMARY KEY, name int8 NOT NULL UNIQUE, \
                     owner int8 NOT NULL, at timestamptz NOT NULL)"
                ),
                format!("INSERT INTO names_{n} (slot, name, owner, at) VALUES (0, {}, 0, now())", place.keys),
            ];
        }
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS names_{n} (name int8 PRIMARY KEY, owner int8 NOT NULL, at timestamptz NOT NULL)"
            ),
            format!("INSERT INTO names_{n} (name, owner, at) VALUES ({}, 0, now())", place.keys),
        ]
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT name FROM names_{} WHERE name = {}", place.workload, place.keys)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, earlier: &[Operation]) -> Operation {
        // What has not been given back, the oldest first: few keep their names for long.
        let released = |owner: u64| earlier.contains(&Operation::Release { id: owner });
        let mut held = earlier.iter().filter_map(|operation| match operation {
            Operation::Claim { id, .. } if !released(*id) => Some(*id),
            _ => None,
        });
        match (held.next(), held.count(), below(rng, 100)) {
            (Some(oldest), HELD.., _) | (Some(oldest), _, 0..20) => Operation::Release { id: oldest },
            (_, _, 20..85) => claim(rng, place, unique),
            _ => Operation::Names,
        }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, _unique: u64, reads: bool) -> Vec<Operation> {
        // No claim: it may be refused for ever.
        if reads { vec![Operation::Names] } else { Vec::new() }
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        let n = place.workload;
        match operation {
            Operation::Claim { id, first, second } if !self.placed_by_name => owned(n, id, first, second),
            Operation::Claim { id, first, second } if id.is_multiple_of(2) => style.exchange(
                "claim",
                &format!("INSERT INTO names_{n} (name, owner, at) VALUES ($1, $3, now()), ($2, $3, now())"),
                &[i64::from(first), i64::from(second), id as i64],
            ),
            Operation::Claim { id, first, second } => Exchange::Simple(format!(
                "INSERT INTO names_{n} (name, owner, at) VALUES ({first}, {id}, now()); \
                 INSERT INTO names_{n} (name, owner, at) VALUES ({second}, {id}, now())"
            )),
            Operation::Release { id } => {
                style.exchange("release", &format!("DELETE FROM names_{n} WHERE owner = $1"), &[id as i64])
            }
            Operation::Names => Exchange::Simple(format!("SELECT name, owner, at FROM names_{n} WHERE owner > 0")),
            other => unreachable!("claims never plan `{other}`"),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        match operation {
            Operation::Names => Seen::Rows(answer.results.last().map(|result| texts(&result.rows)).unwrap_or_default()),
            _ => Seen::Value(answer.results.last().and_then(|last| last.affected()).map(|rows| rows as i64)),
        }
    }
}

/// A claim of names that are not the rows' places.
fn owned(n: u32, id: u64, first: u32, second: u32) -> Exchange {
    let insert = |rows: &str| format!("INSERT INTO names_{n} (slot, name, owner, at) VALUES {rows}");
    let row = |at: u64, name: u32| format!("({}, {name}, {id}, now())", 2 * id + at);
    let both = insert(&format!("{}, {}", row(0, first), row(1, second)));
    let each = format!("{}; {}", insert(&row(0, first)), insert(&row(1, second)));
    // Said again, under numbers that lie elsewhere: what is in the way is its own.
    let again = |at: u64, name: u32| format!("(-{}, {name}, {id}, now())", 2 * id + at + 1);
    let again = insert(&format!("{}, {}", again(0, first), again(1, second)));
    Exchange::Simple(match id % 6 {
        0 => both,
        1 => each,
        2 => format!("BEGIN; {each}; COMMIT"),
        3 => format!("{both}; {again} ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, at = excluded.at"),
        4 => format!("BEGIN; {each}; {again} ON CONFLICT DO NOTHING; COMMIT"),
        // What is taken back would be in the way of the rest.
        _ => format!("BEGIN; SAVEPOINT s; {each}; ROLLBACK TO s; {both}; COMMIT"),
    })
}

fn claim(rng: &mut Rng, place: Place, unique: u64) -> Operation {
    let keys = u64::from(place.keys);
    let first = below(rng, keys) as u32;
    let second = ((u64::from(first) + 1 + below(rng, keys - 1)) % keys) as u32;
    Operation::Claim { id: unique, first, second }
}
