//! What one definition holds as bytes, for snapshots.
//!
//! Layout: the clock; groups spilled so far; the number of groups, and the groups, least recently used first. A group: its
//! tenant, its values of `by` as in [`super::identity`], the step of its newest event's offset from that of the group before, the number of its cells, and the cells,
//! oldest first. A cell: its start, then as steps when it is due and where it ends, the place of its length, its events,
//! its measures. Numbers as in [`crate::wire`].

use event::measure::Measure;

use super::definition::{Cut, Definition};
use super::run::Span;
use super::table::Cell;
use super::{Held, Windows, WindowsState};
use crate::owner::Owner;
use crate::wire::{Reader, put, put_bytes, put_signed, put_time};

impl Windows {
    /// Writes down what one definition holds, behind what `out` holds.
    pub(crate) fn encode_section(&self, definition: usize, state: &WindowsState, out: &mut Vec<u8>) {
        match state.0.get(definition) {
            Some(held) => held.encode(out),
            None => Held::new(&self.definitions[definition]).encode(out),
        }
    }

    /// Puts back what [`Windows::encode_section`] wrote for a definition of the same fingerprint. `None`, and that
    /// definition knows nothing, when the bytes are no such section.
    pub(crate) fn decode_section(&self, definition: usize, bytes: &[u8], state: &mut WindowsState) -> Option<()> {
        state.fit(self);
        let of = &self.definitions[definition];
        let mut reader = Reader(bytes);
        let held = Held::decode(of, &mut reader).filter(|_| reader.0.is_empty());
        let restored = held.is_some();
        state.0[definition] = held.unwrap_or_else(|| Held::new(of));
        restored.then_some(())
    }
}

impl Held {
    fn encode(&self, out: &mut Vec<u8>) {
        put_time(out, self.clock, 0);
        put(out, self.spilled);
        let mut groups: Vec<_> = self.table.groups().collect();
        groups.sort_unstable_by_key(|(_, group)| (group.used, group.owner()));
        put(out, groups.len() as u64);
        let mut used = 0;
        for (at, group) in groups {
            put_bytes(out, group.owner().tenant);
            put_bytes(out, group.owner().key);
            put(out, group.used - used);
            used = group.used;
            let cells: Vec<_> = self.table.cells_of(at).collect();
            put(out, cells.len() as u64);
            for at in cells.into_iter().rev() {
                put_cell(out, self.table.cell(at));
                self.table.measures(at).iter().for_each(|measure| measure.encode(out));
            }
        }
    }

    fn decode(definition: &Definition, reader: &mut Reader<'_>) -> Option<Self> {
        let mut held = Self::new(definition);
        held.clock = reader.time(0)?;
        held.spilled = reader.number()?;
        let mut used = 0_u64;
        for _ in 0..reader.number()? {
            let owner = Owner { tenant: reader.bytes()?, key: reader.bytes()? };
            used = used.checked_add(reader.number()?)?;
            let hash = owner.hash(definition.number);
            let cells = reader.number()?;
            if cells == 0 || held.table.find_group(hash, owner).is_some() {
                return None;
            }
            let group = held.table.add_group(hash, owner);
            held.table.touch(group, used);
            for _ in 0..cells {
                held.take_cell(definition, group, reader)?;
            }
        }
        Some(held)
    }

    fn take_cell(&mut self, definition: &Definition, group: u32, reader: &mut Reader<'_>) -> Option<()> {
        let start = reader.signed()?;
        let due = start.wrapping_add(reader.signed()?);
        let end = due.wrapping_add(reader.signed()?);
        let size = u32::try_from(reader.number()?).ok()?;
        let events = reader.number()?;
        let sound = match &definition.cut {
            Cut::Tumbling(sizes) => {
                let span = Span::around(start, sizes.all.get(size as usize)?.ms);
                (start, due, end) == (span.start, span.end, span.end)
            }
            Cut::Hopping { size_ms, .. } => size == 0 && start < due && due <= start.saturating_add(*size_ms),
            Cut::Session { .. } => size == 0 && start <= due && due <= end,
        };
        if !sound {
            return None;
        }
        let at = self.table.add_cell(group, start, (due, size), &definition.empty);
        let mut measures = Vec::with_capacity(definition.empty.len());
        for empty in &definition.empty {
            let measure = Measure::decode(&mut reader.0)?;
            measures.push(Some(measure).filter(|measure| measure.shape() == empty.shape())?);
        }
        self.table.merge(at, &measures, events);
        self.table.cell_mut(at).end = end;
        Some(())
    }
}

fn put_cell(out: &mut Vec<u8>, cell: &Cell) {
    put_signed(out, cell.start);
    put_signed(out, cell.due.0.wrapping_sub(cell.start));
    put_signed(out, cell.end.wrapping_sub(cell.due.0));
    put(out, cell.due.1.into());
    put(out, cell.events);
}
