//! One commit: begin, lock and move the positions, add the rows, add what processing found, commit.

use event::Catalog;

use super::doubt::{Doubts, Outcome};
use super::fault::Fault;
use super::migrate::Layout;
use super::places::Places;
use super::pool::{Attempt, Conn, Pool, Tx, before_commit, begin_write};
use super::{copy, positions, stats, write_facts, write_letters, write_windows};
use crate::{Commit, StoreError};

/// The clock of the database, asked once a commit, and the number of the transaction, by which it can be asked for
/// afterwards.
const BEGIN: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, pg_current_xact_id()::text";

/// What a commit needs beside a connection.
pub(super) struct Committer<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) layout: Layout,
    pub(super) places: &'a Places,
    pub(super) doubts: &'a Doubts,
    pub(super) pool: &'a Pool,
}

impl Committer<'_> {
    /// Writes everything of a commit, or nothing.
    pub(super) fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        positions::check(commit)?;
        if self.doubts.settle(self.pool, self.catalog, commit)? == Outcome::Happened {
            return Ok(());
        }
        let mut lost_at = None;
        let mut tables_gone = 0;
        let done = self.pool.again(|conn| {
            loop {
                lost_at = None;
                match self.attempt(conn, commit, &mut lost_at) {
                    Err(Attempt::Failed(Fault::NoLeaf(why))) => {
                        // A table that was dropped is made again; one that is there and takes no row never will.
                        self.places.forget();
                        tables_gone += 1;
                        if tables_gone > 2 {
                            return Err(Attempt::Failed(StoreError::Refused(why).into()));
                        }
                    }
                    ended => return ended,
                }
            }
        });
        match (done, lost_at) {
            (Err(error @ StoreError::Unavailable(_)), Some(transaction)) => {
                // COMMIT was sent, and no answer came: it may have happened.
                self.doubts.note(transaction, commit);
                match self.doubts.settle(self.pool, self.catalog, commit) {
                    Ok(Outcome::Happened) => Ok(()),
                    _ => Err(error),
                }
            }
            (Err(error @ StoreError::Unavailable(_)), None) => {
                // It may be another database when it comes back: an older copy, or an empty one.
                self.places.forget();
                Err(error)
            }
            (done, _) => done,
        }
    }

    /// Tries once. `lost_at` tells which transaction it was when the connection was lost in COMMIT.
    fn attempt(&self, conn: &mut Conn, commit: &Commit<'_>, lost_at: &mut Option<String>) -> Result<(), Attempt> {
        self.places.prepare(&mut conn.alone(), self.layout, self.catalog, commit.blocks).map_err(
            |fault| match fault {
                Fault::Lost(_) => Attempt::NotBegun(fault),
                fault => Attempt::Failed(fault),
            },
        )?;
        let mut tx = begin_write(conn)?;
        let body = self.write(&mut tx, commit);
        let transaction = match body {
            Ok(transaction) => transaction,
            Err(fault) => {
                conn.rollback();
                return Err(before_commit(fault));
            }
        };
        conn.commit().map_err(|fault| {
            conn.rollback();
            if !conn.is_usable() || matches!(fault, Fault::Lost(_)) {
                *lost_at = Some(transaction);
            }
            Attempt::Failed(fault)
        })
    }

    /// Everything between BEGIN and COMMIT; gives the number of the transaction.
    fn write(&self, tx: &mut Tx<'_>, commit: &Commit<'_>) -> Result<String, Fault> {
        positions::advance(tx, self.catalog, commit)?;
        // Behind the locks: what waited for this commit has an earlier time.
        let begun = tx.query_one(BEGIN, &[])?;
        let (now, transaction) = (begun.try_get(0)?, begun.try_get(1)?);
        let retracted = write_facts::retract(tx, commit.retract)?;
        copy::add_rows(tx, self.catalog, commit.blocks, now)?;
        let new = write_facts::add_anomalies(tx, &retracted, commit.anomalies, now)?;
        write_facts::add_alerts(tx, &new, commit.alerts, now)?;
        write_letters::add(tx, commit.dead_letters, now)?;
        write_letters::change(tx, commit.letter_changes, now)?;
        write_windows::merge(tx, &retracted, commit.windows, now)?;
        write_windows::add_late(tx, commit.late, now)?;
        write_facts::replace_snapshots(tx, commit.snapshots)?;
        write_facts::note_deliveries(tx, commit.deliveries)?;
        stats::note(tx, self.catalog, commit, now)?;
        Ok(transaction)
    }
}
