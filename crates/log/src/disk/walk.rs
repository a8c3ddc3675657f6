//! Walking over the frames of a segment file: steps over what is damaged, up to the next sound frame.

use std::io;

use super::format::{FRAME_HEADER, FRAME_MAGIC, FrameHead};
use crate::disk_port::DiskFile;

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// What a step met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A frame whose head and ids are sound; its body has not been looked at.
    Frame { at: u64, head: FrameHead },
    /// Bytes that are no frame; a sound one follows at `next`.
    Garbage { at: u64, next: u64 },
    /// Bytes that are no frame, none follows, and not all of them are zero.
    Tail { at: u64 },
    /// Nothing but zeros, or nothing at all.
    End { at: u64 },
}

/// A walk over `file` up to `end`.
pub(crate) struct Walk {
    file: Box<dyn DiskFile>,
    partitions: u32,
    at: u64,
    end: u64,
    buf: Vec<u8>,
    buf_at: u64,
}

impl Walk {
    pub(crate) fn new(file: Box<dyn DiskFile>, partitions: u32, at: u64, end: u64) -> Self {
        Self { file, partitions, at, end, buf: Vec::new(), buf_at: 0 }
    }

    /// Lets the walk go on to a later end, once the file has grown.
    pub(crate) fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Goes on at another place.
    pub(crate) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    /// Where the next step starts.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame, or what is there instead. After `Tail` and `End` it stays.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let at = self.at;
        if let Some(head) = self.sound_head(at)? {
            self.at = at + head.frame_len();
            return Ok(Step::Frame { at, head });
        }
        match self.search(at + 1)? {
            Some(next) => {
                self.at = next;
                Ok(Step::Garbage { at, next })
            }
            None if self.is_zero(at, self.end)? => Ok(Step::End { at }),
            None => Ok(Step::Tail { at }),
        }
    }

    /// The id hashes of the frame at `at`, straight from its bytes; 0 where a record has none.
    pub(crate) fn ids(&mut self, at: u64, head: &FrameHead) -> io::Result<impl Iterator<Item = u128> + '_> {
        let ids = self.fill(at + FRAME_HEADER as u64, head.ids_len())?;
        Ok(ids.chunks_exact(16).map(|id| id.try_into().map_or(0, u128::from_le_bytes)))
    }

    /// The body of the frame at `at` as it lies there; `None` when its checksum does not hold.
    pub(crate) fn body(&mut self, at: u64, head: &FrameHead) -> io::Result<Option<&[u8]>> {
        let at = at + (FRAME_HEADER + head.ids_len()) as u64;
        let body = self.fill(at, head.body_len as usize)?;
        Ok((body.len() == head.body_len as usize && crc32c::crc32c(body) == head.body_crc).then_some(body))
    }

    /// Whether the bytes from `at` up to `end` are all zero.
    pub(crate) fn is_zero(&mut self, mut at: u64, end: u64) -> io::Result<bool> {
        while at < end {
            let bytes = self.fill(at, READ_BYTES.min((end - at) as usize))?;
            if bytes.is_empty() {
                break;
            }
            if bytes.iter().any(|b| *b != 0) {
                return Ok(false);
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Whether there is nothing but zeros from `at` on.
    pub(crate) fn rest_is_zero(&mut self, at: u64) -> io::Result<bool> {
        self.is_zero(at, self.end)
    }

    /// The head at `at` when it is sound and its frame ends before the end.
    fn sound_head(&mut self, at: u64) -> io::Result<Option<FrameHead>> {
        let Some(head) = FrameHead::decode(self.fill(at, FRAME_HEADER)?) else { return Ok(None) };
        if at + head.frame_len() > self.end || head.partition >= self.partitions {
            return Ok(None);
        }
        let covered = FRAME_HEADER + head.ids_len();
        Ok(head.is_sound(self.fill(at, covered)?).then_some(head))
    }

    /// The first place at or after `at` where a sound frame starts.
    fn search(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        while at + FRAME_HEADER as u64 <= self.end {
            // What is read already is looked through first: bytes full of false starts are not read anew for each.
            let left = (self.buf_at + self.buf.len() as u64).saturating_sub(at.max(self.buf_at)) as usize;
            let want = if at >= self.buf_at && left >= 4 { left } else { READ_BYTES };
            let bytes = self.fill(at, want.min((self.end - at) as usize))?;
            let len = bytes.len();
            match bytes.windows(4).position(|w| w == FRAME_MAGIC) {
                Some(found) => {
                    at += found as u64;
                    if self.sound_head(at)?.is_some() {
                        return Ok(Some(at));
                    }
                    at += 1;
                }
                None if len < 4 => return Ok(None),
                None => at += len as u64 - 3,
            }
        }
        Ok(None)
    }

    /// `len` bytes at `at`, or as many as there are up to the end.
    fn fill(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(self.end.saturating_sub(at) as usize);
        let inside = at >= self.buf_at && at + len as u64 <= self.buf_at + self.buf.len() as u64;
        if !inside {
            let want = len.max(READ_BYTES.min(self.end.saturating_sub(at) as usize));
            self.buf.resize(want, 0);
            let got = self.file.read_at(&mut self.buf, at)?;
            self.buf.truncate(got);
            self.buf_at = at;
        }
        let start = (at - self.buf_at) as usize;
        Ok(&self.buf[start..(start + len).min(self.buf.len())])
    }
}
