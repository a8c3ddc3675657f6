//! Which table goes where, and what its columns are.

/// What a column is, on both sides. A payload is two columns in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Small,
    Flag,
    Text,
    Json,
    Bytes,
    Payload,
}

/// A table: its name and that of its columns in PostgreSQL, and what gives its rows in SQLite.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    pub(super) from: &'static str,
    /// The table in SQLite whose numbers go on behind the last one.
    pub(super) numbers: Option<&'static str>,
}

use Kind::{Bytes, Flag, Json, Number, Payload, Small, Text};

/// The columns of an event row, as [`chunk`] gives them. The first is the stream.
pub(super) const EVENTS: &[(&str, Kind)] = &[
    ("stream", Text),
    ("tenant", Text),
    ("partition", Small),
    ("\"offset\"", Number),
    ("event_time", Number),
    ("received_at", Number),
    ("stored_at", Number),
    ("key", Text),
    ("kind", Text),
    ("id", Text),
    ("headers", Bytes),
    ("data", Payload),
];

/// What gives the rows of a chunk.
pub(super) fn chunk(n: i64, tenants: bool) -> String {
    let tenant = if tenants { "(SELECT name FROM tenants WHERE tenants.id = tenant)" } else { "''" };
    format!(
        "SELECT ?1, {tenant}, part, off, time, received, stored, key, type, id, headers, data FROM events_{n} ORDER BY rowid"
    )
}

/// All other tables, each with its stream's name.
pub(super) const TABLES: [Table; 7] = [
    Table {
        name: "positions",
        columns: &[("stream", Text), ("consumer", Text), ("partition", Small), ("next", Number), ("owner", Number)],
        from: "SELECT name, consumer, part, next, 0 FROM positions JOIN streams ON streams.id = stream",
        numbers: None,
    },
    Table {
        name: "snapshots",
        columns: &[("stream", Text), ("partition", Small), ("\"offset\"", Number), ("state", Bytes)],
        from: "SELECT name, part, off, state FROM snapshots JOIN streams ON streams.id = stream",
        numbers: None,
    },
    Table {
        name: "anomaly",
        columns: &[
            ("stream", Text),
            ("tenant", Text),
            ("n", Number),
            ("id", Text),
            ("rule", Text),
            ("severity", Text),
            ("partition", Small),
            ("\"offset\"", Number),
            ("key", Text),
            ("event_time", Number),
            ("received_at", Number),
            ("stored_at", Number),
            ("description", Text),
            ("metadata", Text),
            ("data", Payload),
        ],
        from: "SELECT s.name, t.name, n, a.id, rule, severity, part, off, key, time, received, stored, description, metadata,
            event FROM anomalies AS a JOIN streams AS s ON s.id = stream JOIN tenants AS t ON t.id = tenant ORDER BY n",
        numbers: Some("anomalies"),
    },
    Table {
        name: "dead_letter",
        columns: &[
            ("stream", Text),
            ("tenant", Text),
            ("home", Text),
            ("n", Number),
            ("id", Text),
            ("partition", Small),
            ("\"offset\"", Number),
            ("stage", Text),
            ("code", Text),
            ("pointer", Text),
            ("message", Text),
            ("key", Text),
            ("request_id", Text),
            ("correlation_id", Text),
            ("received_at", Number),
            ("stored_at", Number),
            ("first_failed", Number),
            ("last_failed", Number),
            ("attempts", Number),
            ("classification", Text),
            ("status", Text),
            ("changed", Number),
            ("retry_at", Number),
            ("headers", Bytes),
            ("data", Payload),
            ("edited", Payload),
        ],
        from: "SELECT s.name, t.name, h.name, n, d.id, part, off, stage, code, pointer, message, key, request_id,
            correlation_id, received, stored, first_failed, last_failed, attempts, classification, status, changed, retry_at,
            headers, data, edited FROM dead_letters AS d JOIN streams AS s ON s.id = stream
            JOIN streams AS h ON h.id = home JOIN tenants AS t ON t.id = tenant ORDER BY n",
        numbers: Some("dead_letters"),
    },
    Table {
        name: "windows",
        columns: &[
            ("stream", Text),
            ("tenant", Text),
            ("n", Number),
            ("name", Text),
            ("size", Number),
            ("start_at", Number),
            ("end_at", Number),
            ("key", Text),
            ("definition", Number),
            ("events", Number),
            ("revision", Number),
            ("created", Number),
            ("updated", Number),
            ("result", Json),
            ("measures", Bytes),
        ],
        from: "SELECT s.name, t.name, n, w.window, size, start, end, key, definition, events, revision, created, updated,
            result, measures FROM windows AS w JOIN streams AS s ON s.id = stream JOIN tenants AS t ON t.id = tenant
            ORDER BY n",
        numbers: Some("windows"),
    },
    Table {
        name: "late_events",
        columns: &[
            ("stream", Text),
            ("tenant", Text),
            ("n", Number),
            ("name", Text),
            ("size", Number),
            ("start_at", Number),
            ("end_at", Number),
            ("key", Text),
            ("events", Number),
            ("lateness", Number),
            ("corrected", Flag),
            ("created", Number),
            ("updated", Number),
        ],
        from: "SELECT s.name, t.name, n, l.window, size, start, end, key, events, lateness, corrected, created, updated
            FROM late_events AS l JOIN streams AS s ON s.id = stream JOIN tenants AS t ON t.id = tenant ORDER BY n",
        numbers: Some("late_events"),
    },
    Table {
        name: "outbox",
        columns: &[
            ("stream", Text),
            ("tenant", Text),
            ("n", Number),
            ("target", Text),
            ("id", Text),
            ("anomaly", Text),
            ("window_n", Number),
            ("status", Text),
            ("attempts", Number),
            ("error", Text),
            ("created", Number),
            ("next_at", Number),
            ("done_at", Number),
            ("body", Text),
        ],
        from: "SELECT s.name, t.name, n, target, o.id, anomaly, o.window, status, attempts, error, created, next_at, done_at,
            body FROM outbox AS o JOIN streams AS s ON s.id = stream JOIN tenants AS t ON t.id = tenant ORDER BY n",
        numbers: Some("outbox"),
    },
];
