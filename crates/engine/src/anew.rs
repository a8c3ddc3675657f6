//! Windows that are new, or whose definition changed, computed anew from what the log still holds.
//!
//! What the store's snapshots know of them is taken away first. Then their rows, as far back as the log goes; then the log is
//! run through these definitions alone, up to the committed positions, and what they hand over is put in. The states that
//! come of it are written down last. Whoever starts after this has failed or was killed, with these definitions or with
//! others of the same names, finds that the snapshots do not know them and does it all again: so nothing is there twice.
//! Nothing is told to others.

use event::{Block, LateEvents, Millis, WindowDelta, limits};
use process::{Output, Program, State};
use store::query::WindowQuery;
use store::{Commit, Retract, Snapshot};

use crate::poison::{Trip, run};
use crate::recover::{PASSES_MAX, Snapshots, panics_too_often, restore};
use crate::skips::{Cut, Skips};
use crate::track::StreamTrack;
use crate::{EngineError, Parts};

/// Pieces that one transaction takes.
const PIECES: usize = 10_000;

/// What has been computed.
#[derive(Debug)]
pub(crate) struct Anew {
    /// The places of the definitions in the program, see [`process::Restored::missing`].
    pub(crate) which: Vec<usize>,
    /// By partition: a state with these definitions as of the committed position, and nothing else.
    pub(crate) states: Vec<State>,
}

/// Computes the windows of a stream anew that a snapshot does not know; `None` when there are none.
///
/// # Errors
/// When the log cannot be read or the store does not take it, or a window panics over and over.
pub(crate) fn windows(
    parts: &Parts,
    track: &StreamTrack,
    snapshots: &Snapshots,
    skips: &mut Skips,
) -> Result<Option<Anew>, EngineError> {
    let Some(program) = &track.program else { return Ok(None) };
    let which = unknown(program, track, snapshots);
    if which.is_empty() {
        return Ok(None);
    }
    let rules = program.rules().count();
    let names: Vec<&str> = program.windows().map(|(name, _)| name).collect();
    let names: Vec<&str> = which.iter().map(|at| names[at - rules]).collect();
    tracing::info!(stream = track.name, windows = names.join(", "), "windows are computed anew from the log");
    forget(parts, track, program, &which, snapshots)?;
    for _ in 0..PASSES_MAX {
        let since = retract(parts, track, &names)?;
        let mut work = Work { parts, track, program, which: &which, since, pieces: Vec::new(), late: Vec::new() };
        match work.run(skips)? {
            Ok(states) => return Ok(Some(Anew { which, states })),
            Err((partition, Trip { offset, message })) => {
                let (stream, cause) = (&track.name, message);
                tracing::warn!(stream, partition, offset, cause, "a window panics on a record that is stored");
                skips.add(track.position(partition as usize, offset), None);
            }
        }
    }
    Err(panics_too_often(&track.name))
}

