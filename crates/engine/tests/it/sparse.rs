//! A log as a broker keeps it: offsets without records between those with, a cursor that says where it stands, and a broker
//! that is away now and then.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{Command, Engine, EngineError, EngineStats, Parts, VerifyParts};
use event::{Batch, Block, BlockBuilder, Draft, Millis, Position, Record, Span, StreamId};
use log::disk::DiskLog;
use log::{Append, Cursor, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending};
use store::Store;

use crate::house::{House, SIGNALS, contents, events};

/// Offset `o` of the log on disk is `3 o + 1` here, and behind the last record there is nothing for one more offset.
struct Sparse {
    disk: Arc<DiskLog>,
    /// Every so many looks the broker is away; never when 0.
    away_every: u64,
    looks: Arc<AtomicU64>,
}

fn here(offset: u64) -> u64 {
    3 * offset + 1
}

/// The first offset on disk that lies at or behind one here.
fn on_disk(offset: u64) -> u64 {
    offset.saturating_sub(1).div_ceil(3)
}

struct SparseCursor {
    cursor: Box<dyn Cursor>,
    disk: Arc<DiskLog>,
    stream: StreamId,
    /// Where each partition stands.
    at: HashMap<u32, u64>,
    away_every: u64,
    looks: Arc<AtomicU64>,
}

impl Cursor for SparseCursor {
    fn next(&mut self, bytes_max: usize) -> Result<Vec<Block>, LogError> {
        if self.away_every > 0 && self.looks.fetch_add(1, Ordering::SeqCst) % self.away_every == 1 {
            return Err(LogError::Away("nobody answers".to_owned()));
        }
        let blocks = self.cursor.next(bytes_max)?;
        if blocks.is_empty() {
            let (mut passed, extents) = (Vec::new(), self.disk.extents(self.stream));
            for (partition, at) in &mut self.at {
                let extent = extents[*partition as usize];
                let end = if extent.next == 0 { 0 } else { here(extent.next) };
                if *at < end && on_disk(*at) >= extent.next {
                    *at = end;
                    passed.push(Block::parse(self.stream, *partition, end, 0, 0, Bytes::new()).unwrap());
                }
            }
            return Ok(passed);
        }
        let mut out = Vec::new();
        for block in blocks {
            let at = self.at.get_mut(&block.partition).unwrap();
            for record in block.records() {
                out.push(alone(&block, &record));
                *at = here(record.offset) + 1;
            }
        }
        Ok(out)
    }
}

/// One record as a block at its place here.
fn alone(block: &Block, record: &Record<'_>) -> Block {
    let mut batch = Batch::new(block.stream, Bytes::copy_from_slice(record.data));
    let mut side = |bytes: &[u8]| if bytes.is_empty() { Span::EMPTY } else { batch.put_side(bytes) };
    let (key, kind, id, headers) = (side(record.key), side(record.kind), side(record.id), side(record.headers));
    let data = Span::shared(0, record.data.len());
    let draft = Draft { partition: block.partition, time: record.time, id_hash: 0, data, key, kind, id, headers };
    let mut builder = BlockBuilder::default();
    builder.push(&batch, &draft);
    let body = Bytes::copy_from_slice(builder.body());
    Block::parse(block.stream, block.partition, here(record.offset), block.appended_at, 1, body).unwrap()
}

impl Log for Sparse {
    fn append(&self, request: Append) -> Result<Pending, LogError> {
        self.disk.append(request)
    }
    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        let on_disk: Vec<_> = from.iter().map(|(partition, offset)| (*partition, on_disk(*offset))).collect();
        let (cursor, disk, at) = (self.disk.read(stream, &on_disk)?, self.disk.clone(), from.iter().copied().collect());
        let (away_every, looks) = (self.away_every, self.looks.clone());
        Ok(Box::new(SparseCursor { cursor, disk, stream, at, away_every, looks }))
    }
    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        let extent = |e: Extent| Extent { first: 3 * e.first, next: if e.next == 0 { 0 } else { here(e.next) } };
        self.disk.extents(stream).into_iter().map(extent).collect()
    }
    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        self.disk.offset_at(stream, partition, time).map(here)
    }
    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.disk.wait(seen, timeout)
    }
    fn commit(&self, _: &str, _: &[Position]) -> Result<(), LogError> {
        Ok(())
    }
    fn forget(&self, _: &str) -> Result<(), LogError> {
        Ok(())
    }
    fn consumers(&self) -> Vec<String> {
        Vec::new()
    }
    fn committed<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Position],
    ) -> Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn trim(&self) -> Result<u64, LogError> {
        Ok(0)
    }
    fn find(&self, _: StreamId, _: u128) -> Result<Option<Position>, LogError> {
        Ok(None)
    }
    fn id_hasher(&self) -> IdHasher {
        self.disk.id_hasher()
    }
    fn status(&self) -> LogStatus {
        self.disk.status()
    }
    fn is_dense(&self) -> bool {
        false
    }
    fn join(&self, consumer: &str, s: &[StreamId], owner: Arc<dyn Owner>) -> Result<Box<dyn Membership>, LogError> {
        self.disk.join(consumer, s, owner)
    }
    fn close(&self) {}
}

