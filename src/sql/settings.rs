//! What a statement is planned and run under besides the catalog, and what it comes to.

use super::integrity::Deferral;
use crate::types::Value;
use serde::{Deserialize, Serialize};

/// Session settings on which planning and execution depend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Schemas in which unqualified names are resolved.
    pub search_path: Vec<String>,
    /// `TimeZone`.
    pub time_zone: String,
    /// `current_user`.
    pub user: String,
    /// `current_database()`.
    pub database: String,
    /// In a transaction block: which constraints wait for COMMIT. Outside of one none does.
    pub deferral: Option<Deferral>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            search_path: vec!["public".to_owned()],
            time_zone: "UTC".to_owned(),
            user: "orrery".to_owned(),
            database: "orrery".to_owned(),
            deferral: None,
        }
    }
}

/// Result of one statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementResult {
    /// Rows, empty unless the statement returns any.
    pub rows: Vec<Vec<Value>>,
    /// Rows inserted, updated, deleted or selected: the number in the command tag.
    pub affected: u64,
    /// A row-limited execution stopped with rows left.
    pub suspended: bool,
}
