//! A key or a value: short ones stand in the node itself, long ones are shared.

use std::sync::Arc;

/// Longest bytes that stand inline: chosen so that a [`ByteString`] is three words.
const INLINE: usize = 22;

/// Immutable bytes, cheap to clone. Inline where a key comparison should not cost a cache miss.
#[derive(Clone)]
pub(super) enum ByteString {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

impl ByteString {
    #[inline]
    pub(super) fn new(from: &[u8]) -> Self {
        if from.len() > INLINE {
            return Self::Shared(Arc::from(from));
        }
        let mut bytes = [0; INLINE];
        bytes[..from.len()].copy_from_slice(from);
        // At most 22, so the cast keeps the value.
        Self::Inline { length: from.len() as u8, bytes }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_and_it_is_three_words() {
        for length in 0..100_usize {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            assert_eq!(ByteString::new(&bytes).as_slice(), bytes);
        }
        assert_eq!(size_of::<ByteString>(), 24);
    }
}
