//! What can go wrong with a store, and who can help.

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or is busy: the same call may succeed later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It will not take this, now or later.
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
    /// The file was made by a newer version, or is none of ours.
    #[error("{0}")]
    Incompatible(String),
}
