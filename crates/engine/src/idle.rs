//! Partitions that nothing comes for: what is due by the clock is handed over all the same.
//!
//! No record of the log tells of it, so what is handed over is committed together with the state that has handed it over.

use std::time::Duration;

use process::Program;

use crate::batch::Batch;
use crate::processor::Processor;
use crate::quiet::quietly;
use crate::track::StreamTrack;

/// How often idle partitions are looked for.
const EVERY: Duration = Duration::from_secs(1);

impl Processor {
    /// Hands over what is due in partitions without a record for [`crate::Settings::idle_after_ms`]; `false` when nobody
    /// takes it any more.
    pub(crate) fn advance_idle(&mut self) -> bool {
        let elapsed = self.clock.elapsed();
        if elapsed.saturating_sub(self.idle_at) < EVERY {
            return true;
        }
        self.idle_at = elapsed;
        // What came meanwhile waits elsewhere: the partitions only look idle.
        if self.log.status().away.is_some() {
            return true;
        }
        let to = self.clock.now().saturating_sub(self.settings.idle_after_ms);
        let mut batch = Batch { begun: elapsed, ..Batch::default() };
        for stream in 0..self.tracks.len() {
            let track = &self.tracks[stream];
            let Some(program) = track.program.clone() else { continue };
            let extents = self.log.extents(track.id);
            for (i, extent) in extents.iter().enumerate() {
                if is_due(&self.tracks[stream], &program, i, extent.next, to) {
                    self.advance(stream, &program, i, to, &mut batch);
                }
            }
        }
        batch.took = self.clock.elapsed().saturating_sub(elapsed);
        self.send(batch)
    }

    fn advance(&mut self, stream: usize, program: &Program, i: usize, to: event::Millis, batch: &mut Batch) {
        let track = &mut self.tracks[stream];
        let partition = &mut track.partitions[i];
        let (next, found) = (partition.next, &mut self.found);
        let done = quietly(|| program.advance(&mut partition.state, i as u32, next, to, found));
        if let Err(cause) = done {
            tracing::warn!(stream = track.name, partition = i, cause, "a rule panicked while its partition was idle");
            found.clear();
            (partition.broken, partition.no_advance, track.reopen) = (true, true, true);
            return;
        }
        if found.is_empty() {
            return;
        }
        batch.take(found);
        batch.end_run(track.position(i, next), next, track.partitions[i].epoch, 0);
        self.add_snapshot(batch, stream, i);
        let id = self.tracks[stream].id;
        self.tracks[stream].partitions[i].advanced = self.lanes.next(id, i as u32);
    }
}

/// Whether a partition is idle and has something to hand over at `to`. One whose records wait in the log is not idle.
fn is_due(track: &StreamTrack, program: &Program, i: usize, end: u64, to: event::Millis) -> bool {
    let partition = &track.partitions[i];
    partition.owned
        && !partition.broken
        && !partition.no_advance
        && partition.seen_at <= to
        && partition.next >= end
        && program.due(&partition.state).is_some_and(|due| due <= to)
}
