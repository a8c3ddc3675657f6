//! Dead letters as answers show them: the sender's JSON goes in as it came, byte for byte.

use api::time::to_rfc3339;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use event::{DeadLetter, headers};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A dead letter.
#[derive(Serialize, ToSchema)]
pub(super) struct Letter<'a> {
    /// Whose it is; absent for the default tenant.
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    /// Its id, as the answer to its sender had it; `<stream>-<partition>-<offset>` when processing or the store refused it.
    id: &'a str,
    /// The stream it was meant for.
    stream: &'a str,
    /// The partition of its record in the log: of the stream, or for `collect` of the internal one.
    partition: u32,
    /// The offset of that record.
    offset: u64,
    /// Where it was refused: `collect`, `process` or `store`.
    stage: &'static str,
    /// Why, as a stable word.
    code: &'a str,
    /// The field at fault as a JSON pointer; empty when it is the whole event.
    pointer: &'a str,
    /// Why, for people.
    message: &'a str,
    /// What became of it: `open`, `replaying`, `resolved`, `discarded` or `quarantined`.
    status: &'static str,
    /// `permanent`, or `temporary`: tried again by itself.
    classification: &'static str,
    /// How often it failed.
    attempts: u32,
    /// When it is tried again by itself, RFC 3339; null when it is not.
    retry_at: Option<String>,
    /// The record's key; null when it is not known.
    key: Option<&'a str>,
    /// The request it came with.
    request_id: &'a str,
    /// What ties it to other things.
    correlation_id: &'a str,
    /// When it was received, RFC 3339.
    received_at: String,
    /// When it failed for the first time, RFC 3339.
    first_failed_at: String,
    /// When it failed for the last time, RFC 3339.
    last_failed_at: String,
    /// The record's headers.
    #[schema(value_type = Object)]
    headers: Headers<'a>,
    /// The sender's JSON, byte for byte. Absent when it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    data: Option<&'a RawValue>,
    /// The sender's bytes in base64 when they are not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    /// What is replayed instead, when somebody edited it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    edited: Option<&'a RawValue>,
    /// The same in base64 when it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_base64: Option<String>,
}

impl<'a> Letter<'a> {
    pub(super) fn new(letter: &'a DeadLetter) -> Self {
        let (data, data_base64) = shown(Some(&letter.data));
        let (edited, edited_base64) = shown(letter.edited.as_deref());
        Self {
            tenant: &letter.tenant,
            id: &letter.id,
            stream: &letter.stream,
            partition: letter.partition,
            offset: letter.offset,
            stage: letter.stage.as_str(),
            code: &letter.code,
            pointer: &letter.pointer,
            message: &letter.message,
            status: letter.status.as_str(),
            classification: letter.classification.as_str(),
            attempts: letter.attempts,
            retry_at: letter.retry_at.map(to_rfc3339),
            key: (!letter.key.is_empty()).then_some(&letter.key),
            request_id: &letter.request_id,
            correlation_id: &letter.correlation_id,
            received_at: to_rfc3339(letter.received_at),
            first_failed_at: to_rfc3339(letter.first_failed_at),
            last_failed_at: to_rfc3339(letter.last_failed_at),
            headers: Headers(&letter.headers),
            data,
            data_base64,
            edited,
            edited_base64,
        }
    }
}

/// Bytes as JSON when they are that, else in base64.
fn shown(bytes: Option<&[u8]>) -> (Option<&RawValue>, Option<String>) {
    let Some(bytes) = bytes else { return (None, None) };
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => (Some(json), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

/// A record's headers as an object of texts. Whose it is has a field of its own.
struct Headers<'a>(&'a [u8]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in headers::iter(self.0).filter(|(name, _)| *name != headers::TENANT) {
            map.serialize_entry(name, &String::from_utf8_lossy(value))?;
        }
        map.end()
    }
}
