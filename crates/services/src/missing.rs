//! Why a server cannot be had.

use std::path::PathBuf;

/// A server that a test needs is not there.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// Nobody said where its programs lie. `cargo xtask test` does.
    #[error("{0} is not set; `cargo xtask test` gets what the tests need and sets it")]
    Untold(&'static str),
    /// Its programs are there and do not work; what they said last.
    #[error("{name} did not start: {said}")]
    Failed {
        /// Which server.
        name: &'static str,
        /// The end of what it said.
        said: String,
    },
}

impl Missing {
    /// The path that an environment variable tells.
    pub(crate) fn unless_told(variable: &'static str) -> Result<PathBuf, Self> {
        std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from).ok_or(Self::Untold(variable))
    }

    pub(crate) fn failed(name: &'static str, said: &impl std::fmt::Display) -> Self {
        Self::Failed { name, said: said.to_string() }
    }
}
