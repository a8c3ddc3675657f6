//! Log and store without the doors: appending, reading back, committing rows. In this process, from prepared events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use collect::{Envelope, Format, Sifter};
use event::{Ack, Batch, Catalog, Position, StreamId};
use log::disk::DiskLog;
use log::{Append, Clock, Log, SystemClock};
use serde_json::json;
use store::postgres::{PostgresSettings, PostgresStore};
use store::{Commit, Move, Store};

use super::child::TempDir;
use super::client::micros;
use super::{Figure, Setup, events, say};
use crate::backends;
use crate::config::{self, Source};

/// Appends under way at the same time, as if by so many connections.
const IN_FLIGHT: usize = 64;
/// The log grows by at most this many events: about 800 MB of disk.
const EVENTS_MAX: u64 = 4_000_000;
const BATCH: usize = 100;
/// Bytes of records of one commit, as the engine's.
const COMMIT_BYTES: usize = event::limits::PIPELINE_BATCH_BYTES;

pub(super) fn measure(setup: &Setup, log_too: bool, store_too: bool) -> anyhow::Result<Vec<Figure>> {
    let dir = TempDir::new(&setup.dir)?;
    let catalog = config::load(&Source::built_in())?.catalog;
    let stream = catalog.find("events").ok_or_else(|| anyhow::anyhow!("the stream `events` is built in"))?;
    let log = backends::open_disk(&dir.0, catalog.clone(), Arc::new(SystemClock::default()))?;
    let mut figures = Vec::new();
    // The store is measured with what the log holds, so appending comes first in any case.
    say("log_append");
    let appended = append(&log, &catalog, stream, setup.seconds)?;
    if log_too {
        figures.push(appended);
        say("log_read");
        figures.push(read(&log, &catalog, stream)?);
    }
    if store_too {
        say("store_sqlite");
        let store = backends::open_sqlite(&dir.0, catalog.clone())?;
        figures.push(commit("store_sqlite", &store, &log, &catalog, stream, setup.seconds)?);
        if let Some(url) = &setup.postgres {
            say("store_postgres");
            let settings = PostgresSettings { url: url.clone(), ..PostgresSettings::default() };
            let store = PostgresStore::open(catalog.clone(), settings)?;
            figures.push(commit("store_postgres", &store, &log, &catalog, stream, setup.seconds)?);
        }
    }
    log.close();
    Ok(figures)
}

/// Batches of 100 as the door would hand them over, but for the hashes of their ids.
fn batches(log: &DiskLog, catalog: &Catalog, stream: StreamId) -> anyhow::Result<Vec<Batch>> {
    let now = SystemClock::default().now();
    let sifter = Sifter::new(stream, catalog.get(stream), catalog.refused());
    let sift = |(i, template): (usize, events::Template)| {
        let mut bytes = template.bytes.clone();
        // All over the day before.
        template.stamp(&mut bytes, (i * BATCH) as u64, now - i as i64 * 144_000);
        let body = Bytes::copy_from_slice(&bytes[template.body_at..]);
        let hasher = log.id_hasher();
        let envelope = Envelope { tenant: "", format: Format::Json, request_id: "", now, keyless_partition: 0, hasher };
        Ok(sifter.sift(&body, envelope)?.batch)
    };
    events::requests("bench", "/", BATCH, 600).into_iter().enumerate().map(sift).collect()
}

