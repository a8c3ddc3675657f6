//! The bytes of a segment file: its header, and frames behind one another. `docs/format.md` is the same for people.
//!
//! Constraints: a frame says where it ends before its body is read; its ids can be read without its body; any 4 bytes
//! may be tested for being a frame's start; nothing refers to a later byte, so that a write is an append.
//!
//! Segment header, `40 + 8 × partitions` bytes, little endian:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `MILLSEG1` |
//! | 8 | 8 | sequence number of the segment in its stream |
//! | 16 | 8 | when it was made, ms since the epoch |
//! | 24 | 4 | number of partitions |
//! | 28 | 4 | reserved, 0 |
//! | 32 | 8 each | for every partition the offset that its next record gets |
//! | end − 8 | 4 | CRC32C of all before |
//! | end − 4 | 4 | reserved, 0 |
//!
//! Frame, 64 bytes and what follows:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `MSF1` |
//! | 4 | 4 | CRC32C of bytes 8–63 and of the ids |
//! | 8 | 4 | CRC32C of the body as it lies there |
//! | 12 | 2 | flags: 1 = body is LZ4 (block format), 2 = ids are there |
//! | 14 | 2 | reserved, 0 |
//! | 16 | 4 | partition |
//! | 20 | 4 | number of records |
//! | 24 | 8 | offset of the first record |
//! | 32 | 8 | when it was appended, ms since the epoch |
//! | 40 | 8 | smallest event time |
//! | 48 | 8 | largest event time |
//! | 56 | 4 | length of the body once decompressed |
//! | 60 | 4 | length of the body as it lies there |
//! | 64 | 16 each | with flag 2: for every record the hash of its id, 0 = none |
//! | | | the body: an `event::Block` |

use event::{ENTRY_BYTES, Millis, limits};

pub(crate) const FRAME_HEADER: usize = 64;
pub(crate) const ID_BYTES: usize = 16;
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"MSF1";
const SEGMENT_MAGIC: [u8; 8] = *b"MILLSEG1";

pub(crate) const FLAG_LZ4: u16 = 1;
pub(crate) const FLAG_IDS: u16 = 2;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) body_crc: u32,
    pub(crate) flags: u16,
    pub(crate) partition: u32,
    pub(crate) count: u32,
    pub(crate) base_offset: u64,
    pub(crate) appended_at: Millis,
    pub(crate) first_time: Millis,
    pub(crate) last_time: Millis,
    pub(crate) raw_len: u32,
    pub(crate) body_len: u32,
}

impl FrameHead {
    /// The bytes of the ids.
    pub(crate) fn ids_len(&self) -> usize {
        if self.flags & FLAG_IDS == 0 { 0 } else { self.count as usize * ID_BYTES }
    }

    /// The bytes of the whole frame.
    pub(crate) fn frame_len(&self) -> u64 {
        (FRAME_HEADER + self.ids_len()) as u64 + u64::from(self.body_len)
    }

    /// The offset after its last record.
    pub(crate) fn next_offset(&self) -> u64 {
        self.base_offset + u64::from(self.count)
    }

