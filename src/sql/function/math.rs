//! Functions: math.

use super::Function;

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[];
