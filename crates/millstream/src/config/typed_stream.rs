//! One stream as it is written, key by key.

use event::{Field, JsonKind, Millis, Requirement, TimeField, TimeUnit};

use super::node::{Origin, Value};
use super::section::{Item, Section, one_of};
use super::typed_backend::topic;

/// How far ahead of our clock an event time may be unless the stream says otherwise.
const MAX_FUTURE_MS: Millis = 300_000;

const UNITS: [(&str, TimeUnit); 5] = [
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Millis),
    ("us", TimeUnit::Micros),
    ("rfc3339", TimeUnit::Rfc3339),
    ("auto", TimeUnit::Auto),
];

const KINDS: [(&str, JsonKind); 6] = [
    ("string", JsonKind::String),
    ("integer", JsonKind::Integer),
    ("number", JsonKind::Number),
    ("boolean", JsonKind::Boolean),
    ("object", JsonKind::Object),
    ("array", JsonKind::Array),
];

/// A stream's keys. An outer `None` is «not written»; an inner one is «switched off».
#[derive(Clone, Debug)]
pub(crate) struct TypedStream {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) origin: Origin,
    pub(crate) partitions: Option<u32>,
    pub(crate) key: Option<Field>,
    pub(crate) time: Option<TimeField>,
    pub(crate) id: Option<Field>,
    pub(crate) kind: Option<Field>,
    pub(crate) require: Option<Vec<Requirement>>,
    pub(crate) dedup: Option<Option<TypedDedup>>,
    pub(crate) retention: Option<TypedRetention>,
    /// Its topic on Kafka, and where that is written.
    pub(crate) topic: Option<(String, Origin)>,
}

/// The section `dedup` of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TypedDedup {
    pub(crate) within_ms: Option<Millis>,
    pub(crate) ids_max: Option<usize>,
}

/// The section `retention` of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TypedRetention {
    pub(crate) age_ms: Option<Option<Millis>>,
    pub(crate) size_bytes: Option<Option<u64>>,
}

impl TypedStream {
    pub(crate) fn read(name: &str, item: &Item<'_>) -> Option<Self> {
        let mut section = item.section()?;
        let stream = Self {
            name: name.to_owned(),
            path: item.path.clone(),
            origin: item.origin(),
            partitions: section
                .get("partitions")
                .and_then(|i| i.whole(1..=u64::from(event::limits::PARTITIONS_MAX)))
                .map(|n| n as u32),
            key: section.get("key").and_then(|i| i.field()),
            time: section.get("time").and_then(|i| time(&i)),
            // An event without an id is known by its position, so an id never has to be there.
            id: section.get("id").and_then(|i| i.field()).map(|field| Field { required: false, ..field }),
            kind: section.get("type").and_then(|i| i.field()),
            require: section.get("require").and_then(|i| i.section()).map(requirements),
            dedup: section.get("dedup").and_then(|i| dedup(&i)),
            retention: section.get("retention").and_then(|i| i.section()).map(retention),
            topic: section.get("topic").and_then(|i| Some((topic(&i)?, i.origin()))),
        };
        section.later("schema");
        section.close();
        Some(stream)
    }

    /// The keys of this stream, and for those that are not written the other's.
    pub(crate) fn over(self, base: Self) -> Self {
        Self {
            partitions: self.partitions.or(base.partitions),
            key: self.key.or(base.key),
            time: self.time.or(base.time),
            id: self.id.or(base.id),
            kind: self.kind.or(base.kind),
            require: self.require.or(base.require),
            dedup: self.dedup.or(base.dedup),
            retention: self.retention.or(base.retention),
            topic: self.topic.or(base.topic),
            ..self
        }
    }
}

fn time(item: &Item<'_>) -> Option<TimeField> {
    if item.node.scalar().is_some() {
        return item.field().map(|field| TimeField { field, unit: TimeUnit::Auto, max_future_ms: MAX_FUTURE_MS });
    }
    let mut section = item.section()?;
    let field = section.get("field");
    if field.is_none() {
        item.bad("`field` is missing", Some("as `time: { field: timestamp, unit: ms }`".to_owned()));
    }
    let unit = section.get("unit").map_or(Some(TimeUnit::Auto), |i| i.choice(&UNITS));
    let max_future_ms = section.get("max_future").map_or(Some(MAX_FUTURE_MS), |i| i.duration());
    section.close();
    Some(TimeField { field: field?.field()?, unit: unit?, max_future_ms: max_future_ms? })
}

fn requirements(section: Section<'_>) -> Vec<Requirement> {
    section.all().filter_map(|(name, item)| requirement(name, &item)).collect()
}

fn requirement(name: &str, item: &Item<'_>) -> Option<Requirement> {
    let path = item.path_of(name)?;
    if let Value::List(_) = item.node.value {
        let one_of: Vec<String> = item.list().iter().filter_map(Item::text).collect();
        if one_of.is_empty() {
            item.bad("an empty list allows no value", None);
        }
        return Some(Requirement { path, kind: JsonKind::String, one_of });
    }
    let text = item.text()?;
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == text) else {
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let suggestion = super::section::nearest(&text, &names).map(|near| format!("did you mean `{near}`?"));
        item.bad(format!("expected {}, or a list of allowed strings, found `{text}`", one_of(&names)), suggestion);
        return None;
    };
    Some(Requirement { path, kind: *kind, one_of: Vec::new() })
}

fn dedup(item: &Item<'_>) -> Option<Option<TypedDedup>> {
    if is_off(item) {
        return Some(None);
    }
    let mut section = item.section()?;
    let dedup = TypedDedup {
        within_ms: section.get("within").and_then(|i| i.duration()),
        ids_max: section.get("ids").and_then(|i| i.whole(1..=1 << 30)).map(|n| n as usize),
    };
    section.close();
    Some(Some(dedup))
}

fn retention(mut section: Section<'_>) -> TypedRetention {
    let retention = TypedRetention {
        age_ms: section.get("age").and_then(|i| if is_off(&i) { Some(None) } else { i.duration().map(Some) }),
        size_bytes: section.get("size").and_then(|i| if is_off(&i) { Some(None) } else { i.size().map(Some) }),
    };
    section.close();
    retention
}

/// Whether a value says that there is no such thing: `off`, `none` or `false`.
pub(super) fn is_off(item: &Item<'_>) -> bool {
    match &item.node.value {
        Value::Bool(on) => !on,
        Value::Text(text) => text == "off" || text == "none",
        _ => false,
    }
}

/// The name of a unit, as configuration writes it.
pub(crate) fn unit_name(unit: TimeUnit) -> &'static str {
    UNITS.iter().find(|(_, u)| *u == unit).map_or("auto", |(name, _)| name)
}

/// The name of a JSON type, as configuration writes it.
pub(crate) fn kind_name(kind: JsonKind) -> &'static str {
    KINDS.iter().find(|(_, k)| *k == kind).map_or("string", |(name, _)| name)
}
