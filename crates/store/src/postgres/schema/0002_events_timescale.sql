-- Event rows in one hypertable of TimescaleDB, in chunks of a day of receipt (UTC).
-- The wide columns come last. There is no primary key: positions move in the same transaction, so no row comes twice.

CREATE TABLE events (
  stream      text COLLATE "C" NOT NULL,
  tenant      text COLLATE "C" NOT NULL,
  partition   integer NOT NULL,
  "offset"    bigint NOT NULL,
  event_time  bigint NOT NULL,
  received_at bigint NOT NULL,
  stored_at   bigint NOT NULL,
  key         text COLLATE "C" NOT NULL,
  kind        text COLLATE "C" NOT NULL,
  id          text COLLATE "C" NOT NULL,
  headers     bytea,
  data        text COLLATE "C",
  data_raw    bytea
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);
SELECT create_hypertable('events', 'received_at', chunk_time_interval => 86400000::bigint,
  create_default_indexes => false);
-- What differs most comes first: the first comparison decides.
CREATE INDEX events_key ON events (key, stream, tenant, event_time);
CREATE INDEX events_kind ON events (kind, stream, tenant, event_time);
CREATE INDEX events_time ON events (stream, tenant, event_time);
CREATE INDEX events_id ON events USING hash (id) WHERE id <> '';
CREATE INDEX events_received ON events USING brin (received_at);

CREATE FUNCTION millstream_now() RETURNS bigint LANGUAGE sql STABLE AS
  $$ SELECT (extract(epoch FROM now()) * 1000)::bigint $$;
SELECT set_integer_now_func('events', 'millstream_now');

-- A chunk is compressed when it is a week old. A TimescaleDB of the Apache edition cannot, and keeps rows as they are.
DO $$ BEGIN
  ALTER TABLE events SET (timescaledb.compress, timescaledb.compress_segmentby = 'stream, tenant',
    timescaledb.compress_orderby = 'partition, "offset"');
  PERFORM add_compression_policy('events', compress_after => 604800000::bigint);
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE 'no compression: %', SQLERRM;
END $$;
