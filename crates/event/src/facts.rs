//! What rules find, and why doors refuse.

use crate::Millis;

/// How bad an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
}

impl Severity {
    /// All, mildest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Its name in configuration, tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The severity of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// A rule's finding. Deterministic: the same log gives the same anomalies, ids included.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// `<key>_<time>_<rule>`, unique within its stream and tenant: a second one of this id is the same anomaly.
    pub id: String,
    /// The rule's name.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// The stream's name.
    pub stream: String,
    /// The record that raised it.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// The key of the record, as text.
    pub key: String,
    /// The event time of the record.
    pub time: Millis,
    /// When the record was appended to the log.
    pub received_at: Millis,
    /// A sentence for people.
    pub description: String,
    /// A JSON object with what the rule measured.
    pub metadata: String,
    /// The sender's bytes of the record that raised it.
    pub event: Vec<u8>,
}

/// Why a door refuses one event: a closed set, fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// Not JSON (or not UTF-8).
    InvalidJson,
    /// JSON, but not an object.
    NotAnObject,
    /// A required field is absent or null.
    MissingField,
    /// A field has another type than the stream asks for.
    WrongType,
    /// A field has a value that the stream does not know.
    InvalidValue,
    /// A field that the stream reads stands there twice.
    DuplicateField,
    /// The time cannot be read in the stream's unit.
    InvalidTime,
    /// The time is further ahead of the clock than the stream allows.
    TimeInFuture,
    /// The event is over [`crate::limits::EVENT_BYTES_MAX`], or its key, type or id over [`crate::limits::KEY_BYTES_MAX`].
    TooLarge,
    /// Nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    TooDeep,
    /// The event names another tenant than the key.
    WrongTenant,
}

impl RefusalCode {
    /// Its name in answers, dead letters and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::InvalidValue => "invalid_value",
            Self::DuplicateField => "duplicate_field",
            Self::InvalidTime => "invalid_time",
            Self::TimeInFuture => "time_in_future",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::WrongTenant => "wrong_tenant",
        }
    }
}
