//! The SQL engine alone: a catalog and one store, driven as a session and a replica would, without either.
#![allow(dead_code, unreachable_pub, reason = "a module of several test binaries, each of which uses a part")]

pub mod cluster;
pub mod generate;

use orrery::catalog::{Catalog, Table};
use orrery::sql::{
    self, Context, Definition, Drew, Kind, Needs, OutputColumn, PlanCache, Prepared, Settings, Share, StatementResult,
    Surroundings, Values,
};
use orrery::storage::Store;
use orrery::types::datetime::TimeZone;
use orrery::types::random::SeedableRng;
use orrery::types::{DataType, Instant, PartitionId, Rng, SqlError, TableId, Timestamp, Value, text};

/// The engine's clock stands still.
const NOW: Timestamp = Timestamp(700_000_000_000_000);

/// An engine with an empty database.
pub struct Engine {
    pub catalog: Catalog,
    pub store: Store,
    pub settings: Settings,
    pub plans: PlanCache,
    /// What definitions that are to come will make of the rows.
    pub groundwork: sql::Groundwork,
    drew: Drew,
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
            groundwork: sql::Groundwork::default(),
            drew: Drew::default(),
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

    /// As a partition does: step by step, all of it or nothing.
    fn define(&mut self, statement: &sql::Parsed) -> Result<Answer, SqlError> {
        self.statements += 1;
        let mark = self.store.mark();
        match self.defined(statement) {
            Ok((catalog, answer)) => {
                self.store.commit();
                self.catalog = catalog;
                self.groundwork.defined(&mut self.store, true, &self.catalog);
                Ok(answer)
            }
            Err(error) => {
                self.store.rollback(mark);
                self.groundwork.defined(&mut self.store, false, &self.catalog);
                Err(error)
            }
        }
    }

    /// A definition is to come. Returns how many rows are still to be looked at for it.
    pub fn prepare(&mut self, text: &str) -> Result<u64, SqlError> {
        let surroundings = Surroundings { settings: &self.settings, partitions: 1, now: NOW, replicas: None };
        let mut definition = sql::define(&self.catalog, &sql::parse(text)?[0], &surroundings)?;
        let (mut before, mut left) = (self.catalog.clone(), 0);
        loop {
            left += self.groundwork.want(&mut self.store, Instant(0), (&self.catalog, &before), &definition, 1);
            before = definition.catalog;
            let Some(text) = sql::next_to_finish(&before) else { return Ok(left) };
            definition = sql::define(&before, &sql::parse(&text)?[0], &surroundings)?;
        }
    }

    fn defined(&mut self, statement: &sql::Parsed) -> Result<(Catalog, Answer), SqlError> {
        let mut context = self.context();
        let surroundings = Surroundings { settings: &self.settings, partitions: 1, now: NOW, replicas: None };
        let Definition { catalog: mut next, tag, notices, mut work } =
            sql::define(&self.catalog, statement, &surroundings)?;
        let mut catalog = self.catalog.clone();
        loop {
            let mut numbering = work.numbering(&catalog);
            if let Some(numbering) = &mut numbering {
                let said = numbering.claims(&self.store, &catalog, WHOLE)?;
                numbering.draw(&self.store, WHOLE, &[(WHOLE.own, said)], &mut context)?;
            }
            sql::install_prepared(&mut self.store, &catalog, &next, &work, &mut context, &mut self.groundwork)?;
            sql::install_sequences(&mut self.store, &catalog, &next, WHOLE);
            if let Some(numbering) = numbering {
                numbering.close(&mut self.store, WHOLE);
            }
            if let Some(proof) = sql::proofs(&catalog, &next) {
                let share = sql::Share { own: orrery::types::PartitionId(1), partitions: 1 };
                let said = proof.claims(&self.store, &next, share)?;
                proof.look_at(&mut self.store, &next, share, &[(share.own, said)])?;
            }
            catalog = next;
            let Some(text) = sql::next_to_finish(&catalog) else { break };
            Definition { catalog: next, work, .. } = sql::define(&catalog, &sql::parse(&text)?[0], &surroundings)?;
        }
        Ok((catalog, Answer { tag, notices, ..Answer::default() }))
    }

    fn context(&self) -> Context {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.statements.to_le_bytes());
        Context::new(NOW, Rng::from_seed(seed), &self.settings.time_zone, 0)
    }

    /// Runs one query or write with parameters.
    pub fn execute(&mut self, text: &str, parameters: &[Value]) -> Result<Answer, SqlError> {
        self.statements += 1;
        let types: Vec<Option<DataType>> = vec![None; parameters.len()];
        let plan = self.plans.prepare(&self.catalog, text, &self.settings, &types)?;
        let mut context = self.context();
        let mut needs = Needs::default();
        let result = loop {
            let parameters = drawn(&plan, parameters, &needs, &mut self.drew, |sequence, count| {
                let reserved = sql::reserve(&mut self.store, &self.catalog, sequence, count);
                self.store.commit();
                reserved
            })?;
            let mark = self.store.mark();
            let result = plan.execute(&mut self.store, &parameters, &mut context);
            if result.is_err() {
                self.store.rollback(mark);
            }
            match result.as_ref().err().and_then(sql::wanted) {
                Some(wanted) => needs.add(&wanted)?,
                None => break result,
            }
        };
        match result {
            Ok(result) => {
                self.store.commit();
                let tag = plan.tag(result.affected);
                Ok(Answer { columns: plan.columns().to_vec(), result, tag, notices: vec![] })
            }
            Err(error) => Err(error),
        }
    }
}

/// One store has it all.
const WHOLE: Share = Share { own: PartitionId(1), partitions: 1 };

/// A statement's parameters with what it draws from sequences, as a session adds it. Reserved is as much as is drawn.
pub fn drawn(
    plan: &Prepared,
    parameters: &[Value],
    needs: &Needs,
    drew: &mut Drew,
    mut reserve: impl FnMut(TableId, u64) -> Result<Values, SqlError>,
) -> Result<Vec<Value>, SqlError> {
    let mut parameters = parameters.to_vec();
    let mut failed = None;
    if !plan.draws().is_empty() {
        let take = |sequence: &Table, count| {
            let (mut all, mut missing) = (Vec::new(), count);
            while missing > 0 && failed.is_none() {
                match reserve(sequence.id, missing) {
                    Ok(values) => {
                        missing -= values.count;
                        all.push(values);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            all
        };
        parameters.push(plan.draws().draw(needs, drew, take).to_parameter());
    }
    failed.map_or(Ok(parameters), Err)
}

/// A value as PostgreSQL prints it.
pub fn shown(value: &Value) -> String {
    text::print(value, &TimeZone::utc())
}
