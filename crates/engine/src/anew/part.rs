//! Windows computed anew where this process works on some of a stream's partitions, and others on the rest.
//!
//! A window's row is made of pieces of all partitions, and those of others must stay. So each partition is run for itself,
//! and its pieces go into one transaction with the snapshot that knows of them: either both are there or none is. What rows
//! there were before, from a time when windows had these names that nobody knows any more, is taken away once, see
//! [`super::era`].

use event::Millis;
use process::Program;
use store::{Commit, Move, Snapshot, StoredPosition};

use super::{Work, era, pass_over, unknown_to, whole_since};
use crate::commit::together;
use crate::poison::Trip;
use crate::recover::{PASSES_MAX, Snapshots, bring_up, panics_too_often};
use crate::rerun::Source;
use crate::skips::Skips;
use crate::track::StreamTrack;
use crate::{EngineError, Parts};

/// Brings the states of a stream's partitions up to their positions, with windows that are new to them.
///
/// # Errors
/// As [`super::windows`], or when nobody wants it any more.
pub(crate) fn windows(
    parts: &Parts,
    source: Source<'_>,
    track: &mut StreamTrack,
    snapshots: &Snapshots,
    skips: &mut Skips,
) -> Result<(), EngineError> {
    era::enter(parts, source, track, snapshots)?;
    let Some(program) = track.program.clone() else { return Ok(()) };
    let owned: Vec<usize> = track.owned().map(|(i, _)| i).collect();
    let with_new = |i: &usize| (*i, unknown_to(&program, track, *i, snapshots));
    let (plain, lacking): (Vec<_>, Vec<_>) = owned.iter().map(with_new).partition(|(_, new)| new.is_empty());
    bring_up(source, track, plain.into_iter().map(|(i, _)| i).collect(), snapshots, &[], skips)?;
    if lacking.is_empty() {
        return Ok(());
    }
    let since = whole_since(parts, track)?;
    for (i, new) in lacking {
        let names = super::names(&program, &new).join(", ");
        tracing::info!(stream = track.name, partition = i, windows = names, "windows are computed anew from the log");
        partition(Scene { parts, source, program: &program, since, new: &new }, track, i, snapshots, skips)?;
    }
    Ok(())
}

/// What one partition is run with.
#[derive(Clone, Copy)]
struct Scene<'a> {
    parts: &'a Parts,
    source: Source<'a>,
    program: &'a Program,
    since: Millis,
    new: &'a [usize],
}

fn partition(
    scene: Scene<'_>,
    track: &mut StreamTrack,
    i: usize,
    snapshots: &Snapshots,
    skips: &mut Skips,
) -> Result<(), EngineError> {
    let Scene { parts, source, program, since, new } = scene;
    let ends: Vec<u64> =
        track.partitions.iter().enumerate().map(|(at, partition)| if at == i { partition.next } else { 0 }).collect();
    for _ in 0..PASSES_MAX {
        let (pieces, late) = Default::default();
        let mut work = Work { parts, source, track, program, which: new, since, pieces, late, in_parts: false };
        match work.run(&ends, skips)? {
            Ok(mut states) => {
                let (pieces, late) = (work.pieces, together(&work.late));
                bring_up(source, track, vec![i], snapshots, new, skips)?;
                program.adopt(&mut track.partitions[i].state, &mut states[i], new);
                let snapshot = snapshot(program, track, i);
                let moves = track.still().into_iter().filter(|step: &Move| step.from.partition as usize == i).collect();
                let (consumer, owner) = (parts.settings.consumer.as_str(), parts.owner);
                let (windows, late, snapshots) = (&pieces[..], &late[..], &[snapshot][..]);
                parts.store.commit(&Commit {
                    consumer,
                    owner,
                    moves,
                    windows,
                    late,
                    snapshots,
                    ..Commit::default()
                })?;
                let partition = &mut track.partitions[i];
                (partition.snapshot, partition.unsaved) = (partition.next, false);
                return Ok(());
            }
            Err((partition, Trip { offset, message })) => pass_over(track, partition, offset, &message, skips),
        }
    }
    Err(panics_too_often(&track.name))
}

fn snapshot(program: &Program, track: &StreamTrack, i: usize) -> Snapshot {
    let mut state = Vec::new();
    program.encode(&track.partitions[i].state, &mut state);
    let position = StoredPosition { stream: track.name.clone(), partition: i as u32, offset: track.partitions[i].next };
    Snapshot { position, state }
}
