//! Rules and windows as their authors write them, and what is wrong with one.

use event::{Millis, Severity};

/// A rule as configured, not yet checked.
#[derive(Clone, Debug, PartialEq)]
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

/// What makes a rule fire once its condition holds. All are keyed by the stream's key, and see event time alone.
/// Expressions are CEL.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// The condition alone.
    Predicate,
    /// So many records of one key within a stretch of event time.
    Count {
        /// Fires when the count is at least this; at most [`event::limits::RULE_COUNT_MAX`].
        at_least: u64,
        /// The length of the window, in milliseconds, above 0. A record exactly that old still counts.
        within_ms: Millis,
        /// What is summed over the counted records, as the name `sum` in findings; empty for nothing.
        sum: String,
    },
    /// So many records in a row for which the condition holds; fires once a row, when the last of them comes.
    Streak {
        /// How many, at least 1.
        length: u64,
        /// A record for which this holds ends the row; other records neither lengthen nor end it. Not empty.
        unless: String,
    },
    /// A value that this key never had before.
    Novel {
        /// The value. A record without it is passed over.
        value: String,
        /// Records of the key that are only learned from, at least 1: the first is never news.
        warm_up: u64,
    },
    /// A time of day.
    Hours {
        /// Minutes after midnight, inclusive, `0..1440`.
        from_minute: u16,
        /// Minutes after midnight, exclusive, `1..=1440`; below `from_minute` the stretch goes past midnight.
        to_minute: u16,
        /// An IANA time zone, as `Europe/Berlin`; `UTC` by default.
        zone: String,
    },
    /// A measure far from its own moving mean.
    Deviation {
        /// The measure. A record without it, or with something that is no number, is passed over.
        of: String,
        /// How many standard deviations are far, above 0.
        z: f64,
        /// How many of the key's newest values the mean is over (exponentially weighted), at least 2.
        span: u64,
        /// Records of the key that are only learned from, at least 2.
        warm_up: u64,
    },
    /// Nothing for a while: fires when the partition's event time is `after_ms` past the key's last record that met the
    /// condition, once, until there is one again.
    Absence {
        /// For how long, in milliseconds, above 0.
        after_ms: Millis,
    },
    /// A record that meets the condition, then one that meets `then`, within a stretch of event time.
    Sequence {
        /// The second condition. Not empty.
        then: String,
        /// At most this much later, in milliseconds, above 0; exactly that much later still counts.
        within_ms: Millis,
    },
}

/// A definition of windows as configured, not yet checked.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowSpec {
    /// Its name. Unique among the windows of its stream.
    pub name: String,
    /// The name of the stream it measures.
    pub stream: String,
    /// Which records count, in CEL; empty takes all.
    pub when: String,
    /// How event time is cut.
    pub kind: WindowKind,
    /// The fields that make a group, as dotted paths or JSON pointers; none for one group of all. At most
    /// [`event::limits::WINDOW_FIELDS_MAX`]. A field that is not there is `null`, numbers are one group when they are equal,
    /// and the stream's own key and type are text. A text over [`event::limits::KEY_BYTES_MAX`] bytes is cut, a hash of it
    /// follows.
    pub by: Vec<String>,
    /// How far behind the newest event time a partition's watermark is, in milliseconds.
    pub lateness_ms: Millis,
    /// Whether late events correct their window; they are counted either way. Sessions are never corrected.
    pub correct: bool,
    /// Name and measure, in order: `count()`, `count(condition)`, `sum(x)`, `min(x)`, `max(x)`, `mean(x)`, `distinct(x)`,
    /// `quantile(x, 0.95)`, where `x` is CEL. Records for which `x` has no value, or none that can be measured, are passed
    /// over; `true` and `false` are 1 and 0. See [`event::measure`] for how exact they are.
    pub measures: Vec<(String, String)>,
    /// The stream that results are appended to; empty for none.
    pub publish: String,
}

/// How event time is cut into windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// One after the other, aligned to the epoch, of each of these lengths in milliseconds.
    Tumbling(Vec<Millis>),
    /// Of one length, a new one every so often, aligned to the epoch: they overlap.
    Hopping {
        /// The length in milliseconds.
        size_ms: Millis,
        /// The step in milliseconds; the length is a multiple of it.
        every_ms: Millis,
    },
    /// As long as each event of a group comes less than this after the one before it: a session ends a gap after its last
    /// event, and an event at that very time begins the next. On a stream of several partitions `by` must name the
    /// stream's key.
    Session {
        /// The gap in milliseconds.
        gap_ms: Millis,
    },
}

/// Why a rule or a window was refused, or a written-down state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{field}: {message}", prefix(.rule))]
pub struct RuleError {
    /// The rule's or window's name; empty when it is about a state.
    pub rule: String,
    /// The part of it: `name`, `when`, `count.more_than`, `description`, `metadata.<name>`, `measures.<name>`, …
    pub field: String,
    /// What is wrong, where, and what is supported.
    pub message: String,
}

fn prefix(rule: &str) -> String {
    if rule.is_empty() { String::new() } else { format!("rule `{rule}`, ") }
}

impl RuleError {
    /// The place in the part's own text that the message begins with, as line and column from 1, and the rest of the
    /// message; `None` when it is about the part as a whole. The column of a description counts from its first character.
    pub fn place(&self) -> Option<((usize, usize), &str)> {
        let (place, message) = self.message.split_once(": ")?;
        let (line, column) = match place.strip_prefix("line ") {
            Some(place) => place.split_once(", column ")?,
            None => ("1", place.strip_prefix("column ")?),
        };
        Some(((line.parse().ok()?, column.parse().ok()?), message))
    }
}
