//! A log, a store and an engine in a temporary folder, and what the tests put in and take out.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::{Command, Engine, EngineError, Parts, Settings, VerifyParts, VerifyReport};
use event::{
    Ack, Anomaly, Batch, Catalog, DeadLetter, Draft, Field, FieldPath, Millis, Retention, Severity, Span, Stream,
    StreamId, headers, partition_of,
};
use log::clock::ManualClock;
use log::disk::{DiskLog, DiskSettings};
use log::{Append, Log, RealDisk};
use process::{Program, RuleKind, RuleSpec, WindowKind, WindowSpec};
use store::query::{AnomalyQuery, DeadLetterQuery, WindowQuery, WindowRow};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

pub(crate) const SIGNALS: StreamId = StreamId(0);
pub(crate) const PARTITIONS: u32 = 3;

/// One event to come: user, type, event time, amount.
pub(crate) type Event = (u8, &'static str, Millis, u32);

pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) log: Arc<DiskLog>,
    pub(crate) clock: ManualClock,
    /// The windows of `signals`.
    pub(crate) windows: Vec<WindowSpec>,
    /// Rules of `signals` beside the usual ones.
    pub(crate) rules: Vec<RuleSpec>,
    /// Records with these bytes make a rule panic.
    pub(crate) trip: Option<&'static [u8]>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Retention { age_ms: None, size_bytes: None }, DiskSettings::default())
    }

    pub(crate) fn with(retention: Retention, settings: DiskSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let field = |path| Some(Field { path: FieldPath::parse(path).unwrap(), required: true });
        let signals = Stream {
            name: "signals".to_owned(),
            partitions: PARTITIONS,
            key: field("user_id"),
            time: None,
            id: None,
            kind: field("type"),
            require: Vec::new(),
            dedup: None,
            retention,
        };
        let plain = Stream { name: "plain".to_owned(), partitions: 1, key: None, kind: None, ..signals.clone() };
        let catalog = Arc::new(Catalog::new(vec![signals, plain]).unwrap());
        let clock = ManualClock::at(1_800_000_000_000);
        let log = open_log(&dir.path().join("log"), &catalog, &clock, settings);
        Self { dir, catalog, log, clock, windows: vec![by_type()], rules: Vec::new(), trip: None }
    }

    /// Closes the log, flips a byte in the middle of the oldest segment of `signals`, and opens it again.
    #[expect(clippy::disallowed_methods, reason = "the test is the damage")]
    pub(crate) fn damage(&mut self) {
        let path = self.dir.path().join("log");
        let elsewhere = self.dir.path().join("elsewhere");
        self.log = open_log(&elsewhere, &self.catalog, &self.clock, DiskSettings::default()); // drops ours
        let files = std::fs::read_dir(path.join("signals")).unwrap().map(|entry| entry.unwrap().path());
        let segment = files.filter(|file| file.extension().is_some_and(|e| e == "seg")).min().unwrap();
        let mut bytes = std::fs::read(&segment).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(&segment, bytes).unwrap();
        self.log = open_log(&path, &self.catalog, &self.clock, DiskSettings::default());
    }

    pub(crate) fn append(&self, events: &[Event]) {
        self.append_of("", events);
    }

    /// What a door does with the events of a tenant.
    pub(crate) fn append_of(&self, tenant: &str, events: &[Event]) {
        let list = [(headers::TENANT, tenant)];
        self.append_with(if tenant.is_empty() { &[] } else { &list }, events);
    }

    /// Every event with these headers.
    pub(crate) fn append_with(&self, list: &[(&str, &str)], events: &[Event]) {
        let mut text = String::new();
        let mut drafts = Vec::new();
        for (user, kind, time, amount) in events {
            let start = text.len();
            text.push_str("{\"user_id\":");
            let key = Span::shared(text.len(), user.to_string().len());
            text.push_str(&format!("{user},\"type\":\""));
            let kind_at = Span::shared(text.len(), kind.len());
            text.push_str(&format!("{kind}\",\"payload\":{{\"amount\":{amount}}}}}"));
            let partition = partition_of(user.to_string().as_bytes(), PARTITIONS);
            let data = Span::shared(start, text.len() - start);
            let (id, headers) = (Span::EMPTY, Span::EMPTY);
            drafts.push(Draft { partition, time: *time, id_hash: 0, data, key, kind: kind_at, id, headers });
        }
        let mut batch = Batch::new(SIGNALS, Bytes::from(text));
        if !list.is_empty() {
            let mut encoded = Vec::new();
            list.iter().for_each(|(name, value)| headers::put(&mut encoded, name, value.as_bytes()));
            let headers = batch.put_side(&encoded);
            drafts.iter_mut().for_each(|draft| draft.headers = headers);
        }
        batch.drafts = drafts;
        self.append_batch(batch);
    }

    /// What a door does with an event that it refuses.
    pub(crate) fn refuse(&self, id: &str, data: &'static [u8]) {
        self.refuse_of("", id, data);
    }

    pub(crate) fn refuse_of(&self, tenant: &str, id: &str, data: &'static [u8]) {
        let mut batch = Batch::new(self.catalog.refused(), Bytes::from_static(data));
        let mut encoded = Vec::new();
        if !tenant.is_empty() {
            headers::put(&mut encoded, headers::TENANT, tenant.as_bytes());
        }
        let parts = [
            ("stream", "signals"),
            ("code", "missing_field"),
            ("pointer", "/user_id"),
            ("message", "not there"),
            ("dlq-id", id),
            ("request-id", "r-1"),
            ("index", "4"),
        ];
        parts.iter().for_each(|(name, value)| headers::put(&mut encoded, name, value.as_bytes()));
        let (headers, data) = (batch.put_side(&encoded), Span::shared(0, data.len()));
        let (key, kind, id) = (Span::EMPTY, Span::EMPTY, Span::EMPTY);
        batch.drafts.push(Draft { partition: 0, time: event::NO_TIME, id_hash: 0, data, key, kind, id, headers });
        self.append_batch(batch);
    }

    fn append_batch(&self, batch: Batch) {
        let pending = self.log.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable }).unwrap();
        pending.wait_blocking().unwrap();
    }

    pub(crate) fn store(&self, name: &str) -> Arc<SqliteStore> {
        let settings = SqliteSettings { chunk_rows: 100, ..SqliteSettings::default() };
        Arc::new(SqliteStore::open(&self.dir.path().join(name), self.catalog.clone(), settings).unwrap())
    }

    pub(crate) fn program(&self) -> Program {
        let program = Program::compile(self.catalog.get(SIGNALS), &[&rules()[..], &self.rules].concat(), &self.windows);
        let program = program.unwrap();
        match self.trip {
            Some(needle) => program.trip_on(needle),
            None => program,
        }
    }

    pub(crate) fn start(&self, store: Arc<dyn Store>, settings: Settings) -> Result<Engine, EngineError> {
        Engine::start(Parts { settings, ..self.parts(store) })
    }

    pub(crate) fn parts(&self, store: Arc<dyn Store>) -> Parts {
        let (catalog, log, clock) = (self.catalog.clone(), self.log.clone(), Arc::new(self.clock.clone()));
        let (programs, settings) = (vec![(SIGNALS, self.program())], small_batches());
        let (alerts, owned, owner, halt) = (Arc::new(|_: &[Anomaly]| Vec::new()), None, 0, Arc::default());
        Parts { catalog, log, store, clock, programs, alerts, settings, owned, owner, halt }
    }

    /// Runs an engine until everything now in the log is committed.
    pub(crate) fn drain(&self, store: Arc<dyn Store>) -> Result<(), EngineError> {
        let engine = self.start(store, small_batches())?;
        engine.send(Command::Drain);
        engine.join()
    }

    pub(crate) fn verify(&self, store: Arc<dyn Store>) -> VerifyReport {
        let programs = vec![(SIGNALS, self.program())];
        let (catalog, log, clock) = (self.catalog.clone(), self.log.clone(), Arc::new(self.clock.clone()));
        let parts = VerifyParts { catalog, log, store, clock, programs, consumer: "engine".to_owned() };
        let mut last = (0, 0);
        let report = engine::verify(&parts, &mut |done, total| last = (done, total)).unwrap();
        assert!(last.0 <= last.1, "progress {last:?}");
        report
    }
}

