//! The drain: what waits on disk goes to the broker, in order, once that is back.
//!
//! One window at a time, of all partitions of a stream: read, leave out what the broker has already, keep on disk what is
//! about to be sent, send, wait for the answer. Several under way would be no faster, since a window is large, and what
//! one of them lost would be overtaken by the next.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use event::{Ack, Block, Position, StreamId};

use super::core::Core;
use super::identity::Identity;
use super::way::Way;
use super::window::{self, Dead, Piece};
use crate::{Append, Cursor, Log, LogError};

/// With so few records left, or with no more than the last round took, what comes is held back until they are drained.
const HOLD_RECORDS: u64 = 64;
/// For how long it is held back at the most.
const HOLD: Duration = Duration::from_secs(2);
/// How long it is not tried again when that was not enough.
const HOLD_AGAIN: Duration = Duration::from_secs(5);
/// How often the broker is asked whether it is back.
const PROBE: Duration = Duration::from_millis(100);
/// The same after it had been and went.
const PROBE_MAX: Duration = Duration::from_secs(1);
/// An event that may be too large for a broker.
const LARGE_BYTES: usize = 64 << 10;
/// How often the figures are shown.
const SHOW: Duration = Duration::from_secs(1);

/// Drains whenever there is something to drain and a broker to take it, until the spool stops.
pub(super) fn run(core: &Core) {
    let (mut pause, mut shown) = (PROBE, None);
    loop {
        let spooling = {
            let mut state = core.state.lock();
            if !state.stopped {
                let rest = if state.way == Way::Disk { pause } else { SHOW };
                core.roused.wait_for(&mut state, rest);
            }
            if state.stopped {
                return;
            }
            state.way == Way::Disk && state.open
        };
        let now = core.clock.elapsed();
        if shown.is_none_or(|at| now.saturating_sub(at) >= SHOW) {
            core.show();
            shown = Some(now);
        }
        if !spooling || core.inner.status().away.is_some() {
            continue;
        }
        core.state.lock().draining = true;
        let drained = Drain::begin(core).and_then(|mut drain| drain.run());
        core.state.lock().draining = false;
        match drained {
            Ok(()) => {
                tracing::info!("the spool is empty: events go to the broker again");
                pause = PROBE;
            }
            Err(LogError::Closed) => {}
            Err(error) => {
                tracing::warn!(%error, "the spool is not drained yet");
                pause = (2 * pause).min(PROBE_MAX);
                core.rest(pause);
            }
        }
        core.show();
    }
}

/// What of a partition has arrived at the broker without our knowing.
struct Arrived {
    /// The spool's offset before which records were tried.
    until: u64,
    /// That before which they were looked for.
    looked: u64,
    found: HashSet<Identity>,
}

/// One run, from where the last one ended.
struct Drain<'a> {
    core: &'a Core,
    cursors: Vec<(StreamId, Box<dyn Cursor>)>,
    arrived: HashMap<(StreamId, u32), Arrived>,
    /// Behind what the broker has acknowledged of the window at hand: stream, partition and offset.
    acked: Vec<(StreamId, u32, u64)>,
    hold_at: Duration,
}

impl<'a> Drain<'a> {
    fn begin(core: &'a Core) -> Result<Self, LogError> {
        let records = core.undrained();
        tracing::info!(records, "the broker is there: the spool drains");
        let (cursors, arrived, acked) = Default::default();
        let mut drain = Self { core, cursors, arrived, acked, hold_at: Duration::ZERO };
        for (stream, _) in core.catalog.iter() {
            let parts: Vec<_> = core.progress.lock().of(stream).collect();
            let from: Vec<_> = parts.iter().map(|(partition, part)| (*partition, part.drained)).collect();
            drain.cursors.push((stream, core.spool.read(stream, &from)?));
            let ends = core.inner.extents(stream);
            for (partition, part) in parts {
                if part.drained < part.tried {
                    let arrived = Arrived { until: part.tried, looked: part.drained, found: HashSet::new() };
                    drain.arrived.insert((stream, partition), arrived);
                } else if let (None, Some(end)) = (part.since, ends.get(partition as usize)) {
                    core.progress.lock().change(stream, partition, |part| part.since = Some(end.next));
                }
            }
        }
        Ok(drain)
    }

    /// Looks which of the records before `end` have arrived, and while it is there, of all that were tried.
    fn look(&mut self, stream: StreamId, partition: u32, end: u64) -> Result<(), LogError> {
        let core = self.core;
        let Some(arrived) = self.arrived.get_mut(&(stream, partition)) else { return Ok(()) };
        if arrived.looked >= end.min(arrived.until) {
            return Ok(());
        }
        let dedup = core.catalog.get(stream).dedup.is_some();
        let mut cursor = core.spool.read(stream, &[(partition, arrived.looked)])?;
        let mut wanted = HashSet::new();
        while arrived.looked < arrived.until {
            let blocks = cursor.next(core.settings.window_bytes())?;
            let Some(last) = blocks.last() else { break };
            let records = blocks.iter().flat_map(Block::records).filter(|record| record.offset < arrived.until);
            wanted.extend(records.filter_map(|record| Identity::of_record(dedup, &record)));
            arrived.looked = last.next_offset();
        }
        let since = core.progress.lock().of(stream).nth(partition as usize).and_then(|(_, part)| part.since);
        if let (Some(since), false) = (since, wanted.is_empty()) {
            arrived.found.extend(core.tail.arrived(stream, partition, since, &wanted)?);
        }
        Ok(())
    }

