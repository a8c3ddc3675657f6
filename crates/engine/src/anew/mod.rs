//! Windows that are new, or whose definition changed, computed anew from what the log still holds.
//!
//! What the store's snapshots know of them is taken away first. Then their rows, as far back as the log goes; then the log is
//! run through these definitions alone, up to the committed positions, and what they hand over is put in. The states that
//! come of it are written down last. Whoever starts after this has failed or was killed, with these definitions or with
//! others of the same names, finds that the snapshots do not know them and does it all again: so nothing is there twice.
//! Nothing is told to others.
//!
//! So it goes where this process works on all partitions of the stream. Where it works on some of them, see [`part`].

mod era;
pub(crate) mod part;

use event::{Block, LateEvents, Millis, WindowDelta, limits};
use process::{Output, Program, State};
use store::query::WindowQuery;
use store::{Commit, Retract, Snapshot};

use crate::poison::{Trip, run};
use crate::recover::{PASSES_MAX, Snapshots, panics_too_often, restore};
use crate::rerun::Source;
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
    source: Source<'_>,
    track: &StreamTrack,
    snapshots: &Snapshots,
    skips: &mut Skips,
) -> Result<Option<Anew>, EngineError> {
    let which = track.program.as_ref().map(|program| unknown(program, track, snapshots)).unwrap_or_default();
    era::leave(parts, track, !which.is_empty())?;
    let Some(program) = track.program.as_ref().filter(|_| !which.is_empty()) else { return Ok(None) };
    let names = names(program, &which);
    tracing::info!(stream = track.name, windows = names.join(", "), "windows are computed anew from the log");
    forget(parts, track, program, &which, snapshots)?;
    for _ in 0..PASSES_MAX {
        let since = retract(parts, track, &names)?;
        let (pieces, late) = Default::default();
        let mut work = Work { parts, source, track, program, which: &which, since, pieces, late, in_parts: true };
        let ends: Vec<_> = track.partitions.iter().map(|partition| partition.next).collect();
        match work.run(&ends, skips)? {
            Ok(states) => return Ok(Some(Anew { which, states })),
            Err((partition, Trip { offset, message })) => {
                pass_over(track, partition, offset, &message, skips);
            }
        }
    }
    Err(panics_too_often(&track.name))
}

fn pass_over(track: &StreamTrack, partition: u32, offset: u64, cause: &str, skips: &mut Skips) {
    let stream = &track.name;
    tracing::warn!(stream, partition, offset, cause, "a window panics on a record that is stored");
    skips.add(track.position(partition as usize, offset), None);
}

/// The names of windows, by their places in the program.
fn names<'p>(program: &'p Program, which: &[usize]) -> Vec<&'p str> {
    let rules = program.rules().count();
    let all: Vec<&str> = program.windows().map(|(name, _)| name).collect();
    which.iter().map(|at| all[at - rules]).collect()
}

/// The definitions that at least one partition with records does not know. One that never had a snapshot knows none: the
/// engine writes one for each partition before it takes its first record.
fn unknown(program: &Program, track: &StreamTrack, snapshots: &Snapshots) -> Vec<usize> {
    let mut unknown: Vec<usize> =
        (0..track.partitions.len()).flat_map(|i| unknown_to(program, track, i, snapshots)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}

/// The definitions that one partition does not know; none while it has no records.
fn unknown_to(program: &Program, track: &StreamTrack, i: usize, snapshots: &Snapshots) -> Vec<usize> {
    let rules = program.rules().count();
    let next = track.partitions[i].next;
    if next == 0 {
        return Vec::new();
    }
    let snapshot = snapshots.get(&(track.name.clone(), i as u32));
    match snapshot.and_then(|snapshot| restore(program, next, snapshot)) {
        Some((_, restored)) => restored.missing.into_iter().filter(|at| *at >= rules).collect(),
        None => (rules..rules + program.windows().count()).collect(),
    }
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
    Ok(parts.store.commit(&Commit { snapshots: &kept, ..still(parts, track) })?)
}

/// A commit that moves nothing and is refused when another engine has claimed a partition.
fn still<'a>(parts: &'a Parts, track: &StreamTrack) -> Commit<'a> {
    let (consumer, owner) = (parts.settings.consumer.as_str(), parts.owner);
    Commit { consumer, owner, moves: track.still(), ..Commit::default() }
}

