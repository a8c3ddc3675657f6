//! A signal and an anomaly as the read API of the stream `signals` shows them.

use api::time::to_rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::query::{AnomalyRow, EventRow};
use utoipa::ToSchema;

use crate::rows::{UserId, public_id, raw_json};

/// A signal.
#[derive(Serialize, ToSchema)]
pub(super) struct Signal<'a> {
    /// Its event id, or its place in the log when it has none.
    id: String,
    user_id: UserId,
    /// `login`, `purchase`, `click`, `api_call` or `file_access`.
    #[serde(rename = "type")]
    kind: &'a str,
    /// When it happened, milliseconds since the epoch.
    timestamp: i64,
    /// The sender's payload, byte for byte.
    #[schema(value_type = Object)]
    payload: Option<&'a RawValue>,
    /// When it was committed to the store, RFC 3339.
    processed_at: String,
    /// When it was received, RFC 3339.
    created_at: String,
}

/// The one field of a signal that its row does not carry by itself.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl<'a> Signal<'a> {
    pub(super) fn new(row: &'a EventRow) -> Self {
        Self {
            id: public_id(row),
            user_id: UserId(row.key.clone()),
            kind: &row.kind,
            timestamp: row.time,
            payload: serde_json::from_slice(&row.data).ok().and_then(|body: Body<'a>| body.payload),
            processed_at: to_rfc3339(row.stored_at),
            created_at: to_rfc3339(row.received_at),
        }
    }
}

/// An anomaly of the stream `signals`.
#[derive(Serialize, ToSchema)]
pub(super) struct SignalAnomaly<'a> {
    /// `<user>_<timestamp>_<type>`.
    id: &'a str,
    user_id: UserId,
    /// The rule that found it.
    anomaly_type: &'a str,
    /// `low`, `medium` or `high`.
    severity: &'static str,
    /// A sentence for people.
    description: &'a str,
    /// The signal that raised it, byte for byte.
    #[schema(value_type = Object)]
    original_signal_data: Option<&'a RawValue>,
    /// The signal's timestamp, milliseconds since the epoch.
    detection_timestamp: i64,
    /// What the rule measured.
    #[schema(value_type = Object)]
    metadata: Option<&'a RawValue>,
    /// When it was committed to the store, RFC 3339.
    created_at: String,
}

impl<'a> SignalAnomaly<'a> {
    pub(super) fn new(row: &'a AnomalyRow) -> Self {
        let found = &row.anomaly;
        Self {
            id: &found.id,
            user_id: UserId(found.key.clone()),
            anomaly_type: &found.rule,
            severity: found.severity.as_str(),
            description: &found.description,
            original_signal_data: raw_json(&found.event),
            detection_timestamp: found.time,
            metadata: raw_json(found.metadata.as_bytes()),
            created_at: to_rfc3339(row.stored_at),
        }
    }
}
