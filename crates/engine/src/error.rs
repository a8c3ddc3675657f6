//! What stops the engine.

use log::LogError;
use store::StoreError;

/// Why the engine does not run, or stopped. Nothing is lost by it: the log has everything, the store knows how far it
/// came.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log cannot be read. The operator's turn, unless it is away: then a later start may succeed.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// The store refused, or is of another version (the operator's turn); or it is not available.
    #[error(transparent)]
    Store(StoreError),
    /// Another engine works on a partition by now, and goes on from where this one was. Nobody's turn: who starts again
    /// goes on from there, if the partition is still to be worked on.
    #[error(transparent)]
    Taken(StoreError),
    /// The store was not available when the engine was told to stop: the last batch was left for the next start.
    #[error("stopped before the last batch was committed: {0}")]
    Unfinished(String),
    /// Nobody wanted it any more before it had started.
    #[error("told to stop before it had started")]
    Halted,
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

impl EngineError {
    /// Whether the same start may succeed a little later, without anybody's help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Log(error) => matches!(error, LogError::Away(_)),
            Self::Store(error) => matches!(error, StoreError::Unavailable(_)),
            Self::Taken(_) | Self::Unfinished(_) | Self::Halted => true,
            Self::Panicked { .. } | Self::Thread(_) => false,
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced { .. } | StoreError::Claimed { .. } => Self::Taken(error),
            error => Self::Store(error),
        }
    }
}
