//! Dead letters sent again: judged by their stream as they were at the door, appended as a new record that names them.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use event::limits::HEADERS_BYTES_MAX;
use event::{Ack, Batch, DeadLetter, RefusalCode, StreamId, headers};
use log::{Append, IdHasher, PlacedRange};

use crate::answer::{Sent, Unanswered};
use crate::cloudevents;
use crate::scan::skip_space;
use crate::sift::Format;
use crate::{Intake, IntakeError};

/// The scope that all replays' ids are in; no tenant is called so.
const LETTERS: &[u8] = b"\0letters";

/// Why the bytes of a letter are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A [`RefusalCode`], or `unknown_stream`.
    pub code: &'static str,
    /// The field at fault as a JSON pointer; empty when it is the whole event.
    pub pointer: String,
    /// Why, for people; at most 512 bytes.
    pub message: String,
}

/// A letter whose bytes are good, ready to be appended.
#[derive(Debug)]
pub struct Replay {
    intake: Arc<Intake>,
    lane: u32,
    batch: Batch,
}

/// Where a letter went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// To the end of its stream; where that is, unless it waits in a spool.
    Appended(Option<PlacedRange>),
    /// Nowhere: this try of it is in its stream already.
    Known,
}

impl Intake {
    /// Judges the bytes of a dead letter (the edited ones, when there are any) as its stream judges a plain event, or a
    /// CloudEvent when its headers say that it is one. Nothing is written, and no other dead letter is made.
    ///
    /// # Errors
    /// Why they are refused.
    pub fn replay(self: &Arc<Self>, letter: &DeadLetter) -> Result<Replay, Rejection> {
        let stream = self.find(&letter.stream).map_err(|error| Rejection {
            code: "unknown_stream",
            pointer: String::new(),
            message: error.to_string(),
        })?;
        let mut batch = self.judge_again(stream, letter)?;
        let list = record_headers(letter);
        if list.len() > HEADERS_BYTES_MAX {
            let message = format!("expected at most {HEADERS_BYTES_MAX} bytes of headers, found {}", list.len());
            return Err(whole(RefusalCode::TooLarge, message));
        }
        let list = batch.put_side(&list);
        let id_hash = match self.catalog().get(stream).dedup {
            Some(_) => id_hash(self.log().id_hasher(), letter),
            None => 0,
        };
        for draft in &mut batch.drafts {
            (draft.headers, draft.id_hash) = (list, id_hash);
        }
        Ok(Replay { intake: self.clone(), lane: self.lane(&letter.tenant), batch })
    }

    fn judge_again(&self, stream: StreamId, letter: &DeadLetter) -> Result<Batch, Rejection> {
        let body = Bytes::from(letter.edited.as_ref().unwrap_or(&letter.data).clone());
        let attributes = attributes(&letter.headers);
        let content_type = headers::get(&letter.headers, "content-type").unwrap_or_default();
        let format = match &attributes {
            Some(attributes) => Format::BinaryCloudEvent(attributes),
            None if cloudevents::is_structured(content_type) => Format::CloudEvent,
            None => Format::Json,
        };
        // One event, and an array is none: a body would be several.
        let begins = body.get(skip_space(&body, 0));
        if attributes.is_none() && begins != Some(&b'{') {
            let found = if begins.is_none() { "nothing" } else { "something else" };
            return Err(whole(RefusalCode::NotAnObject, format!("expected a JSON object, found {found}")));
        }
        let envelope = self.envelope(&letter.tenant, stream, format, &letter.request_id);
        let sifted = self.sifter(stream).sift(&body, envelope);
        let sifted = sifted.map_err(|error| whole(RefusalCode::InvalidJson, error.to_string()))?;
        match sifted.listed.into_iter().next() {
            None => Ok(sifted.batch),
            Some(refused) => {
                let (code, pointer, message) = (refused.code.as_str(), refused.pointer, refused.message);
                Err(Rejection { code, pointer, message })
            }
        }
    }
}

impl Replay {
    /// Appends it to its stream and waits until it is durable. Limits of tenants do not hold here.
    ///
    /// # Errors
    /// When the log does not take it. With [`log::LogError::Busy`] and [`log::LogError::Full`] it is not in the log; else
    /// that is known after a restart.
    pub async fn append(self) -> Result<Replayed, IntakeError> {
        let Self { intake, lane, batch } = self;
        let sent = Sent { stream: batch.stream, good: 1, bad: 0 };
        let pending = intake.log().append(Append { batches: vec![batch], lane, ack: Ack::Durable })?;
        intake.stats().waiting(1);
        let taken = Unanswered { intake, sent, pending: Some(pending) }.wait().await?;
        let known = !taken.mine.duplicates.is_empty();
        Ok(if known { Replayed::Known } else { Replayed::Appended(taken.mine.ranges.first().copied()) })
    }
}

fn whole(code: RefusalCode, message: String) -> Rejection {
    Rejection { code: code.as_str(), pointer: String::new(), message }
}

/// One for each try: sent twice, the same try is one record.
fn id_hash(hasher: IdHasher, letter: &DeadLetter) -> u128 {
    let hasher = hasher.scoped(LETTERS).scoped(letter.tenant.as_bytes());
    hasher.hash(format!("{}#{}", letter.id, letter.attempts).as_bytes())
}

/// The headers of the new record: whose it is first, what the letter's had, what ties it to other things, the letter and the
/// try.
fn record_headers(letter: &DeadLetter) -> Vec<u8> {
    let mut list = Vec::with_capacity(letter.headers.len() + 128);
    if !letter.tenant.is_empty() {
        headers::put(&mut list, headers::TENANT, letter.tenant.as_bytes());
    }
    let ours = [headers::TENANT, headers::CORRELATION, headers::LETTER, headers::ATTEMPT];
    for (name, value) in headers::iter(&letter.headers).filter(|(name, _)| !ours.contains(name)) {
        headers::put(&mut list, name, value);
    }
    if !letter.correlation_id.is_empty() {
        headers::put(&mut list, headers::CORRELATION, letter.correlation_id.as_bytes());
    }
    headers::put(&mut list, headers::LETTER, letter.id.as_bytes());
    headers::put(&mut list, headers::ATTEMPT, letter.attempts.to_string().as_bytes());
    list
}

/// The request's headers that a record's CloudEvents attributes came from; `None` when it has none, and so is no CloudEvent
/// in binary mode.
fn attributes(list: &[u8]) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    let mut any = false;
    for (name, value) in headers::iter(list) {
        let is_attribute = name.starts_with(cloudevents::PREFIX);
        if !is_attribute && name != "content-type" {
            continue;
        }
        any |= is_attribute;
        let value = if is_attribute { percent_encoded(value) } else { value.to_vec() };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
            map.append(name, value);
        }
    }
    any.then_some(map)
}

/// So that the binding's decoding gives the same bytes.
fn percent_encoded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for &byte in value {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'"' | b'\\') {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}
