//! Whether the cluster can be reached: the line to it, or why there is none.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use parking_lot::{Condvar, Mutex};

use super::producer::Line;
use crate::LogError;

/// The line to the cluster, as all threads see it.
pub(super) struct Link {
    state: Mutex<State>,
    changed: Condvar,
    away: Gauge,
}

struct State {
    line: Option<Arc<Line>>,
    /// Why there is no line.
    reason: LogError,
}

impl Default for Link {
    fn default() -> Self {
        let state = State { line: None, reason: LogError::Away("not reached yet".to_owned()) };
        let away = metrics::gauge!("millstream_log_away");
        away.set(1.0);
        Self { state: Mutex::new(state), changed: Condvar::new(), away }
    }
}

impl Link {
    /// The line, or why there is none: as [`LogError::Away`], whatever keeps us from it.
    pub(super) fn line(&self) -> Result<Arc<Line>, LogError> {
        let state = self.state.lock();
        state.line.clone().ok_or_else(|| LogError::Away(state.said()))
    }

    /// Why there is no line; `None` while there is one.
    pub(super) fn away(&self) -> Option<String> {
        let state = self.state.lock();
        state.line.is_none().then(|| state.said())
    }

    /// How many requests are under way, their bytes, and since when the oldest is.
    pub(super) fn load(&self) -> (usize, usize, Option<Duration>) {
        // Under the lock: whoever only looks must not be the last to hold a line.
        self.state.lock().line.as_ref().map_or((0, 0, None), |line| line.flight().load())
    }

    pub(super) fn up(&self, line: Arc<Line>) {
        self.state.lock().line = Some(line);
        self.away.set(0.0);
        self.changed.notify_all();
    }

    pub(super) fn down(&self, reason: LogError) {
        let mut state = self.state.lock();
        let line = state.line.take();
        state.reason = reason;
        drop(state);
        self.away.set(1.0);
        self.changed.notify_all();
        // The last one to hold it takes its time to put it down.
        drop(line);
    }

    /// Waits for the line, at most this long.
    ///
    /// # Errors
    /// What no waiting mends; that the cluster is away is none.
    pub(super) fn first(&self, timeout: Duration) -> Result<(), LogError> {
        let mut state = self.state.lock();
        let waiting = |s: &mut State| s.line.is_none() && matches!(s.reason, LogError::Away(_));
        self.changed.wait_while_for(&mut state, waiting, timeout);
        match &state.reason {
            LogError::Away(_) => Ok(()),
            _ if state.line.is_some() => Ok(()),
            reason => Err(reason.clone()),
        }
    }
}

impl State {
    fn said(&self) -> String {
        match &self.reason {
            LogError::Away(reason) => reason.clone(),
            other => other.to_string(),
        }
    }
}
