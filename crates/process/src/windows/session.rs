//! Sessions: a group's events, each less than the gap after the one before. A session ends a gap after its last event. A
//! cell is a session; it is looked at when its end was due once, and put back when it has gone on.
//!
//! A session that had to make room, or that was handed over while the partition was idle, is over: events that still
//! come begin another one.

use event::Millis;

use super::run::{Arrival, Run, Span};
use super::table::NONE;

impl Run<'_> {
    pub(super) fn add_session(&mut self, gap_ms: Millis, arrival: Arrival<'_>) {
        let time = arrival.time;
        let own = Span { size_ms: 0, start: time, end: time.saturating_add(gap_ms) };
        let hash = self.hash(arrival.owner);
        let mut home = NONE;
        if let Some(group) = self.table.find_group(hash, arrival.owner) {
            home = self.join_sessions(group, own, gap_ms);
        }
        if home == NONE {
            if own.end <= arrival.mark {
                self.late(own, arrival);
                return;
            }
            let group = self.group_of(arrival);
            home = self.table.add_cell(group, own.start, (own.end, 0), &self.definition.empty);
        }
        let group = self.table.cell(home).group;
        self.table.touch(group, self.place.offset);
        self.table.add(home, arrival.steps);
    }

    /// Makes one of the sessions that an event belongs to, at the most two, and gives it.
    fn join_sessions(&mut self, group: u32, own: Span, gap_ms: Millis) -> u32 {
        let (mut home, mut other) = (NONE, NONE);
        for at in self.table.cells_of(group) {
            let session = self.table.cell(at);
            if own.start < session.end && session.start.saturating_sub(gap_ms) < own.start {
                (home, other) = (at, home);
            }
        }
        if home == NONE {
            return NONE;
        }
        if other != NONE {
            self.table.unlink(other);
            let (joined, measures) = self.table.take_cell(other);
            self.table.merge(home, &measures, joined.events);
            let cell = self.table.cell_mut(home);
            (cell.start, cell.end) = (cell.start.min(joined.start), cell.end.max(joined.end));
        }
        let cell = self.table.cell_mut(home);
        (cell.start, cell.end) = (cell.start.min(own.start), cell.end.max(own.end));
        home
    }

    pub(super) fn close_sessions(&mut self, until: Millis) {
        while let Some((_, mut at)) = self.table.take_due(until) {
            while at != NONE {
                let next = self.table.next_due(at);
                let end = self.table.cell(at).end;
                if end > until {
                    self.table.link(at, (end, 0));
                } else {
                    self.close_session(at);
                }
                at = next;
            }
        }
    }

    pub(super) fn spill_sessions(&mut self, group: u32) {
        let cells: Vec<_> = self.table.cells_of(group).collect();
        for at in cells {
            self.table.unlink(at);
            self.close_session(at);
        }
    }

    fn close_session(&mut self, at: u32) {
        let (cell, measures) = self.table.take_cell(at);
        let span = Span { size_ms: 0, start: cell.start, end: cell.end };
        self.hand_over(cell.group, span, measures, cell.events);
        self.table.drop_group_if_empty(cell.group);
    }
}
