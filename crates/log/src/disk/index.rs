//! The sparse index of a segment: every so many bytes of a partition, where a frame lies and what it starts with. In
//! memory while the log is open; beside a finished segment as `<seq>.idx`, so that opening the log reads no frame.
//!
//! Sidecar, little endian: `MILLIDX1`, length of the segment that it speaks of (8), number of partitions (4), of entries
//! (4), first and last time of append (8 each), records (8), for every partition the offset after its last record (8)
//! and the largest event time so far (8); then the entries: partition (4), reserved (4), offset (8), position (8),
//! largest event time before it (8); at last the CRC32C (4) of all before. A sidecar that is absent, damaged or of
//! another length is not used: the segment is walked instead.

use event::{Millis, limits};

use super::format::FrameHead;

const MAGIC: [u8; 8] = *b"MILLIDX1";

/// A frame to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) partition: u32,
    /// The offset of the frame's first record.
    pub(crate) offset: u64,
    /// Where the frame lies in the file.
    pub(crate) at: u64,
    /// The largest event time of the partition in this segment before it.
    pub(crate) time_before: Millis,
}

/// What is known of a segment without reading its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    /// Bytes of the file that hold whole frames and the head.
    pub(crate) len: u64,
    /// For every partition the offset after its last record.
    pub(crate) next: Vec<u64>,
    /// For every partition the largest event time; `i64::MIN` without records.
    pub(crate) last_time: Vec<Millis>,
    pub(crate) first_appended: Millis,
    pub(crate) last_appended: Millis,
    pub(crate) records: u64,
    pub(crate) entries: Vec<IndexEntry>,
    /// For every partition the bytes since its last entry; not kept on disk.
    since: Vec<u64>,
}

impl SegmentIndex {
    /// Of a segment without frames.
    pub(crate) fn new(len: u64, base: &[u64]) -> Self {
        let n = base.len();
        Self {
            len,
            next: base.to_vec(),
            last_time: vec![Millis::MIN; n],
            first_appended: Millis::MAX,
            last_appended: Millis::MIN,
            records: 0,
            entries: Vec::new(),
            since: vec![u64::MAX; n],
        }
    }

    /// Takes note of a frame at `at`, the newest of its partition.
    pub(crate) fn add(&mut self, at: u64, head: &FrameHead) {
        let p = head.partition as usize;
        if self.since[p] >= limits::INDEX_EVERY_BYTES {
            let time_before = self.last_time[p];
            self.entries.push(IndexEntry { partition: head.partition, offset: head.base_offset, at, time_before });
            self.since[p] = 0;
        }
        self.since[p] += head.frame_len();
        self.len = self.len.max(at + head.frame_len());
        self.next[p] = head.next_offset();
        self.last_time[p] = self.last_time[p].max(head.last_time);
        self.first_appended = self.first_appended.min(head.appended_at);
        self.last_appended = self.last_appended.max(head.appended_at);
        self.records += u64::from(head.count);
    }

    /// Where to start looking for an offset of a partition: at a frame at or before it; `None` at the head's end.
    pub(crate) fn before_offset(&self, partition: u32, offset: u64) -> Option<u64> {
        let fits = |e: &&IndexEntry| e.partition == partition && e.offset <= offset;
        self.entries.iter().rev().find(fits).map(|e| e.at)
    }

    /// Where to start looking for the first record of a partition with an event time at or after `time`.
    pub(crate) fn before_time(&self, partition: u32, time: Millis) -> Option<u64> {
        let fits = |e: &&IndexEntry| e.partition == partition && e.time_before < time;
        self.entries.iter().rev().find(fits).map(|e| e.at)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 16 * self.next.len() + 32 * self.entries.len());
        let mut put = |n: u64| out.extend_from_slice(&n.to_le_bytes());
        put(u64::from_le_bytes(MAGIC));
        put(self.len);
        put(self.next.len() as u64 | (self.entries.len() as u64) << 32);
        put(self.first_appended as u64);
        put(self.last_appended as u64);
        put(self.records);
        for (next, time) in self.next.iter().zip(&self.last_time) {
            put(*next);
            put(*time as u64);
        }
        for e in &self.entries {
            [u64::from(e.partition), e.offset, e.at, e.time_before as u64].into_iter().for_each(&mut put);
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a sidecar; `None` when it is not one for a segment of this many partitions.
    pub(crate) fn decode(bytes: &[u8], partitions: usize) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) || covered.len() % 8 != 0 {
            return None;
        }
        let mut words = covered.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes));
        let mut word = || words.next();
        if word()? != u64::from_le_bytes(MAGIC) {
            return None;
        }
        let len = word()?;
        let counts = word()?;
        if counts as u32 as usize != partitions {
            return None;
        }
        let mut this = Self::new(len, &vec![0; partitions]);
        this.first_appended = word()? as i64;
        this.last_appended = word()? as i64;
        this.records = word()?;
        for p in 0..partitions {
            this.next[p] = word()?;
            this.last_time[p] = word()? as i64;
        }
        for _ in 0..counts >> 32 {
            let (partition, offset, at) = (word()? as u32, word()?, word()?);
            this.entries.push(IndexEntry { partition, offset, at, time_before: word()? as i64 });
        }
        word().is_none().then_some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(partition: u32, base_offset: u64, time: Millis) -> FrameHead {
        let bytes = limits::INDEX_EVERY_BYTES as u32;
        FrameHead {
            body_crc: 0,
            flags: 0,
            partition,
            count: 10,
            base_offset,
            appended_at: time,
            first_time: time,
            last_time: time,
            raw_len: bytes,
            body_len: bytes,
        }
    }

    fn sample() -> SegmentIndex {
        let mut index = SegmentIndex::new(100, &[0, 50]);
        for i in 0..5 {
            let at = index.len;
            index.add(at, &head(0, 10 * i, i as i64));
        }
        let at = index.len;
        index.add(at, &head(1, 50, 100));
        index
    }

    #[test]
    fn it_leads_at_or_before_what_is_sought() {
        let index = sample();
        assert_eq!(index.next, [50, 60]);
        for offset in 0..60 {
            let at = index.before_offset(0, offset).unwrap();
            assert_eq!((at - 100) / (limits::INDEX_EVERY_BYTES + 64), (offset / 10).min(4));
        }
        assert_eq!(index.before_time(0, 0), Some(100));
        assert_eq!(index.before_time(0, 3), index.before_offset(0, 30));
        assert_eq!(index.before_offset(1, 49), None);
    }

    #[test]
    fn it_comes_back_and_damage_is_seen() {
        let index = sample();
        let bytes = index.encode();
        let mut back = SegmentIndex::decode(&bytes, 2).unwrap();
        back.since = index.since.clone();
        assert_eq!(back, index);
        assert!(SegmentIndex::decode(&bytes, 3).is_none());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert!(SegmentIndex::decode(&bad, 2).is_none(), "byte {at}");
            assert!(SegmentIndex::decode(&bytes[..at], 2).is_none(), "cut at {at}");
        }
    }
}
