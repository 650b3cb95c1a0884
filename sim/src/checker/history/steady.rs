//! `keeps-answering`: however much is asked, everybody is told something soon, and some are told that it is done. For runs in which
//! nothing fails but patience. Definitions over all rows of a table take as long as they take: it is the others that are not to wait
//! for them.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::Outcome;
use crate::operation::Operation;

/// See the module.
pub(super) struct KeepsAnswering;

/// Nobody waits longer.
const PATIENCE_NS: u64 = 5_000_000_000;
/// Something is acknowledged in every stretch of this length.
const STRETCH_NS: u64 = 2_000_000_000;

impl Checker for KeepsAnswering {
    fn name(&self) -> &'static str {
        "keeps-answering"
    }

    fn doc(&self) -> &'static str {
        "under any load everybody is answered soon, and work goes on being done"
    }

    fn check(&self, history: &History) -> Finding {
        let in_chaos = |recorded: &&Recorded| {
            recorded.invoked_ns + PATIENCE_NS <= history.chaos_ns
                && !matches!(recorded.operation, Operation::Setup { .. } | Operation::Redefine { .. })
        };
        let operations: Vec<&Recorded> = history.operations.iter().filter(in_chaos).collect();
        let slow = Finding::first(self, operations.iter().copied(), answered_soon);
        if !slow.violations.is_empty() {
            return slow;
        }
        // Acknowledgements count whenever they come; the making of tables, too: it is what all begins after.
        let done = |recorded: &&Recorded| matches!(recorded.outcome, Outcome::Done(_));
        let done = history.operations.iter().filter(done).filter_map(|recorded| recorded.returned_ns);
        let mut done: Vec<u64> = done.collect();
        done.sort_unstable();
        let mut last = operations.iter().map(|recorded| recorded.invoked_ns).min().unwrap_or_default();
        Finding::first(self, operations.iter().copied(), |recorded| {
            // What was acknowledged before this one was asked for.
            let before = done.partition_point(|at| *at <= recorded.invoked_ns);
            last = done.get(before.wrapping_sub(1)).copied().unwrap_or(last);
            let next = done.get(before).copied().unwrap_or(u64::MAX);
            if next.saturating_sub(last) <= STRETCH_NS || recorded.invoked_ns <= last {
                return Ok(());
            }
            Err(("standstill", format!("nothing was acknowledged for longer than 2 s when {recorded} was asked for")))
        })
    }
}

fn answered_soon(recorded: &Recorded) -> Judgement {
    let lasted_ns = recorded.returned_ns.unwrap_or(u64::MAX) - recorded.invoked_ns;
    if lasted_ns <= PATIENCE_NS {
        return Ok(());
    }
    let ms = lasted_ns / 1_000_000;
    Err(("kept-waiting", format!("{recorded} waited {ms} ms for its answer")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{OperationId, Seen};

    const MS: u64 = 1_000_000;

    fn found(operations: &[(u64, u64, bool)]) -> Option<String> {
        let operation = |(nth, (from, to, done)): (usize, &(u64, u64, bool))| Recorded {
            id: OperationId::new(1, nth as u32),
            workload: 0,
            operation: Operation::Read { key: 1 },
            invoked_ns: from * MS,
            returned_ns: Some(to * MS),
            outcome: if *done { Outcome::Done(Seen::Nothing) } else { Outcome::Failed("53400".to_owned()) },
        };
        let operations = operations.iter().enumerate().map(operation).collect();
        let history = History { operations, keys: vec![1], chaos_ns: 60_000 * MS };
        KeepsAnswering.check(&history).violations.first().map(|violation| violation.kind.clone())
    }

    #[test]
    fn who_waits_and_what_stands_still_is_found() {
        assert_eq!(found(&[(0, 10, true), (5, 2000, true), (1500, 1501, false)]), None);
        assert_eq!(found(&[(0, 10, true), (5, 5100, true)]).as_deref(), Some("kept-waiting"));
        assert_eq!(found(&[(0, 10, true), (1000, 1001, false), (2500, 2501, true)]).as_deref(), Some("standstill"));
        assert_eq!(found(&[(0, 10, true), (1000, 1001, false), (1900, 1901, true)]), None);
        assert_eq!(
            found(&[(0, 2500, true), (100, 200, false)]).as_deref(),
            Some("standstill"),
            "from the beginning on"
        );
    }
}
