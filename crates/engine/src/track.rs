//! Streams and partitions while the engine runs.

use std::sync::Arc;

use event::{Millis, Position, StreamId};
use process::{Program, State};
use store::Move;

use crate::lanes::Ticket;

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
    /// Whether this engine works on it. Of one that it does not work on nothing else is of any meaning.
    pub(crate) owned: bool,
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
    /// The batch with what it handed over last because it was idle. Only the state in that batch knows of it.
    pub(crate) advanced: Ticket,
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

    /// The partitions that this engine works on.
    pub(crate) fn owned(&self) -> impl Iterator<Item = (usize, &PartitionTrack)> {
        self.partitions.iter().enumerate().filter(|(_, partition)| partition.owned)
    }

    /// Whether this engine works on all of them.
    pub(crate) fn is_whole(&self) -> bool {
        self.partitions.iter().all(|partition| partition.owned)
    }

    /// Where they stand.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> {
        self.owned().map(|(i, partition)| self.position(i, partition.next))
    }

    /// Steps that move nothing: a commit with them is refused when another engine has claimed one of the partitions.
    pub(crate) fn still(&self) -> Vec<Move> {
        self.positions().filter(|at| at.offset > 0).map(|at| Move { from: at, to: at.offset }).collect()
    }

    /// What the log must keep for the rule states to be rebuilt; without rules that is nothing before the position.
    pub(crate) fn state_positions(&self) -> impl Iterator<Item = Position> {
        let offset = |p: &PartitionTrack| if self.program.is_some() { p.snapshot } else { p.next };
        self.owned().map(move |(i, p)| self.position(i, offset(p)))
    }
}

impl PartitionTrack {
    /// Whether its state is worth writing down.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.owned && !self.broken && (self.snapshot < self.next || self.unsaved)
    }
}
