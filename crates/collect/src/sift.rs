//! A request body taken apart: the events that may go to their stream, and the refused ones with their reasons.

use axum::http::HeaderMap;
use bytes::Bytes;
use event::limits::{EVENT_BYTES_MAX, JSON_DEPTH_MAX, REQUEST_EVENTS_MAX};
use event::{Batch, Draft, Millis, RefusalCode, Span, Stream, StreamId};
use log::IdHasher;

use crate::IntakeError;
use crate::cloudevents::{self, CloudForm};
use crate::collector::{self, CollectorSettings, Model};
use crate::refused::{Refused, Rejected};
use crate::scan::{Flaw, Kind, Scanned, Scanner, place, skip_space};
use crate::segment;
use crate::verdict::{Form, Refusal, Setting};

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format<'a> {
    /// One JSON object, or a JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// One CloudEvent in its JSON form.
    CloudEvent,
    /// A JSON array of CloudEvents; it may be empty.
    CloudEvents,
    /// One CloudEvent whose attributes are these headers; the body is its data, whatever it is.
    BinaryCloudEvent(&'a HeaderMap),
    /// One Segment event, of this type unless it says another.
    Segment(&'static str),
    /// A JSON object with an array of Segment events in its member `batch`.
    SegmentBatch,
}

/// What a request says besides its body.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Whose the events are; empty for the default tenant.
    pub tenant: &'a str,
    /// How the body holds its events.
    pub format: Format<'a>,
    /// The request's id, for dead letters.
    pub request_id: &'a str,
    /// The receiving clock, in milliseconds since the epoch: one reading for the whole request.
    pub now: Millis,
    /// The partition of events without a key.
    pub keyless_partition: u32,
    /// How ids become hashes.
    pub hasher: IdHasher,
}

/// A body taken apart.
#[derive(Debug)]
pub struct Sifted {
    /// The events that may go to their stream.
    pub batch: Batch,
    /// The refused ones, for the internal stream; as many drafts as events were refused.
    pub refused: Batch,
    /// The refused ones, for the answer; at most [`event::limits::REJECTED_LISTED_MAX`].
    pub listed: Vec<Rejected>,
}

impl Sifted {
    /// Gives ids to the events that have none, made of where they begin in the body: so that a body which is sent again
    /// is told. Only for the eyes of duplicate suppression: an event is still known by its position.
    pub(crate) fn give_ids(&mut self, ids: IdHasher) {
        for draft in self.batch.drafts.iter_mut().filter(|draft| draft.id_hash == 0) {
            // Data is always a part of the body.
            let begins = draft.data.shared_start().unwrap_or_default() as u64;
            draft.id_hash = ids.hash(&begins.to_le_bytes());
        }
    }
}

/// Takes bodies for one stream apart. Pure: no log, no clock.
#[derive(Debug)]
pub struct Sifter {
    stream: StreamId,
    refused: StreamId,
    name: String,
    form: Form,
    cloud: CloudForm,
    /// What Segment's protocol knows besides.
    segment: Option<segment::Model>,
    /// What the collector asks besides.
    model: Option<Model>,
    max: usize,
}

impl Sifter {
    /// A sifter for one stream; `refused` is the internal stream.
    pub fn new(id: StreamId, stream: &Stream, refused: StreamId) -> Self {
        let (name, mut form, cloud) = (stream.name.clone(), Form::new(stream), CloudForm::new(stream));
        let segment = segment::Model::of(stream, &mut form);
        Self { stream: id, refused, name, form, cloud, segment, model: None, max: REQUEST_EVENTS_MAX }
    }

    /// A sifter for the collector: what the stream asks and, besides, what the collector's event model does.
    pub(crate) fn for_collector(id: StreamId, stream: &Stream, refused: StreamId, settings: CollectorSettings) -> Self {
        let mut sifter = Self::new(id, stream, refused);
        sifter.model = Some(Model::new(&mut sifter.form, stream, settings));
        Self { max: collector::EVENTS_MAX, ..sifter }
    }

    /// Judges every event of a body. The batches share its bytes.
    ///
    /// # Errors
    /// When the body as a whole cannot be taken: empty, not JSON, or more than
    /// [`event::limits::REQUEST_EVENTS_MAX`] events.
    pub fn sift(&self, body: &Bytes, envelope: Envelope<'_>) -> Result<Sifted, IntakeError> {
        let mut work = self.work(body, envelope);
        let first = skip_space(body, 0);
        match (envelope.format, body.get(first)) {
            (Format::BinaryCloudEvent(headers), _) => work.binary(headers)?,
            (_, None) => return Err(IntakeError::EmptyBody),
            (Format::Ndjson, _) => work.lines(body)?,
            (Format::Json, Some(b'[')) => work.array(body, first)?,
            (Format::CloudEvents, Some(b'[')) => match work.array(body, first) {
                Err(IntakeError::NoEvents) => {}
                other => other?,
            },
            (Format::Json | Format::CloudEvent | Format::Segment(_), Some(b'{')) => work.object(body, first)?,
            (Format::SegmentBatch, Some(b'{')) => segment::batch(&mut work, body, first)?,
            (format, Some(_)) => return Err(malformed(body, Flaw::new(first, format.begins_with()))),
        }
        Ok(work.done())
    }

