//! A listener and its connections: HTTP/1.1 and HTTP/2 on one port, in the clear or under TLS; bounded, timed, drained on
//! request.
//!
//! Not `axum::serve`: that has no time-outs and no bound on connections.

mod bounds;
mod connection;
pub(crate) mod cors;
mod counted;
mod pulse;
mod roll;
mod swap;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

pub(crate) use bounds::Bounds;
use connection::Shared;
use roll::Roll;
pub(crate) use swap::Swap;
use tls::Tls;

/// The wait after an accept that failed, mostly for want of file descriptors, which only time frees.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a connection without a request may hold up a drain, or its own end: until its last bytes are out, not until a
/// client that went silent says goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often a drain looks whether requests are left.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A listener at work.
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a router to clients on a bound listener, under TLS when there is a certificate.
    ///
    /// # Errors
    /// When the listener does not know its own address.
    pub(crate) fn start(
        listener: TcpListener,
        router: impl Into<Swap>,
        tls: Option<Arc<Tls>>,
    ) -> std::io::Result<Self> {
        Self::start_with(listener, router, tls, Bounds::clients())
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// When the listener does not know its own address.
    pub(crate) fn start_with(
        listener: TcpListener,
        router: impl Into<Swap>,
        tls: Option<Arc<Tls>>,
        bounds: Bounds,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, Shared::new(router.into(), tls), bounds, stopped));
        Ok(Self { address, stop, task })
    }

    /// The address it listens on, with the port that the system chose when none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and waits until every request in flight is answered.
    pub(crate) async fn close(self) {
        self.stop.send_replace(true);
        drop(self.task.await);
    }
}

async fn accept(listener: TcpListener, shared: Shared, bounds: Bounds, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(bounds.timeouts.look_every());
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut roll = Roll::new(bounds.timeouts, look.tick().await);
    let busy = shared.busy.clone();
    let shared = Arc::new(shared);
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            now = look.tick() => roll.look(now),
            // It is let in before there is a place: room is made for somebody who is there.
            next = listener.accept() => match next {
                Ok((stream, _)) => {
                    let Some(place) = place(&places, &mut roll, &mut look, &mut stop).await else { break };
                    // A socket that is gone already says so to whoever reads it.
                    drop(stream.set_nodelay(true));
                    connection::spawn(stream, roll.enter(), place, &shared, stop.clone());
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    #[expect(clippy::disallowed_methods, reason = "only time frees file descriptors")]
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    tokio::select! {
        _ = places.acquire_many(all) => {}
        () = idle(&busy) => {}
    }
}

/// A place for a newcomer. When all are taken, the longest idle connection goes; when none is idle, the newcomer waits.
/// `None` when the listener stops.
async fn place(
    places: &Arc<Semaphore>,
    roll: &mut Roll,
    look: &mut Interval,
    stop: &mut watch::Receiver<bool>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = places.clone().try_acquire_owned() {
        return Some(place);
    }
    loop {
        roll.make_room();
        tokio::select! {
            biased;
            _ = stop.changed() => return None,
            place = places.clone().acquire_owned() => return place.ok(),
            now = look.tick() => roll.look(now),
        }
    }
}

/// Waits until no request is in flight, and a moment more for the last answers to go out.
async fn idle(busy: &AtomicUsize) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    while busy.load(Ordering::Relaxed) > 0 {
        look.tick().await;
    }
    #[expect(clippy::disallowed_methods, reason = "what a silent client may cost a drain")]
    tokio::time::sleep(GOODBYE).await;
}
