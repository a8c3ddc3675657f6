//! Refused events on their way to the internal stream: their bytes, with the reason in the headers.

use event::limits::{EVENT_BYTES_MAX, REJECTED_LISTED_MAX};
use event::{Batch, Draft, Millis, NO_TIME, RefusalCode, Span, StreamId, headers};
use uuid::{NoContext, Timestamp, Uuid};

use crate::sift::{Envelope, format_headers};
use crate::verdict::Refusal;

/// Bytes of a message, a pointer, or a request id as kept and told.
const TEXT_BYTES_MAX: usize = 512;

/// One refused event, as told to its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place among the events of the request, from 0.
    pub index: u32,
    /// Why.
    pub code: RefusalCode,
    /// The field at fault as a JSON pointer; empty when it is the whole event.
    pub pointer: String,
    /// Why, for people; at most 512 bytes.
    pub message: String,
    /// The id of its dead letter.
    pub dlq_id: Uuid,
}

/// All refused events of one request.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    stream: &'a str,
    tenant: &'a str,
    request_id: &'a str,
    now: Millis,
    /// Encoded headers that each dead letter has besides: what its event had.
    pub(crate) also: Vec<u8>,
    pub(crate) batch: Batch,
    /// The first [`REJECTED_LISTED_MAX`] of them.
    pub(crate) listed: Vec<Rejected>,
}

impl<'a> Refused<'a> {
    /// None yet. `target` is the internal stream; the batch shares the request's body.
    pub(crate) fn new(target: StreamId, body: bytes::Bytes, stream: &'a str, envelope: &Envelope<'a>) -> Self {
        Self {
            stream,
            tenant: envelope.tenant,
            request_id: &envelope.request_id[..cut(envelope.request_id)],
            now: envelope.now,
            // So that a dead letter is judged as what it was, when it is sent again.
            also: format_headers(envelope.format),
            batch: Batch::new(target, body),
            listed: Vec::new(),
        }
    }

    /// Adds the event of `start..end` of the body.
    #[cold]
    pub(crate) fn push(&mut self, index: u32, start: usize, end: usize, refusal: Refusal) {
        let Refusal { code, mut pointer, mut message } = refusal;
        pointer.truncate(cut(&pointer));
        message.truncate(cut(&message));
        let dlq_id = self.id();
        let mut id_text = Uuid::encode_buffer();
        let length = end - start;
        let mut head = Vec::with_capacity(256);
        if !self.tenant.is_empty() {
            headers::put(&mut head, headers::TENANT, self.tenant.as_bytes());
        }
        headers::put(&mut head, "stream", self.stream.as_bytes());
        headers::put(&mut head, "code", code.as_str().as_bytes());
        headers::put(&mut head, "pointer", pointer.as_bytes());
        headers::put(&mut head, "message", message.as_bytes());
        headers::put(&mut head, "dlq-id", dlq_id.hyphenated().encode_lower(&mut id_text).as_bytes());
        headers::put(&mut head, "request-id", self.request_id.as_bytes());
        headers::put(&mut head, "index", index.to_string().as_bytes());
        if length > EVENT_BYTES_MAX {
            headers::put(&mut head, "cut-from-bytes", length.to_string().as_bytes());
        }
        head.extend_from_slice(&self.also);
        let headers = self.batch.put_side(&head);
        let data = Span::shared(start, length.min(EVENT_BYTES_MAX));
        let none = Span::EMPTY;
        let draft = Draft { partition: 0, time: NO_TIME, id_hash: 0, data, key: none, kind: none, id: none, headers };
        self.batch.drafts.push(draft);
        if self.listed.len() < REJECTED_LISTED_MAX {
            self.listed.push(Rejected { index, code, pointer, message, dlq_id });
        }
    }

    /// A UUIDv7 of the receiving clock.
    fn id(&self) -> Uuid {
        let ms = self.now.max(0) as u64;
        Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1_000, (ms % 1_000) as u32 * 1_000_000))
    }
}

/// How much of a text is kept: whole characters within [`TEXT_BYTES_MAX`].
fn cut(text: &str) -> usize {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}
