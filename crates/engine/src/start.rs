//! An engine from its parts, and the handle to it.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::commit::Committer;
use crate::housekeeping::Housekeeping;
use crate::lanes::Lanes;
use crate::meters::Meters;
use crate::outage::Outage;
use crate::processor::Processor;
use crate::shared::Shared;
use crate::{Command, EngineError, EngineStats, Parts, recover};

/// Finished batches of a lane that wait for the commit: with the one being built and the one being committed, processing is
/// at most two batches ahead.
const BATCHES_WAITING: usize = 1;

/// How much the engine's threads give way when processors are short: a sender waits for the doors and the log, nobody
/// waits for the engine within milliseconds. Where there is a processor for all it changes nothing.
const NICENESS: i32 = 10;

/// A running engine. End it with [`Engine::stop`] or [`Engine::join`]; dropped, it ends as on [`Command::Stop`], but
/// nobody hears how.
#[derive(Debug)]
pub struct Engine {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    stats: Arc<EngineStats>,
    processor: JoinHandle<Result<(), EngineError>>,
    committers: Vec<JoinHandle<Result<(), EngineError>>>,
}

impl Engine {
    /// Restores the rule states, which may re-run some of the log, and starts the threads.
    ///
    /// # Errors
    /// When log or store cannot be read, or the system gives no thread.
    pub fn start(mut parts: Parts) -> Result<Self, EngineError> {
        let (tracks, skips) = recover::recover(&mut parts)?;
        let shared = Arc::new(Shared::default());
        let stats = Arc::new(EngineStats::new(parts.log.clone(), &tracks));
        let meters = Arc::new(Meters::new(&parts.settings.consumer, &tracks));
        let mut housekeeping = Some(Housekeeping::new(&parts, &tracks));
        let outage = Outage::new(parts.settings.store_breaker, parts.clock.clone(), shared.clone(), stats.clone());
        let (commands, inbox) = channel();
        let (batches, finished): (Vec<_>, Vec<_>) =
            (0..parts.settings.lanes.max(1)).map(|_| sync_channel(BATCHES_WAITING)).unzip();
        let processor =
            Processor::new(&parts, tracks, skips, shared.clone(), inbox, Lanes::new(batches, shared.clone()))?;
        let commit = |lane| {
            let committer = Committer::new(&parts, lane, outage.clone(), meters.clone(), housekeeping.take());
            let closing = shared.clone();
            spawn("commit", shared.clone(), move || {
                // However it ends: nobody waits for it any more.
                let _closing = Closing(closing);
                committer.run()
            })
        };
        let committers = finished.into_iter().enumerate().map(commit).collect::<Result<_, _>>()?;
        let processor = spawn("process", shared.clone(), move || processor.run())?;
        Ok(Self { commands, processor, committers, shared, stats })
    }

    /// Its figures, live.
    pub fn stats(&self) -> Arc<EngineStats> {
        self.stats.clone()
    }

    /// Tells it something. An engine that has ended hears nothing.
    pub fn send(&self, command: Command) {
        if command == Command::Stop {
            self.shared.stop();
        }
        let _ = self.commands.send(command);
    }

    /// Why it stopped working; `None` while it is sound.
    pub fn failed(&self) -> Option<String> {
        self.shared.failed()
    }

    /// Whether it has ended, after [`Command::Drain`], [`Command::Stop`] or a failure.
    pub fn finished(&self) -> bool {
        self.processor.is_finished() && self.committers.iter().all(JoinHandle::is_finished)
    }

    /// Finishes the batch in hand, writes the rule states down and ends.
    ///
    /// # Errors
    /// What stopped it before, or [`EngineError::Unfinished`] when the store is not available; nothing is lost.
    pub fn stop(self) -> Result<(), EngineError> {
        self.send(Command::Stop);
        self.join()
    }

    /// Waits until it has ended, after [`Command::Drain`] for example.
    ///
    /// # Errors
    /// As [`Engine::stop`].
    pub fn join(self) -> Result<(), EngineError> {
        let ended = |thread: JoinHandle<Result<(), EngineError>>| {
            // The guard catches panics; one in the guard itself ends up here.
            let lost = || EngineError::Panicked { thread: "engine", message: "lost".to_owned() };
            thread.join().unwrap_or_else(|_| Err(lost()))
        };
        let committed: Vec<_> = self.committers.into_iter().map(ended).collect();
        ended(self.processor).and(committed.into_iter().collect())
    }
}

/// Says at its end that no batch is taken any more.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn spawn(
    name: &'static str,
    shared: Arc<Shared>,
    work: impl FnOnce() -> Result<(), EngineError> + Send + 'static,
) -> Result<JoinHandle<Result<(), EngineError>>, EngineError> {
    let thread = std::thread::Builder::new().name(format!("engine-{name}"));
    let work = move || {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::nice(NICENESS) {
            // Of this thread alone, as Linux has it.
            tracing::debug!(%error, "the engine's threads are as urgent as the others");
        }
        shared.guard(name, work)
    };
    thread.spawn(work).map_err(|error| EngineError::Thread(error.to_string()))
}
