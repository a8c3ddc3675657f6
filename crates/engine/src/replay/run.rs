//! The log run afresh, into a store of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use event::{Block, LateEvents, Millis, Position, StreamId, WindowId};
use log::Log;
use process::{Output, Program, State};
use store::{Commit, Store};

use super::job::Job;
use super::{CONSUMER, ReplayParts, Shadows, Stopped};
use crate::poison::{self, runs};
use crate::skips::{Cut, Skips};

/// Bytes of log that are run in one go: a few milliseconds, after which others have their turn.
const READ_BYTES: usize = 256 << 10;
/// How much longer than it worked it pauses while events come in.
const PAUSES: u32 = 2;
/// Findings that wait for their commit.
const FINDINGS_MAX: usize = 4_096;
/// Windows with late events that are remembered one by one for a swap; beyond, their lateness is not known.
const LATE_MAX: usize = 1 << 16;
/// How often the run goes on to where the engine is by then, before it is compared.
const ROUNDS: u32 = 5;
/// Records behind the engine that are near enough for the comparison.
const NEAR: u64 = 10_000;
/// Records that rules panic on and that are not known as dead letters: with more, something else is wrong.
const TRIPS_MAX: usize = 20;
/// What counts as work at the most: a disk that hung is no reason to pause.
const WORK_MAX: Duration = Duration::from_secs(1);

/// One partition of the run.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) state: State,
    /// The oldest offset that the log had.
    pub(super) first: u64,
    /// When its first record was appended, where retention dropped others before it.
    pub(super) begins_at: Option<Millis>,
    /// The next offset.
    pub(super) next: u64,
    /// The engine's position, as far as it is to be run.
    pub(super) end: u64,
}

/// A run. Dropped, it leaves nothing behind.
pub(super) struct Run {
    pub(super) stream: StreamId,
    pub(super) name: String,
    pub(super) program: Option<Program>,
    pub(super) lanes: Vec<Lane>,
    /// What the engine changed before this, by the clock, is within the positions that it ran up to.
    pub(super) as_of: Millis,
    /// Late events by window, up to [`LATE_MAX`] of them.
    pub(super) late: HashMap<WindowId, LateEvents>,
    pub(super) notes: Vec<String>,
    id: String,
    /// `None` only while it is removed.
    shadow: Option<Arc<dyn Store>>,
    log: Arc<dyn Log>,
    shadows: Arc<dyn Shadows>,
    /// Records that have no effect: their dead letters say why.
    skips: Skips,
    /// Records that a rule panicked on, and that are not known as dead letters.
    tripped: Vec<Position>,
    found: Output,
}

impl Run {
    /// Makes the store and keeps retention away from what is to be run.
    pub(super) fn open(
        parts: &ReplayParts,
        id: &str,
        stream: StreamId,
        program: Option<Program>,
    ) -> Result<Self, Stopped> {
        let shadow = Some(parts.shadows.open(id)?);
        let mut run = Self {
            stream,
            name: parts.catalog.get(stream).name.clone(),
            program,
            lanes: Vec::new(),
            as_of: 0,
            late: HashMap::new(),
            notes: Vec::new(),
            id: id.to_owned(),
            shadow,
            log: parts.log.clone(),
            shadows: parts.shadows.clone(),
            skips: Skips::default(),
            tripped: Vec::new(),
            found: Output::default(),
        };
        run.hold(parts.log.extents(stream).iter().map(|extent| extent.first))?;
        let lane = |extent: &log::Extent| Lane { first: extent.first, next: extent.first, ..Lane::default() };
        // Looked at again: some may have gone before it was held.
        run.lanes = parts.log.extents(stream).iter().map(lane).collect();
        Ok(run)
    }

    pub(super) fn shadow(&self) -> Result<&dyn Store, Stopped> {
        self.shadow.as_deref().ok_or_else(|| Stopped::Other("its store is gone".to_owned()))
    }

