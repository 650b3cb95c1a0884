//! The SQL engine alone: a catalog and one store, driven as a session and a replica would, without either.
#![allow(dead_code, unreachable_pub, reason = "a module of several test binaries, each of which uses a part")]

pub mod cluster;
pub mod generate;

use orrery::catalog::Catalog;
use orrery::sql::{self, Context, Definition, Kind, OutputColumn, PlanCache, Settings, StatementResult};
use orrery::storage::Store;
use orrery::types::datetime::TimeZone;
use orrery::types::random::SeedableRng;
use orrery::types::{DataType, Rng, SqlError, Timestamp, Value, text};

/// An engine with an empty database.
pub struct Engine {
    pub catalog: Catalog,
    pub store: Store,
    pub settings: Settings,
    pub plans: PlanCache,
    statements: u64,
}

/// What a statement came to.
#[derive(Default)]
pub struct Answer {
    pub columns: Vec<OutputColumn>,
    pub result: StatementResult,
    pub tag: String,
    pub notices: Vec<SqlError>,
}

impl Engine {
    pub fn new() -> Self {
        Self {
            catalog: Catalog::default(),
            store: Store::new(),
            settings: Settings::default(),
            plans: PlanCache::new(256),
            statements: 0,
        }
    }

    /// Runs a text of one or more statements, stopping at the first error.
    pub fn run(&mut self, text: &str) -> Result<Vec<Answer>, SqlError> {
        let mut answers = Vec::new();
        for statement in sql::parse(text)? {
            let answer = match statement.kind {
                Kind::Define => self.define(&statement)?,
                Kind::Query | Kind::Write | Kind::Explain => self.execute(&statement.text, &[])?,
                _ => Answer::default(),
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    fn define(&mut self, statement: &sql::Parsed) -> Result<Answer, SqlError> {
        let Definition { catalog, tag, notices } = sql::define(&self.catalog, statement, &self.settings.search_path)?;
        let mark = self.store.mark();
        let violations = sql::install(&mut self.store, &self.catalog, &catalog);
        if let Some(proof) = sql::proofs(&self.catalog, &catalog) {
            let share = sql::Share { own: orrery::types::PartitionId(1), partitions: 1 };
            let claims = proof.claims(&self.store, &catalog, share);
            let proved =
                claims.and_then(|bytes| proof.look_at(&mut self.store, &catalog, share, &[(share.own, bytes)]));
            if let Err(error) = proved {
                self.store.rollback(mark);
                self.store.commit();
                return Err(error);
            }
        }
        self.store.commit();
        self.catalog = catalog;
        let building: Vec<_> =
            self.catalog.tables.values().flat_map(|table| table.indexes.iter().map(|i| i.tree)).collect();
        for tree in building {
            let violation = violations.iter().find(|(broken, _)| *broken == tree);
            if let Some(text) = sql::finish_building(&self.catalog, tree, violation.is_none()) {
                let parsed = sql::parse(&text)?;
                let next = sql::define(&self.catalog, &parsed[0], &self.settings.search_path)?.catalog;
                let _ = sql::install(&mut self.store, &self.catalog, &next);
                self.catalog = next;
            }
        }
        match violations.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(Answer { columns: vec![], result: StatementResult::default(), tag, notices }),
        }
    }

    /// Runs one query or write with parameters.
    pub fn execute(&mut self, text: &str, parameters: &[Value]) -> Result<Answer, SqlError> {
        self.statements += 1;
        let types: Vec<Option<DataType>> = vec![None; parameters.len()];
        let plan = self.plans.prepare(&self.catalog, text, &self.settings, &types)?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.statements.to_le_bytes());
        let mut context =
            Context::new(Timestamp(700_000_000_000_000), Rng::from_seed(seed), &self.settings.time_zone, 0);
        let mark = self.store.mark();
        match plan.execute(&mut self.store, parameters, &mut context) {
            Ok(result) => {
                self.store.commit();
                let tag = plan.tag(result.affected);
                Ok(Answer { columns: plan.columns().to_vec(), result, tag, notices: vec![] })
            }
            Err(error) => {
                self.store.rollback(mark);
                Err(error)
            }
        }
    }
}

/// A value as PostgreSQL prints it.
pub fn shown(value: &Value) -> String {
    text::print(value, &TimeZone::utc())
}
