//! Figures of a running engine, for anyone who asks.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use breaker::BreakerState;
use event::{Millis, Position, StreamId, WindowDelta};
use hdrhistogram::Histogram;
use log::Log;

use crate::batch::Batch;
use crate::meters::lag_gauge;
use crate::recent::Recent;
use crate::track::StreamTrack;

/// The longest time from append to commit that is told apart, in milliseconds: a day.
const LATENCY_MAX_MS: u64 = 24 * 3_600 * 1_000;

/// Figures since the start of this process; positions since ever.
pub struct EngineStats {
    log: Arc<dyn Log>,
    streams: Vec<StreamStats>,
    stored: AtomicU64,
    dead_letters: AtomicU64,
    quarantined: AtomicU64,
    skipped: AtomicU64,
    late: AtomicU64,
    windows_closed: AtomicU64,
    recent: Mutex<Recent>,
    anomalies: Vec<(String, AtomicU64)>,
    end_to_end: Mutex<Histogram<u64>>,
    commits: AtomicU64,
    retries: AtomicU64,
    breaker: AtomicU8,
    last_commit_at: AtomicI64,
    /// Whether the partitions are others' by now.
    left: AtomicBool,
}

struct StreamStats {
    id: StreamId,
    name: String,
    committed: Vec<AtomicU64>,
    /// Whether the engine works on it.
    owned: Vec<bool>,
}

impl std::fmt::Debug for EngineStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineStats")
            .field("stored", &self.stored)
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

fn add(to: &AtomicU64, more: u64) {
    to.fetch_add(more, Ordering::Relaxed);
}

impl EngineStats {
    pub(crate) fn new(log: Arc<dyn Log>, tracks: &[StreamTrack]) -> Self {
        let stream = |track: &StreamTrack| StreamStats {
            id: track.id,
            name: track.name.clone(),
            committed: track.partitions.iter().map(|p| AtomicU64::new(p.next)).collect(),
            owned: track.partitions.iter().map(|p| p.owned).collect(),
        };
        let mut rules: Vec<String> = tracks
            .iter()
            .filter_map(|t| t.program.as_ref())
            .flat_map(|p| p.rules().map(|(name, _)| name.to_owned()))
            .collect();
        rules.sort();
        rules.dedup();
        #[expect(clippy::expect_used, reason = "the bounds are constants")]
        let end_to_end = Histogram::new_with_bounds(1, LATENCY_MAX_MS, 2).expect("sound bounds");
        Self {
            log,
            streams: tracks.iter().map(stream).collect(),
            stored: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            late: AtomicU64::new(0),
            windows_closed: AtomicU64::new(0),
            recent: Mutex::default(),
            anomalies: rules.into_iter().map(|rule| (rule, AtomicU64::new(0))).collect(),
            end_to_end: Mutex::new(end_to_end),
            commits: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            breaker: AtomicU8::new(0),
            last_commit_at: AtomicI64::new(Millis::MIN),
            left: AtomicBool::new(false),
        }
    }

    /// Takes note of a committed batch.
    pub(crate) fn note(&self, batch: &Batch, moves: &[Position], closed: u64, now: Millis) {
        let stored: usize = batch.blocks.iter().map(event::Block::len).sum();
        add(&self.stored, stored as u64);
        add(&self.dead_letters, batch.dead_letters.len() as u64);
        add(&self.quarantined, batch.runs.iter().map(|run| run.quarantined).sum());
        if self.log.is_dense() {
            add(&self.skipped, batch.gaps());
        }
        add(&self.late, batch.output.late.iter().map(|late| late.events).sum());
        add(&self.windows_closed, closed);
        for anomaly in &batch.output.anomalies {
            if let Some((_, count)) = self.anomalies.iter().find(|(rule, _)| *rule == anomaly.rule) {
                add(count, 1);
            }
        }
        for position in moves {
            if let Some(stream) = self.streams.iter().find(|stream| stream.id == position.stream) {
                stream.committed[position.partition as usize].store(position.offset, Ordering::Relaxed);
            }
        }
        {
            let mut histogram = self.end_to_end.lock().unwrap_or_else(PoisonError::into_inner);
            for block in &batch.blocks {
                let ms = now.saturating_sub(block.appended_at).max(0) as u64;
                histogram.saturating_record_n(ms, block.len() as u64);
            }
        }
        add(&self.commits, 1);
        self.last_commit_at.store(now, Ordering::Relaxed);
    }