/// The definitions that at least one partition with records does not know. One that never had a snapshot knows none: the
/// engine writes one for each partition before it takes its first record.
fn unknown(program: &Program, track: &StreamTrack, snapshots: &Snapshots) -> Vec<usize> {
    let rules = program.rules().count();
    let all: Vec<usize> = (rules..rules + program.windows().count()).collect();
    let mut unknown: Vec<usize> = Vec::new();
    for (i, partition) in track.partitions.iter().enumerate().filter(|(_, partition)| partition.next > 0) {
        let snapshot = snapshots.get(&(track.name.clone(), i as u32));
        match snapshot.and_then(|snapshot| restore(program, partition.next, snapshot)) {
            Some((_, restored)) => unknown.extend(restored.missing.into_iter().filter(|at| *at >= rules)),
            None => return all,
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}

/// Makes the store's snapshots know nothing of these definitions, nor of those that had their names before.
fn forget(
    parts: &Parts,
    track: &StreamTrack,
    program: &Program,
    which: &[usize],
    snapshots: &Snapshots,
) -> Result<(), EngineError> {
    let mut kept = Vec::new();
    for (i, partition) in track.partitions.iter().enumerate() {
        let Some(snapshot) = snapshots.get(&(track.name.clone(), i as u32)) else { continue };
        let Some((_, restored)) = restore(program, partition.next, snapshot) else { continue };
        let mut state = Vec::new();
        program.encode_without(&restored.state, which, &mut state);
        kept.push(Snapshot { position: snapshot.position.clone(), state });
    }
    let commit = Commit { consumer: &parts.settings.consumer, snapshots: &kept, ..Commit::default() };
    Ok(parts.store.commit(&commit)?)
}

/// Since when the log has every record: all that is gone was received before the oldest one left (before now, where none
/// is), and its time was at most so far ahead of that as the stream allows.
fn whole_since(parts: &Parts, track: &StreamTrack) -> Result<Millis, EngineError> {
    let ahead = parts.catalog.get(track.id).time.as_ref().map_or(0, |time| time.max_future_ms);
    let mut since = Millis::MIN;
    for (partition, extent) in (0_u32..).zip(parts.log.extents(track.id)).filter(|(_, extent)| extent.first > 0) {
        let blocks = parts.log.read(track.id, &[(partition, extent.first)])?.next(1)?;
        let received = blocks.first().map_or_else(|| parts.clock.now(), |block| block.appended_at);
        since = since.max(received.saturating_add(ahead));
    }
    Ok(since)
}

/// Takes the rows of these definitions away, as far back as the log is whole: gives since when that is.
fn retract(parts: &Parts, track: &StreamTrack, names: &[&str]) -> Result<Millis, EngineError> {
    let since = whole_since(parts, track)?;
    for name in names {
        let mut query = WindowQuery {
            stream: Some(track.name.clone()),
            window: Some((*name).to_owned()),
            from: Some(since),
            limit: limits::PAGE_ROWS_MAX,
            ..WindowQuery::default()
        };
        loop {
            let page = parts.store.windows(&query)?;
            let gone: Vec<_> = page.rows.iter().map(|row| Retract::Window(row.id.clone())).collect();
            query.after = page.rows.last().map(|row| row.id.clone());
            parts.store.commit(&Commit { consumer: &parts.settings.consumer, retract: &gone, ..Commit::default() })?;
            if !page.more {
                break;
            }
        }
    }
    Ok(since)
}

/// One try.
struct Work<'a> {
    parts: &'a Parts,
    track: &'a StreamTrack,
    program: &'a Program,
    which: &'a [usize],
    since: Millis,
    pieces: Vec<WindowDelta>,
    late: Vec<LateEvents>,
}

impl Work<'_> {
    /// The states, or what a window panicked on.
    fn run(&mut self, skips: &Skips) -> Result<Result<Vec<State>, (u32, Trip)>, EngineError> {
        let ends: Vec<u64> = self.track.partitions.iter().map(|partition| partition.next).collect();
        let mut states: Vec<State> = ends.iter().map(|_| State::default()).collect();
        let from: Vec<(u32, u64)> = (0_u32..).zip(&ends).filter(|(_, end)| **end > 0).map(|(i, _)| (i, 0)).collect();
        let mut next = vec![0; ends.len()];
        let mut cursor = self.parts.log.read(self.track.id, &from)?;
        while next.iter().zip(&ends).any(|(next, end)| next < end) {
            let blocks = cursor.next(self.parts.settings.batch_bytes)?;
            if blocks.is_empty() {
                break; // the log lost its end
            }
            for block in blocks {
                let i = block.partition as usize;
                let block = block.from_offset(next[i]).until_offset(ends[i]);
                next[i] = next[i].max(block.next_offset());
                for cut in skips.cut_committed(block) {
                    if let Cut::Clean(block) = cut
                        && let Err(trip) = self.take(&mut states[i], &block)
                    {
                        return Ok(Err((block.partition, trip)));
                    }
                }
            }
            if self.pieces.len() + self.late.len() >= PIECES {
                self.commit()?;
            }
        }
        self.commit()?;
        Ok(Ok(states))
    }

    fn take(&mut self, state: &mut State, block: &Block) -> Result<(), Trip> {
        let mut found = Output::default();
        let work = |state: &mut State, block: &Block, out: &mut Output| {
            self.program.run_only(state, block, self.which, out);
        };
        run(&work, state, block, &mut found)?;
        let since = self.since;
        let pieces = found.windows.into_iter().filter(|piece| piece.id.start >= since);
        self.pieces.extend(pieces.map(|piece| WindowDelta { publish: None, ..piece }));
        self.late.extend(found.late.into_iter().filter(|late| late.id.start >= since));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        let consumer = &self.parts.settings.consumer;
        for windows in self.pieces.chunks(PIECES) {
            self.parts.store.commit(&Commit { consumer, windows, ..Commit::default() })?;
        }
        for late in self.late.chunks(PIECES) {
            self.parts.store.commit(&Commit { consumer, late, ..Commit::default() })?;
        }
        self.pieces.clear();
        self.late.clear();
        Ok(())
    }
}
