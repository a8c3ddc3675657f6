//! The product as far as a replay sees it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use engine::replay::{Into, Live, ReplayParts, ReplaySpec, ReplayStatus, ReplayView, Replays, Shadows};
use engine::{Command, Engine, Parts, VerifyParts};
use event::{Millis, Severity, StreamId};
use log::{Clock, Disk, RealDisk, SystemClock};
use process::{Program, RuleKind, RuleSpec, WindowKind, WindowSpec};
use store::query::{AnomalyQuery, WindowQuery, WindowRow};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Store, StoreError};

use crate::house::{House, SIGNALS};

pub(super) const EVER: (Millis, Millis) = (Millis::MIN, Millis::MAX);

/// An engine that can be away for a moment, and rules that can change.
pub(super) struct Product {
    pub(super) house: House,
    pub(super) store: Arc<SqliteStore>,
    rules: Mutex<(Vec<RuleSpec>, Vec<WindowSpec>)>,
    generation: AtomicU64,
    pub(super) engine: Mutex<Option<Engine>>,
    /// What a test waits for, and what waits for the test.
    pub(super) gate: Mutex<Option<Arc<Barrier>>>,
    /// The same, before the engine stands still.
    pub(super) at_pause: Mutex<Option<Arc<Barrier>>>,
    /// What records trip a rule.
    trip: Option<&'static [u8]>,
}

impl Product {
    pub(super) fn new(threshold: u32) -> Arc<Self> {
        Self::tripping(threshold, None)
    }

    pub(super) fn tripping(threshold: u32, trip: Option<&'static [u8]>) -> Arc<Self> {
        let house = House::new();
        let store = house.store("store");
        let (rules, generation) = (Mutex::new(specs(threshold)), AtomicU64::new(1));
        let (engine, gate, at_pause) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { house, store, rules, generation, engine, gate, at_pause, trip })
    }

    /// Other rules; what was found before stays.
    pub(super) fn set_rules(&self, threshold: u32) {
        *self.rules.lock().unwrap() = specs(threshold);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// One rule more.
    pub(super) fn add_rule(&self, name: &str, when: &str, kind: RuleKind) {
        self.rules.lock().unwrap().0.push(rule(name, when.to_owned(), kind));
    }

    fn program(&self) -> Program {
        let (rules, windows) = &*self.rules.lock().unwrap();
        let program = Program::compile(self.house.catalog.get(SIGNALS), rules, windows).unwrap();
        match self.trip {
            Some(needle) => program.trip_on(needle),
            None => program,
        }
    }

    pub(super) fn start(&self) -> Engine {
        let programs = vec![(SIGNALS, self.program())];
        Engine::start(Parts { programs, ..self.house.parts(self.store.clone()) }).unwrap()
    }

    pub(super) fn drain(&self) {
        let engine = self.start();
        engine.send(Command::Drain);
        engine.join().unwrap();
    }

    pub(super) fn replays(self: &Arc<Self>) -> Arc<Replays> {
        self.replays_by(Arc::new(self.house.clock.clone()))
    }

    /// By another clock than that of the house.
    pub(super) fn replays_by(self: &Arc<Self>, clock: Arc<dyn Clock>) -> Arc<Replays> {
        Replays::new(ReplayParts {
            catalog: self.house.catalog.clone(),
            log: self.house.log.clone(),
            store: self.store.clone(),
            clock,
            consumer: "engine".to_owned(),
            live: Arc::new(Handle(self.clone())),
            shadows: Arc::new(Handle(self.clone())),
        })
    }

    pub(super) fn files(&self) -> Vec<String> {
        RealDisk.list(&self.folder()).unwrap_or_default()
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.house.dir.path().join("replays")
    }

    pub(super) fn anomalies(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        loop {
            let query = AnomalyQuery { skip: ids.len() as u64, limit: 1_000, ..AnomalyQuery::default() };
            let page = self.store.anomalies(&query).unwrap();
            let rows = page.rows.len();
            ids.extend(page.rows.into_iter().map(|row| row.anomaly.id));
            if rows < 1_000 {
                return ids;
            }
        }
    }

    pub(super) fn windows(&self) -> Vec<WindowRow> {
        self.store.windows(&WindowQuery { limit: 1_000, ..WindowQuery::default() }).unwrap().rows
    }

    /// Differences that `verify` finds.
    pub(super) fn verify(&self) -> Vec<String> {
        let parts = VerifyParts {
            catalog: self.house.catalog.clone(),
            log: self.house.log.clone(),
            store: self.store.clone(),
            clock: Arc::new(self.house.clock.clone()),
            programs: vec![(SIGNALS, self.program())],
            consumer: "engine".to_owned(),
        };
        engine::verify(&parts, &mut |_, _| {}).unwrap().details
    }
}

