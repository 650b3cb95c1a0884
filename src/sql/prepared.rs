//! A planned statement: what a session describes and a replica runs.

use super::{Context, Footprint, Parsed, Settings, StatementResult};
use crate::catalog::Catalog;
use crate::storage::Store;
use crate::types::{DataType, SqlError, TableId, Value};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Name.
    pub name: String,
    /// Type with modifiers.
    pub data_type: DataType,
    /// The table and the 1-based column that it shows unchanged.
    pub origin: Option<(TableId, u16)>,
}

/// A bound and planned statement. Good for any store at the catalog version it was made for.
#[derive(Debug)]
pub struct Prepared {
    parameters: Vec<DataType>,
    columns: Vec<OutputColumn>,
}

/// Binds and plans a statement of kind Query, Write or Explain. `parameter_types` are the types known of `$1`, `$2`, …;
/// the rest is inferred.
///
/// # Errors
/// What the statement's names, types and values have wrong.
pub fn prepare(
    catalog: &Catalog,
    statement: &Parsed,
    settings: &Settings,
    parameter_types: &[Option<DataType>],
) -> Result<Prepared, SqlError> {
    let _ = (catalog, statement, settings, parameter_types);
    Err(SqlError::unsupported("planning is being written"))
}

impl Prepared {
    /// Types of `$1`, `$2`, ….
    #[must_use]
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// Columns of the rows returned; empty if none are.
    #[must_use]
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// Does it return rows (a query, RETURNING, EXPLAIN)?
    #[must_use]
    pub const fn returns_rows(&self) -> bool {
        false
    }

    /// Does it write nothing? Then `query` runs it.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        true
    }

    /// Command tag: `INSERT 0 1`.
    #[must_use]
    pub fn tag(&self, affected: u64) -> String {
        format!("SELECT {affected}")
    }

    /// Partitions that it touches with these parameters, of `partitions` data partitions.
    ///
    /// # Errors
    /// When the partition key's value cannot be computed.
    pub fn footprint(&self, parameters: &[Value], partitions: u32) -> Result<Footprint, SqlError> {
        let _ = (parameters, partitions);
        Ok(Footprint::Constant)
    }

    /// Runs a read-only statement. `parameters` must have the types of [`Self::parameters`].
    ///
    /// # Errors
    /// What the values have wrong.
    pub fn query(
        &self,
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        let _ = (store, parameters, context);
        Ok(StatementResult::default())
    }

    /// Runs any statement. After an error the caller rolls the store back to its mark.
    ///
    /// # Errors
    /// What the values have wrong, constraints among it.
    pub fn execute(
        &self,
        store: &mut Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        self.query(store, parameters, context)
    }
}
