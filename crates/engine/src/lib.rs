//! The loop from log to store, and what guards it.
//!
//! Two plain threads joined by a bounded channel. One reads the log and runs the rules; the other commits rows,
//! findings, rule state and positions in one store transaction, so that after any crash the store equals what a fresh
//! run over the log gives. Nothing happens per event but the rules and the row itself.
//!
//! On start the positions come from the store, each partition's rule state from its snapshot, and the log is re-run
//! from there to the committed position with outputs off.

mod commit;
mod error;
mod housekeeping;
mod meters;
mod parts;
mod processor;
mod recover;
mod refused;
mod shared;
mod start;
mod stats;
mod verify;

pub use error::EngineError;
pub use parts::{Command, Parts, Settings};
pub use start::Engine;
pub use stats::EngineStats;
pub use verify::{DETAILS_MAX, VerifyParts, VerifyReport, verify};