fn open_log(path: &Path, catalog: &Arc<Catalog>, clock: &ManualClock, settings: DiskSettings) -> Arc<DiskLog> {
    Arc::new(DiskLog::open(path, catalog.clone(), Arc::new(RealDisk), Arc::new(clock.clone()), settings).unwrap())
}

pub(crate) fn small_batches() -> Settings {
    Settings { batch_bytes: 2_000, snapshot_every_records: 40, lanes: 2, ..Settings::default() }
}

pub(crate) fn rule(name: &str, when: &str, kind: RuleKind, cooldown_ms: Millis) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        stream: "signals".to_owned(),
        when: when.to_owned(),
        kind,
        severity: Severity::High,
        cooldown_ms,
        description: "{user_id}".to_owned(),
        metadata: Vec::new(),
    }
}

fn rules() -> [RuleSpec; 2] {
    let often = RuleKind::Count { at_least: 3, within_ms: 100, sum: String::new() };
    [
        rule("often", "type == 'login'", often, 50),
        rule("dear", "type == 'purchase' && payload.amount > 1000", RuleKind::Predicate, 0),
    ]
}

/// Two lengths, with some lateness, and corrected after that.
pub(crate) fn by_type() -> WindowSpec {
    let measure = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    WindowSpec {
        name: "by_type".to_owned(),
        stream: "signals".to_owned(),
        when: String::new(),
        kind: WindowKind::Tumbling(vec![100, 400]),
        by: vec!["type".to_owned()],
        lateness_ms: 20,
        correct: true,
        measures: vec![measure("n", "count()"), measure("amount", "sum(payload.amount)")],
        publish: String::new(),
    }
}

