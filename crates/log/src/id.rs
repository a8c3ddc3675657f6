//! Event ids as 128-bit hashes, seeded per log so that nobody outside can make two ids collide on purpose.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Turns ids into hashes; copies of it agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdHasher {
    seed: u64,
}

impl IdHasher {
    /// A hasher with the seed that the log keeps on disk.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A hasher for ids that are unique only within a scope, as those of one source.
    #[must_use]
    pub fn scoped(&self, scope: &[u8]) -> Self {
        Self { seed: xxh3_64_with_seed(scope, self.seed) }
    }

    /// The hash of an id; never 0, which stands for «no id».
    pub fn hash(&self, id: &[u8]) -> u128 {
        xxh3_128_with_seed(id, self.seed).max(1)
    }
}
