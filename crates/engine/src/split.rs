//! A transaction that the store refuses, taken apart until the record at fault is alone.
//!
//! Halving (eighths are quicker) finds the run at fault; everything before it and everything of other partitions is
//! committed on the way. What comes after it in its partition was made with it in the state, so it is dropped, and the
//! partition is set back: it goes on from its committed position, one record a run where the fault lies. Once a run of one
//! record is refused, that record is laid down as a dead letter, in a transaction of its own that moves past it, and the
//! partition is set back once more, to go on as if the record were not there.

use event::{DeadLetter, Position, Stage};

use crate::EngineError;
use crate::batch::{Batch, Run};
use crate::commit::Committer;
use crate::poison::{Fate, STORE_REFUSED, Scene, Why, bare, fate, letter_id};
use crate::shared::{Setback, Then};

/// Into how many parts a refused one is cut: one of them is refused again, so less is done in vain than with halves.
const PARTS: usize = 8;
/// More records in a row than this are never all bad: then it is the store that is broken, and it is left alone.
const REFUSED_MAX: u64 = 100;

impl Committer {
    /// Commits what it can of a refused batch.
    ///
    /// # Errors
    /// As [`Committer::commit`].
    pub(crate) fn take_apart(&mut self, batch: &Batch, cause: &str) -> Result<(), EngineError> {
        if batch.runs.is_empty() {
            // They only shorten the next start, and the earlier ones are still there.
            tracing::warn!(cause, "the store refused snapshots of rule states");
            return Ok(());
        }
        if batch.runs.iter().all(|run| run.to == run.from.offset) {
            tracing::warn!(cause, "the store refused what idle partitions handed over; it waits for their next record");
            batch.runs.iter().for_each(|run| self.set_back(run, run.to, Then::NoAdvance));
            return Ok(());
        }
        tracing::debug!(cause, runs = batch.runs.len(), "the store refused a batch; looking for the record at fault");
        let all: Vec<_> = (0..batch.runs.len()).collect();
        // With snapshots it was another transaction.
        let mut waiting = if batch.snapshots.is_empty() { parts(&all) } else { vec![all] };
        while let Some(mut part) = waiting.pop() {
            part.retain(|i| !self.shared.is_stale(batch.runs[*i].from, batch.runs[*i].epoch));
            if part.is_empty() {
                continue;
            }
            let Some(cause) = self.commit(&batch.part(&part))? else { continue };
            match part[..] {
                [run] => self.isolate(batch, run, cause)?,
                _ => waiting.extend(parts(&part)),
            }
        }
        Ok(())
    }

    /// A run that was refused alone.
    fn isolate(&mut self, batch: &Batch, run: usize, mut cause: String) -> Result<(), EngineError> {
        let (place, one) = (&batch.runs[run], batch.part(&[run]));
        if place.records() > 1 {
            self.set_back(place, place.from.offset, Then::OneByOne(place.to));
            return Ok(());
        }
        loop {
            let why = Why { stage: Stage::Store, message: cause.clone() };
            if self.refused < REFUSED_MAX && self.lay_down(&one, &why)? {
                self.refused += 1;
                self.set_back(place, place.to, Then::Skip(place.to - 1, why));
                return Ok(());
            }
            // It is not the record.
            self.outage.wait(&cause)?;
            match self.commit(&one)? {
                None => return Ok(()),
                Some(again) => cause = again,
            }
        }
    }

    /// Commits a dead letter in place of one record; `false` when the store refuses that too.
    fn lay_down(&mut self, one: &Batch, why: &Why) -> Result<bool, EngineError> {
        let Some(fate) = self.fate_of(one, why) else { return Ok(false) };
        let (from, run) = (one.runs[0].from, &one.runs[0]);
        let mut batch = Batch { begun: one.begun, took: one.took, ..Batch::default() };
        let second = match &fate {
            Fate::Letter(letter) => Some(bare(letter.clone())),
            Fate::Again { .. } => None,
        };
        tracing::warn!(
            stream = self.catalog.get(from.stream).name,
            partition = from.partition,
            offset = run.to - 1,
            cause = why.message,
            "the store refused a record; it becomes a dead letter"
        );
        batch.lay_down(fate, from, run.epoch, run.gap);
        if self.commit(&batch)?.is_none() {
            return Ok(true);
        }
        let Some(second) = second else { return Ok(false) };
        batch.dead_letters = vec![second];
        Ok(self.commit(&batch)?.is_none())
    }

    /// What becomes of the one record of a batch; `None` when it has none.
    fn fate_of(&self, one: &Batch, why: &Why) -> Option<Fate> {
        let (run, at) = (&one.runs[0], self.clock.now());
        let stream = &self.catalog.get(run.from.stream).name;
        if let Some(record) = one.blocks.first().and_then(|block| block.records().next()) {
            let scene = Scene { stream, partition: run.from.partition, at, chance: self.outage.chance() };
            return Some(fate(&record, why, scene));
        }
        // A letter that the store does not take as it is: one of a door, or of a record that a rule panicked on.
        let letter = one.dead_letters.first()?.clone();
        let (partition, offset) = (run.from.partition, run.to - 1);
        let message = format!("{} (after {}: {})", why.message, letter.code, letter.message);
        Some(Fate::Letter(DeadLetter {
            id: letter_id(stream, partition, offset),
            stage: Stage::Store,
            code: STORE_REFUSED.to_owned(),
            message,
            ..letter
        }))
    }

    /// The partition of a run goes on from this offset, which is committed.
    fn set_back(&mut self, run: &Run, next: u64, then: Then) {
        let epoch = run.epoch + 1;
        self.shared.set_back(Setback { at: Position { offset: next, ..run.from }, epoch, then });
    }
}

/// In reverse order, for a stack.
fn parts(runs: &[usize]) -> Vec<Vec<usize>> {
    let size = runs.len().div_ceil(PARTS).max(1);
    runs.chunks(size).rev().map(<[usize]>::to_vec).collect()
}