/// A mixed lot: six users, time going forward.
pub(crate) fn events(n: usize) -> Vec<Event> {
    let kind = |i: usize| ["login", "click", "purchase", "login"][i % 4];
    (0..n).map(|i| ((i * 7 % 6) as u8, kind(i), (i * 3) as Millis, (i * 37 % 2_000) as u32)).collect()
}

/// Everything a store holds, in a comparable form.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) rows: Vec<(u32, u64, Millis, String, String, String)>,
    pub(crate) anomalies: Vec<Anomaly>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) positions: Vec<StoredPosition>,
    pub(crate) windows: Vec<WindowRow>,
}

/// All windows of a store, without what depends on when and in how many pieces they came.
pub(crate) fn windows(store: &dyn Store) -> Vec<WindowRow> {
    let page = store.windows(&WindowQuery { limit: 1_000, ..WindowQuery::default() }).unwrap();
    assert!(!page.more);
    let plain = |row| WindowRow { revision: 0, created_at: 0, updated_at: 0, ..row };
    page.rows.into_iter().map(plain).collect()
}

pub(crate) fn contents(store: &dyn Store) -> Contents {
    let mut rows = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut keep = |row: &store::Scanned<'_>| {
        let r = row.record;
        rows.push((row.partition, r.offset, r.time, text(r.key), text(r.kind), text(r.data)));
        ControlFlow::Continue(())
    };
    store.scan("signals", &mut keep).unwrap();
    rows.sort();
    let page = store.anomalies(&AnomalyQuery { limit: 1_000, ..AnomalyQuery::default() }).unwrap();
    let mut anomalies: Vec<_> = page.rows.into_iter().map(|row| row.anomaly).collect();
    anomalies.sort_by(|a, b| (&a.tenant, &a.id).cmp(&(&b.tenant, &b.id)));
    let letters = store.dead_letters(&DeadLetterQuery { limit: 1_000, ..DeadLetterQuery::default() }).unwrap();
    // When they failed is not what they are.
    let plain = |letter: DeadLetter| DeadLetter {
        first_failed_at: 0,
        last_failed_at: 0,
        retry_at: letter.retry_at.map(|_| 0),
        ..letter
    };
    let mut dead_letters: Vec<_> = letters.rows.into_iter().map(plain).collect();
    dead_letters.sort_by_key(|letter| (letter.partition, letter.offset));
    let mut positions = store.positions("engine").unwrap();
    positions.sort();
    Contents { rows, anomalies, dead_letters, positions, windows: windows(store) }
}

/// A store that answers as told before it does its work: every commit asks `answer` with its number, from 1 on.
pub(crate) struct Moody<F> {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) answer: F,
    pub(crate) commits: AtomicI64,
    /// Who claimed what, and behind how many commits.
    pub(crate) claims: Mutex<Vec<Claimed>>,
}

/// Who claimed, what, and behind how many commits.
pub(crate) type Claimed = (u64, Vec<(String, u32)>, i64);

impl<F> Moody<F> {
    pub(crate) fn new(store: Arc<SqliteStore>, answer: F) -> Arc<Self> {
        Arc::new(Self { store, answer, commits: AtomicI64::new(0), claims: Mutex::default() })
    }
}

impl<F: Fn(i64, &Commit<'_>) -> Result<(), StoreError> + Send + Sync + 'static> Answers for Moody<F> {
    fn events(&self, query: &store::query::EventQuery) -> Result<store::query::EventPage, StoreError> {
        self.store.events(query)
    }
    fn anomalies(&self, query: &AnomalyQuery) -> Result<store::query::AnomalyPage, StoreError> {
        self.store.anomalies(query)
    }
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<store::query::DeadLetterPage, StoreError> {
        self.store.dead_letters(query)
    }
    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<store::query::Summary, StoreError> {
        self.store.summary(stream, tenant, since)
    }
    fn windows(&self, query: &WindowQuery) -> Result<store::query::WindowPage, StoreError> {
        self.store.windows(query)
    }
    fn alerts(&self, query: &store::query::AlertQuery) -> Result<store::query::AlertPage, StoreError> {
        self.store.alerts(query)
    }
}

impl<F: Fn(i64, &Commit<'_>) -> Result<(), StoreError> + Send + Sync + 'static> Store for Moody<F> {
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        (self.answer)(self.commits.fetch_add(1, Ordering::SeqCst) + 1, commit)?;
        self.store.commit(commit)
    }
    fn claim(&self, _consumer: &str, owner: u64, partitions: &[(String, u32)]) -> Result<(), StoreError> {
        let behind = self.commits.load(Ordering::SeqCst);
        self.claims.lock().unwrap().push((owner, partitions.to_vec(), behind));
        Ok(())
    }
    fn positions(&self, consumer: &str) -> Result<Vec<StoredPosition>, StoreError> {
        self.store.positions(consumer)
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.store.snapshots()
    }
    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<store::query::Outgoing>, StoreError> {
        self.store.outbox(now, limit)
    }
    fn expire(&self, stream: &str, before: Millis) -> Result<u64, StoreError> {
        self.store.expire(stream, before)
    }
    fn scan(&self, stream: &str, each: ScanFn<'_>) -> Result<(), StoreError> {
        self.store.scan(stream, each)
    }
}
