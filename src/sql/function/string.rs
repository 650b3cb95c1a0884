//! Functions: string.

use super::Function;

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[];
