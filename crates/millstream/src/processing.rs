//! The engine as the rest of the binary sees it: started, exchanged for one with other rules, drained, stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arc_swap::ArcSwapOption;
use engine::{Alerts, Command, Engine, EngineStats, Parts};
use event::{Catalog, StreamId};
use log::Clock;
use log::disk::DiskLog;
use process::{Program, RuleSpec, WindowSpec};
use store::Store;

/// The engine's name in the log and the store. One engine a process, and one name for all of them: a second process on
/// the same store is fenced off.
pub(crate) const CONSUMER: &str = "engine";

/// What programs are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Specs {
    pub(crate) rules: Vec<RuleSpec>,
    pub(crate) windows: Vec<WindowSpec>,
}

impl Specs {
    /// Compiles them for the streams that have any.
    ///
    /// # Errors
    /// When one is not sound; those of [`crate::config::Settings`] are.
    pub(crate) fn programs(&self, catalog: &Catalog) -> anyhow::Result<Vec<(StreamId, Program)>> {
        let watched = |stream: &str| {
            let mut streams = self.rules.iter().map(|rule| &rule.stream);
            streams.any(|s| s == stream) || self.windows.iter().any(|window| window.stream == stream)
        };
        let mut programs = Vec::new();
        for (id, stream) in catalog.iter().filter(|(_, stream)| watched(&stream.name)) {
            let program = Program::compile(stream, &self.rules, &self.windows);
            programs.push((id, program.map_err(|errors| anyhow::anyhow!("{errors:?}"))?));
        }
        Ok(programs)
    }
}

/// What an engine is made of, and the engine.
pub(crate) struct Processing {
    catalog: Arc<Catalog>,
    log: Arc<DiskLog>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    alerts: Alerts,
    running: Mutex<Running>,
    /// Held while the engine is away for a moment, so that two do not exchange it at once.
    away: Mutex<()>,
    /// Grows with every change of the rules and windows in force.
    generation: AtomicU64,
    stats: ArcSwapOption<EngineStats>,
}

#[derive(Default)]
struct Running {
    engine: Option<Engine>,
    /// Its rules and windows, to go back to.
    specs: Specs,
    /// Why there is none though there should be.
    failed: Option<String>,
    /// Whether it has been taken down for good.
    over: bool,
}

