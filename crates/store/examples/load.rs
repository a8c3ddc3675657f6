//! A benchmark of the SQLite back end: loads events of realistic entropy, then asks questions.
//!
//! ```text
//! cargo run --release -p store --example load -- [rows=4000000] [commit=10000] [chunk=…] [page=…] [cache_kib=…]
//!     [checkpoint_mib=…] [bare=1] [dir=…] [windows=100000] [rounds=10]
//! ```
//!
//! Only the time inside of `Store::commit` counts for rows/s: making the events does not. `bare=1` never builds an
//! index. The file is in a temporary folder unless `dir` names one. Then come `rounds` rounds of that many windows, one
//! commit a round, and each round once more: the second pieces are merged with the first. `rows=0` leaves out the events.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may stop")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::measure::Shape;
use event::{
    Batch, Block, BlockBuilder, Catalog, Draft, Position, Retention, Span, Stream, StreamId, WindowDelta, WindowId,
};
use store::query::{EventQuery, Order, Start, WindowQuery};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Commit, Move, Store};

const PARTITIONS: u32 = 6;
const STREAM: StreamId = StreamId(0);

fn main() {
    let args: HashMap<String, String> =
        std::env::args().skip(1).filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
    let number = |name: &str, default: u64| args.get(name).map_or(default, |v| v.parse().unwrap());
    let defaults = SqliteSettings::default();
    let bare = number("bare", 0) == 1;
    let settings = SqliteSettings {
        chunk_rows: if bare { u64::MAX / 4 } else { number("chunk", defaults.chunk_rows) },
        index_after_ms: if bare { i64::MAX } else { defaults.index_after_ms },
        page_bytes: number("page", defaults.page_bytes.into()) as u32,
        writer_cache_kib: number("cache_kib", defaults.writer_cache_kib.into()) as u32,
        checkpoint_bytes: number("checkpoint_mib", defaults.checkpoint_bytes >> 20) << 20,
        ..defaults
    };
    let temp = tempfile::tempdir().unwrap();
    let path = args.get("dir").map_or(temp.path().to_owned(), PathBuf::from).join("load.db");
    println!("{settings:?}");
    let store = SqliteStore::open(&path, catalog(), settings).unwrap();
    let rows = number("rows", 4_000_000);
    if rows > 0 {
        load(&store, rows, number("commit", 10_000));
    }
    println!("file {} MiB, peak memory {} MiB", std::fs::metadata(&path).unwrap().len() >> 20, peak_memory_mib());
    if !bare && rows > 0 {
        ask(&store);
        println!("peak memory {} MiB", peak_memory_mib());
    }
    windows(&store, number("windows", 100_000), number("rounds", 10));
    println!("file {} MiB, peak memory {} MiB", std::fs::metadata(&path).unwrap().len() >> 20, peak_memory_mib());
}

fn catalog() -> Arc<Catalog> {
    let retention = Retention { age_ms: None, size_bytes: None };
    let name = "events".to_owned();
    let stream = Stream {
        name,
        partitions: PARTITIONS,
        key: None,
        time: None,
        id: None,
        kind: None,
        require: vec![],
        dedup: None,
        retention,
    };
    Arc::new(Catalog::new(vec![stream]).unwrap())
}

