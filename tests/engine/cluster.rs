//! Several stores and a small gateway: what the participants of a statement and the session that sent it do, without
//! networks, logs and votes. The yardstick for everything that distributes statements: the answers must be those of one
//! store ([`super::Engine`]).

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

use super::Answer;
use orrery::catalog::{Catalog, Table};
use orrery::sql::{
    self, Context, Definition, Distribution, Drew, Kind, Needs, PlanCache, Prepared, Settings, Share, StatementResult,
    Surroundings, Work,
};
use orrery::storage::Store;
use orrery::types::random::SeedableRng;
use orrery::types::{DataType, PartitionId, Rng, SqlError, Timestamp, Value};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// How statements were executed.
#[derive(Debug, Default)]
pub struct Counts {
    pub single: u64,
    pub fragments: u64,
    pub gathers: u64,
    /// Statements whose constraints were settled by several partitions, and in how many rounds.
    pub settled: u64,
    pub rounds: u64,
}

/// A database of several partitions.
pub struct Cluster {
    pub catalog: Catalog,
    pub stores: Vec<Store>,
    pub settings: Settings,
    pub counts: Counts,
    /// Tables without a primary key are placed by their first column, as if PARTITION BY had said so.
    pub spread: bool,
    plans: PlanCache,
    drew: Drew,
    statements: u64,
}

impl Cluster {
    pub fn new(partitions: usize) -> Self {
        Self {
            catalog: Catalog::default(),
            stores: (0..partitions).map(|_| Store::new()).collect(),
            settings: Settings::default(),
            counts: Counts::default(),
            spread: false,
            plans: PlanCache::new(256),
            drew: Drew::default(),
            statements: 0,
        }
    }

    fn partitions(&self) -> u32 {
        u32::try_from(self.stores.len()).unwrap()
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

    /// Every partition installs, step by step; what one of them refuses is undone in all.
    fn define(&mut self, statement: &sql::Parsed) -> Result<Answer, SqlError> {
        self.statements += 1;
        let marks: Vec<_> = self.stores.iter().map(Store::mark).collect();
        let before = self.catalog.clone();
        let outcome = self.defined(statement);
        for (store, mark) in self.stores.iter_mut().zip(marks) {
            if outcome.is_err() {
                store.rollback(mark);
            }
            store.commit();
        }
        if outcome.is_err() {
            self.catalog = before;
        }
        outcome
    }

    fn defined(&mut self, statement: &sql::Parsed) -> Result<Answer, SqlError> {
        let settings = self.settings.clone();
        let surroundings =
            Surroundings { settings: &settings, partitions: self.partitions(), now: super::NOW, replicas: None };
        let Definition { mut catalog, tag, notices, mut work } = sql::define(&self.catalog, statement, &surroundings)?;
        loop {
            self.install(catalog, &work)?;
            let Some(text) = sql::next_to_finish(&self.catalog) else { break };
            Definition { catalog, work, .. } = sql::define(&self.catalog, &sql::parse(&text)?[0], &surroundings)?;
        }
        Ok(Answer { tag, notices, ..Answer::default() })
    }

    fn install(&mut self, mut next: Catalog, work: &Work) -> Result<(), SqlError> {
        let together = |table: &Table| table.placed_by() == Some("together") && !table.columns.is_empty();
        for table in next.tables.values_mut().filter(|table| self.spread && together(table)) {
            Arc::make_mut(table).partition_key = vec![0];
        }
        let partitions = self.partitions();
        let share = |number: usize| Share { own: PartitionId(u32::try_from(number).unwrap() + 1), partitions };
        let moves = sql::moves_rows(&self.catalog, &next);
        let mut arrivals = vec![Vec::new(); self.stores.len()];
        if moves {
            for (number, store) in self.stores.iter().enumerate() {
                for (receiver, rows) in sql::rows_to_move(store, &self.catalog, &next, share(number))? {
                    arrivals[receiver.0 as usize - 1].push(rows);
                }
            }
        }
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.statements.to_le_bytes());
        let mut said = Vec::new();
        if let Some(numbering) = work.numbering(&self.catalog) {
            for (number, store) in self.stores.iter().enumerate() {
                said.push((share(number).own, numbering.claims(store, &self.catalog, share(number))?));
            }
        }
        for (number, store) in self.stores.iter_mut().enumerate() {
            let mut context = Context::new(super::NOW, Rng::from_seed(seed), &self.settings.time_zone, 0);
            context.share = Some(share(number));
            let old = &self.catalog;
            if moves {
                sql::install_moved(store, old, &next, share(number), &arrivals[number], &mut context)?;
            } else {
                let mut numbering = work.numbering(old);
                if let Some(numbering) = &mut numbering {
                    numbering.draw(store, share(number), &said, &mut context)?;
                }
                sql::install(store, old, &next, work, &mut context)?;
                sql::install_sequences(store, old, &next, share(number));
                if let Some(numbering) = numbering {
                    numbering.close(store, share(number));
                }
                continue;
            }
            sql::install_sequences(store, old, &next, share(number));
        }
        self.prove(&next)?;
        self.catalog = next;
        Ok(())
    }

