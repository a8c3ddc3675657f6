//! A house for one test: three streams, a log in a temporary folder, a clock that stands, and the router.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use collect::{CollectorSettings, Intake};
use event::{
    Catalog, Dedup, Field, FieldPath, JsonKind, Millis, Record, Requirement, Retention, Stream, TimeField, TimeUnit,
};
use log::clock::ManualClock;
use log::disk::{DiskLog, DiskSettings};
use log::faulty::FaultyDisk;
use log::{Clock, Disk, Log, RealDisk};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

/// Where the clock stands: 2026-11-20T12:00:00Z.
pub(crate) const NOW: Millis = 1_795_176_000_000;

pub(crate) struct House {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) log: Arc<DiskLog>,
    pub(crate) disk: FaultyDisk,
    pub(crate) intake: Arc<Intake>,
    pub(crate) clock: ManualClock,
    router: Router,
    dir: Arc<TempDir>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) raw: Bytes,
}

impl Answer {
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.body[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }
}

impl House {
    pub(crate) fn new() -> Self {
        let disk = FaultyDisk::default();
        let house = Self::over(Arc::new(tempfile::tempdir().unwrap()), Arc::new(disk.clone()), ManualClock::at(NOW));
        Self { disk, ..house }
    }

    /// A house over what a folder holds.
    pub(crate) fn over(dir: Arc<TempDir>, disk: Arc<dyn Disk>, clock: ManualClock) -> Self {
        let catalog = Arc::new(Catalog::new(streams()).unwrap());
        let shared_clock = Arc::new(clock.clone()) as Arc<dyn Clock>;
        let settings = DiskSettings::default();
        let log = DiskLog::open(dir.path(), catalog.clone(), disk, shared_clock.clone(), settings).unwrap();
        let log = Arc::new(log);
        let intake = Intake::new(catalog.clone(), log.clone(), shared_clock, "engine");
        let collector = collect::collector(intake.clone(), CollectorSettings::default(), Arc::new(|| None)).unwrap();
        let doors = collect::router(intake.clone()).merge(collector.doors);
        let router = api::with_manners(collect::gate::around(doors, intake.clone()));
        Self { catalog, log, disk: FaultyDisk::default(), intake, clock, router, dir }
    }

    /// The same house after a restart.
    pub(crate) fn reopened(self) -> Self {
        let Self { log, intake, router, dir, clock, .. } = self;
        log.close();
        // The folder is locked for as long as anybody has the log.
        drop((log, intake, router));
        Self::over(dir, Arc::new(RealDisk), clock)
    }

    /// Where the log is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, raw) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let raw = to_bytes(raw, 64 << 20).await.unwrap();
        let text = || panic!("the answer is not JSON: {:?}", String::from_utf8_lossy(&raw));
        let body = serde_json::from_slice(&raw).unwrap_or_else(|_| text());
        Answer { status: head.status.as_u16(), headers: head.headers, body, raw }
    }

    /// Posts JSON to a stream; `stream` may have a query behind it.
    pub(crate) async fn post(&self, stream: &str, body: impl Into<Body>) -> Answer {
        self.post_with(stream, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn post_with(&self, stream: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (name, query) = stream.split_once('?').unwrap_or((stream, ""));
        let mut request = Request::post(format!("/v1/streams/{name}/events?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Every record of a stream, partition after partition, as `with` sees it.
    pub(crate) fn records<T>(&self, stream: &str, mut with: impl FnMut(u32, Record<'_>) -> T) -> Vec<T> {
        let id = self.catalog.find(stream).unwrap();
        let partitions = self.catalog.get(id).partitions;
        let mut seen = Vec::new();
        for partition in 0..partitions {
            let mut cursor = self.log.read(id, &[(partition, 0)]).unwrap();
            loop {
                let blocks = cursor.next(1 << 20).unwrap();
                if blocks.is_empty() {
                    break;
                }
                blocks.iter().for_each(|block| seen.extend(block.records().map(|record| with(partition, record))));
            }
        }
        seen
    }

    /// How many records a stream holds.
    pub(crate) fn count(&self, stream: &str) -> usize {
        self.records(stream, |_, _| ()).len()
    }
}

pub(crate) const OK: u16 = StatusCode::OK.as_u16();
pub(crate) const ACCEPTED: u16 = StatusCode::ACCEPTED.as_u16();

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn field(path: &str, required: bool) -> Field {
    Field { path: FieldPath::parse(path).unwrap(), required }
}

fn need(path: &str, kind: JsonKind, one_of: &[&str]) -> Requirement {
    let one_of = one_of.iter().map(|&s| s.to_owned()).collect();
    Requirement { path: FieldPath::parse(path).unwrap(), kind, one_of }
}

/// `signals` asks for much, `events` for nothing, `orders` has nested paths and no duplicate suppression; `segment` has its
/// door.
pub(crate) fn streams() -> Vec<Stream> {
    let time =
        |path: &str, required, unit| Some(TimeField { field: field(path, required), unit, max_future_ms: 300_000 });
    let bare = |name: &str, partitions| Stream {
        name: name.to_owned(),
        partitions,
        key: None,
        time: None,
        id: None,
        kind: None,
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    };
    let dedup = Some(Dedup { within_ms: 3_600_000, ids_max: 100_000 });
    let signals = Stream {
        key: Some(field("user_id", true)),
        time: time("timestamp", true, TimeUnit::Millis),
        id: Some(field("event_id", false)),
        kind: Some(field("type", true)),
        require: vec![
            need("user_id", JsonKind::Integer, &[]),
            need("type", JsonKind::String, &["login", "purchase", "click", "api_call", "file_access"]),
            need("payload", JsonKind::Object, &[]),
        ],
        dedup,
        ..bare("signals", 6)
    };
    let events = Stream {
        key: Some(field("learner_id", false)),
        time: time("timestamp", false, TimeUnit::Auto),
        id: Some(field("event_id", false)),
        kind: Some(field("event_type", false)),
        dedup,
        ..bare("events", 4)
    };
    let orders = Stream {
        key: Some(field("/customer/id", true)),
        time: time("meta.at", true, TimeUnit::Rfc3339),
        id: Some(field("meta.id", true)),
        require: vec![
            need("lines", JsonKind::Array, &[]),
            need("total", JsonKind::Number, &[]),
            need("paid", JsonKind::Boolean, &[]),
        ],
        ..bare("orders", 3)
    };
    // As the pack has it; one partition, so that records lie in the order of the request.
    let segment = Stream {
        key: Some(field("userId", false)),
        time: time("timestamp", false, TimeUnit::Auto),
        id: Some(field("messageId", false)),
        kind: Some(field("type", false)),
        dedup,
        ..bare("segment", 1)
    };
    vec![signals, events, orders, segment]
}
