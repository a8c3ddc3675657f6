//! One rule as it is written, key by key.

use event::{Millis, Severity};

use super::node::Origin;
use super::section::Item;

/// A rule's keys, with where each stands: its expressions are only understood when its stream is known.
#[derive(Clone, Debug)]
pub(crate) struct TypedRule {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) origin: Origin,
    pub(crate) stream: String,
    pub(crate) when: String,
    /// Fires when more than this many happen within this many milliseconds.
    pub(crate) count: Option<(u64, Millis)>,
    pub(crate) severity: Severity,
    pub(crate) cooldown_ms: Millis,
    pub(crate) description: String,
    pub(crate) metadata: Vec<(String, String)>,
    /// Where the values of `stream`, `when`, … stand.
    pub(crate) origins: Vec<(&'static str, Origin)>,
}

/// Rule kinds that a later version will know.
const LATER: [&str; 7] = ["streak", "novel", "hours", "deviation", "absence", "sequence", "key"];
const SEVERITIES: [(&str, Severity); 3] =
    [("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High)];

impl TypedRule {
    pub(crate) fn read(item: &Item<'_>) -> Option<Self> {
        let mut section = item.section()?;
        let mut origins = Vec::new();
        let mut text = |key: &'static str| {
            let item = section.get(key)?;
            origins.push((key, item.origin()));
            item.text()
        };
        let (name, stream) = (text("name"), text("stream"));
        let (when, description) = (text("when"), text("description"));
        let count = section.get("count").map(|i| count(&i));
        let severity = section.get("severity").map_or(Some(Severity::Medium), |i| i.choice(&SEVERITIES));
        let cooldown = section.get("cooldown").map(|i| i.duration());
        let metadata = section.get("metadata").and_then(|i| i.section()).map(|metadata| {
            metadata.all().filter_map(|(name, i)| Some((name.to_owned(), i.text()?))).collect::<Vec<_>>()
        });
        LATER.iter().for_each(|kind| section.later(kind));
        section.close();

        let name = checked_name(item, name);
        if stream.is_none() {
            item.bad("`stream` is missing", Some("name the stream that the rule watches".to_owned()));
        }
        if when.is_none() && count.is_none() {
            item.bad("a rule needs `when`, `count` or both", None);
        }
        // A flood of one cause is one incident: a count stays quiet for its own window unless told otherwise.
        let count = count.map_or(Some(None), |c| c.map(Some))?;
        let default_cooldown = count.map_or(0, |(_, within_ms)| within_ms);
        Some(Self {
            description: description.unwrap_or_else(|| name.clone().unwrap_or_default()),
            name: name?,
            path: item.path.clone(),
            origin: item.origin(),
            stream: stream?,
            when: when.unwrap_or_default(),
            count,
            severity: severity?,
            cooldown_ms: cooldown.map_or(Some(default_cooldown), |c| c)?,
            metadata: metadata.unwrap_or_default(),
            origins,
        })
    }

    /// Where a value of this rule stands, or the rule itself.
    pub(crate) fn origin_of(&self, field: &str) -> &Origin {
        self.origins.iter().find(|(name, _)| *name == field).map_or(&self.origin, |(_, origin)| origin)
    }
}

fn count(item: &Item<'_>) -> Option<(u64, Millis)> {
    let mut section = item.section()?;
    let (more_than, within) = (section.get("more_than"), section.get("within"));
    section.later("at_least");
    section.close();
    if more_than.is_none() || within.is_none() {
        let suggestion = "as `count: { more_than: 10, within: 1m }`";
        item.bad("`more_than` and `within` are both needed", Some(suggestion.to_owned()));
    }
    let more_than = more_than?.whole(1..=1_000_000)?;
    let within = within?;
    let within_ms = within.duration()?;
    if within_ms == 0 {
        within.bad("a window of no length holds no event", None);
        return None;
    }
    Some((more_than, within_ms))
}

/// A rule's name is a label of metrics and a part of ids: short, and of plain letters.
fn checked_name(item: &Item<'_>, name: Option<String>) -> Option<String> {
    let Some(name) = name else {
        item.bad("`name` is missing", None);
        return None;
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        let message = format!("rule name `{name}` is not allowed: 1 to 63 of a-z, 0-9, `_` and `-`");
        item.bad(message, None);
        return None;
    }
    Some(name)
}
