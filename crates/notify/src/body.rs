//! What others read: bodies of notifications, and results of windows as events.

use event::{Anomaly, Millis};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use store::query::WindowRow;

/// Bytes of an event that a notification carries; of a longer one it tells the place alone. Receivers expect some
/// kilobytes, and the outbox holds a body for each target.
const EVENT_BYTES_MAX: usize = 16 << 10;

/// A notification in the shape that Standard Webhooks recommends.
#[derive(Serialize)]
struct Notification<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

/// An anomaly as `/v1/anomalies` shows it, but for `stored_at`, which nobody knows yet.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    id: &'a str,
    rule: &'a str,
    severity: &'static str,
    stream: &'a str,
    partition: u32,
    offset: u64,
    key: Option<&'a str>,
    time: String,
    received_at: String,
    description: &'a str,
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// The body of a notification, as JSON. It depends on the anomaly alone, not on when it is made.
pub(crate) fn of_anomaly(anomaly: &Anomaly) -> String {
    let data = Data {
        tenant: &anomaly.tenant,
        id: &anomaly.id,
        rule: &anomaly.rule,
        severity: anomaly.severity.as_str(),
        stream: &anomaly.stream,
        partition: anomaly.partition,
        offset: anomaly.offset,
        key: (!anomaly.key.is_empty()).then_some(&anomaly.key),
        time: time(anomaly.time),
        received_at: time(anomaly.received_at),
        description: &anomaly.description,
        metadata: raw(anomaly.metadata.as_bytes()),
        data: Some(&*anomaly.event).filter(|event| event.len() <= EVENT_BYTES_MAX).and_then(raw),
    };
    let timestamp = data.received_at.clone();
    json(&Notification { kind: "anomaly.detected", timestamp, data })
}

/// A window's result as an event of a stream; the fields that `/v1/windows` has too are the same there.
#[derive(Serialize)]
struct Window<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    stream: &'a str,
    window: &'a str,
    size_ms: Millis,
    start: String,
    end: String,
    start_ms: Millis,
    end_ms: Millis,
    key: Option<&'a RawValue>,
    values: Option<Box<RawValue>>,
    events: u64,
    revision: u64,
}

/// A window's result, as JSON.
pub(crate) fn of_window(row: &WindowRow) -> String {
    let id = &row.id;
    json(&Window {
        tenant: &id.tenant,
        stream: &id.stream,
        window: &id.window,
        size_ms: id.size_ms,
        start: time(id.start),
        end: time(row.end),
        start_ms: id.start,
        end_ms: row.end,
        key: raw(id.key.as_bytes()),
        values: RawValue::from_string(values(row)).ok(),
        events: row.events,
        revision: row.revision,
    })
}

/// `{"<name>": <value>, …}` in the order of the definition.
fn values(row: &WindowRow) -> String {
    let mut text = String::from("{");
    for (name, measure) in &row.measures {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&json(name));
        text.push(':');
        measure.write_json(&mut text);
    }
    text.push('}');
    text
}

/// Texts, numbers and JSON that was parsed before always have a form; an empty one stands for what cannot be.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn raw(bytes: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}

/// RFC 3339 in UTC with milliseconds; a time out of the calendar's range becomes its nearest end.
fn time(ms: Millis) -> String {
    let (min, max) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    let timestamp = Timestamp::from_millisecond(ms.clamp(min, max)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

#[cfg(test)]
pub(crate) mod tests {
    use event::measure::Measure;
    use event::{Severity, WindowId};

    use super::*;

    pub(crate) fn anomaly() -> Anomaly {
        Anomaly {
            tenant: String::new(),
            id: "7_1764000000000_high_value_purchase".to_owned(),
            rule: "high_value_purchase".to_owned(),
            severity: Severity::High,
            stream: "signals".to_owned(),
            partition: 2,
            offset: 41,
            key: "7".to_owned(),
            time: 1_764_000_000_000,
            received_at: 1_764_000_000_500,
            description: "a purchase of 2000".to_owned(),
            metadata: r#"{"amount": 2000.00}"#.to_owned(),
            event: br#"{"user_id":7, "amount":2000.00}"#.to_vec(),
        }
    }

    #[test]
    fn a_notification_has_the_type_the_time_and_the_anomaly() {
        let expected = concat!(
            r#"{"type":"anomaly.detected","timestamp":"2025-11-24T16:00:00.500Z","data":{"#,
            r#""id":"7_1764000000000_high_value_purchase","rule":"high_value_purchase","severity":"high","#,
            r#""stream":"signals","partition":2,"offset":41,"key":"7","time":"2025-11-24T16:00:00.000Z","#,
            r#""received_at":"2025-11-24T16:00:00.500Z","description":"a purchase of 2000","#,
            r#""metadata":{"amount": 2000.00},"data":{"user_id":7, "amount":2000.00}}}"#
        );
        assert_eq!(of_anomaly(&anomaly()), expected);
    }

    #[test]
    fn what_is_no_json_or_too_long_is_left_out() {
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(EVENT_BYTES_MAX)).into_bytes();
        for event in [Vec::new(), b"not json".to_vec(), long] {
            let found = Anomaly { tenant: "acme".to_owned(), key: String::new(), event, ..anomaly() };
            let body: serde_json::Value = serde_json::from_str(&of_anomaly(&found)).unwrap();
            assert_eq!(body["data"].get("data"), None);
            assert_eq!((&body["data"]["tenant"], &body["data"]["key"]), (&"acme".into(), &serde_json::Value::Null));
        }
    }

    #[test]
    fn a_window_has_its_group_and_its_values() {
        let id = WindowId {
            tenant: String::new(),
            stream: "signals".to_owned(),
            window: "by_type".to_owned(),
            size_ms: 60_000,
            start: 1_764_000_000_000,
            key: r#"{"type":"login"}"#.to_owned(),
        };
        let row = WindowRow {
            end: id.start + id.size_ms,
            id,
            definition: 1,
            measures: vec![("n\"1".to_owned(), Measure::Count(3)), ("m".to_owned(), Measure::Count(2))],
            events: 3,
            revision: 2,
            late: 0,
            created_at: 0,
            updated_at: 0,
        };
        let expected = concat!(
            r#"{"stream":"signals","window":"by_type","size_ms":60000,"start":"2025-11-24T16:00:00.000Z","#,
            r#""end":"2025-11-24T16:01:00.000Z","start_ms":1764000000000,"end_ms":1764000060000,"#,
            r#""key":{"type":"login"},"values":{"n\"1":3,"m":2},"events":3,"revision":2}"#
        );
        assert_eq!(of_window(&row), expected);
    }
}