    /// The pieces with which a batch closes windows, as far as those were not closed lately; once for each batch.
    pub(crate) fn closing<'b>(&self, batch: &'b Batch) -> Vec<&'b WindowDelta> {
        let mut pieces: Vec<_> = batch.output.windows.iter().filter(|piece| !piece.correction).collect();
        if !pieces.is_empty() {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            pieces.retain(|piece| recent.is_new(&piece.id));
        }
        pieces
    }

    pub(crate) fn note_retry(&self) {
        add(&self.retries, 1);
    }

    pub(crate) fn note_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Ordering::Relaxed);
    }

    /// Counts on where the figures of an engine before this one ended, so that totals of a process never fall.
    pub fn go_on_from(&self, before: &Self) {
        add(&self.stored, before.stored());
        add(&self.dead_letters, before.dead_letters());
        add(&self.quarantined, before.quarantined());
        add(&self.skipped, before.skipped());
        add(&self.late, before.late());
        add(&self.windows_closed, before.windows_closed());
        add(&self.commits, before.commits());
        add(&self.retries, before.retries());
        for (rule, count) in &self.anomalies {
            let earlier = before.anomalies.iter().find(|(name, _)| name == rule);
            add(count, earlier.map_or(0, |(_, count)| count.load(Ordering::Relaxed)));
        }
        // Both have the same bounds, so it always fits.
        let earlier = before.end_to_end.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let _ = self.end_to_end.lock().unwrap_or_else(PoisonError::into_inner).add(earlier);
        let earlier = std::mem::take(&mut *before.recent.lock().unwrap_or_else(PoisonError::into_inner));
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = earlier;
    }

    /// Event rows committed.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Dead letters committed.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Dead letters whose replay failed once too often here.
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Records that the log should have held and did not, by damage or retention.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Events that came after a window of theirs was closed, once for each such window.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Windows that were closed. One that several partitions hand over counts once, unless more than 65 536 others were
    /// closed in between; corrections do not count.
    pub fn windows_closed(&self) -> u64 {
        self.windows_closed.load(Ordering::Relaxed)
    }

    /// Anomalies committed, by rule, in the order of names.
    pub fn anomalies(&self) -> Vec<(String, u64)> {
        self.anomalies.iter().map(|(rule, count)| (rule.clone(), count.load(Ordering::Relaxed))).collect()
    }

    /// The partitions are others' from now on: there is no lag here any more. `consumer` is the engine's name.
    pub fn leave(&self, consumer: &str) {
        for (stream, partition, _) in self.lag_by_partition() {
            lag_gauge(consumer, &stream, partition).set(0.0);
        }
        self.left.store(true, Ordering::Relaxed);
    }

    /// Records that are in the log and not yet committed, internal ones included; of the partitions that the engine works
    /// on.
    pub fn lag_events(&self) -> u64 {
        self.lag_by_partition().iter().map(|(_, _, lag)| lag).sum()
    }

    /// The same by stream and partition; without those of which the log does not know the end yet.
    pub fn lag_by_partition(&self) -> Vec<(String, u32, u64)> {
        let of_stream = |stream: &StreamStats| {
            let lag = |(i, extent): (usize, &log::Extent)| {
                let committed = stream.committed[i].load(Ordering::Relaxed).max(extent.first);
                (stream.name.clone(), i as u32, extent.next.saturating_sub(committed))
            };
            let extents = self.log.extents(stream.id);
            extents.iter().enumerate().filter(|(i, _)| stream.owned[*i]).map(lag).collect::<Vec<_>>()
        };
        if self.left.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.streams.iter().filter(|stream| self.log.knows_extents(stream.id)).flat_map(of_stream).collect()
    }

    /// Milliseconds from append to commit, over all rows since the start: median and 99th percentile.
    pub fn end_to_end_ms(&self) -> (f64, f64) {
        let histogram = self.end_to_end.lock().unwrap_or_else(PoisonError::into_inner);
        (histogram.value_at_quantile(0.5) as f64, histogram.value_at_quantile(0.99) as f64)
    }

    /// Store transactions.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Tries to commit after one that failed because the store was away.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// What the breaker around the store is: anything but closed means an outage.
    pub fn breaker(&self) -> BreakerState {
        let is = |state: &BreakerState| *state as u8 == self.breaker.load(Ordering::Relaxed);
        [BreakerState::Open, BreakerState::HalfOpen].into_iter().find(is).unwrap_or_default()
    }

    /// When the last one was; `None` before the first.
    pub fn last_commit_at(&self) -> Option<Millis> {
        Some(self.last_commit_at.load(Ordering::Relaxed)).filter(|at| *at != Millis::MIN)
    }

    /// How far a stream is committed, in the partitions that the engine works on.
    pub(crate) fn committed(&self, id: StreamId) -> Vec<Position> {
        let Some(stream) = self.streams.iter().find(|stream| stream.id == id) else { return Vec::new() };
        let position = |(i, offset): (usize, &AtomicU64)| Position {
            stream: id,
            partition: i as u32,
            offset: offset.load(Ordering::Relaxed),
        };
        stream.committed.iter().enumerate().filter(|(i, _)| stream.owned[*i]).map(position).collect()
    }
}
