//! Lock: rows as they come, but those that others have locked and that are to be skipped.

use super::{Flow, Run, Sink, run as run_node};
use crate::sql::plan::Lock;
use crate::types::SqlError;

pub(super) fn run<'a>(node: &Lock, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    if !at.context.locking.begin(node) {
        return run_node(&node.input, at, sink);
    }
    run_node(&node.input, at, &mut |at, row| {
        if at.context.locking.passes(node, &row)? { sink(at, row) } else { Ok(Flow::More) }
    })
}
