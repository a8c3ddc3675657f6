//! Placing: which drafts of a group are new, and where in the frames of the group they go. Pure memory; undone whole when
//! the write fails.

use event::{Batch, BlockBuilder, Draft, Millis, NO_TIME, limits};

use super::format::{FLAG_IDS, FLAG_LZ4, FRAME_HEADER, FrameHead};
use crate::dedup::DedupTable;
use crate::{Placed, PlacedRange};

/// Bodies smaller than this are not compressed: LZ4 finds little in them.
const COMPRESS_BYTES_MIN: usize = 1 << 10;

/// The records of one partition in the group at hand.
#[derive(Debug)]
struct Part {
    block: BlockBuilder,
    /// Id hashes as they go to the frame.
    ids: Vec<u8>,
    any_id: bool,
    /// Whether a record has no event time: it gets the time of append, which is known when the frame is sealed.
    any_untimed: bool,
    first_time: Millis,
    last_time: Millis,
    /// The offset of the first record in `block`.
    base: u64,
    /// The offset before the group, to go back to.
    before: u64,
    /// Where the batch at hand started; `u64::MAX` when it has no record here yet.
    batch_first: u64,
    touched: bool,
}

/// The group of one stream.
pub(super) struct Stage {
    parts: Vec<Part>,
    touched: Vec<u32>,
    /// For every partition the offset of the next record.
    next: Vec<u64>,
    /// Ids that this group made known.
    fresh_ids: Vec<u128>,
    pub(super) dedup: Option<DedupTable>,
    /// Finished frames, to be written at once.
    pub(super) out: Vec<u8>,
    /// Their heads, with their places in `out`.
    pub(super) heads: Vec<(usize, FrameHead)>,
    scratch: Vec<u8>,
    compress: bool,
}

impl Stage {
    pub(super) fn new(next: Vec<u64>, dedup: Option<DedupTable>, compress: bool) -> Self {
        let part = |next: &u64| Part {
            block: BlockBuilder::default(),
            ids: Vec::new(),
            any_id: false,
            any_untimed: false,
            first_time: Millis::MAX,
            last_time: Millis::MIN,
            base: *next,
            before: *next,
            batch_first: u64::MAX,
            touched: false,
        };
        let parts = next.iter().map(part).collect();
        let (touched, fresh_ids, out, heads, scratch) = Default::default();
        Self { parts, touched, next, fresh_ids, dedup, out, heads, scratch, compress }
    }

    /// For every partition the offset of the next record.
    pub(super) fn next(&self) -> &[u64] {
        &self.next
    }

    /// Moves the end of a partition up, for offsets that were handed out and lost.
    pub(super) fn raise(&mut self, partition: usize, next: u64) {
        self.next[partition] = self.next[partition].max(next);
        self.parts[partition].base = self.next[partition];
        self.parts[partition].before = self.next[partition];
    }

    /// Takes one batch into the group.
    pub(super) fn place(&mut self, batch: &Batch, now: Millis) -> Placed {
        let mut placed = Placed::default();
        let mut used: [u32; 64] = [0; 64];
        let mut used_len = 0;
        for (i, draft) in batch.drafts.iter().enumerate() {
            if let Some(dedup) = &mut self.dedup {
                // The table is larger than any cache: ask for the entries of an id some turns before they are needed.
                if let Some(ahead) = batch.drafts.get(i + 8) {
                    std::hint::black_box(dedup.touch(ahead.id_hash));
                }
                if draft.id_hash != 0 {
                    if !dedup.insert(draft.id_hash) {
                        placed.duplicates.push(i as u32);
                        continue;
                    }
                    self.fresh_ids.push(draft.id_hash);
                }
            }
            if self.push(batch, draft, now) {
                if used_len < used.len() {
                    used[used_len] = draft.partition;
                }
                used_len += 1;
            }
        }
        let used = if used_len <= used.len() { &used[..used_len] } else { &self.touched[..] };
        for &partition in used {
            let part = &mut self.parts[partition as usize];
            if part.batch_first != u64::MAX {
                placed.ranges.push(PlacedRange {
                    partition,
                    first: part.batch_first,
                    last: self.next[partition as usize] - 1,
                });
                part.batch_first = u64::MAX;
            }
        }
        placed.ranges.sort_unstable_by_key(|r| r.partition);
        placed
    }

