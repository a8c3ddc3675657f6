//! What one listener bears: how many connections, and how long each may do nothing.

use std::time::Duration;

/// Connections of the clients' listener, where the system gives as many file descriptors. One that idles costs up to
/// 29 KB, most of it two buffers of the HTTP library: all of them, half a gigabyte.
const CONNECTIONS_MAX: usize = 16_384;
/// Connections of the operators' listener.
const ADMIN_CONNECTIONS_MAX: usize = 256;
/// File descriptors that the rest of the process has for itself: the operators' connections, a segment and an index of
/// each stream, the database.
const DESCRIPTORS_KEPT: usize = 768;
/// Connections that are served however few descriptors there are.
const CONNECTIONS_MIN: usize = 64;

/// How long a connection may do nothing. Bodies have their pace checked where they are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From the connection's begin to its first byte; of a TLS handshake also to its end.
    pub(crate) first_byte: Duration,
    /// From a head's first byte to its last: a slow head holds a place.
    pub(crate) head: Duration,
    /// Between two requests. Clients keep connections alive for some seconds, proxies for a minute.
    pub(crate) idle: Duration,
    /// While a client takes nothing of an answer that waits for it.
    pub(crate) write: Duration,
}

impl Timeouts {
    /// How often time-outs are looked at: often enough that the shortest one is late by a tenth of it at the most.
    pub(crate) fn look_every(&self) -> Duration {
        let shortest = self.first_byte.min(self.head).min(self.idle).min(self.write);
        (shortest / 20).clamp(Duration::from_millis(1), Duration::from_millis(500))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

/// What one listener bears.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at the same time. When all places are taken, the longest idle connection makes room.
    pub(crate) connections: usize,
    /// Time-outs of each.
    pub(crate) timeouts: Timeouts,
}

impl Bounds {
    /// Of the clients' listener: as many connections as the system's limits allow. Raises the process's limit of open
    /// files first.
    pub(crate) fn clients() -> Self {
        let descriptors = raise_descriptors(CONNECTIONS_MAX + DESCRIPTORS_KEPT);
        let connections = descriptors.saturating_sub(DESCRIPTORS_KEPT).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        Self { connections, timeouts: Timeouts::default() }
    }

    /// Of the operators' listener.
    pub(crate) fn admin() -> Self {
        Self { connections: ADMIN_CONNECTIONS_MAX, timeouts: Timeouts::default() }
    }
}

/// Raises the limit of open files to what is wanted, as far as the hard limit lets us, and gives the limit that holds.
#[cfg(unix)]
fn raise_descriptors(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let count = |limit: Option<u64>| limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (now, most) = (count(limit.current), count(limit.maximum));
    // Not to the hard limit as such: where that is a billion, tools that walk over all descriptors would suffer.
    let raised = wanted.min(most);
    if raised <= now {
        return now;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised as u64), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, now, "the limit of open files could not be raised");
            now
        }
    }
}

/// Elsewhere there is no such limit that we know of.
#[cfg(not(unix))]
fn raise_descriptors(wanted: usize) -> usize {
    wanted
}