fn load(store: &SqliteStore, rows: u64, commit_rows: u64) {
    let mut events = Events { random: 7, next: [0; PARTITIONS as usize] };
    let mut times = Vec::new();
    let mut done = 0;
    let mut on_cpu = Duration::ZERO;
    while done < rows {
        let from = events.next;
        let blocks = events.blocks(commit_rows, done);
        let moves = (0..PARTITIONS)
            .map(|p| Move {
                from: Position { stream: STREAM, partition: p, offset: from[p as usize] },
                to: events.next[p as usize],
            })
            .collect();
        let (start, cpu) = (Instant::now(), thread_cpu());
        store.commit(&Commit { consumer: "load", moves, blocks: &blocks, ..Commit::default() }).unwrap();
        times.push(start.elapsed());
        on_cpu += thread_cpu() - cpu;
        done += commit_rows;
        if done % 1_000_000 < commit_rows {
            let all: Duration = times.iter().sum();
            println!("{done} rows, {:.0} rows/s so far", done as f64 / all.as_secs_f64());
        }
    }
    let all: Duration = times.iter().sum();
    let start = Instant::now();
    for _ in 0..20 {
        store.expire("events", 0).unwrap();
    }
    println!("counts of {done} rows by type and key, at a calm moment: {:.1?}", start.elapsed());
    times.sort();
    println!(
        "{:.0} rows/s, {:.0} rows a second of CPU of this thread; commit of {commit_rows}: p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        done as f64 / all.as_secs_f64(),
        done as f64 / on_cpu.as_secs_f64(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    );
}

fn ask(store: &SqliteStore) {
    let timed = |name: &str, query: EventQuery| {
        let start = Instant::now();
        let page = store.events(&query).unwrap();
        println!("{name}: {} rows of {:?} in {:.1?}", page.rows.len(), page.total, start.elapsed());
        page
    };
    let base = EventQuery {
        stream: Some("events".into()),
        limit: 50,
        order: Order::Descending,
        count: true,
        ..EventQuery::default()
    };
    let page = timed("newest 50", base.clone());
    timed("newest 50 again", base.clone());
    timed("skip 100 000", EventQuery { start: Start::Skip(100_000), ..base.clone() });
    timed("by type", EventQuery { kind: Some("assessment".into()), ..base.clone() });
    timed("by hot key", EventQuery { key: Some("learner_00001".into()), ..base.clone() });
    timed("by rare key", EventQuery { key: Some("learner_77777".into()), ..base.clone() });
    timed(
        "by key and type",
        EventQuery { key: Some("learner_00009".into()), kind: Some("error".into()), ..base.clone() },
    );
    timed("by id", EventQuery { id: Some(page.rows[0].id.clone()), ..base });
    for since in [0, 1_000_000_000 + 100_000] {
        let start = Instant::now();
        let summary = store.summary("events", None, since).unwrap();
        println!("summary of {} rows in {:.1?}: {:?}", summary.events, start.elapsed(), summary.top_keys.first());
    }
}

/// Rounds of windows of an hour, each with as many groups: new ones, then once more.
fn windows(store: &SqliteStore, groups: u64, rounds: u64) {
    let shapes = [Shape::Count, Shape::Sum, Shape::Max, Shape::Mean];
    let names: Arc<[String]> = ["count", "amount", "most", "mean"].map(str::to_owned).into();
    let piece = |round: u64, group: u64| {
        let mut measures = shapes.map(Shape::empty).to_vec();
        for (shape, measure) in shapes.iter().zip(&mut measures) {
            measure.add(shape.step_of_f64(group as f64 / 7.0));
        }
        let start = 1_000_000_000 + round as i64 * 3_600_000;
        let (stream, window, key) = ("events".into(), "by_learner".into(), format!(r#"{{"learner":"{group:06}"}}"#));
        let id = WindowId { tenant: String::new(), stream, window, size_ms: 3_600_000, start, key };
        let names = names.clone();
        WindowDelta {
            end: start + 3_600_000,
            id,
            definition: 7,
            partition: 0,
            offset: group,
            names,
            measures,
            events: 1,
            correction: false,
            publish: None,
        }
    };
    for what in ["new windows", "windows once more"] {
        let mut times = Vec::new();
        for round in 0..rounds {
            // As they come out of a hash table.
            let mut pieces: Vec<_> = (0..groups).map(|group| piece(round, group)).collect();
            pieces.sort_by_key(|piece| piece.offset.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (start, cpu) = (Instant::now(), thread_cpu());
            store.commit(&Commit { consumer: "load", windows: &pieces, ..Commit::default() }).unwrap();
            times.push((start.elapsed(), thread_cpu() - cpu));
        }
        let (first, last) = (times[0], times[times.len() - 1]);
        println!(
            "{rounds} commits of {groups} {what}: first {:.0?} ({:.0?} of CPU), last {:.0?} ({:.0?} of CPU)",
            first.0, first.1, last.0, last.1
        );
    }
    let key = Some(piece(0, 77).id.key);
    for (what, query) in [
        ("newest 50 windows", WindowQuery::default()),
        ("newest 50 windows again", WindowQuery::default()),
        ("of one group", WindowQuery { key, ..WindowQuery::default() }),
        ("of one time", WindowQuery { to: Some(1_000_000_000), ..WindowQuery::default() }),
    ] {
        let start = Instant::now();
        let page = store.windows(&WindowQuery { limit: 50, ..query }).unwrap();
        println!("{what}: {} in {:.1?}", page.rows.len(), start.elapsed());
    }
}

/// Time that this thread ran, without what it waited for the disk or for others that use the machine.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() >> 10
}

/// Learning events of about 384 bytes: fresh ids, few hot keys and a long tail, five types.
struct Events {
    random: u64,
    next: [u64; PARTITIONS as usize],
}

impl Events {
    fn below(&mut self, n: u64) -> u64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn blocks(&mut self, rows: u64, done: u64) -> Vec<Block> {
        let per_block = rows / u64::from(PARTITIONS) + 1;
        let mut left = rows;
        (0..PARTITIONS)
            .map(|partition| {
                let count = per_block.min(left);
                left -= count;
                self.block(partition, count, 1_000_000_000 + done as i64 / 400)
            })
            .collect()
    }

    fn block(&mut self, partition: u32, rows: u64, at: i64) -> Block {
        let mut builder = BlockBuilder::default();
        for _ in 0..rows {
            let (hi, lo, session) = (self.below(u64::MAX), self.below(u64::MAX), self.below(u64::MAX));
            let id = format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                hi >> 32,
                hi >> 16 & 0xffff,
                hi & 0xfff,
                lo >> 48,
                lo & 0xffff_ffff_ffff
            );
            let key = format!(
                "learner_{:05}",
                (1.0 / ((self.below(1 << 30) + 1) as f64 / (1u64 << 30) as f64)).powf(1.0 / 0.9).min(99_999.0) as u64
            );
            let kind = ["interaction", "progress", "assessment", "error", "system"][self.below(5) as usize];
            let data = format!(
                r#"{{"event_id":"{id}","learner_id":"{key}","tenant_id":"tenant_{}","event_type":"{kind}","priority":"medium","timestamp":"2026-11-20T{:02}:{:02}:{:02}.{:03}Z","source_service":"learning-app","event_data":{{"action":"scroll","element":"btn_{}","x":{},"y":{},"duration_ms":{}}},"metadata":{{"session_id":"{session:016x}{lo:016x}","ip":"192.168.{}.{}"}}}}"#,
                self.below(8),
                self.below(24),
                self.below(60),
                self.below(60),
                self.below(1000),
                self.below(500),
                self.below(1920),
                self.below(1080),
                self.below(60_000),
                self.below(256),
                self.below(256),
            );
            let at_of = |part: &str| Span::shared(data.find(part).unwrap(), part.len());
            let (time, (id, key, kind)) = (at - self.random as i64 % 1_000, (at_of(&id), at_of(&key), at_of(kind)));
            let all = Span::shared(0, data.len());
            let batch = Batch::new(STREAM, Bytes::from(data.into_bytes()));
            builder
                .push(&batch, &Draft { partition, time, id_hash: 0, data: all, key, kind, id, headers: Span::EMPTY });
        }
        let first = self.next[partition as usize];
        self.next[partition as usize] += rows;
        Block::parse(STREAM, partition, first, at, rows as usize, Bytes::copy_from_slice(builder.body())).unwrap()
    }
}
