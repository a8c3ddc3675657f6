//! The one writer: takes whatever requests wait, writes them as one group with one sync a stream, publishes, answers.
//!
//! The commit path is [`Writer::commit`], read top to bottom. Order matters: nothing is published before it is durable,
//! nothing is answered before it is published. A failed write takes the group back; a failed sync poisons the log, since
//! what is on disk is then unknown (the kernel may have dropped the pages and will not say so again).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::{Ack, StreamId};
use metrics::{Counter, Histogram};
use tokio::sync::oneshot;

use super::DiskSettings;
use super::format::SegmentHead;
use super::index::SegmentIndex;
use super::manifest::Manifest;
use super::place::Stage;
use super::segment::{AHEAD_BYTES, ActiveSegment, Failure};
use super::shared::{Segment, Shared, StreamState};
use crate::dedup::DedupTable;
use crate::disk_port::Disk;
use crate::queue::{Raise, Request};
use crate::{LogError, Placed};

/// A request of the group at hand.
struct Placing {
    reply: Option<oneshot::Sender<Result<Vec<Placed>, LogError>>>,
    ack: Ack,
    placed: Vec<Placed>,
}

/// One stream's writing side.
pub(super) struct StreamWriter {
    pub(super) stage: Stage,
    pub(super) active: Option<ActiveSegment>,
    /// The sequence number of the next segment.
    pub(super) next_seq: u64,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    settings: DiskSettings,
    streams: Vec<StreamWriter>,
    group: Vec<Placing>,
    /// Taken and not placed yet: kept for its memory.
    taken: Vec<Request>,
    /// Streams that the group writes to.
    dirty: Vec<StreamId>,
    fsync_seconds: Histogram,
    group_requests: Histogram,
    dedup_evicted: Counter,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, settings: DiskSettings, streams: Vec<StreamWriter>) -> Self {
        let fsync_seconds = metrics::histogram!("millstream_log_fsync_seconds");
        let group_requests = metrics::histogram!("millstream_log_group_requests");
        let dedup_evicted = metrics::counter!("millstream_dedup_evicted_total");
        let (group, taken, dirty) = Default::default();
        Self { shared, settings, streams, group, taken, dirty, fsync_seconds, group_requests, dedup_evicted }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        while let Some(raises) = shared.queue.wait() {
            raises.into_iter().for_each(|raise| self.raise(raise));
            self.gather();
            if !self.group.is_empty() {
                self.commit();
            }
            shared.queue.answered();
        }
        self.finish();
    }

    /// Fills the group, also with what comes while it is filled.
    fn gather(&mut self) {
        let mut weight = 0;
        let mut taken = std::mem::take(&mut self.taken);
        loop {
            self.shared.queue.take(weight, self.shared.clock.elapsed(), &mut taken);
            if taken.is_empty() {
                break;
            }
            for request in taken.drain(..) {
                weight += self.place(request);
            }
        }
        self.taken = taken;
    }

    /// Takes a request into the group; gives its weight.
    fn place(&mut self, request: Request) -> usize {
        let Request { append, weight, reply, .. } = request;
        if let Some(reason) = self.shared.poisoned.get() {
            answer(reply, Err(LogError::Poisoned(reason.clone())));
            return 0;
        }
        let now = self.shared.clock.now();
        let mut placed = Vec::with_capacity(append.batches.len());
        for batch in &append.batches {
            if !self.dirty.contains(&batch.stream) {
                self.dirty.push(batch.stream);
            }
            let stage = &mut self.streams[usize::from(batch.stream.0)].stage;
            if let Some(dedup) = &mut stage.dedup {
                dedup.advance(now);
            }
            placed.push(stage.place(batch, now));
        }
        self.group.push(Placing { reply: Some(reply), ack: append.ack, placed });
        weight
    }

    /// Makes the group durable, published and answered; or takes it back and says why.
    fn commit(&mut self) {
        let now = self.shared.clock.now();
        for stream in &self.dirty {
            self.streams[usize::from(stream.0)].stage.seal(now);
        }
        let ahead = match self.room() {
            Ok(ahead) => ahead,
            Err(error) => return self.refuse(&error),
        };
        match self.write(now, ahead) {
            Ok(()) => {}
            Err(LogError::Poisoned(reason)) => return self.poison(reason),
            Err(error) => return self.take_back(&error),
        }
        // Asked for memory only: the bytes have left this process and outlive it, though not yet the machine.
        self.answer_where(|ack| ack == Ack::Memory);
        if let Err(error) = self.sync() {
            return self.poison(error.to_string());
        }
        self.publish();
        self.group_requests.record(self.group.len() as f64);
        self.answer_where(|_| true);
        self.group.clear();
        self.dirty.clear();
    }

    /// Takes room on the disk for the group; says whether there is room to reserve ahead too.
    fn room(&self) -> Result<bool, LogError> {
        let Shared { disk, dir, clock, reserve, .. } = &*self.shared;
        let out = |stream: &StreamId| self.streams[usize::from(stream.0)].stage.out.len() as u64;
        let (bytes, ahead) = (self.dirty.iter().map(out).sum(), AHEAD_BYTES * self.dirty.len() as u64);
        reserve.admit(disk.as_ref(), dir, clock.elapsed(), bytes, ahead)
    }

    /// Writes every stream's frames, each into its segment; opens the next segment where one is full.
    fn write(&mut self, now: event::Millis, ahead: bool) -> Result<(), LogError> {
        for stream in &self.dirty {
            let writer = &mut self.streams[usize::from(stream.0)];
            if writer.stage.out.is_empty() {
                continue;
            }
            let state = self.shared.stream(*stream);
            let empty = SegmentHead::len(state.partitions as usize);
            let end = |active: &ActiveSegment| active.len + writer.stage.out.len() as u64;
            // A group larger than a segment has one of its own; an empty one that waits for it is not passed over.
            let full = |active: &ActiveSegment| active.len > empty && end(active) > self.settings.segment_bytes;
            if writer.active.as_ref().is_none_or(full) {
                roll(&self.shared, *stream, writer, now).map_err(|failure| failure.told(&state.dir))?;
            }
            if let Some(active) = &mut writer.active {
                active
                    .write(&writer.stage.out, ahead, self.settings.segment_bytes)
                    .map_err(|failure| failure.told(&state.dir))?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        let start = self.shared.clock.elapsed();
        for stream in &self.dirty {
            let writer = &self.streams[usize::from(stream.0)];
            if let (Some(active), false) = (&writer.active, writer.stage.out.is_empty()) {
                active.sync().map_err(|failure| failure.told(&self.shared.stream(*stream).dir))?;
            }
        }
        self.fsync_seconds.record(self.shared.clock.elapsed() - start);
        Ok(())
    }

    /// Shows readers what is durable now.
    fn publish(&mut self) {
        for stream in &self.dirty {
            let writer = &mut self.streams[usize::from(stream.0)];
            if let (Some(active), false) = (&mut writer.active, writer.stage.out.is_empty()) {
                let mut view = self.shared.stream(*stream).view.write();
                view.next.copy_from_slice(writer.stage.next());
                if let Some(segment) = view.segments.last_mut() {
                    for (at, head) in &writer.stage.heads {
                        segment.index.add(active.len + *at as u64, head);
                    }
                }
                active.len += writer.stage.out.len() as u64;
            }
            writer.stage.done();
            self.dedup_evicted.increment(writer.stage.dedup.as_mut().map_or(0, DedupTable::take_evicted));
        }
        self.shared.publish();
    }

    fn answer_where(&mut self, wants: impl Fn(Ack) -> bool) {
        for placing in &mut self.group {
            if wants(placing.ack)
                && let Some(reply) = placing.reply.take()
            {
                answer(reply, Ok(std::mem::take(&mut placing.placed)));
            }
        }
    }

    /// The disk refused the bytes: what it took of them is cut off.
    fn take_back(&mut self, error: &LogError) {
        tracing::error!(%error, requests = self.group.len(), "the disk refused a write; the requests are refused");
        for stream in &self.dirty {
            if let Some(active) = &mut self.streams[usize::from(stream.0)].active
                && let Err(Failure::Refused(cause) | Failure::Unsynced(cause)) = active.take_back()
            {
                return self.poison(format!("the disk failed: {cause}"));
            }
        }
        self.refuse(error);
    }

    /// Nothing of the group is on disk: it never was.
    fn refuse(&mut self, error: &LogError) {
        for stream in self.dirty.drain(..) {
            self.streams[usize::from(stream.0)].stage.undo();
        }
        self.fail_group(error);
    }

    /// What is on disk is not known any more: nothing is written until a restart has looked.
    fn poison(&mut self, reason: String) {
        tracing::error!(reason, "the log is poisoned: it stops writing until a restart");
        let _ = self.shared.poisoned.set(reason.clone());
        for stream in self.dirty.drain(..) {
            let writer = &mut self.streams[usize::from(stream.0)];
            writer.stage.undo();
            if let Some(Err(error)) = writer.active.as_ref().map(ActiveSegment::abandon) {
                tracing::warn!(%error, "what was not synced could not be cut off");
            }
        }
        self.fail_group(&LogError::Poisoned(reason));
        self.shared.publish();
    }

    fn fail_group(&mut self, error: &LogError) {
        for placing in self.group.drain(..) {
            if let Some(reply) = placing.reply {
                answer(reply, Err(error.clone()));
            }
        }
    }

    /// Moves ends up. The group is empty now, so nothing was placed at the old ones.
    fn raise(&mut self, raise: Raise) {
        for end in &raise.ends {
            let stage = &mut self.streams[usize::from(end.stream.0)].stage;
            stage.raise(end.partition as usize, end.offset);
            self.shared.stream(end.stream).view.write().next.copy_from_slice(stage.next());
        }
        answer(raise.done, ());
    }

    /// Leaves every segment finished, so that the next start reads no frame.
    fn finish(&mut self) {
        if self.shared.poisoned.get().is_none() {
            for (state, writer) in self.shared.streams.iter().zip(&mut self.streams) {
                if let Err(failure) = finish_active(self.shared.disk.as_ref(), state, writer) {
                    let error = failure.told(&state.dir);
                    tracing::warn!(%error, "the newest segment could not be finished; the next start walks it");
                }
            }
        }
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.publish();
    }
}

/// A sender that went away does not want the answer.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

impl Drop for Writer {
    /// A panic ends the thread: nobody may take the log for sound.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.shared.poisoned.set("its writer panicked".to_owned());
            self.shared.publish();
        }
        self.shared.queue.abandon();
    }
}

