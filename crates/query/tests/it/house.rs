//! A small house to ask: a disk log, a SQLite store, and what an engine would do between them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use api::Caller;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use event::measure::Measure;
use event::{
    Ack, Alert, Anomaly, Batch, Block, Catalog, Classification, DeadLetter, Dedup, Draft, Field, FieldPath,
    LetterStatus, Position, Retention, Severity, Span, Stage, Stream, WindowDelta, WindowId, headers,
};
use http_body_util::BodyExt;
use log::clock::ManualClock;
use log::disk::{DiskLog, DiskSettings};
use log::faulty::FaultyDisk;
use log::{Append, Log};
use query::{Live, Query, Ready};
use serde_json::Value;
use store::query::EventRow;
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Commit, Move, Store};
use tempfile::TempDir;
use tower::ServiceExt;

/// The time in every house.
pub(crate) const NOW: i64 = 1_764_000_000_000;

/// An event to be put into a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) data: Vec<u8>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) tenant: &'static str,
    /// The dead letter that it is the replay of.
    pub(crate) replay_of: &'static str,
}

impl Sent {
    pub(crate) fn signal(user: i64, kind: &'static str, time: i64, payload: &str) -> Self {
        let data = format!(r#"{{"user_id":{user}, "type":"{kind}","timestamp":{time},"payload":{payload}}}"#);
        Self { key: user.to_string(), kind, time, data: data.into_bytes(), ..Self::default() }
    }

    pub(crate) fn plain(time: i64, data: &str) -> Self {
        Self { time, data: data.as_bytes().to_vec(), ..Self::default() }
    }

    pub(crate) fn id(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }

    pub(crate) fn of(self, tenant: &'static str) -> Self {
        Self { tenant, ..self }
    }
}

/// Everything that a router of this crate needs, with the handles to turn it.
pub(crate) struct House {
    pub(crate) disk: FaultyDisk,
    pub(crate) log: Arc<DiskLog>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: ManualClock,
    pub(crate) figures: Arc<Mutex<Live>>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) frames: Arc<AtomicU64>,
    folder: Arc<TempDir>,
}

