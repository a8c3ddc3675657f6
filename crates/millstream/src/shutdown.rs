//! Signals: the first asks for a drain, the second ends the process at once.

use crate::output;

/// Waits for SIGTERM or SIGINT. After that, the next one ends the process with code 1, whatever it is doing.
///
/// # Errors
/// When the system does not let us listen for signals.
pub(crate) async fn requested() -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    signals.next().await;
    output::note("draining; a second signal stops at once");
    tokio::spawn(async move {
        signals.next().await;
        output::note("stopped at once");
        std::process::exit(1);
    });
    Ok(())
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
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
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
