//! What can go wrong with a store, and who can help.

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is busy, or cannot work as it is (disk full, read-only, damaged): the same call may succeed
    /// later, when somebody has seen to it. What was asked or given is not to blame.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It will not take this, now or later: a value is too large, or breaks a constraint or a trigger. Only what was given
    /// is to blame, so a commit that is refused as a whole may be taken in parts. Trouble of the store itself is never
    /// told so: who takes a refused record for a bad one must not do it with a whole log.
    #[error("the store refused: {0}")]
    Refused(String),
    /// A position is not where the caller believes: another engine commits to this store.
    #[error("position of {stream}/{partition} is {found}, expected {expected}: another engine commits to this store")]
    Fenced {
        /// The stream's name.
        stream: String,
        /// The partition.
        partition: u32,
        /// What the store has.
        found: u64,
        /// What the caller expected.
        expected: u64,
    },
    /// A partition was claimed by another engine since, which goes on from where it is.
    #[error("{stream}/{partition} was claimed by another engine")]
    Claimed {
        /// The stream's name.
        stream: String,
        /// The partition.
        partition: u32,
    },
    /// The file was made by a newer version, or is none of ours: another file, or another program.
    #[error("{0}")]
    Incompatible(String),
}
