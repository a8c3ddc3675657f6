//! Windows in event time: the definitions of one stream, compiled, and what they hold open of one partition.
//!
//! The clock of a partition is the newest event time of its records, none counted as later than its own receipt: one
//! event from the future moves nothing. The watermark of a definition is that less its lateness. A window is closed when
//! the watermark has reached its end; what it has is handed over then, as a piece of the result, because other partitions
//! see other events of it. An event is late for a window that ends at the watermark *before* that event, or earlier. It
//! is counted then; and when late events correct their window, those of one block are one more piece of it.
//!
//! An event costs one look-up of its group in each definition, and one cell. No allocation once that is there.

mod definition;
mod hopping;
mod identity;
mod late;
mod meter;
mod run;
mod section;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod tumbling;

use event::measure::Step;
use event::{Millis, limits};

use self::definition::Definition;
use self::late::Tally;
use self::run::{Arrival, Run};
use self::table::Table;
use crate::compile::Compiler;
use crate::expr::Row;
use crate::owner::Owner;
use crate::{Output, RuleError, WindowSpec};

/// The window definitions of one stream.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    definitions: Vec<Definition>,
    bounds: Bounds,
}

/// How much one definition may hold of one partition.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    groups_max: usize,
    bytes_max: usize,
    /// Windows whose late events are added up at a time.
    late_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { groups_max: limits::WINDOW_GROUPS_MAX, bytes_max: limits::WINDOW_BYTES_MAX, late_max: 50_000 }
    }
}

/// What they hold open of one partition. Each definition has a clock of its own in it, so that one of them can be fed
/// alone.
#[derive(Debug, Default)]
pub(crate) struct WindowsState(Vec<Held>);

/// What one definition holds.
#[derive(Debug)]
struct Held {
    /// `Millis::MIN` before the first record.
    clock: Millis,
    table: Table,
    spilled: u64,
    late: Tally,
    /// Of the record at hand; kept for their memory.
    identity: Vec<u8>,
    steps: Vec<Step>,
}

/// Where a record, or an advance, happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) stream: &'a str,
    pub(crate) partition: u32,
    /// The record's offset; for an advance the partition's next one.
    pub(crate) offset: u64,
}

impl Windows {
    /// Compiles the definitions of one stream (the specs are of that stream already).
    pub(crate) fn compile(specs: &[&WindowSpec], compiler: &mut Compiler<'_>, errors: &mut Vec<RuleError>) -> Self {
        let mut definitions = Vec::with_capacity(specs.len());
        for (i, spec) in specs.iter().enumerate() {
            if spec.name.is_empty() || specs[..i].iter().any(|other| other.name == spec.name) {
                errors.push(RuleError {
                    rule: spec.name.clone(),
                    field: "name".to_owned(),
                    message: "must be there, and unique among the windows of a stream".to_owned(),
                });
            }
            definitions.extend(Definition::compile(spec, compiler, errors));
        }
        Self { definitions, bounds: Bounds::default() }
    }

    /// How many definitions there are.
    pub(crate) fn definitions(&self) -> usize {
        self.definitions.len()
    }

