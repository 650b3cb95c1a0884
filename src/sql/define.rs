//! DDL as a function from one catalog to the next.

use super::Parsed;
use crate::catalog::Catalog;
use crate::types::SqlError;

/// What a DDL statement comes to.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The catalog from now on; the version is raised by one if anything has changed, else it is the old one.
    pub catalog: Catalog,
    /// Command tag (`CREATE TABLE`).
    pub tag: String,
    /// Notices (`relation "t" already exists, skipping`).
    pub notices: Vec<SqlError>,
}

/// Applies a statement of [`super::Kind::Define`]. Pure.
///
/// # Errors
/// What the definition has wrong, or conflicts with.
pub fn define(catalog: &Catalog, statement: &Parsed, search_path: &[String]) -> Result<Definition, SqlError> {
    let _ = (catalog, statement, search_path);
    Err(SqlError::unsupported("definitions are being written"))
}
