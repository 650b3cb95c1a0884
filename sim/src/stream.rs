//! Labelled random streams: one per source, so that drawing more for one use, or leaving one out, moves no other.

use orrery::types::Rng;
use orrery::types::random::below;
use rand_chacha::rand_core::SeedableRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use rand_chacha::rand_core::Rng as RngCore;

/// One million: probabilities are parts of it.
pub const MILLION: u32 = 1_000_000;

/// The stream of a seed for one use, named by `label`, of which there may be several, numbered by `index`.
#[must_use]
pub fn stream(seed: u64, label: &str, index: u64) -> Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&xxh3_64_with_seed(label.as_bytes(), 0).to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    key[24..].copy_from_slice(&xxh3_64_with_seed(label.as_bytes(), seed ^ index.rotate_left(32)).to_le_bytes());
    Rng::from_seed(key)
}

/// A number in `low..=high`.
#[must_use]
pub fn between(rng: &mut Rng, low: i64, high: i64) -> i64 {
    assert!(low <= high, "a range runs upwards");
    let span = high.wrapping_sub(low) as u64;
    let offset = if span == u64::MAX { rng.next_u64() } else { below(rng, span + 1) };
    low.wrapping_add(offset as i64)
}

/// True in `ppm` of a million cases.
#[must_use]
pub fn chance(rng: &mut Rng, ppm: u32) -> bool {
    below(rng, u64::from(MILLION)) < u64::from(ppm)
}
