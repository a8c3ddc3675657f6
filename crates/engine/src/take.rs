//! Blocks into a batch: through the rules, piece by piece, without the records that are passed over.

use event::{Block, LetterChange, LetterEvent, Millis, Record, Stage, headers};
use process::Output;

use crate::batch::Batch;
use crate::poison::{Scene, Trip, Why, fate, one_by_one, probe, run, runs};
use crate::processor::Processor;
use crate::refused::dead_letter;
use crate::skips::Cut;
use crate::track::StreamTrack;

impl Processor {
    /// Takes the blocks of a stream; of a partition up to one that a rule panics in. That partition is mended, and the
    /// stream read anew, before it goes on.
    pub(crate) fn take(&mut self, stream: usize, blocks: &[Block], batch: &mut Batch) {
        if blocks.is_empty() {
            return;
        }
        let now = self.clock.now();
        let first = batch.runs.len();
        for (i, block) in blocks.iter().enumerate() {
            if self.tracks[stream].partitions[block.partition as usize].broken {
                continue;
            }
            if let Err(trip) = self.take_block(stream, block, now, batch) {
                self.tripped(stream, trip, &blocks[i..]);
            }
        }
        let track = &self.tracks[stream];
        let moved = batch.runs[first..].iter().map(|run| &track.partitions[run.from.partition as usize]);
        let clocks = moved.filter(|partition| !partition.broken).filter_map(|partition| partition.state.clock());
        batch.clocks.extend(clocks.min().map(|clock| (track.id, clock)));
    }

    fn take_block(&mut self, stream: usize, block: &Block, now: Millis, batch: &mut Batch) -> Result<(), Trip> {
        let track = &mut self.tracks[stream];
        let i = block.partition as usize;
        let before = track.partitions[i].next;
        let block = block.clone().from_offset(before);
        let first = block.first_offset();
        if block.is_empty() {
            if first > before && !self.log.is_dense() {
                // Nothing lies between: the position moves on all the same, so that the lag ends.
                end_run(track, i, first, first, batch);
            }
            return Ok(());
        }
        if first > before && self.log.is_dense() {
            tracing::warn!(
                stream = track.name,
                partition = i,
                from = before,
                to = first,
                "records are not in the log any more, by damage or retention; they are passed over"
            );
        }
        self.records += block.len() as u64;
        (track.partitions[i].seen_at, track.partitions[i].no_advance) = (now, false);
        for cut in self.skips.cut(block.clone()) {
            match cut {
                Cut::Skip(offset) => {
                    let Some(record) = block.at(offset) else { continue };
                    let why = self.skips.get(track.position(i, offset)).and_then(|skip| skip.why.clone());
                    lay_down(track, &record, why, i, now, batch);
                }
                Cut::Clean(piece) if track.id == self.refused => {
                    for one in one_by_one(&piece) {
                        batch.dead_letters.extend(one.records().map(|record| dead_letter(&record, one.partition)));
                        end_run(track, i, one.first_offset(), one.next_offset(), batch);
                    }
                }
                Cut::Clean(piece) if piece.first_offset() < track.partitions[i].one_by_one => {
                    for one in one_by_one(&piece) {
                        take_piece(track, one, &mut self.found, batch)?;
                    }
                }
                Cut::Clean(piece) => take_piece(track, piece, &mut self.found, batch)?,
            }
        }
        Ok(())
    }

    /// A rule panicked on a record of the first of these blocks, and the partition's state is of no use any more. That
    /// record is passed over from now on, and so are others of the partition that are no better.
    fn tripped(&mut self, stream: usize, trip: Trip, blocks: &[Block]) {
        let track = &mut self.tracks[stream];
        let i = blocks[0].partition as usize;
        (track.reopen, track.partitions[i].broken) = (true, true);
        let after = trip.offset + 1;
        let mut trips = vec![trip];
        if let Some(program) = &track.program {
            for block in blocks.iter().filter(|block| block.partition as usize == i) {
                probe(&runs(program), &mut track.partitions[i].state, &block.clone().from_offset(after), &mut trips);
            }
        }
        for Trip { offset, message } in trips {
            let cause = &message;
            tracing::warn!(
                stream = track.name,
                partition = i,
                offset,
                cause,
                "a rule panicked; the record becomes a dead letter"
            );
            self.skips.add(track.position(i, offset), Some(Why { stage: Stage::Process, message }));
        }
    }
}

/// A piece of a block through the rules; one run of the batch.
fn take_piece(track: &mut StreamTrack, piece: Block, found: &mut Output, batch: &mut Batch) -> Result<(), Trip> {
    let i = piece.partition as usize;
    if let Some(program) = &track.program {
        if let Err(trip) = run(&runs(program), &mut track.partitions[i].state, &piece, found) {
            found.clear();
            return Err(trip);
        }
        batch.take(found);
    }
    batch.letter_changes.extend(piece.records().filter_map(|record| resolved(&record)));
    let (first, next) = (piece.first_offset(), piece.next_offset());
    batch.blocks.push(piece);
    end_run(track, i, first, next, batch);
    Ok(())
}

/// Ends a run of the batch whose records are these offsets, and moves the partition behind them.
fn end_run(track: &mut StreamTrack, i: usize, first: u64, next: u64, batch: &mut Batch) {
    let partition = &mut track.partitions[i];
    let (before, epoch) = (partition.next, partition.epoch);
    partition.next = next;
    batch.end_run(track.position(i, before), next, epoch, first - before);
}

/// A record that is passed over: its dead letter, and nothing else.
fn lay_down(track: &mut StreamTrack, record: &Record<'_>, why: Option<Why>, i: usize, now: Millis, batch: &mut Batch) {
    // Without a reason its letter is there already, and stays as it is.
    let why = why.unwrap_or(Why { stage: Stage::Process, message: "it was laid down before".to_owned() });
    let scene = Scene { stream: &track.name, partition: i as u32, at: now, chance: 0.5 };
    let fate = fate(record, &why, scene);
    let partition = &mut track.partitions[i];
    let (before, epoch) = (partition.next, partition.epoch);
    partition.next = record.offset + 1;
    batch.lay_down(fate, track.position(i, before), epoch, record.offset - before);
}

/// The letter that the record is the replay of is settled when the record is stored.
fn resolved(record: &Record<'_>) -> Option<LetterChange> {
    // Mostly there are no headers at all, and then nothing is looked for.
    let id = if record.headers.is_empty() { None } else { headers::get(record.headers, headers::LETTER) }?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some(LetterChange { tenant: text(record.tenant()), id: text(id), event: LetterEvent::Resolved })
}