    /// Writes the head over the first bytes of a frame whose ids are in place behind it.
    pub(crate) fn encode(&self, frame: &mut [u8]) {
        frame[..4].copy_from_slice(&FRAME_MAGIC);
        frame[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        frame[12..14].copy_from_slice(&self.flags.to_le_bytes());
        frame[14..16].fill(0);
        frame[16..20].copy_from_slice(&self.partition.to_le_bytes());
        frame[20..24].copy_from_slice(&self.count.to_le_bytes());
        frame[24..32].copy_from_slice(&self.base_offset.to_le_bytes());
        frame[32..40].copy_from_slice(&self.appended_at.to_le_bytes());
        frame[40..48].copy_from_slice(&self.first_time.to_le_bytes());
        frame[48..56].copy_from_slice(&self.last_time.to_le_bytes());
        frame[56..60].copy_from_slice(&self.raw_len.to_le_bytes());
        frame[60..64].copy_from_slice(&self.body_len.to_le_bytes());
        let crc = crc32c::crc32c(&frame[8..FRAME_HEADER + self.ids_len()]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the fields of a head; `None` when the magic or a bound does not hold. The checksum is
    /// [`FrameHead::is_sound`]'s, which needs the ids too.
    pub(crate) fn decode(head: &[u8]) -> Option<Self> {
        let head: &[u8; FRAME_HEADER] = head.first_chunk()?;
        if head[..4] != FRAME_MAGIC {
            return None;
        }
        let this = Self {
            body_crc: u32_at(head, 8),
            flags: u16::from_le_bytes([head[12], head[13]]),
            partition: u32_at(head, 16),
            count: u32_at(head, 20),
            base_offset: u64_at(head, 24),
            appended_at: u64_at(head, 32) as i64,
            first_time: u64_at(head, 40) as i64,
            last_time: u64_at(head, 48) as i64,
            raw_len: u32_at(head, 56),
            body_len: u32_at(head, 60),
        };
        // A frame may be over the target size by the one record that filled it, and compression may add a little.
        let bytes_max = 2 * limits::FRAME_BYTES_MAX;
        let bounded = this.raw_len as usize <= bytes_max
            && this.body_len as usize <= bytes_max
            && this.count > 0
            && this.count as usize * ENTRY_BYTES <= this.raw_len as usize
            && this.base_offset.checked_add(u64::from(this.count)).is_some();
        bounded.then_some(this)
    }

    /// Whether the checksum of head and ids holds; `frame` starts at the frame and holds both.
    pub(crate) fn is_sound(&self, frame: &[u8]) -> bool {
        frame.get(8..FRAME_HEADER + self.ids_len()).is_some_and(|covered| crc32c::crc32c(covered) == u32_at(frame, 4))
    }
}

/// The head of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) seq: u64,
    pub(crate) created: Millis,
    /// For every partition the offset that its next record gets.
    pub(crate) base: Vec<u64>,
}

impl SegmentHead {
    /// How many bytes the head of a segment takes.
    pub(crate) fn len(partitions: usize) -> u64 {
        40 + 8 * partitions as u64
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::len(self.base.len()) as usize);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&(self.base.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        self.base.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out
    }

    /// Reads a head from the first bytes of a file; `None` when it is not one or its checksum does not hold.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..8)? != SEGMENT_MAGIC {
            return None;
        }
        let partitions = u32_at(bytes.get(..32)?, 24);
        if partitions == 0 || partitions > limits::PARTITIONS_MAX {
            return None;
        }
        let end = 32 + 8 * partitions as usize;
        let crc = u32_at(bytes.get(end..end + 4)?, 0);
        let base = (0..partitions as usize).map(|p| u64_at(bytes, 32 + 8 * p)).collect();
        let head = Self { seq: u64_at(bytes, 8), created: u64_at(bytes, 16) as i64, base };
        (crc32c::crc32c(&bytes[..end]) == crc).then_some(head)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_and_any_flipped_bit_is_seen() {
        let head = FrameHead {
            body_crc: 1,
            flags: FLAG_IDS | FLAG_LZ4,
            partition: 2,
            count: 3,
            base_offset: u64::MAX - 9,
            appended_at: -4,
            first_time: i64::MIN + 1,
            last_time: i64::MAX,
            raw_len: 500,
            body_len: 300,
        };
        let mut frame = vec![9; FRAME_HEADER + 3 * ID_BYTES];
        head.encode(&mut frame);
        assert_eq!(FrameHead::decode(&frame), Some(head));
        assert!(head.is_sound(&frame));
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(!FrameHead::decode(&frame).is_some_and(|h| h.is_sound(&frame)), "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn segment_heads_come_back_and_damage_is_seen() {
        let head = SegmentHead { seq: 7, created: 8, base: vec![1, u64::MAX, 3] };
        let mut bytes = head.encode();
        assert_eq!(bytes.len() as u64, SegmentHead::len(3));
        assert_eq!(SegmentHead::decode(&bytes), Some(head));
        assert_eq!(SegmentHead::decode(&bytes[..20]), None);
        bytes[40] ^= 1;
        assert_eq!(SegmentHead::decode(&bytes), None);
    }
}
