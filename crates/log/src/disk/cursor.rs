//! Reading: a cursor goes through a stream's segments in the order of the log and yields the blocks of its partitions.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use event::{Block, StreamId};

use super::format::{FLAG_LZ4, FrameHead, SegmentHead};
use super::shared::{Segment, Shared, disk_error, segment_file};
use super::walk::{Step, Walk};
use crate::{Cursor, Damage, DamageKind, LogError};

/// A cursor over some partitions of one stream.
pub(super) struct DiskCursor {
    shared: Arc<Shared>,
    stream: StreamId,
    /// For every partition the next offset wanted; `None` when it is not wanted at all.
    next: Vec<Option<u64>>,
    /// The segment at hand.
    open: Option<(u64, Walk)>,
}

/// What a look at the published view says about where to read.
struct Place {
    seq: u64,
    start: u64,
    len: u64,
    newest: bool,
}

impl DiskCursor {
    pub(super) fn new(shared: Arc<Shared>, stream: StreamId, from: &[(u32, u64)]) -> Self {
        let mut next = vec![None; shared.stream(stream).partitions as usize];
        for (partition, offset) in from {
            if let Some(slot) = next.get_mut(*partition as usize) {
                *slot = Some(*offset);
            }
        }
        Self { shared, stream, next, open: None }
    }

    /// The segment to read now: the one at hand with its present length, the one after it once it is read to its end,
    /// or at first the oldest that holds a wanted offset.
    fn place(&self) -> Option<Place> {
        let view = self.shared.stream(self.stream).view.read();
        let index = match &self.open {
            None => {
                let wanted = |s: &Segment| {
                    let news = |(want, end): (&Option<u64>, &u64)| want.is_some_and(|offset| offset < *end);
                    self.next.iter().zip(&s.index.next).any(news)
                };
                view.segments.iter().position(wanted).or(view.segments.len().checked_sub(1))?
            }
            Some((seq, walk)) => {
                let at = view.segments.partition_point(|s| s.seq < *seq);
                let read = view.segments.get(at).is_none_or(|s| s.seq != *seq || walk.at() >= s.index.len);
                let there = view.segments.get(at).is_some_and(|s| s.seq == *seq);
                if read && (at + 1 < view.segments.len() || !there) { at + usize::from(there) } else { at }
            }
        };
        let segment = view.segments.get(index)?;
        let at_hand = self.open.as_ref().is_some_and(|(seq, _)| *seq == segment.seq);
        // Looked for once a segment: it goes over all of its index.
        let start = if at_hand { 0 } else { self.start_in(segment) };
        Some(Place { seq: segment.seq, start, len: segment.index.len, newest: index + 1 == view.segments.len() })
    }

    /// Where to start in a segment: no wanted record of it lies before. Its end, when it has none (yet).
    fn start_in(&self, segment: &Segment) -> u64 {
        let head_len = SegmentHead::len(self.next.len());
        let wanted = self.next.iter().zip(&segment.index.next).enumerate();
        let wanted = wanted.filter_map(|(p, (want, end))| Some((p as u32, want.filter(|offset| offset < end)?)));
        let starts = wanted.map(|(p, offset)| segment.index.before_offset(p, offset).unwrap_or(head_len));
        starts.min().unwrap_or(segment.index.len)
    }

    /// Reads on in one segment until `bytes_max` is reached or its end.
    fn read_segment(&mut self, place: &Place, bytes_max: usize, out: &mut Vec<Block>) -> io::Result<()> {
        let state = self.shared.stream(self.stream);
        let path = state.dir.join(segment_file(place.seq));
        let mut walk = match self.open.take() {
            Some((seq, mut walk)) if seq == place.seq => {
                walk.extend(place.len);
                walk
            }
            _ => Walk::new(self.shared.disk.open(&path)?, state.partitions, place.start, place.len),
        };
        let mut bytes = 0;
        while bytes < bytes_max.max(1) {
            match walk.step()? {
                Step::Frame { at, head } => {
                    let want = self.next[head.partition as usize].filter(|want| *want < head.next_offset());
                    let Some(want) = want else { continue };
                    match self.block(&mut walk, at, &head)? {
                        Some(block) => {
                            bytes += block.weight();
                            out.push(block.from_offset(want));
                        }
                        None => self.report(place.seq, at, DamageKind::CorruptFrame, u64::from(head.count)),
                    }
                    self.next[head.partition as usize] = Some(head.next_offset());
                }
                Step::Garbage { at, .. } => self.report(place.seq, at, DamageKind::Garbage, 0),
                Step::Tail { at } | Step::End { at } => {
                    // Frames were published up to the end: zeros before it are as bad as anything else.
                    if at < place.len {
                        self.report(place.seq, at, DamageKind::Garbage, 0);
                    }
                    walk.seek(place.len);
                    break;
                }
            }
        }
        self.open = Some((place.seq, walk));
        Ok(())
    }

    /// The block of a frame; `None` when its bytes are not what was written.
    fn block(&self, walk: &mut Walk, at: u64, head: &FrameHead) -> io::Result<Option<Block>> {
        let Some(body) = walk.body(at, head)? else { return Ok(None) };
        let raw = if head.flags & FLAG_LZ4 == 0 {
            Bytes::copy_from_slice(body)
        } else {
            match lz4_flex::block::decompress(body, head.raw_len as usize) {
                Ok(raw) => Bytes::from(raw),
                Err(_) => return Ok(None),
            }
        };
        let block =
            Block::parse(self.stream, head.partition, head.base_offset, head.appended_at, head.count as usize, raw);
        Ok(block.ok())
    }

    fn report(&self, seq: u64, offset: u64, kind: DamageKind, records_lost: u64) {
        let stream = self.shared.stream(self.stream).name.clone();
        self.shared.report(Damage { stream, file: segment_file(seq), offset, kind, records_lost });
    }
}

impl Cursor for DiskCursor {
    fn next(&mut self, bytes_max: usize) -> Result<Vec<Block>, LogError> {
        let mut out = Vec::new();
        while out.is_empty() {
            let Some(place) = self.place() else { break };
            let moved = self.open.as_ref().is_none_or(|(seq, _)| *seq != place.seq);
            match self.read_segment(&place, bytes_max, &mut out) {
                Ok(()) => {}
                // Retention was faster: go on with the oldest that is left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.open = None;
                    let gone = |segment: &Segment| segment.seq == place.seq;
                    if self.shared.stream(self.stream).view.read().segments.iter().any(gone) {
                        let path = self.shared.stream(self.stream).dir.join(segment_file(place.seq));
                        return Err(disk_error(&path, &error));
                    }
                }
                Err(error) => {
                    let path = self.shared.stream(self.stream).dir.join(segment_file(place.seq));
                    return Err(disk_error(&path, &error));
                }
            }
            if place.newest && !moved && out.is_empty() {
                break;
            }
        }
        Ok(out)
    }
}