    /// Runs everything up to where the engine is, and goes on for as long as the engine is far ahead by then.
    pub(super) fn read_all(&mut self, parts: &ReplayParts, job: &Job) -> Result<(), Stopped> {
        let mut rounds = 0;
        loop {
            let behind = self.aim(parts)?;
            if let Some(tripped) = self.read(parts, job, false)? {
                self.begin_again(tripped)?;
                continue;
            }
            rounds += 1;
            if behind <= NEAR || rounds == ROUNDS {
                break;
            }
        }
        let next: Vec<_> = self.lanes.iter().map(|lane| lane.next).collect();
        self.hold(next.into_iter())
    }

    /// Goes on to where the engine stands. It waits for this.
    pub(super) fn catch_up(&mut self, parts: &ReplayParts, job: &Job) -> Result<(), Stopped> {
        self.aim(parts)?;
        self.as_of = Millis::MAX;
        match self.read(parts, job, true)? {
            None => Ok(()),
            Some(at) => {
                let (name, Position { partition, offset, .. }) = (&self.name, at);
                Err(Stopped::Other(format!("a rule panicked at {name}/{partition}/{offset}; replay again")))
            }
        }
    }

    /// Reads where the engine is; gives how many records that is ahead.
    fn aim(&mut self, parts: &ReplayParts) -> Result<u64, Stopped> {
        self.as_of = parts.clock.now();
        // Commits have their turns: whatever bears an earlier time than this moment is behind this empty one, and so within
        // the positions that are read next.
        parts.store.commit(&Commit::default())?;
        let positions = parts.store.positions(&parts.consumer)?;
        for (partition, lane) in (0_u32..).zip(&mut self.lanes) {
            let here = positions.iter().find(|p| p.stream == self.name && p.partition == partition);
            lane.end = here.map_or(lane.next, |p| p.offset.max(lane.next));
        }
        // Behind the positions: so it knows of every record before them.
        self.skips = Skips::load(parts.store.as_ref(), &parts.catalog)?;
        self.tripped.iter().for_each(|place| self.skips.add(*place, None));
        Ok(self.lanes.iter().map(|lane| lane.end - lane.next).sum())
    }

    /// Runs every lane to its end; gives a record that a rule panicked on. Others have their turn, unless they wait for
    /// this.
    fn read(&mut self, parts: &ReplayParts, job: &Job, urgent: bool) -> Result<Option<Position>, Stopped> {
        job.total.store(job.done.load(Ordering::Relaxed) + self.left(), Ordering::Relaxed);
        let lanes = (0_u32..).zip(&self.lanes).filter(|(_, lane)| lane.next < lane.end);
        let from: Vec<_> = lanes.map(|(partition, lane)| (partition, lane.next)).collect();
        if from.is_empty() {
            return Ok(None);
        }
        let mut cursor = parts.log.read(self.stream, &from)?;
        let mut seen = ends(parts);
        while self.left() > 0 {
            job.go_on()?;
            let (began, before) = (parts.clock.elapsed(), self.left());
            let blocks = cursor.next(READ_BYTES)?;
            if blocks.is_empty() {
                // The log lost its end.
                self.lanes.iter_mut().for_each(|lane| lane.next = lane.end.max(lane.next));
            }
            for block in blocks {
                if let Some(tripped) = self.take(block) {
                    return Ok(Some(tripped));
                }
            }
            job.done.fetch_add(before - self.left(), Ordering::Relaxed);
            if self.found.anomalies.len() + self.found.windows.len() + self.found.late.len() > FINDINGS_MAX {
                self.commit()?;
            }
            let now = ends(parts);
            if !urgent && now != seen {
                let worked = parts.clock.elapsed().saturating_sub(began).min(WORK_MAX);
                parts.clock.sleep(worked * PAUSES);
            }
            seen = now;
        }
        self.commit()?;
        Ok(None)
    }

