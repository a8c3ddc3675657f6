//! Ports that nobody listens on.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which Linux takes ports for outgoing connections (32768 on): the port of a server that is down for
/// a moment must not become somebody's end of a connection.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

static ASKED: AtomicU32 = AtomicU32::new(0);

/// A port that was free a moment ago. Another process may still be quicker: whoever starts a server tries again.
pub fn free() -> u16 {
    // Processes start at places far from each other, so that they seldom meet.
    let start = std::process::id().wrapping_mul(7_919);
    loop {
        let next = start.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % COUNT).unwrap_or(0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
