//! Signals: the first asks for a drain, the second ends the process at once.

use crate::output;

/// The signals that end a process. Listened for from the moment this is made, so make it before saying «ready».
#[cfg(unix)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(not(unix))]
pub(crate) struct Signals;

impl Signals {
    /// Waits for SIGTERM or SIGINT. After that, the next one ends the process with code 1, whatever it is doing.
    pub(crate) async fn requested(mut self) {
        self.next().await;
        output::note("draining; a second signal stops at once");
        tokio::spawn(async move {
            self.next().await;
            output::note("stopped at once");
            std::process::exit(1);
        });
    }
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
