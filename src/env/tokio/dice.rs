//! Dice from the operating system.

use crate::types::Rng;
use crate::types::random::{RngCore, SeedableRng};
use std::fs::File;
use std::io::{self, Read};

/// Thirty-two random bytes of the kernel.
///
/// # Errors
/// When the system gives none.
pub fn os_random() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// A worker's seeds: a generator seeded once by the kernel, since a seed is drawn for every logged command and a system
/// call for each would be felt. Labels need no streams of their own: what the generator yields is independent anyway.
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Rng::from_seed(os_random()?)))
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// A number of the given range's width, for jitter.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        crate::types::random::below(&mut self.0, bound.max(1))
    }
}