    /// Takes one draft; true when it is the first of its batch in its partition.
    fn push(&mut self, batch: &Batch, draft: &Draft, now: Millis) -> bool {
        let p = draft.partition as usize;
        let weight = draft.data.len() + draft.headers.len();
        if self.parts[p].block.weight() + weight > limits::FRAME_BYTES_MAX && !self.parts[p].block.is_empty() {
            self.seal_part(p, now);
        }
        let part = &mut self.parts[p];
        if !part.touched {
            part.touched = true;
            part.before = self.next[p];
            self.touched.push(draft.partition);
        }
        if part.block.is_empty() {
            part.base = self.next[p];
        }
        part.block.push(batch, draft);
        part.ids.extend_from_slice(&draft.id_hash.to_le_bytes());
        part.any_id |= draft.id_hash != 0;
        if draft.time == NO_TIME {
            part.any_untimed = true;
        } else {
            part.first_time = part.first_time.min(draft.time);
            part.last_time = part.last_time.max(draft.time);
        }
        let first = part.batch_first == u64::MAX;
        if first {
            part.batch_first = self.next[p];
        }
        self.next[p] += 1;
        first
    }

    /// Turns what the group holds into frames, behind one another in `out`.
    pub(super) fn seal(&mut self, now: Millis) {
        for i in 0..self.touched.len() {
            let p = self.touched[i] as usize;
            if !self.parts[p].block.is_empty() {
                self.seal_part(p, now);
            }
        }
    }

    fn seal_part(&mut self, p: usize, now: Millis) {
        let part = &mut self.parts[p];
        if part.any_untimed {
            part.first_time = part.first_time.min(now);
            part.last_time = part.last_time.max(now);
        }
        let count = part.block.len() as u32;
        let raw = part.block.body();
        let start = self.out.len();
        let mut flags = 0;
        self.out.resize(start + FRAME_HEADER, 0);
        if part.any_id {
            flags |= FLAG_IDS;
            self.out.extend_from_slice(&part.ids);
        }
        let body_at = self.out.len();
        match self.compress.then(|| compress(raw, &mut self.scratch)).flatten() {
            Some(packed) => {
                flags |= FLAG_LZ4;
                self.out.extend_from_slice(packed);
            }
            None => self.out.extend_from_slice(raw),
        }
        let head = FrameHead {
            body_crc: crc32c::crc32c(&self.out[body_at..]),
            flags,
            partition: p as u32,
            count,
            base_offset: part.base,
            appended_at: now,
            first_time: part.first_time,
            last_time: part.last_time,
            raw_len: raw.len() as u32,
            body_len: (self.out.len() - body_at) as u32,
        };
        head.encode(&mut self.out[start..body_at]);
        self.heads.push((start, head));
        part.clear();
    }

    /// The group is durable: the next one starts.
    pub(super) fn done(&mut self) {
        for &p in &self.touched {
            self.parts[p as usize].touched = false;
        }
        self.clear();
    }

    /// The group was not written: offsets and ids are as they were before it.
    pub(super) fn undo(&mut self) {
        for &p in &self.touched {
            let part = &mut self.parts[p as usize];
            part.touched = false;
            part.clear();
            self.next[p as usize] = part.before;
        }
        if let Some(dedup) = &mut self.dedup {
            self.fresh_ids.iter().for_each(|id| dedup.remove(*id));
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.touched.clear();
        self.fresh_ids.clear();
        self.out.clear();
        self.heads.clear();
    }
}

impl Part {
    fn clear(&mut self) {
        self.block.clear();
        self.ids.clear();
        self.any_id = false;
        self.any_untimed = false;
        self.first_time = Millis::MAX;
        self.last_time = Millis::MIN;
    }
}

/// LZ4 of `raw` when that is smaller.
fn compress<'a>(raw: &[u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if raw.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    let room = lz4_flex::block::get_maximum_output_size(raw.len());
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    let packed = lz4_flex::block::compress_into(raw, scratch).ok()?;
    (packed < raw.len()).then(|| &scratch[..packed])
}
