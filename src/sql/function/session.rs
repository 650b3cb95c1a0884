//! Functions: session.

use super::Function;

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[];
