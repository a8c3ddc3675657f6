//! What one turn of the processor yields: one store transaction, made of runs. A run is what came of one piece of a
//! partition, so a transaction that is refused can be cut between any two.

use std::time::Duration;

use event::{Block, DeadLetter, LetterChange, Millis, Position, StreamId};
use process::Output;
use store::{Move, Snapshot};

use crate::poison::Fate;

/// What the processor hands to the committer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) runs: Vec<Run>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) output: Output,
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) letter_changes: Vec<LetterChange>,
    pub(crate) snapshots: Vec<Snapshot>,
    /// Where the states of `snapshots` stand, and their partition's epoch.
    pub(crate) states: Vec<(Position, u64)>,
    /// For each stream that moved: the clock of its slowest partition among those that did.
    pub(crate) clocks: Vec<(StreamId, Millis)>,
    /// Since when it is in hand, and how long reading and rules took.
    pub(crate) begun: Duration,
    pub(crate) took: Duration,
}

/// What came of consecutive offsets of one partition. A run that moves nothing is what an idle partition handed over.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) from: Position,
    pub(crate) to: u64,
    /// How often the partition had been set back when this was made: later, older ones are worth nothing.
    pub(crate) epoch: u64,
    /// Records that the log should have and has not: damage or retention.
    pub(crate) gap: u64,
    /// Letters that failed once too often.
    pub(crate) quarantined: u64,
    ends: Ends,
}

/// How long the batch's lists are once a run is in them.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    blocks: usize,
    anomalies: usize,
    windows: usize,
    late: usize,
    dead_letters: usize,
    letter_changes: usize,
}

impl Run {
    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.to - self.from.offset - self.gap
    }
}

impl Batch {
    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.snapshots.is_empty()
    }

    /// Ends a run: all that was added to the lists since the last one is of it.
    pub(crate) fn end_run(&mut self, from: Position, to: u64, epoch: u64, gap: u64) {
        self.runs.push(Run { from, to, epoch, gap, quarantined: 0, ends: self.ends() });
    }

    /// A run of one poison record.
    pub(crate) fn lay_down(&mut self, fate: Fate, from: Position, epoch: u64, gap: u64) {
        let mut quarantines = false;
        match fate {
            Fate::Letter(letter) => self.dead_letters.push(letter),
            Fate::Again { change, quarantined } => {
                quarantines = quarantined;
                self.letter_changes.push(change);
            }
        }
        self.end_run(from, from.offset + gap + 1, epoch, gap);
        if let Some(run) = self.runs.last_mut() {
            run.quarantined = u64::from(quarantines);
        }
    }

    /// Takes what a program found.
    pub(crate) fn take(&mut self, found: &mut Output) {
        self.output.anomalies.append(&mut found.anomalies);
        self.output.windows.append(&mut found.windows);
        self.output.late.append(&mut found.late);
    }

    /// The steps of all partitions that move, or that handed something over: their positions are checked too.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        for run in &self.runs {
            let same =
                |step: &&mut Move| (step.from.stream, step.from.partition) == (run.from.stream, run.from.partition);
            match moves.iter_mut().find(same) {
                Some(step) => step.to = run.to,
                None => moves.push(Move { from: run.from, to: run.to }),
            }
        }
        moves
    }

    /// Records that were passed over because they are lost.
    pub(crate) fn gaps(&self) -> u64 {
        self.runs.iter().map(|run| run.gap).sum()
    }

    /// Some of the runs, by their places in ascending order, as a batch of their own without snapshots.
    pub(crate) fn part(&self, runs: &[usize]) -> Self {
        let mut part = Self { begun: self.begun, took: self.took, ..Self::default() };
        for &i in runs {
            let from = if i == 0 { Ends::default() } else { self.runs[i - 1].ends };
            let (run, to) = (&self.runs[i], self.runs[i].ends);
            part.blocks.extend_from_slice(&self.blocks[from.blocks..to.blocks]);
            part.output.anomalies.extend_from_slice(&self.output.anomalies[from.anomalies..to.anomalies]);
            part.output.windows.extend_from_slice(&self.output.windows[from.windows..to.windows]);
            part.output.late.extend_from_slice(&self.output.late[from.late..to.late]);
            part.dead_letters.extend_from_slice(&self.dead_letters[from.dead_letters..to.dead_letters]);
            part.letter_changes.extend_from_slice(&self.letter_changes[from.letter_changes..to.letter_changes]);
            part.runs.push(Run { ends: part.ends(), ..run.clone() });
        }
        part
    }

    /// The same without the runs and snapshots that `stale` names by partition and epoch.
    pub(crate) fn without(self, stale: &dyn Fn(Position, u64) -> bool) -> Self {
        let any = self.runs.iter().any(|run| stale(run.from, run.epoch))
            || self.states.iter().any(|(position, epoch)| stale(*position, *epoch));
        if !any {
            return self;
        }
        let good: Vec<_> = (0..self.runs.len()).filter(|i| !stale(self.runs[*i].from, self.runs[*i].epoch)).collect();
        let mut rest = self.part(&good);
        rest.clocks = self.clocks;
        let kept =
            self.snapshots.into_iter().zip(self.states).filter(|(_, (position, epoch))| !stale(*position, *epoch));
        (rest.snapshots, rest.states) = kept.unzip();
        rest
    }

    /// To each lane what is of its partitions.
    pub(crate) fn divide(self, lanes: usize, lane: &dyn Fn(Position) -> usize) -> Vec<Self> {
        if lanes == 1 {
            return vec![self];
        }
        let mut parts: Vec<Self> = (0..lanes).map(|_| Self { begun: self.begun, ..Self::default() }).collect();
        let (mut blocks, mut letters) = (self.blocks.into_iter(), self.dead_letters.into_iter());
        let (mut anomalies, mut windows) = (self.output.anomalies.into_iter(), self.output.windows.into_iter());
        let (mut late, mut changes) = (self.output.late.into_iter(), self.letter_changes.into_iter());
        let mut from = Ends::default();
        for run in self.runs {
            let (part, to) = (&mut parts[lane(run.from)], run.ends);
            part.blocks.extend(blocks.by_ref().take(to.blocks - from.blocks));
            part.output.anomalies.extend(anomalies.by_ref().take(to.anomalies - from.anomalies));
            part.output.windows.extend(windows.by_ref().take(to.windows - from.windows));
            part.output.late.extend(late.by_ref().take(to.late - from.late));
            part.dead_letters.extend(letters.by_ref().take(to.dead_letters - from.dead_letters));
            part.letter_changes.extend(changes.by_ref().take(to.letter_changes - from.letter_changes));
            part.runs.push(Run { ends: part.ends(), ..run });
            from = to;
        }
        for (snapshot, state) in self.snapshots.into_iter().zip(self.states) {
            let part = &mut parts[lane(state.0)];
            part.snapshots.push(snapshot);
            part.states.push(state);
        }
        // These are told with the first part: one figure for a stream, and for the batch.
        if let Some(first) = parts.iter_mut().find(|part| !part.is_empty()) {
            (first.clocks, first.took) = (self.clocks, self.took);
        }
        parts
    }

    fn ends(&self) -> Ends {
        Ends {
            blocks: self.blocks.len(),
            anomalies: self.output.anomalies.len(),
            windows: self.output.windows.len(),
            late: self.output.late.len(),
            dead_letters: self.dead_letters.len(),
            letter_changes: self.letter_changes.len(),
        }
    }
}
