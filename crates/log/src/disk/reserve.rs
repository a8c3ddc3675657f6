//! The disk's reserve: the log refuses while little is free, so that it never meets a disk that is full. By itself it
//! takes up again when there is room.

use std::path::Path;
use std::time::Duration;

use event::limits;
use parking_lot::Mutex;

use crate::LogError;
use crate::disk_port::Disk;

/// How old an answer of the system may be. Others write to the disk too, but not a reserve of it in a second.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After how many bytes of ours the system is asked again at the latest. Our own bytes are subtracted; but the store
/// writes some for each of them, and must not have eaten the reserve by then.
const ASK_EVERY_BYTES: u64 = 16 << 20;

/// What is free, and how much of it stays so.
pub(super) struct Reserve {
    pub(super) bytes: u64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// As the system said; `None` where it does not tell, and then nothing is refused.
    free: Option<u64>,
    asked_at: Option<Duration>,
    /// Written since.
    spent: u64,
    refusing: bool,
}

impl Reserve {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, known: Mutex::default() }
    }

    /// Takes room for these bytes. Says whether there is room for `ahead` more, to be set aside for later; where there
    /// is none for the bytes themselves, refuses them.
    pub(super) fn admit(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        now: Duration,
        bytes: u64,
        ahead: u64,
    ) -> Result<bool, LogError> {
        if bytes == 0 {
            return Ok(false);
        }
        let mut known = self.known.lock();
        let fits = |known: &Known| known.left().is_none_or(|left| left >= self.bytes.saturating_add(bytes));
        // Before it refuses on a sum of its own, it asks. A refusal holds until the next second: nobody needs to know
        // with every group that the disk is still full.
        if known.is_old(now) || known.spent >= ASK_EVERY_BYTES || (known.spent > 0 && !fits(&known)) {
            known.ask(disk, dir, now);
        }
        let refused = !fits(&known);
        if refused != known.refusing {
            let (free, reserve) = (known.free, self.bytes);
            if refused {
                tracing::error!(free, reserve, "the disk is nearly full: events are refused until there is room");
            } else {
                tracing::warn!(free, reserve, "the disk has room again: events are taken");
            }
            known.refusing = refused;
        }
        if refused {
            let (dir, left) = (dir.display(), known.left().unwrap_or_default());
            return Err(LogError::Full(format!(
                "{dir}: {left} bytes are free, {} of them kept in reserve",
                self.bytes
            )));
        }
        known.spent += bytes;
        Ok(known.left().is_none_or(|left| left >= self.bytes.saturating_add(ahead)))
    }

    /// Bytes that are free, for whoever looks.
    pub(super) fn free(&self, disk: &dyn Disk, dir: &Path, now: Duration) -> Option<u64> {
        let mut known = self.known.lock();
        if known.is_old(now) {
            known.ask(disk, dir, now);
        }
        known.left()
    }
}

impl Known {
    fn left(&self) -> Option<u64> {
        self.free.map(|free| free.saturating_sub(self.spent))
    }

    fn is_old(&self, now: Duration) -> bool {
        self.asked_at.is_none_or(|at| now.saturating_sub(at) >= ASK_EVERY)
    }

    fn ask(&mut self, disk: &dyn Disk, dir: &Path, now: Duration) {
        (self.free, self.asked_at, self.spent) = (disk.free_bytes(dir).ok(), Some(now), 0);
    }
}

const _: () = assert!(4 * ASK_EVERY_BYTES <= limits::DISK_RESERVE_BYTES, "the store's share fits in the reserve");
