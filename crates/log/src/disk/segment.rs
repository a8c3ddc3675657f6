//! The segment that a stream's writer appends to: opened or made, extended ahead of need, finished with a sidecar.

use std::io;
use std::path::Path;

use event::Millis;

use super::format::SegmentHead;
use super::shared::{disk_error, index_file, segment_file};
use crate::LogError;
use crate::disk_port::{Disk, DiskFile};

/// Room reserved at once: within it a sync writes no metadata, which makes it three times as fast.
pub(super) const AHEAD_BYTES: u64 = 32 << 20;

/// Why a segment could not be made, written or finished.
#[derive(Debug)]
pub(super) enum Failure {
    /// The disk refused: what was durable still is, the rest can be taken back.
    Refused(io::Error),
    /// A sync failed: what is on disk is not known.
    Unsynced(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// As the sender is told it.
    pub(super) fn told(&self, dir: &Path) -> LogError {
        match self {
            Self::Refused(error) => LogError::Full(disk_error(dir, error).to_string()),
            Self::Unsynced(error) => LogError::Poisoned(format!("the disk failed: {}", disk_error(dir, error))),
        }
    }
}

/// An open segment.
pub(super) struct ActiveSegment {
    file: Box<dyn DiskFile>,
    pub(super) seq: u64,
    /// Bytes that hold the head and whole frames.
    pub(super) len: u64,
    reserved: u64,
}

impl ActiveSegment {
    /// Makes a segment. Its head is durable before any frame is.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, seq: u64, now: Millis, base: &[u64]) -> Result<Self, Failure> {
        let head = SegmentHead { seq, created: now, base: base.to_vec() }.encode();
        let file = disk.create(&dir.join(segment_file(seq)))?;
        file.set_len(0)?;
        file.write_at(&head, 0)?;
        file.sync().map_err(Failure::Unsynced)?;
        disk.sync_dir(dir).map_err(Failure::Unsynced)?;
        Ok(Self { file, seq, len: head.len() as u64, reserved: head.len() as u64 })
    }

    /// Goes on with a segment whose first `len` bytes are sound; whatever lies behind them goes.
    pub(super) fn resume(disk: &dyn Disk, dir: &Path, seq: u64, len: u64) -> io::Result<Self> {
        let file = disk.create(&dir.join(segment_file(seq)))?;
        file.set_len(len)?;
        Ok(Self { file, seq, len, reserved: len })
    }

    /// Writes frames behind the last ones, not yet durable and not yet counted; reserves room ahead if that may be, within
    /// the bytes of a segment.
    pub(super) fn write(&mut self, frames: &[u8], ahead: bool, segment_bytes: u64) -> Result<(), Failure> {
        let end = self.len + frames.len() as u64;
        if end > self.reserved {
            let reserve = end.next_multiple_of(AHEAD_BYTES).min(segment_bytes.max(end));
            // Without room to reserve ahead, the bytes themselves may still fit.
            self.reserved = if ahead && self.file.allocate(reserve).is_ok() { reserve } else { end };
        }
        Ok(self.file.write_at(frames, self.len)?)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.file.sync().map_err(Failure::Unsynced)
    }

    /// Takes back what was written since the last sync, for good: a power cut must not bring it back.
    pub(super) fn take_back(&mut self) -> Result<(), Failure> {
        self.reserved = self.len;
        self.file.set_len(self.len)?;
        self.sync()
    }

    /// Cuts what a failed sync left. The next start would find it in the system's cache, sound to read and not on disk.
    pub(super) fn abandon(&self) -> io::Result<()> {
        self.file.set_len(self.len)
    }

    /// Cuts the reserve and writes the sidecar, so that opening the log need not walk this segment.
    pub(super) fn finish(self, disk: &dyn Disk, dir: &Path, sidecar: &[u8]) -> Result<(), Failure> {
        self.file.set_len(self.len)?;
        self.sync()?;
        if let Err(error) = disk.replace(&dir.join(index_file(self.seq)), sidecar) {
            tracing::warn!(%error, segment = self.seq, "a segment has no sidecar; the next start walks it");
        }
        Ok(())
    }
}
