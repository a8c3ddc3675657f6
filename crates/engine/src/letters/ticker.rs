//! The thread that sends again what is due, from time to time.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{LetterError, Letters};
use crate::EngineError;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// The thread; dropped, it ends after the letter in hand.
#[derive(Debug)]
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Letters {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(self: &Arc<Self>) -> Result<Ticker, EngineError> {
        let (stop, stopped) = channel();
        let letters = self.clone();
        let run = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match letters.retry_due() {
                    Ok(0) | Err(LetterError::CatchingUp) => {}
                    Ok(sent) => tracing::info!(sent, "dead letters were replayed by themselves"),
                    Err(error) => tracing::debug!(%error, "dead letters wait for their next try"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("letters".to_owned()).spawn(run);
        let thread = thread.map_err(|error| EngineError::Thread(error.to_string()))?;
        Ok(Ticker { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that replays dead letters panicked");
        }
    }
}
