//! Values of sequences that were reserved for a gateway and not yet drawn.
//!
//! A block is larger than what a statement needs, and the next one twice as large: so a log entry serves many statements.
//! What is here when the gateway's life ends is lost. Blocks know the generation of their sequence: when a definition or
//! `setval` has raised it, they are dropped ([`Sequences::keep`]); a statement that was sent with such a value before
//! the gateway knew is refused by its partition, which is under the newer catalog (`ReplyBody::Replan`).
//!
//! # Invariants
//! - A value leaves once.

use crate::catalog::{Catalog, Table};
use crate::sql::Values;
use crate::types::TableId;
use crate::{planted, sometimes};
use std::collections::{BTreeMap, VecDeque};

/// Values of a first block, unless CACHE asks for more.
const FIRST_BLOCK: u64 = 32;
/// Most values of a block that nobody has asked for yet.
const LARGEST_BLOCK: u64 = 1024;

/// Blocks of all sequences.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    pools: BTreeMap<TableId, Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    generation: u64,
    values: VecDeque<Values>,
    left: u64,
    /// Size of the next block.
    block: u64,
}

fn generation(table: &Table) -> u64 {
    table.sequence.as_deref().map_or(0, |sequence| sequence.generation)
}

impl Sequences {
    /// How many values are left of the sequence, as it is defined here.
    pub(super) fn left(&self, table: &Table) -> u64 {
        let current = |pool: &&Pool| pool.generation == generation(table) || planted!(129);
        self.pools.get(&table.id).filter(current).map_or(0, |pool| pool.left)
    }

    /// Takes the next values; fewer than `count` only if there are not as many.
    pub(super) fn take(&mut self, table: &Table, count: u64) -> Vec<Values> {
        let mut taken = Vec::new();
        let Some(pool) = self.pools.get_mut(&table.id) else { return taken };
        let mut wanted = count.min(pool.left);
        pool.left -= wanted;
        while wanted > 0
            && let Some(front) = pool.values.front_mut()
        {
            let values = front.split(wanted);
            wanted = wanted.saturating_sub(values.count);
            if values.count > 0 {
                taken.push(values);
            }
            if front.count == 0 {
                pool.values.pop_front();
            }
        }
        taken
    }

    /// How many values to reserve, where so many are missing.
    pub(super) fn block(&mut self, table: &Table, missing: u64) -> u64 {
        let cache = table.sequence.as_deref().map_or(1, |sequence| u64::try_from(sequence.cache).unwrap_or(1));
        let pool = self.pools.entry(table.id).or_default();
        let block = pool.block.clamp(FIRST_BLOCK, LARGEST_BLOCK).max(cache.min(1 << 20));
        pool.block = (block * 2).min(LARGEST_BLOCK);
        missing.max(block)
    }

    /// Takes in values that were reserved under a definition of the sequence; those of an older one than is known by now are lost.
    pub(super) fn add(&mut self, table: &Table, values: Values) {
        let pool = self.pools.entry(table.id).or_default();
        let generation = generation(table);
        if generation < pool.generation {
            sometimes!("session.block_outdated");
            return;
        }
        if generation > pool.generation {
            pool.values.clear();
            pool.left = 0;
            pool.generation = generation;
        }
        pool.left += values.count;
        pool.values.push_back(values);
    }

    /// Drops what a newer catalog makes void.
    pub(super) fn keep(&mut self, catalog: &Catalog) {
        self.pools.retain(|id, pool| {
            let now = catalog.table_by_id(*id).map(|table| generation(table));
            let keeps = now.is_some_and(|now| now <= pool.generation) || planted!(129);
            sometimes!("session.block_dropped", !keeps);
            keeps
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Reset, Sequence};
    use crate::types::{DataType, TreeId};

    fn table(generation: u64) -> Table {
        let reset = Reset { generation: 0, value: 1, called: false };
        let sequence = Sequence {
            data_type: DataType::Int8,
            start: 1,
            increment: 2,
            min: 1,
            max: 99,
            cache: 1,
            cycle: false,
            generation,
            reset,
        };
        sequence.relation(TableId(7), TreeId(3), "public".to_owned(), "s".to_owned())
    }

    fn values(first: i64, count: u64) -> Values {
        Values { first, increment: 2, count }
    }

    #[test]
    fn values_leave_in_order_and_once() {
        let mut pools = Sequences::default();
        pools.add(&table(1), values(1, 3));
        pools.add(&table(1), values(21, 2));
        assert_eq!(pools.left(&table(1)), 5);
        assert_eq!(pools.take(&table(1), 4), [values(1, 3), values(21, 1)]);
        assert_eq!(pools.take(&table(1), 4), [values(23, 1)]);
        assert_eq!(pools.take(&table(1), 1), []);
    }

    #[test]
    fn a_newer_generation_voids_what_is_left() {
        let mut pools = Sequences::default();
        pools.add(&table(1), values(1, 3));
        assert_eq!(pools.left(&table(2)), 0, "they are of an older definition");
        pools.add(&table(2), values(51, 1));
        assert_eq!(pools.take(&table(2), 9), [values(51, 1)]);
        pools.add(&table(1), values(7, 3));
        assert_eq!(pools.left(&table(2)), 0, "a block that comes late is lost");
        pools.add(&table(2), values(53, 2));
        pools.keep(&Catalog::default());
        assert_eq!(pools.left(&table(2)), 0, "the sequence is gone");
    }

    #[test]
    fn blocks_grow_with_the_demand() {
        let mut pools = Sequences::default();
        let blocks: Vec<u64> = (0..7).map(|_| pools.block(&table(1), 1)).collect();
        assert_eq!(blocks, [32, 64, 128, 256, 512, 1024, 1024]);
        assert_eq!(pools.block(&table(1), 5_000), 5_000);
    }
}
