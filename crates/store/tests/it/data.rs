//! Streams, rows and commits for the tests, and how a test gets a store.

use std::sync::Arc;

use bytes::Bytes;
use event::measure::Shape as Kind;
use event::{
    Alert, Anomaly, Batch, Block, BlockBuilder, Catalog, Classification, DeadLetter, Draft, LateEvents, LetterStatus,
    Millis, Position, Retention, Severity, Span, Stage, Stream, StreamId, WindowDelta, WindowId,
};
use store::{Commit, Move, Snapshot, Store, StoredPosition};

/// Two streams whose order by name is not their order by index.
pub(crate) const NAMES: [&str; 2] = ["signals", "events"];
pub(crate) const SIGNALS: StreamId = StreamId(0);
pub(crate) const EVENTS: StreamId = StreamId(1);

/// How a back end is set for one test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Rows of a chunk.
    pub(crate) chunk_rows: u64,
    /// Whether chunks that are still filling are indexed at once.
    pub(crate) index_early: bool,
}

pub(crate) const SMALL: Shape = Shape { chunk_rows: 10, index_early: false };

/// An empty database of some back end. Opening it again gives another store over the same rows; one at a time.
pub(crate) trait Database {
    fn open(&self) -> Box<dyn Store>;
}

/// Makes an empty database.
pub(crate) type New = fn(Shape) -> Box<dyn Database>;

pub(crate) fn catalog() -> Arc<Catalog> {
    let stream = |name: &str| Stream {
        name: name.to_owned(),
        partitions: 4,
        key: None,
        time: None,
        id: None,
        kind: None,
        require: vec![],
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    };
    Arc::new(Catalog::new(NAMES.map(stream).to_vec()).unwrap())
}

/// One event to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) kind: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) headers: Vec<u8>,
}

