//! Where each partition stands: its position and its rule state, from the store; from the log where the state lags.

use std::collections::HashMap;
use std::sync::Arc;

use event::{Position, StreamId};
use log::Log;
use process::{Program, State};
use store::Snapshot;

use crate::parts::state_consumer;
use crate::{EngineError, Parts};

/// One stream while the engine runs.
#[derive(Debug)]
pub(crate) struct StreamTrack {
    pub(crate) id: StreamId,
    pub(crate) name: String,
    /// Its rules; `None` when it has none.
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) partitions: Vec<PartitionTrack>,
}

/// One partition while the engine runs.
#[derive(Debug, Default)]
pub(crate) struct PartitionTrack {
    /// The next offset to process.
    pub(crate) next: u64,
    /// The position of the state that the store has.
    pub(crate) snapshot: u64,
    pub(crate) state: State,
}

impl StreamTrack {
    pub(crate) fn position(&self, partition: usize, offset: u64) -> Position {
        Position { stream: self.id, partition: partition as u32, offset }
    }

    /// What the log must keep for the rule states to be rebuilt; without rules that is nothing before the position.
    pub(crate) fn state_positions(&self) -> impl Iterator<Item = Position> {
        let offset = |p: &PartitionTrack| if self.program.is_some() { p.snapshot } else { p.next };
        self.partitions.iter().enumerate().map(move |(i, p)| self.position(i, offset(p)))
    }
}

/// Reads positions and states, tells the log, and brings every state up to its position.
pub(crate) fn recover(parts: &mut Parts) -> Result<Vec<StreamTrack>, EngineError> {
    let programs = std::mem::take(&mut parts.programs);
    let mut tracks = tracks(parts, programs)?;
    let consumer = &parts.settings.consumer;
    let positions: Vec<_> = tracks
        .iter()
        .flat_map(|track| track.partitions.iter().enumerate().map(|(i, p)| track.position(i, p.next)))
        .collect();
    // At once: where the log lost its end, no offset that the store knows may be handed out again.
    parts.log.commit(consumer, &positions)?;
    let mut snapshots: HashMap<_, _> = parts
        .store
        .snapshots()?
        .into_iter()
        .map(|snapshot| ((snapshot.position.stream.clone(), snapshot.position.partition), snapshot))
        .collect();
    for track in &mut tracks {
        let Some(program) = track.program.clone() else { continue };
        for (i, partition) in track.partitions.iter_mut().enumerate() {
            if let Some(snapshot) = snapshots.remove(&(track.name.clone(), i as u32)) {
                restore(&program, partition, &snapshot);
            }
        }
        rebuild(parts.log.as_ref(), track, &program, parts.settings.batch_bytes)?;
    }
    let states: Vec<_> = tracks.iter().flat_map(StreamTrack::state_positions).collect();
    parts.log.commit(&state_consumer(consumer), &states)?;
    Ok(tracks)
}

fn tracks(parts: &Parts, programs: Vec<(StreamId, Program)>) -> Result<Vec<StreamTrack>, EngineError> {
    let stored = parts.store.positions(&parts.settings.consumer)?;
    let known: HashMap<_, _> = stored.iter().map(|p| ((p.stream.as_str(), p.partition), p.offset)).collect();
    let mut programs: HashMap<_, _> = programs.into_iter().map(|(id, program)| (id, Arc::new(program))).collect();
    let track = |(id, stream): (StreamId, &event::Stream)| {
        let next = |partition| known.get(&(stream.name.as_str(), partition)).copied().unwrap_or(0);
        let partition = |i| PartitionTrack { next: next(i), ..PartitionTrack::default() };
        let program = programs.remove(&id).filter(|program| program.rules().next().is_some());
        StreamTrack {
            id,
            name: stream.name.clone(),
            program,
            partitions: (0..stream.partitions).map(partition).collect(),
        }
    };
    Ok(parts.catalog.processed().map(track).collect())
}

/// Takes a snapshot; one that cannot be used is left alone, its state comes from the log instead.
fn restore(program: &Program, partition: &mut PartitionTrack, snapshot: &Snapshot) {
    let position = &snapshot.position;
    if position.offset > partition.next {
        tracing::warn!(?position, committed = partition.next, "a snapshot is ahead of its position and is not used");
        return;
    }
    match program.decode(&snapshot.state) {
        Ok(state) => (partition.state, partition.snapshot) = (state, position.offset),
        Err(error) => tracing::info!(?position, %error, "a snapshot is not used; its state is rebuilt from the log"),
    }
}

/// Re-runs the log from each snapshot to the committed position, and throws away what the rules find: it was
/// committed before.
fn rebuild(log: &dyn Log, track: &mut StreamTrack, program: &Program, bytes: usize) -> Result<(), EngineError> {
    let behind = |p: &&PartitionTrack| p.snapshot < p.next;
    let records: u64 = track.partitions.iter().filter(behind).map(|p| p.next - p.snapshot).sum();
    if records == 0 {
        return Ok(());
    }
    tracing::info!(stream = track.name, records, "rule states are brought up to date from the log");
    let mut at: Vec<u64> = track.partitions.iter().map(|p| p.snapshot).collect();
    let lagging = track.partitions.iter().enumerate().filter(|(_, p)| p.snapshot < p.next);
    let from: Vec<_> = lagging.map(|(i, p)| (i as u32, p.snapshot)).collect();
    let mut cursor = log.read(track.id, &from)?;
    let mut found = Vec::new();
    while at.iter().zip(&track.partitions).any(|(at, p)| *at < p.next) {
        let blocks = cursor.next(bytes)?;
        if blocks.is_empty() {
            break; // the log lost its end
        }
        for block in blocks {
            let i = block.partition as usize;
            let partition = &mut track.partitions[i];
            let block = block.from_offset(at[i]).until_offset(partition.next);
            at[i] = at[i].max(block.next_offset());
            program.run(&mut partition.state, &block, &mut found);
            found.clear();
        }
    }
    Ok(())
}
