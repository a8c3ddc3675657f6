//! The engine as the rest of the binary sees it: started on the partitions that the log's group gives to this process,
//! exchanged for one with other rules, drained, stopped.

mod member;
mod specs;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwapOption;
use engine::{Alerts, Command, Engine, EngineError, EngineStats, Parts};
use event::{Catalog, StreamId};
use log::{Clock, Log, Membership};
use process::Program;
use store::Store;
use tokio::sync::watch;

use member::Place;
pub(crate) use specs::Specs;

/// The engine's name in the log and the store. One engine a process, and one name for all of them: they share the
/// partitions of the log.
pub(crate) const CONSUMER: &str = "engine";

/// Partitions.
type Set = BTreeSet<(StreamId, u32)>;

/// What an engine is made of, and the engine.
pub(crate) struct Processing {
    catalog: Arc<Catalog>,
    log: Arc<dyn Log>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    alerts: Alerts,
    /// See [`engine::Settings::lanes`].
    lanes: usize,
    state: Mutex<State>,
    /// Something of the state is other than it was.
    changed: Condvar,
    /// Held while the engine is away for a moment, so that two do not exchange it at once.
    away: Mutex<()>,
    group: Mutex<Option<Group>>,
    /// Grows with every change of the rules and windows in force.
    generation: AtomicU64,
    stats: ArcSwapOption<EngineStats>,
    /// Whether this process does what one of all does: see [`Processing::leads`].
    lead: watch::Sender<bool>,
}

/// The place in the group, and the thread that acts on what it says.
struct Group {
    membership: Box<dyn Membership>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    engine: Option<Engine>,
    /// The partitions that are ours.
    wanted: Set,
    /// Those that the engine works on, or the one that is being started.
    working: Set,
    /// Ends the start that is under way.
    halt: Arc<AtomicBool>,
    /// Its rules and windows, to go back to.
    specs: Specs,
    /// Why there is none though there should be.
    failed: Option<String>,
    /// When the next start is tried, by the clock's elapsed time.
    again_at: Option<Duration>,
    /// Whether this process has the role at all.
    on: bool,
    /// Whether it is being taken down: nothing is started any more.
    ending: bool,
    /// Whether it has been taken down for good.
    over: bool,
}

