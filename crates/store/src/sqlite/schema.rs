//! The tables, as SQL. What each column means is told in docs/store.md.

/// `PRAGMA application_id` of our files: "MlSt".
pub(super) const APPLICATION_ID: i64 = 0x4d6c_5374;

/// `PRAGMA user_version` of our files: grows with every change of the tables.
pub(super) const VERSION: i64 = 3;

/// All of a new file.
pub(super) const ALL: [&str; 6] = [TABLES, TENANTS, FACTS, LETTERS, WINDOWS, EMPTY_VIEW];

/// Everything but the chunk tables, which come and go, and the parts below.
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
  prepared       INTEGER NOT NULL,
  tenants        INTEGER NOT NULL
) STRICT;
CREATE INDEX chunks_active ON chunks (stream) WHERE sealed = 0;
CREATE INDEX chunks_unprepared ON chunks (n) WHERE prepared < 5;

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
";

/// Whose a row is. The default tenant has no name, and is there from the start.
pub(super) const TENANTS: &str = "
CREATE TABLE tenants (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO tenants VALUES (0, '');
";

/// What rules found, and the counts of sealed chunks. Indexes begin with the tenant, so that a tenant's page reads no row
/// of another; `anomalies_time` is for those who see all.
pub(super) const FACTS: &str = "
CREATE TABLE chunk_counts (
  chunk  INTEGER NOT NULL,
  what   TEXT NOT NULL,
  tenant INTEGER NOT NULL,
  value  TEXT NOT NULL,
  rows   INTEGER NOT NULL,
  PRIMARY KEY (chunk, what, tenant, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE anomalies (
  n           INTEGER PRIMARY KEY AUTOINCREMENT,
  stream      INTEGER NOT NULL,
  tenant      INTEGER NOT NULL,
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
  UNIQUE (stream, tenant, id)
) STRICT;
CREATE INDEX anomalies_time ON anomalies (time);
CREATE INDEX anomalies_tenant ON anomalies (tenant, time);
CREATE INDEX anomalies_key ON anomalies (tenant, key, time);
CREATE INDEX anomalies_rule ON anomalies (tenant, rule, time);
CREATE INDEX anomalies_received ON anomalies (stream, tenant, received);
";

/// What was refused. The wide columns come last: a page's filters do not touch their overflow pages.
pub(super) const LETTERS: &str = "
CREATE TABLE dead_letters (
  n              INTEGER PRIMARY KEY AUTOINCREMENT,
  id             TEXT NOT NULL,
  tenant         INTEGER NOT NULL,
  stream         INTEGER NOT NULL,
  home           INTEGER NOT NULL,
  part           INTEGER NOT NULL,
  off            INTEGER NOT NULL,
  stage          TEXT NOT NULL,
  code           TEXT NOT NULL,
  pointer        TEXT NOT NULL,
  message        TEXT NOT NULL,
  key            TEXT NOT NULL,
  request_id     TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  received       INTEGER NOT NULL,
  stored         INTEGER NOT NULL,
  first_failed   INTEGER NOT NULL,
  last_failed    INTEGER NOT NULL,
  attempts       INTEGER NOT NULL,
  classification TEXT NOT NULL,
  status         TEXT NOT NULL,
  changed        INTEGER NOT NULL,
  retry_at       INTEGER,
  headers        BLOB,
  data           ANY NOT NULL,
  edited         ANY,
  UNIQUE (id, tenant)
) STRICT;
CREATE INDEX dead_letters_tenant ON dead_letters (tenant);
CREATE INDEX dead_letters_code ON dead_letters (tenant, code);
CREATE INDEX dead_letters_stage ON dead_letters (tenant, stage);
CREATE INDEX dead_letters_status ON dead_letters (tenant, status);
CREATE INDEX dead_letters_failed ON dead_letters (tenant, last_failed);
CREATE INDEX dead_letters_due ON dead_letters (tenant, retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX dead_letters_stream ON dead_letters (stream, tenant, received);
";

/// Results of windows, counts of what came too late for them, and what is to be told to others.
///
/// Two indexes a window and no more: a round of windows may have a hundred thousand groups. One is the identity, in the
/// order of a definition's page (pages over several definitions merge them); one finds a group. Both begin so that a
/// round in the order of the identity goes through them from one end to the other, a page after the next: with a hash of
/// the group in place of it the second would be a third of the size, but written all over, and a round of 100 000 groups
/// after 2 million windows took twice the time.
pub(super) const WINDOWS: &str = "
CREATE TABLE windows (
  n          INTEGER PRIMARY KEY,
  tenant     INTEGER NOT NULL,
  stream     INTEGER NOT NULL,
  window     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  start      INTEGER NOT NULL,
  end        INTEGER NOT NULL,
  key        TEXT NOT NULL,
  definition INTEGER NOT NULL,
  events     INTEGER NOT NULL,
  revision   INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  updated    INTEGER NOT NULL,
  result     TEXT NOT NULL,
  measures   BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX windows_identity ON windows (tenant, stream, window, size, start DESC, key);
CREATE INDEX windows_key ON windows (tenant, key, start DESC);

CREATE TABLE late_events (
  n         INTEGER PRIMARY KEY,
  tenant    INTEGER NOT NULL,
  stream    INTEGER NOT NULL,
  window    TEXT NOT NULL,
  size      INTEGER NOT NULL,
  start     INTEGER NOT NULL,
  end       INTEGER NOT NULL,
  key       TEXT NOT NULL,
  events    INTEGER NOT NULL,
  lateness  INTEGER NOT NULL,
  corrected INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  updated   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX late_events_identity ON late_events (tenant, stream, window, size, start DESC, key);

CREATE TABLE outbox (
  n        INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant   INTEGER NOT NULL,
  stream   INTEGER NOT NULL,
  target   TEXT NOT NULL,
  id       TEXT,
  anomaly  TEXT,
  window   INTEGER,
  status   TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  error    TEXT NOT NULL,
  created  INTEGER NOT NULL,
  next_at  INTEGER NOT NULL,
  done_at  INTEGER,
  body     TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (target, window IS NULL, next_at) WHERE status = 'pending';
CREATE INDEX outbox_done ON outbox (stream, done_at) WHERE done_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_window ON outbox (window, target) WHERE window IS NOT NULL;
CREATE UNIQUE INDEX outbox_alert ON outbox (tenant, stream, target, id) WHERE window IS NULL;
CREATE INDEX outbox_tenant ON outbox (tenant) WHERE window IS NULL;
CREATE INDEX outbox_target ON outbox (tenant, target) WHERE window IS NULL;
CREATE INDEX outbox_status ON outbox (tenant, status) WHERE window IS NULL;
";

/// The view over all chunk tables while there is none.
pub(super) const EMPTY_VIEW: &str = "
CREATE VIEW events AS SELECT '' AS stream, '' AS tenant, 0 AS part, 0 AS off, 0 AS time, 0 AS received, 0 AS stored,
  '' AS key, '' AS type, '' AS id, '' AS data, NULL AS headers WHERE 0";

/// A chunk table. The payload comes last: reading the narrow columns of a big row does not touch its overflow pages.
///
/// A chunk with `tenants` says of each row whose it is, and its indexes begin with that: a tenant's page reads no row of
/// another. As long as there is no tenant but the default one, chunks have no such column: sorting every index by one
/// more number, always the same, costs a tenth of the load.
pub(super) fn chunk_table(n: i64, tenants: bool) -> String {
    let tenant = if tenants { "tenant INTEGER NOT NULL, " } else { "" };
    format!(
        "CREATE TABLE events_{n} ({tenant}part INTEGER NOT NULL, off INTEGER NOT NULL, time INTEGER NOT NULL,
         received INTEGER NOT NULL, stored INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
         id_hash INTEGER, headers BLOB, data ANY NOT NULL) STRICT"
    )
}

/// Puts one row into a chunk table.
pub(super) fn insert_row(n: i64, tenants: bool) -> String {
    let (column, value) = if tenants { (", tenant", ", ?12") } else { ("", "") };
    format!(
        "INSERT INTO events_{n} (part, received, stored, off, time, key, type, id, id_hash, headers, data{column})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11{value})"
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
pub(super) fn prepare_step(n: i64, tenants: bool, step: usize) -> String {
    let lead = if tenants { "tenant, " } else { "" };
    match step {
        0 => format!("CREATE INDEX events_{n}_key ON events_{n} ({lead}key, time, part, off)"),
        1 => format!("CREATE INDEX events_{n}_type ON events_{n} ({lead}type, time, part, off)"),
        2 => format!("CREATE INDEX events_{n}_id ON events_{n} (id_hash) WHERE id_hash IS NOT NULL"),
        3 => count_values(n, tenants, "type"),
        _ => count_values(n, tenants, "key"),
    }
}

/// Writes down how often each value of an indexed column occurs with each tenant, when that is much shorter than the
/// index itself.
fn count_values(n: i64, tenants: bool, column: &str) -> String {
    let (tenant, lead) = if tenants { ("tenant", "tenant, ") } else { ("0", "") };
    format!(
        "INSERT INTO chunk_counts (chunk, what, tenant, value, rows)
         SELECT {n}, '{column}', {tenant}, {column}, count(*) FROM events_{n}
         WHERE (SELECT count(*) FROM (SELECT DISTINCT {lead}{column} FROM events_{n}))
               <= max(8, (SELECT rows FROM chunks WHERE n = {n}) / 16)
         GROUP BY {lead}{column}"
    )
}
