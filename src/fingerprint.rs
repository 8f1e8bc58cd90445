//! Keyed hashes, by which requests and tokens are told apart.

use std::{
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::LazyLock,
};

/// A hash of 128 bits. With 64, two of some billion keys would have the same, and one tenant the other's token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint([u64; 2]);

impl Fingerprint {
    pub(crate) fn of(value: &impl Hash) -> Self {
        Self([0_u8, 1].map(|half| hash(&(half, value))))
    }
}

/// The key is random for each process: what is hashed may come from outside, and must not be made to collide.
pub(crate) fn hash(value: &impl Hash) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one(value)
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// For maps by fingerprint, which need no other hash.
pub(crate) type ByFingerprint = BuildHasherDefault<Unchanged>;

#[derive(Default)]
pub(crate) struct Unchanged(u64);

impl Hasher for Unchanged {
    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }

    /// A fingerprint writes one `u64`.
    fn write(&mut self, _bytes: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
