//! Tumbling windows: one after the other, of several lengths. An event counts in the shortest window that it is not late
//! for; when that is closed, what it has goes into the longer ones that are made of it (see [`Sizes`]).

use event::Millis;
use event::measure::Measure;

use super::definition::Sizes;
use super::run::{Arrival, Run, Span};
use super::table::{Cell, Due, NONE};

impl Run<'_> {
    pub(super) fn add_tumbling(&mut self, sizes: &Sizes, arrival: Arrival<'_>) {
        let mut group = None;
        let mut wanted = sizes.roots;
        for (at, size) in (0..).zip(&sizes.all) {
            if wanted & 1 << at == 0 {
                continue;
            }
            let span = Span::around(arrival.time, size.ms);
            if span.end <= arrival.mark {
                self.late(span, arrival);
                wanted |= size.feeds;
                continue;
            }
            let group = *group.get_or_insert_with(|| self.group_of(arrival));
            let cell = self.tumbling_cell(group, span, at);
            self.table.add(cell, arrival.steps);
        }
    }

    fn tumbling_cell(&mut self, group: u32, span: Span, size: u32) -> u32 {
        let due: Due = (span.end, size);
        let known = self.table.find_cell(group, span.start, due);
        known.unwrap_or_else(|| self.table.add_cell(group, span.start, due, &self.definition.empty))
    }

    pub(super) fn close_tumbling(&mut self, sizes: &Sizes, until: Millis) {
        // What one window feeds ends with it or later, and is longer: its list comes after this one.
        while let Some((_, mut at)) = self.table.take_due(until) {
            while at != NONE {
                let next = self.table.next_due(at);
                let group = self.close_cell(sizes, at);
                self.table.drop_group_if_empty(group);
                at = next;
            }
        }
    }

    pub(super) fn spill_tumbling(&mut self, sizes: &Sizes, group: u32) {
        while let Some(at) = self.table.cells_of(group).min_by_key(|at| self.table.cell(*at).due) {
            self.table.unlink(at);
            self.close_cell(sizes, at);
        }
        self.table.drop_group_if_empty(group);
    }

    /// Hands over a cell that is in no list, and adds it to what it feeds.
    fn close_cell(&mut self, sizes: &Sizes, at: u32) -> u32 {
        let (cell, measures) = self.table.take_cell(at);
        let size = &sizes.all[cell.due.1 as usize];
        for (longer, to) in (0..).zip(&sizes.all) {
            if size.feeds & 1 << longer != 0 {
                self.feed(&cell, &measures, Span::around(cell.start, to.ms), longer);
            }
        }
        let span = Span { size_ms: size.ms, start: cell.start, end: cell.due.0 };
        self.hand_over(cell.group, span, measures, cell.events);
        cell.group
    }

    fn feed(&mut self, cell: &Cell, measures: &[Measure], span: Span, size: u32) {
        let to = self.tumbling_cell(cell.group, span, size);
        self.table.merge(to, measures, cell.events);
    }
}
