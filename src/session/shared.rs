//! What all connections of a gateway have in common, and one event's view of it.

use super::gateway::{GatewayConfig, GatewayOutput, GatewayStats};
use super::sequences::Sequences;
use crate::catalog::Catalog;
use crate::cluster::Router;
use crate::sql;
use crate::storage::Store;
use crate::types::random::{RngCore, SeedableRng};
use crate::types::{Incarnation, Instant, NodeId, Rng, Timestamp};
use std::sync::Arc;

/// Plans that a gateway keeps, in each of two generations.
const CACHED_PLANS: usize = 1024;

/// Common to all connections of a gateway.
pub(super) struct Shared {
    pub(super) config: GatewayConfig,
    pub(super) rng: Rng,
    pub(super) router: Router,
    /// The nodes of the cluster, sorted.
    pub(super) nodes: Vec<NodeId>,
    /// The newest catalog seen.
    pub(super) catalog: Arc<Catalog>,
    pub(super) plans: sql::PlanCache,
    pub(super) stats: GatewayStats,
    pub(super) outputs: Vec<GatewayOutput>,
    /// The number of this life, once the cluster partition has given it.
    pub(super) number: Option<u64>,
    /// This life of the worker, once it is known.
    pub(super) incarnation: Incarnation,
    /// A clean stop has been asked for: whoever is in the middle of something is served until then.
    pub(super) stopping: Option<Instant>,
    /// Connections past their startup.
    pub(super) sessions: usize,
    /// For statements that read no table.
    pub(super) nothing: Store,
    /// Values of sequences that were reserved for this gateway.
    pub(super) sequences: Sequences,
}

impl Shared {
    pub(super) fn new(config: GatewayConfig, rng: Rng) -> Self {
        Self {
            router: Router::new(config.nodes.clone()).on(config.node).with(config.breaker, config.admission),
            nodes: config.nodes.clone(),
            config,
            rng,
            catalog: Arc::new(Catalog::default()),
            plans: sql::PlanCache::new(CACHED_PLANS),
            stats: GatewayStats::default(),
            outputs: Vec::new(),
            number: None,
            incarnation: Incarnation::default(),
            stopping: None,
            sessions: 0,
            nothing: Store::new(),
            sequences: Sequences::default(),
        }
    }

    /// Takes a catalog if it is newer.
    pub(super) fn adopt(&mut self, catalog: Arc<Catalog>) {
        if catalog.version > self.catalog.version {
            self.sequences.keep(&catalog);
            self.catalog = catalog;
        }
    }

    /// Dice for one statement that is evaluated here.
    pub(super) fn dice(&mut self) -> Rng {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        Rng::from_seed(seed)
    }
}

/// One event: its time, and what it may touch besides the connection.
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) wall: Timestamp,
    pub(super) shared: &'a mut Shared,
}
