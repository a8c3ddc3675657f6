//! Replay by time: the log run afresh beside the live store, its results compared with those that are there, and exchanged
//! when somebody asks.
//!
//! The range selects what comes out, never what goes in: rules and windows remember, so the whole log of the stream is run,
//! from its beginning to the engine's position, with the rules of today. It runs as a consumer of its own, in a thread that
//! gives way, into a store of its own; it sends nothing. One runs at a time. Nothing of it outlives the process.

mod compare;
mod job;
mod pages;
mod run;
mod swap;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use event::{Catalog, Millis, StreamId};
use log::{Clock, Log, LogError};
use process::Program;
use store::{Store, StoreError};

pub use compare::{Change, Counts, DETAILS_MAX, Detail, Difference, Subject};
use job::Job;
pub use job::{Phase, ReplayStatus, ReplayView};

/// Replays that are remembered; the oldest go first.
const JOBS_MAX: usize = 20;
/// What every replay's consumer begins with.
const CONSUMER: &str = "replay-";

/// Why a replay cannot take the place of what others write.
const SHARED: &str = "other processes work on partitions of the stream; let this one have all of them for that time";

/// Where the result of a replay goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Into {
    /// Beside the live rows, to be looked at.
    #[default]
    Shadow,
    /// In place of the live rows, once it is there.
    Live,
}

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySpec {
    /// The stream.
    pub stream: String,
    /// Results from here on: anomalies by the time of receipt, windows by their beginning.
    pub from: Millis,
    /// Results before this.
    pub to: Millis,
    /// Where they go.
    pub into: Into,
}

/// The running product, as far as a replay touches it.
pub trait Live: Send + Sync + 'static {
    /// Which rules and windows are in force, as a number that changes with them; `None` where this process has no engine.
    fn generation(&self) -> Option<u64>;

    /// Whether all partitions of a stream are this process's: nobody else commits anything of it then.
    fn has_all(&self, stream: StreamId) -> bool;

    /// Those of a stream, compiled; `None` when it has none.
    ///
    /// # Errors
    /// Why they cannot be.
    fn program(&self, stream: StreamId) -> Result<Option<Program>, String>;

    /// Stops the engine, does the work, and starts it again. Intake goes on. Blocks until then.
    ///
    /// # Errors
    /// When the engine could not be stopped (then the work was not done) or not be started again.
    fn pause(&self, work: &mut dyn FnMut()) -> Result<(), String>;
}

/// Where the stores of replays are.
pub trait Shadows: Send + Sync + 'static {
    /// A new, empty store.
    ///
    /// # Errors
    /// When it cannot be made.
    fn open(&self, id: &str) -> Result<Arc<dyn Store>, StoreError>;

    /// Removes one. Nobody has it open any more. One that is not there is none.
    fn remove(&self, id: &str);

    /// Removes whatever a process before this one left.
    fn clear(&self);
}

/// What replays are made of.
pub struct ReplayParts {
    /// The streams.
    pub catalog: Arc<Catalog>,
    /// What is run.
    pub log: Arc<dyn Log>,
    /// The live rows.
    pub store: Arc<dyn Store>,
    /// Tells the time and lets it pass.
    pub clock: Arc<dyn Clock>,
    /// The engine's name, see [`crate::Settings::consumer`].
    pub consumer: String,
    /// The running product.
    pub live: Arc<dyn Live>,
    /// Where the stores of replays are.
    pub shadows: Arc<dyn Shadows>,
}

