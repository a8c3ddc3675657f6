//! Rules and windows as a document again.

use process::{RuleKind, RuleSpec, WindowKind, WindowSpec};
use serde_json::{Map, Value, json};

use super::typed_kind::time_of_day;
use super::units::duration_text;

/// A rule.
pub(super) fn rule(rule: &RuleSpec) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("name", json!(rule.name));
    put("stream", json!(rule.stream));
    if !rule.when.is_empty() {
        put("when", json!(rule.when));
    }
    if let Some((name, section)) = kind(&rule.kind) {
        put(name, section);
    }
    put("severity", json!(rule.severity.as_str()));
    put("cooldown", json!(duration_text(rule.cooldown_ms)));
    put("description", json!(rule.description));
    if !rule.metadata.is_empty() {
        put("metadata", named(&rule.metadata));
    }
    Value::Object(out)
}

fn kind(kind: &RuleKind) -> Option<(&'static str, Value)> {
    Some(match kind {
        RuleKind::Predicate => return None,
        RuleKind::Count { at_least, within_ms, sum } => {
            let mut section = json!({ "at_least": at_least, "within": duration_text(*within_ms) });
            if !sum.is_empty() {
                section["sum"] = json!(sum);
            }
            ("count", section)
        }
        RuleKind::Streak { length, unless } => ("streak", json!({ "length": length, "unless": unless })),
        RuleKind::Novel { value, warm_up } => ("novel", json!({ "value": value, "warm_up": warm_up })),
        RuleKind::Hours { from_minute, to_minute, zone } => {
            let (from, to) = (time_of_day(*from_minute), time_of_day(*to_minute));
            ("hours", json!({ "from": from, "to": to, "zone": zone }))
        }
        RuleKind::Deviation { of, z, span, warm_up } => {
            ("deviation", json!({ "of": of, "z": z, "span": span, "warm_up": warm_up }))
        }
        RuleKind::Absence { after_ms } => ("absence", json!({ "after": duration_text(*after_ms) })),
        RuleKind::Sequence { then, within_ms } => {
            ("sequence", json!({ "then": then, "within": duration_text(*within_ms) }))
        }
    })
}

/// A definition of windows.
pub(super) fn window(window: &WindowSpec) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("name", json!(window.name));
    put("stream", json!(window.stream));
    if !window.when.is_empty() {
        put("when", json!(window.when));
    }
    match &window.kind {
        WindowKind::Tumbling(sizes) => {
            put("sizes", sizes.iter().map(|ms| duration_text(*ms)).collect());
        }
        WindowKind::Hopping { size_ms, every_ms } => {
            put("size", json!(duration_text(*size_ms)));
            put("every", json!(duration_text(*every_ms)));
        }
        WindowKind::Session { gap_ms } => {
            put("session", json!({ "gap": duration_text(*gap_ms) }));
        }
    }
    put("by", json!(window.by));
    put("lateness", json!(duration_text(window.lateness_ms)));
    put("late", json!(if window.correct { "correct" } else { "count" }));
    put("measures", named(&window.measures));
    if !window.publish.is_empty() {
        put("publish", json!(window.publish));
    }
    Value::Object(out)
}

fn named(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(name, text)| (name.clone(), json!(text))).collect())
}
