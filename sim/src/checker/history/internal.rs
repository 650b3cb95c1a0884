//! `no-internal-errors`: nobody is ever told that the server has found itself in the wrong (SQLSTATE class XX). For every other
//! checker such an answer is an unknown outcome, which explains anything.

use super::{Checker, Finding, History};
use crate::history::Outcome;
use crate::run::Violation;

/// See the module.
pub(super) struct NoInternalErrors;

impl Checker for NoInternalErrors {
    fn name(&self) -> &'static str {
        "no-internal-errors"
    }

    fn doc(&self) -> &'static str {
        "no client is told of an internal error"
    }

    fn check(&self, history: &History) -> Finding {
        let mut finding = Finding::default();
        let told = history.operations.iter().find_map(|recorded| match &recorded.outcome {
            Outcome::Unknown(text) | Outcome::Failed(text) if text.starts_with("XX") => Some((recorded, text)),
            _ => None,
        });
        if let Some((recorded, text)) = told {
            finding.violations.push(Violation {
                checker: self.name(),
                kind: text.clone(),
                at_ns: recorded.returned_ns.unwrap_or(recorded.invoked_ns),
                message: format!("{recorded} was told {text}"),
            });
        }
        finding
    }
}