struct Handle(Arc<Product>);

impl Live for Handle {
    fn generation(&self) -> Option<u64> {
        Some(self.0.generation.load(Ordering::SeqCst))
    }

    fn has_all(&self, _stream: StreamId) -> bool {
        true
    }

    fn program(&self, stream: StreamId) -> Result<Option<Program>, String> {
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.wait(); // it runs
            gate.wait(); // and may go on
        }
        Ok((stream == SIGNALS).then(|| self.0.program()))
    }

    fn pause(&self, work: &mut dyn FnMut()) -> Result<(), String> {
        let gate = self.0.at_pause.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.wait();
            gate.wait();
        }
        let mut engine = self.0.engine.lock().unwrap();
        let running = engine.take();
        let was = running.is_some();
        running.map_or(Ok(()), Engine::stop).map_err(|error| error.to_string())?;
        work();
        *engine = was.then(|| self.0.start());
        Ok(())
    }
}

impl Shadows for Handle {
    fn open(&self, id: &str) -> Result<Arc<dyn Store>, StoreError> {
        RealDisk.make_dir(&self.0.folder()).unwrap();
        let path = self.0.folder().join(format!("{id}.sqlite"));
        Ok(Arc::new(SqliteStore::open(&path, self.0.house.catalog.clone(), SqliteSettings::default())?))
    }

    fn remove(&self, id: &str) {
        let ours = |name: &&String| name.starts_with(id);
        self.0.files().iter().filter(ours).for_each(|name| RealDisk.remove(&self.0.folder().join(name)).unwrap());
    }

    fn clear(&self) {
        self.0.files().iter().for_each(|name| RealDisk.remove(&self.0.folder().join(name)).unwrap());
    }
}

fn rule(name: &str, when: String, kind: RuleKind) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        stream: "signals".to_owned(),
        when,
        kind,
        severity: Severity::High,
        cooldown_ms: 0,
        description: "{user_id}".to_owned(),
        metadata: Vec::new(),
    }
}

/// Purchases above a threshold; logins often; and windows of 100 ms by type, corrected by late events.
fn specs(threshold: u32) -> (Vec<RuleSpec>, Vec<WindowSpec>) {
    let often = RuleKind::Count { at_least: 3, within_ms: 100, sum: String::new() };
    let dear = format!("type == 'purchase' && payload.amount > {threshold}");
    let rules = vec![rule("often", "type == 'login'".to_owned(), often), rule("dear", dear, RuleKind::Predicate)];
    let measure = |name: &str, of: &str| (name.to_owned(), of.to_owned());
    let windows = vec![WindowSpec {
        name: "by_type".to_owned(),
        stream: "signals".to_owned(),
        when: String::new(),
        kind: WindowKind::Tumbling(vec![100]),
        by: vec!["type".to_owned()],
        lateness_ms: 0,
        correct: true,
        measures: vec![measure("n", "count()"), measure("amount", "sum(payload.amount)")],
        publish: String::new(),
    }];
    (rules, windows)
}

pub(super) fn spec((from, to): (Millis, Millis), into: Into) -> ReplaySpec {
    ReplaySpec { stream: "signals".to_owned(), from, to, into }
}

/// Looks again and again until something holds.
pub(super) fn until(mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::default();
    for _ in 0..30_000 {
        if holds() {
            return;
        }
        clock.sleep(std::time::Duration::from_millis(1));
    }
    panic!("waited in vain");
}

/// Waits until a replay runs no more.
pub(super) fn ended(replays: &Replays, id: &str) -> ReplayView {
    until(|| replays.get(id).unwrap().status != ReplayStatus::Running);
    replays.get(id).unwrap()
}

pub(super) fn done(replays: &Replays, range: (Millis, Millis), into: Into) -> ReplayView {
    let begun = replays.start(spec(range, into)).unwrap();
    let view = ended(replays, &begun.id);
    assert_eq!(view.status, ReplayStatus::Done, "{view:?}");
    view
}
