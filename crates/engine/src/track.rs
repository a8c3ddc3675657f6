//! Streams and partitions while the engine runs.

use std::sync::Arc;

use event::{Millis, Position, StreamId};
use process::{Program, State};

/// One stream.
#[derive(Debug)]
pub(crate) struct StreamTrack {
    pub(crate) id: StreamId,
    pub(crate) name: String,
    /// Its rules and windows; `None` when it has none.
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) partitions: Vec<PartitionTrack>,
    /// Its reader is ahead of its partitions: a new one is needed.
    pub(crate) reopen: bool,
}

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionTrack {
    /// The next offset to process.
    pub(crate) next: u64,
    /// The position of the state that the store has.
    pub(crate) snapshot: u64,
    /// The store's state is of that position, but has not everything in it.
    pub(crate) unsaved: bool,
    /// The store has no state of it that could be used: the first transaction brings one.
    pub(crate) bare: bool,
    pub(crate) state: State,
    /// How often it was set back.
    pub(crate) epoch: u64,
    /// A rule panicked, or it was set back: the state is of no use until it is made anew.
    pub(crate) broken: bool,
    /// The number of the batch with what it handed over last because it was idle. Only the state in that batch knows of it.
    pub(crate) advanced: u64,
    /// Up to here every record is a run of its own.
    pub(crate) one_by_one: u64,
    /// When it had a record for the last time, by the clock; when the engine began, at first.
    pub(crate) seen_at: Millis,
    /// Nothing is handed over because of idleness until there is a record again.
    pub(crate) no_advance: bool,
}

impl StreamTrack {
    pub(crate) fn position(&self, partition: usize, offset: u64) -> Position {
        Position { stream: self.id, partition: partition as u32, offset }
    }

    /// What the log must keep for the rule states to be rebuilt; without rules that is nothing before the position.
    pub(crate) fn state_positions(&self) -> impl Iterator<Item = Position> {
        let offset = |p: &PartitionTrack| if self.program.is_some() { p.snapshot } else { p.next };
        self.partitions.iter().enumerate().map(move |(i, p)| self.position(i, offset(p)))
    }
}

impl PartitionTrack {
    /// Whether its state is worth writing down.
    pub(crate) fn is_unsaved(&self) -> bool {
        !self.broken && (self.snapshot < self.next || self.unsaved)
    }
}
