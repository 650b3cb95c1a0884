//! Group: GROUP BY and aggregates. Groups come in the order of their first rows; without keys there is exactly one.

use super::unique::identity;
use super::{Flow, Row, Run, Sink, run as run_node};
use crate::sql::aggregate::Accumulator;
use crate::sql::expr::{evaluate, is_true};
use crate::sql::plan::{AggregateCall, Group, Stage};
use crate::types::SqlError;
use crate::types::collections::{HashMap, HashSet};

struct State {
    accumulator: Accumulator,
    /// What DISTINCT has seen.
    seen: HashSet<Vec<u8>>,
}

struct One {
    keys: Row,
    states: Vec<State>,
}

pub(super) fn run<'a>(node: &Group, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    let fresh = || {
        let state = |call: &AggregateCall| State { accumulator: call.aggregate.start(), seen: HashSet::default() };
        node.aggregates.iter().map(state).collect::<Vec<_>>()
    };
    let mut groups: Vec<One> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::default();
    if node.keys.is_empty() {
        groups.push(One { keys: Row::new(), states: fresh() });
    }
    run_node(&node.input, at, &mut |at, row| {
        let place = if node.keys.is_empty() {
            0
        } else {
            let mut keys = Row::with_capacity(node.keys.len());
            for (key, _) in &node.keys {
                keys.push(evaluate(key, &row, at)?);
            }
            let identity = identity(keys.iter().zip(node.keys.iter().map(|(_, data_type)| *data_type)));
            *places.entry(identity).or_insert_with(|| {
                groups.push(One { keys, states: fresh() });
                groups.len() - 1
            })
        };
        for (call, state) in node.aggregates.iter().zip(&mut groups[place].states) {
            add(call, state, &row, at)?;
        }
        Ok(Flow::More)
    })?;
    for group in groups {
        let mut row = group.keys;
        for (call, state) in node.aggregates.iter().zip(group.states) {
            match call.stage {
                Stage::Partial => row.extend(state.accumulator.state()),
                Stage::Whole | Stage::Final => row.push(state.accumulator.finish()?),
            }
        }
        if sink(at, row)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn add(call: &AggregateCall, state: &mut State, row: &Row, at: &mut Run<'_>) -> Result<(), SqlError> {
    if let Some(filter) = &call.filter
        && !is_true(filter, row, at)?
    {
        return Ok(());
    }
    let mut arguments = Row::with_capacity(call.arguments.len());
    for argument in &call.arguments {
        arguments.push(evaluate(argument, row, at)?);
    }
    if let Some(types) = &call.distinct
        && !state.seen.insert(identity(arguments.iter().zip(types.iter().copied())))
    {
        return Ok(());
    }
    match call.stage {
        Stage::Final => state.accumulator.absorb(&arguments),
        Stage::Whole | Stage::Partial => state.accumulator.add(&arguments),
    }
}
