//! From a message of a topic to the parts of a record, whoever produced it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use event::{Batch, Block, BlockBuilder, Catalog, Draft, Millis, NO_TIME, Span, Stream, StreamId, limits};

use super::fetch::Message;
use super::headers::{self, Parts};
use super::{Describe, Described};
use crate::spool::Identity;

/// Bytes of messages after which the buffer they are put in is made anew.
const SIDE_BYTES: usize = 64 << 10;

/// Makes blocks of messages of one stream.
pub(super) struct Decoder {
    stream: StreamId,
    catalog: Arc<Catalog>,
    describe: Describe,
    /// What the message at hand is copied into, on its way to the block.
    side: Batch,
    own: Vec<u8>,
    /// What was found in the last message of somebody else.
    scanned: Option<((u32, u64), Option<Described>)>,
    builder: BlockBuilder,
    /// Partition, first offset and time of append of the block that is being built.
    open: (u32, u64, Millis),
}

impl Decoder {
    pub(super) fn new(stream: StreamId, catalog: Arc<Catalog>, describe: Describe) -> Self {
        let (side, builder) = (Batch::new(stream, Bytes::new()), BlockBuilder::default());
        Self { stream, catalog, describe, side, own: Vec::new(), scanned: None, builder, open: (0, 0, 0) }
    }

    fn definition(&self) -> &Stream {
        self.catalog.get(self.stream)
    }

    /// What makes a record the same one when it comes twice; `None` when nothing does.
    pub(super) fn identity(&mut self, message: &Message<'_>) -> Option<Identity> {
        let dedup = self.definition().dedup.is_some();
        if let Some((parts, tenant)) = message.headers().and_then(headers::identity) {
            return Identity::of(dedup, tenant, bounded(parts.id), parts.origin);
        }
        // Somebody else's, and only worth a scan where ids are suppressed.
        if !dedup {
            return None;
        }
        let id = self.scan(message)?.id;
        self.own.clear();
        message.headers().and_then(|list| headers::read(list, &mut self.own));
        let tenant = event::headers::get(&self.own, event::headers::TENANT).unwrap_or_default();
        Identity::of(true, tenant, part(message.data(), &id), None)
    }

    /// Where the parts of somebody else's message are; looked for once.
    fn scan(&mut self, message: &Message<'_>) -> Option<Described> {
        let at = (message.partition, message.offset);
        if let Some((scanned, found)) = &self.scanned
            && *scanned == at
        {
            return found.clone();
        }
        let found = (self.describe)(self.definition(), message.data());
        self.scanned = Some((at, found.clone()));
        found
    }

    /// Whether a message can go into the block at hand.
    pub(super) fn continues(&self, message: &Message<'_>) -> bool {
        let (partition, base, appended_at) = self.open;
        let next = base + self.builder.len() as u64;
        self.builder.is_empty()
            || (partition == message.partition
                && next == message.offset
                && appended_at == message.time()
                && self.builder.weight() + message.data().len() < limits::FRAME_BYTES_MAX)
    }

    /// Adds a message to the block at hand.
    pub(super) fn push(&mut self, message: &Message<'_>) {
        if self.builder.is_empty() {
            self.open = (message.partition, message.offset, message.time());
        }
        let data = message.data();
        self.own.clear();
        let parts = message.headers().and_then(|list| headers::read(list, &mut self.own));
        let (mut key, mut kind, mut id, mut time) = (bounded(message.key()), &b""[..], &b""[..], NO_TIME);
        match parts {
            Some(Parts { id: its_id, kind: its_kind, time: its_time, origin: _ }) => {
                (kind, id, time) = (bounded(its_kind), bounded(its_id), its_time);
            }
            None => {
                if let Some(found) = self.scan(message) {
                    (kind, id, time) = (part(data, &found.kind), part(data, &found.id), found.time.unwrap_or(NO_TIME));
                    if message.key().is_empty() {
                        key = part(data, &found.key);
                    }
                }
            }
        }
        if self.side.weight() > SIDE_BYTES {
            self.side = Batch::new(self.stream, Bytes::new());
        }
        let side = &mut self.side;
        let mut put = |bytes: &[u8]| if bytes.is_empty() { Span::EMPTY } else { side.put_side(bytes) };
        let (data, key, kind, id, headers) = (put(data), put(key), put(kind), put(id), put(&self.own));
        let draft = Draft { partition: message.partition, time, id_hash: 0, data, key, kind, id, headers };
        self.builder.push(&self.side, &draft);
    }

    /// How many bytes the block at hand has.
    pub(super) fn weight(&self) -> usize {
        self.builder.weight()
    }

    /// The block at hand; `None` when nothing was added since the last.
    pub(super) fn finish(&mut self) -> Option<Block> {
        if self.builder.is_empty() {
            return None;
        }
        let (partition, base, appended_at) = self.open;
        let count = self.builder.len();
        let body = Bytes::copy_from_slice(self.builder.body());
        self.builder.clear();
        let block = Block::parse(self.stream, partition, base, appended_at, count, body);
        let told = |error: &event::BlockError| {
            let stream = &self.definition().name;
            tracing::error!(%error, stream, partition, offset = base, records = count, "a block does not parse; it is left out");
        };
        block.inspect_err(told).ok()
    }

    /// A block without records, which says where a reader stands.
    pub(super) fn nothing(&self, partition: u32, offset: u64, appended_at: Millis) -> Option<Block> {
        Block::parse(self.stream, partition, offset, appended_at, 0, Bytes::new()).ok()
    }
}

/// A part that is over its bound counts as not there: a shorter one would be another's.
fn bounded(part: &[u8]) -> &[u8] {
    if part.len() > limits::KEY_BYTES_MAX { b"" } else { part }
}

/// A part that was found in the data.
fn part<'a>(data: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    bounded(data.get(range.clone()).unwrap_or_default())
}
