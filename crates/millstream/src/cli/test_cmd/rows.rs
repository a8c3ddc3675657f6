//! What the store holds after a trial, as documents: the fields that a test can name.

use event::limits::PAGE_ROWS_MAX;
use serde_json::{Map, Value, json};
use store::Store;
use store::query::{AnomalyQuery, AnomalyRow, DeadLetterQuery, WindowQuery, WindowRow};

use super::judge::Found;
use crate::config::units;

/// Everything that was found, oldest first.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn collect(store: &dyn Store) -> anyhow::Result<Found> {
    let mut found = Found::default();
    loop {
        let query =
            AnomalyQuery { skip: found.anomalies.len() as u64, limit: PAGE_ROWS_MAX, ..AnomalyQuery::default() };
        let page = store.anomalies(&query)?;
        if page.rows.is_empty() {
            break;
        }
        found.anomalies.extend(page.rows.iter().map(anomaly));
    }
    let mut query = WindowQuery { limit: PAGE_ROWS_MAX, ..WindowQuery::default() };
    loop {
        let page = store.windows(&query)?;
        found.windows.extend(page.rows.iter().map(window));
        query.after = page.rows.last().map(|row| row.id.clone());
        if !page.more || page.rows.is_empty() {
            break;
        }
    }
    loop {
        let skip = found.dead_letters.len() as u64;
        let page = store.dead_letters(&DeadLetterQuery { skip, limit: PAGE_ROWS_MAX, ..DeadLetterQuery::default() })?;
        if page.rows.is_empty() {
            break;
        }
        found.dead_letters.extend(page.rows.iter().map(|letter| {
            map(json!({
                "code": letter.code, "stream": letter.stream, "pointer": letter.pointer,
                "stage": letter.stage.as_str(), "message": letter.message,
            }))
        }));
    }
    found.anomalies.reverse();
    found.windows.reverse();
    found.dead_letters.reverse();
    Ok(found)
}

fn anomaly(row: &AnomalyRow) -> Map<String, Value> {
    let anomaly = &row.anomaly;
    map(json!({
        "rule": anomaly.rule, "stream": anomaly.stream, "key": anomaly.key,
        "time": api::time::to_rfc3339(anomaly.time), "severity": anomaly.severity.as_str(),
        "description": anomaly.description, "metadata": read(&anomaly.metadata),
    }))
}

fn window(row: &WindowRow) -> Map<String, Value> {
    let value = |(name, measure): &(String, event::measure::Measure)| {
        let mut text = String::new();
        measure.write_json(&mut text);
        (name.clone(), read(&text))
    };
    let size = if row.id.size_ms == 0 { "session".to_owned() } else { units::duration_text(row.id.size_ms) };
    map(json!({
        "window": row.id.window, "stream": row.id.stream, "size": size,
        "start": api::time::to_rfc3339(row.id.start), "end": api::time::to_rfc3339(row.end), "key": read(&row.id.key),
        "events": row.events, "late": row.late, "values": row.measures.iter().map(value).collect::<Map<_, _>>(),
    }))
}

/// JSON that we wrote ourselves.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

fn map(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
