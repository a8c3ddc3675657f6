//! The binary mode: the attributes are headers, the body is the data, whatever it is.

use axum::http::{HeaderMap, header};
use event::limits::{EVENT_BYTES_MAX, HEADERS_BYTES_MAX, JSON_DEPTH_MAX};
use event::{Batch, Draft, RefusalCode, Span, headers as record_headers};

use super::headers::{PREFIX, text};
use super::{Attributes, CloudForm, NAMES};
use crate::scan::{Flaw, Scanner, skip_space};
use crate::verdict::{Refusal, Setting};

impl CloudForm {
    /// Judges the event of one request; its data is the whole body of the batch.
    pub(crate) fn judge_binary(
        &self,
        headers: &HeaderMap,
        scanner: &mut Scanner<'_>,
        batch: &mut Batch,
        setting: Setting,
    ) -> Result<Draft, Refusal> {
        let length = batch.bytes.len();
        if length > EVENT_BYTES_MAX {
            return Err(too_large(format!("expected at most {EVENT_BYTES_MAX} bytes in one event, found {length}")));
        }
        // What every record has goes first, and nothing that a sender says comes before it.
        let mut list = batch.slice(setting.headers).to_vec();
        put_list(&mut list, headers);
        if list.len() > HEADERS_BYTES_MAX {
            let message = format!("expected at most {HEADERS_BYTES_MAX} bytes of attributes, found {}", list.len());
            return Err(too_large(message));
        }
        let mut attributes = Attributes::default();
        for name in headers.keys().filter_map(|name| name.as_str().strip_prefix(PREFIX)) {
            let value = self.value(headers, name)?;
            if let Some(at) = NAMES.iter().position(|known| *known == name) {
                attributes[at] = batch.put_side(value.as_bytes());
            }
        }
        self.scan(headers, scanner, batch)?;
        let draft = self.draft(attributes, scanner, batch, setting)?;
        Ok(Draft { data: Span::shared(0, length), headers: batch.put_side(&list), ..draft })
    }

    /// One attribute: there once, and text.
    fn value(&self, headers: &HeaderMap, name: &str) -> Result<String, Refusal> {
        let refuse = |code, what: &str| {
            let pointer = format!("/{name}");
            Err(Refusal { code, message: format!("{pointer}: {what} (header {PREFIX}{name})"), pointer })
        };
        let mut values = headers.get_all(format!("{PREFIX}{name}")).iter();
        match (values.next().and_then(|value| text(value.as_bytes())), values.next()) {
            (_, Some(_)) => refuse(RefusalCode::DuplicateField, "expected once, found twice"),
            (None, None) => refuse(RefusalCode::InvalidValue, "expected UTF-8, percent-encoded"),
            (Some(value), None) => Ok(value.into_owned()),
        }
    }

    /// Looks into data that is JSON, for what the stream asks of it. Data that says that it is JSON must be; data that
    /// does not say may be.
    fn scan(&self, headers: &HeaderMap, scanner: &mut Scanner<'_>, batch: &Batch) -> Result<(), Refusal> {
        let body = &batch.bytes;
        let says_json = headers.get(header::CONTENT_TYPE).map(|value| record_headers::is_json(value.as_bytes()));
        if body.is_empty() || says_json == Some(false) {
            return Ok(());
        }
        let scanned = scanner.value_of(self.data, body, 0).and_then(|scanned| match skip_space(body, scanned.end) {
            end if end == body.len() => Ok(scanned),
            end => Err(Flaw::new(end, "the end of the body")),
        });
        match scanned {
            Ok(scanned) if scanned.too_deep => {
                let message = format!("expected at most {JSON_DEPTH_MAX} nested objects and arrays, found more");
                Err(self.form.refuse(RefusalCode::TooDeep, self.data, &message))
            }
            Ok(_) => self.form.once(scanner),
            Err(flaw) if says_json.is_some() => {
                let message = format!("byte {} of the body: {}", flaw.at, flaw.describe(body));
                Err(self.form.refuse(RefusalCode::InvalidJson, self.data, &message))
            }
            // What was found before the flaw is not there.
            Err(_) => {
                scanner.forget();
                Ok(())
            }
        }
    }
}

/// Adds the headers of the record: what the data is, and every attribute under its `ce-` name, so that none can pass for a
/// header of ours. A value that cannot be decoded stays as it came, for the dead letter.
pub(super) fn put_list(list: &mut Vec<u8>, headers: &HeaderMap) {
    if let Some(value) = headers.get(header::CONTENT_TYPE) {
        record_headers::put(list, "content-type", value.as_bytes());
    }
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(PREFIX)) {
        match text(value.as_bytes()) {
            Some(text) => record_headers::put(list, name.as_str(), text.as_bytes()),
            None => record_headers::put(list, name.as_str(), value.as_bytes()),
        }
    }
}

fn too_large(message: String) -> Refusal {
    Refusal { code: RefusalCode::TooLarge, pointer: String::new(), message }
}
