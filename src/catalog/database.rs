//! Databases: namespaces of schemas.
//!
//! All of them are one database to partitions and transactions, so that a statement may name tables of several. `orrery` and
//! `postgres` are two names of the one that is always there; its schemas are stored under their own names. A schema of any
//! other database is stored under both, `database.schema`, and a database is a namespace in this too: its `public` is there
//! without being created.
//!
//! # Invariants
//! - No name of a database has a dot, and no schema of `orrery` begins with a database's name and a dot: so a stored name
//!   says of which database it is.

use super::Catalog;

/// Names of the database that is always there; the first is what it is called by default.
pub const BUILT_IN_DATABASES: [&str; 2] = ["orrery", "postgres"];

/// Schemas that belong to no database and are seen in each.
const EVERYWHERE: [&str; 3] = ["pg_catalog", "information_schema", super::system::SCHEMA];

/// Under which name a database's schema is stored.
#[must_use]
pub fn stored_schema(database: &str, schema: &str) -> String {
    if BUILT_IN_DATABASES.contains(&database) || EVERYWHERE.contains(&schema) {
        schema.to_owned()
    } else {
        format!("{database}.{schema}")
    }
}

/// What a stored schema is called in this database.
#[must_use]
pub fn shown_schema<'s>(database: &str, stored: &'s str) -> &'s str {
    match stored.strip_prefix(database).and_then(|rest| rest.strip_prefix('.')) {
        Some(own) if !BUILT_IN_DATABASES.contains(&database) => own,
        _ => stored,
    }
}

impl Catalog {
    /// Does this database exist?
    #[must_use]
    pub fn has_database(&self, name: &str) -> bool {
        BUILT_IN_DATABASES.contains(&name) || self.databases.iter().any(|database| database == name)
    }

    /// The database that a stored schema belongs to, and what the schema is called there.
    #[must_use]
    pub fn database_of<'s>(&'s self, stored: &'s str) -> (&'s str, &'s str) {
        let own = self.databases.iter().find_map(|database| {
            let schema = stored.strip_prefix(database.as_str())?.strip_prefix('.')?;
            Some((database.as_str(), schema))
        });
        own.unwrap_or((BUILT_IN_DATABASES[0], stored))
    }

    /// Stored names of a database's schemas, `public` first.
    pub fn schemas_of<'s>(&'s self, database: &'s str) -> impl Iterator<Item = String> + 's {
        let database = if BUILT_IN_DATABASES.contains(&database) { BUILT_IN_DATABASES[0] } else { database };
        let own = self.schemas.iter().filter(move |schema| self.database_of(schema).0 == database);
        std::iter::once(stored_schema(database, "public")).chain(own.cloned())
    }

    /// The stored name of the schema that stands before a name, for a session in `database`: a schema, else a database (its
    /// `public`); or a database and a schema of it. `None`: there is none such.
    #[must_use]
    pub fn schema_named(&self, database: &str, qualifiers: &[String]) -> Option<String> {
        let existing = |stored: String| self.has_schema(&stored).then_some(stored);
        match qualifiers {
            [one] => existing(stored_schema(database, one))
                .or_else(|| self.has_database(one).then(|| stored_schema(one, "public")))
                // As the catalog itself writes it.
                .or_else(|| existing(one.clone()).filter(|stored| stored.contains('.'))),
            [other, schema] if self.has_database(other) => existing(stored_schema(other, schema)),
            _ => None,
        }
    }

    /// A name in text that means the same whoever says it: with database and schema.
    #[must_use]
    pub fn written_name(&self, stored: &str, name: &str) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (database, schema) = self.database_of(stored);
        format!("{}.{}.{}", quoted(database), quoted(schema), quoted(name))
    }

    /// Panics unless the invariants hold.
    pub(super) fn check_databases(&self) {
        for database in &self.databases {
            assert!(
                !database.contains('.') && !BUILT_IN_DATABASES.contains(&database.as_str()),
                "the name of a database says which schemas are its own"
            );
        }
        for (schema, table) in self.tables.keys() {
            assert!(self.has_schema(schema), "table {table} is in a schema that exists");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_comes_before_a_database() {
        let catalog = Catalog {
            databases: vec!["shop".to_owned(), "s".to_owned()],
            schemas: vec!["s".to_owned(), "shop.s".to_owned()],
            ..Catalog::default()
        };
        let named = |database: &str, name: &str| {
            let qualifiers: Vec<String> = name.split('/').map(str::to_owned).collect();
            catalog.schema_named(database, &qualifiers)
        };
        let found = |stored: &str| Some(stored.to_owned());
        assert_eq!(named("orrery", "s"), found("s"));
        assert_eq!(named("shop", "s"), found("shop.s"));
        assert_eq!(named("shop", "public"), found("shop.public"));
        assert_eq!(named("orrery", "shop"), found("shop.public"));
        assert_eq!(named("shop", "postgres"), found("public"));
        assert_eq!(named("orrery", "shop/s"), found("shop.s"));
        assert_eq!(named("shop", "s/public"), found("s.public"));
        assert_eq!(named("shop", "system"), found("system"));
        assert_eq!(named("orrery", "shop.public"), found("shop.public"));
        for missing in ["other", "other/public", "shop/other", "a/b/c"] {
            assert_eq!(named("orrery", missing), None, "{missing}");
        }
        assert_eq!(catalog.database_of("shop.s"), ("shop", "s"));
        assert_eq!(catalog.database_of("s"), ("orrery", "s"));
        assert_eq!(shown_schema("shop", "shop.s"), "s");
        assert_eq!(catalog.schemas_of("shop").collect::<Vec<_>>(), ["shop.public", "shop.s"]);
        assert_eq!(catalog.schemas_of("postgres").collect::<Vec<_>>(), ["public", "s"]);
    }
}
