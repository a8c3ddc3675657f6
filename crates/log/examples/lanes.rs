//! What lanes cost and what they are good for, on this machine: `cargo run --release -p log@0.1.0 --example lanes
//! [FOLDER]`. First one lane alone, as fast as it takes events; then the same flood with a quiet lane beside it, that
//! sends one small request after the other.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement: it may fail loudly and talk")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event::{Ack, Batch, Catalog, Draft, NO_TIME, Retention, Span, Stream, StreamId};
use log::disk::{DiskLog, DiskSettings};
use log::{Append, Clock, Log, LogError, RealDisk, SystemClock};

const SECONDS: u64 = 6;
const FLOODERS: usize = 4;
const EVENT: &str = r#"{"user_id":4711,"type":"click","timestamp":1764000000000,"payload":{"page":"/shop/item/815","referrer":"/shop","ms":118}}"#;

fn main() {
    let clock = SystemClock::default();
    let here = std::env::args().nth(1).unwrap_or_else(|| std::env::temp_dir().display().to_string());
    for events_each in [1, 100, 10_000] {
        let dir = tempfile::tempdir_in(&here).unwrap();
        let (rate, _) = measure(dir.path(), &clock, events_each, false);
        let dir = tempfile::tempdir_in(&here).unwrap();
        let (beside, waits) = measure(dir.path(), &clock, events_each, true);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!(
            "{events_each:>6} events a request: {rate:>9} events/s alone, {beside:>9} beside a quiet lane, which waits \
             p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms ({} requests)",
            at(0.5),
            at(0.99),
            at(1.0),
            waits.len(),
        );
    }
}

/// Events a second of the flood, and how long each request of the quiet lane waited, sorted, in milliseconds.
fn measure(dir: &Path, clock: &SystemClock, events_each: usize, quiet: bool) -> (u64, Vec<f64>) {
    let log = DiskLog::open(dir, catalog(), Arc::new(RealDisk), Arc::new(clock.clone()), DiskSettings::default());
    let log = log.unwrap();
    let end = clock.elapsed() + Duration::from_secs(SECONDS);
    let taken = AtomicU64::new(0);
    let waits = std::thread::scope(|scope| {
        for _ in 0..FLOODERS {
            scope.spawn(|| flood(&log, clock, end, events_each, &taken));
        }
        let waits = scope.spawn(|| if quiet { ask(&log, clock, end) } else { vec![0.0] });
        waits.join().unwrap()
    });
    (taken.load(Ordering::Relaxed) / SECONDS, waits)
}

/// Keeps the queue full: sends until it is refused, then waits for its oldest answer.
fn flood(log: &DiskLog, clock: &SystemClock, end: Duration, events_each: usize, taken: &AtomicU64) {
    let mut sent = VecDeque::new();
    let request = batch(events_each);
    while clock.elapsed() < end {
        match log.append(Append { batches: vec![request.clone()], lane: 1, ack: Ack::Durable }) {
            Ok(pending) => sent.push_back(pending),
            Err(LogError::Busy) => {
                if let Some(oldest) = sent.pop_front() {
                    oldest.wait_blocking().unwrap();
                    taken.fetch_add(events_each as u64, Ordering::Relaxed);
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn ask(log: &DiskLog, clock: &SystemClock, end: Duration) -> Vec<f64> {
    let mut waits = Vec::new();
    while clock.elapsed() < end {
        let start = clock.elapsed();
        let request = Append { batches: vec![batch(1)], lane: 2, ack: Ack::Durable };
        match log.append(request) {
            Ok(pending) => {
                pending.wait_blocking().unwrap();
                waits.push((clock.elapsed() - start).as_secs_f64() * 1_000.0);
            }
            // It does not try again at once: a refusal counts as a wait without end.
            Err(LogError::Busy) => waits.push(f64::INFINITY),
            Err(error) => panic!("{error}"),
        }
        clock.sleep(Duration::from_millis(5));
    }
    waits.sort_by(f64::total_cmp);
    waits
}

fn batch(events: usize) -> Batch {
    let mut batch = Batch::new(StreamId(0), EVENT.repeat(events).into());
    for i in 0..events {
        let data = Span::shared(i * EVENT.len(), EVENT.len());
        let (partition, time) = ((i % 8) as u32, NO_TIME);
        let (key, kind, id, headers) = Default::default();
        batch.drafts.push(Draft { partition, time, id_hash: 0, data, key, kind, id, headers });
    }
    batch
}

fn catalog() -> Arc<Catalog> {
    let (name, partitions) = ("things".to_owned(), 8);
    let retention = Retention { age_ms: None, size_bytes: None };
    let (key, time, id, kind, dedup, require) = Default::default();
    let stream = Stream { name, partitions, key, time, id, kind, require, dedup, retention };
    Arc::new(Catalog::new(vec![stream]).unwrap())
}
