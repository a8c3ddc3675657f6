//! The first thread: reads the log, runs the rules, builds batches.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use event::{Anomaly, Block, DeadLetter, Position, StreamId};
use log::{Clock, Cursor, Log};
use store::{Move, Snapshot, StoredPosition};

use crate::recover::StreamTrack;
use crate::refused::dead_letter;
use crate::{Command, EngineError, Parts, Settings};

/// How long an idle engine sleeps before it looks for commands; new records wake it at once.
const IDLE: Duration = Duration::from_millis(50);

/// What one turn of the loop yields: one store transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) moves: Vec<Move>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) anomalies: Vec<Anomaly>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) snapshots: Vec<Snapshot>,
    /// Where the states of `snapshots` stand.
    pub(crate) states: Vec<Position>,
    /// Records that the log should have and has not: damage or retention.
    pub(crate) skipped: u64,
    /// Since when it is in hand, and how long reading and rules took.
    pub(crate) begun: Duration,
    pub(crate) took: Duration,
}

/// The first thread's belongings.
pub(crate) struct Processor {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    refused: StreamId,
    tracks: Vec<StreamTrack>,
    cursors: Vec<Box<dyn Cursor>>,
    /// The stream whose turn it is to be read first.
    turn: usize,
    commands: Receiver<Command>,
    batches: SyncSender<Batch>,
    snapshot_at: Duration,
    records: u64,
}

impl Processor {
    pub(crate) fn new(
        parts: &Parts,
        tracks: Vec<StreamTrack>,
        commands: Receiver<Command>,
        batches: SyncSender<Batch>,
    ) -> Result<Self, EngineError> {
        let open = |track: &StreamTrack| {
            let from: Vec<_> = track.partitions.iter().enumerate().map(|(i, p)| (i as u32, p.next)).collect();
            parts.log.read(track.id, &from)
        };
        Ok(Self {
            cursors: tracks.iter().map(open).collect::<Result<_, _>>()?,
            log: parts.log.clone(),
            clock: parts.clock.clone(),
            settings: parts.settings.clone(),
            refused: parts.catalog.refused(),
            tracks,
            turn: 0,
            commands,
            batches,
            snapshot_at: parts.clock.elapsed(),
            records: 0,
        })
    }

