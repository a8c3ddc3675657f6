//! The store: the port `Store` and its back end on SQLite. Rows, anomalies, dead letters, rule state and positions,
//! committed together.

mod error;
mod port;
pub mod query;
pub mod sqlite;

pub use error::StoreError;
pub use port::{Answers, Commit, Move, Retract, ScanFn, Scanned, Snapshot, Store, StoredPosition};
