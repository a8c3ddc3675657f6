//! What a poison record costs: events in a log, run through rules and windows into a store; clean, with a record that a
//! rule panics on, and with one that the store refuses.
//!
//! ```text
//! cargo run --release -p engine --example poison -- [events=100000] [poisons=1] [rounds=5]
//! ```
//!
//! The events are in the log before the engine starts, in requests of 1000, so that nothing but the engine is measured.
//! The store refuses by a trigger, which costs every row something; so the other runs have one too, that never holds. The
//! three take turns; the fastest round of each counts, since others use the machine too.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may stop")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine::{Command, Engine, Parts, Settings};
use event::{
    Ack, Batch, Catalog, Draft, Field, FieldPath, Millis, Position, Retention, Severity, Span, Stream, StreamId,
    partition_of,
};
use log::disk::{DiskLog, DiskSettings};
use log::{Append, Log, RealDisk, SystemClock};
use process::{Program, RuleKind, RuleSpec, WindowKind, WindowSpec};
use rusqlite::Connection;
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Commit, Move, Store};

const PARTITIONS: u32 = 6;
const STREAM: StreamId = StreamId(0);
const POISON: &str = "\"note\":\"poison\"";
const WAYS: [&str; 3] = ["clean", "panic", "refused"];

fn main() {
    let args: HashMap<String, String> =
        std::env::args().skip(1).filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
    let number = |name: &str, default: usize| args.get(name).map_or(default, |v| v.parse().unwrap());
    let (events, poisons, rounds) = (number("events", 100_000), number("poisons", 1), number("rounds", 5));
    let dir = tempfile::tempdir().unwrap();
    let catalog = Arc::new(Catalog::new(vec![signals()]).unwrap());
    let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock::default()));
    let path = dir.path().join("log");
    let log = Arc::new(DiskLog::open(&path, catalog.clone(), disk, clock, DiskSettings::default()).unwrap());
    let places = fill(log.as_ref(), events, poisons);
    let mut best = [f64::MAX; 3];
    for round in 0..rounds {
        for way in 0..WAYS.len() {
            let path = dir.path().join(format!("{}-{round}", WAYS[way]));
            let store = store(&path, &catalog, events, if way == 2 { &places } else { &[] });
            let program = Program::compile(catalog.get(STREAM), &rules(), &windows()).unwrap();
            // Looking for the bytes costs something too, so all look for some.
            let program = program.trip_on(if way == 1 { POISON.as_bytes() } else { b"\"note\":\"honest\"" });
            let parts = Parts {
                catalog: catalog.clone(),
                log: log.clone(),
                store,
                clock: Arc::new(SystemClock::default()),
                programs: vec![(STREAM, program)],
                alerts: Arc::new(|_| Vec::new()),
                settings: Settings::default(),
                owned: None,
                owner: 0,
                halt: Arc::default(),
            };
            best[way] = best[way].min(run(WAYS[way], events, parts));
            std::fs::remove_file(&path).unwrap();
        }
    }
    for (name, seconds) in WAYS.iter().zip(best) {
        println!("best {name}: {:.0} events/s, {:.3} of a clean run", events as f64 / seconds, best[0] / seconds);
    }
}

/// Drains the log; gives the seconds.
fn run(name: &str, events: usize, parts: Parts) -> f64 {
    let begun = Instant::now();
    let engine = Engine::start(parts).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let (stored, letters, commits) = (stats.stored(), stats.dead_letters(), stats.commits());
    let rate = events as f64 / seconds;
    println!("{name}: {rate:.0} events/s, {stored} stored, {letters} dead letters, {commits} commits");
    seconds
}

