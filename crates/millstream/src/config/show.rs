//! The resolved configuration as a document again, which `check` accepts. It holds no secrets: keys are hashes, and those
//! of alerts are hidden.

use event::{Field, FieldPath, Requirement, Stream};
use serde_json::{Map, Value, json};

use super::Settings;
use super::backends::LogBackend;
use super::show_backends;
use super::show_rules::{rule, window};
use super::typed_stream::{kind_name, unit_name};
use super::units::{duration_text, size_text};

/// The configuration as it is in force.
pub(crate) fn show(settings: &Settings) -> Value {
    let streams: Map<String, Value> = settings
        .catalog
        .iter()
        .filter(|(_, s)| !s.name.starts_with('_'))
        .map(|(_, s)| (s.name.clone(), stream(s, settings)))
        .collect();
    let emit = &settings.emit;
    let mut emit_section = json!({
        "rate": emit.rate, "burst": emit.burst, "workers": emit.workers,
        "queue_max": emit.queue_max, "flush_every": emit.flush_every,
    });
    if let Some(batch) = emit.batch {
        emit_section["batch"] = json!(batch);
    }
    let mut document = json!({
        "listen": settings.listen.to_string(),
        "admin": settings.admin.to_string(),
        "data_dir": settings.data_dir.display().to_string(),
        "roles": settings.roles.names(),
        "drain_timeout": duration_text(settings.drain_timeout.as_millis() as i64),
        "collect": {
            "strict_uuids": settings.collect.strict_uuids,
            "time_window": settings.collect.time_window_ms.map_or_else(|| "off".to_owned(), duration_text),
        },
        "emit": emit_section,
        "streams": streams,
        "zone": settings.zone,
        "rules": settings.rules.iter().map(rule).collect::<Vec<_>>(),
        "windows": settings.windows.iter().map(window).collect::<Vec<_>>(),
        "alerts": settings.alerts_shown,
    });
    if let Value::Object(document) = &mut document {
        settings.access.show(document);
        show_backends::show(&settings.backends, document);
    }
    document
}

/// The same, and a mark for what is hidden of each target of alerts and of the back ends: for comparing two configurations within a process.
pub(crate) fn show_marked(settings: &Settings) -> Value {
    let mut document = show(settings);
    if let Some(alerts) = document["alerts"].as_array_mut() {
        for (alert, mark) in alerts.iter_mut().zip(&settings.alerts_marks) {
            alert["hidden"] = json!(format!("{mark:016x}"));
        }
    }
    document["log"]["hidden"] = json!(format!("{:016x}", show_backends::mark(&settings.backends)));
    document
}

fn stream(stream: &Stream, settings: &Settings) -> Value {
    let mut out = Map::new();
    if let LogBackend::Kafka(kafka) = &settings.backends.log {
        out.insert("topic".to_owned(), json!(kafka.topic(&stream.name)));
    }
    out.insert("partitions".to_owned(), json!(stream.partitions));
    let mut put = |key: &str, value: Option<Value>| value.map(|value| out.insert(key.to_owned(), value));
    put("key", stream.key.as_ref().map(field));
    put(
        "time",
        stream.time.as_ref().map(|time| {
            json!({
                "field": field(&time.field), "unit": unit_name(time.unit),
                "max_future": duration_text(time.max_future_ms),
            })
        }),
    );
    put("id", stream.id.as_ref().map(|id| json!(path(id))));
    put("type", stream.kind.as_ref().map(field));
    put("require", (!stream.require.is_empty()).then(|| stream.require.iter().map(requirement).collect()));
    put(
        "dedup",
        Some(stream.dedup.map_or_else(
            || json!("off"),
            |dedup| json!({ "within": duration_text(dedup.within_ms), "ids": dedup.ids_max }),
        )),
    );
    put(
        "retention",
        Some(json!({
            "age": stream.retention.age_ms.map_or_else(|| "none".to_owned(), duration_text),
            "size": stream.retention.size_bytes.map_or_else(|| "none".to_owned(), size_text),
        })),
    );
    Value::Object(out)
}

fn path(field: &Field) -> String {
    dotted(&field.path)
}

/// A path as people write it, or as a pointer when a name in it has a dot or a slash of its own.
fn dotted(path: &FieldPath) -> String {
    let plain = path.steps().iter().all(|step| !step.contains(['.', '/', '?']));
    if plain { path.steps().join(".") } else { path.pointer() }
}

fn field(field: &Field) -> Value {
    json!(format!("{}{}", path(field), if field.required { "" } else { "?" }))
}

fn requirement(requirement: &Requirement) -> (String, Value) {
    let value =
        if requirement.one_of.is_empty() { json!(kind_name(requirement.kind)) } else { json!(requirement.one_of) };
    (dotted(&requirement.path), value)
}
