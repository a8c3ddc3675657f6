//! Files of earlier versions become files of this one, in one transaction when they are opened.

use rusqlite::{Connection, TransactionBehavior};

use super::{chunks, schema};
use crate::StoreError;

/// Makes way for the tables and indexes of now, whose names are the same.
const ASIDE: &str = "
ALTER TABLE chunks ADD COLUMN tenants INTEGER NOT NULL DEFAULT 0;
DROP INDEX anomalies_time;
DROP INDEX anomalies_key;
DROP INDEX anomalies_rule;
DROP INDEX anomalies_received;
DROP INDEX dead_letters_stream;
DROP INDEX dead_letters_code;
ALTER TABLE chunk_counts RENAME TO chunk_counts_1;
ALTER TABLE anomalies RENAME TO anomalies_1;
ALTER TABLE dead_letters RENAME TO dead_letters_1;
";

const OVER: &str = "
INSERT INTO chunk_counts (chunk, what, tenant, value, rows) SELECT chunk, what, 0, value, rows FROM chunk_counts_1;
INSERT INTO anomalies (n, stream, tenant, id, rule, severity, part, off, key, time, received, stored, description,
  metadata, event)
SELECT n, stream, 0, id, rule, severity, part, off, key, time, received, stored, description, metadata, event
FROM anomalies_1;
INSERT INTO dead_letters (n, id, tenant, stream, part, off, stage, code, pointer, message, data, request_id, received,
  stored)
SELECT n, id, 0, stream, part, off, stage, code, pointer, message, data, request_id, received, stored
FROM dead_letters_1;
DROP TABLE chunk_counts_1;
DROP TABLE anomalies_1;
DROP TABLE dead_letters_1;
";

/// Upgrades a file of version 1, which knew no tenants: all that it has is the default tenant's. Its chunk tables are
/// such as chunks of the default tenant alone still are, so they stay as they are, with their indexes: a column more in
/// each would make SQLite read every row of the file before it opens.
pub(super) fn upgrade(conn: &mut Connection) -> Result<(), StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for part in [schema::TENANTS, ASIDE, schema::FACTS, OVER] {
        tx.execute_batch(part)?;
    }
    chunks::refresh_view(&tx)?;
    tx.pragma_update(None, "user_version", schema::VERSION)?;
    tx.commit()?;
    Ok(())
}
