//! A request body taken apart: the events that may go to their stream, and the refused ones with their reasons.

use bytes::Bytes;
use event::limits::{EVENT_BYTES_MAX, JSON_DEPTH_MAX, REQUEST_EVENTS_MAX};
use event::{Batch, Millis, RefusalCode, Stream, StreamId};
use log::IdHasher;

use crate::IntakeError;
use crate::refused::{Refused, Rejected};
use crate::scan::{Flaw, Kind, Scanned, Scanner, place, skip_space};
use crate::verdict::{Form, Refusal, Setting};

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object, or a JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// What a request says besides its body.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// How the body holds its events.
    pub format: Format,
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

/// Takes bodies for one stream apart. Pure: no log, no clock.
#[derive(Debug)]
pub struct Sifter {
    stream: StreamId,
    refused: StreamId,
    name: String,
    form: Form,
}

impl Sifter {
    /// A sifter for one stream; `refused` is the internal stream.
    pub fn new(id: StreamId, stream: &Stream, refused: StreamId) -> Self {
        Self { stream: id, refused, name: stream.name.clone(), form: Form::new(stream) }
    }

    /// Judges every event of a body. The batches share its bytes.
    ///
    /// # Errors
    /// When the body as a whole cannot be taken: empty, not JSON, or more than
    /// [`event::limits::REQUEST_EVENTS_MAX`] events.
    pub fn sift(&self, body: &Bytes, envelope: Envelope<'_>) -> Result<Sifted, IntakeError> {
        let Envelope { now, keyless_partition, hasher, .. } = envelope;
        let mut work = Work {
            form: &self.form,
            scanner: Scanner::new(&self.form.fields),
            setting: Setting { now, keyless_partition, hasher },
            count: 0,
            batch: Batch::new(self.stream, body.clone()),
            refused: Refused::new(self.refused, body.clone(), &self.name, envelope.request_id, now),
        };
        let first = skip_space(body, 0);
        match (envelope.format, body.get(first)) {
            (_, None) => return Err(IntakeError::EmptyBody),
            (Format::Ndjson, _) => work.lines(body)?,
            (Format::Json, Some(b'[')) => work.array(body, first)?,
            (Format::Json, Some(b'{')) => work.object(body, first)?,
            (Format::Json, Some(_)) => {
                return Err(malformed(body, Flaw::new(first, "a JSON object or an array of objects")));
            }
        }
        Ok(Sifted { batch: work.batch, refused: work.refused.batch, listed: work.refused.listed })
    }
}

struct Work<'a> {
    form: &'a Form,
    scanner: Scanner<'a>,
    setting: Setting,
    count: usize,
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

    /// A broken element breaks the body: where the next one would begin cannot be known.
    fn array(&mut self, body: &[u8], start: usize) -> Result<(), IntakeError> {
        let mut at = skip_space(body, start + 1);
        if body.get(at) == Some(&b']') {
            at += 1;
        } else {
            loop {
                let scanned = self.scanner.value(body, at).map_err(|flaw| malformed(body, flaw))?;
                self.take(scanned)?;
                at = skip_space(body, scanned.end);
                match body.get(at) {
                    Some(b',') => at += 1,
                    Some(b']') => break at += 1,
                    _ => return Err(malformed(body, Flaw::new(at, "`,` or `]`"))),
                }
            }
        }
        let rest = skip_space(body, at);
        if rest < body.len() {
            return Err(malformed(body, Flaw::new(rest, "the end of the body")));
        }
        if self.count == 0 { Err(IntakeError::NoEvents) } else { Ok(()) }
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
            self.form.judge(&self.scanner, scanned, &mut self.batch, self.setting)
        };
        match judged {
            Ok(draft) => {
                self.batch.drafts.push(draft);
                self.counted().map(|_| ())
            }
            Err(refusal) => self.refuse(start, end, refusal),
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
        if self.count > REQUEST_EVENTS_MAX { Err(IntakeError::TooManyEvents) } else { Ok(index) }
    }
}

fn too_large(length: usize) -> Refusal {
    let message = format!("expected at most {EVENT_BYTES_MAX} bytes in one event, found {length}");
    whole(RefusalCode::TooLarge, message)
}

fn whole(code: RefusalCode, message: String) -> Refusal {
    Refusal { code, pointer: String::new(), message }
}

fn malformed(body: &[u8], flaw: Flaw) -> IntakeError {
    IntakeError::Malformed(format!("{}: {}", place(body, flaw.at), flaw.describe(body)))
}
