//! `requests-served`: nobody is refused, and nobody is left in the dark, while nodes are only asked to end, one at a time, and
//! come back. Not for runs in which anything else goes wrong.
//!
//! A client of the node that ends finishes what is under way, its open transaction block too. What it sends while the good-bye
//! (57P01) is on its way to it is not executed; it finds that for an answer, within a round trip, and sends it elsewhere. Two
//! transactions that really meet may be told 40001.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::Outcome;
use crate::operation::Operation;

/// See the module.
pub(super) struct RequestsServed;

/// A good-bye that answers later than this answers something that was under way.
const ROUND_TRIP_NS: u64 = 50_000_000;

impl Checker for RequestsServed {
    fn name(&self) -> &'static str {
        "requests-served"
    }

    fn doc(&self) -> &'static str {
        "no request fails while nodes are only asked to end, one at a time"
    }

    fn check(&self, history: &History) -> Finding {
        // After the healing nodes are left outside the core, which is more than being asked to end.
        let returned = |recorded: &&Recorded| recorded.returned_ns.is_some_and(|at| at < history.chaos_ns);
        Finding::first(self, history.operations.iter().filter(returned), judge)
    }
}

fn judge(recorded: &Recorded) -> Judgement {
    let (Outcome::Failed(text) | Outcome::Unknown(text)) = &recorded.outcome else { return Ok(()) };
    if matches!(recorded.operation, Operation::Setup { .. }) || text.starts_with("40001") {
        return Ok(());
    }
    let lasted_ns = recorded.returned_ns.unwrap_or(u64::MAX) - recorded.invoked_ns;
    if !text.starts_with("57P01") {
        return Err(("failed", format!("{recorded} was told {text}")));
    }
    if lasted_ns > ROUND_TRIP_NS {
        return Err(("cut-off", format!("{recorded} was under way when its node said good-bye: {text}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{OperationId, Seen};

    fn recorded(at_ns: u64, lasted_ns: u64, outcome: Outcome) -> Recorded {
        Recorded {
            id: OperationId::new(1, at_ns as u32),
            workload: 0,
            operation: Operation::Read { key: 1 },
            invoked_ns: at_ns,
            returned_ns: Some(at_ns + lasted_ns),
            outcome,
        }
    }

    fn found(recorded: Recorded) -> Option<String> {
        let history = History { operations: vec![recorded], keys: vec![1], chaos_ns: 1_000_000_000 };
        RequestsServed.check(&history).violations.first().map(|violation| violation.kind.clone())
    }

    #[test]
    fn a_good_bye_that_crosses_a_statement_fails_nothing() {
        let good_bye = || Outcome::Failed("57P01 terminating connection".to_owned());
        assert_eq!(found(recorded(5, 9, Outcome::Done(Seen::Nothing))), None);
        assert_eq!(found(recorded(5, 9, good_bye())), None);
        assert_eq!(found(recorded(5, ROUND_TRIP_NS + 1, good_bye())).as_deref(), Some("cut-off"));
        assert_eq!(found(recorded(5, 9, Outcome::Unknown("no answer".to_owned()))).as_deref(), Some("failed"));
        assert_eq!(found(recorded(5, 9, Outcome::Unknown("connection lost".to_owned()))).as_deref(), Some("failed"));
        assert_eq!(found(recorded(5, 9, Outcome::Failed("57P03 no leader".to_owned()))).as_deref(), Some("failed"));
        assert_eq!(found(recorded(999_999_999, 9, Outcome::Failed("57P03 no leader".to_owned()))), None, "healed");
    }
}
