//! How long one event takes from its bytes to its verdict: scan, fields, key to partition, time, id hash. One core, no
//! log. Prints nanoseconds an event for bodies of 1, 100 and 1000 events, arrays and NDJSON.
//!
//! ```text
//! cargo run --release -p collect --example scan
//! ```
//!
//! The events are like those of a learning platform: 384 bytes on average, 16 members in three objects, ids, enums,
//! numbers, a time as RFC 3339 text. They are made here from a fixed seed, every one different.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

use std::fmt::Write;

use bytes::Bytes;
use collect::{Envelope, Format, Sifter};
use event::{Catalog, Dedup, Field, FieldPath, Retention, Stream, TimeField, TimeUnit};
use log::{Clock, IdHasher, SystemClock};

const EVENTS: usize = 200_000;

/// A linear congruential generator (Knuth's MMIX constants): the data is the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick(&mut self, names: &[&'static str]) -> &'static str {
        names[self.below(names.len() as u64) as usize]
    }
}

fn event(chance: &mut Chance) -> String {
    let mut out = String::with_capacity(400);
    let (a, b) = (chance.next(), chance.next());
    let id =
        format!("{:08x}-{:04x}-4{:03x}-9{:03x}-{b:012x}", a >> 16, a & 0xffff, chance.below(4096), chance.below(4096));
    let _ = write!(out, r#"{{"event_id":"{id}","learner_id":"learner_{:05}""#, chance.below(100_000));
    let _ = write!(out, r#","tenant_id":"tenant_{}""#, chance.pick(&["a", "b", "c", "d", "e", "f", "g", "h"]));
    let _ = write!(
        out,
        r#","event_type":"{}""#,
        chance.pick(&["interaction", "progress", "assessment", "error", "system"])
    );
    let _ = write!(out, r#","priority":"{}""#, chance.pick(&["low", "medium", "high", "critical"]));
    let (h, m, s, ms) = (chance.below(24), chance.below(60), chance.below(60), chance.below(1000));
    let _ = write!(out, r#","timestamp":"2026-11-20T{h:02}:{m:02}:{s:02}.{ms:03}Z""#);
    let _ = write!(out, r#","source_service":"{}""#, chance.pick(&["learning-app", "web", "ios", "android"]));
    let _ = write!(out, r#","event_data":{{"action":"{}""#, chance.pick(&["click", "view", "scroll", "submit"]));
    let _ = write!(out, r#","element":"btn_{}","x":{}"#, chance.below(500), chance.below(1920));
    let _ = write!(out, r#","y":{},"duration_ms":{}}}"#, chance.below(1080), chance.below(60_000));
    let _ = write!(out, r#","metadata":{{"session_id":"{:016x}{:016x}""#, chance.next(), chance.next());
    let _ = write!(out, r#","ip":"192.168.{}.{}"}}}}"#, chance.below(256), chance.below(256));
    out
}

fn stream() -> Stream {
    let field = |path: &str| Some(Field { path: FieldPath::parse(path).expect("a sound path"), required: false });
    let time = field("timestamp").map(|field| TimeField { field, unit: TimeUnit::Auto, max_future_ms: i64::MAX });
    Stream {
        name: "events".to_owned(),
        partitions: 6,
        key: field("learner_id"),
        time,
        id: field("event_id"),
        kind: field("event_type"),
        require: Vec::new(),
        dedup: Some(Dedup { within_ms: 3_600_000, ids_max: 1 << 20 }),
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

fn main() {
    let mut chance = Chance(7);
    let events: Vec<String> = (0..EVENTS).map(|_| event(&mut chance)).collect();
    let bytes: usize = events.iter().map(String::len).sum();
    println!("{EVENTS} events, {} bytes on average", bytes / EVENTS);
    let catalog = Catalog::new(vec![stream()]).expect("a sound catalog");
    let (id_of, stream) = catalog.iter().next().expect("a stream");
    let sifter = Sifter::new(id_of, stream, catalog.refused());
    let formats = [(1, Format::Json), (100, Format::Json), (1_000, Format::Json), (1_000, Format::Ndjson)];
    for (size, format) in formats.into_iter().chain([(100, Format::CloudEvents)]) {
        let bodies: Vec<Bytes> = events.chunks(size).map(|chunk| body(chunk, format)).collect();
        let best = (0..5).map(|_| run(&sifter, &bodies, format)).fold(f64::MAX, f64::min);
        let bytes: usize = bodies.iter().map(Bytes::len).sum();
        let rate = bytes as f64 / EVENTS as f64 / best;
        println!("{format:?} bodies of {size:4}: {best:6.1} ns an event, {rate:.2} GB/s, {:.2} M ev/s", 1_000.0 / best);
    }
    let (key, time, id, kind) = (None, None, None, None);
    let sifter = Sifter::new(id_of, &Stream { key, time, id, kind, ..stream.clone() }, catalog.refused());
    let bodies: Vec<Bytes> = events.chunks(100).map(|chunk| body(chunk, Format::Json)).collect();
    let best = (0..5).map(|_| run(&sifter, &bodies, Format::Json)).fold(f64::MAX, f64::min);
    println!("the scan alone, no fields: {best:6.1} ns an event");
}

fn body(events: &[String], format: Format<'_>) -> Bytes {
    let attributes = r#""specversion":"1.0","source":"/bench","type":"com.example.bench","id":"#;
    let cloud_event = |(id, data): (usize, &String)| format!(r#"{{{attributes}"{id}","data":{data}}}"#);
    match format {
        Format::CloudEvents => {
            format!("[{}]", events.iter().enumerate().map(cloud_event).collect::<Vec<_>>().join(",")).into()
        }
        Format::Json if events.len() == 1 => events[0].clone().into(),
        Format::Ndjson => (events.join("\n") + "\n").into(),
        _ => format!("[{}]", events.join(",")).into(),
    }
}

/// Nanoseconds an event.
fn run(sifter: &Sifter, bodies: &[Bytes], format: Format<'_>) -> f64 {
    let clock = SystemClock::default();
    let (began, mut taken) = (clock.elapsed(), 0);
    for body in bodies {
        let now = clock.now();
        let envelope =
            Envelope { tenant: "", format, request_id: "bench", now, keyless_partition: 0, hasher: IdHasher::new(1) };
        let sifted = sifter.sift(body, envelope).expect("a good body");
        assert!(sifted.refused.drafts.is_empty(), "no event is refused: {:?}", sifted.listed.first());
        taken += sifted.batch.drafts.len();
    }
    (clock.elapsed() - began).as_nanos() as f64 / taken as f64
}
