//! One server as a child process: started, asked whether it answers, stopped, killed, paused, started again.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::guard::Guard;
use crate::missing::Missing;
use crate::patience::until;

/// Within this a server answers or ends, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(120);
/// How often one that ends at once is started again: a port or a lock may be held for a moment longer.
const TRIES: usize = 10;

/// What makes and asks a server.
pub(crate) struct Recipe {
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// The command that runs it in the foreground.
    pub(crate) command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Whether it answers.
    pub(crate) answers: Box<dyn Fn() -> bool + Send + Sync>,
    /// The signal that stops it in order.
    pub(crate) stop: Signal,
    /// The file that its output goes to.
    pub(crate) said: PathBuf,
}

/// A server, running or not. Dropped, it is killed.
pub(crate) struct Server {
    recipe: Recipe,
    guard: Arc<Guard>,
    child: Option<Child>,
}

impl Server {
    /// A server that does not run yet.
    pub(crate) fn new(recipe: Recipe, guard: Arc<Guard>) -> Self {
        Self { recipe, guard, child: None }
    }

    /// Starts it and does not wait for it.
    pub(crate) fn launch(&mut self) -> Result<(), Missing> {
        let spawned = || -> std::io::Result<Child> {
            let said = append_to(&self.recipe.said)?;
            let mut command = (self.recipe.command)();
            command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).process_group(0);
            let child = command.spawn()?;
            self.guard.watch(child.id())?;
            Ok(child)
        };
        self.child = Some(spawned().map_err(|error| Missing::failed(self.recipe.name, &error))?);
        Ok(())
    }

    /// Waits until it answers.
    pub(crate) fn answers(&mut self) -> Result<(), Missing> {
        let mut ended = None;
        let answered = until(LIMIT, || {
            ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            ended.is_some() || (self.recipe.answers)()
        });
        if answered && ended.is_none() {
            return Ok(());
        }
        self.kill();
        let how = ended.map_or_else(|| "no answer".to_owned(), |status: ExitStatus| status.to_string());
        Err(Missing::failed(self.recipe.name, &format!("{how}\n{}", self.last_words())))
    }

    /// Starts it and waits until it answers, more than once if need be.
    ///
    /// # Panics
    ///
    /// When it does not come back: no test can go on then.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut last = None;
        let back = (0..TRIES).any(|_| match self.launch().and_then(|()| self.answers()) {
            Ok(()) => true,
            Err(error) => {
                last = Some(error);
                // What holds the port or the lock is on its way out.
                until(Duration::from_millis(200), || false)
            }
        });
        assert!(back, "{}", last.map_or_else(String::new, |error| error.to_string()));
    }

    /// Stops it in order, and waits for its end. One that does not end in time is killed.
    pub(crate) fn stop(&mut self) {
        self.signal(self.recipe.stop);
        if let Some(child) = &mut self.child {
            until(LIMIT, || !matches!(child.try_wait(), Ok(None)));
        }
        self.kill();
    }

    /// Kills it, and waits for its end. Without effect on one that does not run.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
            drop(self.guard.forget(child.id()));
        }
    }

    /// It keeps its connections and does nothing.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Its process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // One that has just ended by itself needs no signal.
            kill_process(Pid::from_child(child), signal).unwrap_or_default();
        }
    }

    /// The end of what it said.
    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.recipe.said).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "the output of a server in a test's own folder; no data of the product")]
fn append_to(path: &std::path::Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes a file that a server reads.
#[expect(
    clippy::disallowed_methods,
    reason = "the settings of a server in a test's own folder; no data of the product"
)]
pub(crate) fn write(path: &std::path::Path, content: &str) -> std::io::Result<()> {
    std::fs::write(path, content)
}

/// Makes a server, with new ports when it does not come up: another process may have been quicker.
pub(crate) fn try_again<S>(mut start: impl FnMut() -> Result<S, Missing>) -> Result<S, Missing> {
    start().or_else(|_| start()).or_else(|_| start())
}
