//! `reads-agree`: what `now()`, `random()` and `gen_random_uuid()` gave a row is the same for whoever reads it, whenever.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use std::collections::BTreeMap;

/// The first that read a row, and what it saw.
type FirstReading<'a> = (&'a Recorded, &'a [Option<String>]);

/// See the module.
pub(super) struct ReadsAgree;

impl Checker for ReadsAgree {
    fn name(&self) -> &'static str {
        "reads-agree"
    }

    fn doc(&self) -> &'static str {
        "no two reads of a row that nobody changes differ"
    }

    fn check(&self, history: &History) -> Finding {
        let mut first: BTreeMap<(u32, &str), FirstReading<'_>> = BTreeMap::new();
        Finding::first(self, &history.operations, |read| match (read.operation, &read.outcome) {
            (Operation::ReadRow { .. } | Operation::ReadRows, Outcome::Done(Seen::Rows(rows))) => {
                judge(&mut first, read, rows)
            }
            _ => Ok(()),
        })
    }
}

fn judge<'h>(
    first: &mut BTreeMap<(u32, &'h str), FirstReading<'h>>,
    read: &'h Recorded,
    rows: &'h [Vec<Option<String>>],
) -> Judgement {
    for row in rows {
        let Some(Some(id)) = row.first() else { continue };
        let (earlier, shown) = *first.entry((read.workload, id)).or_insert((read, row));
        if shown != row.as_slice() {
            let (before, after) = (in_words(shown), in_words(row));
            let what = format!("row {id} was {before} when seen by {earlier}, and is {after} when seen by {read}");
            return Err(("row-changed", what));
        }
    }
    Ok(())
}

fn in_words(row: &[Option<String>]) -> String {
    let fields: Vec<&str> = row.iter().map(|field| field.as_deref().unwrap_or("NULL")).collect();
    format!("({})", fields.join(", "))
}