    /// Drains until the spool is empty and the way is the broker's.
    fn run(&mut self) -> Result<(), LogError> {
        loop {
            let records = self.turn()?;
            let near = self.core.undrained() <= records.max(HOLD_RECORDS);
            if near && self.core.clock.elapsed() >= self.hold_at && self.last_moment()? {
                return Ok(());
            }
            if near {
                self.core.rest(Duration::from_millis(5));
            }
        }
    }

    /// One window of each stream; gives the number of records.
    fn turn(&mut self) -> Result<u64, LogError> {
        let mut records = 0;
        for i in 0..self.cursors.len() {
            if self.core.state.lock().stopped {
                return Err(LogError::Closed);
            }
            records += self.window(i)?;
        }
        Ok(records)
    }

    /// Holds back what comes until everything is drained; false when that takes too long.
    fn last_moment(&mut self) -> Result<bool, LogError> {
        let core = self.core;
        core.hold();
        let emptied = self.run_empty();
        match emptied {
            Ok(true) => core.set_out(),
            Ok(false) => self.hold_at = core.clock.elapsed() + HOLD_AGAIN,
            Err(_) => {}
        }
        core.release(if matches!(emptied, Ok(true)) { Way::Broker } else { Way::Disk });
        emptied
    }

    fn run_empty(&mut self) -> Result<bool, LogError> {
        let end = self.core.clock.elapsed() + HOLD;
        loop {
            while self.turn()? > 0 {}
            let mut state = self.core.state.lock();
            if state.to_disk > 0 {
                self.core.moved.wait_for(&mut state, Duration::from_millis(10));
            } else if self.core.undrained() == 0 {
                return Ok(true);
            }
            if self.core.clock.elapsed() >= end {
                return Ok(false);
            }
        }
    }

    /// Takes the next window of a stream to the broker; gives the number of its records.
    fn window(&mut self, i: usize) -> Result<u64, LogError> {
        let core = self.core;
        let (stream, cursor) = &mut self.cursors[i];
        let stream = *stream;
        let ends = core.spool.extents(stream);
        let blocks = cursor.next(core.settings.window_bytes())?;
        let Some(last) = blocks.last() else {
            // What is left and cannot be read is lost; the spool has reported it.
            let mut progress = core.progress.lock();
            for (partition, end) in ends.iter().enumerate() {
                progress.change(stream, partition as u32, |part| part.drained = part.drained.max(end.next));
            }
            return Ok(0);
        };
        let taken_at = last.appended_at;
        for block in &blocks {
            self.look(stream, block.partition, block.next_offset())?;
        }
        let old = core.ages.now(&*core.clock).saturating_sub(core.settings.age_max_ms);
        let mut pieces = window::pieces(core.catalog.get(stream), &blocks, old);
        let records = pieces.len();
        let dedup = core.catalog.get(stream).dedup.is_some();
        pieces.retain(|piece| !self.has_arrived(dedup, piece));
        core.figures.known.increment((records - pieces.len()) as u64);
        if !pieces.is_empty() {
            self.promise(stream, &blocks);
            self.send(&mut pieces)?;
        }
        self.done(stream, &blocks);
        let expired = pieces.iter().filter(|piece| piece.dead == Some(Dead::Expired)).count();
        core.figures.expired.increment(expired as u64);
        core.figures.drained.increment((records - expired) as u64);
        core.state.lock().oldest[usize::from(stream.0)] = Some(taken_at);
        Ok(records as u64)
    }

    fn has_arrived(&self, dedup: bool, piece: &Piece<'_>) -> bool {
        self.arrived.get(&(piece.stream, piece.partition)).is_some_and(|arrived| {
            piece.record.offset < arrived.until
                && Identity::of_record(dedup, &piece.record).is_some_and(|identity| arrived.found.contains(&identity))
        })
    }

    /// Keeps on disk that these may be with the broker from now on.
    fn promise(&self, stream: StreamId, blocks: &[Block]) {
        let text = {
            let mut progress = self.core.progress.lock();
            for block in blocks {
                progress.change(stream, block.partition, |part| part.tried = part.tried.max(block.next_offset()));
            }
            progress.text(&self.core.catalog)
        };
        self.core.keep(&text);
    }

