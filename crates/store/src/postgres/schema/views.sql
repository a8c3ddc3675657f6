-- Views and functions for people with a SQL shell, and for tools that know the tables `signals` and `anomalies`. Applied as a
-- whole whenever this file changes, on a stock PostgreSQL and on TimescaleDB alike. What each gives is told in docs/store.md.

DROP VIEW IF EXISTS signals, anomalies, recent_signal_stats, recent_anomaly_stats, user_activity_summary, processing_stats,
  failed_events, system_info;
DROP FUNCTION IF EXISTS get_user_risk_score(integer);
DROP FUNCTION IF EXISTS get_user_risk_score(text, text);
DROP FUNCTION IF EXISTS cleanup_old_data(integer);

-- Batches by minute and by the first partition that each moved.
CREATE TABLE IF NOT EXISTS batch_stats (
  minute    bigint NOT NULL,
  stream    text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  batches   bigint NOT NULL,
  rows      bigint NOT NULL,
  took_ms   double precision NOT NULL,
  PRIMARY KEY (minute, stream, partition)
) WITH (fillfactor = 70);

-- How many event rows each hour of receipt has (hours since 1970), and between which event times. A tenant or type of
-- chr(1) stands for many.
CREATE TABLE IF NOT EXISTS event_counts (
  stream     text COLLATE "C" NOT NULL,
  hour       bigint NOT NULL,
  partition  integer NOT NULL,
  tenant     text COLLATE "C" NOT NULL,
  kind       text COLLATE "C" NOT NULL,
  rows       bigint NOT NULL,
  first_time bigint NOT NULL,
  last_time  bigint NOT NULL,
  PRIMARY KEY (stream, hour, partition, tenant, kind)
) WITH (fillfactor = 50);

