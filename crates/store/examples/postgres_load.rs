//! A benchmark of the PostgreSQL back end: commits of events, against a plain binary COPY of equal rows into an equal table
//! with the same indexes, in alternating rounds of one run.
//!
//! ```text
//! cargo run --release -p store --example postgres_load -- url=postgres://user@host/database [rows=1000000] [commit=10000]
//!     [rounds=5] [staging=1] [bare=events_key,events_time]
//! ```
//!
//! The database should be empty: the tables are made. Every round loads `rows` in commits of `commit`, once each way; the plain side is
//! one COPY a commit, in a transaction of its own, and makes its bytes while it sends them, too. `staging=1` adds a third way: COPY into a
//! temporary table, then INSERT … SELECT … ON CONFLICT DO NOTHING. `bare` drops indexes first, to see what they cost.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may stop")]

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::{Batch, Block, BlockBuilder, Catalog, Draft, Position, Retention, Span, Stream, StreamId};
use postgres::{Client, NoTls};
use store::postgres::{PostgresSettings, PostgresStore};
use store::{Commit, Move, Store};

const PARTITIONS: u32 = 6;
const STREAM: StreamId = StreamId(0);
const COLUMNS: &str =
    "stream, partition, received_at, stored_at, tenant, \"offset\", event_time, key, kind, id, headers, data, data_raw";

fn main() {
    let args: HashMap<String, String> =
        std::env::args().skip(1).filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
    let number = |name: &str, default: u64| args.get(name).map_or(default, |v| v.parse().unwrap());
    let url = args.get("url").unwrap().clone();
    let store =
        PostgresStore::open(catalog(), PostgresSettings { url: url.clone(), ..PostgresSettings::default() }).unwrap();
    let mut shell = Client::connect(&url, NoTls).unwrap();
    for index in args.get("bare").into_iter().flat_map(|names| names.split(',')) {
        shell.batch_execute(&format!("DROP INDEX {index}")).unwrap();
    }
    let (rows, commit, rounds) = (number("rows", 1_000_000), number("commit", 10_000), number("rounds", 5));
    // Each way has a stream of its own, and all are equal.
    let mut streams = [0, 1, 2].map(|_| Events { random: 7, next: [0; PARTITIONS as usize], now: 1_780_000_000_000 });
    let mut all: [Vec<f64>; 3] = Default::default();
    let mut cpu = [Duration::ZERO; 3];
    for round in 0..rounds {
        for way in if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] } {
            if way == 2 && number("staging", 0) == 0 {
                continue;
            }
            if way > 0 {
                twin(&mut shell, way == 2);
            }
            let events = &mut streams[way];
            let mut took = Duration::ZERO;
            let before = on_cpu(&mut shell, way == 0);
            for _ in 0..rows / commit {
                let from = events.next;
                let blocks = events.blocks(commit);
                let start = Instant::now();
                match way {
                    0 => commit_blocks(&store, &blocks, &from, &events.next),
                    1 => copy(&mut shell, "twin", &blocks),
                    _ => staged(&mut shell, &blocks),
                }
                took += start.elapsed();
            }
            cpu[way] += on_cpu(&mut shell, way == 0).saturating_sub(before);
            let rate = rows as f64 / took.as_secs_f64();
            println!("round {round}: {} {rate:.0} rows/s", ["commit", "plain COPY", "staging"][way]);
            all[way].push(rate);
        }
        // Each way begins every round with an empty table.
        shell.batch_execute("TRUNCATE events; CHECKPOINT").unwrap();
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    };
    let names = ["commit", "plain COPY", "staging"];
    let plain = median(&mut all[1]);
    for (name, (rates, cpu)) in names.iter().zip(all.iter_mut().zip(cpu)) {
        let (rate, done) = (median(rates), (rows * rounds) as f64);
        let per_cpu = if cpu.is_zero() { 0.0 } else { done / cpu.as_secs_f64() };
        println!(
            "{name}: median {rate:.0} rows/s, {:.2} of plain COPY; {per_cpu:.0} rows per second of the server's CPU",
            rate / plain
        );
    }
}

/// How long the server's process for a connection ran, where it is a process of this machine.
fn on_cpu(shell: &mut Client, of_store: bool) -> Duration {
    let sql = "SELECT pid FROM pg_stat_activity WHERE CASE WHEN $1 THEN application_name = 'millstream' ELSE pid = pg_backend_pid() END";
    let nanos = |pid: i32| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
    };
    let rows = shell.query(sql, &[&of_store]).unwrap();
    Duration::from_nanos(rows.iter().map(|row| nanos(row.get(0))).sum())
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

fn commit_blocks(store: &PostgresStore, blocks: &[Block], from: &[u64], to: &[u64]) {
    let step =
        |p: u32| Move { from: Position { stream: STREAM, partition: p, offset: from[p as usize] }, to: to[p as usize] };
    let moves = (0..PARTITIONS).map(step).collect();
    store.commit(&Commit { consumer: "load", moves, blocks, ..Commit::default() }).unwrap();
}

