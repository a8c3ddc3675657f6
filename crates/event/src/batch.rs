//! What a door hands to the log: one buffer as the sender wrote it, and for each event where its parts are.

use bytes::Bytes;

use crate::{Millis, StreamId};

/// A range of bytes in a [`Batch`]: in the shared buffer, or in the small side buffer for what had to be made
/// (an unescaped key, headers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    at: u32,
    len: u32,
}

const SIDE: u32 = 1 << 31;

impl Span {
    /// Nothing.
    pub const EMPTY: Self = Self { at: 0, len: 0 };

    /// A range of the shared buffer; both numbers are below 2³¹, as request bodies are.
    pub fn shared(at: usize, len: usize) -> Self {
        debug_assert!(at < SIDE as usize && len < SIDE as usize);
        Self { at: at as u32, len: len as u32 }
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// How many bytes it covers.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Where it starts in the shared buffer; `None` when it is in the side buffer.
    pub fn shared_start(self) -> Option<usize> {
        (self.at & SIDE == 0).then_some(self.at as usize)
    }
}

/// One event of a [`Batch`], not yet in the log.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// Its partition.
    pub partition: u32,
    /// Its event time, or [`crate::NO_TIME`].
    pub time: Millis,
    /// The hash of its id (see `log::IdHasher`); 0 when it has none or must not be deduplicated.
    pub id_hash: u128,
    /// The bytes that are kept as the sender wrote them.
    pub data: Span,
    /// The key, at most [`crate::limits::KEY_BYTES_MAX`] bytes; empty when there is none.
    pub key: Span,
    /// The type, bounded likewise.
    pub kind: Span,
    /// The id, bounded likewise.
    pub id: Span,
    /// Headers in the encoding of [`crate::headers`], at most [`crate::limits::HEADERS_BYTES_MAX`] bytes.
    pub headers: Span,
}

/// The events of one request for one stream, in the sender's order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where they go.
    pub stream: StreamId,
    /// The request body, shared, not copied.
    pub bytes: Bytes,
    /// When it was taken, where that was before it is appended: a log that others keep stamps its records with it.
    pub taken_at: Option<Millis>,
    /// What had to be made besides.
    side: Vec<u8>,
    /// The events.
    pub drafts: Vec<Draft>,
}

impl Batch {
    /// An empty batch over a request body.
    pub fn new(stream: StreamId, bytes: Bytes) -> Self {
        Self { stream, bytes, taken_at: None, side: Vec::new(), drafts: Vec::new() }
    }

    /// Keeps bytes that are not in the shared buffer.
    pub fn put_side(&mut self, bytes: &[u8]) -> Span {
        let at = self.side.len() as u32 | SIDE;
        self.side.extend_from_slice(bytes);
        Span { at, len: bytes.len() as u32 }
    }

    /// The bytes of a span of this batch.
    pub fn slice(&self, span: Span) -> &[u8] {
        let start = (span.at & !SIDE) as usize;
        let buffer: &[u8] = if span.at & SIDE == 0 { &self.bytes } else { &self.side };
        &buffer[start..start + span.len as usize]
    }

    /// How many bytes of memory it holds, about.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.side.len() + self.drafts.len() * size_of::<Draft>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_from_both_buffers() {
        let mut batch = Batch::new(StreamId(0), Bytes::from_static(b"{\"id\":\"a\"}"));
        let made = batch.put_side(b"unescaped");
        let also = batch.put_side(b"!");
        assert_eq!(batch.slice(Span::shared(7, 1)), b"a");
        assert_eq!(batch.slice(made), b"unescaped");
        assert_eq!(batch.slice(also), b"!");
        assert_eq!(batch.slice(Span::EMPTY), b"");
        assert_eq!((made.shared_start(), Span::shared(7, 1).shared_start()), (None, Some(7)));
    }
}
