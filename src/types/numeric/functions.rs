//! Roots, exponentials and logarithms: computed on integers with guard digits, rounded to PostgreSQL's result scale.

use super::Numeric;
use crate::types::error::SqlError;

impl Numeric {
    /// Square root; 2201F below 0.
    pub fn sqrt(&self) -> Result<Self, SqlError> {
        Err(SqlError::unsupported("sqrt(numeric)"))
    }

    /// e to this power.
    pub fn exp(&self) -> Result<Self, SqlError> {
        Err(SqlError::unsupported("exp(numeric)"))
    }

    /// Natural logarithm; 2201E at 0 and below.
    pub fn ln(&self) -> Result<Self, SqlError> {
        Err(SqlError::unsupported("ln(numeric)"))
    }

    /// Logarithm to a base.
    pub fn log(&self, base: &Self) -> Result<Self, SqlError> {
        let _ = base;
        Err(SqlError::unsupported("log(numeric)"))
    }

    /// This to a power.
    pub fn power(&self, exponent: &Self) -> Result<Self, SqlError> {
        let _ = exponent;
        Err(SqlError::unsupported("power(numeric)"))
    }
}
