//! The first thread: reads the log, runs the rules, builds batches.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use event::{Block, StreamId};
use log::{Clock, Cursor, Log, LogError};
use process::Output;
use store::{Snapshot, Store, StoredPosition};

use crate::away::Away;
use crate::batch::Batch;
use crate::lanes::Lanes;
use crate::shared::Shared;
use crate::skips::Skips;
use crate::track::{PartitionTrack, StreamTrack};
use crate::{Command, EngineError, Parts, Settings};

/// How long an idle engine sleeps before it looks for commands; new records wake it at once.
const IDLE: Duration = Duration::from_millis(50);
/// Snapshots take one part in so many of the time: 5 %.
const SNAPSHOT_SHARE: u32 = 20;

/// The first thread's belongings.
pub(crate) struct Processor {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) refused: StreamId,
    pub(crate) tracks: Vec<StreamTrack>,
    /// A reader for each stream that has partitions to work on.
    pub(crate) cursors: Vec<Option<Box<dyn Cursor>>>,
    away: Away,
    pub(crate) skips: Skips,
    pub(crate) shared: Arc<Shared>,
    /// The stream whose turn it is to be read first.
    turn: usize,
    commands: Receiver<Command>,
    pub(crate) lanes: Lanes,
    snapshot_at: Duration,
    /// How long writing the last snapshots down took here.
    snapshot_cost: Duration,
    /// When idle partitions were looked for.
    pub(crate) idle_at: Duration,
    pub(crate) records: u64,
    /// What a run finds, before it is in a batch.
    pub(crate) found: Output,
}

