//! One definition at work on one partition: what all ways to cut time have in common.

use event::measure::{Measure, Step};
use event::{Millis, WindowDelta, WindowId};

use super::definition::{Cut, Definition};
use super::late::Tally;
use super::table::Table;
use super::{Bounds, Place};
use crate::Output;
use crate::owner::Owner;

/// A definition, what it holds, and where its output goes.
pub(super) struct Run<'r> {
    pub(super) definition: &'r Definition,
    pub(super) table: &'r mut Table,
    pub(super) spilled: &'r mut u64,
    pub(super) late: &'r mut Tally,
    pub(super) place: Place<'r>,
    pub(super) bounds: Bounds,
    pub(super) out: &'r mut Output,
}

/// An event that counts.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'r> {
    pub(super) time: Millis,
    /// The watermark before it: what ends there or earlier is closed to it.
    pub(super) mark: Millis,
    /// Its group.
    pub(super) owner: Owner<'r>,
    /// What it adds to each measure.
    pub(super) steps: &'r [Step],
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// As its id has it: 0 for a session.
    pub(super) size_ms: Millis,
    pub(super) start: Millis,
    pub(super) end: Millis,
}

impl Span {
    /// The stretch of this length, aligned to the epoch, that holds a time. (At the ends of time it is cut.)
    pub(super) fn around(time: Millis, size_ms: Millis) -> Self {
        let place = time.div_euclid(size_ms);
        let (start, end) = (place.saturating_mul(size_ms), place.saturating_add(1).saturating_mul(size_ms));
        Self { size_ms, start, end }
    }
}

impl Run<'_> {
    /// Counts an event in its windows, or as late.
    pub(super) fn add(&mut self, arrival: Arrival<'_>) {
        match &self.definition.cut {
            Cut::Tumbling(sizes) => self.add_tumbling(sizes, arrival),
            Cut::Hopping { size_ms, every_ms } => self.add_hopping(*size_ms, *every_ms, arrival),
            Cut::Session { gap_ms } => self.add_session(*gap_ms, arrival),
        }
        while self.table.weight() > self.bounds.bytes_max {
            self.spill();
        }
    }

    /// Hands over all windows that end by then, the first to end first.
    pub(super) fn close(&mut self, until: Millis) {
        let from = self.out.windows.len();
        match &self.definition.cut {
            Cut::Tumbling(sizes) => self.close_tumbling(sizes, until),
            Cut::Hopping { size_ms, every_ms } => self.close_hopping(*size_ms, *every_ms, until),
            Cut::Session { .. } => self.close_sessions(until),
        }
        self.sort(from);
    }

    /// Makes room: the groups that were used longest ago hand their pieces over, and are forgotten. One in 64 goes at
    /// once, so that finding them costs little for each.
    fn spill(&mut self) {
        let from = self.out.windows.len();
        let mut groups: Vec<_> = self.table.groups().map(|(at, group)| (group.used, at)).collect();
        let gone = groups.len().div_ceil(64);
        if gone < groups.len() {
            groups.select_nth_unstable(gone);
        }
        for &(_, group) in &groups[..gone] {
            match &self.definition.cut {
                Cut::Tumbling(sizes) => self.spill_tumbling(sizes, group),
                Cut::Hopping { size_ms, every_ms } => self.spill_hopping(*size_ms, *every_ms, group),
                Cut::Session { .. } => self.spill_sessions(group),
            }
        }
        *self.spilled += gone as u64;
        self.sort(from);
    }

    /// Output is in the order of end, size, start, tenant and key, so that it does not depend on places in memory.
    fn sort(&mut self, from: usize) {
        self.out.windows[from..].sort_unstable_by(|a, b| {
            let (x, y) = (&a.id, &b.id);
            let times = (a.end, x.size_ms, x.start).cmp(&(b.end, y.size_ms, y.start));
            times.then_with(|| (&x.tenant, &x.key).cmp(&(&y.tenant, &y.key)))
        });
    }

    /// The group of an event, which is now the most recently used. A new one may push others out.
    pub(super) fn group_of(&mut self, arrival: Arrival<'_>) -> u32 {
        let hash = self.hash(arrival.owner);
        let group = self.table.find_group(hash, arrival.owner).unwrap_or_else(|| {
            while self.table.len() >= self.bounds.groups_max {
                self.spill();
            }
            self.table.add_group(hash, arrival.owner)
        });
        self.table.touch(group, self.place.offset);
        group
    }

    /// Seeded with the configuration, which outsiders do not know: groups come from them.
    pub(super) fn hash(&self, owner: Owner<'_>) -> u64 {
        owner.hash(self.definition.number)
    }

    /// Hands over what a group has of a window.
    pub(super) fn hand_over(&mut self, group: u32, span: Span, measures: Vec<Measure>, events: u64) {
        let id = self.id(span, self.table.group(group).owner());
        let piece = self.piece(id, span.end, measures, events);
        self.out.windows.push(piece);
    }

    pub(super) fn piece(&self, id: WindowId, end: Millis, measures: Vec<Measure>, events: u64) -> WindowDelta {
        WindowDelta {
            id,
            end,
            definition: self.definition.number,
            partition: self.place.partition,
            offset: self.place.offset,
            names: self.definition.names.clone(),
            measures,
            events,
            correction: false,
            publish: self.definition.publish.clone(),
        }
    }

    pub(super) fn id(&self, span: Span, group: Owner<'_>) -> WindowId {
        WindowId {
            tenant: String::from_utf8_lossy(group.tenant).into_owned(),
            stream: self.place.stream.to_owned(),
            window: self.definition.name.clone(),
            size_ms: span.size_ms,
            start: span.start,
            key: self.definition.key(group.key),
        }
    }
}