-- A time in milliseconds as a timestamp; NULL where there is no such timestamp.
CREATE OR REPLACE FUNCTION millstream_time(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN ms BETWEEN -62135596800000 AND 253402300799999 THEN to_timestamp(ms / 1000.0) END
$$;

-- So many milliseconds ago.
CREATE OR REPLACE FUNCTION millstream_ago(ms bigint) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT (extract(epoch FROM now()) * 1000)::bigint - ms
$$;

-- A key as the number of a user; NULL when it is none.
CREATE OR REPLACE FUNCTION millstream_user(key text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN key ~ '^-?[0-9]{1,18}$' THEN key::bigint END
$$;

-- A text as JSON; NULL when it is none that jsonb can hold, so that one row never fails a question about all.
CREATE OR REPLACE FUNCTION millstream_json(data text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE AS $$
BEGIN
  RETURN data::jsonb;
EXCEPTION WHEN others THEN
  RETURN NULL;
END $$;

CREATE VIEW signals AS
SELECT e.partition::bigint << 48 | e."offset" AS id, millstream_user(e.key) AS user_id, e.kind AS type,
  e.event_time AS timestamp, coalesce(j.data -> 'payload', j.data) AS payload, millstream_time(e.stored_at) AS processed_at,
  millstream_time(e.received_at) AS created_at, e.tenant, e.key, e.id AS event_id
FROM events AS e CROSS JOIN LATERAL (SELECT millstream_json(e.data) AS data) AS j
WHERE e.stream = 'signals';

CREATE VIEW anomalies AS
SELECT a.n AS id, millstream_user(a.key) AS user_id, a.rule AS anomaly_type, a.severity, a.description,
  millstream_json(a.data) AS original_signal_data, a.event_time AS detection_timestamp,
  millstream_time(a.stored_at) AS created_at, a.tenant, a.stream, a.key, a.id AS anomaly_id,
  millstream_json(a.metadata) AS metadata
FROM anomaly AS a;

-- Of the last hour. The delay is from when a signal happened to when it was stored.
CREATE VIEW recent_signal_stats AS
SELECT kind AS type, count(*) AS signal_count, count(DISTINCT (tenant, key)) AS unique_users,
  avg((stored_at - event_time) / 1000.0) AS avg_processing_delay_seconds
FROM events WHERE stream = 'signals' AND received_at >= millstream_ago(3600000)
GROUP BY kind ORDER BY signal_count DESC, kind;

CREATE VIEW recent_anomaly_stats AS
SELECT rule AS anomaly_type, severity, count(*) AS anomaly_count, count(DISTINCT (tenant, key)) AS affected_users
FROM anomaly WHERE stored_at >= millstream_ago(3600000)
GROUP BY rule, severity ORDER BY anomaly_count DESC, rule, severity;

-- Of the last day. Both sides are counted before they are joined: none multiplies the other.
CREATE VIEW user_activity_summary AS
SELECT millstream_user(key) AS user_id, coalesce(s.total_signals, 0) AS total_signals,
  coalesce(s.signal_types, 0) AS signal_types, coalesce(a.total_anomalies, 0) AS total_anomalies,
  s.last_signal_timestamp, a.last_anomaly_timestamp, tenant, key
FROM (
  SELECT tenant, key, count(*) AS total_signals, count(DISTINCT kind) AS signal_types,
    max(event_time) AS last_signal_timestamp
  FROM events WHERE stream = 'signals' AND received_at >= millstream_ago(86400000) GROUP BY tenant, key
) AS s FULL JOIN (
  SELECT tenant, key, count(*) AS total_anomalies, max(event_time) AS last_anomaly_timestamp
  FROM anomaly WHERE stream = 'signals' AND received_at >= millstream_ago(86400000) GROUP BY tenant, key
) AS a USING (tenant, key);

CREATE VIEW processing_stats AS
SELECT row_number() OVER (ORDER BY minute, stream, partition) AS id, round(rows::numeric / batches) AS batch_size,
  took_ms / batches AS processing_time_ms, rows AS events_count, millstream_time(minute * 60000) AS created_at, stream,
  partition, batches
FROM batch_stats;

CREATE VIEW failed_events AS
SELECT n AS id, millstream_json(data) AS original_message, code || ': ' || message AS error_reason,
  millstream_time(last_failed) AS failed_at, attempts - 1 AS retry_count, tenant, stream, id AS dlq_id, stage, status,
  classification
FROM dead_letter;

CREATE VIEW system_info AS
SELECT 'schema_version'::varchar(100) AS key, '1.0.' || max(version) AS value, max(applied_at) AS updated_at
FROM millstream_versions
UNION ALL
SELECT name::varchar(100), value, NULL FROM millstream_settings WHERE name <> 'views';

-- How much a user stands out, from 1 to 5, and 0 without an anomaly: (3 high + 2 medium + 1 low + 2 of the last day) / all.
-- By the user's key; of one tenant, or of all when none is named.
CREATE FUNCTION get_user_risk_score(of_key text, of_tenant text DEFAULT NULL)
RETURNS TABLE (user_id text, total_anomalies bigint, high_severity_anomalies bigint, recent_anomalies bigint,
  risk_score numeric) LANGUAGE sql STABLE AS $$
  SELECT of_key, total, high, recent,
    CASE WHEN total = 0 THEN 0 ELSE round((weight + 2 * recent)::numeric / total, 2) END
  FROM (
    SELECT count(*) AS total, count(*) FILTER (WHERE severity = 'high') AS high,
      count(*) FILTER (WHERE event_time >= millstream_ago(86400000)) AS recent,
      coalesce(sum(CASE severity WHEN 'high' THEN 3 WHEN 'medium' THEN 2 ELSE 1 END), 0) AS weight
    FROM anomaly WHERE key = of_key AND (of_tenant IS NULL OR tenant = of_tenant)
      AND tenant IN (SELECT DISTINCT tenant FROM anomaly)
  ) AS counted
$$;

CREATE FUNCTION get_user_risk_score(of_user integer)
RETURNS TABLE (user_id integer, total_anomalies bigint, high_severity_anomalies bigint, recent_anomalies bigint,
  risk_score numeric) LANGUAGE sql STABLE AS $$
  SELECT of_user, s.total_anomalies, s.high_severity_anomalies, s.recent_anomalies, s.risk_score
  FROM get_user_risk_score(of_user::text, NULL) AS s
$$;

-- Deletes what is older than so many days, of all streams and tenants, and says how much. For those who run no retention;
-- the program's own, which drops whole days, costs less.
CREATE FUNCTION cleanup_old_data(days integer DEFAULT 30)
RETURNS TABLE (signals_deleted bigint, anomalies_deleted bigint, processing_stats_deleted bigint,
  failed_events_deleted bigint) LANGUAGE plpgsql AS $$
DECLARE
  before bigint;
  cut    bigint;
BEGIN
  IF days IS NULL OR days < 0 THEN
    RAISE EXCEPTION 'days must be 0 or more, got %', coalesce(days::text, 'NULL') USING ERRCODE = '22023';
  END IF;
  before := millstream_ago(days::bigint * 86400000);
  cut := before / 3600000;
  -- Who commits meanwhile waits here with its counts, so that those of the hour that is cut through come out right.
  LOCK TABLE event_counts IN SHARE ROW EXCLUSIVE MODE;
  DELETE FROM events WHERE received_at < before;
  GET DIAGNOSTICS signals_deleted = ROW_COUNT;
  DELETE FROM event_counts WHERE hour <= cut;
  INSERT INTO event_counts
    SELECT stream, cut, partition, tenant, kind, count(*), min(event_time), max(event_time) FROM events
    WHERE received_at >= before AND received_at < (cut + 1) * 3600000 GROUP BY stream, partition, tenant, kind;
  DELETE FROM anomaly WHERE received_at < before;
  GET DIAGNOSTICS anomalies_deleted = ROW_COUNT;
  DELETE FROM batch_stats WHERE minute < before / 60000;
  GET DIAGNOSTICS processing_stats_deleted = ROW_COUNT;
  DELETE FROM dead_letter WHERE last_failed < before AND status <> 'replaying';
  GET DIAGNOSTICS failed_events_deleted = ROW_COUNT;
  RETURN NEXT;
END $$;

-- Whether a text has this SHA-256, written as hexadecimal digits.
CREATE OR REPLACE FUNCTION validate_checksum(data text, expected text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT encode(sha256(convert_to(data, 'UTF8')), 'hex') = lower(expected)
$$;

-- What the database looks like from inside, one figure a row.
CREATE OR REPLACE FUNCTION get_database_performance_metrics()
RETURNS TABLE (metric text, value numeric, unit text) LANGUAGE sql STABLE AS $$
  SELECT 'database_size', pg_database_size(current_database())::numeric, 'bytes'
  UNION ALL
  SELECT 'connections_' || coalesce(state, 'other'), count(*)::numeric, 'connections' FROM pg_stat_activity
    WHERE datname = current_database() GROUP BY state
  UNION ALL
  SELECT 'cache_hit_ratio', round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 2), 'percent' FROM pg_stat_database
    WHERE datname = current_database()
$$;

-- Which of the figures are beyond what is healthy: size over 50 GB, over 80 active connections (95: critical), over 20 idle
-- ones, over 100 in all, less than 95 % found in memory.
CREATE OR REPLACE FUNCTION check_performance_thresholds()
RETURNS TABLE (metric text, value numeric, threshold numeric, severity text) LANGUAGE sql STABLE AS $$
  WITH m AS (
    SELECT * FROM get_database_performance_metrics()
    UNION ALL
    SELECT 'connections_total', count(*)::numeric, 'connections' FROM pg_stat_activity WHERE datname = current_database()
  )
  SELECT DISTINCT ON (m.metric) m.metric, m.value, t.threshold, t.severity
  FROM m JOIN (VALUES
    ('database_size', 50e9, 'WARNING', 1), ('connections_active', 80, 'WARNING', 1),
    ('connections_active', 95, 'CRITICAL', 0), ('connections_idle', 20, 'INFO', 1), ('connections_total', 100, 'CRITICAL', 0)
  ) AS t (metric, threshold, severity, place) ON t.metric = m.metric AND m.value > t.threshold
  UNION ALL
  SELECT m.metric, m.value, 95, 'WARNING' FROM m WHERE m.metric = 'cache_hit_ratio' AND m.value < 95
$$;