fn sparse(house: &House, away_every: u64) -> Arc<Sparse> {
    Arc::new(Sparse { disk: house.log.clone(), away_every, looks: Arc::default() })
}

fn drain(house: &House, log: Arc<Sparse>, store: Arc<dyn Store>) -> Result<Arc<EngineStats>, EngineError> {
    let engine = Engine::start(Parts { log, ..house.parts(store) })?;
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().map(|()| stats)
}

fn verify(house: &House, log: Arc<Sparse>, store: Arc<dyn Store>) -> engine::VerifyReport {
    let (catalog, clock, programs) =
        (house.catalog.clone(), Arc::new(house.clock.clone()), vec![(SIGNALS, house.program())]);
    let parts = VerifyParts { catalog, log, store, clock, programs, consumer: "engine".to_owned() };
    engine::verify(&parts, &mut |_, _| {}).unwrap()
}

#[test]
fn offsets_without_records_are_passed_and_are_no_loss() {
    let house = House::new();
    let store = house.store("a");
    for n in 0..4 {
        house.append(&events(100));
        house.refuse(&format!("letter-{n}"), b"1");
        let stats = drain(&house, sparse(&house, 0), store.clone()).unwrap();
        assert_eq!((stats.skipped(), stats.lag_events()), (0, 0), "also behind the last record");
    }
    let stored = contents(&*store);
    assert_eq!((stored.rows.len(), stored.dead_letters.len()), (400, 4));
    assert!(stored.rows.iter().all(|row| row.1 % 3 == 1));
    let ends: Vec<_> = house.log.extents(SIGNALS).iter().map(|extent| here(extent.next)).collect();
    let positions = stored.positions.iter().filter(|p| p.stream == "signals").map(|p| p.offset);
    assert_eq!(positions.collect::<Vec<_>>(), ends);
    // But for their places the findings are those of a log without holes.
    let dense = house.store("dense");
    house.drain(dense.clone()).unwrap();
    let dense = contents(&*dense);
    assert_eq!(stored.windows, dense.windows);
    assert_eq!(stored.anomalies.len(), dense.anomalies.len());
    let report = verify(&house, sparse(&house, 0), store);
    assert_eq!((report.details, report.notes, report.events), (Vec::new(), Vec::<String>::new(), 404));
}

#[test]
fn states_are_brought_up_to_date_over_offsets_without_records() {
    let mut house = House::new();
    let store = house.store("a");
    house.append(&events(150));
    drain(&house, sparse(&house, 0), store.clone()).unwrap();
    // A window that is new is shown all of it, and a snapshot that is gone is made anew.
    house.windows[0].measures.pop();
    let behind = rusqlite::Connection::open(house.dir.path().join("a")).unwrap();
    assert!(behind.execute("DELETE FROM snapshots WHERE part = 1", []).unwrap() > 0);
    drop(behind);
    house.append(&events(30));
    drain(&house, sparse(&house, 0), store.clone()).unwrap();
    assert_eq!(verify(&house, sparse(&house, 0), store).details, Vec::<String>::new());
}

#[test]
fn a_broker_that_is_away_now_and_then_is_waited_for() {
    let house = House { trip: Some(b"\"amount\":1110}"), ..House::new() };
    house.append(&events(400));
    let (store, log) = (house.store("a"), sparse(&house, 4));
    let engine = loop {
        // A start that meets it is tried again by whoever starts.
        match Engine::start(Parts { log: log.clone(), ..house.parts(store.clone()) }) {
            Ok(engine) => break engine,
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    };
    engine.send(Command::Drain);
    let stats = engine.stats();
    while !engine.finished() {
        house.clock.advance(10);
        std::thread::yield_now();
    }
    engine.join().unwrap();
    assert!(log.looks.load(Ordering::SeqCst) > 8);
    let poison = contents(&*store).dead_letters.len() as u64;
    assert!(poison > 0, "a rule panicked, and the states were made anew meanwhile");
    assert_eq!((stats.stored() + poison, stats.lag_events()), (400, 0));
    assert_eq!(verify(&house, sparse(&house, 0), store).details, Vec::<String>::new());
}
