//! What a client last saw in each row: what its compare-and-set expects.

use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastSeen(BTreeMap<u32, i64>);

impl LastSeen {
    /// The operation as it is to be sent.
    pub(crate) fn fill_in(&self, planned: Operation) -> Operation {
        match planned {
            Operation::Compare { key, value, .. } => {
                Operation::Compare { key, expected: self.0.get(&key).copied().unwrap_or(0), value }
            }
            other => other,
        }
    }

    /// Notes what an operation has shown.
    pub(crate) fn learn(&mut self, operation: Operation, outcome: &Outcome) {
        let Outcome::Done(shown) = outcome else { return };
        let learned = match (operation, shown) {
            (Operation::Read { key }, Seen::Value(Some(value))) => Some((key, *value)),
            (Operation::Write { key, value }, _) | (Operation::WriteRead { key, value }, _) => {
                Some((key, value as i64))
            }
            (Operation::Compare { key, value, .. }, Seen::Written(true)) => Some((key, value as i64)),
            _ => None,
        };
        if let Some((key, value)) = learned {
            self.0.insert(key, value);
        }
    }
}