    /// Constraints over rows of several partitions.
    fn prove(&mut self, next: &Catalog) -> Result<(), SqlError> {
        let Some(proof) = sql::proofs(&self.catalog, next) else { return Ok(()) };
        let shares: Vec<Share> = self.shares();
        let mut said = Vec::new();
        for (store, share) in self.stores.iter().zip(&shares) {
            said.push((share.own, proof.claims(store, next, *share)?));
        }
        for (store, share) in self.stores.iter_mut().zip(shares) {
            proof.look_at(store, next, share, &said)?;
        }
        Ok(())
    }

    fn shares(&self) -> Vec<Share> {
        let partitions = self.partitions();
        (1..=partitions).map(|own| Share { own: PartitionId(own), partitions }).collect()
    }

    /// Runs one query or write with parameters.
    pub fn execute(&mut self, text: &str, parameters: &[Value]) -> Result<Answer, SqlError> {
        self.statements += 1;
        let types: Vec<Option<DataType>> = vec![None; parameters.len()];
        let plan = self.plans.prepare(&self.catalog, text, &self.settings, &types)?;
        let mut needs = Needs::default();
        let result = loop {
            let (partitions, mut drew) = (self.partitions(), std::mem::take(&mut self.drew));
            let parameters = super::drawn(&plan, parameters, &needs, &mut drew, |sequence, count| {
                let table = self.catalog.table_by_id(sequence).expect("a plan's sequence exists");
                let home = sql::sequence_home(table, partitions);
                let store = &mut self.stores[home.0 as usize - 1];
                let reserved = sql::reserve(store, &self.catalog, sequence, count);
                store.commit();
                reserved
            });
            self.drew = drew;
            let parameters = parameters?;
            let marks: Vec<_> = self.stores.iter().map(Store::mark).collect();
            let result = self.distribute(&plan, &parameters);
            for (store, mark) in self.stores.iter_mut().zip(marks) {
                if result.is_err() {
                    store.rollback(mark);
                }
                store.commit();
            }
            match result.as_ref().err().and_then(sql::wanted) {
                Some(wanted) => needs.add(&wanted)?,
                None => break result?,
            }
        };
        Ok(Answer { columns: plan.columns().to_vec(), tag: plan.tag(result.affected), result, notices: vec![] })
    }

    fn distribute(&mut self, plan: &Arc<Prepared>, parameters: &[Value]) -> Result<StatementResult, SqlError> {
        let concerned = plan.concerned(parameters, self.partitions())?.unwrap_or_default();
        let (participants, gathers) = match plan.distribution(parameters, self.partitions())? {
            Distribution::Constant => return plan.query(&Store::new(), parameters, &mut self.context(None)),
            Distribution::One(partition) => {
                self.counts.single += 1;
                let mut context = self.context(None);
                context.at = partition;
                context.together = concerned.iter().any(|other| *other != partition);
                let together = context.together;
                let result = plan.execute(self.store(partition), parameters, &mut context)?;
                if together {
                    self.settle(plan, &[partition], &concerned, vec![context])?;
                }
                return Ok(result);
            }
            Distribution::Several { partitions, gathers } => (partitions, gathers),
        };
        let mut contexts = Vec::new();
        let mut contributions = Vec::new();
        if gathers {
            self.counts.gathers += 1;
            for partition in &participants {
                let mut context = self.context(Some(*partition));
                contributions.push((*partition, plan.contribution(self.store(*partition), parameters, &mut context)?));
            }
        } else {
            self.counts.fragments += 1;
        }
        let mut parts = Vec::new();
        for partition in &participants {
            let mut context = self.context(Some(*partition));
            if plan.draws_by_row() {
                context.rng = Rng::seed_from_u64(self.statements * 1_000 + u64::from(partition.0));
            }
            context.at = *partition;
            context.together = !concerned.is_empty();
            let store = self.store(*partition);
            let part = if gathers {
                plan.execute_gathered(store, &contributions, parameters, &mut context)?
            } else if plan.is_read_only() {
                plan.query_fragment(store, parameters, &mut context)?
            } else {
                plan.run_fragment(store, parameters, &mut context)?
            };
            // As it travels.
            parts.push(postcard::from_bytes(&postcard::to_stdvec(&part).unwrap()).unwrap());
            contexts.push(context);
        }
        if !concerned.is_empty() {
            self.settle(plan, &participants, &concerned, contexts)?;
        }
        plan.merge(parts, parameters, &mut self.context(None))
    }

