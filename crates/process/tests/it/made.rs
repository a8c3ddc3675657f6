//! Streams, rules and blocks made for tests.

use bytes::Bytes;
use event::{
    Anomaly, Batch, Block, BlockBuilder, Draft, Field, FieldPath, Millis, Retention, Severity, Span, Stream, StreamId,
    headers,
};
use process::{Output, Program, RuleKind, RuleSpec, State};

pub(crate) fn field(path: &str) -> Option<Field> {
    Some(Field { path: FieldPath::parse(path).unwrap(), required: false })
}

/// A stream like the built-in one: key `user_id`, type `type`.
pub(crate) fn signals() -> Stream {
    Stream {
        name: "signals".to_owned(),
        partitions: 6,
        key: field("user_id"),
        time: None,
        id: None,
        kind: field("type"),
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

pub(crate) fn rule(name: &str, when: &str, kind: RuleKind, cooldown_ms: Millis) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        stream: "signals".to_owned(),
        when: when.to_owned(),
        kind,
        severity: Severity::High,
        cooldown_ms,
        description: String::new(),
        metadata: Vec::new(),
    }
}

pub(crate) fn high_frequency_login() -> RuleSpec {
    let kind = RuleKind::Count { at_least: 11, within_ms: 60_000, sum: String::new() };
    RuleSpec {
        description: "user {user_id} logged in {count} times within {within}".to_owned(),
        metadata: vec![
            ("login_count".to_owned(), "count".to_owned()),
            ("time_window".to_owned(), "\"1_minute\"".to_owned()),
        ],
        ..rule("high_frequency_login", "type == \"login\"", kind, 60_000)
    }
}

pub(crate) fn high_value_purchase() -> RuleSpec {
    let when = "type == \"purchase\" && payload.amount > 1000";
    RuleSpec {
        description: "purchase of {payload.amount} {payload.currency}".to_owned(),
        metadata: vec![("amount".to_owned(), "payload.amount".to_owned()), ("threshold".to_owned(), "1000".to_owned())],
        ..rule("high_value_purchase", when, RuleKind::Predicate, 0)
    }
}

/// One record to come: tenant, key, type, event time, JSON.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) tenant: &'static str,
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) time: Millis,
    pub(crate) data: String,
}

pub(crate) fn made(key: &str, kind: &str, time: Millis, data: &str) -> Made {
    Made { tenant: "", key: key.to_owned(), kind: kind.to_owned(), time, data: data.to_owned() }
}

/// Later than all times of tests.
pub(crate) const RECEIVED: Millis = 1 << 50;

/// Records as one block of partition 2 whose first offset is `base`.
pub(crate) fn block(base: u64, records: &[Made]) -> Block {
    block_of(base, RECEIVED, records)
}

/// The same, appended at a time.
pub(crate) fn block_of(base: u64, received_at: Millis, records: &[Made]) -> Block {
    let mut text = String::new();
    let places: Vec<_> = records
        .iter()
        .map(|record| {
            let at = text.len();
            text.push_str(&record.data);
            Span::shared(at, record.data.len())
        })
        .collect();
    let mut batch = Batch::new(StreamId(0), Bytes::from(text));
    let mut builder = BlockBuilder::default();
    for (record, data) in records.iter().zip(places) {
        let (key, kind) = (batch.put_side(record.key.as_bytes()), batch.put_side(record.kind.as_bytes()));
        let mut encoded = Vec::new();
        if !record.tenant.is_empty() {
            headers::put(&mut encoded, "correlation-id", b"x");
            headers::put(&mut encoded, headers::TENANT, record.tenant.as_bytes());
        }
        let (id, headers) = (Span::EMPTY, batch.put_side(&encoded));
        let draft = Draft { partition: 2, time: record.time, id_hash: 0, data, key, kind, id, headers };
        builder.push(&batch, &draft);
    }
    let body = builder.body().to_vec();
    Block::parse(StreamId(0), 2, base, received_at, records.len(), body.into()).unwrap()
}

pub(crate) fn compile(rules: &[RuleSpec]) -> Program {
    Program::compile(&signals(), rules, &[]).unwrap()
}

pub(crate) fn run(program: &Program, state: &mut State, records: &[Made]) -> Vec<Anomaly> {
    run_from(program, state, 0, records)
}

pub(crate) fn run_from(program: &Program, state: &mut State, base: u64, records: &[Made]) -> Vec<Anomaly> {
    let mut out = Output::default();
    program.run(state, &block(base, records), &mut out);
    out.anomalies
}

pub(crate) fn encoded(program: &Program, state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    program.encode(state, &mut bytes);
    bytes
}

/// The state after it was written down and read back by the same program.
pub(crate) fn restarted(program: &Program, state: &State) -> State {
    let restored = program.decode(&encoded(program, state)).unwrap();
    assert!(restored.missing.is_empty(), "{:?}", restored.missing);
    restored.state
}

/// What one rule says of each record of a key, as `time: description; metadata`.
pub(crate) fn said(spec: RuleSpec, records: &[Made]) -> Vec<String> {
    let found = run(&compile(&[spec]), &mut State::default(), records);
    found.iter().map(|a| format!("{}: {}; {}", a.time, a.description, a.metadata)).collect()
}
