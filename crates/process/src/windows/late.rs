//! Events that came too late, added up over one block: a backlog of them is late for the same windows again and again,
//! and a hopping definition has many of these for each event.
//!
//! What is told adds up to the same however records are split into blocks. What one block tells is in the order in which
//! windows had their first late event in it.

use event::measure::{Measure, Step};
use event::{LateEvents, Millis, WindowDelta};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::run::{Arrival, Run, Span};
use crate::owner::{Owner, OwnerBytes};

/// The late events of one definition in one block. Empty between blocks.
#[derive(Debug, Default)]
pub(super) struct Tally {
    index: HashTable<u32>,
    all: Vec<Late>,
}

/// Those of one window.
#[derive(Debug)]
struct Late {
    hash: u64,
    owner: OwnerBytes,
    span: Span,
    /// The offset of the last of them.
    offset: u64,
    events: u64,
    lateness_ms: Millis,
    /// None when they do not correct it.
    measures: Vec<Measure>,
}

impl Tally {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one of a window.
    fn of(&mut self, hash: u64, owner: Owner<'_>, span: Span, empty: &[Measure]) -> &mut Late {
        let hash = xxh3_64_with_seed(&span.start.to_le_bytes(), hash.wrapping_add(span.size_ms as u64));
        let is = |&at: &u32| {
            let known = &self.all[at as usize];
            known.hash == hash && known.span == span && known.owner.get() == owner
        };
        let at = self.index.find(hash, is).copied().unwrap_or_else(|| {
            let at = self.all.len() as u32;
            let (owner, measures) = (OwnerBytes::new(owner), empty.to_vec());
            self.all.push(Late { hash, owner, span, offset: 0, events: 0, lateness_ms: 0, measures });
            self.index.insert_unique(hash, at, |&at| self.all[at as usize].hash);
            at
        });
        &mut self.all[at as usize]
    }
}

impl Late {
    fn add(&mut self, offset: u64, lateness_ms: Millis, steps: &[Step]) {
        self.offset = offset;
        self.events += 1;
        self.lateness_ms = self.lateness_ms.max(lateness_ms);
        self.measures.iter_mut().zip(steps).for_each(|(measure, step)| measure.add(*step));
    }
}

impl Run<'_> {
    /// An event that came after its window was closed: counted, and measured when that is wanted.
    pub(super) fn late(&mut self, span: Span, arrival: Arrival<'_>) {
        let hash = self.hash(arrival.owner);
        let empty = if self.definition.correct { &self.definition.empty[..] } else { &[] };
        let late = self.late.of(hash, arrival.owner, span, empty);
        late.add(self.place.offset, arrival.mark.saturating_sub(arrival.time), arrival.steps);
        if self.late.all.len() >= self.bounds.late_max {
            self.tell_late();
        }
    }

    /// Tells of the events that were late since this was called last: their number, and a piece for each window that they
    /// correct.
    pub(super) fn tell_late(&mut self) {
        for late in std::mem::take(self.late).all {
            let Late { span, offset, events, lateness_ms, measures, .. } = late;
            let (id, corrected) = (self.id(span, late.owner.get()), self.definition.correct);
            if corrected {
                let piece = self.piece(id.clone(), span.end, measures, events);
                self.out.windows.push(WindowDelta { offset, correction: true, ..piece });
            }
            let partition = self.place.partition;
            self.out.late.push(LateEvents { id, end: span.end, partition, offset, events, lateness_ms, corrected });
        }
    }
}
