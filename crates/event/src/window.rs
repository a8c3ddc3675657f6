//! What windows yield: results piece by piece, and counts of what came too late.

use std::sync::Arc;

use crate::Millis;
use crate::measure::Measure;

/// Which window, of which group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowId {
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// The stream.
    pub stream: String,
    /// The name of the window's definition.
    pub window: String,
    /// Its length in milliseconds; 0 for a session, whose length differs.
    pub size_ms: Millis,
    /// Where it begins, inclusive.
    pub start: Millis,
    /// The group as a JSON object with the fields of `by` in their order, as `{"type":"login"}`; `{}` without any.
    pub key: String,
}

/// A piece of a window's result: what one partition saw of it since its last piece. Pieces of one window are merged, in
/// whatever order they come, and the sum of all is the result. The first piece of a definition that changed replaces what is
/// there, unless it is a correction: a few late events are not the result.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowDelta {
    /// Which window.
    pub id: WindowId,
    /// Where it ends, exclusive.
    pub end: Millis,
    /// A number for what is measured and how: pieces of another definition are no pieces of this window.
    pub definition: u64,
    /// The partition that saw it.
    pub partition: u32,
    /// The offset of the record that brought it out; the partition's next offset when it was not a record.
    pub offset: u64,
    /// The names of the measures.
    pub names: Arc<[String]>,
    /// The measures, in the order of `names`.
    pub measures: Vec<Measure>,
    /// Events in this piece.
    pub events: u64,
    /// Whether these events came too late: the window had been closed, and this corrects it.
    pub correction: bool,
    /// The stream that the result is appended to, when there is one.
    pub publish: Option<Arc<str>>,
}

/// Events that came after their window was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateEvents {
    /// The window they belong to.
    pub id: WindowId,
    /// Where it ends, exclusive.
    pub end: Millis,
    /// The partition.
    pub partition: u32,
    /// The offset of the record, the last one when they are several.
    pub offset: u64,
    /// How many.
    pub events: u64,
    /// How far the latest of them was behind the watermark, in milliseconds of event time: with so much more lateness none
    /// of them would have been late.
    pub lateness_ms: Millis,
    /// Whether the window was corrected.
    pub corrected: bool,
}
