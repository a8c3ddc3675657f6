-- Everything but the event rows, and but the views. What each column means is told in docs/store-postgres.md.
-- Text is COLLATE "C": it is compared byte for byte, and its indexes are in that order.

CREATE TABLE owners (
  stream text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  PRIMARY KEY (stream, tenant)
);

CREATE TABLE positions (
  consumer  text COLLATE "C" NOT NULL,
  stream    text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  next      bigint,
  owner     bigint NOT NULL,
  PRIMARY KEY (consumer, stream, partition)
) WITH (fillfactor = 50);

CREATE TABLE snapshots (
  stream    text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  "offset"  bigint NOT NULL,
  state     bytea NOT NULL,
  PRIMARY KEY (stream, partition)
);
-- It changes with nearly every commit and is compact already: compressing it would only take time.
ALTER TABLE snapshots ALTER COLUMN state SET STORAGE EXTERNAL;

CREATE TABLE anomaly (
  n           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream      text COLLATE "C" NOT NULL,
  tenant      text COLLATE "C" NOT NULL,
  id          text COLLATE "C" NOT NULL,
  rule        text COLLATE "C" NOT NULL,
  severity    text COLLATE "C" NOT NULL,
  partition   integer NOT NULL,
  "offset"    bigint NOT NULL,
  key         text COLLATE "C" NOT NULL,
  event_time  bigint NOT NULL,
  received_at bigint NOT NULL,
  stored_at   bigint NOT NULL,
  description text COLLATE "C" NOT NULL,
  metadata    text COLLATE "C" NOT NULL,
  data        text COLLATE "C",
  data_raw    bytea
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX anomaly_identity ON anomaly (stream, tenant, id);
CREATE INDEX anomaly_time ON anomaly (event_time);
CREATE INDEX anomaly_tenant ON anomaly (tenant, event_time);
CREATE INDEX anomaly_key ON anomaly (tenant, key, event_time);
CREATE INDEX anomaly_rule ON anomaly (tenant, rule, event_time);
CREATE INDEX anomaly_received ON anomaly (stream, tenant, received_at);

CREATE TABLE dead_letter (
  n              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id             text COLLATE "C" NOT NULL,
  tenant         text COLLATE "C" NOT NULL,
  stream         text COLLATE "C" NOT NULL,
  home           text COLLATE "C" NOT NULL,
  partition      integer NOT NULL,
  "offset"       bigint NOT NULL,
  stage          text COLLATE "C" NOT NULL,
  code           text COLLATE "C" NOT NULL,
  pointer        text COLLATE "C" NOT NULL,
  message        text COLLATE "C" NOT NULL,
  key            text COLLATE "C" NOT NULL,
  request_id     text COLLATE "C" NOT NULL,
  correlation_id text COLLATE "C" NOT NULL,
  received_at    bigint NOT NULL,
  stored_at      bigint NOT NULL,
  first_failed   bigint NOT NULL,
  last_failed    bigint NOT NULL,
  attempts       bigint NOT NULL,
  classification text COLLATE "C" NOT NULL,
  status         text COLLATE "C" NOT NULL,
  changed        bigint NOT NULL,
  retry_at       bigint,
  headers        bytea,
  data           text COLLATE "C",
  data_raw       bytea,
  edited         text COLLATE "C",
  edited_raw     bytea
);
CREATE UNIQUE INDEX dead_letter_identity ON dead_letter (id, tenant);
CREATE INDEX dead_letter_tenant ON dead_letter (tenant, n);
CREATE INDEX dead_letter_code ON dead_letter (tenant, code);
CREATE INDEX dead_letter_stage ON dead_letter (tenant, stage);
CREATE INDEX dead_letter_status ON dead_letter (tenant, status);
CREATE INDEX dead_letter_failed ON dead_letter (tenant, last_failed);
CREATE INDEX dead_letter_due ON dead_letter (tenant, retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX dead_letter_stream ON dead_letter (stream, tenant, received_at);

CREATE TABLE windows (
  n          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant     text COLLATE "C" NOT NULL,
  stream     text COLLATE "C" NOT NULL,
  name       text COLLATE "C" NOT NULL,
  size       bigint NOT NULL,
  start_at   bigint NOT NULL,
  end_at     bigint NOT NULL,
  key        text COLLATE "C" NOT NULL,
  definition bigint NOT NULL,
  events     bigint NOT NULL,
  revision   bigint NOT NULL,
  created    bigint NOT NULL,
  updated    bigint NOT NULL,
  result     json NOT NULL,
  measures   bytea NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX windows_identity ON windows (tenant, stream, name, size, start_at DESC, key);
CREATE INDEX windows_key ON windows (tenant, key, start_at DESC);

CREATE TABLE late_events (
  n         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant    text COLLATE "C" NOT NULL,
  stream    text COLLATE "C" NOT NULL,
  name      text COLLATE "C" NOT NULL,
  size      bigint NOT NULL,
  start_at  bigint NOT NULL,
  end_at    bigint NOT NULL,
  key       text COLLATE "C" NOT NULL,
  events    bigint NOT NULL,
  lateness  bigint NOT NULL,
  corrected boolean NOT NULL,
  created   bigint NOT NULL,
  updated   bigint NOT NULL
);
CREATE UNIQUE INDEX late_events_identity ON late_events (tenant, stream, name, size, start_at DESC, key);

-- Not ALWAYS: an entry of a window that is put in anew takes the next number.
CREATE TABLE outbox (
  n        bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  tenant   text COLLATE "C" NOT NULL,
  stream   text COLLATE "C" NOT NULL,
  target   text COLLATE "C" NOT NULL,
  id       text COLLATE "C",
  anomaly  text COLLATE "C",
  window_n bigint,
  status   text COLLATE "C" NOT NULL,
  attempts bigint NOT NULL,
  error    text COLLATE "C" NOT NULL,
  created  bigint NOT NULL,
  next_at  bigint NOT NULL,
  done_at  bigint,
  body     text COLLATE "C"
);
CREATE INDEX outbox_due ON outbox (target, (window_n IS NULL), next_at, n) WHERE status = 'pending';
CREATE INDEX outbox_done ON outbox (stream, done_at) WHERE done_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_window ON outbox (window_n, target) WHERE window_n IS NOT NULL;
CREATE UNIQUE INDEX outbox_alert ON outbox (tenant, stream, target, id) WHERE window_n IS NULL;
CREATE INDEX outbox_tenant ON outbox (tenant, n) WHERE window_n IS NULL;
CREATE INDEX outbox_target ON outbox (tenant, target) WHERE window_n IS NULL;
CREATE INDEX outbox_status ON outbox (tenant, status) WHERE window_n IS NULL;
