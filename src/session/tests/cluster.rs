//! Partitions that execute at once, or fail as told.

use crate::catalog::Catalog;
use crate::partition::message::{
    Batch, Commitment, Outcome, Reply, ReplyBody, Request, RequestBody, StatementResult, Step,
};
use crate::partition::seen;
use crate::sql::{self, PlanCache};
use crate::storage::Store;
use crate::types::random::SeedableRng;
use crate::types::{NodeId, PartitionId, RequestId, Rng, SessionId, SqlError, SqlState, TreeId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What happens to the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It gets lost.
    Drop,
    /// Its answer gets lost.
    DropReply,
    /// Nothing.
    None,
    NotLeader(Option<NodeId>),
    Lost,
    Overloaded,
}

#[derive(Default)]
struct Partition {
    store: Store,
    catalog: Arc<Catalog>,
    violations: BTreeMap<TreeId, SqlError>,
}

pub(super) struct Cluster {
    pub(super) catalog: Arc<Catalog>,
    partitions: Vec<Partition>,
    outcomes: BTreeMap<RequestId, Outcome>,
    pub(super) faults: VecDeque<Fault>,
    /// Forks of open transactions.
    forks: BTreeMap<(SessionId, u64), Store>,
    plans: PlanCache,
}

impl Cluster {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            catalog: Arc::new(Catalog::default()),
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            outcomes: BTreeMap::new(),
            faults: VecDeque::new(),
            forks: BTreeMap::new(),
            plans: PlanCache::new(100),
        }
    }

    /// DDL of another gateway, which partitions have not heard of yet.
    pub(super) fn define(&mut self, text: &str) {
        let parsed = sql::parse(text).expect("the script's DDL parses");
        let definition = sql::define(&self.catalog, &parsed[0], &["public".to_owned()]);
        self.catalog = Arc::new(definition.expect("the script's DDL is sound").catalog);
    }

    /// Leaders have changed: their forks are gone.
    pub(super) fn lose_forks(&mut self) {
        self.forks.clear();
    }

    /// All partitions hear of it.
    pub(super) fn install(&mut self) {
        for partition in 1..=self.partitions.len() {
            let catalog = Arc::clone(&self.catalog);
            self.run(PartitionId(partition as u32), &RequestBody::InstallCatalog(catalog));
        }
    }

    /// Deals with a request; `None`: no answer comes.
    pub(super) fn request(&mut self, partition: PartitionId, request: &Request) -> Option<Reply> {
        if let RequestBody::Abandon { transaction } = request.body {
            self.forks.remove(&(request.id.session, transaction));
            return None;
        }
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let body = match fault {
            Fault::Drop => return None,
            Fault::NotLeader(leader) => ReplyBody::NotLeader { leader },
            Fault::Lost => ReplyBody::Lost,
            Fault::Overloaded => ReplyBody::Overloaded,
            Fault::None | Fault::DropReply => self.once(partition, request),
        };
        (fault != Fault::DropReply).then_some(Reply { id: request.id, attempt: request.attempt, partition, body })
    }

    fn once(&mut self, partition: PartitionId, request: &Request) -> ReplyBody {
        let logged =
            matches!(request.body, RequestBody::Execute(_) | RequestBody::Define { .. } | RequestBody::Commit(_));
        if let Some(outcome) = self.outcomes.get(&request.id).filter(|_| logged) {
            return ReplyBody::Done(outcome.clone());
        }
        let body = match &request.body {
            RequestBody::Step(step) => self.step(partition, request.id.session, step),
            body => self.run(partition, body),
        };
        if let (ReplyBody::Done(outcome), true) = (&body, logged) {
            self.outcomes.insert(request.id, outcome.clone());
        }
        body
    }

    fn run(&mut self, partition: PartitionId, body: &RequestBody) -> ReplyBody {
        ReplyBody::Done(match body {
            RequestBody::RegisterGateway { .. } => Outcome::Gateway(7),
            RequestBody::ReadCatalog { have } => {
                Outcome::Catalog((*have != self.catalog.version).then(|| Arc::clone(&self.catalog)))
            }
            RequestBody::Define { catalog_version, .. } if *catalog_version != self.catalog.version => {
                return ReplyBody::Replan { version: self.catalog.version };
            }
            RequestBody::Define { text, search_path, .. } => {
                let parsed = sql::parse(text).expect("sessions send what parses");
                match sql::define(&self.catalog, &parsed[0], search_path) {
                    Ok(definition) => {
                        self.catalog = Arc::new(definition.catalog);
                        let catalog = Arc::clone(&self.catalog);
                        Outcome::Defined { catalog, tag: definition.tag, notices: definition.notices }
                    }
                    Err(error) => Outcome::Error { statement: 0, error },
                }
            }
            RequestBody::InstallCatalog(catalog) => self.partition(partition).install(catalog),
            RequestBody::Commit(commitment) => {
                let version = self.partition(partition).catalog.version;
                if version != commitment.catalog_version {
                    return ReplyBody::Replan { version };
                }
                self.commit(partition, commitment)
            }
            RequestBody::Step(_)
            | RequestBody::Abandon { .. }
            | RequestBody::Order { .. }
            | RequestBody::Collect { .. } => return ReplyBody::Stale,
            RequestBody::Execute(batch) | RequestBody::Query(batch) => {
                let version = self.partition(partition).catalog.version;
                if version != batch.catalog_version {
                    return ReplyBody::Replan { version };
                }
                self.batch(partition, batch)
            }
        })
    }

    fn partition(&mut self, partition: PartitionId) -> &mut Partition {
        &mut self.partitions[partition.0 as usize - 1]
    }

    fn batch(&mut self, partition: PartitionId, batch: &Batch) -> Outcome {
        let own = &mut self.partitions[partition.0 as usize - 1];
        execute(&mut self.plans, &mut own.store, &own.catalog, batch)
    }

    /// On a fork, which is made with the first statements.
    fn step(&mut self, partition: PartitionId, session: SessionId, step: &Step) -> ReplyBody {
        let own = &mut self.partitions[partition.0 as usize - 1];
        let key = (session, step.transaction);
        if step.done == 0 {
            if own.catalog.version != step.batch.catalog_version {
                return ReplyBody::Replan { version: own.catalog.version };
            }
            self.forks.insert(key, own.store.snapshot().into_store());
        }
        if let (false, Some(before)) = (self.forks.contains_key(&key), &step.before) {
            let mut fork = own.store.snapshot().into_store();
            for part in &before.parts {
                let batch = Batch {
                    statements: part.statements.iter().map(|(statement, _)| statement.clone()).collect(),
                    settings: Arc::clone(&part.settings),
                    ..step.batch.clone()
                };
                execute(&mut self.plans, &mut fork, &own.catalog, &batch);
            }
            self.forks.insert(key, fork);
        }
        let Some(fork) = self.forks.get_mut(&key) else { return ReplyBody::Done(Outcome::ForkLost) };
        ReplyBody::Done(execute(&mut self.plans, fork, &own.catalog, &step.batch))
    }

    fn commit(&mut self, partition: PartitionId, commitment: &Commitment) -> Outcome {
        let own = &mut self.partitions[partition.0 as usize - 1];
        let mut next = own.store.snapshot().into_store();
        for part in &commitment.parts {
            for (statement, digest) in &part.statements {
                let plan =
                    self.plans.prepare(&own.catalog, &statement.text, &part.settings, &statement.parameter_types);
                let ordered = plan.as_ref().is_ok_and(|plan| plan.orders_rows());
                let batch = Batch {
                    catalog_version: commitment.catalog_version,
                    statements: vec![statement.clone()],
                    settings: Arc::clone(&part.settings),
                    wall: commitment.began,
                };
                match execute(&mut self.plans, &mut next, &own.catalog, &batch) {
                    Outcome::Results(results) if seen(&results[0], ordered) == *digest => {}
                    _ => {
                        let error = SqlError::new(SqlState::SERIALIZATION_FAILURE, "something seen has changed");
                        return Outcome::Error { statement: 0, error };
                    }
                }
            }
        }
        own.store = next;
        Outcome::Committed
    }
}

