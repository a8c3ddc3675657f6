//! What goes with a stream's old rows: what was derived from it. A thousand rows a turn, so that no commit waits long.

use event::Millis;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::definitions::{self, Definition};
use crate::StoreError;

/// Rows that one turn drops at the most.
const TURN: usize = 1_000;

/// Drops a turn of what is neither a window nor its count of late events, by stream, time and rows. A letter belongs to
/// the stream whose log holds its record.
const FACTS: [&str; 3] = [
    "DELETE FROM anomalies WHERE n IN (SELECT n FROM anomalies WHERE stream = ?1
     AND tenant IN (SELECT id FROM tenants) AND received < ?2 LIMIT ?3)",
    "DELETE FROM outbox WHERE n IN (SELECT n FROM outbox WHERE stream = ?1 AND done_at < ?2 LIMIT ?3)",
    "DELETE FROM dead_letters WHERE n IN (SELECT n FROM dead_letters WHERE tenant IN (SELECT id FROM tenants)
     AND status IN ('resolved', 'discarded') AND home = ?1 AND changed < ?2 LIMIT ?3)",
];

/// Something that may have old rows.
#[derive(Debug)]
pub(super) enum Old {
    Facts { sql: &'static str, stream: i64 },
    Windows { table: &'static str, of: Definition },
}

/// What of a stream there may be to drop.
pub(super) fn find(tx: &Transaction<'_>, stream: &str, before: Millis) -> Result<Vec<Old>, StoreError> {
    let sql = "SELECT id FROM streams WHERE name = ?1";
    let Some(stream) = tx.prepare_cached(sql)?.query_row([stream], |row| row.get(0)).optional()? else {
        return Ok(Vec::new());
    };
    let mut old: Vec<_> = FACTS.iter().map(|sql| Old::Facts { sql, stream }).collect();
    for table in ["windows", "late_events"] {
        definitions::each(tx, table, None, |of| {
            if of.stream == stream && !old_rows(tx, table, &of, before, 1)?.is_empty() {
                old.push(Old::Windows { table, of });
            }
            Ok(())
        })?;
    }
    Ok(old)
}

/// Drops a turn of it; `false` when that was the last.
pub(super) fn drop_some(conn: &mut Connection, old: &Old, before: Millis) -> Result<bool, StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dropped = match old {
        Old::Facts { sql, stream } => tx.prepare_cached(sql)?.execute(params![stream, before, TURN as i64])?,
        Old::Windows { table, of } => {
            let rows = old_rows(&tx, table, of, before, TURN)?;
            for n in &rows {
                tx.prepare_cached(&format!("DELETE FROM {table} WHERE n = ?1"))?.execute([n])?;
                if *table == "windows" {
                    tx.prepare_cached("DELETE FROM outbox WHERE window = ?1")?.execute([n])?;
                }
            }
            rows.len()
        }
    };
    tx.commit()?;
    Ok(dropped == TURN)
}

/// Windows that ended before, and have not changed since: one whose events are old, but came today, stays as long as
/// they do.
fn old_rows(
    tx: &Transaction<'_>,
    table: &str,
    of: &Definition,
    before: Millis,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let sql = format!(
        "SELECT n FROM {table} WHERE tenant = ?1 AND stream = ?2 AND window = ?3 AND size = ?4 AND start < ?5
         AND end < ?5 AND updated < ?5 ORDER BY start, key DESC LIMIT ?6"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let of = params![of.tenant, of.stream, of.window, of.size, before, limit as i64];
    let rows = statement.query_map(of, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