    pub(crate) fn work<'a>(&'a self, body: &Bytes, envelope: Envelope<'a>) -> Work<'a> {
        let Envelope { tenant, format, request_id: _, now, keyless_partition, hasher } = envelope;
        let mut batch = Batch::new(self.stream, body.clone());
        let headers = record_headers(tenant, format);
        let headers = if headers.is_empty() { Span::EMPTY } else { batch.put_side(&headers) };
        let hasher = if tenant.is_empty() { hasher } else { hasher.scoped(tenant.as_bytes()) };
        let (form, protocol) = match format {
            Format::Json | Format::Ndjson => (&self.form, Protocol::Plain),
            Format::CloudEvent | Format::CloudEvents | Format::BinaryCloudEvent(_) => {
                (&self.cloud.form, Protocol::CloudEvents(&self.cloud))
            }
            Format::Segment(call) => {
                (&self.form, Protocol::Segment(self.segment.as_ref(), batch.put_side(call.as_bytes())))
            }
            Format::SegmentBatch => (&self.form, Protocol::Segment(self.segment.as_ref(), Span::EMPTY)),
        };
        Work {
            form,
            protocol,
            model: self.model.as_ref(),
            tenant,
            scanner: Scanner::new(&form.fields),
            setting: Setting { now, keyless_partition, hasher, headers },
            max: self.max,
            count: 0,
            low: 0,
            batch,
            refused: Refused::new(self.refused, body.clone(), &self.name, &envelope),
        }
    }
}

impl Format<'_> {
    /// What a body has to begin with.
    fn begins_with(self) -> &'static str {
        match self {
            Self::Json => "a JSON object or an array of objects",
            Self::CloudEvents => "an array of CloudEvents",
            _ => "a JSON object",
        }
    }
}

/// What judges besides the stream's form.
#[derive(Clone, Copy)]
enum Protocol<'a> {
    Plain,
    CloudEvents(&'a CloudForm),
    /// With the type that the path said.
    Segment(Option<&'a segment::Model>, Span),
}

/// A body that is being taken apart.
pub(crate) struct Work<'a> {
    form: &'a Form,
    protocol: Protocol<'a>,
    model: Option<&'a Model>,
    tenant: &'a str,
    scanner: Scanner<'a>,
    setting: Setting,
    max: usize,
    count: usize,
    /// Events that their sender says are of low priority.
    pub(crate) low: usize,
    batch: Batch,
    refused: Refused<'a>,
}

