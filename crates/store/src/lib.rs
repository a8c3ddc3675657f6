//! The store: the port `Store` and its back ends on SQLite and on PostgreSQL. Rows, anomalies, dead letters, rule state
//! and positions, committed together.

mod error;
mod port;
pub mod postgres;
pub mod query;
pub mod sqlite;
mod transfer;

pub use error::StoreError;
pub use port::{Answers, Commit, Move, Retract, ScanFn, Scanned, Snapshot, Store, StoredPosition};
pub use transfer::{Moved, Moving, move_all};