fn append(log: &Arc<DiskLog>, catalog: &Catalog, stream: StreamId, limit: Duration) -> anyhow::Result<Figure> {
    let (batches, clock) = (batches(log, catalog, stream)?, SystemClock::default());
    let (mut waiting, mut events, mut requests) = (VecDeque::new(), 0_u64, 0_usize);
    let began = clock.elapsed();
    let mut latency_us = micros()?;
    while events < EVENTS_MAX && clock.elapsed().saturating_sub(began) < limit {
        let mut batch = batches[requests % batches.len()].clone();
        requests += 1;
        for draft in &mut batch.drafts {
            events += 1;
            draft.id_hash = log.id_hasher().hash(&events.to_le_bytes());
        }
        waiting.push_back((clock.elapsed(), log.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable })?));
        if waiting.len() == IN_FLIGHT {
            answer(&clock, &mut waiting, &mut latency_us)?;
        }
    }
    while !waiting.is_empty() {
        answer(&clock, &mut waiting, &mut latency_us)?;
    }
    let seconds = clock.elapsed().saturating_sub(began).as_secs_f64();
    let ms = |quantile| Some(latency_us.value_at_quantile(quantile) as f64 / 1_000.0);
    Ok(Figure {
        name: "log_append",
        value: events as f64 / seconds,
        unit: "events/s",
        p50_ms: ms(0.50),
        p99_ms: ms(0.99),
        rss_mib: None,
        more: vec![("bytes_per_event", json!(log.status().bytes / events.max(1)))],
    })
}

fn answer(
    clock: &SystemClock,
    waiting: &mut VecDeque<(Duration, log::Pending)>,
    latency_us: &mut hdrhistogram::Histogram<u64>,
) -> anyhow::Result<()> {
    if let Some((began, pending)) = waiting.pop_front() {
        pending.wait_blocking()?;
        latency_us.saturating_record(clock.elapsed().saturating_sub(began).as_micros() as u64);
    }
    Ok(())
}

fn starts(catalog: &Catalog, stream: StreamId) -> Vec<(u32, u64)> {
    (0..catalog.get(stream).partitions).map(|partition| (partition, 0)).collect()
}

fn read(log: &DiskLog, catalog: &Catalog, stream: StreamId) -> anyhow::Result<Figure> {
    let clock = SystemClock::default();
    let mut cursor = log.read(stream, &starts(catalog, stream))?;
    let (mut events, mut bytes) = (0_u64, 0_u64);
    loop {
        let blocks = cursor.next(COMMIT_BYTES)?;
        if blocks.is_empty() {
            break;
        }
        for block in &blocks {
            events += block.len() as u64;
            bytes += block.weight() as u64;
        }
    }
    let seconds = clock.elapsed().as_secs_f64();
    let more = vec![("mb_per_second", json!((bytes as f64 / seconds / 1e6).round()))];
    Ok(Figure { name: "log_read", value: events as f64 / seconds, unit: "events/s", more, ..Figure::default() })
}

/// Commits what the log holds; only the time inside the store counts.
fn commit(
    name: &'static str,
    store: &dyn Store,
    log: &DiskLog,
    catalog: &Arc<Catalog>,
    stream: StreamId,
    limit: Duration,
) -> anyhow::Result<Figure> {
    let clock = SystemClock::default();
    // A name that nobody had: it begins at the beginning.
    let consumer = format!("bench-{}", uuid::Uuid::now_v7().simple());
    let mut cursor = log.read(stream, &starts(catalog, stream))?;
    let mut at: HashMap<u32, u64> = starts(catalog, stream).into_iter().collect();
    let (mut rows, mut spent, mut longest) = (0_u64, Duration::ZERO, Duration::ZERO);
    while spent < limit {
        let blocks = cursor.next(COMMIT_BYTES)?;
        if blocks.is_empty() {
            break;
        }
        let mut moves: Vec<Move> = Vec::new();
        for block in &blocks {
            let (partition, to) = (block.partition, block.next_offset());
            match moves.iter_mut().find(|m| m.from.partition == partition) {
                Some(step) => step.to = to,
                None => {
                    let offset = at.get(&partition).copied().unwrap_or(0);
                    moves.push(Move { from: Position { stream, partition, offset }, to });
                }
            }
            at.insert(partition, to);
        }
        let commit = Commit { consumer: &consumer, moves, blocks: &blocks, ..Commit::default() };
        let began = clock.elapsed();
        store.commit(&commit)?;
        let took = clock.elapsed().saturating_sub(began);
        rows += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        spent += took;
        longest = longest.max(took);
    }
    let more = vec![("rows", json!(rows)), ("longest_commit_ms", json!(longest.as_millis() as u64))];
    let value = rows as f64 / spent.as_secs_f64().max(0.001);
    Ok(Figure { name, value, unit: "rows/s", more, ..Figure::default() })
}
