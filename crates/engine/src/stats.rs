//! Figures of a running engine, for anyone who asks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use event::{Millis, Position, StreamId};
use hdrhistogram::Histogram;
use log::Log;

use crate::processor::Batch;
use crate::recover::StreamTrack;

/// The longest time from append to commit that is told apart, in milliseconds: a day.
const LATENCY_MAX_MS: u64 = 24 * 3_600 * 1_000;

/// Figures since the start of this process; positions since ever.
pub struct EngineStats {
    log: Arc<dyn Log>,
    streams: Vec<StreamStats>,
    stored: AtomicU64,
    dead_letters: AtomicU64,
    skipped: AtomicU64,
    anomalies: Vec<(String, AtomicU64)>,
    end_to_end: Mutex<Histogram<u64>>,
    commits: AtomicU64,
    last_commit_at: AtomicI64,
}

struct StreamStats {
    id: StreamId,
    name: String,
    committed: Vec<AtomicU64>,
}

impl std::fmt::Debug for EngineStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineStats")
            .field("stored", &self.stored)
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

impl EngineStats {
    pub(crate) fn new(log: Arc<dyn Log>, tracks: &[StreamTrack]) -> Self {
        let stream = |track: &StreamTrack| StreamStats {
            id: track.id,
            name: track.name.clone(),
            committed: track.partitions.iter().map(|p| AtomicU64::new(p.next)).collect(),
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
            skipped: AtomicU64::new(0),
            anomalies: rules.into_iter().map(|rule| (rule, AtomicU64::new(0))).collect(),
            end_to_end: Mutex::new(end_to_end),
            commits: AtomicU64::new(0),
            last_commit_at: AtomicI64::new(Millis::MIN),
        }
    }

    /// Takes note of a committed batch.
    pub(crate) fn note(&self, batch: &Batch, moves: &[Position], now: Millis) {
        let stored: usize = batch.blocks.iter().map(event::Block::len).sum();
        self.stored.fetch_add(stored as u64, Ordering::Relaxed);
        self.dead_letters.fetch_add(batch.dead_letters.len() as u64, Ordering::Relaxed);
        self.skipped.fetch_add(batch.skipped, Ordering::Relaxed);
        for anomaly in &batch.anomalies {
            if let Some((_, count)) = self.anomalies.iter().find(|(rule, _)| *rule == anomaly.rule) {
                count.fetch_add(1, Ordering::Relaxed);
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
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.last_commit_at.store(now, Ordering::Relaxed);
    }

    /// Counts on where the figures of an engine before this one ended, so that totals of a process never fall.
    pub fn go_on_from(&self, before: &Self) {
        self.stored.fetch_add(before.stored(), Ordering::Relaxed);
        self.dead_letters.fetch_add(before.dead_letters(), Ordering::Relaxed);
        self.skipped.fetch_add(before.skipped(), Ordering::Relaxed);
        self.commits.fetch_add(before.commits(), Ordering::Relaxed);
        for (rule, count) in &self.anomalies {
            let earlier = before.anomalies.iter().find(|(name, _)| name == rule);
            count.fetch_add(earlier.map_or(0, |(_, count)| count.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
        let earlier = before.end_to_end.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut mine = self.end_to_end.lock().unwrap_or_else(PoisonError::into_inner);
        // Both have the same bounds, so it always fits.
        let _ = mine.add(earlier);
    }

    /// Event rows committed.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Dead letters committed.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Records that the log should have held and did not, by damage or retention.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Anomalies committed, by rule, in the order of names.
    pub fn anomalies(&self) -> Vec<(String, u64)> {
        self.anomalies.iter().map(|(rule, count)| (rule.clone(), count.load(Ordering::Relaxed))).collect()
    }

    /// Records that are in the log and not yet committed, internal ones included.
    pub fn lag_events(&self) -> u64 {
        self.lag_by_partition().iter().map(|(_, _, lag)| lag).sum()
    }

    /// The same by stream and partition.
    pub fn lag_by_partition(&self) -> Vec<(String, u32, u64)> {
        let of_stream = |stream: &StreamStats| {
            let lag = |(i, extent): (usize, &log::Extent)| {
                let committed = stream.committed[i].load(Ordering::Relaxed).max(extent.first);
                (stream.name.clone(), i as u32, extent.next.saturating_sub(committed))
            };
            self.log.extents(stream.id).iter().enumerate().map(lag).collect::<Vec<_>>()
        };
        self.streams.iter().flat_map(of_stream).collect()
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

    /// When the last one was; `None` before the first.
    pub fn last_commit_at(&self) -> Option<Millis> {
        Some(self.last_commit_at.load(Ordering::Relaxed)).filter(|at| *at != Millis::MIN)
    }

    /// How far a stream is committed.
    pub(crate) fn committed(&self, id: StreamId) -> Vec<Position> {
        let Some(stream) = self.streams.iter().find(|stream| stream.id == id) else { return Vec::new() };
        let position = |(i, offset): (usize, &AtomicU64)| Position {
            stream: id,
            partition: i as u32,
            offset: offset.load(Ordering::Relaxed),
        };
        stream.committed.iter().enumerate().map(position).collect()
    }
}
