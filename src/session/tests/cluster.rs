//! Partitions that execute at once, or fail as told.

use crate::catalog::Catalog;
use crate::partition::message::{Batch, Outcome, Reply, ReplyBody, Request, RequestBody, StatementResult};
use crate::sql::{self, PlanCache};
use crate::storage::Store;
use crate::types::random::SeedableRng;
use crate::types::{NodeId, PartitionId, RequestId, Rng, SqlError, TreeId};
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
    plans: PlanCache,
}

impl Cluster {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            catalog: Arc::new(Catalog::default()),
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            outcomes: BTreeMap::new(),
            faults: VecDeque::new(),
            plans: PlanCache::new(100),
        }
    }

    /// DDL of another gateway, which partitions have not heard of yet.
    pub(super) fn define(&mut self, text: &str) {
        let parsed = sql::parse(text).expect("the script's DDL parses");
        let definition = sql::define(&self.catalog, &parsed[0], &["public".to_owned()]);
        self.catalog = Arc::new(definition.expect("the script's DDL is sound").catalog);
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
        let logged = matches!(request.body, RequestBody::Execute(_) | RequestBody::Define { .. });
        if let Some(outcome) = self.outcomes.get(&request.id).filter(|_| logged) {
            return ReplyBody::Done(outcome.clone());
        }
        let body = self.run(partition, &request.body);
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
        let mark = own.store.mark();
        let mut results: Vec<StatementResult> = Vec::new();
        for (number, statement) in batch.statements.iter().enumerate() {
            let rng = Rng::seed_from_u64(1);
            let mut context = sql::Context::new(batch.wall, rng, &batch.settings.time_zone, statement.max_rows);
            let plan = self.plans.prepare(&own.catalog, &statement.text, &batch.settings, &statement.parameter_types);
            match plan.and_then(|plan| plan.execute(&mut own.store, &statement.parameters, &mut context)) {
                Ok(result) => results.push(result),
                Err(error) => {
                    own.store.rollback(mark);
                    own.store.commit();
                    return Outcome::Error { statement: number as u32, error };
                }
            }
        }
        own.store.commit();
        Outcome::Results(results)
    }
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
