//! The tables, as SQL. What each column means is told in docs/store.md.

/// `PRAGMA application_id` of our files: "MlSt".
pub(super) const APPLICATION_ID: i64 = 0x4d6c_5374;

/// `PRAGMA user_version` of our files: grows with every change of the tables.
pub(super) const VERSION: i64 = 1;

/// Everything but the chunk tables, which come and go.
pub(super) const TABLES: &str = "
CREATE TABLE streams (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE chunks (
  n              INTEGER PRIMARY KEY AUTOINCREMENT,
  stream         INTEGER NOT NULL,
  created        INTEGER NOT NULL,
  rows           INTEGER NOT NULL,
  first_time     INTEGER NOT NULL,
  last_time      INTEGER NOT NULL,
  first_received INTEGER NOT NULL,
  last_received  INTEGER NOT NULL,
  sealed         INTEGER NOT NULL,
  prepared       INTEGER NOT NULL
) STRICT;
CREATE INDEX chunks_active ON chunks (stream) WHERE sealed = 0;
CREATE INDEX chunks_unprepared ON chunks (n) WHERE prepared < 5;

CREATE TABLE chunk_counts (
  chunk INTEGER NOT NULL,
  what  TEXT NOT NULL,
  value TEXT NOT NULL,
  rows  INTEGER NOT NULL,
  PRIMARY KEY (chunk, what, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE positions (
  consumer TEXT NOT NULL,
  stream   INTEGER NOT NULL,
  part     INTEGER NOT NULL,
  next     INTEGER NOT NULL,
  PRIMARY KEY (consumer, stream, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
  stream INTEGER NOT NULL,
  part   INTEGER NOT NULL,
  off    INTEGER NOT NULL,
  state  BLOB NOT NULL,
  PRIMARY KEY (stream, part)
) STRICT;

CREATE TABLE anomalies (
  n           INTEGER PRIMARY KEY AUTOINCREMENT,
  stream      INTEGER NOT NULL,
  id          TEXT NOT NULL,
  rule        TEXT NOT NULL,
  severity    TEXT NOT NULL,
  part        INTEGER NOT NULL,
  off         INTEGER NOT NULL,
  key         TEXT NOT NULL,
  time        INTEGER NOT NULL,
  received    INTEGER NOT NULL,
  stored      INTEGER NOT NULL,
  description TEXT NOT NULL,
  metadata    TEXT NOT NULL,
  event       ANY NOT NULL,
  UNIQUE (stream, id)
) STRICT;
CREATE INDEX anomalies_time ON anomalies (time);
CREATE INDEX anomalies_key ON anomalies (key, time);
CREATE INDEX anomalies_rule ON anomalies (rule, time);
CREATE INDEX anomalies_received ON anomalies (stream, received);

CREATE TABLE dead_letters (
  n          INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL UNIQUE,
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
  stored     INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_stream ON dead_letters (stream, received);
CREATE INDEX dead_letters_code ON dead_letters (code);
";

/// The view over all chunk tables while there is none.
pub(super) const EMPTY_VIEW: &str = "
CREATE VIEW events AS SELECT '' AS stream, 0 AS part, 0 AS off, 0 AS time, 0 AS received, 0 AS stored,
  '' AS key, '' AS type, '' AS id, '' AS data, NULL AS headers WHERE 0";

/// A chunk table. The payload comes last: reading the narrow columns of a big row does not touch its overflow pages.
pub(super) fn chunk_table(n: i64) -> String {
    format!(
        "CREATE TABLE events_{n} (part INTEGER NOT NULL, off INTEGER NOT NULL, time INTEGER NOT NULL,
         received INTEGER NOT NULL, stored INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
         id_hash INTEGER, headers BLOB, data ANY NOT NULL) STRICT"
    )
}

/// Puts one row into a chunk table.
pub(super) fn insert_row(n: i64) -> String {
    format!(
        "INSERT INTO events_{n} (part, received, stored, off, time, key, type, id, id_hash, headers, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    )
}

/// How many [`prepare_step`]s make a chunk searchable by time: they follow its load at once.
pub(super) const INDEX_STEPS: usize = 2;
/// How many there are in all; the rest waits for a calm moment: the index by id, and counts of what a sealed chunk holds.
pub(super) const STEPS: usize = 5;

/// What is done to a chunk after its load, one step a transaction, in this order: `chunks.prepared` counts them.
///
/// The two time indexes hold `part, off` too: then an index alone gives the order of a page, and rows that a page
/// skips are never touched.
pub(super) fn prepare_step(n: i64, step: usize) -> String {
    match step {
        0 => format!("CREATE INDEX events_{n}_key ON events_{n} (key, time, part, off)"),
        1 => format!("CREATE INDEX events_{n}_type ON events_{n} (type, time, part, off)"),
        2 => format!("CREATE INDEX events_{n}_id ON events_{n} (id_hash) WHERE id_hash IS NOT NULL"),
        3 => count_values(n, "type"),
        _ => count_values(n, "key"),
    }
}

/// Writes down how often each value of an indexed column occurs, when that is much shorter than the index itself.
fn count_values(n: i64, column: &str) -> String {
    format!(
        "INSERT INTO chunk_counts (chunk, what, value, rows)
         SELECT {n}, '{column}', {column}, count(*) FROM events_{n}
         WHERE (SELECT count(*) FROM (SELECT DISTINCT {column} FROM events_{n}))
               <= max(8, (SELECT rows FROM chunks WHERE n = {n}) / 16)
         GROUP BY {column}"
    )
}
