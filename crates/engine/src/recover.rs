//! Where each partition stands: its position and its rule state, from the store; from the log where the state lags.

use std::collections::HashMap;
use std::sync::Arc;

use event::StreamId;
use log::LogError;
use process::{Program, Restored};
use store::{Snapshot, Store, StoreError};

use crate::anew::{self, Anew, part};
use crate::parts::state_consumer;
use crate::rerun::{Leg, Rerun, Source};
use crate::skips::Skips;
use crate::track::{PartitionTrack, StreamTrack};
use crate::{EngineError, Parts};

/// How often a re-run begins anew because a rule panicked: each time finds most of what is left.
pub(crate) const PASSES_MAX: u32 = 100;

/// The store's snapshots, by stream and partition.
pub(crate) type Snapshots = HashMap<(String, u32), Snapshot>;

/// Claims the partitions, reads positions, states and the list of what is passed over, tells the log, and brings every
/// state up to its position.
pub(crate) fn recover(parts: &mut Parts) -> Result<(Vec<StreamTrack>, Skips), EngineError> {
    let programs = std::mem::take(&mut parts.programs);
    claim(parts)?;
    let mut tracks = tracks(parts, programs)?;
    let mut skips = Skips::load(parts.store.as_ref(), &parts.catalog)?;
    let consumer = &parts.settings.consumer;
    let positions: Vec<_> = tracks.iter().flat_map(StreamTrack::positions).collect();
    // At once: where the log lost its end, no offset that the store knows may be handed out again.
    parts.log.commit(consumer, &positions)?;
    let snapshots = snapshots(parts.store.as_ref())?;
    let source = Source { log: parts.log.as_ref(), bytes: parts.settings.batch_bytes, halt: &parts.halt };
    for track in &mut tracks {
        if !track.is_whole() {
            part::windows(parts, source, track, &snapshots, &mut skips)?;
            settle(track, None, &snapshots);
            continue;
        }
        let anew = anew::windows(parts, source, track, &snapshots, &mut skips)?;
        let all: Vec<_> = (0..track.partitions.len()).collect();
        let known = anew.as_ref().map_or(&[][..], |anew| &anew.which);
        bring_up(source, track, all, &snapshots, known, &mut skips)?;
        settle(track, anew, &snapshots);
    }
    let states: Vec<_> = tracks.iter().flat_map(StreamTrack::state_positions).collect();
    parts.log.commit(&state_consumer(consumer), &states)?;
    Ok((tracks, skips))
}

/// From now on nobody who claimed these partitions before commits any more: so positions that are read later stay.
fn claim(parts: &Parts) -> Result<(), EngineError> {
    if parts.owner == 0 {
        return Ok(());
    }
    // Who does not reach the log has not heard whose the partitions are by now.
    if let Some(why) = parts.log.status().away {
        return Err(EngineError::Log(LogError::Away(why)));
    }
    let of = |(id, stream): (StreamId, &event::Stream)| {
        let owned = (0..stream.partitions).filter(|partition| parts.owns(id, *partition));
        owned.map(|partition| (stream.name.clone(), partition)).collect::<Vec<_>>()
    };
    let partitions: Vec<_> = parts.catalog.processed().flat_map(of).collect();
    Ok(parts.store.claim(&parts.settings.consumer, parts.owner, &partitions)?)
}

fn tracks(parts: &Parts, programs: Vec<(StreamId, Program)>) -> Result<Vec<StreamTrack>, EngineError> {
    let stored = parts.store.positions(&parts.settings.consumer)?;
    let known: HashMap<_, _> = stored.iter().map(|p| ((p.stream.as_str(), p.partition), p.offset)).collect();
    let mut programs: HashMap<_, _> = programs.into_iter().map(|(id, program)| (id, Arc::new(program))).collect();
    let now = parts.clock.now();
    let track = |(id, stream): (StreamId, &event::Stream)| {
        let next = |partition| known.get(&(stream.name.as_str(), partition)).copied().unwrap_or(0);
        let partition =
            |i| PartitionTrack { owned: parts.owns(id, i), next: next(i), seen_at: now, ..PartitionTrack::default() };
        let of_use = |p: &Arc<Program>| p.rules().next().is_some() || p.windows().next().is_some();
        StreamTrack {
            id,
            name: stream.name.clone(),
            program: programs.remove(&id).filter(of_use),
            partitions: (0..stream.partitions).map(partition).collect(),
            reopen: false,
        }
    };
    Ok(parts.catalog.processed().map(track).collect())
}

/// Puts windows that were computed anew into their partitions' states; the first transaction writes all of these down: only
/// then it is over. A partition that has no snapshot yet gets one with it: so one without says that it was run without any
/// rules or windows.
fn settle(track: &mut StreamTrack, mut anew: Option<Anew>, known: &Snapshots) {
    let Some(program) = &track.program else { return };
    for (i, partition) in (0_u32..).zip(&mut track.partitions).filter(|(_, partition)| partition.owned) {
        if let Some(Anew { which, states }) = &mut anew {
            program.adopt(&mut partition.state, &mut states[i as usize], which);
        }
        partition.bare = anew.is_some() || !known.contains_key(&(track.name.clone(), i));
    }
}