impl Processor {
    pub(crate) fn new(
        parts: &Parts,
        tracks: Vec<StreamTrack>,
        skips: Skips,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        lanes: Lanes,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            away: Away::default(),
            cursors: tracks.iter().map(|track| cursor(parts.log.as_ref(), track)).collect::<Result<_, _>>()?,
            log: parts.log.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            settings: parts.settings.clone(),
            refused: parts.catalog.refused(),
            tracks,
            skips,
            shared,
            turn: 0,
            commands,
            lanes,
            snapshot_at: parts.clock.elapsed(),
            snapshot_cost: Duration::ZERO,
            idle_at: parts.clock.elapsed(),
            records: 0,
            found: Output::default(),
        })
    }

    /// Runs until told to end, or until nobody takes the batches any more.
    pub(crate) fn run(mut self) -> Result<(), EngineError> {
        let mut seen = 0;
        let mut targets: Option<Vec<Vec<u64>>> = None;
        self.send_first_snapshots();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => break,
                Ok(Command::Drain) => targets = Some(self.ends()),
                Err(TryRecvError::Empty) => {}
            }
            if self.shared.is_closed() || (self.is_broken() && !self.mend()?) {
                return Ok(()); // another thread ended and said why
            }
            if targets.as_ref().is_some_and(|targets| self.reached(targets)) {
                // What is under way may still be refused.
                if !self.lanes.all_settled() {
                    return Ok(());
                }
                if !self.is_broken() {
                    break;
                }
                continue;
            }
            let mut batch = self.read()?;
            if batch.runs.is_empty() && self.log.is_dense() {
                batch = self.read_or_pass_over()?;
            }
            let idle = batch.runs.is_empty();
            if self.snapshot_due() {
                self.add_snapshots(&mut batch);
            }
            if !self.send(batch) || !self.advance_idle() {
                return Ok(());
            }
            if idle && !self.is_broken() {
                // What came since `seen` was taken wakes at once, so nothing is slept through.
                seen = self.log.wait(seen, IDLE);
            }
        }
        let mut last = Batch { begun: self.clock.elapsed(), ..Batch::default() };
        self.add_snapshots(&mut last);
        self.send(last);
        Ok(())
    }

    /// States that the store does not have go before everything that builds on them, in one transaction: a window that was
    /// computed anew is known to all of its partitions or to none.
    fn send_first_snapshots(&mut self) {
        let mut batch = Batch { begun: self.clock.elapsed(), ..Batch::default() };
        for stream in 0..self.tracks.len() {
            for i in 0..self.tracks[stream].partitions.len() {
                if std::mem::take(&mut self.tracks[stream].partitions[i].bare) {
                    self.add_snapshot(&mut batch, stream, i);
                }
            }
        }
        if !batch.is_empty() {
            // Should nobody take it, the first turn ends the same way.
            self.lanes.send_whole(batch);
        }
    }

    /// Hands a batch over; `false` when nobody takes it.
    pub(crate) fn send(&mut self, batch: Batch) -> bool {
        batch.is_empty() || self.lanes.send(batch)
    }

    /// Reads up to a batch of records from all streams, another one first every time, and runs their rules. A log that is
    /// away has none for now.
    fn read(&mut self) -> Result<Batch, EngineError> {
        let begun = self.clock.elapsed();
        let mut batch = Batch { begun, ..Batch::default() };
        if self.away.waits(begun) {
            return Ok(batch);
        }
        let (mut room, mut away) = (self.settings.batch_bytes, false);
        self.turn = (self.turn + 1) % self.tracks.len();
        for i in 0..self.tracks.len() {
            let stream = (self.turn + i) % self.tracks.len();
            if self.tracks[stream].reopen {
                continue;
            }
            let Some(cursor) = &mut self.cursors[stream] else { continue };
            let blocks = match cursor.next(room) {
                Ok(blocks) => blocks,
                Err(LogError::Away(cause)) => {
                    self.away.failed(begun, &cause);
                    away = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            room = room.saturating_sub(blocks.iter().map(Block::weight).sum());
            self.take(stream, &blocks, &mut batch);
            if room == 0 {
                break;
            }
        }
        if !away {
            self.away.over(begun);
        }
        batch.took = self.clock.elapsed().saturating_sub(begun);
        Ok(batch)
    }

    /// For when nothing was read: offsets before the log's end that a second look does not find either are lost (the end
    /// of a log can be, and its offsets are never handed out again). They are passed over, so that the lag ends.
    fn read_or_pass_over(&mut self) -> Result<Batch, EngineError> {
        let ends = self.ends();
        if self.reached(&ends) || self.is_broken() || self.away.waits(self.clock.elapsed()) {
            return Ok(Batch { begun: self.clock.elapsed(), ..Batch::default() });
        }
        // Everything before `ends` was there to be read before this second look.
        let mut batch = self.read()?;
        // A partition that a rule panicked in ends the turn of the streams after it: they were not looked at.
        if !batch.runs.is_empty() || self.is_broken() || self.away.waits(self.clock.elapsed()) {
            return Ok(batch);
        }
        for (track, ends) in self.tracks.iter_mut().zip(&ends).filter(|(track, _)| !track.reopen) {
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
                    let epoch = track.partitions[partition].epoch;
                    batch.end_run(track.position(partition, from), *end, epoch, *end - from);
                    track.partitions[partition].next = *end;
                }
            }
        }
        Ok(batch)
    }

    fn snapshot_due(&self) -> bool {
        let age = self.clock.elapsed().saturating_sub(self.snapshot_at);
        let due = age.as_millis() as i64 >= self.settings.snapshot_every_ms
            || self.records >= self.settings.snapshot_every_records;
        due && age >= (self.snapshot_cost + self.shared.snapshot_cost()) * SNAPSHOT_SHARE
    }

    /// Writes down every state that moved since it was last written down. They stand at the batch's end, so they go
    /// into its transaction.
    fn add_snapshots(&mut self, batch: &mut Batch) {
        let begun = self.clock.elapsed();
        self.records = 0;
        for stream in 0..self.tracks.len() {
            for i in 0..self.tracks[stream].partitions.len() {
                if self.tracks[stream].partitions[i].is_unsaved() {
                    self.add_snapshot(batch, stream, i);
                }
            }
        }
        self.snapshot_at = self.clock.elapsed();
        self.snapshot_cost = self.snapshot_at.saturating_sub(begun);
    }

    /// The same for one partition.
    pub(crate) fn add_snapshot(&mut self, batch: &mut Batch, stream: usize, i: usize) {
        let track = &mut self.tracks[stream];
        let Some(program) = &track.program else { return };
        let partition = &mut track.partitions[i];
        let mut state = Vec::new();
        program.encode(&partition.state, &mut state);
        (partition.snapshot, partition.unsaved) = (partition.next, false);
        let (offset, epoch) = (partition.next, partition.epoch);
        let position = StoredPosition { stream: track.name.clone(), partition: i as u32, offset };
        batch.snapshots.push(Snapshot { position, state });
        batch.states.push((track.position(i, offset), epoch));
    }

    /// The ends of all partitions; 0 for those that are not worked on.
    fn ends(&self) -> Vec<Vec<u64>> {
        let ends = |track: &StreamTrack| {
            let extents = self.log.extents(track.id);
            let end = |(p, extent): (&PartitionTrack, &log::Extent)| if p.owned { extent.next } else { 0 };
            track.partitions.iter().zip(&extents).map(end).collect()
        };
        self.tracks.iter().map(ends).collect()
    }

    fn reached(&self, targets: &[Vec<u64>]) -> bool {
        let mut pairs = self.tracks.iter().zip(targets);
        pairs.all(|(track, targets)| track.partitions.iter().zip(targets).all(|(p, target)| p.next >= *target))
    }
}

/// A reader of a stream from where its partitions are; `None` when none is worked on.
pub(crate) fn cursor(log: &dyn Log, track: &StreamTrack) -> Result<Option<Box<dyn Cursor>>, EngineError> {
    let from: Vec<_> = track.owned().map(|(i, p)| (i as u32, p.next)).collect();
    Ok(if from.is_empty() { None } else { Some(log.read(track.id, &from)?) })
}
