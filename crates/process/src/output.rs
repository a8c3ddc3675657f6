//! What a run over records yields.

use event::{Anomaly, LateEvents, WindowDelta};

/// Findings in the order in which records brought them out; each names its record's partition and offset. The record of
/// an absence is the last one of its key: that one may lie in an earlier block, and its bytes are not at hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// What rules found.
    pub anomalies: Vec<Anomaly>,
    /// Pieces of windows that were closed, or corrected, or had to make room.
    pub windows: Vec<WindowDelta>,
    /// Events that came after their window was closed.
    pub late: Vec<LateEvents>,
}

impl Output {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.anomalies.is_empty() && self.windows.is_empty() && self.late.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.anomalies.clear();
        self.windows.clear();
        self.late.clear();
    }
}
