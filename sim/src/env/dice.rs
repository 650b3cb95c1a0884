//! Randomness keyed by what is decided, not by when it is asked.
//!
//! A *stream* is a hash of the run's seed, a label and numbers (which link, which disk); a [`Dice`] is one stream at one
//! event (message 17 of that link). Removing a fault or a message therefore reshuffles nothing else.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Key of a stream of draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(pub u64);

impl Stream {
    /// The stream of a seed for one use.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        Self(xxh3_64_with_seed(label.as_bytes(), seed))
    }

    /// A stream within this one.
    #[must_use]
    pub const fn at(self, key: u64) -> Self {
        Self(mix(self.0 ^ mix(key)))
    }

    /// The dice of one event.
    #[must_use]
    pub const fn dice(self, key: u64) -> Dice {
        Dice(self.at(key).0)
    }
}

/// SplitMix64: good enough to decide delays, and 1 ns a draw.
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// A million: probabilities are parts of it.
const MILLION: u64 = 1_000_000;

impl Dice {
    /// 64 random bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// A position in `0..length`; 0 when it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Yes, with a probability in parts per million. Always draws.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(MILLION) < u64::from(ppm)
    }

    /// An exponentially distributed number with this mean, in integer arithmetic (the C library's `ln` differs by
    /// machine); at most 44 times the mean.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let bits = self.draw() | 1;
        let zeros = bits.leading_zeros();
        let mantissa = (bits << zeros) << 1; // the leading one removed: a fraction of 2^64
        let step = (mantissa >> 56) as usize;
        let within = (mantissa >> 40) & 0xffff;
        let (low, high) = (LOG2[step], LOG2[step + 1]);
        let log2 = low + (((high - low) * within) >> 16);
        let minus_log2 = ((u64::from(zeros) + 1) << 16) - log2; // 16 fractional bits
        ((u128::from(mean) * u128::from(minus_log2) * 45_426) >> 32) as u64 // 45426 / 2^16 = ln 2
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.index(end + 1);
            items.swap(end, other);
        }
    }
}

/// log2(1 + i/256) with 16 fractional bits, by repeated squaring.
const LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut i = 0;
    while i < 256 {
        let mut x: u64 = (256 + i as u64) << 22; // 30 fractional bits
        let mut bit = 0;
        while bit < 16 {
            x = (x * x) >> 30;
            if x >= 2 << 30 {
                x >>= 1;
                table[i] |= 1 << (15 - bit);
            }
            bit += 1;
        }
        i += 1;
    }
    table[256] = 1 << 16;
    table
};

/// The finaliser of SplitMix64: a bijection that scatters every bit.
#[must_use]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_has_its_mean() {
        let stream = Stream::new(7, "test");
        let n = 100_000;
        let sum: u64 = (0..n).map(|i| stream.dice(i).exponential(1_000_000)).sum();
        let mean = sum / n;
        assert!((980_000..1_020_000).contains(&mean), "{mean}");
        assert_eq!(stream.dice(1).exponential(0), 0);
    }

    #[test]
    fn draws_are_keyed_and_fair() {
        let stream = Stream::new(1, "a");
        assert_eq!(stream.dice(3).draw(), stream.dice(3).draw());
        assert_ne!(stream.dice(3).draw(), stream.dice(4).draw());
        assert_ne!(stream, Stream::new(1, "b"));
        assert_ne!(stream, Stream::new(2, "a"));
        let yes = (0..100_000).filter(|&i| stream.dice(i).chance(250_000)).count();
        assert!((24_300..25_700).contains(&yes), "{yes}");
    }
}