    /// Their names in order, each with the number of its definition (the same as its fingerprint).
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.definitions.iter().map(|definition| (definition.name.as_str(), definition.number))
    }

    /// A number that changes when anything does that the state of one definition depends on. Stable over restarts.
    pub(crate) fn fingerprint(&self, definition: usize) -> u64 {
        self.definitions[definition].number
    }

    /// Takes a record: closes what is due by the clock, then the record is late for some windows and counts in others.
    pub(crate) fn take<'a>(&'a self, state: &mut WindowsState, row: &mut Row<'a>, place: Place<'_>, out: &mut Output) {
        state.fit(self);
        for (definition, held) in self.definitions.iter().zip(&mut state.0) {
            held.take(definition, self.bounds, row, place, out);
        }
    }

    /// As [`Windows::take`], for these definitions alone.
    pub(crate) fn take_only<'a>(
        &'a self,
        definitions: &[usize],
        state: &mut WindowsState,
        row: &mut Row<'a>,
        place: Place<'_>,
        out: &mut Output,
    ) {
        state.fit(self);
        for &at in definitions {
            state.0[at].take(&self.definitions[at], self.bounds, row, place, out);
        }
    }

    /// Tells of the late events of a block: whoever gave records of it to [`Windows::take`] calls this at its end.
    pub(crate) fn end(&self, state: &mut WindowsState, place: Place<'_>, out: &mut Output) {
        for (definition, held) in self.definitions.iter().zip(&mut state.0) {
            if !held.late.is_empty() {
                held.run(definition, self.bounds, place, out).tell_late();
            }
        }
    }

    /// Takes what a state holds of some definitions over into another.
    pub(crate) fn adopt(
        &self,
        state: &mut WindowsState,
        from: &mut WindowsState,
        definitions: impl Iterator<Item = usize>,
    ) {
        state.fit(self);
        from.fit(self);
        for at in definitions {
            std::mem::swap(&mut state.0[at], &mut from.0[at]);
        }
    }

    /// Hands over what is due at `to`, which is later than the partition's own clock: it has been idle. What is late stays
    /// a matter of that clock: an event that still comes for such a window is one more piece of it.
    pub(crate) fn advance(&self, state: &mut WindowsState, place: Place<'_>, to: Millis, out: &mut Output) {
        state.fit(self);
        for (definition, held) in self.definitions.iter().zip(&mut state.0) {
            let until = to.saturating_sub(definition.lateness_ms);
            held.run(definition, self.bounds, place, out).close(until);
        }
    }

    /// The earliest time at which [`Windows::advance`] may have something to hand over. (A session may have gone on since
    /// it was looked at last: then nothing comes out, and the next time is later.)
    pub(crate) fn due(&self, state: &WindowsState) -> Option<Millis> {
        let held = self.definitions.iter().zip(&state.0);
        held.filter_map(|(definition, held)| Some(held.table.due()?.saturating_add(definition.lateness_ms))).min()
    }
}

impl WindowsState {
    /// How many groups handed their pieces over early to make room, since the partition's first record.
    pub(crate) fn spilled(&self) -> u64 {
        self.0.iter().map(|held| held.spilled).sum()
    }

    /// How many groups are held, over all definitions.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> usize {
        self.0.iter().map(|held| held.table.len()).sum()
    }

    fn fit(&mut self, windows: &Windows) {
        if self.0.len() < windows.definitions.len() {
            let more = &windows.definitions[self.0.len()..];
            self.0.extend(more.iter().map(Held::new));
        }
    }
}

impl Held {
    fn new(definition: &Definition) -> Self {
        let table = Table::new(definition.empty.len());
        Self { clock: Millis::MIN, table, spilled: 0, late: Tally::default(), identity: Vec::new(), steps: Vec::new() }
    }

    fn run<'r>(
        &'r mut self,
        definition: &'r Definition,
        bounds: Bounds,
        place: Place<'r>,
        out: &'r mut Output,
    ) -> Run<'r> {
        Run { definition, table: &mut self.table, spilled: &mut self.spilled, late: &mut self.late, place, bounds, out }
    }

    fn take<'a>(
        &mut self,
        definition: &'a Definition,
        bounds: Bounds,
        row: &mut Row<'a>,
        place: Place<'_>,
        out: &mut Output,
    ) {
        let record = row.record;
        let mark = self.clock.saturating_sub(definition.lateness_ms);
        let clock = self.clock.max(record.time.min(record.received_at));
        if clock > self.clock {
            self.clock = clock;
            let until = clock.saturating_sub(definition.lateness_ms);
            if self.table.due().is_some_and(|due| due <= until) {
                self.run(definition, bounds, place, out).close(until);
            }
        }
        if !definition.counts(row) {
            return;
        }
        let (mut identity, mut steps) = (std::mem::take(&mut self.identity), std::mem::take(&mut self.steps));
        definition.read(row, &mut identity, &mut steps);
        let owner = Owner { tenant: record.tenant(), key: &identity };
        let arrival = Arrival { time: record.time, mark, owner, steps: &steps };
        self.run(definition, bounds, place, out).add(arrival);
        (self.identity, self.steps) = (identity, steps);
    }
}
