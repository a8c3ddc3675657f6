//! What can go wrong when a cache is opened; nothing does later.

/// Why a cache could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Not an address of Redis. The operator's turn.
    #[error("the address of Redis: {0}; expected redis://[user:password@]host:port[/database]")]
    Address(String),
    /// The system gives no thread. The operator's turn.
    #[error("no thread for the cache: {0}")]
    Thread(String),
}
