//! Which of several overloaded signatures is meant: PostgreSQL's rules for functions and operators (manual, 10.2, 10.3).
//!
//! An argument's type is `None` while it is an untyped literal or parameter ("unknown").

use super::cast::{CastContext, can_cast};
use crate::types::DataType;
use crate::types::data_type::Category;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one, by position among the candidates.
    One(usize),
    /// None fits.
    None,
    /// Several fit equally well.
    Ambiguous,
}

/// Chooses among `candidates` (parameter types without modifiers) for arguments of these types.
#[must_use]
pub(super) fn choose(candidates: &[Vec<DataType>], arguments: &[Option<DataType>]) -> Choice {
    let arguments: Vec<Option<DataType>> = arguments.iter().map(|t| t.map(DataType::base)).collect();
    if let Some(exact) = candidates.iter().position(|candidate| is_exact(candidate, &arguments)) {
        return Choice::One(exact);
    }
    let mut left: Vec<usize> = (0..candidates.len()).filter(|at| is_reachable(&candidates[*at], &arguments)).collect();
    if left.len() < 2 {
        return left.first().map_or(Choice::None, |at| Choice::One(*at));
    }
    keep_best(&mut left, |at| count(&candidates[at], &arguments, |parameter, argument| argument == Some(parameter)));
    if let [one] = left[..] {
        return Choice::One(one);
    }
    keep_best(&mut left, |at| {
        count(&candidates[at], &arguments, |parameter, argument| {
            argument.is_some_and(|argument| {
                argument == parameter || (parameter.is_preferred() && parameter.category() == argument.category())
            })
        })
    });
    if let [one] = left[..] {
        return Choice::One(one);
    }
    if !arguments.contains(&None) {
        return Choice::Ambiguous;
    }
    settle_unknowns(candidates, &mut left, &arguments);
    if let [one] = left[..] {
        return Choice::One(one);
    }
    settle_by_known_type(candidates, &left, &arguments)
}

fn is_exact(candidate: &[DataType], arguments: &[Option<DataType>]) -> bool {
    candidate.len() == arguments.len() && candidate.iter().zip(arguments).all(|(p, a)| *a == Some(*p))
}

fn is_reachable(candidate: &[DataType], arguments: &[Option<DataType>]) -> bool {
    candidate.len() == arguments.len()
        && candidate
            .iter()
            .zip(arguments)
            .all(|(parameter, argument)| argument.is_none_or(|from| can_cast(from, *parameter, CastContext::Implicit)))
}

fn count(
    candidate: &[DataType],
    arguments: &[Option<DataType>],
    matches: impl Fn(DataType, Option<DataType>) -> bool,
) -> usize {
    candidate.iter().zip(arguments).filter(|(parameter, argument)| matches(**parameter, **argument)).count()
}

fn keep_best(left: &mut Vec<usize>, score: impl Fn(usize) -> usize) {
    let best = left.iter().map(|at| score(*at)).max().unwrap_or(0);
    left.retain(|at| score(*at) == best);
}

/// Gives each unknown argument a category: strings if any candidate takes one there, else the one that all agree on;
/// candidates of another category fall away, and so do those that do not take the preferred type where another does.
fn settle_unknowns(candidates: &[Vec<DataType>], left: &mut Vec<usize>, arguments: &[Option<DataType>]) {
    let mut wanted: Vec<Option<(Category, bool)>> = vec![None; arguments.len()];
    for (position, argument) in arguments.iter().enumerate() {
        if argument.is_some() {
            continue;
        }
        let mut types = left.iter().map(|at| candidates[*at][position]);
        let category = if types.clone().any(|t| t.category() == Category::String) {
            Category::String
        } else {
            let Some(first) = types.next() else { return };
            if types.any(|t| t.category() != first.category()) {
                return;
            }
            first.category()
        };
        let preferred = left.iter().any(|at| {
            let parameter = candidates[*at][position];
            parameter.category() == category && parameter.is_preferred()
        });
        wanted[position] = Some((category, preferred));
    }
    let kept: Vec<usize> = left
        .iter()
        .copied()
        .filter(|at| {
            candidates[*at].iter().zip(&wanted).all(|(parameter, wanted)| {
                wanted.is_none_or(|(category, preferred)| {
                    parameter.category() == category && (!preferred || parameter.is_preferred())
                })
            })
        })
        .collect();
    if !kept.is_empty() {
        *left = kept;
    }
}

/// Last resort: if all known arguments have one type, the unknown ones are assumed to have it too.
fn settle_by_known_type(candidates: &[Vec<DataType>], left: &[usize], arguments: &[Option<DataType>]) -> Choice {
    let mut known = arguments.iter().flatten();
    let Some(first) = known.next() else { return Choice::Ambiguous };
    if known.any(|other| other != first) {
        return Choice::Ambiguous;
    }
    let assumed = vec![Some(*first); arguments.len()];
    let mut fits = left.iter().filter(|at| is_reachable(&candidates[**at], &assumed));
    match (fits.next(), fits.next()) {
        (Some(one), None) => Choice::One(*one),
        _ => Choice::Ambiguous,
    }
}

/// `integer, unknown`: argument types as messages have them.
#[must_use]
pub(super) fn type_names(arguments: &[Option<DataType>]) -> String {
    arguments.iter().map(|t| t.map_or("unknown", DataType::base_name)).collect::<Vec<_>>().join(", ")
}
