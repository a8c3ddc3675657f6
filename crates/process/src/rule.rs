//! A rule as its author writes it, and what is wrong with one.

use event::{Millis, Severity};

/// A rule as configured, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// Its name: the type of its anomalies. Unique among the rules of its stream.
    pub name: String,
    /// The name of the stream it watches.
    pub stream: String,
    /// The condition in CEL; empty holds always. See [`crate::Program::compile`] for what is supported.
    pub when: String,
    /// What makes it fire once the condition holds.
    pub kind: RuleKind,
    /// How bad its anomalies are.
    pub severity: Severity,
    /// After it fired for a key, it is silent for that key for this long, in milliseconds of event time; 0 = never
    /// silent.
    pub cooldown_ms: Millis,
    /// A sentence for people with CEL in braces: `{user_id} logged in {count} times within {within}`. `{{` and `}}`
    /// stand for the braces themselves.
    pub description: String,
    /// What an anomaly carries besides: name and CEL expression, in order.
    pub metadata: Vec<(String, String)>,
}

/// What makes a rule fire once its condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// The condition alone.
    Predicate,
    /// More than so many records of one key within a stretch of event time.
    Count {
        /// Fires when the count is above this; below [`event::limits::RULE_COUNT_MAX`].
        more_than: u64,
        /// The length of the window, in milliseconds, above 0. A record exactly that old still counts.
        within_ms: Millis,
    },
}

/// Why a rule was refused, or a written-down state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{field}: {message}", prefix(.rule))]
pub struct RuleError {
    /// The rule's name; empty when it is about a state.
    pub rule: String,
    /// The part of the rule: `name`, `when`, `count.more_than`, `description`, `metadata.<name>`, …
    pub field: String,
    /// What is wrong, where, and what is supported.
    pub message: String,
}

fn prefix(rule: &str) -> String {
    if rule.is_empty() { String::new() } else { format!("rule `{rule}`, ") }
}
