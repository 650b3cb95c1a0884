//! `values-once`: a sequence gives each value once, whoever asks where, and whatever becomes of the first who asked. Values are
//! of the stretch that the sequence was set to last: a row that is written after `setval` was acknowledged has none from before.
//! A column that numbers the rows that are there numbers no two alike, and its sequence goes on behind them.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use crate::workload::{STRETCH, issued_rows, jumps_in_block};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) struct ValuesOnce;

impl Checker for ValuesOnce {
    fn name(&self) -> &'static str {
        "values-once"
    }

    fn doc(&self) -> &'static str {
        "a sequence gives each value once, and after it was set none from before"
    }

    fn check(&self, history: &History) -> Finding {
        Finding::first_by_workload(self, history, Values::of, |values, recorded| values.judge(recorded))
    }
}

/// Who has a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Who drew it alone.
    Ticket(u64),
    /// The row of this identity.
    Row(i64),
}

#[derive(Default)]
struct Values<'h> {
    /// By the number of their stretch.
    jumps: BTreeMap<i64, &'h Recorded>,
    issues: BTreeMap<u64, &'h Recorded>,
    /// Whose row has this identity.
    rows: BTreeMap<i64, u64>,
    tickets: BTreeMap<i64, Holder>,
}

impl<'h> Values<'h> {
    fn of(history: &'h History, workload: u32) -> Self {
        let mut values = Self::default();
        for recorded in history.operations.iter().filter(|recorded| recorded.workload == workload) {
            match recorded.operation {
                Operation::Jump { id } if jumps_in_block(id) || !matches!(recorded.outcome, Outcome::Failed(_)) => {
                    values.jumps.insert(id as i64 + 1, recorded);
                }
                Operation::Issue { id } => drop(values.issues.insert(id, recorded)),
                _ => {}
            }
        }
        values
    }

    fn judge(&mut self, recorded: &Recorded) -> Judgement {
        match (recorded.operation, &recorded.outcome) {
            (Operation::Issue { .. } | Operation::Renew { .. }, Outcome::Failed(why)) if why.starts_with("23505") => {
                Err(("refused", format!("{recorded} was refused, as if its generated key had been there")))
            }
            (Operation::Ticket { id }, Outcome::Done(Seen::Rows(rows))) => {
                let ticket = number(rows.first(), 0).ok_or_else(|| unreadable(recorded, rows.first()))?;
                self.take(recorded, ticket, Holder::Ticket(id))?;
                self.in_stretch(recorded, ticket, false)
            }
            (Operation::Issue { id }, Outcome::Done(Seen::Rows(rows))) => {
                if rows.len() != issued_rows(id) {
                    return Err(("rows", format!("{recorded} showed {} rows, not {}", rows.len(), issued_rows(id))));
                }
                self.written(recorded, rows, id)
            }
            (Operation::Renew { who, .. }, Outcome::Done(Seen::Rows(rows))) => self.written(recorded, rows, who),
            (Operation::Issued, Outcome::Done(Seen::Rows(rows))) => self.read(recorded, rows),
            (Operation::Number { .. }, Outcome::Done(Seen::Rows(rows))) => {
                let mut seen = BTreeSet::new();
                for row in rows {
                    let number = number(Some(row), 0).ok_or_else(|| unreadable(recorded, Some(row)))?;
                    if number < 1 || !seen.insert(number) {
                        return Err((
                            "numbered-twice",
                            format!("{recorded} showed {number} as the number of two rows"),
                        ));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Rows that an acknowledged statement has given these tickets.
    fn written(&mut self, recorded: &Recorded, rows: &[Vec<Option<String>>], who: u64) -> Judgement {
        for row in rows {
            let (Some(id), Some(ticket)) = (number(Some(row), 0), number(Some(row), 1)) else {
                return Err(unreadable(recorded, Some(row)));
            };
            self.row(recorded, id, who)?;
            self.take(recorded, ticket, Holder::Row(id))?;
            self.in_stretch(recorded, ticket, true)?;
        }
        Ok(())
    }

    fn read(&mut self, recorded: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
        for row in rows {
            let (Some(id), Some(ticket), Some(who)) =
                (number(Some(row), 0), number(Some(row), 1), number(Some(row), 2))
            else {
                return Err(unreadable(recorded, Some(row)));
            };
            let who = u64::try_from(who).unwrap_or(u64::MAX);
            match self.issues.get(&who) {
                Some(issue) if !matches!(issue.outcome, Outcome::Failed(_)) => {}
                _ => return Err(("from-nowhere", format!("{recorded} showed a row of {who}, who has none"))),
            }
            self.row(recorded, id, who)?;
            self.take(recorded, ticket, Holder::Row(id))?;
        }
        Ok(())
    }

    fn row(&mut self, recorded: &Recorded, id: i64, who: u64) -> Judgement {
        let other = *self.rows.entry(id).or_insert(who);
        if id < 1 || other != who {
            return Err(("identity-twice", format!("{recorded} showed row {id} of {who}, which is that of {other}")));
        }
        Ok(())
    }

    fn take(&mut self, recorded: &Recorded, ticket: i64, holder: Holder) -> Judgement {
        let other = *self.tickets.entry(ticket).or_insert(holder);
        if ticket < 1 || other != holder {
            let message = format!("{recorded} showed ticket {ticket} of {holder:?}, which is that of {other:?}");
            return Err(("value-twice", message));
        }
        Ok(())
    }

    /// Somebody has set the sequence there, and, if that can be asked (a partition was), nobody elsewhere since.
    fn in_stretch(&self, recorded: &Recorded, ticket: i64, strict: bool) -> Judgement {
        let stretch = ticket / STRETCH;
        let since = match self.jumps.get(&stretch) {
            None if stretch == 0 => 0,
            Some(jump) if jump.invoked_ns <= recorded.latest_ns() => jump.latest_ns(),
            _ => return Err(("from-nowhere", format!("{recorded} showed ticket {ticket}, where nobody had set it"))),
        };
        let later = |jump: &&&Recorded| {
            matches!(jump.outcome, Outcome::Done(_))
                && jump.invoked_ns > since
                && jump.latest_ns() < recorded.invoked_ns
        };
        match self.jumps.values().find(later).filter(|_| strict) {
            Some(jump) => {
                Err(("from-before", format!("{recorded} showed ticket {ticket}, and {jump} had been acknowledged")))
            }
            None => Ok(()),
        }
    }
}

fn number(row: Option<&Vec<Option<String>>>, column: usize) -> Option<i64> {
    row?.get(column)?.as_ref()?.parse().ok()
}

fn unreadable(recorded: &Recorded, row: Option<&Vec<Option<String>>>) -> (&'static str, String) {
    ("unreadable", format!("{recorded} showed {row:?}"))
}
