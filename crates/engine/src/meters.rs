//! The engine's metrics: every handle is made once, labels are closed sets.

use std::collections::HashMap;
use std::time::Duration;

use event::{Millis, StreamId, WindowDelta};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::EngineStats;
use crate::batch::Batch;
use crate::poison::{RULE_PANIC, STORE_REFUSED};
use crate::refused::CODES;
use crate::track::StreamTrack;

/// What stands for a label value that is none of ours.
const OTHER: &str = "other";

pub(crate) struct Meters {
    /// By stream, partition.
    lag: HashMap<(String, u32), Gauge>,
    watermark_lag: HashMap<StreamId, Gauge>,
    batch_seconds: Histogram,
    commit_seconds: Histogram,
    end_to_end_seconds: Histogram,
    /// By stream, then code.
    dead_letters: HashMap<String, HashMap<&'static str, Counter>>,
    quarantined: Counter,
    anomalies: HashMap<String, Counter>,
    /// By the name of the window.
    windows: HashMap<String, WindowMeters>,
    processed: Counter,
    refused: Counter,
    latency_seconds: Histogram,
    batch_size: Gauge,
}

struct WindowMeters {
    late: Counter,
    closed: Counter,
}

impl Meters {
    pub(crate) fn new(consumer: &str, tracks: &[StreamTrack]) -> Self {
        let (mut lag, mut watermark_lag) = (HashMap::new(), HashMap::new());
        let (mut anomalies, mut windows) = (HashMap::new(), HashMap::new());
        for track in tracks {
            for partition in 0..track.partitions.len() as u32 {
                lag.insert((track.name.clone(), partition), lag_gauge(consumer, &track.name, partition));
            }
            // Whose they are tells their lag: two must not.
            let others = (0_u32..).zip(&track.partitions).filter(|(_, partition)| !partition.owned);
            others.for_each(|(partition, _)| lag_gauge(consumer, &track.name, partition).set(0.0));
            let Some(program) = &track.program else { continue };
            let behind = gauge!("millstream_watermark_lag_seconds", "stream" => track.name.clone());
            watermark_lag.insert(track.id, behind);
            for (rule, _) in program.rules() {
                let counter = counter!("anomalies_detected_total", "anomaly_type" => rule.to_owned());
                anomalies.insert(rule.to_owned(), counter);
            }
            windows.extend(program.windows().map(|(window, _)| (window.to_owned(), WindowMeters::new(window))));
        }
        let streams = tracks.iter().map(|track| track.name.as_str()).chain([OTHER]);
        Self {
            lag,
            watermark_lag,
            batch_seconds: histogram!("millstream_pipeline_batch_seconds"),
            commit_seconds: histogram!("millstream_commit_seconds"),
            end_to_end_seconds: histogram!("millstream_end_to_end_seconds"),
            dead_letters: streams.map(|name| (name.to_owned(), by_code(name))).collect(),
            quarantined: counter!("millstream_quarantined_total"),
            anomalies,
            windows,
            processed: counter!("events_processed_total", "status" => "success"),
            refused: counter!("events_processed_total", "status" => "error"),
            latency_seconds: histogram!("processing_latency_seconds"),
            batch_size: gauge!("batch_size_current"),
        }
    }

    /// A batch was committed: the store took it from `begun` to `done`.
    pub(crate) fn note(&self, batch: &Batch, closing: &[&WindowDelta], begun: Duration, done: Duration, now: Millis) {
        let stored: usize = batch.blocks.iter().map(event::Block::len).sum();
        self.processed.increment(stored as u64);
        self.refused.increment(batch.dead_letters.len() as u64);
        self.batch_size.set(stored as f64);
        if !batch.took.is_zero() {
            self.batch_seconds.record(batch.took);
        }
        self.commit_seconds.record(done.saturating_sub(begun));
        self.latency_seconds.record(done.saturating_sub(batch.begun));
        for block in &batch.blocks {
            // Once a block: weighted by count it would be one sample an event. The weighted figures are in the stats.
            self.end_to_end_seconds.record(now.saturating_sub(block.appended_at).max(0) as f64 / 1e3);
        }
        for (stream, clock) in &batch.clocks {
            if let Some(gauge) = self.watermark_lag.get(stream) {
                gauge.set(now.saturating_sub(*clock).max(0) as f64 / 1e3);
            }
        }
        for piece in closing {
            if let Some(meters) = self.windows.get(&piece.id.window) {
                meters.closed.increment(1);
            }
        }
        self.note_findings(batch);
    }

    fn note_findings(&self, batch: &Batch) {
        for anomaly in &batch.output.anomalies {
            if let Some(counter) = self.anomalies.get(&anomaly.rule) {
                counter.increment(1);
            }
        }
        for late in &batch.output.late {
            if let Some(meters) = self.windows.get(&late.id.window) {
                meters.late.increment(late.events);
            }
        }
        for letter in &batch.dead_letters {
            let codes = self.dead_letters.get(&letter.stream).or_else(|| self.dead_letters.get(OTHER));
            if let Some(counter) = codes.and_then(|codes| codes.get(letter.code.as_str()).or_else(|| codes.get(OTHER)))
            {
                counter.increment(1);
            }
        }
        self.quarantined.increment(batch.runs.iter().map(|run| run.quarantined).sum());
    }

    pub(crate) fn note_lag(&self, stats: &EngineStats) {
        for (stream, partition, lag) in stats.lag_by_partition() {
            if let Some(gauge) = self.lag.get(&(stream, partition)) {
                gauge.set(lag as f64);
            }
        }
    }
}

/// Of one partition.
pub(crate) fn lag_gauge(consumer: &str, stream: &str, partition: u32) -> Gauge {
    let labels =
        [("stream", stream.to_owned()), ("pipeline", consumer.to_owned()), ("partition", partition.to_string())];
    gauge!("millstream_consumer_lag_events", &labels)
}

impl WindowMeters {
    fn new(window: &str) -> Self {
        Self {
            late: counter!("millstream_late_events_total", "window" => window.to_owned()),
            closed: counter!("millstream_windows_closed_total", "window" => window.to_owned()),
        }
    }
}

fn by_code(stream: &str) -> HashMap<&'static str, Counter> {
    let codes = CODES.iter().map(|code| code.as_str()).chain([RULE_PANIC, STORE_REFUSED, OTHER]);
    let counter = |code: &'static str| {
        let labels = [("stream", stream.to_owned()), ("code", code.to_owned())];
        (code, counter!("millstream_dead_letters_total", &labels))
    };
    codes.map(counter).collect()
}
