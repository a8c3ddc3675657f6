//! What a spool takes: bytes, and how old it may get.

use std::time::Duration;

use event::{Batch, ENTRY_BYTES, Millis};

use crate::{Clock, LogError};

/// What a record takes on disk besides its parts: its entry, the hash of its id, and its share of a frame's head when it is
/// alone in one.
const RECORD_BYTES: u64 = ENTRY_BYTES as u64 + 16 + 64;

/// The bounds of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The bytes that it takes on disk at the most; beyond that, events are refused.
    pub bytes_max: u64,
    /// How old what waits may get, in milliseconds. While the broker is away for longer, events are refused; what is older
    /// when it is back becomes a dead letter.
    pub age_max_ms: Millis,
}

impl Default for SpoolSettings {
    /// 2 GiB, which holds 30 minutes of 2 000 events a second even when none of them can be compressed, and 24 hours.
    fn default() -> Self {
        Self { bytes_max: 2 << 30, age_max_ms: 24 * 3_600 * 1_000 }
    }
}

impl SpoolSettings {
    /// Bytes of a segment: the step in which room becomes free.
    pub(super) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / 32).clamp(4 << 10, 16 << 20)
    }

    /// Bytes, as they are without compression, that are on their way to the broker at once.
    pub(super) fn window_bytes(&self) -> usize {
        (self.segment_bytes() / 4) as usize
    }

    pub(super) fn full(&self, used: u64) -> LogError {
        let max = self.bytes_max;
        LogError::Full(format!(
            "the broker is away and the spool is full: {used} of {max} bytes; see spool.max_size (MAX_BUFFER_SIZE_MB)"
        ))
    }

    pub(super) fn too_old(&self, age: Millis) -> LogError {
        let (age, max) = (age / 1_000, self.age_max_ms / 1_000);
        LogError::Full(format!(
            "the broker has been away for too long: the oldest event in the spool has waited for {age} s, {max} s are allowed; see spool.max_age"
        ))
    }
}

/// How long a spool lasts that takes this many bytes a second; [`Duration::MAX`] when it takes none. An event takes what its
/// bytes are after LZ4: see the module's page for figures.
pub fn lasts(bytes_max: u64, used: u64, bytes_per_second: f64) -> Duration {
    let left = bytes_max.saturating_sub(used) as f64;
    Duration::try_from_secs_f64(left / bytes_per_second.max(0.0)).unwrap_or(Duration::MAX)
}

/// The bytes that a batch takes on disk at the most.
pub(super) fn weight(batch: &Batch) -> u64 {
    let parts = |d: &event::Draft| d.data.len() + d.key.len() + d.kind.len() + d.id.len() + d.headers.len();
    batch.drafts.iter().map(|draft| parts(draft) as u64 + RECORD_BYTES).sum()
}

/// A clock for ages. The system's may jump: an age is what both it and the time that passed here allow, so that a jump makes
/// nothing old.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    began: Millis,
    began_at: Duration,
}

impl Ages {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self { began: clock.now(), began_at: clock.elapsed() }
    }

    pub(super) fn now(&self, clock: &dyn Clock) -> Millis {
        let passed = clock.elapsed().saturating_sub(self.began_at).as_millis() as Millis;
        clock.now().min(self.began.saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn a_spool_lasts_for_what_is_left_of_it() {
        assert_eq!(lasts(1_000, 0, 10.0), Duration::from_secs(100));
        assert_eq!(lasts(1_000, 500, 10.0), Duration::from_secs(50));
        assert_eq!(lasts(1_000, 2_000, 10.0), Duration::ZERO);
        assert_eq!(lasts(1_000, 0, 0.0), Duration::MAX);
        assert_eq!(lasts(u64::MAX, 0, 1e-300), Duration::MAX);
    }

    /// The wall's time, and the time that really passed.
    #[derive(Default)]
    struct Jumping(AtomicI64, AtomicI64);

    impl Clock for Jumping {
        fn now(&self) -> Millis {
            self.0.load(Relaxed)
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.1.load(Relaxed) as u64)
        }

        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_old() {
        let clock = Jumping(1_000_000.into(), 5.into());
        let ages = Ages::new(&clock);
        let pass = |wall: Millis, real: Millis| {
            clock.0.fetch_add(wall, Relaxed);
            clock.1.fetch_add(real, Relaxed);
        };
        pass(100, 100);
        assert_eq!(ages.now(&clock), 1_000_100);
        pass(1_000_000_000, 0);
        assert_eq!(ages.now(&clock), 1_000_100, "forward");
        pass(-1_000_500_000, 0);
        assert_eq!(ages.now(&clock), 500_100, "back: younger than it is, never older");
    }
}