    /// All participants settle what follows from a statement; `contexts` are those of the ones that executed it.
    fn settle(
        &mut self,
        plan: &Prepared,
        executed: &[PartitionId],
        concerned: &[PartitionId],
        contexts: Vec<Context>,
    ) -> Result<(), SqlError> {
        self.counts.settled += 1;
        let mut all: Vec<PartitionId> = executed.iter().chain(concerned).copied().collect();
        all.sort_unstable();
        all.dedup();
        let partitions = self.partitions();
        let share = |own: &PartitionId| Share { own: *own, partitions };
        let mut contexts: BTreeMap<_, _> = executed.iter().copied().zip(contexts).collect();
        let mut next = Vec::new();
        let mut settlements: Vec<_> = all.iter().map(|_| sql::Settlement::default()).collect();
        for partition in &all {
            let fresh = self.context(None);
            let context = contexts.entry(*partition).or_insert(fresh);
            next.push((*partition, plan.begin_settling(self.store(*partition), context, share(partition))?));
        }
        loop {
            self.counts.rounds += 1;
            let said = std::mem::take(&mut next);
            for (partition, settlement) in all.iter().zip(&mut settlements) {
                let context = contexts.get_mut(partition).unwrap();
                let store = &mut self.stores[partition.0 as usize - 1];
                if let Some(bytes) = plan.settle(settlement, store, context, share(partition), &said)? {
                    next.push((*partition, bytes));
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            assert_eq!(next.len(), all.len(), "all participants agree on the number of rounds");
        }
    }

    fn store(&mut self, partition: PartitionId) -> &mut Store {
        &mut self.stores[partition.0 as usize - 1]
    }

    fn context(&self, own: Option<PartitionId>) -> Context {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.statements.to_le_bytes());
        let zone = &self.settings.time_zone;
        let mut context = Context::new(Timestamp(700_000_000_000_000), Rng::from_seed(seed), zone, 0);
        context.share = own.map(|own| Share { own, partitions: self.partitions() });
        context
    }

    /// Panics unless every row is where it belongs, and copies are equal.
    pub fn check(&self) {
        for table in self.catalog.tables.values() {
            let contents = |store: &Store| -> Vec<(Vec<u8>, Vec<u8>)> {
                let all = table.trees().flat_map(|tree| store.scan(tree, Bound::Unbounded, Bound::Unbounded));
                all.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
            };
            for (number, store) in (1..).zip(&self.stores) {
                let share = Share { own: PartitionId(number), partitions: self.partitions() };
                for (_, bytes) in store.scan(table.tree, Bound::Unbounded, Bound::Unbounded) {
                    let values = table.read_row(bytes, &table.every_column()).unwrap();
                    assert!(share.has(table, &values), "{values:?} of {} is not at home in {number}", table.name);
                }
                for index in &table.indexes {
                    let Some(tree) = index.global else { continue };
                    let wide = table.every_column();
                    let rows =
                        self.stores.iter().flat_map(|store| store.scan(table.tree, Bound::Unbounded, Bound::Unbounded));
                    let rows = rows.map(|(_, bytes)| table.read_row(bytes, &wide).unwrap());
                    let keyed =
                        rows.filter(|row| index.columns.iter().all(|(column, _)| !row[*column].is_null())).count();
                    let owned: usize = self.stores.iter().map(|store| store.len(tree)).sum();
                    assert_eq!(keyed, owned, "every key of {} has its owner", index.name);
                }
                if table.is_replicated() {
                    assert_eq!(contents(store), contents(&self.stores[0]), "copies of {} differ", table.name);
                }
            }
        }
    }
}
