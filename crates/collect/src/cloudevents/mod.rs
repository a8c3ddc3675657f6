//! CloudEvents 1.0 (<https://github.com/cloudevents/spec>) on every stream: which mode a request is in, and the verdict
//! on one event. The attributes say id, type, key and time; what the stream asks of its events it asks of their `data`.

mod binary;
mod headers;

use api::ApiError;
use axum::http::{HeaderMap, StatusCode};
use event::limits::HEADERS_BYTES_MAX;
use event::{Batch, Draft, RefusalCode, Span, Stream};

use crate::http::media_type;
use crate::scan::{Kind, Node, Scanned, Scanner, excerpt, unescape};
use crate::sift::Format;
use crate::verdict::{Form, Refusal, Setting};
pub(crate) use headers::PREFIX;

/// The media type of one event in its JSON form, and of a record that holds one.
pub(crate) const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of an array of them.
pub(crate) const BATCHED: &str = "application/cloudevents-batch+json";

/// The scope that all sources are in; no tenant is called so.
const SOURCES: &[u8] = b"\0sources";

/// The attributes that are read. Others are extensions: kept, not looked at.
const NAMES: [&str; 9] =
    ["specversion", "id", "source", "type", "time", "subject", "partitionkey", "datacontenttype", "dataschema"];

/// The attributes of one event, as plain text in its batch; empty when absent.
type Attributes = [Span; NAMES.len()];

/// What a stream asks of CloudEvents.
#[derive(Debug)]
pub(crate) struct CloudForm {
    /// What it asks of their data, every path starting with `data`.
    pub(crate) form: Form,
    /// The attributes, in the order of [`NAMES`].
    nodes: [Node; NAMES.len()],
    data: Node,
    data_base64: Node,
}

impl CloudForm {
    pub(crate) fn new(stream: &Stream) -> Self {
        let mut form = Form::inside(Some("data"), stream);
        let nodes = NAMES.map(|name| form.fields.member(name));
        let (data, data_base64) = (form.fields.member("data"), form.fields.member("data_base64"));
        Self { form, nodes, data, data_base64 }
    }

    /// Judges the event in its JSON form that the scanner has just been over.
    pub(crate) fn judge(
        &self,
        scanner: &Scanner<'_>,
        scanned: Scanned,
        batch: &mut Batch,
        setting: Setting,
    ) -> Result<Draft, Refusal> {
        self.form.once(scanner)?;
        let mut attributes = Attributes::default();
        for (span, node) in attributes.iter_mut().zip(self.nodes) {
            *span = self.text(node, scanner, batch)?;
        }
        self.check_base64(scanner, &batch.bytes)?;
        let draft = self.draft(attributes, scanner, batch, setting)?;
        Ok(Draft { data: Span::shared(scanned.start, scanned.end - scanned.start), ..draft })
    }

    /// An attribute: a string, or null when it is not set.
    #[inline]
    fn text(&self, node: Node, scanner: &Scanner<'_>, batch: &mut Batch) -> Result<Span, Refusal> {
        let found = scanner.found(node);
        match found.kind {
            Kind::Absent | Kind::Null => Ok(Span::EMPTY),
            Kind::String if found.escaped => {
                let mut plain = Vec::new();
                unescape(found.slice(&batch.bytes), &mut plain);
                Ok(batch.put_side(&plain))
            }
            Kind::String => Ok(Span::shared(found.start as usize, (found.end - found.start) as usize)),
            other => Err(self.form.wrong_type(node, "a string", other)),
        }
    }

    fn check_base64(&self, scanner: &Scanner<'_>, bytes: &[u8]) -> Result<(), Refusal> {
        let found = scanner.found(self.data_base64);
        let data = scanner.found(self.data).kind;
        let refuse = |what| Err(self.form.refuse(RefusalCode::InvalidValue, self.data_base64, what));
        match found.kind {
            Kind::Absent | Kind::Null => Ok(()),
            Kind::String if !matches!(data, Kind::Absent | Kind::Null) => {
                refuse("expected only one of data and data_base64, found both")
            }
            Kind::String if found.escaped => {
                let mut plain = Vec::new();
                unescape(found.slice(bytes), &mut plain);
                if is_base64(&plain) { Ok(()) } else { refuse("expected base64, found other text") }
            }
            Kind::String if is_base64(found.slice(bytes)) => Ok(()),
            Kind::String => refuse("expected base64, found other text"),
            other => Err(self.form.wrong_type(self.data_base64, "a string", other)),
        }
    }