/// An empty table like the leaf that commits fill, with the same indexes.
fn twin(shell: &mut Client, unique: bool) {
    let leaf: String = shell
        .query_one(
            "SELECT relid::regclass::text FROM pg_partition_tree('events') WHERE isleaf ORDER BY pg_relation_size(relid) DESC, 1 LIMIT 1",
            &[],
        )
        .unwrap()
        .get(0);
    shell.batch_execute(&format!("DROP TABLE IF EXISTS twin; CREATE TABLE twin (LIKE {leaf} INCLUDING ALL)")).unwrap();
    if unique {
        shell
            .batch_execute(
                "CREATE UNIQUE INDEX ON twin (stream, partition, \"offset\");
            CREATE TEMP TABLE IF NOT EXISTS staging (LIKE events)",
            )
            .unwrap();
    }
}

fn staged(shell: &mut Client, blocks: &[Block]) {
    shell.batch_execute("BEGIN; TRUNCATE staging").unwrap();
    copy(shell, "staging", blocks);
    let insert = format!("INSERT INTO twin ({COLUMNS}) SELECT {COLUMNS} FROM staging ON CONFLICT DO NOTHING; COMMIT");
    shell.batch_execute(&insert).unwrap();
}

/// What anybody would write by hand: one COPY, rows encoded as they are sent.
fn copy(shell: &mut Client, table: &str, blocks: &[Block]) {
    let mut writer = shell.copy_in(&format!("COPY {table} ({COLUMNS}) FROM STDIN BINARY")).unwrap();
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let put = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    for block in blocks {
        for record in block.records() {
            out.extend_from_slice(&13_i16.to_be_bytes());
            put(&mut out, b"events");
            put(&mut out, &(block.partition as i32).to_be_bytes());
            put(&mut out, &block.appended_at.to_be_bytes());
            put(&mut out, &block.appended_at.to_be_bytes());
            put(&mut out, b"");
            put(&mut out, &record.offset.to_be_bytes());
            put(&mut out, &record.time.to_be_bytes());
            [record.key, record.kind, record.id].iter().for_each(|part| put(&mut out, part));
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            put(&mut out, record.data);
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            if out.len() > 64 << 10 {
                writer.write_all(&out).unwrap();
                out.clear();
            }
        }
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    writer.write_all(&out).unwrap();
    writer.finish().unwrap();
}

/// Learning events of about 384 bytes: fresh ids, few hot keys and a long tail, five types.
struct Events {
    random: u64,
    next: [u64; PARTITIONS as usize],
    now: i64,
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

    fn blocks(&mut self, rows: u64) -> Vec<Block> {
        let per_block = rows / u64::from(PARTITIONS) + 1;
        let mut left = rows;
        self.now += 20;
        (0..PARTITIONS)
            .map(|partition| {
                let count = per_block.min(left);
                left -= count;
                self.block(partition, count)
            })
            .collect()
    }

    fn data(&mut self, id: &str, key: &str, kind: &str) -> String {
        let (lo, session) = (self.below(u64::MAX), self.below(u64::MAX));
        format!(
            r#"{{"event_id":"{id}","learner_id":"{key}","tenant_id":"tenant_{}","event_type":"{kind}","priority":"medium","timestamp":"2026-11-20T10:{:02}:{:02}.{:03}Z","source_service":"learning-app","event_data":{{"action":"scroll","element":"btn_{}","x":{},"y":{},"duration_ms":{}}},"metadata":{{"session_id":"{session:016x}{lo:016x}","ip":"192.168.{}.{}"}}}}"#,
            self.below(8),
            self.below(60),
            self.below(60),
            self.below(1000),
            self.below(500),
            self.below(1920),
            self.below(1080),
            self.below(60_000),
            self.below(256),
            self.below(256),
        )
    }

    fn block(&mut self, partition: u32, rows: u64) -> Block {
        let mut builder = BlockBuilder::default();
        for _ in 0..rows {
            let (hi, lo) = (self.below(u64::MAX), self.below(u64::MAX));
            let id = format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                hi >> 32,
                hi >> 16 & 0xffff,
                hi & 0xfff,
                lo >> 48,
                lo & 0xffff_ffff_ffff
            );
            let share = (self.below(1 << 30) + 1) as f64 / (1u64 << 30) as f64;
            let key = format!("learner_{:05}", (1.0 / share).powf(1.0 / 0.9).min(99_999.0) as u64);
            let kind = ["interaction", "progress", "assessment", "error", "system"][self.below(5) as usize];
            let data = self.data(&id, &key, kind);
            let at_of = |part: &str| Span::shared(data.find(part).unwrap(), part.len());
            let (id, key, kind) = (at_of(&id), at_of(&key), at_of(kind));
            let time = self.now - self.below(1_000) as i64;
            let all = Span::shared(0, data.len());
            let batch = Batch::new(STREAM, Bytes::from(data.into_bytes()));
            builder
                .push(&batch, &Draft { partition, time, id_hash: 0, data: all, key, kind, id, headers: Span::EMPTY });
        }
        let first = self.next[partition as usize];
        self.next[partition as usize] += rows;
        let body = Bytes::copy_from_slice(builder.body());
        Block::parse(STREAM, partition, first, self.now, rows as usize, body).unwrap()
    }
}
