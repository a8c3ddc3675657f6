//! The keeper of the line: finds the cluster, makes the topics, takes the reports while it is there, gives up what is under
//! way when it is not, and starts anew, for as long as the log is open.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::producer::Line;
use super::shared::Shared;
use super::topics::{self, Standing};
use super::warm;
use crate::LogError;

/// How long reports are taken before patience is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The most that one look counts: what is longer, this process stood still.
const LOOK_MAX: Duration = Duration::from_millis(300);
/// How long until a cluster that is away is looked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a cluster may take until topics that it has made have leaders, and how often it is asked.
const MADE: Duration = Duration::from_secs(10);
const MADE_AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Whether the line was up before.
    known: bool,
    /// What was said last of why it is not up.
    said: Option<LogError>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: false, said: None }
    }

    /// Runs until the log is closed and nothing is under way.
    pub(super) fn run(mut self) {
        while let Some(line) = self.reach() {
            let Some(reason) = self.serve(&line) else {
                self.shared.link.down(LogError::Closed);
                return;
            };
            let reason = line.voice().said().map_or(reason.clone(), |said| format!("{reason}; {said}"));
            // First nobody gets the line any more, then what is under way on it is given up.
            self.shared.link.down(LogError::Away(reason.clone()));
            let requests = line.break_off(&reason);
            tracing::warn!(reason, requests, "the broker is away; requests that wait are told so");
            self.said = Some(LogError::Away(reason));
        }
    }

    /// Gives a line to a cluster that answers, with all topics; `None` when the log is closed.
    fn reach(&mut self) -> Option<Arc<Line>> {
        let mut line = None;
        while !self.shared.is_closed() {
            match self.attempt(&mut line) {
                Ok(()) => {
                    let line = Arc::new(line?);
                    line.voice().forget();
                    self.shared.link.up(line.clone());
                    tracing::info!(brokers = self.shared.settings.brokers, "the broker is there");
                    (self.known, self.said) = (true, None);
                    return Some(line);
                }
                Err(error) => self.tell(error),
            }
            match &line {
                Some(line) => line.poll(AGAIN),
                None => self.shared.clock.sleep(AGAIN),
            }
        }
        self.shared.link.down(LogError::Closed);
        None
    }

    /// Tries once to reach the cluster and to have all topics.
    fn attempt(&self, line: &mut Option<Line>) -> Result<(), LogError> {
        let line = match line {
            Some(line) => line,
            None => line.insert(Line::new(self.shared.clone())?),
        };
        let Shared { catalog, settings, .. } = &*self.shared;
        // Log lines and errors wait in the producer until somebody takes them.
        line.poll(Duration::ZERO);
        let standing = topics::look(line.client(), catalog, settings).map_err(|error| explained(error, line))?;
        if let Standing::Missing(names) = standing {
            topics::make(catalog, settings, &names)?;
            self.wait_made(line)?;
        }
        if !self.known {
            warm::warm(&self.shared);
        }
        Ok(())
    }

    /// Waits until the topics that were just made can be written.
    fn wait_made(&self, line: &Line) -> Result<(), LogError> {
        let Shared { catalog, settings, clock, .. } = &*self.shared;
        let start = clock.elapsed();
        loop {
            let late = self.shared.is_closed() || clock.elapsed() - start > MADE;
            match topics::look(line.client(), catalog, settings) {
                Ok(Standing::Sound) => return Ok(()),
                Ok(Standing::Missing(names)) if late => {
                    return Err(LogError::Away(format!(
                        "the topic of `{}` was made and is not there",
                        names.join("`, `")
                    )));
                }
                Err(error) if late || !matches!(error, LogError::Away(_)) => return Err(error),
                Ok(Standing::Missing(_)) | Err(_) => line.poll(MADE_AGAIN),
            }
        }
    }

    /// Tells the operator once of each reason, and everybody who asks.
    fn tell(&mut self, error: LogError) {
        if self.said.as_ref().is_none_or(|said| std::mem::discriminant(said) != std::mem::discriminant(&error)) {
            tracing::warn!(%error, "the log on Kafka is not to be had; it is tried on");
        }
        self.said = Some(error.clone());
        self.shared.link.down(error);
    }

    /// Takes reports until the line breaks, and says why; `None` when the log is closed and everything has its answer.
    fn serve(&self, line: &Line) -> Option<String> {
        let Shared { clock, settings, sent, .. } = &*self.shared;
        loop {
            let start = clock.elapsed();
            line.poll(LOOK);
            line.flight().looked(clock.elapsed().saturating_sub(start).min(LOOK_MAX));
            if let Some(reason) = line.flight().broken(settings.delivery_timeout) {
                return Some(reason);
            }
            if self.shared.is_closed() && sent.load(Ordering::Acquire) && line.flight().load().0 == 0 {
                return None;
            }
        }
    }
}

impl Drop for Keeper {
    /// A panic ends the thread: nobody may take the log for sound.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.shared.broken.set("its keeper panicked".to_owned());
        }
        if let Ok(line) = self.shared.link.line() {
            self.shared.link.down(LogError::Closed);
            line.break_off("the log is closed");
        }
    }
}

/// The same error with what librdkafka said of it.
fn explained(error: LogError, line: &Line) -> LogError {
    line.poll(Duration::ZERO);
    match (error, line.voice().said()) {
        (LogError::Away(reason), Some(said)) => LogError::Away(format!("{reason}; {said}")),
        (error, _) => error,
    }
}
