//! What a swap exchanges, in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use event::{Anomaly, LateEvents, WindowDelta, WindowId};
use store::query::WindowRow;
use store::{Commit, Retract};

use super::compare::Change;
use super::{ReplayParts, Stopped};

/// Rows that go, and rows that come in their place.
pub(super) struct Plan {
    /// How many differences more it takes.
    left: usize,
    max: usize,
    retract: Vec<Retract>,
    anomalies: Vec<Anomaly>,
    windows: Vec<WindowDelta>,
    late: Vec<LateEvents>,
}

impl Plan {
    /// An empty one for at most so many differences.
    pub(super) fn new(max: usize) -> Self {
        let (retract, anomalies, windows, late) = Default::default();
        Self { left: max, max, retract, anomalies, windows, late }
    }

    /// Takes one more difference. `known` are late events by window.
    pub(super) fn add(&mut self, change: Change, known: &HashMap<WindowId, LateEvents>) -> Result<(), Stopped> {
        let too_many =
            || Stopped::Other(format!("more than {} rows differ; narrow the range and swap in parts", self.max));
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        match change {
            Change::Anomaly(live, mine) => {
                self.retract.extend(live.map(|a| Retract::Anomaly { tenant: a.tenant, stream: a.stream, id: a.id }));
                self.anomalies.extend(mine);
            }
            Change::Window(live, mine) => {
                let Some(id) = live.as_ref().or(mine.as_ref()).map(|row| row.id.clone()) else { return Ok(()) };
                // Its counts of late events go with it, so they come again too.
                self.late.extend(mine.as_ref().map(|row| late(row, known)).filter(|late| late.events > 0));
                self.windows.extend(mine.map(piece));
                self.retract.push(Retract::Window(id));
            }
        }
        Ok(())
    }

    /// Exchanges everything, or nothing. Nobody is told: there are no alerts in it, and no window goes to a stream.
    pub(super) fn commit(&self, parts: &ReplayParts) -> Result<(), Stopped> {
        if self.retract.is_empty() && self.anomalies.is_empty() {
            return Ok(());
        }
        let Self { retract, anomalies, windows, late, .. } = self;
        Ok(parts.store.commit(&Commit { retract, anomalies, windows, late, ..Commit::default() })?)
    }
}

/// A whole window as one piece.
fn piece(row: WindowRow) -> WindowDelta {
    let (names, measures): (Vec<_>, Vec<_>) = row.measures.into_iter().unzip();
    WindowDelta {
        id: row.id,
        end: row.end,
        definition: row.definition,
        partition: 0,
        offset: 0,
        names: Arc::from(names),
        measures,
        events: row.events,
        correction: false,
        publish: None,
    }
}

fn late(row: &WindowRow, known: &HashMap<WindowId, LateEvents>) -> LateEvents {
    let known = known.get(&row.id).cloned();
    let unknown = || LateEvents {
        id: row.id.clone(),
        end: row.end,
        partition: 0,
        offset: 0,
        events: row.late,
        lateness_ms: 0,
        corrected: false,
    };
    LateEvents { events: row.late, ..known.unwrap_or_else(unknown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_ends_at_its_bound() {
        let known = HashMap::new();
        let window = |start| {
            let (tenant, stream, window, key) = Default::default();
            let id = WindowId { tenant, stream, window, size_ms: 1, start, key };
            let (measures, definition) = (Vec::new(), 0);
            let row = WindowRow {
                id,
                end: 1,
                definition,
                measures,
                events: 1,
                late: 0,
                revision: 1,
                created_at: 0,
                updated_at: 0,
            };
            Change::Window(Some(row), None)
        };
        let mut plan = Plan::new(2);
        (0..2).for_each(|start| plan.add(window(start), &known).unwrap());
        let full = plan.add(window(2), &known).unwrap_err().to_string();
        assert!(full.contains("more than 2 rows") && full.contains("narrow the range"), "{full}");
        assert_eq!(plan.retract.len(), 2);
    }
}
