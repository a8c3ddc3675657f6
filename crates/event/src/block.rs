//! A block: consecutive records of one partition in one buffer, as they lie on disk once decompressed.
//!
//! Layout (little endian): all record bytes, then one entry of 44 bytes a record:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | event time in ms since the epoch; `i64::MIN` = none given |
//! | 8 | 4 | where the data starts in the block |
//! | 12 | 4 | length of the data |
//! | 16 | 4 × 4 | where key, type, id and headers start |
//! | 32 | 2 × 4 | lengths of key, type, id and headers |
//! | 40 | 4 | `5A 5A 5A 5A` |
//!
//! Key, type and id mostly lie inside the data (they are ranges of the sender's JSON); what had to be made lies behind
//! it. The bytes come first, so that building a block appends and never moves. The mark lets recovery tell a write that
//! was torn (it ends in zeros) from one that was changed: a whole block never ends in a zero.

use bytes::Bytes;

use crate::{Batch, Draft, Millis, NO_TIME, Span, StreamId, headers};

/// What every entry ends with.
const ENTRY_MARK: u32 = 0x5a5a_5a5a;

/// The bytes of one entry.
pub const ENTRY_BYTES: usize = 44;

/// One record, borrowed from its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: u64,
    /// Its event time; the time of append when the sender gave none.
    pub time: Millis,
    /// When it was appended to the log.
    pub received_at: Millis,
    /// What the sender sent, byte for byte.
    pub data: &'a [u8],
    /// The key; empty when there is none.
    pub key: &'a [u8],
    /// The type; empty when there is none.
    pub kind: &'a [u8],
    /// The event id; empty when it is known by its position only.
    pub id: &'a [u8],
    /// Headers, see [`crate::headers`].
    pub headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Whose it is: the name of a tenant, empty for the default one.
    #[inline]
    pub fn tenant(&self) -> &'a [u8] {
        // Mostly there are none, and then nothing is looked for.
        if self.headers.is_empty() { b"" } else { headers::get(self.headers, headers::TENANT).unwrap_or_default() }
    }
}

/// Consecutive records of one partition. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Block {
    /// Their stream.
    pub stream: StreamId,
    /// Their partition.
    pub partition: u32,
    /// When they were appended.
    pub appended_at: Millis,
    base_offset: u64,
    skip: usize,
    count: usize,
    entries_at: usize,
    body: Bytes,
}

/// Why bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockError;

impl std::fmt::Display for BlockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the bytes are not a block: an entry points outside of it")
    }
}

impl std::error::Error for BlockError {}

impl Block {
    /// Reads a block of `count` records whose first has offset `base_offset`. Checks every entry once, so that no
    /// reader can be led outside.
    ///
    /// # Errors
    /// When the entries do not fit the bytes.
    pub fn parse(
        stream: StreamId,
        partition: u32,
        base_offset: u64,
        appended_at: Millis,
        count: usize,
        body: Bytes,
    ) -> Result<Self, BlockError> {
        let table = count.checked_mul(ENTRY_BYTES).ok_or(BlockError)?;
        let entries_at = body.len().checked_sub(table).ok_or(BlockError)?;
        for entry in body[entries_at..].chunks_exact(ENTRY_BYTES) {
            let inside = |at: u32, len: u32| at as usize + len as usize <= entries_at;
            let parts = (0..4).all(|i| inside(u32_at(entry, 16 + 4 * i), u32::from(u16_at(entry, 32 + 2 * i))));
            if !parts || !inside(u32_at(entry, 8), u32_at(entry, 12)) {
                return Err(BlockError);
            }
        }
        Ok(Self { stream, partition, appended_at, base_offset, skip: 0, count, entries_at, body })
    }

    /// The same block without the records before `offset`.
    #[must_use]
    pub fn from_offset(mut self, offset: u64) -> Self {
        let skip = offset.saturating_sub(self.base_offset).min(self.count as u64) as usize;
        self.skip = self.skip.max(skip);
        self
    }

    /// The same block without the records at and after `offset`.
    #[must_use]
    pub fn until_offset(mut self, offset: u64) -> Self {
        let keep = offset.saturating_sub(self.base_offset).min(self.count as u64) as usize;
        self.count = self.count.min(keep);
        self.skip = self.skip.min(self.count);
        self
    }

    /// The offset of its first record.
    pub fn first_offset(&self) -> u64 {
        self.base_offset + self.skip as u64
    }

    /// The offset after its last record.
    pub fn next_offset(&self) -> u64 {
        self.base_offset + self.count as u64
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.count - self.skip
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of memory it holds, about.
    pub fn weight(&self) -> usize {
        self.body.len()
    }

    /// Its records in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (self.skip..self.count).map(|i| self.record(i))
    }

