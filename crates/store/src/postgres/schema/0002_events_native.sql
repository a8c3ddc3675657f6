-- Event rows in one table, divided by stream and then by the day of receipt (UTC): retention drops a stream's days.
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
) PARTITION BY LIST (stream);
-- The stream is the same in every row of a table. What differs most comes first: the first comparison decides.
CREATE INDEX events_key ON events (key, tenant, event_time);
CREATE INDEX events_kind ON events (kind, tenant, event_time);
CREATE INDEX events_time ON events (tenant, event_time);
CREATE INDEX events_id ON events USING hash (id) WHERE id <> '';
CREATE INDEX events_received ON events USING brin (received_at);

-- Large payloads are compressed; LZ4 does that several times as fast as what PostgreSQL takes by itself.
DO $$ BEGIN
  ALTER TABLE events ALTER COLUMN data SET COMPRESSION lz4, ALTER COLUMN data_raw SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
  RAISE NOTICE 'this server is built without lz4';
END $$;

-- Makes the table for the rows of a stream that are received on a day (a number of days since 1970), if there is none.
-- A table is made apart and attached: that waits for nobody who reads or writes other tables of `events`.
CREATE FUNCTION millstream_leaf(of_stream text, of_day bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  home oid;
  -- No stream has a `$` in its name. Names are cut at 63 bytes, so a long one ends in its hash.
  branch text := 'events$' || CASE WHEN length(of_stream) <= 40 THEN of_stream
    ELSE left(of_stream, 31) || '_' || left(md5(of_stream), 8) END;
  leaf text := branch || '$' || CASE WHEN of_day BETWEEN 0 AND 2932896
    THEN to_char(date '1970-01-01' + of_day::int, 'YYYYMMDD') ELSE replace('d' || of_day, '-', 'm') END;
  day_ms constant bigint := 86400000;
  first text := CASE WHEN of_day >= -9223372036854775808 / day_ms THEN (of_day * day_ms)::text ELSE 'MINVALUE' END;
  behind text := CASE WHEN of_day < 9223372036854775807 / day_ms THEN ((of_day + 1) * day_ms)::text ELSE 'MAXVALUE' END;
BEGIN
  SELECT relnamespace INTO home FROM pg_class WHERE oid = 'events'::regclass;
  IF EXISTS (SELECT FROM pg_class WHERE relnamespace = home AND relname = leaf) THEN
    RETURN;
  END IF;
  -- One at a time, whoever else makes tables. What they made is seen by a query, and not by to_regclass, which remembers
  -- that there was none.
  PERFORM pg_advisory_xact_lock(5577145923514172277);
  IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = home AND relname = branch) THEN
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING COMPRESSION INCLUDING STORAGE)
      PARTITION BY RANGE (received_at)', branch);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES IN (%L)', branch, of_stream);
  END IF;
  IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = home AND relname = leaf) THEN
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING COMPRESSION INCLUDING STORAGE)
      WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05)', leaf);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', branch, leaf, first, behind);
  END IF;
END $$;