/// Since when the log has every record: all that is gone was received before the oldest one left (before now, where none
/// is), and its time was at most so far ahead of that as the stream allows.
fn whole_since(parts: &Parts, track: &StreamTrack) -> Result<Millis, EngineError> {
    let ahead = parts.catalog.get(track.id).time.as_ref().map_or(0, |time| time.max_future_ms);
    let mut since = Millis::MIN;
    for (partition, extent) in (0_u32..).zip(parts.log.extents(track.id)).filter(|(_, extent)| extent.first > 0) {
        let blocks = parts.log.read(track.id, &[(partition, extent.first)])?.next(1)?;
        let first = blocks.iter().find(|block| !block.is_empty());
        let received = first.map_or_else(|| parts.clock.now(), |block| block.appended_at);
        since = since.max(received.saturating_add(ahead));
    }
    Ok(since)
}

/// Takes the rows of these definitions away, as far back as the log is whole: gives since when that is.
fn retract(parts: &Parts, track: &StreamTrack, names: &[&str]) -> Result<Millis, EngineError> {
    let since = whole_since(parts, track)?;
    take_away(parts, track, names, since, &still(parts, track))?;
    Ok(since)
}

/// Takes the rows of these definitions away from a time on, in commits that are as `fence` besides.
fn take_away(
    parts: &Parts,
    track: &StreamTrack,
    names: &[&str],
    since: Millis,
    fence: &Commit<'_>,
) -> Result<(), EngineError> {
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
            let Commit { consumer, owner, ref moves, .. } = *fence;
            let commit = Commit { consumer, owner, moves: moves.clone(), retract: &gone, ..Commit::default() };
            parts.store.commit(&commit)?;
            if !page.more {
                break;
            }
        }
    }
    Ok(())
}

/// One try.
struct Work<'a> {
    parts: &'a Parts,
    source: Source<'a>,
    track: &'a StreamTrack,
    program: &'a Program,
    which: &'a [usize],
    since: Millis,
    pieces: Vec<WindowDelta>,
    late: Vec<LateEvents>,
    /// Whether what was found may go into the store before all of it is there.
    in_parts: bool,
}

impl Work<'_> {
    /// The states as of these offsets, or what a window panicked on. A partition that ends at 0 is not read.
    fn run(&mut self, ends: &[u64], skips: &Skips) -> Result<Result<Vec<State>, (u32, Trip)>, EngineError> {
        let mut states: Vec<State> = ends.iter().map(|_| State::default()).collect();
        let from: Vec<(u32, u64)> = (0_u32..).zip(ends).filter(|(_, end)| **end > 0).map(|(i, _)| (i, 0)).collect();
        let mut next = vec![0; ends.len()];
        let mut cursor = self.source.log.read(self.track.id, &from)?;
        while next.iter().zip(ends).any(|(next, end)| next < end) {
            self.source.go_on()?;
            let blocks = cursor.next(self.source.bytes)?;
            if blocks.is_empty() {
                break; // the log lost its end
            }
            for block in blocks {
                let i = block.partition as usize;
                let block = block.from_offset(next[i]).until_offset(ends[i]);
                next[i] = next[i].max(block.next_offset());
                if block.is_empty() {
                    continue;
                }
                for cut in skips.cut_committed(block) {
                    if let Cut::Clean(block) = cut
                        && let Err(trip) = self.take(&mut states[i], &block)
                    {
                        return Ok(Err((block.partition, trip)));
                    }
                }
            }
            if self.in_parts && self.pieces.len() + self.late.len() >= PIECES {
                self.commit()?;
            }
        }
        if self.in_parts {
            self.commit()?;
        }
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
        for windows in self.pieces.chunks(PIECES) {
            self.parts.store.commit(&Commit { windows, ..still(self.parts, self.track) })?;
        }
        for late in self.late.chunks(PIECES) {
            self.parts.store.commit(&Commit { late, ..still(self.parts, self.track) })?;
        }
        self.pieces.clear();
        self.late.clear();
        Ok(())
    }
}
