//! Dice: ChaCha8, seeded by whoever builds the machine (see [`crate::env::Entropy`]), identical on every computer.

pub use rand_chacha::rand_core::{Rng as RngCore, SeedableRng};

/// The generator that a machine owns. One per use, so that drawing more for one purpose moves no other.
pub type Rng = rand_chacha::ChaCha8Rng;

/// A number in `0..bound`, unbiased enough for time-outs and choices (multiply-shift, bias below 2⁻³²).
///
/// # Panics
/// When `bound` is 0.
pub fn below(rng: &mut Rng, bound: u64) -> u64 {
    assert!(bound > 0, "an empty range has no members");
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}
