//! One rule as it is written, key by key.

use event::{Millis, Severity};
use process::{RuleKind, RuleSpec};

use super::node::Node;
use super::section::Item;
use super::typed_kind;

const SEVERITIES: [(&str, Severity); 3] =
    [("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High)];

/// A rule's keys, with where they stand: its expressions are only understood when its stream is known.
#[derive(Clone, Debug)]
pub(crate) struct TypedRule {
    pub(crate) path: String,
    pub(crate) node: Node,
    /// The rule; the zone of `hours` is empty when it is the default one.
    pub(crate) spec: RuleSpec,
}

impl TypedRule {
    pub(crate) fn read(item: &Item<'_>) -> Option<Self> {
        let mut section = item.section()?;
        let example = "{ name: large_order, stream: orders, when: total > 1000 }";
        let name = section.must("name", example).and_then(|i| i.name("rule"));
        let stream = section.must("stream", example).and_then(|i| i.text());
        let when = section.get("when").map(|i| i.expression());
        let kind = typed_kind::read(&mut section);
        let severity = section.get("severity").map_or(Some(Severity::Medium), |i| severity(&i));
        let cooldown = section.get("cooldown").map(|i| i.duration());
        let description = section.get("description").map(|i| i.text());
        let metadata = section.get("metadata").and_then(|i| i.section()).map(|metadata| {
            metadata.all().filter_map(|(name, i)| Some((name.to_owned(), i.text()?))).collect::<Vec<_>>()
        });
        section.later("key");
        if when.is_none() && matches!(kind, Some(RuleKind::Predicate)) {
            section.bad(format!("a rule needs `when`, or one of {}", typed_kind::NAMES.join(", ")), None);
        }
        section.close();

        let (name, kind) = (name?, kind?);
        let cooldown_ms = cooldown.unwrap_or_else(|| Some(default_cooldown(&kind)));
        let spec = RuleSpec {
            description: description.unwrap_or_else(|| Some(name.clone()))?,
            name,
            stream: stream?,
            when: when.unwrap_or_else(|| Some(String::new()))?,
            kind,
            severity: severity?,
            cooldown_ms: cooldown_ms?,
            metadata: metadata.unwrap_or_default(),
        };
        Some(Self { path: item.path.clone(), node: item.node.clone(), spec })
    }
}

/// How bad.
pub(super) fn severity(item: &Item<'_>) -> Option<Severity> {
    item.choice(&SEVERITIES)
}

/// A flood of one cause is one incident: a count stays quiet for its own window unless told otherwise.
fn default_cooldown(kind: &RuleKind) -> Millis {
    if let RuleKind::Count { within_ms, .. } = kind { *within_ms } else { 0 }
}
