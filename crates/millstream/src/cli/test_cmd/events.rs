//! The events of a test: what is sent, in which order, and when it arrives.

use std::path::Path;

use event::{Catalog, Millis, StreamId, TimeField, TimeUnit};
use serde_json::{Map, Number};

use crate::config::{Item, Value, unknown_stream};

/// Where the clock stands when nothing says otherwise: 2026-01-01T00:00:00Z.
const BEGIN: Millis = 1_767_225_600_000;

/// One event to send.
#[derive(Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) stream: StreamId,
    /// When it arrives: at its own time, or as told; never before the one before it.
    pub(super) arrives: Millis,
    /// What is sent.
    pub(super) line: Vec<u8>,
}

/// Reads the list of events. An item is a section with the name of a stream, and what goes there: an event, a list of
/// events, text as it is to be sent (an event a line), or `@` and the path of a file with an event a line. `at` says when it arrives.
pub(super) fn events(item: &Item<'_>, catalog: &Catalog, folder: &Path) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut clock = None;
    for item in item.list() {
        let Some(section) = item.section() else { continue };
        let (mut at, mut what) = (None, Vec::new());
        for (name, value) in section.all() {
            match name {
                "at" => at = time(&value),
                _ => what.push((name, value)),
            }
        }
        let [(name, value)] = &what[..] else {
            item.bad("expected the name of one stream, and what is sent there", Some(example()));
            continue;
        };
        let Some(stream) = catalog.find(name).filter(|_| !name.starts_with('_')) else {
            unknown_stream(value, name, catalog);
            continue;
        };
        for line in lines(value, folder) {
            let told = at.or_else(|| time_of(&line, catalog.get(stream).time.as_ref()?));
            let arrives = match told {
                Some(told) => clock.map_or(told, |clock: Millis| clock.max(told)),
                None => clock.unwrap_or(BEGIN),
            };
            clock = Some(arrives);
            sent.push(Sent { stream, arrives, line });
        }
    }
    sent
}

fn example() -> String {
    "as `- signals: { user_id: 1, type: click, timestamp: 1764000000000, payload: {} }`".to_owned()
}

fn lines(value: &Item<'_>, folder: &Path) -> Vec<Vec<u8>> {
    let of_text = |text: &str| -> Vec<Vec<u8>> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| line.as_bytes().to_vec()).collect()
    };
    match &value.node.value {
        Value::Map(_) => vec![json(&value.node.value).to_string().into_bytes()],
        Value::List(_) => value.list().iter().flat_map(|item| lines(item, folder)).collect(),
        Value::Text(text) => match text.strip_prefix('@') {
            None => of_text(text),
            Some(path) => match std::fs::read_to_string(folder.join(path)) {
                Ok(text) => of_text(&text),
                Err(error) => {
                    value.bad(format!("cannot read the file `{path}`: {error}"), None);
                    Vec::new()
                }
            },
        },
        _ => {
            value.bad(format!("expected an event, found {}", value.node.kind()), Some(example()));
            Vec::new()
        }
    }
}

/// YAML as JSON.
pub(super) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Float(n) => Number::from_f64(*n).map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(|node| json(&node.value)).collect(),
        Value::Map(entries) => {
            let members = entries.iter().map(|(name, node)| (name.clone(), json(&node.value)));
            serde_json::Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// A time of a test: RFC 3339, or milliseconds.
pub(super) fn time(item: &Item<'_>) -> Option<Millis> {
    let text = item.text()?;
    let time = api::time::from_text(&text);
    if time.is_none() {
        item.bad(format!("expected a time such as 2026-11-20T10:00:00Z, or milliseconds, found `{text}`"), None);
    }
    time
}

/// When an event says that it happened; `None` when it does not say so in a way that its stream takes.
fn time_of(line: &[u8], field: &TimeField) -> Option<Millis> {
    let event: serde_json::Value = serde_json::from_slice(line).ok()?;
    let value = field.field.path.steps().iter().try_fold(&event, |value, step| value.get(step))?;
    let whole = |factor: i64, divisor: i64| match value.as_i64() {
        Some(n) => n.checked_mul(factor).map(|n| n / divisor),
        None => value.as_f64().map(|n| (n * factor as f64 / divisor as f64) as Millis),
    };
    match field.unit {
        TimeUnit::Seconds => whole(1_000, 1),
        TimeUnit::Millis => whole(1, 1),
        TimeUnit::Micros => whole(1, 1_000),
        TimeUnit::Rfc3339 => api::time::from_rfc3339(value.as_str()?),
        TimeUnit::Auto => value.as_str().map_or_else(|| whole(1, 1), api::time::from_rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use event::{Field, FieldPath};

    use super::*;

    #[test]
    fn the_time_of_an_event_is_read_as_its_stream_says() {
        let second = 1_764_000_000_000;
        for (unit, value, expected) in [
            (TimeUnit::Seconds, "1764000000", Some(second)),
            (TimeUnit::Seconds, "1764000000.25", Some(second + 250)),
            (TimeUnit::Millis, "1764000000000", Some(second)),
            (TimeUnit::Micros, "1764000000000999", Some(second)),
            (TimeUnit::Rfc3339, "\"2025-11-24T16:00:00Z\"", Some(second)),
            (TimeUnit::Auto, "\"2025-11-24T16:00:00Z\"", Some(second)),
            (TimeUnit::Auto, "1764000000000", Some(second)),
            (TimeUnit::Millis, "\"soon\"", None),
            (TimeUnit::Rfc3339, "\"soon\"", None),
        ] {
            let field = Field { path: FieldPath::parse("a.t").unwrap(), required: true };
            let field = TimeField { field, unit, max_future_ms: 0 };
            let line = format!("{{\"a\":{{\"t\":{value}}}}}");
            assert_eq!(time_of(line.as_bytes(), &field), expected, "{unit:?} {value}");
        }
    }
}
