//! What all connections of a gateway have in common, and one event's view of it.

use super::gateway::{GatewayConfig, GatewayOutput, GatewayStats};
use crate::catalog::Catalog;
use crate::cluster::Router;
use crate::sql;
use crate::storage::Store;
use crate::types::random::{RngCore, SeedableRng};
use crate::types::{Instant, Rng, Timestamp};
use std::sync::Arc;

/// Plans that a gateway keeps, in each of two generations.
const CACHED_PLANS: usize = 1024;

/// Common to all connections of a gateway.
pub struct Shared {
    pub config: GatewayConfig,
    pub rng: Rng,
    pub router: Router,
    /// The newest catalog seen.
    pub catalog: Arc<Catalog>,
    pub plans: sql::PlanCache,
    pub stats: GatewayStats,
    pub outputs: Vec<GatewayOutput>,
    /// The number of this life, once the cluster partition has given it.
    pub number: Option<u64>,
    /// A clean stop has been asked for.
    pub stopping: bool,
    /// Connections past their startup.
    pub sessions: usize,
    /// For statements that read no table.
    pub nothing: Store,
}

impl Shared {
    pub fn new(config: GatewayConfig, rng: Rng) -> Self {
        Self {
            router: Router::new(config.nodes.clone()),
            config,
            rng,
            catalog: Arc::new(Catalog::default()),
            plans: sql::PlanCache::new(CACHED_PLANS),
            stats: GatewayStats::default(),
            outputs: Vec::new(),
            number: None,
            stopping: false,
            sessions: 0,
            nothing: Store::new(),
        }
    }

    /// Takes a catalog if it is newer.
    pub fn adopt(&mut self, catalog: Arc<Catalog>) {
        if catalog.version > self.catalog.version {
            self.catalog = catalog;
        }
    }

    /// Dice for one statement that is evaluated here.
    pub fn dice(&mut self) -> Rng {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        Rng::from_seed(seed)
    }
}

/// One event: its time, and what it may touch besides the connection.
pub struct Turn<'a> {
    pub now: Instant,
    pub wall: Timestamp,
    pub shared: &'a mut Shared,
}