    /// Its record at this offset.
    pub fn at(&self, offset: u64) -> Option<Record<'_>> {
        let inside = (self.first_offset()..self.next_offset()).contains(&offset);
        inside.then(|| self.record((offset - self.base_offset) as usize))
    }

    fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.body[self.entries_at + index * ENTRY_BYTES..][..ENTRY_BYTES];
        let slice = |at: u32, len: u32| &self.body[at as usize..at as usize + len as usize];
        let part = |i: usize| slice(u32_at(entry, 16 + 4 * i), u32::from(u16_at(entry, 32 + 2 * i)));
        let time = i64::from_le_bytes(entry[..8].try_into().unwrap_or_default());
        Record {
            offset: self.base_offset + index as u64,
            time: if time == NO_TIME { self.appended_at } else { time },
            received_at: self.appended_at,
            data: slice(u32_at(entry, 8), u32_at(entry, 12)),
            key: part(0),
            kind: part(1),
            id: part(2),
            headers: part(3),
        }
    }
}

fn u32_at(entry: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
}

fn u16_at(entry: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([entry[at], entry[at + 1]])
}

/// Builds the body of a block, one record after the other; reusable after [`BlockBuilder::clear`].
#[derive(Debug, Default)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    entries: Vec<u8>,
    count: usize,
}

impl BlockBuilder {
    /// Copies one draft of a batch behind the records so far.
    pub fn push(&mut self, batch: &Batch, draft: &Draft) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(batch.slice(draft.data));
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&draft.time.to_le_bytes());
        entry[8..12].copy_from_slice(&(start as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&(draft.data.len() as u32).to_le_bytes());
        for (i, span) in [draft.key, draft.kind, draft.id, draft.headers].into_iter().enumerate() {
            let at = self.place(batch, draft, start, span);
            entry[16 + 4 * i..][..4].copy_from_slice(&at.to_le_bytes());
            entry[32 + 2 * i..][..2].copy_from_slice(&(span.len() as u16).to_le_bytes());
        }
        entry[40..].copy_from_slice(&ENTRY_MARK.to_le_bytes());
        self.entries.extend_from_slice(&entry);
        self.count += 1;
    }

    /// Where a part of the record lies in the block: inside the data just copied, or copied behind it.
    fn place(&mut self, batch: &Batch, draft: &Draft, start: usize, span: Span) -> u32 {
        if span.is_empty() {
            return start as u32;
        }
        if let (Some(at), Some(data)) = (span.shared_start(), draft.data.shared_start())
            && at >= data
            && at + span.len() <= data + draft.data.len()
        {
            return (start + at - data) as u32;
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(batch.slice(span));
        at
    }

    /// How many records it has so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the body has so far.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.entries.len()
    }

    /// The finished body; call [`BlockBuilder::clear`] before the next one.
    pub fn body(&mut self) -> &[u8] {
        let entries = std::mem::take(&mut self.entries);
        self.bytes.extend_from_slice(&entries);
        self.entries = entries;
        self.entries.clear();
        &self.bytes
    }

    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<u8>, usize) {
        let mut batch = Batch::new(StreamId(3), Bytes::from_static(br#"[{"id":"a","k":"x"},{"id":"b"}]"#));
        let made = batch.put_side(b"made");
        let draft = |time, data, key, id| Draft {
            partition: 1,
            time,
            id_hash: 7,
            data,
            key,
            kind: Span::EMPTY,
            id,
            headers: Span::EMPTY,
        };
        let first = draft(5, Span::shared(1, 18), Span::shared(16, 1), Span::shared(8, 1));
        let second = draft(NO_TIME, Span::shared(20, 10), made, Span::shared(27, 1));
        let mut builder = BlockBuilder::default();
        builder.push(&batch, &first);
        builder.push(&batch, &second);
        (builder.body().to_vec(), builder.len())
    }

    #[test]
    fn records_come_back_as_they_were_sent() {
        let (body, count) = sample();
        let block = Block::parse(StreamId(3), 1, 100, 42, count, body.into()).unwrap();
        let records: Vec<_> = block.records().collect();
        assert_eq!(records[0].data, br#"{"id":"a","k":"x"}"#);
        assert_eq!((records[0].key, records[0].id, records[0].time, records[0].offset), (&b"x"[..], &b"a"[..], 5, 100));
        assert_eq!(records[1].data, br#"{"id":"b"}"#);
        assert_eq!((records[1].key, records[1].id, records[1].time), (&b"made"[..], &b"b"[..], 42));
        assert_eq!(block.clone().from_offset(101).records().next().unwrap().offset, 101);
        assert_eq!(block.clone().until_offset(101).len(), 1);
        assert_eq!(block.at(101), Some(records[1]));
        assert_eq!((block.at(99), block.at(102)), (None, None));
        assert!(block.clone().from_offset(500).is_empty());
    }

    #[test]
    fn an_entry_that_points_outside_is_refused() {
        let (body, count) = sample();
        for at in [8, 12, 16, 20, 24, 28] {
            let mut bad = body.clone();
            let entries = bad.len() - count * ENTRY_BYTES;
            bad[entries + at..entries + at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            // A part of length 0 may start anywhere up to the end, but not past it.
            assert!(Block::parse(StreamId(0), 0, 0, 0, count, bad.into()).is_err(), "entry byte {at}");
        }
        assert!(Block::parse(StreamId(0), 0, 0, 0, usize::MAX, body.into()).is_err());
    }
}
