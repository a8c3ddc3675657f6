//! Partitions made whole again: after a rule panicked, or after the store refused something of them.

use std::time::Duration;

use event::StreamId;
use log::LogError;
use store::StoreError;

use crate::EngineError;
use crate::batch::Batch;
use crate::processor::{Processor, cursor};
use crate::recover::{Snapshots, bring_up, snapshots};
use crate::rerun::Source;
use crate::shared::{Setback, Then};

/// How long to wait before a store, or a log, that is away is read again.
const RETRY: Duration = Duration::from_millis(50);

impl Processor {
    /// Whether there is anything to mend.
    pub(crate) fn is_broken(&self) -> bool {
        self.tracks.iter().any(|track| track.reopen) || self.shared.is_set_back()
    }

    /// Makes the states of broken partitions anew, and reads their streams from there: one that a rule panicked in goes on
    /// where it was, one that was set back from its committed position. What others found, and what they found before, is on
    /// its way to the store meanwhile. `false` when the committer ended.
    ///
    /// # Errors
    /// When the log or the store cannot be read, for another reason than that it is away, or the engine is to stop.
    pub(crate) fn mend(&mut self) -> Result<bool, EngineError> {
        if !self.handed_over() {
            return Ok(false);
        }
        for setback in self.shared.take_setbacks() {
            self.set_back(&setback);
        }
        let snapshots = self.insist(|this| snapshots(this.store.as_ref()))?;
        let mut batch = Batch { begun: self.clock.elapsed(), ..Batch::default() };
        for stream in 0..self.tracks.len() {
            if self.tracks[stream].reopen {
                self.mend_stream(stream, &snapshots, &mut batch)?;
            }
        }
        Ok(self.send(batch))
    }

    /// Waits until what broken partitions handed over by the clock is settled: that is in no log, only the state that was sent
    /// with it knows of it. `false` when a committer ended.
    fn handed_over(&self) -> bool {
        let mut broken = self.tracks.iter().flat_map(|track| &track.partitions).filter(|partition| partition.broken);
        broken.all(|partition| self.lanes.settled(partition.advanced))
    }

    fn set_back(&mut self, setback: &Setback) {
        let here = |id: StreamId| id == setback.at.stream;
        let Some(track) = self.tracks.iter_mut().find(|track| here(track.id)) else { return };
        track.reopen = true;
        let partition = &mut track.partitions[setback.at.partition as usize];
        (partition.broken, partition.epoch, partition.next) = (true, setback.epoch, setback.at.offset);
        match &setback.then {
            Then::Skip(offset, why) => {
                let place = event::Position { offset: *offset, ..setback.at };
                self.skips.add(place, Some(why.clone()));
            }
            Then::OneByOne(until) => partition.one_by_one = *until,
            Then::NoAdvance => partition.no_advance = true,
        }
    }

    fn mend_stream(&mut self, stream: usize, snapshots: &Snapshots, batch: &mut Batch) -> Result<(), EngineError> {
        let track = &mut self.tracks[stream];
        let broken: Vec<_> = track.owned().filter(|(_, partition)| partition.broken).map(|(i, _)| i).collect();
        let log = self.log.as_ref();
        let source = Source { log, bytes: self.settings.batch_bytes, halt: self.shared.halt() };
        let records = loop {
            let again = bring_up(source, track, broken.clone(), snapshots, &[], &mut self.skips);
            match again.and_then(|records| Ok((records, cursor(log, track)?))) {
                Ok((records, cursor)) => {
                    self.cursors[stream] = cursor;
                    break records;
                }
                Err(EngineError::Log(LogError::Away(_))) if !self.shared.stopping() => self.clock.sleep(RETRY),
                Err(error) => return Err(error),
            }
        };
        track.reopen = false;
        for &i in &broken {
            let track = &mut self.tracks[stream];
            let partition = &mut track.partitions[i];
            partition.broken = false;
            if !partition.unsaved {
                self.skips.forget_before(track.id, i as u32, partition.snapshot);
            }
            // Trouble seldom comes alone: the next time there is less to run, where that costs more than writing it down.
            if partition.is_unsaved() && records > partition.state.keys() as u64 {
                self.add_snapshot(batch, stream, i);
            }
        }
        Ok(())
    }

    /// Asks the store until it answers.
    fn insist<T>(&self, ask: impl Fn(&Self) -> Result<T, StoreError>) -> Result<T, EngineError> {
        loop {
            match ask(self) {
                Ok(answer) => return Ok(answer),
                Err(StoreError::Unavailable(cause)) if self.shared.stopping() => {
                    return Err(EngineError::Unfinished(cause));
                }
                Err(StoreError::Unavailable(_)) => self.clock.sleep(RETRY),
                Err(for_good) => return Err(for_good.into()),
            }
        }
    }
}
