//! Hopping windows: of one length, a new one every so often. They overlap, so a cell is not a window but the stretch
//! between two hops, which is in several windows: an event costs one cell, however many windows hold it. A cell is due
//! when the next window that it is part of ends.

use event::Millis;
use event::measure::Measure;

use super::run::{Arrival, Run, Span};
use super::table::NONE;

impl Run<'_> {
    pub(super) fn add_hopping(&mut self, size_ms: Millis, every_ms: Millis, arrival: Arrival<'_>) {
        let hop = Span::around(arrival.time, every_ms);
        let last = hop.start.saturating_add(size_ms);
        let mut end = hop.end;
        while end <= last && end <= arrival.mark {
            self.late(window_to(end, size_ms), arrival);
            end = end.saturating_add(every_ms);
            if end == Millis::MAX {
                return;
            }
        }
        if end > last {
            return;
        }
        let group = self.group_of(arrival);
        // A cell that was handed over already while the partition was idle is due later, and is left alone.
        let known = self.table.find_cell(group, hop.start, (end, 0));
        let cell = known.unwrap_or_else(|| self.table.add_cell(group, hop.start, (end, 0), &self.definition.empty));
        self.table.add(cell, arrival.steps);
    }

    pub(super) fn close_hopping(&mut self, size_ms: Millis, every_ms: Millis, until: Millis) {
        while let Some(((end, _), mut at)) = self.table.take_due(until) {
            let mut cells = Vec::new();
            while at != NONE {
                cells.push((self.table.cell(at).group, at));
                at = self.table.next_due(at);
            }
            cells.sort_unstable();
            for of_group in cells.chunk_by(|a, b| a.0 == b.0) {
                let group = of_group[0].0;
                self.hand_over_hop(group, of_group.iter().map(|(_, at)| *at), window_to(end, size_ms));
                for &(_, at) in of_group {
                    let last = self.table.cell(at).start.saturating_add(size_ms);
                    if end >= last {
                        self.table.take_cell(at);
                    } else {
                        self.table.link(at, (end.saturating_add(every_ms), 0));
                    }
                }
                self.table.drop_group_if_empty(group);
            }
        }
    }

    pub(super) fn spill_hopping(&mut self, size_ms: Millis, every_ms: Millis, group: u32) {
        let cells: Vec<_> = self.table.cells_of(group).collect();
        let first = cells.iter().map(|at| self.table.cell(*at).due.0).min();
        let last = cells.iter().map(|at| self.table.cell(*at).start.saturating_add(size_ms)).max();
        let (mut end, last) = (first.unwrap_or(Millis::MAX), last.unwrap_or(Millis::MIN));
        while end <= last {
            let window = window_to(end, size_ms);
            let inside = |at: &&u32| {
                let cell = self.table.cell(**at);
                cell.due.0 <= end && cell.start >= window.start
            };
            let inside: Vec<_> = cells.iter().filter(inside).copied().collect();
            if !inside.is_empty() {
                self.hand_over_hop(group, inside.into_iter(), window);
            }
            if end == Millis::MAX {
                break;
            }
            end = end.saturating_add(every_ms);
        }
        for at in cells {
            self.table.unlink(at);
            self.table.take_cell(at);
        }
        self.table.drop_group_if_empty(group);
    }

    fn hand_over_hop(&mut self, group: u32, cells: impl Iterator<Item = u32>, window: Span) {
        let mut sum: Vec<Measure> = self.definition.empty.clone();
        let mut events = 0;
        for at in cells {
            sum.iter_mut().zip(self.table.measures(at)).for_each(|(sum, measure)| sum.merge(measure));
            events += self.table.cell(at).events;
        }
        self.hand_over(group, window, sum, events);
    }
}

fn window_to(end: Millis, size_ms: Millis) -> Span {
    Span { size_ms, start: end.saturating_sub(size_ms), end }
}
