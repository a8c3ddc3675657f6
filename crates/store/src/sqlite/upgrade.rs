//! Files of earlier versions become files of this one when they are opened: step by step, each in one transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{chunks, schema};
use crate::StoreError;

/// Makes way for the tables and indexes of version 2, whose names are the same.
const ASIDE_1: &str = "
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

/// Dead letters as version 2 had them.
const LETTERS_2: &str = "
CREATE TABLE dead_letters (
  n          INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL,
  tenant     INTEGER NOT NULL,
  stream     INTEGER NOT NULL,
  part       INTEGER NOT NULL,
  off        INTEGER NOT NULL,
  stage      TEXT NOT NULL,
  code       TEXT NOT NULL,
  pointer    TEXT NOT NULL,
  message    TEXT NOT NULL,
  data       ANY NOT NULL,
  request_id TEXT NOT NULL,
  received   INTEGER NOT NULL,
  stored     INTEGER NOT NULL,
  UNIQUE (id, tenant)
) STRICT;
CREATE INDEX dead_letters_tenant ON dead_letters (tenant);
CREATE INDEX dead_letters_code ON dead_letters (tenant, code);
CREATE INDEX dead_letters_stream ON dead_letters (stream, tenant, received);
";

const OVER_1: &str = "
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

const ASIDE_2: &str = "
DROP INDEX dead_letters_tenant;
DROP INDEX dead_letters_code;
DROP INDEX dead_letters_stream;
ALTER TABLE dead_letters RENAME TO dead_letters_2;
INSERT INTO streams (name) VALUES ('_refused') ON CONFLICT DO NOTHING;
";

/// A letter of version 2 has failed once, when it was received, and nobody has touched it since. Its record's key was
/// not kept, nor its headers.
const OVER_2: &str = "
INSERT INTO dead_letters (n, id, tenant, stream, home, part, off, stage, code, pointer, message, key, request_id,
  correlation_id, received, stored, first_failed, last_failed, attempts, classification, status, changed, data)
SELECT n, id, tenant, stream,
  iif(stage = 'collect', (SELECT id FROM streams WHERE name = '_refused'), stream),
  part, off, stage, code, pointer, message, '', request_id, request_id, received, stored, received, received, 1,
  'permanent', 'open', stored, data
FROM dead_letters_2;
DROP TABLE dead_letters_2;
";

/// Upgrades a file from `version` to [`schema::VERSION`].
pub(super) fn upgrade(conn: &mut Connection, version: i64) -> Result<(), StoreError> {
    for from in version..schema::VERSION {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match from {
            1 => to_2(&tx)?,
            _ => to_3(&tx)?,
        }
        tx.pragma_update(None, "user_version", from + 1)?;
        tx.commit()?;
    }
    Ok(())
}

/// Version 1 knew no tenants: all that such a file has is the default tenant's. Its chunk tables are such as chunks of
/// the default tenant alone still are, so they stay as they are, with their indexes: a column more in each would make
/// SQLite read every row of the file before it opens.
fn to_2(tx: &Transaction<'_>) -> Result<(), StoreError> {
    for part in [schema::TENANTS, ASIDE_1, schema::FACTS, LETTERS_2, OVER_1] {
        tx.execute_batch(part)?;
    }
    chunks::refresh_view(tx)
}

/// Version 2 knew no windows, and its dead letters had no life after their refusal.
fn to_3(tx: &Transaction<'_>) -> Result<(), StoreError> {
    for part in [ASIDE_2, schema::LETTERS, schema::WINDOWS, OVER_2] {
        tx.execute_batch(part)?;
    }
    Ok(())
}
