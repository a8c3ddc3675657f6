//! Since when the windows of a stream are what they are, where several processes work on it.
//!
//! A row of a window that nobody knows today, with a name and a definition of today, is a leftover: the window was taken
//! out of the configuration and has come back. Pieces that are computed anew must not meet it. Who is first to start with
//! windows that were not in force before begins an era: takes such rows away, and writes the era's number down under
//! these windows. The others find the number there, and leave the rows alone, which have pieces of today by then.
//!
//! The numbers are kept as positions of consumers of their own, in partition 0 of the stream: so a move is fenced, and who
//! was overtaken by another era ends there.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use breaker::Retry;
use event::Position;
use process::Program;
use store::{Commit, Move};

use super::{names, take_away, unknown_to, whole_since};
use crate::recover::Snapshots;
use crate::rerun::Source;
use crate::track::StreamTrack;
use crate::{EngineError, Parts};

/// The delays before who was overtaken looks again.
const AGAIN: Retry = Retry { base_ms: 100, max_ms: 5_000, attempts: 10 };

/// The eras of a stream.
struct Eras {
    /// The name under which the last one's number is kept.
    all: String,
    /// The name under which the number is kept of the era of today's windows.
    own: String,
    last: u64,
    /// 0 when today's windows never had one.
    today: u64,
}

impl Eras {
    fn read(parts: &Parts, track: &StreamTrack) -> Result<Self, EngineError> {
        let all = format!("{}.eras", parts.settings.consumer);
        let own = format!("{all}.{:016x}", identity(track));
        let number = |consumer: &str| -> Result<u64, EngineError> {
            let positions = parts.store.positions(consumer)?;
            let here = positions.into_iter().find(|p| p.stream == track.name && p.partition == 0);
            Ok(here.map_or(0, |p| p.offset))
        };
        let (last, today) = (number(&all)?, number(&own)?);
        Ok(Self { all, own, last, today })
    }
}

/// Of all windows, in whatever order. Stable over restarts of one build; another build begins an era.
fn identity(track: &StreamTrack) -> u64 {
    let mut windows: Vec<(&str, u64)> = track.program.iter().flat_map(|program| program.windows()).collect();
    windows.sort_unstable();
    let mut hasher = DefaultHasher::new();
    windows.hash(&mut hasher);
    hasher.finish()
}

fn step(track: &StreamTrack, from: u64, to: u64) -> Commit<'static> {
    let from = Position { stream: track.id, partition: 0, offset: from };
    Commit { moves: vec![Move { from, to }], ..Commit::default() }
}

/// Makes sure that the rows of today's windows are those of today. For who works on some of the partitions. Others may do
/// the same at the same time: one of them does it, and the others wait.
///
/// # Errors
/// [`EngineError::Taken`] when others are in the way again and again.
pub(super) fn enter(
    parts: &Parts,
    source: Source<'_>,
    track: &StreamTrack,
    snapshots: &Snapshots,
) -> Result<(), EngineError> {
    for failures in 1.. {
        source.go_on()?;
        match begin(parts, track, snapshots) {
            Err(EngineError::Taken(_)) if failures < AGAIN.attempts => {
                // Those who met do not come back together.
                let chance = f64::from(parts.clock.elapsed().subsec_micros() % 1_000) / 1_000.0;
                parts.clock.sleep(Duration::from_millis(AGAIN.backoff_ms(failures, chance)));
            }
            outcome => return outcome,
        }
    }
    Ok(())
}

fn begin(parts: &Parts, track: &StreamTrack, snapshots: &Snapshots) -> Result<(), EngineError> {
    let eras = Eras::read(parts, track)?;
    if eras.last > 0 && eras.today == eras.last {
        return Ok(());
    }
    let number = eras.last + 1;
    let commit = |consumer: &str, from, to| parts.store.commit(&Commit { consumer, ..step(track, from, to) });
    commit(&eras.all, eras.last, number)?;
    if let Some(program) = &track.program {
        let leftover = leftover(track, program, snapshots);
        let fence = Commit { consumer: &eras.all, ..step(track, number, number) };
        take_away(parts, track, &names(program, &leftover), whole_since(parts, track)?, &fence)?;
    }
    Ok(commit(&eras.own, eras.today, number)?)
}

/// Ends the era, if there is one and it is not of today's windows, or rows are about to be taken away by other rules. For
/// who works on all partitions.
///
/// # Errors
/// [`EngineError::Taken`] when another process works on the stream.
pub(super) fn leave(parts: &Parts, track: &StreamTrack, anew: bool) -> Result<(), EngineError> {
    let eras = Eras::read(parts, track)?;
    if eras.last == 0 || eras.today == eras.last && !anew {
        return Ok(());
    }
    Ok(parts.store.commit(&Commit { consumer: &eras.all, ..step(track, eras.last, eras.last + 1) })?)
}

/// The windows that no partition with records knows.
fn leftover(track: &StreamTrack, program: &Program, snapshots: &Snapshots) -> Vec<usize> {
    let rules = program.rules().count();
    let mut leftover: Vec<usize> = (rules..rules + program.windows().count()).collect();
    for i in (0..track.partitions.len()).filter(|i| track.partitions[*i].next > 0) {
        let unknown = unknown_to(program, track, i, snapshots);
        leftover.retain(|at| unknown.contains(at));
    }
    leftover
}
