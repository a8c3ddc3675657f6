//! The engine as the rest of the binary sees it: started, exchanged for one with other rules, drained, stopped.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arc_swap::ArcSwapOption;
use engine::{Command, Engine, EngineStats, Parts};
use event::{Catalog, StreamId};
use log::Clock;
use log::disk::DiskLog;
use process::{Program, RuleSpec};
use store::Store;

/// The engine's name in the log and the store. One engine a process, and one name for all of them: a second process on
/// the same store is fenced off.
pub(crate) const CONSUMER: &str = "engine";

/// What an engine is made of, and the engine.
pub(crate) struct Processing {
    catalog: Arc<Catalog>,
    log: Arc<DiskLog>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    running: Mutex<Running>,
    stats: ArcSwapOption<EngineStats>,
}

#[derive(Default)]
struct Running {
    engine: Option<Engine>,
    /// Its rules, to go back to.
    rules: Vec<RuleSpec>,
    /// Why there is none though there should be.
    failed: Option<String>,
    /// Whether it has been taken down for good.
    over: bool,
}

impl Processing {
    /// Without an engine.
    pub(crate) fn new(catalog: Arc<Catalog>, log: Arc<DiskLog>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, log, store, clock, running: Mutex::default(), stats: ArcSwapOption::empty() }
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// When log or store cannot be read.
    pub(crate) fn start(&self, programs: Vec<(StreamId, Program)>, rules: Vec<RuleSpec>) -> anyhow::Result<()> {
        let engine = self.engine(programs)?;
        let mut running = self.lock();
        (running.engine, running.rules) = (Some(engine), rules);
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

    /// Ends the engine and starts one with other rules. Intake goes on meanwhile; the state of the new rules is built from
    /// the whole log, as after a start with other rules. Blocks until then.
    ///
    /// # Errors
    /// When the engine had failed, or the new one cannot start: then one with the old rules is started again.
    pub(crate) fn exchange(&self, programs: Vec<(StreamId, Program)>, rules: Vec<RuleSpec>) -> anyhow::Result<()> {
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
        let (started, rules, outcome) = match started {
            Ok(engine) => (Ok(engine), Some(rules), Ok(())),
            Err(error) => (self.old_programs().and_then(|programs| self.engine(programs)), None, Err(error)),
        };
        let mut running = self.lock();
        match started {
            // The process ends meanwhile: nobody else would stop this one.
            Ok(engine) if running.over => drop(engine.stop()),
            Ok(engine) => running.engine = Some(engine),
            Err(error) => running.failed = Some(format!("it cannot start again: {error:#}")),
        }
        if let Some(rules) = rules {
            running.rules = rules;
        }
        outcome
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
        let rules = self.lock().rules.clone();
        let mut programs = Vec::new();
        for (id, stream) in self.catalog.iter() {
            let here: Vec<RuleSpec> = rules.iter().filter(|rule| rule.stream == stream.name).cloned().collect();
            if !here.is_empty() {
                let program = Program::compile(stream, &here);
                programs.push((id, program.map_err(|errors| anyhow::anyhow!("{errors:?}"))?));
            }
        }
        Ok(programs)
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
