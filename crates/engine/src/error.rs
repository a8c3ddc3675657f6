//! What stops the engine.

use log::LogError;
use store::StoreError;

/// Why the engine does not run, or stopped. Nothing is lost by it: the log has everything, the store knows how far it
/// came.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log cannot be read. The operator's turn.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// The store refused, is of another version, or another engine commits to it. The operator's turn.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store was not available when the engine was told to stop: the last batch was left for the next start.
    #[error("stopped before the last batch was committed: {0}")]
    Unfinished(String),
    /// A mistake in this program.
    #[error("the engine's thread `{thread}` panicked: {message}")]
    Panicked {
        /// The thread.
        thread: &'static str,
        /// What the panic said.
        message: String,
    },
    /// The system gave no thread.
    #[error("no thread for the engine: {0}")]
    Thread(String),
}