    fn left(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.end.saturating_sub(lane.next)).sum()
    }

    /// Runs a block, but for what is before the lane, behind its end, or passed over; gives a record that a rule panicked
    /// on.
    fn take(&mut self, block: Block) -> Option<Position> {
        let partition = block.partition;
        let lane = self.lanes.get_mut(partition as usize)?;
        let block = block.from_offset(lane.next).until_offset(lane.end);
        let (from, to) = (lane.next, block.first_offset());
        if block.is_empty() {
            // One behind the end, or without records, says as well where the log goes on.
            lane.next = from.max(to.min(lane.end));
            return None;
        }
        let dense = self.log.is_dense();
        if from == lane.first && (lane.first > 0 || dense && to > 0) {
            lane.begins_at = Some(block.appended_at);
        } else if to > from && dense {
            self.notes.push(format!("{}/{partition}: the log has no records {from} to {}", self.name, to - 1));
        }
        lane.next = block.next_offset();
        let program = self.program.as_ref()?;
        let work = runs(program);
        for cut in self.skips.cut_committed(block) {
            if let Cut::Clean(part) = cut
                && let Err(trip) = poison::run(&work, &mut lane.state, &part, &mut self.found)
            {
                return Some(Position { stream: self.stream, partition, offset: trip.offset });
            }
        }
        None
    }

    /// A panic leaves a state that is of no use: everything begins again, and passes over its record.
    fn begin_again(&mut self, tripped: Position) -> Result<(), Stopped> {
        let Position { partition, offset, .. } = tripped;
        self.tripped.push(tripped);
        if self.tripped.len() > TRIPS_MAX {
            return Err(Stopped::Other(format!("rules panicked at more than {TRIPS_MAX} records")));
        }
        self.notes.clear();
        self.notes.push(format!("{}/{partition}/{offset}: a rule panicked; passed over", self.name));
        self.shadow = None;
        self.shadows.remove(&self.id);
        self.shadow = Some(self.shadows.open(&self.id)?);
        self.found.clear();
        self.late.clear();
        for lane in &mut self.lanes {
            (lane.state, lane.next) = (State::default(), lane.first);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Stopped> {
        if self.found.is_empty() {
            return Ok(());
        }
        let Output { anomalies, windows, late } = &mut self.found;
        // Told to nobody: also not to a stream.
        windows.iter_mut().for_each(|piece| piece.publish = None);
        let commit = Commit { anomalies, windows, late, ..Commit::default() };
        match &self.shadow {
            Some(shadow) => shadow.commit(&commit)?,
            None => return Err(Stopped::Other("its store is gone".to_owned())),
        }
        for counts in late.drain(..) {
            if let Some(known) = self.late.get_mut(&counts.id) {
                known.events += counts.events;
                known.lateness_ms = known.lateness_ms.max(counts.lateness_ms);
                known.corrected |= counts.corrected;
            } else if self.late.len() < LATE_MAX {
                self.late.insert(counts.id.clone(), counts);
            }
        }
        self.found.clear();
        Ok(())
    }

    /// Keeps retention away from what is behind these offsets.
    fn hold(&self, offsets: impl Iterator<Item = u64>) -> Result<(), Stopped> {
        let position = |(partition, offset)| Position { stream: self.stream, partition, offset };
        let positions: Vec<_> = (0..).zip(offsets).map(position).collect();
        Ok(self.log.commit(&format!("{CONSUMER}{}", self.id), &positions)?)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Closed before its file goes.
        self.shadow = None;
        self.shadows.remove(&self.id);
        if let Err(error) = self.log.forget(&format!("{CONSUMER}{}", self.id)) {
            tracing::warn!(id = self.id, %error, "a replay's hold on the log is let go with the next start");
        }
    }
}

/// A number that changes whenever an event comes in, to any stream.
fn ends(parts: &ReplayParts) -> u64 {
    let of = |(id, _): (StreamId, &event::Stream)| parts.log.extents(id).iter().map(|extent| extent.next).sum::<u64>();
    parts.catalog.iter().map(of).sum()
}
