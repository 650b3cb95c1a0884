//! `reads-agree`: what `now()`, `random()` and `gen_random_uuid()` gave a row is the same for whoever reads it, whenever.

use super::{Checker, Finding, History, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use crate::run::Violation;
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
        let mut finding = Finding::default();
        for read in &history.operations {
            let Outcome::Done(Seen::Rows(rows)) = &read.outcome else { continue };
            if !matches!(read.operation, Operation::ReadRow { .. } | Operation::ReadRows) {
                continue;
            }
            for row in rows {
                let Some(Some(id)) = row.first() else { continue };
                let (earlier, shown) = first.entry((read.workload, id)).or_insert((read, row));
                if *shown != row.as_slice() {
                    finding.violations.push(Violation {
                        checker: self.name(),
                        kind: "row-changed".to_owned(),
                        at_ns: read.returned_ns.unwrap_or(read.invoked_ns),
                        message: format!(
                            "row {id} was {} when seen by {earlier}, and is {} when seen by {read}",
                            in_words(shown),
                            in_words(row)
                        ),
                    });
                    return finding;
                }
            }
        }
        finding
    }
}

fn in_words(row: &[Option<String>]) -> String {
    let fields: Vec<&str> = row.iter().map(|field| field.as_deref().unwrap_or("NULL")).collect();
    format!("({})", fields.join(", "))
}