impl Work<'_> {
    fn object(&mut self, body: &[u8], start: usize) -> Result<(), IntakeError> {
        let scanned = self.scanner.value(body, start).map_err(|flaw| malformed(body, flaw))?;
        let rest = skip_space(body, scanned.end);
        if rest < body.len() {
            let expected = "the end of the body (several objects, one a line, are content-type application/x-ndjson)";
            return Err(malformed(body, Flaw::new(rest, expected)));
        }
        self.take(scanned)
    }

    /// A body that is one array.
    pub(crate) fn array(&mut self, body: &[u8], start: usize) -> Result<(), IntakeError> {
        let end = self.elements(body, start)?;
        let rest = skip_space(body, end);
        if rest < body.len() {
            return Err(malformed(body, Flaw::new(rest, "the end of the body")));
        }
        self.any()
    }

    /// The elements of the array that begins at `start`; gives the place behind it. A broken element breaks the body:
    /// where the next one would begin cannot be known.
    pub(crate) fn elements(&mut self, body: &[u8], start: usize) -> Result<usize, IntakeError> {
        let mut at = skip_space(body, start + 1);
        if body.get(at) == Some(&b']') {
            return Ok(at + 1);
        }
        loop {
            let scanned = self.scanner.value(body, at).map_err(|flaw| malformed(body, flaw))?;
            self.take(scanned)?;
            at = skip_space(body, scanned.end);
            match body.get(at) {
                Some(b',') => at += 1,
                Some(b']') => return Ok(at + 1),
                _ => return Err(malformed(body, Flaw::new(at, "`,` or `]`"))),
            }
        }
    }

    /// Refuses a body without events.
    pub(crate) fn any(&self) -> Result<(), IntakeError> {
        if self.count == 0 { Err(IntakeError::NoEvents) } else { Ok(()) }
    }

    pub(crate) fn done(self) -> Sifted {
        Sifted { batch: self.batch, refused: self.refused.batch, listed: self.refused.listed }
    }

    /// A body that is the data of one event.
    fn binary(&mut self, headers: &HeaderMap) -> Result<(), IntakeError> {
        let Protocol::CloudEvents(form) = self.protocol else { return Ok(()) };
        match form.judge_binary(headers, &mut self.scanner, &mut self.batch, self.setting) {
            Ok(draft) => {
                self.batch.drafts.push(draft);
                self.counted().map(|_| ())
            }
            Err(refusal) => {
                self.refused.also = cloudevents::attributes(headers);
                self.refuse(0, self.batch.bytes.len(), refusal)
            }
        }
    }

    /// A broken line is one refused event; blank lines are none.
    fn lines(&mut self, body: &[u8]) -> Result<(), IntakeError> {
        let mut next = 0;
        while next < body.len() {
            let line_end = memchr::memchr(b'\n', &body[next..]).map_or(body.len(), |length| next + length);
            let start = skip_space(&body[..line_end], next);
            next = line_end + 1;
            if start == line_end {
                continue;
            }
            let end = start + body[start..line_end].trim_ascii_end().len();
            match self.line(&body[..end], start) {
                Ok(scanned) => self.take(scanned)?,
                Err(refusal) => self.refuse(start, end, refusal)?,
            }
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8], start: usize) -> Result<Scanned, Refusal> {
        if bytes.len() - start > EVENT_BYTES_MAX {
            return Err(too_large(bytes.len() - start));
        }
        let scanned = self.scanner.value(bytes, start).and_then(|scanned| match skip_space(bytes, scanned.end) {
            end if end == bytes.len() => Ok(scanned),
            end => Err(Flaw::new(end, "the end of the line")),
        });
        scanned.map_err(|flaw| {
            let message = format!("byte {} of the line: {}", flaw.at - start, flaw.describe(bytes));
            whole(RefusalCode::InvalidJson, message)
        })
    }

    /// Judges one valid value.
    #[inline]
    fn take(&mut self, scanned: Scanned) -> Result<(), IntakeError> {
        let Scanned { kind, start, end, too_deep } = scanned;
        let judged = if end - start > EVENT_BYTES_MAX {
            Err(too_large(end - start))
        } else if too_deep {
            let message = format!("expected at most {JSON_DEPTH_MAX} nested objects and arrays, found more");
            Err(whole(RefusalCode::TooDeep, message))
        } else if kind != Kind::Object {
            Err(whole(RefusalCode::NotAnObject, format!("expected an object, found {}", kind.as_str())))
        } else {
            self.judge(scanned).and_then(|draft| match self.model {
                None => Ok(draft),
                Some(model) => {
                    let draft = model.refine(draft, self.form, &self.scanner, &mut self.batch, self.setting)?;
                    model.check_tenant(self.tenant, self.form, &self.scanner, &self.batch.bytes).map(|()| draft)
                }
            })
        };
        match judged {
            Ok(draft) => {
                if let Some(model) = self.model {
                    self.low += usize::from(model.is_low(&self.scanner, &self.batch.bytes));
                }
                self.batch.drafts.push(draft);
                self.counted().map(|_| ())
            }
            Err(refusal) => self.refuse(start, end, refusal),
        }
    }

    #[inline]
    fn judge(&mut self, scanned: Scanned) -> Result<Draft, Refusal> {
        let (form, scanner, setting) = (self.form, &self.scanner, self.setting);
        match self.protocol {
            Protocol::Plain => form.judge(scanner, scanned, &mut self.batch, setting),
            Protocol::CloudEvents(cloud) => cloud.judge(scanner, scanned, &mut self.batch, setting),
            Protocol::Segment(model, call) => {
                let draft = form.judge(scanner, scanned, &mut self.batch, setting)?;
                let Some(model) = model else { return Ok(draft) };
                model.refine(draft, call, form, scanner, &mut self.batch, setting)
            }
        }
    }

    fn refuse(&mut self, start: usize, end: usize, refusal: Refusal) -> Result<(), IntakeError> {
        let index = self.counted()?;
        self.refused.push(index, start, end, refusal);
        Ok(())
    }

    /// Gives the next event its index.
    fn counted(&mut self) -> Result<u32, IntakeError> {
        let index = self.count as u32;
        self.count += 1;
        if self.count > self.max { Err(IntakeError::TooManyEvents { max: self.max }) } else { Ok(index) }
    }
}

/// The headers that every record of a request has. The tenant goes first, where it is looked for.
fn record_headers(tenant: &str, format: Format<'_>) -> Vec<u8> {
    let mut list = Vec::new();
    if !tenant.is_empty() {
        event::headers::put(&mut list, event::headers::TENANT, tenant.as_bytes());
    }
    list.extend_from_slice(&format_headers(format));
    list
}

/// Those of them that the form of the request decides.
pub(crate) fn format_headers(format: Format<'_>) -> Vec<u8> {
    let mut list = Vec::new();
    if matches!(format, Format::CloudEvent | Format::CloudEvents) {
        cloudevents::put_record_headers(&mut list);
    }
    list
}

fn too_large(length: usize) -> Refusal {
    let message = format!("expected at most {EVENT_BYTES_MAX} bytes in one event, found {length}");
    whole(RefusalCode::TooLarge, message)
}

fn whole(code: RefusalCode, message: String) -> Refusal {
    Refusal { code, pointer: String::new(), message }
}

pub(crate) fn malformed(body: &[u8], flaw: Flaw) -> IntakeError {
    IntakeError::Malformed(format!("{}: {}", place(body, flaw.at), flaw.describe(body)))
}