/// A store with one chunk for everything, that refuses the rows of these places.
fn store(path: &Path, catalog: &Arc<Catalog>, events: usize, places: &[(u32, u64)]) -> Arc<SqliteStore> {
    let settings = SqliteSettings { chunk_rows: events as u64 + 10, ..SqliteSettings::default() };
    let store = SqliteStore::open(path, catalog.clone(), settings).unwrap();
    // A row of another consumer makes the chunk.
    let batch = Batch::new(STREAM, Bytes::from_static(b"{}"));
    let (none, data) = (Span::EMPTY, Span::shared(0, 2));
    let draft = Draft { partition: 0, time: 0, id_hash: 0, data, key: none, kind: none, id: none, headers: none };
    let mut builder = event::BlockBuilder::default();
    builder.push(&batch, &draft);
    let block =
        event::Block::parse(STREAM, 0, u64::from(u32::MAX), 0, 1, Bytes::copy_from_slice(builder.body())).unwrap();
    let from = Position { stream: STREAM, partition: 0, offset: 0 };
    let moves = vec![Move { from, to: 0 }];
    store.commit(&Commit { consumer: "other", moves, blocks: &[block], ..Commit::default() }).unwrap();
    let behind = Connection::open(path).unwrap();
    let n: i64 = behind.query_row("SELECT max(n) FROM chunks", [], |row| row.get(0)).unwrap();
    let places: Vec<_> = places.iter().map(|(part, off)| format!("({part}, {off})")).collect();
    let places = if places.is_empty() { "(-1, -1)".to_owned() } else { places.join(", ") };
    let trigger = format!(
        "CREATE TRIGGER picky BEFORE INSERT ON events_{n} WHEN (NEW.part, NEW.off) IN (VALUES {places})
         BEGIN SELECT RAISE(ABORT, 'not this row'); END"
    );
    behind.execute(&trigger, []).unwrap();
    Arc::new(store)
}

fn signals() -> Stream {
    let field = |path| Some(Field { path: FieldPath::parse(path).unwrap(), required: true });
    Stream {
        name: "signals".to_owned(),
        partitions: PARTITIONS,
        key: field("user_id"),
        time: None,
        id: None,
        kind: field("type"),
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

fn rules() -> [RuleSpec; 2] {
    let rule = |name: &str, when: &str, kind| RuleSpec {
        name: name.to_owned(),
        stream: "signals".to_owned(),
        when: when.to_owned(),
        kind,
        severity: Severity::High,
        cooldown_ms: 60_000,
        description: "{user_id}".to_owned(),
        metadata: Vec::new(),
    };
    let often = RuleKind::Count { at_least: 11, within_ms: 60_000, sum: String::new() };
    [
        rule("often", "type == 'login'", often),
        rule("dear", "type == 'purchase' && payload.amount > 990", RuleKind::Predicate),
    ]
}

fn windows() -> [WindowSpec; 1] {
    let measure = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    [WindowSpec {
        name: "by_type".to_owned(),
        stream: "signals".to_owned(),
        when: String::new(),
        kind: WindowKind::Tumbling(vec![60_000, 300_000, 3_600_000, 86_400_000]),
        by: vec!["type".to_owned()],
        lateness_ms: 10_000,
        correct: true,
        measures: vec![measure("count", "count()"), measure("amount", "sum(payload.amount)")],
        publish: String::new(),
    }]
}

/// Events of about 384 bytes, poison evenly among them; gives where that is.
fn fill(log: &DiskLog, events: usize, poisons: usize) -> Vec<(u32, u64)> {
    let (mut places, mut next) = (Vec::new(), [0_u64; PARTITIONS as usize]);
    let kinds = ["login", "click", "purchase", "api_call", "view"];
    let begin = 1_700_000_000_000;
    for request in 0..events.div_ceil(1_000) {
        let mut text = String::new();
        let mut drafts = Vec::new();
        for i in request * 1_000..events.min(request * 1_000 + 1_000) {
            let mixed = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (user, kind) = ((mixed >> 40) % 20_000, kinds[(mixed >> 20) as usize % kinds.len()]);
            let poison = poisons > 0 && i % (events / poisons) == events / poisons / 2;
            let start = text.len();
            text.push_str("{\"user_id\":");
            let key = Span::shared(text.len(), user.to_string().len());
            text.push_str(&format!("{user},\"type\":\""));
            let kind_at = Span::shared(text.len(), kind.len());
            let note = if poison { POISON.to_owned() } else { format!("\"note\":\"{mixed:064x}\"") };
            text.push_str(&format!("{kind}\",\"payload\":{{\"amount\":{},{note},\"session\":\"", mixed % 1_000));
            text.push_str(&format!("{mixed:0128x}\",\"agent\":\"{:064x}\"}}}}", mixed.rotate_left(9)));
            let partition = partition_of(user.to_string().as_bytes(), PARTITIONS);
            if poison {
                places.push((partition, next[partition as usize]));
            }
            next[partition as usize] += 1;
            let (data, id, headers) = (Span::shared(start, text.len() - start), Span::EMPTY, Span::EMPTY);
            let time = begin + i as Millis;
            drafts.push(Draft { partition, time, id_hash: 0, data, key, kind: kind_at, id, headers });
        }
        let mut batch = Batch::new(STREAM, Bytes::from(text));
        batch.drafts = drafts;
        let append = Append { batches: vec![batch], lane: 0, ack: Ack::Durable };
        log.append(append).unwrap().wait_blocking().unwrap();
    }
    places
}
