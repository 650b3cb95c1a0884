//! `schema-agrees`: an object of the schema is there for everybody from the moment that its maker is told so, until it is
//! dropped; an index tells of as many rows as its table has; and a row that is older than a column has in it what the column was
//! added with (its number, see the workload), or what somebody wrote there. Two tables that are made in one block are there
//! together, and so is what the block has written.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::{Object, Operation, Sort};
use crate::workload::last_of_pair;
use std::collections::BTreeMap;

/// See the module.
pub(super) struct SchemaAgrees;

impl Checker for SchemaAgrees {
    fn name(&self) -> &'static str {
        "schema-agrees"
    }

    fn doc(&self) -> &'static str {
        "a table or column is there for everybody as soon as its maker knows, with the values that it was made with; an index has the rows of its table"
    }

    fn check(&self, history: &History) -> Finding {
        let mut made: BTreeMap<(u32, Object), Life<'_>> = BTreeMap::new();
        for recorded in &history.operations {
            let refused = matches!(recorded.outcome, Outcome::Failed(_));
            match recorded.operation {
                Operation::Create { object } if !refused => {
                    made.entry((recorded.workload, object)).or_default().made.push(recorded);
                }
                Operation::Drop { object } if !refused => {
                    made.entry((recorded.workload, object)).or_default().dropped.push(recorded);
                }
                _ => {}
            }
        }
        let mut written: BTreeMap<(u32, Object), Vec<&Recorded>> = BTreeMap::new();
        for recorded in &history.operations {
            if let Operation::Need { object, value: 1.. } = recorded.operation
                && !matches!(recorded.outcome, Outcome::Failed(_))
            {
                written.entry((recorded.workload, object)).or_default().push(recorded);
            }
        }
        Finding::first(self, &history.operations, |recorded| match recorded.operation {
            Operation::Need { object, .. } => {
                let (unknown, place) = (Life::default(), (recorded.workload, object));
                together(recorded, object)?;
                let there = made.get(&place).unwrap_or(&unknown).judge(recorded, object);
                there.and_then(|()| value(recorded, object, written.get(&place).map_or(&[], Vec::as_slice)))
            }
            Operation::Count => count(recorded),
            _ => Ok(()),
        })
    }
}

/// What may have happened to an object.
#[derive(Default)]
struct Life<'h> {
    made: Vec<&'h Recorded>,
    dropped: Vec<&'h Recorded>,
}

impl Life<'_> {
    fn judge(&self, user: &Recorded, object: Object) -> Judgement {
        match &user.outcome {
            Outcome::Done(_) if object.sort != Sort::Index => self.there(user, object),
            Outcome::Failed(why) if why.starts_with("42P01") || why.starts_with("42703") => self.absent(user, object),
            _ => Ok(()),
        }
    }

    /// It was there: somebody must have begun to make it, and not everybody's has surely been dropped.
    fn there(&self, user: &Recorded, object: Object) -> Judgement {
        let dropped = |made: &Recorded| {
            self.dropped.iter().any(|drop| {
                matches!(drop.outcome, Outcome::Done(_))
                    && drop.invoked_ns >= made.latest_ns()
                    && drop.latest_ns() < user.invoked_ns
            })
        };
        let mut begun = self.made.iter().filter(|made| made.invoked_ns <= user.latest_ns()).peekable();
        if begun.peek().is_none() {
            return Err(("before-it-was-made", format!("{user} found {object}, which nobody had made")));
        }
        if begun.all(|made| dropped(made)) {
            return Err(("after-it-was-dropped", format!("{user} found {object}, which had been dropped")));
        }
        Ok(())
    }

    /// It was not there: nobody's may have stood all the time.
    fn absent(&self, user: &Recorded, object: Object) -> Judgement {
        let made = self
            .made
            .iter()
            .find(|made| matches!(made.outcome, Outcome::Done(_)) && made.latest_ns() < user.invoked_ns);
        let may_be_dropped = self.dropped.iter().any(|drop| drop.invoked_ns <= user.latest_ns());
        match made {
            Some(made) if !may_be_dropped => {
                Err(("not-there", format!("{user} did not find {object}, which {made} had made and nobody dropped")))
            }
            _ => Ok(()),
        }
    }
}

/// What the oldest row has in a column: what the column was added with, or what somebody may have written by then.
fn value(read: &Recorded, object: Object, written: &[&Recorded]) -> Judgement {
    let Outcome::Done(Seen::Rows(rows)) = &read.outcome else { return Ok(()) };
    if object.sort != Sort::Column {
        return Ok(());
    }
    let may_be = |found: &str| {
        let by =
            |write: &&&Recorded| matches!(write.operation, Operation::Need { value, .. } if value.to_string() == found);
        found == object.number.to_string()
            || written.iter().filter(|write| write.invoked_ns <= read.latest_ns()).any(|write| by(&write))
    };
    match rows.as_slice() {
        [row] if matches!(row.as_slice(), [Some(found)] if may_be(found)) => Ok(()),
        _ => Err((
            "another-value",
            format!(
                "{read} found {rows:?} in {object}, which was added with the default {} and never had that value",
                object.number
            ),
        )),
    }
}

/// Two tables and a mark that come and go together.
fn together(read: &Recorded, object: Object) -> Judgement {
    if object.sort != Sort::Pair {
        return Ok(());
    }
    match (read.operation, &read.outcome) {
        (Operation::Need { value: 0, .. }, Outcome::Failed(why))
            if why.contains(&last_of_pair(read.workload, object.number)) =>
        {
            Err(("half", format!("{read} found one of two tables that are made together: {why}")))
        }
        (Operation::Need { value: 0, .. }, Outcome::Done(Seen::Rows(rows))) => match rows.as_slice() {
            [row] if row.last().is_some_and(|mark| mark.as_deref() == Some("1")) => Ok(()),
            _ => {
                Err(("half", format!("{read} found {object} and {rows:?}, without the mark that was written with it")))
            }
        },
        _ => Ok(()),
    }
}

/// All rows, and all rows along an index if there is one.
fn count(read: &Recorded) -> Judgement {
    let Outcome::Done(Seen::Rows(rows)) = &read.outcome else { return Ok(()) };
    match rows.as_slice() {
        [all, indexed] if all == indexed => Ok(()),
        _ => Err(("index-differs", format!("{read} counted the same rows in two ways, and found {rows:?}"))),
    }
}