    /// Runs until told to end, or until nobody takes the batches any more.
    pub(crate) fn run(mut self) -> Result<(), EngineError> {
        let mut seen = 0;
        let mut targets: Option<Vec<Vec<u64>>> = None;
        loop {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => break,
                Ok(Command::Drain) => targets = Some(self.ends()),
                Err(TryRecvError::Empty) => {}
            }
            if targets.as_ref().is_some_and(|targets| self.reached(targets)) {
                break;
            }
            let mut batch = self.read()?;
            if batch.moves.is_empty() {
                batch = self.read_or_pass_over()?;
            }
            let idle = batch.moves.is_empty();
            if self.snapshot_due() {
                self.add_snapshots(&mut batch);
            }
            if (!idle || !batch.snapshots.is_empty()) && self.batches.send(batch).is_err() {
                return Ok(()); // the other thread ended and said why
            }
            if idle {
                // What came since `seen` was taken wakes at once, so nothing is slept through.
                seen = self.log.wait(seen, IDLE);
            }
        }
        let mut last = Batch { begun: self.clock.elapsed(), ..Batch::default() };
        self.add_snapshots(&mut last);
        if !last.snapshots.is_empty() {
            let _ = self.batches.send(last); // as above
        }
        Ok(())
    }

    /// Reads up to a batch of records from all streams, another one first every time, and runs their rules.
    fn read(&mut self) -> Result<Batch, EngineError> {
        let begun = self.clock.elapsed();
        let mut batch = Batch { begun, ..Batch::default() };
        let mut room = self.settings.batch_bytes;
        self.turn = (self.turn + 1) % self.tracks.len();
        for i in 0..self.tracks.len() {
            let stream = (self.turn + i) % self.tracks.len();
            let blocks = self.cursors[stream].next(room)?;
            room = room.saturating_sub(blocks.iter().map(Block::weight).sum());
            self.take(stream, blocks, &mut batch);
            if room == 0 {
                break;
            }
        }
        batch.took = self.clock.elapsed().saturating_sub(begun);
        Ok(batch)
    }

    /// For when nothing was read: offsets before the log's end that a second look does not find either are lost (the end
    /// of a log can be, and its offsets are never handed out again). They are passed over, so that the lag ends.
    fn read_or_pass_over(&mut self) -> Result<Batch, EngineError> {
        let ends = self.ends();
        if self.reached(&ends) {
            return Ok(Batch { begun: self.clock.elapsed(), ..Batch::default() });
        }
        // Everything before `ends` was there to be read before this second look.
        let mut batch = self.read()?;
        if !batch.moves.is_empty() {
            return Ok(batch);
        }
        for (track, ends) in self.tracks.iter_mut().zip(&ends) {
            for (partition, end) in ends.iter().enumerate() {
                let from = track.partitions[partition].next;
                if from < *end {
                    tracing::warn!(
                        stream = track.name,
                        partition,
                        from,
                        to = end,
                        "the end of the log was lost; passed over"
                    );
                    batch.moves.push(Move { from: track.position(partition, from), to: *end });
                    batch.skipped += *end - from;
                    track.partitions[partition].next = *end;
                }
            }
        }
        Ok(batch)
    }

    fn take(&mut self, stream: usize, blocks: Vec<Block>, batch: &mut Batch) {
        let track = &mut self.tracks[stream];
        let first_move = batch.moves.len();
        for block in blocks {
            let partition = block.partition as usize;
            let before = track.partitions[partition].next;
            let block = block.from_offset(before);
            if block.is_empty() {
                continue;
            }
            let gap = block.first_offset() - before;
            if gap > 0 {
                tracing::warn!(
                    stream = track.name,
                    partition,
                    from = before,
                    to = block.first_offset(),
                    "records are not in the log any more, by damage or retention; they are passed over"
                );
                batch.skipped += gap;
            }
            self.records += block.len() as u64;
            let after = block.next_offset();
            match batch.moves[first_move..].iter_mut().find(|step| step.from.partition == block.partition) {
                Some(step) => step.to = after,
                None => batch.moves.push(Move { from: track.position(partition, before), to: after }),
            }
            let state = &mut track.partitions[partition];
            state.next = after;
            if track.id == self.refused {
                batch.dead_letters.extend(block.records().map(|record| dead_letter(&record, block.partition)));
                continue;
            }
            if let Some(program) = &track.program {
                program.run(&mut state.state, &block, &mut batch.anomalies);
            }
            batch.blocks.push(block);
        }
    }

    fn snapshot_due(&self) -> bool {
        let age = self.clock.elapsed().saturating_sub(self.snapshot_at);
        age.as_millis() as i64 >= self.settings.snapshot_every_ms
            || self.records >= self.settings.snapshot_every_records
    }

    /// Writes down every state that moved since it was last written down. They stand at the batch's end, so they go
    /// into its transaction.
    fn add_snapshots(&mut self, batch: &mut Batch) {
        self.snapshot_at = self.clock.elapsed();
        self.records = 0;
        for track in &mut self.tracks {
            let Some(program) = &track.program else { continue };
            for (i, partition) in track.partitions.iter_mut().enumerate().filter(|(_, p)| p.snapshot < p.next) {
                let mut state = Vec::new();
                program.encode(&partition.state, &mut state);
                partition.snapshot = partition.next;
                let (stream, partition, offset) = (track.name.clone(), i as u32, partition.next);
                batch.snapshots.push(Snapshot { position: StoredPosition { stream, partition, offset }, state });
                batch.states.push(Position { stream: track.id, partition, offset });
            }
        }
    }

    fn ends(&self) -> Vec<Vec<u64>> {
        let ends = |track: &StreamTrack| self.log.extents(track.id).iter().map(|extent| extent.next).collect();
        self.tracks.iter().map(ends).collect()
    }

    fn reached(&self, targets: &[Vec<u64>]) -> bool {
        let mut pairs = self.tracks.iter().zip(targets);
        pairs.all(|(track, targets)| track.partitions.iter().zip(targets).all(|(p, target)| p.next >= *target))
    }
}
