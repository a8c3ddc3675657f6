//! A file as version 2 made it: two tenants, one chunk without and one with them, and dead letters of a door and a rule.

pub(crate) const VERSION_2: &str = "
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE chunks (n INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, created INTEGER NOT NULL,
  rows INTEGER NOT NULL, first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, first_received INTEGER NOT NULL,
  last_received INTEGER NOT NULL, sealed INTEGER NOT NULL, prepared INTEGER NOT NULL, tenants INTEGER NOT NULL) STRICT;
CREATE INDEX chunks_active ON chunks (stream) WHERE sealed = 0;
CREATE INDEX chunks_unprepared ON chunks (n) WHERE prepared < 5;
CREATE TABLE positions (consumer TEXT NOT NULL, stream INTEGER NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY (consumer, stream, part)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (stream INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (stream, part)) STRICT;
CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO tenants VALUES (0, '');
CREATE TABLE chunk_counts (chunk INTEGER NOT NULL, what TEXT NOT NULL, tenant INTEGER NOT NULL, value TEXT NOT NULL,
  rows INTEGER NOT NULL, PRIMARY KEY (chunk, what, tenant, value)) STRICT, WITHOUT ROWID;
CREATE TABLE anomalies (n INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, tenant INTEGER NOT NULL,
  id TEXT NOT NULL, rule TEXT NOT NULL, severity TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
  key TEXT NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL, stored INTEGER NOT NULL,
  description TEXT NOT NULL, metadata TEXT NOT NULL, event ANY NOT NULL, UNIQUE (stream, tenant, id)) STRICT;
CREATE INDEX anomalies_time ON anomalies (time);
CREATE INDEX anomalies_tenant ON anomalies (tenant, time);
CREATE INDEX anomalies_key ON anomalies (tenant, key, time);
CREATE INDEX anomalies_rule ON anomalies (tenant, rule, time);
CREATE INDEX anomalies_received ON anomalies (stream, tenant, received);
CREATE TABLE dead_letters (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, tenant INTEGER NOT NULL,
  stream INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, stage TEXT NOT NULL, code TEXT NOT NULL,
  pointer TEXT NOT NULL, message TEXT NOT NULL, data ANY NOT NULL, request_id TEXT NOT NULL, received INTEGER NOT NULL,
  stored INTEGER NOT NULL, UNIQUE (id, tenant)) STRICT;
CREATE INDEX dead_letters_tenant ON dead_letters (tenant);
CREATE INDEX dead_letters_code ON dead_letters (tenant, code);
CREATE INDEX dead_letters_stream ON dead_letters (stream, tenant, received);
CREATE TABLE events_1 (part INTEGER NOT NULL, off INTEGER NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL,
  stored INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, id_hash INTEGER, headers BLOB,
  data ANY NOT NULL) STRICT;
CREATE INDEX events_1_key ON events_1 (key, time, part, off);
CREATE INDEX events_1_type ON events_1 (type, time, part, off);
CREATE INDEX events_1_id ON events_1 (id_hash) WHERE id_hash IS NOT NULL;
CREATE TABLE events_2 (tenant INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, time INTEGER NOT NULL,
  received INTEGER NOT NULL, stored INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
  id_hash INTEGER, headers BLOB, data ANY NOT NULL) STRICT;
CREATE VIEW events AS
  SELECT 'signals' AS stream, (SELECT name FROM tenants WHERE tenants.id = tenant) AS tenant, part, off, time, received,
    stored, key, type, id, data, headers FROM events_2 UNION ALL
  SELECT 'signals' AS stream, '' AS tenant, part, off, time, received, stored, key, type, id, data, headers FROM events_1;

INSERT INTO streams VALUES (1, 'signals');
INSERT INTO tenants VALUES (1, 'acme');
INSERT INTO chunks VALUES (1, 1, 5, 10, 1000, 1009, 1, 2, 1, 5, 0), (2, 1, 9000000000000, 1, 1010, 1010, 3, 3, 0, 0, 1);
WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9)
INSERT INTO events_1 SELECT 0, n, 1000 + n, 1 + n / 5, 7, 'key-' || (n % 3), 'kind-' || (n % 2), 'id-' || n,
  0, NULL, '{\"n\":' || n || '}' FROM n;
INSERT INTO events_2 VALUES (1, 0, 10, 1010, 3, 7, 'key-1', 'kind-0', 'id-10', 0, x'0674656e616e74040061636d65', '{\"n\":10}');
INSERT INTO chunk_counts SELECT 1, 'type', 0, type, count(*) FROM events_1 GROUP BY type;
INSERT INTO chunk_counts SELECT 1, 'key', 0, key, count(*) FROM events_1 GROUP BY key;
INSERT INTO positions VALUES ('engine', 1, 0, 11);
INSERT INTO snapshots VALUES (1, 0, 9, x'7374617465');
INSERT INTO anomalies VALUES
  (4, 1, 0, 'anomaly-6', 'rule-0', 'low', 0, 6, 'key-2', 103, 6, 7, 'too much', '{\"count\":11}', x'ff0006'),
  (9, 1, 1, 'anomaly-6', 'rule-0', 'low', 0, 6, 'key-2', 103, 6, 7, 'too much', '{\"count\":11}', x'ff0006');
INSERT INTO dead_letters VALUES
  (2, 'letter-4', 0, 1, 0, 4, 'process', 'invalid_json', '/a/b', 'why', x'c32804', 'request', 4, 7),
  (5, 'letter-6', 1, 1, 0, 6, 'collect', 'too_deep', '/a/b', 'why', '{}', 'request', 6, 7);
PRAGMA application_id = 0x4D6C5374;
PRAGMA user_version = 2;
";
