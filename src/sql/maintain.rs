//! VACUUM and ANALYZE: nothing to do but to see that what they name exists.

use super::bind::find_by_parts;
use super::parse::Maintain;
use super::settings::Settings;
use crate::catalog::Catalog;
use crate::types::{SqlError, SqlState};

/// Checks the tables and columns named; returns the command tag.
///
/// # Errors
/// 42P01, 42703.
pub fn maintain(catalog: &Catalog, statement: &Maintain, settings: &Settings) -> Result<&'static str, SqlError> {
    for named in &statement.tables {
        let table = find_by_parts(catalog, &named.parts, settings)?;
        if let Some(missing) = named.columns.iter().find(|column| table.column(column).is_none()) {
            let message = format!("column \"{missing}\" of relation \"{}\" does not exist", table.name);
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        }
    }
    Ok(if statement.vacuum { "VACUUM" } else { "ANALYZE" })
}
