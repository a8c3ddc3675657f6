//! Questions to the store and their answers.

use event::{Anomaly, DeadLetter, Millis, Severity};

/// In which order of time rows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// A place between two event rows in the order (time, stream, partition, offset); a page starts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// The time of the last row seen.
    pub time: Millis,
    /// Its stream's name.
    pub stream: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
}

/// Where a page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this many rows.
    Skip(u64),
    /// After this row.
    After(After),
}

impl Default for Start {
    fn default() -> Self {
        Self::Skip(0)
    }
}

/// Which events. All filters must hold; an absent one holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Of this tenant, empty for the default one; of all tenants when absent.
    pub tenant: Option<String>,
    /// Of this stream.
    pub stream: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// With this type.
    pub kind: Option<String>,
    /// With this event id.
    pub id: Option<String>,
    /// At or after this event time.
    pub from: Option<Millis>,
    /// At or before this event time.
    pub to: Option<Millis>,
    /// Order of event time; ties by stream, partition, offset.
    pub order: Order,
    /// Where to start.
    pub start: Start,
    /// How many at the most, `1..=PAGE_ROWS_MAX`.
    pub limit: usize,
    /// Whether to count all rows that the filters let through.
    pub count: bool,
}

/// An event row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its stream's name.
    pub stream: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Its event time.
    pub time: Millis,
    /// When it was received.
    pub received_at: Millis,
    /// When it was committed to the store.
    pub stored_at: Millis,
    /// Its key; empty when there is none.
    pub key: String,
    /// Its type; empty when there is none.
    pub kind: String,
    /// Its id; empty when it is known by its position.
    pub id: String,
    /// The sender's bytes.
    pub data: Vec<u8>,
    /// Its headers, see `event::headers`.
    pub headers: Vec<u8>,
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The rows.
    pub rows: Vec<EventRow>,
    /// Whether there are more behind them.
    pub more: bool,
    /// How many rows the filters let through, when asked for.
    pub total: Option<u64>,
}

/// Which anomalies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnomalyQuery {
    /// Of this tenant, empty for the default one; of all tenants when absent.
    pub tenant: Option<String>,
    /// Of this stream.
    pub stream: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// At or after this event time.
    pub from: Option<Millis>,
    /// At or before this event time.
    pub to: Option<Millis>,
    /// Rows to skip, in the order newest first.
    pub skip: u64,
    /// How many at the most, `1..=PAGE_ROWS_MAX`.
    pub limit: usize,
}

/// An anomaly row.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyRow {
    /// A number that grows with every row.
    pub row: i64,
    /// When it was committed.
    pub stored_at: Millis,
    /// The anomaly.
    pub anomaly: Anomaly,
}

/// A page of anomalies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnomalyPage {
    /// The rows, newest event time first.
    pub rows: Vec<AnomalyRow>,
    /// How many the filters let through.
    pub total: u64,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Of this tenant, empty for the default one; of all tenants when absent.
    pub tenant: Option<String>,
    /// The one with this id.
    pub id: Option<String>,
    /// Meant for this stream.
    pub stream: Option<String>,
    /// With this code.
    pub code: Option<String>,
    /// Rows to skip, newest first.
    pub skip: u64,
    /// How many at the most, `1..=PAGE_ROWS_MAX`.
    pub limit: usize,
}

/// A page of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The rows, newest first.
    pub rows: Vec<DeadLetter>,
    /// How many the filters let through.
    pub total: u64,
}

/// Counts of one stream since a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Event rows.
    pub events: u64,
    /// Event rows by type, most first.
    pub events_by_kind: Vec<(String, u64)>,
    /// The ten keys with the most events.
    pub top_keys: Vec<(String, u64)>,
    /// Anomalies.
    pub anomalies: u64,
    /// Anomalies by rule, most first.
    pub anomalies_by_rule: Vec<(String, u64)>,
    /// Anomalies by severity, most first.
    pub anomalies_by_severity: Vec<(String, u64)>,
    /// The ten keys with the most anomalies.
    pub top_keys_by_anomalies: Vec<(String, u64)>,
    /// Dead letters meant for the stream.
    pub dead_letters: u64,
}
