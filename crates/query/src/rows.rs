//! Rows as answers show them: the sender's JSON goes in as it came, byte for byte, never parsed and written again.

use api::time::to_rfc3339;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use event::headers;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use store::query::{AnomalyRow, EventRow};
use utoipa::ToSchema;

use crate::scope::tenant_of;

/// An event.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Event<'a> {
    /// Whose it is; absent for the default tenant.
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
    /// Its stream.
    stream: &'a str,
    /// Its partition.
    partition: u32,
    /// Its offset in the partition.
    offset: u64,
    /// The sender's id, or `<stream>-<partition>-<offset>` when it has none.
    event_id: String,
    /// Its key; null when it has none.
    key: Option<&'a str>,
    /// Its type; null when it has none.
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    /// Its event time, RFC 3339; the time of receipt when the sender gave none.
    time: String,
    /// When it was received, RFC 3339.
    received_at: String,
    /// The sender's JSON, byte for byte. Absent when it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    data: Option<&'a RawValue>,
    /// The sender's bytes in base64 when they are not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    /// What those bytes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
}

impl<'a> Event<'a> {
    pub(crate) fn new(row: &'a EventRow) -> Self {
        let given = headers::get(&row.headers, "content-type").map(String::from_utf8_lossy);
        let data =
            given.as_deref().is_none_or(|g| headers::is_json(g.as_bytes())).then(|| raw_json(&row.data)).flatten();
        let other = data.is_none();
        Self {
            tenant: tenant_of(row),
            stream: &row.stream,
            partition: row.partition,
            offset: row.offset,
            event_id: public_id(row),
            key: text(&row.key),
            kind: text(&row.kind),
            time: to_rfc3339(row.time),
            received_at: to_rfc3339(row.received_at),
            data,
            data_base64: other.then(|| BASE64_STANDARD.encode(&row.data)),
            content_type: other.then(|| given.map_or("application/octet-stream".to_owned(), |g| g.into_owned())),
        }
    }
}

/// An anomaly of any stream.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Anomaly<'a> {
    /// Whose it is; absent for the default tenant.
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    /// `<key>_<time in ms>_<rule>`, unique within its stream and tenant.
    id: &'a str,
    /// The rule that found it.
    rule: &'a str,
    /// `low`, `medium` or `high`.
    severity: &'static str,
    /// The stream of the event that raised it.
    stream: &'a str,
    /// Its partition.
    partition: u32,
    /// Its offset.
    offset: u64,
    /// Its key; null when it has none.
    key: Option<&'a str>,
    /// Its event time, RFC 3339.
    time: String,
    /// When the event was received, RFC 3339.
    received_at: String,
    /// When the anomaly was committed to the store, RFC 3339.
    stored_at: String,
    /// A sentence for people.
    description: &'a str,
    /// What the rule measured.
    #[schema(value_type = Object)]
    metadata: Option<&'a RawValue>,
    /// The event that raised it, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    data: Option<&'a RawValue>,
}

impl<'a> Anomaly<'a> {
    pub(crate) fn new(row: &'a AnomalyRow) -> Self {
        let found = &row.anomaly;
        Self {
            tenant: &found.tenant,
            id: &found.id,
            rule: &found.rule,
            severity: found.severity.as_str(),
            stream: &found.stream,
            partition: found.partition,
            offset: found.offset,
            key: text(&found.key),
            time: to_rfc3339(found.time),
            received_at: to_rfc3339(found.received_at),
            stored_at: to_rfc3339(row.stored_at),
            description: &found.description,
            metadata: raw_json(found.metadata.as_bytes()),
            data: raw_json(&found.event),
        }
    }

    /// The same without the event: where many look each second, it would be most of the bytes.
    pub(crate) fn without_data(self) -> Self {
        Self { data: None, ..self }
    }
}

/// A key as an id of a user: a number when it is a whole one, text otherwise.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = i64)]
pub(crate) struct UserId(pub(crate) String);

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<i64>() {
            // `007` and `+7` are other keys than 7.
            Ok(number) if number.to_string() == self.0 => to.serialize_i64(number),
            _ => to.serialize_str(&self.0),
        }
    }
}

/// Names with their counts as one JSON object, in the given order.
pub(crate) fn counts<S: Serializer>(counts: &[(String, u64)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(counts.len()))?;
    for (name, count) in counts {
        map.serialize_entry(name, count)?;
    }
    map.end()
}

/// The id that an event is known by outside.
pub(crate) fn public_id(row: &EventRow) -> String {
    if row.id.is_empty() { position_id(&row.stream, row.partition, row.offset) } else { row.id.clone() }
}

/// The id of a place in the log.
pub(crate) fn position_id(stream: &str, partition: u32, offset: u64) -> String {
    format!("{stream}-{partition}-{offset}")
}

/// Bytes as JSON that can stand inside other JSON; `None` when they are not JSON. Checked even though the doors check
/// too: one bad row must not spoil a whole answer.
pub(crate) fn raw_json(bytes: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}

fn text(value: &str) -> Option<&str> {
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(data: &[u8], content_type: Option<&str>) -> EventRow {
        let mut list = Vec::new();
        if let Some(value) = content_type {
            headers::put(&mut list, "content-type", value.as_bytes());
        }
        EventRow {
            stream: "s".to_owned(),
            partition: 1,
            offset: 2,
            time: 0,
            received_at: 0,
            stored_at: 0,
            key: String::new(),
            kind: String::new(),
            id: String::new(),
            data: data.to_vec(),
            headers: list,
        }
    }

    #[test]
    fn json_goes_in_unchanged_and_other_bytes_as_base64() {
        let table: [(&[u8], Option<&str>, &str); 6] = [
            (br#"{"n": 1.0e400, "u":"\u00e4"}"#, None, r#""data":{"n": 1.0e400, "u":"\u00e4"}}"#),
            (br"{}", Some("application/cloudevents+JSON; charset=utf-8"), r#""data":{}}"#),
            (br"{}", Some("text/plain"), r#""data_base64":"e30=","content_type":"text/plain"}"#),
            (b"\xff", None, r#""data_base64":"/w==","content_type":"application/octet-stream"}"#),
            (b"{} {}", None, r#""data_base64":"e30ge30=","content_type":"application/octet-stream"}"#),
            (b"{", Some("application/json"), r#""data_base64":"ew==","content_type":"application/json"}"#),
        ];
        for (data, content_type, tail) in table {
            let text = serde_json::to_string(&Event::new(&row(data, content_type))).unwrap();
            assert!(text.ends_with(tail), "{text}");
            assert!(text.contains(r#""event_id":"s-1-2","key":null,"type":null"#), "{text}");
        }
    }

    #[test]
    fn a_user_is_a_number_when_its_key_is_one() {
        let table =
            [("7", "7"), ("-7", "-7"), ("007", r#""007""#), ("+7", r#""+7""#), ("", r#""""#), ("u1", r#""u1""#)];
        for (key, json) in table {
            assert_eq!(serde_json::to_string(&UserId(key.to_owned())).unwrap(), json);
        }
    }
}
