//! The segment that a stream's writer appends to: opened or made, extended ahead of need, finished with a sidecar.

use std::io;
use std::path::Path;

use event::{Millis, limits};

use super::format::SegmentHead;
use super::index::SegmentIndex;
use super::shared::{index_file, segment_file};
use crate::disk_port::{Disk, DiskFile};

/// Room reserved at once: within it a sync writes no metadata, which makes it three times as fast.
const RESERVE_BYTES: u64 = 32 << 20;

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
    pub(super) fn create(disk: &dyn Disk, dir: &Path, seq: u64, now: Millis, base: &[u64]) -> io::Result<Self> {
        let head = SegmentHead { seq, created: now, base: base.to_vec() }.encode();
        let file = disk.create(&dir.join(segment_file(seq)))?;
        file.set_len(0)?;
        file.write_at(&head, 0)?;
        file.sync()?;
        disk.sync_dir(dir)?;
        Ok(Self { file, seq, len: head.len() as u64, reserved: head.len() as u64 })
    }

    /// Goes on with a segment whose first `len` bytes are sound; whatever lies behind them goes.
    pub(super) fn resume(disk: &dyn Disk, dir: &Path, seq: u64, len: u64) -> io::Result<Self> {
        let file = disk.create(&dir.join(segment_file(seq)))?;
        file.set_len(len)?;
        Ok(Self { file, seq, len, reserved: len })
    }

    /// Writes frames behind the last ones, not yet durable and not yet counted.
    pub(super) fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let end = self.len + frames.len() as u64;
        if end > self.reserved {
            let reserve = end.next_multiple_of(RESERVE_BYTES).min(limits::SEGMENT_BYTES.max(end));
            // Without room to reserve ahead, the bytes themselves may still fit.
            let reserved = if self.file.allocate(reserve).is_ok() { reserve } else { end };
            self.reserved = reserved;
        }
        self.file.write_at(frames, self.len)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Takes back what was written since the last sync.
    pub(super) fn take_back(&mut self) -> io::Result<()> {
        self.reserved = self.len;
        self.file.set_len(self.len)
    }

    /// Cuts the reserve and writes the sidecar, so that opening the log need not walk this segment.
    pub(super) fn finish(self, disk: &dyn Disk, dir: &Path, index: &SegmentIndex) -> io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.sync()?;
        disk.replace(&dir.join(index_file(self.seq)), &index.encode())
    }
}