fn execute(plans: &mut PlanCache, store: &mut Store, catalog: &Catalog, batch: &Batch) -> Outcome {
    let mark = store.mark();
    let mut results: Vec<StatementResult> = Vec::new();
    for (number, statement) in batch.statements.iter().enumerate() {
        let rng = Rng::seed_from_u64(1);
        let mut context = sql::Context::new(batch.wall, rng, &batch.settings.time_zone, statement.max_rows);
        let plan = plans.prepare(catalog, &statement.text, &batch.settings, &statement.parameter_types);
        match plan.and_then(|plan| plan.execute(store, &statement.parameters, &mut context)) {
            Ok(result) => results.push(result),
            Err(error) => {
                store.rollback(mark);
                store.commit();
                return Outcome::Error { statement: number as u32, error };
            }
        }
    }
    store.commit();
    Outcome::Results(results)
}

impl Partition {
    fn install(&mut self, catalog: &Arc<Catalog>) -> Outcome {
        if catalog.version > self.catalog.version {
            self.violations.extend(sql::install(&mut self.store, &self.catalog, catalog));
            self.store.commit();
            self.catalog = Arc::clone(catalog);
            let indexes: Vec<_> = catalog.tables.values().flat_map(|table| &table.indexes).collect();
            let building = |tree: &TreeId| indexes.iter().any(|i| i.tree == *tree && i.state.is_building());
            self.violations.retain(|tree, _| building(tree));
        }
        let violations = self.violations.iter().map(|(tree, error)| (*tree, error.clone())).collect();
        Outcome::Installed { version: self.catalog.version, violations }
    }
}
