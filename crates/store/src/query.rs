//! Questions to the store and their answers.

use event::measure::Measure;
use event::{Anomaly, DeadLetter, DeliveryStatus, LetterStatus, Millis, Severity, Stage, WindowId};

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
    /// Refused there.
    pub stage: Option<Stage>,
    /// What became of it.
    pub status: Option<LetterStatus>,
    /// Failed for the last time at or after this.
    pub from: Option<Millis>,
    /// Failed for the last time at or before this.
    pub to: Option<Millis>,
    /// Due for another try by itself at or before this.
    pub due: Option<Millis>,
    /// That failed more often than this.
    pub attempts_over: Option<u32>,
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

/// Which windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowQuery {
    /// Of this tenant, empty for the default one; of all tenants when absent.
    pub tenant: Option<String>,
    /// Of this stream.
    pub stream: Option<String>,
    /// Of this definition.
    pub window: Option<String>,
    /// Of this length in milliseconds; 0 for sessions.
    pub size_ms: Option<Millis>,
    /// Of this group, as [`WindowId::key`].
    pub key: Option<String>,
    /// Beginning at or after this.
    pub from: Option<Millis>,
    /// Beginning at or before this.
    pub to: Option<Millis>,
    /// After this row, in the order newest start first, then definition, length, group, stream, tenant.
    pub after: Option<WindowId>,
    /// How many at the most, `1..=PAGE_ROWS_MAX`.
    pub limit: usize,
}

/// A window's result.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Which window.
    pub id: WindowId,
    /// Where it ends, exclusive.
    pub end: Millis,
    /// What is measured and how, as a number.
    pub definition: u64,
    /// The measures by name, in the order of the definition.
    pub measures: Vec<(String, Measure)>,
    /// Events in it.
    pub events: u64,
    /// How many pieces it was made of so far, replaced ones included: grows with every change.
    pub revision: u64,
    /// Events that came after it was closed, whether they are in it or not.
    pub late: u64,
    /// When it was first stored.
    pub created_at: Millis,
    /// When it changed last.
    pub updated_at: Millis,
}

/// A page of windows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowPage {
    /// The rows.
    pub rows: Vec<WindowRow>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// Which alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertQuery {
    /// Of this tenant, empty for the default one; of all tenants when absent.
    pub tenant: Option<String>,
    /// To this target.
    pub target: Option<String>,
    /// How far they have come.
    pub status: Option<DeliveryStatus>,
    /// Stored before the one with this row number: a page goes on there, whatever was stored meanwhile.
    pub before: Option<i64>,
    /// Rows to skip, newest first.
    pub skip: u64,
    /// How many at the most, `1..=PAGE_ROWS_MAX`.
    pub limit: usize,
}

/// An alert row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// A number that grows with every row.
    pub row: i64,
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// The target's name.
    pub target: String,
    /// What makes it unique.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// The anomaly it tells of.
    pub anomaly: String,
    /// The body, as JSON.
    pub body: String,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Tries so far.
    pub attempts: u32,
    /// Why the last try failed; empty when it did not.
    pub error: String,
    /// When it was stored.
    pub created_at: Millis,
    /// When it is tried next, while it is pending.
    pub next_at: Millis,
    /// When it was delivered or given up.
    pub done_at: Option<Millis>,
}

/// A page of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertPage {
    /// The rows, newest first.
    pub rows: Vec<AlertRow>,
    /// How many the filters let through.
    pub total: u64,
}

/// Something to be told to others.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The number of its row, for [`event::DeliveryChange`].
    pub row: i64,
    /// Tries so far.
    pub attempts: u32,
    /// What.
    pub what: Parcel,
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Parcel {
    /// A notification.
    Alert(AlertRow),
    /// A window's result as it is now, to a stream.
    Window {
        /// The stream.
        to: String,
        /// The result.
        row: WindowRow,
    },
}