impl Processing {
    /// Without an engine.
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        log: Arc<dyn Log>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        alerts: Alerts,
        lanes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            log,
            store,
            clock,
            alerts,
            lanes,
            state: Mutex::default(),
            changed: Condvar::new(),
            away: Mutex::default(),
            group: Mutex::default(),
            generation: AtomicU64::new(1),
            stats: ArcSwapOption::empty(),
            lead: watch::Sender::new(false),
        })
    }

    /// Takes a place in the group. Where the log is this process's alone, the engine runs when this returns.
    ///
    /// # Errors
    /// When the group cannot be joined, or an engine that has all of the log to itself cannot start, for another reason
    /// than one that passes.
    pub(crate) fn start(self: &Arc<Self>, specs: Specs) -> anyhow::Result<()> {
        {
            let mut state = self.lock();
            (state.specs, state.on) = (specs, true);
        }
        let streams: Vec<_> = self.catalog.processed().map(|(id, _)| id).collect();
        let membership = self.log.join(CONSUMER, &streams, Arc::new(Place(self.clone())));
        let membership = membership.context("the engine cannot join its group")?;
        if !self.lock().wanted.is_empty() {
            let _alone = self.alone();
            if let Err(error) = self.start_wanted() {
                let passes = error.downcast_ref::<EngineError>().is_some_and(EngineError::is_passing);
                anyhow::ensure!(passes, "{error:#}");
                self.lock().failed = Some(format!("it cannot start: {error:#}"));
            }
        }
        let mine = self.clone();
        let thread = std::thread::Builder::new().name("processing".to_owned()).spawn(move || mine.tend());
        let thread = thread.context("no thread for the engine")?;
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = Some(Group { membership, thread });
        Ok(())
    }

    /// Figures of the engine; `None` when this process has none, or had none yet.
    pub(crate) fn stats(&self) -> Option<Arc<EngineStats>> {
        self.stats.load_full()
    }

    /// Whether this process does what one of all that share the work does for all: it has the first partition of the
    /// internal stream.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.lead.subscribe()
    }

    /// Whether all partitions of a stream are.
    pub(crate) fn has_all(&self, stream: StreamId) -> bool {
        let state = self.lock();
        (0..self.catalog.get(stream).partitions).all(|partition| state.wanted.contains(&(stream, partition)))
    }

    /// Why there is no processing though there should be.
    pub(crate) fn failed(&self) -> Option<String> {
        let state = self.lock();
        state.failed.clone().or_else(|| state.engine.as_ref().and_then(Engine::failed))
    }

    /// Ends the engine and starts one with other rules and windows. Intake goes on meanwhile; the state of those that are
    /// new is built from the whole log, as after a start with others. Blocks until then.
    ///
    /// # Errors
    /// When the engine had failed, or the new one cannot start: then one with the old rules is started again.
    pub(crate) fn exchange(&self, specs: Specs) -> anyhow::Result<()> {
        let _alone = self.alone();
        let (engine, before) = {
            let mut state = self.lock();
            if !state.on {
                return Ok(());
            }
            (state.engine.take(), std::mem::replace(&mut state.specs, specs))
        };
        let stopped = engine.map_or(Ok(()), Engine::stop).context("the engine had failed");
        let outcome = stopped.and_then(|()| self.start_again());
        if outcome.is_err() {
            self.lock().specs = before;
            if let Err(error) = self.start_again() {
                self.lock().failed = Some(format!("it cannot start again: {error:#}"));
            }
        } else {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Which rules and windows are in force, as a number that changes with them; `None` when this process has no engine.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.lock().on.then(|| self.generation.load(Ordering::Relaxed))
    }

    /// The rules and windows of a stream, compiled; `None` when it has none.
    ///
    /// # Errors
    /// As [`Specs::programs`].
    pub(crate) fn program(&self, stream: StreamId) -> anyhow::Result<Option<Program>> {
        let specs = self.lock().specs.clone();
        let programs = specs.programs(&self.catalog)?;
        Ok(programs.into_iter().find(|(id, _)| *id == stream).map(|(_, program)| program))
    }

    /// Ends the engine, does the work, and starts one with the same rules. Intake goes on meanwhile. Blocks until then.
    ///
    /// # Errors
    /// When there is no engine, or it had failed: then the work was not done. Or when none can start again.
    pub(crate) fn pause(&self, work: impl FnOnce()) -> anyhow::Result<()> {
        let _alone = self.alone();
        let engine = self.lock().engine.take().context("there is no engine")?;
        let stopped = engine.stop().context("the engine had failed");
        let worked = stopped.map(|()| work());
        if let Err(error) = self.start_again() {
            self.lock().failed = Some(format!("it cannot start again: {error:#}"));
            return worked.and(Err(error));
        }
        worked
    }

    /// Lets the engine commit everything that is in the log now, and waits for it. It has ended then.
    ///
    /// # Errors
    /// When it failed.
    pub(crate) fn catch_up(&self) -> anyhow::Result<()> {
        let engine = {
            let _alone = self.alone();
            let mut state = self.lock();
            state.over = true;
            state.engine.take()
        };
        self.changed.notify_all();
        let Some(engine) = engine else { return Ok(()) };
        engine.send(Command::Drain);
        engine.join().context("the engine failed")
    }

    /// Leaves the group and ends the engine after the batch in hand.
    ///
    /// # Errors
    /// When it had failed.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        {
            let mut state = self.lock();
            state.ending = true;
            // A start that is under way is not waited for.
            state.halt.store(true, Ordering::Release);
        }
        let (engine, failed) = {
            let _alone = self.alone();
            let mut state = self.lock();
            state.over = true;
            self.tell_lead(&state);
            (state.engine.take(), state.failed.take())
        };
        self.changed.notify_all();
        let stopped = engine.map_or(Ok(()), Engine::stop).context("the engine had failed");
        self.lock().working.clear();
        if let Some(Group { membership, thread }) = self.group.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody works on anything here any more, so nothing is waited for.
            drop(membership);
            if thread.join().is_err() {
                tracing::error!("the thread that looks after the engine panicked");
            }
        }
        match failed {
            Some(why) if stopped.is_ok() => Err(anyhow::anyhow!("the engine had failed: {why}")),
            _ => stopped,
        }
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, at_most: Duration) -> MutexGuard<'s, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn tell_lead(&self, state: &State) {
        let first = (self.catalog.refused(), 0);
        let leads = state.engine.is_some() && state.wanted.contains(&first) && !state.over;
        self.lead.send_if_modified(|lead| std::mem::replace(lead, leads) != leads);
    }

    /// Nobody works on anything now.
    fn left(&self, state: &mut State) {
        state.working.clear();
        if state.wanted.is_empty()
            && let Some(stats) = self.stats()
        {
            stats.leave(CONSUMER);
        }
        self.tell_lead(state);
        self.changed.notify_all();
    }

    /// After a moment without an engine: starts one on what is ours by now. Nothing to do when nothing is; and a change
    /// of what is ours is the thread's to act on.
    fn start_again(&self) -> anyhow::Result<()> {
        let mut state = self.lock();
        self.left(&mut state);
        state.failed = None;
        if state.wanted.is_empty() || state.over {
            return Ok(());
        }
        drop(state);
        match self.start_wanted() {
            // The thread goes on trying: what is in force is not what is in the way.
            Err(error) if error.downcast_ref().is_some_and(EngineError::is_passing) => {
                self.lock().failed = Some(format!("it cannot start yet: {error:#}"));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Starts an engine on the partitions that are ours. Its counters go on where those of the one before ended. The caller
    /// is alone, and there is no engine.
    fn start_wanted(&self) -> anyhow::Result<()> {
        let (owned, specs, halt) = {
            let mut state = self.lock();
            if state.ending {
                return Err(EngineError::Halted.into());
            }
            state.halt = Arc::default();
            state.working = state.wanted.clone();
            (state.wanted.clone(), state.specs.clone(), state.halt.clone())
        };
        let started = specs.programs(&self.catalog).and_then(|programs| {
            let parts = Parts {
                catalog: self.catalog.clone(),
                log: self.log.clone(),
                store: self.store.clone(),
                clock: self.clock.clone(),
                programs,
                settings: engine::Settings {
                    consumer: CONSUMER.to_owned(),
                    lanes: self.lanes,
                    ..engine::Settings::default()
                },
                alerts: self.alerts.clone(),
                owned: Some(owned.into_iter().collect()),
                owner: self.token(),
                halt,
            };
            Engine::start(parts).context("the engine cannot start")
        });
        let mut state = self.lock();
        match started {
            Ok(engine) => {
                let stats = engine.stats();
                if let Some(before) = self.stats.load_full() {
                    stats.go_on_from(&before);
                }
                self.stats.store(Some(stats));
                state.engine = Some(engine);
                (state.failed, state.again_at) = (None, None);
                self.tell_lead(&state);
                Ok(())
            }
            Err(error) => {
                self.left(&mut state);
                Err(error)
            }
        }
    }

    /// A claim that nobody made before: the time, and chance for those who start at once.
    fn token(&self) -> u64 {
        let time = self.clock.now().max(1) as u64;
        (time << 20 | fastrand::Rng::new().u64(..1 << 20)) & (i64::MAX as u64)
    }
}