impl Processing {
    /// Without an engine.
    pub(crate) fn new(catalog: Arc<Catalog>, log: Arc<DiskLog>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog,
            log,
            store,
            clock,
            alerts: Arc::new(|_| Vec::new()),
            running: Mutex::default(),
            away: Mutex::default(),
            generation: AtomicU64::new(1),
            stats: ArcSwapOption::empty(),
        }
    }

    /// With notifications of anomalies; without this there are none.
    pub(crate) fn telling(self, alerts: Alerts) -> Self {
        Self { alerts, ..self }
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// When log or store cannot be read.
    pub(crate) fn start(&self, programs: Vec<(StreamId, Program)>, specs: Specs) -> anyhow::Result<()> {
        let engine = self.engine(programs)?;
        let mut running = self.lock();
        (running.engine, running.specs) = (Some(engine), specs);
        Ok(())
    }

    /// Figures of the engine; `None` when this process has none.
    pub(crate) fn stats(&self) -> Option<Arc<EngineStats>> {
        self.stats.load_full()
    }

    /// Why there is no processing though there should be.
    pub(crate) fn failed(&self) -> Option<String> {
        let running = self.lock();
        running.failed.clone().or_else(|| running.engine.as_ref().and_then(Engine::failed))
    }

    /// Ends the engine and starts one with other rules and windows. Intake goes on meanwhile; the state of those that are
    /// new is built from the whole log, as after a start with others. Blocks until then.
    ///
    /// # Errors
    /// When the engine had failed, or the new one cannot start: then one with the old rules is started again.
    pub(crate) fn exchange(&self, programs: Vec<(StreamId, Program)>, specs: Specs) -> anyhow::Result<()> {
        let _alone = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let (engine, failed) = {
            let mut running = self.lock();
            (running.engine.take(), running.failed.take())
        };
        let stopped = match (engine, failed) {
            (Some(engine), _) => engine.stop().context("the engine had failed"),
            // The exchange before this one left none: perhaps these rules, or this time, are better.
            (None, Some(_)) => Ok(()),
            // This process has none.
            (None, None) => return Ok(()),
        };
        let started = stopped.and_then(|()| self.engine(programs));
        let (started, specs, outcome) = match started {
            Ok(engine) => (Ok(engine), Some(specs), Ok(())),
            Err(error) => (self.old_programs().and_then(|programs| self.engine(programs)), None, Err(error)),
        };
        let mut running = self.lock();
        match started {
            // The process ends meanwhile: nobody else would stop this one.
            Ok(engine) if running.over => drop(engine.stop()),
            Ok(engine) => running.engine = Some(engine),
            Err(error) => running.failed = Some(format!("it cannot start again: {error:#}")),
        }
        if let Some(specs) = specs {
            running.specs = specs;
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Which rules and windows are in force, as a number that changes with them; `None` when this process has no engine.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.stats().map(|_| self.generation.load(Ordering::Relaxed))
    }

    /// The rules and windows of a stream, compiled; `None` when it has none.
    ///
    /// # Errors
    /// As [`Specs::programs`].
    pub(crate) fn program(&self, stream: StreamId) -> anyhow::Result<Option<Program>> {
        Ok(self.old_programs()?.into_iter().find(|(id, _)| *id == stream).map(|(_, program)| program))
    }

    /// Ends the engine, does the work, and starts one with the same rules. Intake goes on meanwhile. Blocks until then.
    ///
    /// # Errors
    /// When there is no engine, or it had failed: then the work was not done. Or when none can start again.
    pub(crate) fn pause(&self, work: impl FnOnce()) -> anyhow::Result<()> {
        let _alone = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = self.lock().engine.take().context("there is no engine")?;
        let stopped = engine.stop().context("the engine had failed");
        let worked = stopped.map(|()| work());
        let started = self.old_programs().and_then(|programs| self.engine(programs));
        let mut running = self.lock();
        match started {
            // As above.
            Ok(engine) if running.over => drop(engine.stop()),
            Ok(engine) => running.engine = Some(engine),
            Err(error) => {
                running.failed = Some(format!("it cannot start again: {error:#}"));
                return worked.and(Err(error));
            }
        }
        worked
    }

    /// Lets the engine commit everything that is in the log now, and waits for it. It has ended then.
    ///
    /// # Errors
    /// When it failed.
    pub(crate) fn catch_up(&self) -> anyhow::Result<()> {
        let Some(engine) = self.take() else { return Ok(()) };
        engine.send(Command::Drain);
        engine.join().context("the engine failed")
    }

    /// Ends the engine after the batch in hand.
    ///
    /// # Errors
    /// When it had failed.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        self.take().map_or(Ok(()), Engine::stop).context("the engine had failed")
    }

    fn take(&self) -> Option<Engine> {
        let mut running = self.lock();
        running.over = true;
        running.engine.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn old_programs(&self) -> anyhow::Result<Vec<(StreamId, Program)>> {
        let specs = self.lock().specs.clone();
        specs.programs(&self.catalog)
    }

    /// A running engine, whose counters go on where those of the one before ended.
    fn engine(&self, programs: Vec<(StreamId, Program)>) -> anyhow::Result<Engine> {
        let engine = Engine::start(Parts {
            catalog: self.catalog.clone(),
            log: self.log.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            programs,
            settings: engine::Settings { consumer: CONSUMER.to_owned(), ..engine::Settings::default() },
            alerts: self.alerts.clone(),
        });
        let engine = engine.context("the engine cannot start")?;
        let stats = engine.stats();
        if let Some(before) = self.stats.load_full() {
            stats.go_on_from(&before);
        }
        self.stats.store(Some(stats));
        Ok(engine)
    }
}
