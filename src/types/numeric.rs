//! `numeric`: exact decimals of arbitrary precision.

use serde::{Deserialize, Serialize};

/// Placeholder of the type; its content and arithmetic are written next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numeric {}
