//! The resolved configuration as a document again, which `check` accepts. It holds no secrets: keys are hashes.

use event::{Field, FieldPath, Requirement, Stream};
use process::{RuleKind, RuleSpec};
use serde_json::{Map, Value, json};

use super::Settings;
use super::typed_stream::{kind_name, unit_name};
use super::units::{duration_text, size_text};

/// The configuration as it is in force.
pub(crate) fn show(settings: &Settings) -> Value {
    let streams: Map<String, Value> = settings
        .catalog
        .iter()
        .filter(|(_, s)| !s.name.starts_with('_'))
        .map(|(_, s)| (s.name.clone(), stream(s)))
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
        "log": { "backend": "disk" },
        "store": { "backend": "sqlite" },
        "collect": {
            "strict_uuids": settings.collect.strict_uuids,
            "time_window": settings.collect.time_window_ms.map_or_else(|| "off".to_owned(), duration_text),
        },
        "emit": emit_section,
        "streams": streams,
        "rules": settings.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    if let Value::Object(document) = &mut document {
        settings.access.show(document);
    }
    document
}

fn stream(stream: &Stream) -> Value {
    let mut out = Map::new();
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

fn rule(rule: &RuleSpec) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("name", json!(rule.name));
    put("stream", json!(rule.stream));
    put("when", json!(rule.when));
    if let RuleKind::Count { more_than, within_ms } = rule.kind {
        put("count", json!({ "more_than": more_than, "within": duration_text(within_ms) }));
    }
    put("severity", json!(rule.severity.as_str()));
    put("cooldown", json!(duration_text(rule.cooldown_ms)));
    put("description", json!(rule.description));
    if !rule.metadata.is_empty() {
        let metadata: Map<String, Value> = rule.metadata.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        put("metadata", Value::Object(metadata));
    }
    Value::Object(out)
}