    /// These are with the broker: their room is free once their segment is done. What is sent from now on lies behind them,
    /// unless something tried before is still to be looked for.
    fn done(&mut self, stream: StreamId, blocks: &[Block]) {
        let mut positions = Vec::with_capacity(blocks.len());
        {
            let mut progress = self.core.progress.lock();
            for block in blocks {
                let (partition, offset) = (block.partition, block.next_offset());
                progress.change(stream, partition, |part| part.drained = part.drained.max(offset));
                positions.push(Position { stream, partition, offset });
            }
            for (stream, partition, offset) in self.acked.drain(..) {
                let until = self.arrived.get(&(stream, partition)).map_or(0, |arrived| arrived.until);
                progress.change(stream, partition, |part| {
                    if part.drained >= until {
                        part.since = part.since.max(Some(offset));
                    }
                });
            }
        }
        if let Err(error) = self.core.spool.commit("drain", &positions).and_then(|()| self.core.spool.drop_consumed()) {
            tracing::warn!(%error, "room in the spool could not be freed");
        }
    }

    /// Sends the pieces of a window and waits until the broker has them. One that it does not take becomes a dead letter, and
    /// whoever is behind it goes on; unless it takes none at all, since then it is not the event's fault.
    fn send(&mut self, pieces: &mut [Piece<'_>]) -> Result<(), LogError> {
        let mut reason = None;
        let taken = self.send_halves(pieces, &mut reason)?;
        let Some(reason) = reason else { return Ok(()) };
        let mut refused: Vec<_> = pieces.iter().filter(|piece| piece.dead == Some(Dead::Refused)).copied().collect();
        if !taken && !refused.iter().all(|piece| piece.record.data.len() >= LARGE_BYTES) {
            return Err(LogError::Refused(reason));
        }
        for piece in &mut refused {
            tracing::error!(reason, "the broker refuses an event from the spool: it becomes a dead letter");
            self.core.figures.refused.increment(1);
            let mut sent = self.send_once(&[*piece]);
            if matches!(sent, Err(LogError::Refused(_))) {
                // The letter is as large as the event.
                piece.dead = Some(Dead::Cut);
                sent = self.send_once(&[*piece]);
            }
            sent?;
        }
        Ok(())
    }

    /// Sends pieces, in halves where the broker refuses them as a whole, and marks those that it refuses alone. Says whether
    /// it took any.
    fn send_halves(&mut self, pieces: &mut [Piece<'_>], reason: &mut Option<String>) -> Result<bool, LogError> {
        match (self.send_once(pieces), pieces) {
            (Ok(()), _) => Ok(true),
            (Err(LogError::Refused(why)), [piece]) if piece.dead.is_none() => {
                piece.dead = Some(Dead::Refused);
                *reason = Some(why);
                Ok(false)
            }
            (Err(LogError::Refused(_)), pieces) if pieces.len() > 1 => {
                let (front, back) = pieces.split_at_mut(pieces.len() / 2);
                Ok(self.send_halves(front, reason)? | self.send_halves(back, reason)?)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn send_once(&mut self, pieces: &[Piece<'_>]) -> Result<(), LogError> {
        let core = self.core;
        loop {
            let batches = window::batches(&core.catalog, core.inner.id_hasher(), core.spool.id_hasher(), pieces);
            let streams: Vec<StreamId> = batches.iter().map(|batch| batch.stream).collect();
            match core.inner.append(Append { batches, lane: 0, ack: Ack::Durable }) {
                Ok(pending) => {
                    let placed = pending.wait_blocking()?;
                    for (stream, placed) in streams.iter().zip(&placed) {
                        let behind = placed.ranges.iter().map(|range| (*stream, range.partition, range.last + 1));
                        self.acked.extend(behind);
                    }
                    return Ok(());
                }
                Err(LogError::Busy) if core.state.lock().stopped => return Err(LogError::Closed),
                Err(LogError::Busy) => core.rest(Duration::from_millis(10)),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Core {
    /// Lets some time pass, unless the spool stops.
    fn rest(&self, pause: Duration) {
        let mut state = self.state.lock();
        if !state.stopped {
            self.roused.wait_for(&mut state, pause);
        }
    }

    /// Everything is with the broker: keeps that, and starts its floors anew.
    fn set_out(&self) {
        let text = {
            let mut progress = self.progress.lock();
            for position in progress.positions() {
                progress.change(position.stream, position.partition, |part| part.tried = part.drained);
            }
            progress.text(&self.catalog)
        };
        self.keep(&text);
        let mut ends = super::ends(&*self.inner, &self.catalog);
        for (of_stream, (id, _)) in ends.iter_mut().zip(self.catalog.iter()) {
            of_stream
                .iter_mut()
                .zip(self.progress.lock().of(id))
                .for_each(|(end, (_, part))| *end = part.since.max(*end));
        }
        let mut state = self.state.lock();
        state.floors = super::floors::Floors::new(ends, state.next);
        state.oldest.fill(None);
    }
}