    /// The verdict from the attributes, and from the data as far as the scanner knows it. The draft's data is
    /// still to be filled in.
    fn draft(
        &self,
        attributes: Attributes,
        scanner: &Scanner<'_>,
        batch: &mut Batch,
        setting: Setting,
    ) -> Result<Draft, Refusal> {
        let form = &self.form;
        for (node, span) in self.nodes.into_iter().zip(attributes).take(4) {
            if span.is_empty() {
                return Err(form.missing(node, "a string that is not empty", Kind::Absent));
            }
        }
        let [version_at, id_at, _, kind_at, time_at, subject_at, partition_key_at, ..] = self.nodes;
        let [version, id, source, kind, time, subject, partition_key, ..] = attributes;
        if batch.slice(version) != b"1.0" {
            let message = format!("expected 1.0, found {}", excerpt(batch.slice(version)));
            return Err(form.refuse(RefusalCode::InvalidValue, version_at, &message));
        }
        // The extension `partitionkey` exists to say what the subject cannot: it goes first.
        let key = match (partition_key.is_empty(), subject.is_empty()) {
            (false, _) => form.bounded(partition_key_at, partition_key).map(|()| partition_key)?,
            (true, false) => form.bounded(subject_at, subject).map(|()| subject)?,
            (true, true) => form.word(form.key, scanner, batch)?,
        };
        form.bounded(id_at, id)?;
        form.bounded(kind_at, kind)?;
        let time = match time.is_empty() {
            true => form.time(scanner, &batch.bytes, setting.now)?,
            false => form.time_from_text(time_at, batch.slice(time), setting.now)?,
        };
        form.needs(scanner, &batch.bytes)?;
        let partition = form.partition(key, batch, setting);
        // An id is unique within its source. A source may be spelled as a tenant's name is: were it a scope beside the
        // tenants, one could make another's events duplicates.
        let id_hash = match form.dedup {
            true => setting.hasher.scoped(SOURCES).scoped(batch.slice(source)).hash(batch.slice(id)),
            false => 0,
        };
        Ok(Draft { partition, time, id_hash, data: Span::EMPTY, key, kind, id, headers: setting.headers })
    }
}

/// Whether a record's content type says that it holds a CloudEvent in its JSON form.
pub(crate) fn is_structured(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(STRUCTURED.as_bytes())
}

/// Adds what the records of a structured or batched request have as headers: consumers learn that a CloudEvent is inside.
pub(crate) fn put_record_headers(list: &mut Vec<u8>) {
    event::headers::put(list, "content-type", STRUCTURED.as_bytes());
}

/// What a dead letter keeps of a request in binary mode besides its body, as long as it is within the limit.
pub(crate) fn attributes(headers: &HeaderMap) -> Vec<u8> {
    let list = all_attributes(headers);
    if list.len() > HEADERS_BYTES_MAX { Vec::new() } else { list }
}

/// What a request in binary mode says in its headers, in the encoding of a record's.
pub(crate) fn all_attributes(headers: &HeaderMap) -> Vec<u8> {
    let mut list = Vec::new();
    binary::put_list(&mut list, headers);
    list
}

/// Which CloudEvents mode a request is in; `None` when it is none.
///
/// # Errors
/// When it is in an event format other than JSON.
pub(crate) fn mode(headers: &HeaderMap) -> Result<Option<Format<'_>>, ApiError> {
    let media_type = media_type(headers).unwrap_or_default();
    let is = |name: &str| media_type.eq_ignore_ascii_case(name.as_bytes());
    let family = "application/cloudevents";
    if is(STRUCTURED) {
        return Ok(Some(Format::CloudEvent));
    }
    if is(BATCHED) {
        return Ok(Some(Format::CloudEvents));
    }
    if media_type.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family.as_bytes())) {
        let message = format!("this CloudEvents format is not supported; send {STRUCTURED}, {BATCHED}, or binary mode");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    // One of the four that must be there is enough to tell what is meant; the verdict names those that are missing.
    let binary = NAMES[..4].iter().any(|name| headers.contains_key(format!("ce-{name}")));
    Ok(binary.then_some(Format::BinaryCloudEvent(headers)))
}

/// RFC 4648, with padding, as the JSON format asks for.
fn is_base64(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let letters = &text[..text.len() - padding];
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len().is_multiple_of(4) && padding <= 2 && letters.iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_told_from_other_text() {
        for yes in ["", "AA==", "AAA=", "AAAA", "+/+/"] {
            assert!(is_base64(yes.as_bytes()), "{yes}");
        }
        for no in ["A", "AA", "AAA", "A===", "====", "AA=A", "AA-_", "AAAA\n", "ä==="] {
            assert!(!is_base64(no.as_bytes()), "{no}");
        }
    }
}
