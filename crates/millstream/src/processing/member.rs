//! A place in the group that shares the log's work: what it is told, and the thread that acts on it.
//!
//! The group says which partitions are ours; the thread makes it so that an engine works on just those. Changes that come
//! together are one change. An engine that ends by itself is started again: at once when it is wanted elsewhere, else
//! after a while, and readiness tells of it meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::EngineError;
use event::StreamId;
use log::Owner;

use super::{Processing, Set};

/// How long a change waits for others that come with it.
const TOGETHER: Duration = Duration::from_millis(30);
/// How often the thread looks whether the engine still runs.
const LOOK: Duration = Duration::from_millis(100);
/// The first pause before an engine is started again that failed or could not start, and the longest.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(15);
/// How long to wait for the group's word when another engine has claimed our partitions: it has them by right, and we have
/// not heard of it yet.
const TAKEN: Duration = Duration::from_secs(10);

/// What the group tells.
pub(super) struct Place(pub(super) Arc<Processing>);

impl Owner for Place {
    fn gained(&self, partitions: &[(StreamId, u32)]) {
        tracing::info!(partitions = partitions.len(), "partitions are this process's");
        let mut state = self.0.lock();
        state.wanted.extend(partitions.iter().copied());
        state.again_at = None;
        drop(state);
        self.0.changed.notify_all();
    }

    fn losing(&self, partitions: &[(StreamId, u32)]) {
        tracing::info!(partitions = partitions.len(), "partitions go to another process");
        let mut state = self.0.lock();
        state.wanted.retain(|partition| !partitions.contains(partition));
        state.again_at = None;
        self.0.tell_lead(&state);
        let works = |set: &Set| partitions.iter().any(|partition| set.contains(partition));
        if works(&state.working) {
            // One that is being started is not wanted any more; one that runs ends as it should.
            state.halt.store(true, Ordering::Release);
        }
        self.0.changed.notify_all();
        while works(&state.working) && !state.over {
            state = self.0.wait(state, LOOK);
        }
    }
}

impl Processing {
    /// The thread's work: until it is over.
    pub(super) fn tend(&self) {
        let (mut again, mut settled_at) = (AGAIN, Duration::ZERO);
        loop {
            let mut state = self.lock();
            loop {
                if state.over {
                    return;
                }
                if self.is_due(&state) {
                    break;
                }
                state = self.wait(state, LOOK);
            }
            drop(state);
            // Others may come with it.
            self.clock.sleep(TOGETHER);
            match self.settle() {
                Ok(()) => {
                    // One that starts well and fails at once has not recovered.
                    let now = self.clock.elapsed();
                    if now.saturating_sub(settled_at) > again * 2 {
                        again = AGAIN;
                    }
                    settled_at = now;
                }
                Err(pause) => {
                    let mut state = self.lock();
                    state.again_at = Some(self.clock.elapsed() + pause.unwrap_or(again));
                    again = (again * 2).min(AGAIN_MAX);
                }
            }
        }
    }

    /// Whether the engine is not what it should be, and it is time to do something about it.
    fn is_due(&self, state: &super::State) -> bool {
        let ended = state.engine.as_ref().is_some_and(engine::Engine::finished);
        let other = state.working != state.wanted || state.engine.is_none() && !state.wanted.is_empty();
        let early = state.again_at.is_some_and(|at| self.clock.elapsed() < at);
        ended || other && !early
    }

    /// Makes the engine what it should be; or says how long to wait until the next try, when that is known.
    fn settle(&self) -> Result<(), Option<Duration>> {
        let _alone = self.alone();
        let mut state = self.lock();
        if state.over {
            return Ok(());
        }
        let ended = state.engine.as_ref().is_some_and(engine::Engine::finished);
        if ended || state.working != state.wanted {
            let engine = state.engine.take();
            drop(state);
            let outcome = engine.map_or(Ok(()), engine::Engine::stop);
            state = self.lock();
            self.left(&mut state);
            if let Err(error) = outcome {
                let told = tell(&error, ended);
                if ended {
                    state.failed = Some(error.to_string());
                    return Err(told);
                }
            }
        }
        if state.wanted.is_empty() {
            state.failed = None;
            return Ok(());
        }
        drop(state);
        match self.start_wanted() {
            Ok(()) => Ok(()),
            Err(error) => {
                let pause = error.downcast_ref::<EngineError>().and_then(|error| tell(error, true));
                let halted = matches!(error.downcast_ref(), Some(EngineError::Halted));
                let mut state = self.lock();
                state.failed = (!halted).then(|| format!("it cannot start: {error:#}"));
                if halted { Ok(()) } else { Err(pause) }
            }
        }
    }
}

/// What became of an engine, in the log; gives the pause that it asks for.
fn tell(error: &EngineError, alone: bool) -> Option<Duration> {
    match error {
        EngineError::Taken(why) => {
            tracing::warn!(%why, "another process works on our partitions; waiting for the group's word");
            Some(TAKEN)
        }
        EngineError::Halted => None,
        error if error.is_passing() => {
            tracing::warn!(%error, "the engine is started again soon");
            None
        }
        error if alone => {
            tracing::error!(%error, "the engine failed; it is started again after a while");
            None
        }
        error => {
            tracing::error!(%error, "the engine failed while it was stopped");
            None
        }
    }
}