/// Finishes a stream's segment, if there is one.
fn finish_active(disk: &dyn Disk, state: &StreamState, writer: &mut StreamWriter) -> Result<(), Failure> {
    let Some(active) = writer.active.take() else { return Ok(()) };
    let sidecar = state.view.read().segments.last().map(|segment| segment.index.encode());
    active.finish(disk, &state.dir, &sidecar.unwrap_or_default())
}

/// Finishes a stream's segment, if there is one, and opens the next.
fn roll(shared: &Shared, stream: StreamId, writer: &mut StreamWriter, now: event::Millis) -> Result<(), Failure> {
    let state = shared.stream(stream);
    let disk = shared.disk.as_ref();
    let _files = state.files.lock();
    finish_active(disk, state, writer)?;
    let seq = writer.next_seq;
    // The group's records are counted in `stage.next` already; the segment starts before them, where the view stands.
    let (base, first_seq) = {
        let view = state.view.read();
        (view.next.clone(), view.segments.first().map_or(seq, |s| s.seq))
    };
    let active = ActiveSegment::create(disk, &state.dir, seq, now, &base)?;
    Manifest { partitions: state.partitions, first_seq, last_seq: seq }.store(disk, &state.dir)?;
    let index = SegmentIndex::new(active.len, &base);
    state.view.write().segments.push(Segment { seq, base, index });
    writer.next_seq = seq + 1;
    writer.active = Some(active);
    Ok(())
}
