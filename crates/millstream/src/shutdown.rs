//! Signals: SIGHUP loads the configuration again; the first of the others asks for a drain, the second ends the process at
//! once.

use crate::output;

/// The signals that a process hears. Listened for from the moment this is made, so make it before saying «ready».
#[cfg(unix)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(not(unix))]
pub(crate) struct Signals;

impl Signals {
    /// Waits until the process shall end. After that, the next signal ends it with code 1, whatever it is doing.
    pub(crate) async fn requested(mut self) {
        while self.reload_or_end().await {}
        self.ended();
    }

    /// The process ends: the next signal ends it with code 1, whatever it is doing.
    pub(crate) fn ended(mut self) {
        output::note("draining; a second signal stops at once");
        tokio::spawn(async move {
            while self.reload_or_end().await {}
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
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGHUP, then it is true, or for SIGTERM or SIGINT, then it is false.
    pub(crate) async fn reload_or_end(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => true,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn reload_or_end(&mut self) -> bool {
        drop(tokio::signal::ctrl_c().await);
        false
    }
}
