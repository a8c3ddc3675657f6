//! Commits whose end nobody heard: the connection was lost after COMMIT was sent. The database knows by the number of the
//! transaction whether it happened. Until it can be asked, the same commit is not made again: it would count twice.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use event::Catalog;
use xxhash_rust::xxh3::Xxh3;

use super::fault::Fault;
use super::pool::{Pool, Tx};
use super::positions;
use crate::{Commit, StoreError};

/// Doubts that are kept; a process has a few threads that commit, each with one at the most.
const KEPT: usize = 64;

/// What became of a commit that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the database already.
    Happened,
    /// It is not.
    DidNot,
}

/// A transaction whose end is not known.
#[derive(Clone)]
struct Doubt {
    transaction: String,
    digest: u64,
}

/// The doubts of this process.
#[derive(Default)]
pub(super) struct Doubts {
    open: Mutex<Vec<Doubt>>,
}

impl Doubts {
    /// Keeps in mind that this transaction may have made the commit.
    pub(super) fn note(&self, transaction: String, commit: &Commit<'_>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == KEPT {
            open.remove(0);
        }
        open.push(Doubt { transaction, digest: digest(commit) });
    }

    /// Asks the database about what is in doubt, and tells of this commit. An error when it cannot be told yet.
    pub(super) fn settle(&self, pool: &Pool, catalog: &Catalog, commit: &Commit<'_>) -> Result<Outcome, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if open.is_empty() {
            return Ok(Outcome::DidNot);
        }
        let digest = digest(commit);
        // Others' stay in doubt until they are tried again themselves.
        open.retain(|doubt| doubt.digest == digest);
        let mut outcome = Outcome::DidNot;
        for doubt in open {
            match pool.write(|tx| status(tx, &doubt.transaction))? {
                Status::Committed => outcome = Outcome::Happened,
                Status::Running => {
                    let text = "an earlier try of this commit has not ended yet".to_owned();
                    return Err(StoreError::Unavailable(text));
                }
                // The database has forgotten it, or is another one: where the positions are, only this claimant put them.
                Status::Unknown if pool.read(|tx| positions::are_at_end(tx, catalog, commit))? => {
                    outcome = Outcome::Happened;
                }
                Status::Unknown | Status::Aborted => {}
            }
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|other| other.transaction != doubt.transaction);
        }
        Ok(outcome)
    }
}

enum Status {
    Committed,
    Aborted,
    Running,
    Unknown,
}

/// What became of a transaction.
fn status(tx: &mut Tx<'_>, transaction: &str) -> Result<Status, Fault> {
    // To ask for one that has not begun yet would be an error: so it is with another database, as after a failover.
    let sql = "SELECT CASE WHEN $1::text::xid8 < pg_current_xact_id() THEN pg_xact_status($1::text::xid8) END";
    let word: Option<String> = tx.query_one(sql, &[&transaction])?.try_get(0)?;
    Ok(match word.as_deref() {
        Some("committed") => Status::Committed,
        Some("aborted") => Status::Aborted,
        Some("in progress") => Status::Running,
        _ => Status::Unknown,
    })
}

/// A number for all that is in a commit: only a commit that is tried again as it was has the same.
fn digest(commit: &Commit<'_>) -> u64 {
    struct Sink(Xxh3);
    impl std::fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let mut sink = Sink(Xxh3::new());
    // The sink takes everything.
    let _ = write!(sink, "{commit:?}");
    sink.0.digest()
}
