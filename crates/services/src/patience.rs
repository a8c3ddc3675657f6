//! Waiting for a condition, with an end.

use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until something holds; false when it did not within `limit`. It looks once at the least.
#[expect(
    clippy::disallowed_methods,
    reason = "a server outside of the product is waited for; nothing here is replayed"
)]
pub(crate) fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
