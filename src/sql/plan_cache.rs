//! Plans by text, kept for the next time.
//!
//! Two generations: a plan enters the young one; when that is full it becomes the old one and what was old is forgotten;
//! a hit in the old one makes the plan young again. So a plan in use stays, at the cost of one hash look-up and without a
//! list to maintain.

use super::{Parsed, Prepared, Settings, parse, prepare};
use crate::catalog::Catalog;
use crate::types::{CatalogVersion, DataType, SqlError};
use hashbrown::HashTable;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Plans of one worker, by (text, catalog version, settings, parameter types). Bounded.
pub struct PlanCache {
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    /// Most plans of one generation.
    capacity: usize,
}

struct Entry {
    hash: u64,
    text: Arc<str>,
    version: CatalogVersion,
    settings: Settings,
    types: Vec<Option<DataType>>,
    plan: Arc<Prepared>,
}

/// What is asked for, borrowed.
struct Key<'a> {
    hash: u64,
    text: &'a str,
    version: CatalogVersion,
    settings: &'a Settings,
    types: &'a [Option<DataType>],
}

impl<'a> Key<'a> {
    fn new(catalog: &Catalog, text: &'a str, settings: &'a Settings, types: &'a [Option<DataType>]) -> Self {
        let version = catalog.version;
        Self { hash: xxh3_64_with_seed(text.as_bytes(), version.0), text, version, settings, types }
    }
}

impl Entry {
    fn is(&self, key: &Key<'_>) -> bool {
        self.hash == key.hash
            && self.version == key.version
            && *self.text == *key.text
            && self.types == key.types
            && self.settings == *key.settings
    }
}

impl PlanCache {
    /// A cache for up to twice `capacity` plans.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { young: HashTable::new(), old: HashTable::new(), capacity: capacity.max(1) }
    }

    /// The plan of one statement, from the cache or made now. Errors are not remembered.
    ///
    /// # Errors
    /// Those of [`parse`] and [`prepare`]. A text of several statements is refused.
    pub fn prepare(
        &mut self,
        catalog: &Catalog,
        text: &str,
        settings: &Settings,
        types: &[Option<DataType>],
    ) -> Result<Arc<Prepared>, SqlError> {
        let key = Key::new(catalog, text, settings, types);
        if let Some(plan) = self.get(&key) {
            return Ok(plan);
        }
        let statements = parse(text)?;
        let [statement] = statements.as_slice() else {
            return Err(SqlError::new(
                crate::types::SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        };
        self.plan(catalog, &key, Arc::from(text), statement)
    }

    /// As [`PlanCache::prepare`], of a statement that was parsed already: it is not parsed again.
    ///
    /// # Errors
    /// Those of [`prepare`].
    pub fn prepare_parsed(
        &mut self,
        catalog: &Catalog,
        statement: &Parsed,
        settings: &Settings,
        types: &[Option<DataType>],
    ) -> Result<Arc<Prepared>, SqlError> {
        let key = Key::new(catalog, &statement.text, settings, types);
        match self.get(&key) {
            Some(plan) => Ok(plan),
            None => self.plan(catalog, &key, Arc::clone(&statement.text), statement),
        }
    }

    fn plan(
        &mut self,
        catalog: &Catalog,
        key: &Key<'_>,
        text: Arc<str>,
        statement: &Parsed,
    ) -> Result<Arc<Prepared>, SqlError> {
        let plan = Arc::new(prepare(catalog, statement, key.settings, key.types)?);
        self.insert(Entry {
            hash: key.hash,
            text,
            version: key.version,
            settings: key.settings.clone(),
            types: key.types.to_vec(),
            plan: Arc::clone(&plan),
        });
        Ok(plan)
    }

    fn get(&mut self, key: &Key<'_>) -> Option<Arc<Prepared>> {
        if let Some(entry) = self.young.find(key.hash, |entry| entry.is(key)) {
            return Some(Arc::clone(&entry.plan));
        }
        let (entry, _) = self.old.find_entry(key.hash, |entry| entry.is(key)).ok()?.remove();
        let plan = Arc::clone(&entry.plan);
        self.insert(entry);
        Some(plan)
    }

    fn insert(&mut self, entry: Entry) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    /// Number of plans kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Is nothing kept?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