fn stream(name: &str, partitions: u32, key: Option<&str>, dedup: bool) -> Stream {
    let field = |path: &str| Field { path: FieldPath::parse(path).unwrap(), required: true };
    Stream {
        name: name.to_owned(),
        partitions,
        key: key.map(field),
        time: None,
        id: None,
        kind: None,
        require: Vec::new(),
        dedup: dedup.then_some(Dedup { within_ms: 3_600_000, ids_max: 1000 }),
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

impl House {
    pub(crate) fn open() -> Self {
        Self::open_at(NOW)
    }

    pub(crate) fn open_at(now: i64) -> Self {
        let folder = TempDir::new().unwrap();
        let streams = vec![stream("signals", 3, Some("user_id"), true), stream("events", 2, None, false)];
        let catalog = Arc::new(Catalog::new(streams).unwrap());
        let clock = ManualClock::at(now);
        let dir = folder.path().join("log");
        let disk = FaultyDisk::default();
        let (under, time) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
        let log = DiskLog::open(&dir, catalog.clone(), under, time, DiskSettings::default()).unwrap();
        let store =
            SqliteStore::open(&folder.path().join("store.db"), catalog.clone(), SqliteSettings::default()).unwrap();
        Self {
            disk,
            log: Arc::new(log),
            store: Arc::new(store),
            catalog,
            clock,
            figures: Arc::default(),
            ready: Arc::new(AtomicBool::new(true)),
            frames: Arc::default(),
            folder: Arc::new(folder),
        }
    }

    pub(crate) fn query(&self) -> Query {
        let (figures, frames, ready) = (self.figures.clone(), self.frames.clone(), self.ready.clone());
        let folder = self.folder.clone();
        Query {
            catalog: self.catalog.clone(),
            store: self.store.clone(),
            has_store: true,
            log: self.log.clone(),
            clock: Arc::new(self.clock.clone()),
            rules: Arc::new(|| vec!["high_value_purchase".to_owned(), "high_frequency_login".to_owned()]),
            windows: Arc::new(|| vec!["by_type".to_owned(), "visits".to_owned()]),
            windows_of: Arc::new(windows_of),
            live: Arc::new(move || {
                let _needed = &folder; // the folder lives as long as any router over it
                frames.fetch_add(1, Ordering::SeqCst);
                figures.lock().unwrap().clone()
            }),
            ready: Arc::new(move || {
                let ready = ready.load(Ordering::SeqCst);
                Ready { ready, reason: if ready { String::new() } else { "the engine is starting".to_owned() } }
            }),
            prometheus: Arc::new(|| "# TYPE up gauge\nup 1\n".to_owned()),
            version: "1.2.3",
        }
    }

    pub(crate) fn router(&self) -> Router {
        let query = Arc::new(self.query());
        api::with_manners(query::router(query.clone()).merge(query::public_router(query)))
    }

    /// Appends events to one partition of a stream, durably.
    pub(crate) async fn append(&self, stream: &str, partition: u32, events: &[Sent]) {
        let id = self.catalog.find(stream).unwrap();
        let bytes: Vec<u8> = events.iter().flat_map(|e| e.data.clone()).collect();
        let mut batch = Batch::new(id, Bytes::from(bytes));
        let mut at = 0;
        for event in events {
            let mut hasher = self.log.id_hasher();
            let mut list = Vec::new();
            if !event.tenant.is_empty() {
                hasher = hasher.scoped(event.tenant.as_bytes());
                headers::put(&mut list, headers::TENANT, event.tenant.as_bytes());
            }
            let id_hash = if event.id.is_empty() { 0 } else { hasher.hash(event.id.as_bytes()) };
            if !event.replay_of.is_empty() {
                headers::put(&mut list, headers::LETTER, event.replay_of.as_bytes());
            }
            if let Some(content_type) = event.content_type {
                headers::put(&mut list, "content-type", content_type.as_bytes());
            }
            let mut side = |bytes: &[u8]| if bytes.is_empty() { Span::EMPTY } else { batch.put_side(bytes) };
            let (key, kind) = (side(event.key.as_bytes()), side(event.kind.as_bytes()));
            let (id, headers) = (side(event.id.as_bytes()), side(&list));
            let data = Span::shared(at, event.data.len());
            at += event.data.len();
            batch.drafts.push(Draft { partition, time: event.time, id_hash, data, key, kind, id, headers });
        }
        let pending = self.log.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable }).unwrap();
        let placed = pending.wait().await.unwrap();
        assert_eq!(placed[0].duplicates, Vec::<u32>::new());
    }

    /// Commits everything of the log that is not in the store yet, with an anomaly for each purchase over 1000.
    pub(crate) fn store_all(&self) {
        for (id, stream) in self.catalog.iter() {
            let stored = self.store.positions("engine").unwrap();
            let at = |partition| {
                let mut of = stored.iter().filter(|p| p.stream == stream.name && p.partition == partition);
                of.next().map_or(0, |p| p.offset)
            };
            let from: Vec<(u32, u64)> = (0..stream.partitions).map(|p| (p, at(p))).collect();
            let mut cursor = self.log.read(id, &from).unwrap();
            loop {
                let blocks = cursor.next(1 << 20).unwrap();
                if blocks.is_empty() {
                    break;
                }
                self.commit(&stream.name, &blocks);
            }
        }
    }

    /// Commits a dead letter of the default tenant.
    pub(crate) fn refuse(&self, id: &str, code: &str) {
        let letter = DeadLetter {
            tenant: String::new(),
            id: id.to_owned(),
            stream: "signals".to_owned(),
            partition: 0,
            offset: 0,
            stage: Stage::Process,
            code: code.to_owned(),
            pointer: String::new(),
            message: format!("refused: {code}"),
            data: b"{}".to_vec(),
            edited: None,
            key: String::new(),
            headers: Vec::new(),
            request_id: String::new(),
            correlation_id: String::new(),
            received_at: NOW,
            first_failed_at: NOW,
            last_failed_at: NOW,
            attempts: 1,
            classification: Classification::Permanent,
            status: LetterStatus::Open,
            retry_at: None,
        };
        self.store.commit(&Commit { consumer: "engine", dead_letters: &[letter], ..Commit::default() }).unwrap();
    }

    /// Commits pieces of windows.
    pub(crate) fn close(&self, pieces: &[WindowDelta]) {
        self.store.commit(&Commit { consumer: "engine", windows: pieces, ..Commit::default() }).unwrap();
    }

    /// Commits an anomaly of a tenant, of yesterday and of no signal, with a notification to each target.
    pub(crate) fn alert(&self, tenant: &str, number: u64, targets: &[&str]) {
        let found = Anomaly {
            tenant: tenant.to_owned(),
            id: number.to_string(),
            rule: "high_frequency_login".to_owned(),
            severity: Severity::High,
            stream: "events".to_owned(),
            partition: 0,
            offset: 0,
            key: String::new(),
            time: NOW - 86_400_000,
            received_at: NOW - 86_400_000,
            description: String::new(),
            metadata: "{}".to_owned(),
            event: Vec::new(),
        };
        let alert = |target: &&str| Alert {
            tenant: tenant.to_owned(),
            target: (*target).to_owned(),
            id: format!("{target}/events/{tenant}/{number}"),
            stream: "events".to_owned(),
            anomaly: number.to_string(),
            body: format!(r#"{{"type":"anomaly.detected", "of":{number}}}"#),
        };
        let alerts: Vec<Alert> = targets.iter().map(alert).collect();
        let anomalies = [found];
        let commit = Commit { consumer: "engine", anomalies: &anomalies, alerts: &alerts, ..Commit::default() };
        self.store.commit(&commit).unwrap();
    }

    fn commit(&self, stream: &str, blocks: &[Block]) {
        for block in blocks {
            let from = Position { stream: block.stream, partition: block.partition, offset: block.first_offset() };
            let anomalies: Vec<Anomaly> =
                block.records().filter_map(|record| anomaly(stream, block, &record)).collect();
            let moves = vec![Move { from, to: block.next_offset() }];
            let blocks = std::slice::from_ref(block);
            let commit = Commit { consumer: "engine", moves, blocks, anomalies: &anomalies, ..Commit::default() };
            self.store.commit(&commit).unwrap();
        }
    }
}

fn anomaly(stream: &str, block: &Block, record: &event::Record<'_>) -> Option<Anomaly> {
    let json: Value = serde_json::from_slice(record.data).ok()?;
    let amount = json["payload"]["amount"].as_f64().filter(|amount| *amount > 1000.0)?;
    let key = String::from_utf8(record.key.to_vec()).unwrap();
    Some(Anomaly {
        tenant: String::from_utf8(record.tenant().to_vec()).unwrap(),
        id: format!("{key}_{}_high_value_purchase", record.time),
        rule: "high_value_purchase".to_owned(),
        severity: Severity::High,
        stream: stream.to_owned(),
        partition: block.partition,
        offset: record.offset,
        key,
        time: record.time,
        received_at: record.received_at,
        description: format!("a purchase of {amount}"),
        metadata: format!(r#"{{"amount": {amount}, "threshold":1000}}"#),
        event: record.data.to_vec(),
    })
}

/// A minute of one type, and a session of one key: what the wiring makes of the definitions in force.
fn windows_of(row: &EventRow) -> Vec<WindowId> {
    let tenant = String::from_utf8(headers::get(&row.headers, headers::TENANT).unwrap_or_default().to_vec()).unwrap();
    let of = |window: &str, size_ms, start, key| WindowId {
        tenant: tenant.clone(),
        stream: row.stream.clone(),
        window: window.to_owned(),
        size_ms,
        start,
        key,
    };
    if row.stream != "signals" {
        return Vec::new();
    }
    vec![
        of("by_type", 60_000, row.time.div_euclid(60_000) * 60_000, format!(r#"{{"type":"{}"}}"#, row.kind)),
        of("visits", 0, row.time, format!(r#"{{"user_id":{}}}"#, row.key)),
    ]
}

/// A piece of a window: a minute with so many events, all of one type.
pub(crate) fn minute(tenant: &str, start: i64, kind: &str, events: u64) -> WindowDelta {
    WindowDelta {
        id: WindowId {
            tenant: tenant.to_owned(),
            stream: "signals".to_owned(),
            window: "by_type".to_owned(),
            size_ms: 60_000,
            start,
            key: format!(r#"{{"type":"{kind}"}}"#),
        },
        end: start + 60_000,
        definition: 1,
        partition: 0,
        offset: 0,
        names: vec!["count".to_owned()].into(),
        measures: vec![Measure::Count(events)],
        events,
        correction: false,
        publish: None,
    }
}

/// A piece of a session of one user.
pub(crate) fn visit(user: i64, start: i64, end: i64) -> WindowDelta {
    let mut piece = minute("", start, "", 2);
    piece.id.window = "visits".to_owned();
    piece.id.size_ms = 0;
    piece.id.key = format!(r#"{{"user_id":{user}}}"#);
    WindowDelta { end, ..piece }
}

/// Sends a GET and gives the whole answer.
pub(crate) async fn send(router: &Router, path: &str, accept: Option<&str>) -> Response {
    send_as(router, &Caller::open(), path, accept).await
}

/// The same for a caller that the keys let in.
pub(crate) async fn send_as(router: &Router, caller: &Caller, path: &str, accept: Option<&str>) -> Response {
    let mut request = Request::get(path).extension(caller.clone());
    if let Some(accept) = accept {
        request = request.header(header::ACCEPT, accept);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// Sends a GET and gives status and body.
pub(crate) async fn text(router: &Router, path: &str) -> (StatusCode, String) {
    text_as(router, &Caller::open(), path).await
}

/// The same for a caller that the keys let in.
pub(crate) async fn text_as(router: &Router, caller: &Caller, path: &str) -> (StatusCode, String) {
    let response = send_as(router, caller, path, None).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Sends a GET and gives status and body as JSON.
pub(crate) async fn json(router: &Router, path: &str) -> (StatusCode, Value) {
    let (status, body) = text(router, path).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}")))
}

/// Sends a GET that must succeed, and gives its JSON.
pub(crate) async fn ok(router: &Router, path: &str) -> Value {
    let (status, body) = json(router, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}