/// A row whose parts follow from a number.
pub(crate) fn row(n: i64) -> Row {
    Row {
        time: 1_000 + n,
        key: format!("key-{}", n % 3).into_bytes(),
        kind: format!("kind-{}", n % 2).into_bytes(),
        id: format!("id-{n}").into_bytes(),
        data: format!(r#"{{"n":{n}}}"#).into_bytes(),
        headers: Vec::new(),
    }
}

/// The same row, of a tenant: said by a header before what headers it has.
pub(crate) fn of(tenant: &str, row: Row) -> Row {
    let mut headers = Vec::new();
    if !tenant.is_empty() {
        event::headers::put(&mut headers, event::headers::TENANT, tenant.as_bytes());
    }
    headers.extend(row.headers);
    Row { headers, ..row }
}

/// The tenant that encoded headers name.
pub(crate) fn tenant_of(headers: &[u8]) -> &str {
    std::str::from_utf8(event::headers::get(headers, event::headers::TENANT).unwrap_or_default()).unwrap()
}

pub(crate) fn block(stream: StreamId, partition: u32, first: u64, received: i64, rows: &[Row]) -> Block {
    let mut builder = BlockBuilder::default();
    for row in rows {
        let mut batch = Batch::new(stream, Bytes::copy_from_slice(&row.data));
        let [key, kind, id, headers] = [&row.key, &row.kind, &row.id, &row.headers]
            .map(|part| if part.is_empty() { Span::EMPTY } else { batch.put_side(part) });
        let data = Span::shared(0, row.data.len());
        builder.push(&batch, &Draft { partition, time: row.time, id_hash: 0, data, key, kind, id, headers });
    }
    let body = Bytes::copy_from_slice(builder.body());
    Block::parse(stream, partition, first, received, rows.len(), body).unwrap()
}

pub(crate) fn step(stream: StreamId, partition: u32, from: u64, to: u64) -> Move {
    Move { from: Position { stream, partition, offset: from }, to }
}

/// Commits blocks, each with the move that it means.
pub(crate) fn commit_blocks(store: &dyn Store, blocks: &[Block]) {
    let moves = blocks.iter().map(|b| step(b.stream, b.partition, b.first_offset(), b.next_offset())).collect();
    store.commit(&Commit { consumer: "engine", moves, blocks, ..Commit::default() }).unwrap();
}

/// Puts `count` rows into partition 0 of `signals`, in commits of `each`, received at 1, 2, 3, ….
pub(crate) fn fill(store: &dyn Store, count: u64, each: u64) {
    for (commit, first) in (0..count).step_by(each as usize).enumerate() {
        let rows: Vec<Row> = (first..(first + each).min(count)).map(|n| row(n as i64)).collect();
        commit_blocks(store, &[block(SIGNALS, 0, first, commit as i64 + 1, &rows)]);
    }
}

pub(crate) fn anomaly(n: u64) -> Anomaly {
    Anomaly {
        tenant: String::new(),
        id: format!("anomaly-{n}"),
        rule: format!("rule-{}", n % 2),
        severity: Severity::ALL[n as usize % 3],
        stream: "signals".to_owned(),
        partition: 0,
        offset: n,
        key: format!("key-{}", n % 4),
        time: 100 + n as i64 / 2,
        received_at: n as i64,
        description: "too much".to_owned(),
        metadata: "{\"count\":11}".to_owned(),
        event: vec![0xff, 0, n as u8],
    }
}

pub(crate) fn dead_letter(n: u64) -> DeadLetter {
    DeadLetter {
        tenant: String::new(),
        id: format!("letter-{n}"),
        stream: NAMES[n as usize % 2].to_owned(),
        partition: 0,
        offset: n,
        stage: [Stage::Collect, Stage::Process, Stage::Store][n as usize % 3],
        code: ["invalid_json", "too_deep"][n as usize / 2 % 2].to_owned(),
        pointer: "/a/b".to_owned(),
        message: "why".to_owned(),
        data: vec![0xc3, 0x28, n as u8],
        request_id: "request".to_owned(),
        received_at: n as i64,
        edited: None,
        key: format!("key-{}", n % 2),
        headers: if n.is_multiple_of(2) { Vec::new() } else { vec![1, b'a', 1, 0, n as u8] },
        correlation_id: format!("correlation-{n}"),
        first_failed_at: n as i64 + 10,
        last_failed_at: n as i64 + 20,
        attempts: 1,
        classification: [Classification::Permanent, Classification::Temporary][n as usize % 2],
        status: LetterStatus::Open,
        retry_at: (n % 4 == 1).then_some(n as i64 + 30),
    }
}

pub(crate) fn snapshot(partition: u32, offset: u64, state: &[u8]) -> Snapshot {
    let position = StoredPosition { stream: "signals".to_owned(), partition, offset };
    Snapshot { position, state: state.to_vec() }
}

/// Everything that `scan` gives of a stream: partition, offset, data.
pub(crate) fn scanned(store: &dyn Store, stream: &str) -> Vec<(u32, u64, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut each = |row: &store::Scanned<'_>| {
        assert_eq!(row.tenant, row.record.tenant(), "offset {}", row.record.offset);
        rows.push((row.partition, row.record.offset, row.record.data.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    store.scan(stream, &mut each).unwrap();
    rows
}

pub(crate) const MINUTE: Millis = 60_000;

/// A window of `signals`, of the default tenant, one minute long.
pub(crate) fn window(name: &str, start: Millis, key: &str) -> WindowId {
    let (window, key) = (name.to_owned(), format!(r#"{{"user":"{key}"}}"#));
    WindowId { tenant: String::new(), stream: "signals".to_owned(), window, size_ms: MINUTE, start, key }
}

/// A piece of it that saw these amounts.
pub(crate) fn piece(id: WindowId, amounts: &[i64]) -> WindowDelta {
    let kinds = [Kind::Count, Kind::Sum, Kind::Min, Kind::Distinct, Kind::Quantile(0.5)];
    let mut measures = kinds.map(Kind::empty).to_vec();
    for (kind, measure) in kinds.iter().zip(&mut measures) {
        amounts.iter().for_each(|amount| measure.add(kind.step_of_int(i128::from(*amount))));
    }
    WindowDelta {
        end: id.start + id.size_ms,
        id,
        definition: u64::MAX - 7,
        partition: 0,
        offset: 9,
        names: ["count", "amount", "least", "users", "p50"].map(str::to_owned).into(),
        measures,
        events: amounts.len() as u64,
        correction: false,
        publish: None,
    }
}

pub(crate) fn late(id: WindowId, events: u64, lateness_ms: Millis) -> LateEvents {
    LateEvents { end: id.start + id.size_ms, id, partition: 0, offset: 9, events, lateness_ms, corrected: false }
}

/// An alert of [`anomaly`] `n` to a target.
pub(crate) fn alert(n: u64, target: &str) -> Alert {
    let anomaly = anomaly(n);
    Alert {
        tenant: anomaly.tenant,
        target: target.to_owned(),
        id: format!("alert-{n}"),
        stream: anomaly.stream,
        anomaly: anomaly.id,
        body: format!(r#"{{"n":{n}}}"#),
    }
}
