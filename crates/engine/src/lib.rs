//! The loop from log to store, and what guards it.
//!
//! Plain threads joined by bounded channels. One reads the log and runs the rules; the others, one or two as the store likes
//! it, commit rows, findings, rule state and positions of their partitions in one store transaction, so that after any crash
//! the store equals what a fresh run over the log gives. Nothing happens per event but the rules and the row itself.
//!
//! On start the positions come from the store, each partition's rule state from its snapshot, and the log is re-run
//! from there to the committed position with outputs off.
//!
//! A record that a rule panics on, or that the store refuses, becomes a dead letter and has no other effect: it is put on
//! the list of what is passed over, its partition's state is made anew as if it were not in the stream, and processing goes
//! on from there. Other partitions take no notice. A store that is away, or that refuses everything, is waited for; so is
//! a log that others keep.
//!
//! Where several processes share the work, an engine works on some of the partitions. It claims them in the store before it
//! reads their positions, and every commit carries the claim: so one that was overtaken commits nothing any more.

mod anew;
mod away;
mod batch;
mod commit;
mod error;
mod housekeeping;
mod idle;
mod lanes;
pub mod letters;
mod mend;
mod meters;
mod outage;
mod parts;
mod poison;
mod processor;
mod quiet;
mod recent;
mod recover;
mod refused;
pub mod replay;
mod rerun;
mod shared;
mod skips;
mod split;
mod start;
mod stats;
mod take;
mod track;
mod verify;

pub use error::EngineError;
pub use parts::{Alerts, Command, Parts, Settings};
pub use start::Engine;
pub use stats::EngineStats;
pub use verify::{DETAILS_MAX, VerifyParts, VerifyReport, verify};