/// All snapshots.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn snapshots(store: &dyn Store) -> Result<Snapshots, StoreError> {
    let name = |snapshot: &Snapshot| (snapshot.position.stream.clone(), snapshot.position.partition);
    Ok(store.snapshots()?.into_iter().map(|snapshot| (name(&snapshot), snapshot)).collect())
}

/// Brings the states of some partitions up to their positions: each from its snapshot, then from the log, with outputs off.
/// What is new to the snapshot sees the log from its beginning, but for what is `known` by other means. A record that a rule panics on is one that an earlier rule
/// had no trouble with, and it has its row: the rules pass over it. Gives the records that were run.
///
/// # Errors
/// When the log cannot be read, rules panic over and over, or nobody wants it any more.
pub(crate) fn bring_up(
    source: Source<'_>,
    track: &mut StreamTrack,
    mut which: Vec<usize>,
    snapshots: &Snapshots,
    known: &[usize],
    skips: &mut Skips,
) -> Result<u64, EngineError> {
    let Some(program) = track.program.clone() else { return Ok(0) };
    let mut records = 0;
    for _ in 0..PASSES_MAX {
        let rerun = Rerun { source, stream: track.id, program: &program, skips };
        let (more, tripped) = pass(&rerun, track, &which, snapshots, known)?;
        records += more;
        if tripped.is_empty() {
            return Ok(records);
        }
        which.clear();
        for (partition, leg) in tripped {
            which.push(partition);
            for trip in leg.trips {
                let (offset, cause) = (trip.offset, trip.message);
                tracing::warn!(
                    stream = track.name,
                    partition,
                    offset,
                    cause,
                    "a rule panics on a record that is stored"
                );
                skips.add(track.position(partition, offset), None);
            }
        }
    }
    Err(panics_too_often(&track.name))
}

/// What ends a start that cannot succeed.
pub(crate) fn panics_too_often(stream: &str) -> EngineError {
    let message = format!("rules of stream `{stream}` panic on too many records of its log");
    EngineError::Panicked { thread: "recover", message }
}

/// One try: the states of `which`, or the legs on which a rule panicked.
fn pass(
    rerun: &Rerun<'_>,
    track: &mut StreamTrack,
    which: &[usize],
    snapshots: &Snapshots,
    known: &[usize],
) -> Result<(u64, Vec<(usize, Leg)>), EngineError> {
    let firsts: Vec<_> = rerun.source.log.extents(rerun.stream).iter().map(|extent| extent.first).collect();
    let mut legs = Vec::with_capacity(which.len());
    for &i in which {
        let partition = &mut track.partitions[i];
        let restored = snapshots
            .get(&(track.name.clone(), i as u32))
            .and_then(|snapshot| restore(rerun.program, partition.next, snapshot));
        let (at, Restored { state, mut missing }) = restored.unwrap_or_default();
        missing.retain(|place| !known.contains(place));
        (partition.snapshot, partition.unsaved) = (at, !missing.is_empty());
        let first = if missing.is_empty() { at } else { firsts[i].min(at) };
        legs.push(Leg { partition: i as u32, from: first, to: at, state, only: missing, ..Leg::default() });
    }
    let records: u64 =
        legs.iter().map(|leg| leg.to - leg.from + track.partitions[leg.partition as usize].next - leg.to).sum();
    if records > 0 {
        tracing::info!(stream = track.name, records, "rule states are brought up to date from the log");
    }
    rerun.run(&mut legs)?;
    for leg in &mut legs {
        leg.only.clear();
        leg.from = leg.to;
        leg.to = track.partitions[leg.partition as usize].next;
        if !leg.trips.is_empty() {
            leg.from = leg.to;
        }
    }
    rerun.run(&mut legs)?;
    let mut tripped = Vec::new();
    for (&i, mut leg) in which.iter().zip(legs) {
        track.partitions[i].state = std::mem::take(&mut leg.state);
        if !leg.trips.is_empty() {
            tripped.push((i, leg));
        }
    }
    Ok((records, tripped))
}

/// What a snapshot gives, and where it stands; one that cannot be used is left alone, its state comes from the log instead.
pub(crate) fn restore(program: &Program, next: u64, snapshot: &Snapshot) -> Option<(u64, Restored)> {
    let position = &snapshot.position;
    if position.offset > next {
        tracing::warn!(?position, committed = next, "a snapshot is ahead of its position and is not used");
        return None;
    }
    match program.decode(&snapshot.state) {
        Ok(restored) => {
            if !restored.missing.is_empty() {
                let new = restored.missing.len();
                tracing::info!(
                    ?position,
                    new,
                    "new and changed rules and windows are shown the log from its beginning"
                );
            }
            Some((position.offset, restored))
        }
        Err(error) => {
            tracing::info!(?position, %error, "a snapshot is not used; its state is rebuilt from the log");
            None
        }
    }
}
