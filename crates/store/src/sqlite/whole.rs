//! Pieces of one window as one: the same whatever the store.

use std::borrow::Cow;

use event::measure::Measure;
use event::{Millis, WindowDelta};

/// Several pieces of one window as one.
pub(crate) struct Whole<'a> {
    /// The last piece: its definition is the window's.
    pub(crate) last: &'a WindowDelta,
    /// What they measured together.
    pub(crate) measures: Cow<'a, [Measure]>,
    /// Events in them.
    pub(crate) events: u64,
    /// Where the window ends.
    pub(crate) end: Millis,
    /// Whether they are all of one definition: if not, what the row has is replaced as well.
    pub(crate) pure: bool,
    /// Whether they are all of late events.
    pub(crate) corrects: bool,
}

impl<'a> Whole<'a> {
    /// The pieces in their order.
    pub(crate) fn of(first: &'a WindowDelta, more: impl Iterator<Item = &'a WindowDelta>) -> Self {
        let mut whole = Self {
            last: first,
            measures: Cow::Borrowed(&first.measures),
            events: first.events,
            end: first.end,
            pure: true,
            corrects: first.correction,
        };
        for piece in more {
            if piece.definition == whole.last.definition {
                whole.add(&piece.measures, piece.events, piece.end);
                whole.last = piece;
                whole.corrects &= piece.correction;
            } else {
                let (measures, corrects) = (Cow::Borrowed(&piece.measures[..]), piece.correction);
                whole = Self { last: piece, measures, events: piece.events, end: piece.end, pure: false, corrects };
            }
        }
        whole
    }

    /// Adds what is there already, or another piece.
    pub(crate) fn add<'m>(&mut self, measures: impl IntoIterator<Item = &'m Measure>, events: u64, end: Millis) {
        self.measures.to_mut().iter_mut().zip(measures).for_each(|(mine, more)| mine.merge(more));
        self.events = self.events.saturating_add(events);
        self.end = self.end.max(end);
    }
}