/// Why a replay is not done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No replay has this id. The caller's turn.
    #[error("there is no replay `{0}`; the last {JOBS_MAX} of this process are remembered")]
    NotFound(String),
    /// No stream has this name. The caller's turn.
    #[error("there is no stream `{name}`; known streams: {}", known.join(", "))]
    UnknownStream {
        /// As asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Nothing lies between these times. The caller's turn.
    #[error("the range is empty: `to` must be after `from`")]
    EmptyRange,
    /// One runs. The caller's turn, later.
    #[error("the replay `{0}` runs; one runs at a time: wait for its end, or cancel it")]
    Running(String),
    /// It cannot be swapped. The caller's turn.
    #[error("the replay cannot be swapped: {0}")]
    NotSwappable(&'static str),
    /// This process has no engine.
    #[error("this process has no role `process`, so it has no results to replay")]
    NoProcessor,
    /// The system gave no thread.
    #[error("no thread for the replay: {0}")]
    Thread(String),
}

/// What ends a replay before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("it was cancelled")]
    Cancelled,
    #[error("the log: {0}")]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

/// All replays of a process.
pub struct Replays {
    parts: Arc<ReplayParts>,
    /// Oldest first.
    jobs: Mutex<Vec<Arc<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Replays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replays").field("jobs", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Replays {
    /// None yet. What a process before this one left is removed, and what it held of the log is let go.
    pub fn new(parts: ReplayParts) -> Arc<Self> {
        parts.shadows.clear();
        for consumer in parts.log.consumers().iter().filter(|name| name.starts_with(CONSUMER)) {
            if let Err(error) = parts.log.forget(consumer) {
                tracing::warn!(consumer, %error, "a replay of before still holds its part of the log");
            }
        }
        Arc::new(Self { parts: Arc::new(parts), jobs: Mutex::default(), thread: Mutex::default() })
    }

    /// Starts a replay. What the one before it left to be swapped is removed.
    ///
    /// # Errors
    /// When one runs, or this one cannot be done.
    pub fn start(&self, spec: ReplaySpec) -> Result<ReplayView, ReplayError> {
        let parts = &self.parts;
        let generation = parts.live.generation().ok_or(ReplayError::NoProcessor)?;
        let public = |(id, stream): (StreamId, &event::Stream)| {
            (!stream.name.starts_with('_')).then(|| (id, stream.name.clone()))
        };
        let known: Vec<_> = parts.catalog.iter().filter_map(public).collect();
        let stream = known.iter().find(|(_, name)| *name == spec.stream).map(|(id, _)| *id);
        let stream = stream.ok_or_else(|| ReplayError::UnknownStream {
            name: spec.stream.chars().take(64).collect(),
            known: known.into_iter().map(|(_, name)| name).collect(),
        })?;
        if spec.from >= spec.to {
            return Err(ReplayError::EmptyRange);
        }
        if spec.into == Into::Live && !parts.live.has_all(stream) {
            return Err(ReplayError::NotSwappable(SHARED));
        }
        let mut jobs = self.lock();
        if let Some(running) = jobs.iter().find(|job| job.is_running()) {
            return Err(ReplayError::Running(running.id.clone()));
        }
        jobs.iter().for_each(|job| job.leave());
        let now = parts.clock.now();
        let taken = |id: &String| jobs.iter().any(|job| job.id == *id);
        let id = (now.max(0)..).map(|n| format!("{n:x}")).find(|id| !taken(id)).unwrap_or_default();
        let job = Arc::new(Job::new(id, stream, generation, spec, now));
        self.spawn(&job, Job::run)?;
        jobs.push(job.clone());
        let over = jobs.len().saturating_sub(JOBS_MAX);
        jobs.drain(..over);
        Ok(job.view())
    }

    /// All that are remembered, newest first.
    pub fn list(&self) -> Vec<ReplayView> {
        self.lock().iter().rev().map(|job| job.view()).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ReplayError::NotFound`].
    pub fn get(&self, id: &str) -> Result<ReplayView, ReplayError> {
        Ok(self.find(id)?.view())
    }

    /// Begins to put the result of a finished replay in place of the live rows.
    ///
    /// # Errors
    /// [`ReplayError::NotSwappable`] when there is nothing to be swapped.
    pub fn swap(&self, id: &str) -> Result<ReplayView, ReplayError> {
        let jobs = self.lock();
        let job = jobs.iter().find(|job| job.id == id).ok_or_else(|| ReplayError::NotFound(id.to_owned()))?;
        let finished_at = job.begin_swap(&self.parts)?;
        self.spawn(job, Job::swap).inspect_err(|_| job.not_begun(finished_at))?;
        Ok(job.view())
    }

    /// Cancels a replay that runs, and removes what a finished one left. Gives it as it is then: one that runs ends soon.
    ///
    /// # Errors
    /// [`ReplayError::NotFound`].
    pub fn cancel(&self, id: &str) -> Result<ReplayView, ReplayError> {
        let job = self.find(id)?;
        job.cancel();
        Ok(job.view())
    }

    /// Ends what runs and removes what is left, before the process ends. Blocks until then.
    pub fn stop(&self) {
        self.lock().iter().for_each(|job| job.cancel());
        self.join();
        self.lock().iter().for_each(|job| job.leave());
    }

    fn find(&self, id: &str) -> Result<Arc<Job>, ReplayError> {
        let jobs = self.lock();
        jobs.iter().find(|job| job.id == id).cloned().ok_or_else(|| ReplayError::NotFound(id.to_owned()))
    }

    fn spawn(&self, job: &Arc<Job>, work: fn(&Job, &ReplayParts)) -> Result<(), ReplayError> {
        // The one before has said that it ended, so this does not wait.
        self.join();
        let (mine, parts) = (job.clone(), self.parts.clone());
        let run = move || {
            give_way();
            work(&mine, &parts);
        };
        let thread = std::thread::Builder::new().name("replay".to_owned()).spawn(run);
        let thread = thread.map_err(|error| ReplayError::Thread(error.to_string()));
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread?);
        Ok(())
    }

    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a replay's thread panicked");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The least urgent thread there is: whoever else wants the processor has it.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(19) {
        tracing::debug!(%error, "the replay's thread is as urgent as the others");
    }
}
