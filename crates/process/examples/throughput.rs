//! Measures the two first rules over a million signals on one core:
//! `cargo run --release -p process --example throughput`.

use bytes::Bytes;
use event::{Batch, Block, BlockBuilder, Draft, Field, FieldPath, Millis, Retention, Severity, Span, Stream, StreamId};
use process::{Program, RuleKind, RuleSpec, State};

const RECORDS: usize = 1_000_000;
const BLOCK: usize = 4_000;
const USERS: u64 = 100_000;

#[expect(clippy::print_stdout, reason = "this is a measurement")]
fn main() {
    let program = Program::compile(&signals(), &rules()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let blocks: Vec<_> = (0..RECORDS / BLOCK).map(|i| block(i, &mut chance)).collect();
    for round in 1..=3 {
        let (mut state, mut found) = (State::default(), Vec::new());
        let start = now();
        blocks.iter().for_each(|block| program.run(&mut state, block, &mut found));
        let seconds = start.elapsed().as_secs_f64();
        let mut bytes = Vec::new();
        let start = now();
        program.encode(&state, &mut bytes);
        let encode_ms = start.elapsed().as_secs_f64() * 1e3;
        let start = now();
        let back = program.decode(&bytes).map(|state| state.keys());
        let decode_ms = start.elapsed().as_secs_f64() * 1e3;
        println!(
            "round {round}: {:.2} M records/s, {} anomalies, {} keys; snapshot {} KiB, encode {encode_ms:.1} ms, \
             decode {decode_ms:.1} ms ({back:?})",
            RECORDS as f64 / seconds / 1e6,
            found.len(),
            state.keys(),
            bytes.len() >> 10,
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "this is a measurement")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn rules() -> [RuleSpec; 2] {
    let rule = |name: &str, when: &str, kind, cooldown_ms| RuleSpec {
        name: name.to_owned(),
        stream: "signals".to_owned(),
        when: when.to_owned(),
        kind,
        severity: Severity::High,
        cooldown_ms,
        description: "{user_id}: {payload.amount}".to_owned(),
        metadata: vec![("amount".to_owned(), "payload.amount".to_owned())],
    };
    let often = RuleKind::Count { more_than: 10, within_ms: 60_000 };
    [
        rule("high_frequency_login", "type == \"login\"", often, 60_000),
        rule("high_value_purchase", "type == \"purchase\" && payload.amount > 1000", RuleKind::Predicate, 0),
    ]
}

fn signals() -> Stream {
    let field = |path: &str| FieldPath::parse(path).map(|path| Field { path, required: true });
    Stream {
        name: "signals".to_owned(),
        partitions: 1,
        key: field("user_id"),
        time: None,
        id: None,
        kind: field("type"),
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

/// xorshift: the same signals in every run.
fn roll(chance: &mut u64, below: u64) -> u64 {
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    *chance % below
}

fn block(index: usize, chance: &mut u64) -> Block {
    let mut text = String::new();
    let mut spans = Vec::new();
    for i in 0..BLOCK {
        let (user, amount) = (roll(chance, USERS), 5 + roll(chance, 1_400));
        let kind = match roll(chance, 100) {
            0..40 => "click",
            40..70 => "api_call",
            70..85 => "file_access",
            85..95 => "login",
            _ => "purchase",
        };
        let time = (index * BLOCK + i) as Millis / 20;
        let start = text.len();
        text.push_str(&format!("{{\"event_id\":\"{:032x}\",\"user_id\":", roll(chance, u64::MAX)));
        let key = Span::shared(text.len(), user.to_string().len());
        text.push_str(&format!("{user},\"type\":\""));
        let kind_at = Span::shared(text.len(), kind.len());
        text.push_str(&format!(
            "{kind}\",\"timestamp\":{time},\"payload\":{{\"session_id\":\"sess_{user}_{}\",\"ip_address\":\
             \"192.168.{}.{}\",\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\",\"amount\":\
             {amount}.{:02},\"currency\":\"USD\",\"product_id\":\"prod_{}\",\"payment_method\":\"credit_card\"}}}}",
            roll(chance, 9_000),
            roll(chance, 256),
            roll(chance, 256),
            roll(chance, 100),
            roll(chance, 900),
        ));
        spans.push((time, key, kind_at, Span::shared(start, text.len() - start)));
    }
    let batch = Batch::new(StreamId(0), Bytes::from(text));
    let mut builder = BlockBuilder::default();
    for (time, key, kind, data) in spans {
        let (id, headers) = (Span::EMPTY, Span::EMPTY);
        builder.push(&batch, &Draft { partition: 0, time, id_hash: 0, data, key, kind, id, headers });
    }
    let body = builder.body().to_vec();
    let parsed = Block::parse(StreamId(0), 0, (index * BLOCK) as u64, 0, BLOCK, body.into());
    parsed.unwrap_or_else(|error| panic!("{error}"))
}
