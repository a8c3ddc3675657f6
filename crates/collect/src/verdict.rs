//! The verdict on one event: its draft for the log, or the reason why it is refused.

use event::limits::KEY_BYTES_MAX;
use event::{Batch, Draft, JsonKind, Millis, NO_TIME, RefusalCode, Span, Stream, TimeUnit, partition_of};
use log::IdHasher;

use crate::scan::{Fields, Found, Kind, Node, Scanned, Scanner, excerpt, is_integer, unescape};
use crate::time;

/// How far ahead a time may be that a protocol carries into a stream without a time of its own. The same as for a
/// stream that does not say: a time far ahead would empty every window of its key.
const FOREIGN_FUTURE_MS: Millis = 300_000;

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    /// The field at fault; empty for the whole event.
    pub(crate) pointer: String,
    pub(crate) message: String,
}

/// A field that the stream reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) node: Node,
    pub(crate) required: bool,
}

#[derive(Debug)]
struct Time {
    word: Word,
    unit: TimeUnit,
    max_future_ms: Millis,
}

#[derive(Debug)]
struct Need {
    node: Node,
    kind: JsonKind,
    one_of: Vec<String>,
}

/// What a stream asks of its events, made ready for scanning.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) fields: Fields,
    pub(crate) key: Option<Word>,
    time: Option<Time>,
    id: Option<Word>,
    kind: Option<Word>,
    needs: Vec<Need>,
    partitions: u32,
    pub(crate) dedup: bool,
}

/// What is the same for all events of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The receiving clock, read once.
    pub(crate) now: Millis,
    /// Where events without a key go.
    pub(crate) keyless_partition: u32,
    /// How ids become hashes: each tenant's in its own way.
    pub(crate) hasher: IdHasher,
    /// The headers that every record has; in the batch once, and shared.
    pub(crate) headers: Span,
}

impl Form {
    pub(crate) fn new(stream: &Stream) -> Self {
        Self::inside(None, stream)
    }

    /// The same for events that lie in a member of what is scanned.
    pub(crate) fn inside(member: Option<&str>, stream: &Stream) -> Self {
        let mut fields = Fields::new();
        let mut add = |path: &event::FieldPath| match member {
            Some(member) => fields.add(&path.within(member)),
            None => fields.add(path),
        };
        let mut word = |field: &event::Field| Word { node: add(&field.path), required: field.required };
        let key = stream.key.as_ref().map(&mut word);
        let id = stream.id.as_ref().map(&mut word);
        let kind = stream.kind.as_ref().map(&mut word);
        let time = stream.time.as_ref();
        let time = time.map(|t| Time { word: word(&t.field), unit: t.unit, max_future_ms: t.max_future_ms });
        let need = |r: &event::Requirement| Need { node: add(&r.path), kind: r.kind, one_of: r.one_of.clone() };
        let needs = stream.require.iter().map(need).collect();
        Self { fields, key, time, id, kind, needs, partitions: stream.partitions, dedup: stream.dedup.is_some() }
    }

    /// Judges the event that the scanner has just been over. Texts that have to be made go to the batch's side buffer.
    #[inline]
    pub(crate) fn judge(
        &self,
        scanner: &Scanner<'_>,
        scanned: Scanned,
        batch: &mut Batch,
        setting: Setting,
    ) -> Result<Draft, Refusal> {
        self.once(scanner)?;
        let key = self.word(self.key, scanner, batch)?;
        let id = self.word(self.id, scanner, batch)?;
        let kind = self.word(self.kind, scanner, batch)?;
        let time = self.time(scanner, &batch.bytes, setting.now)?;
        self.needs(scanner, &batch.bytes)?;
        let partition = self.partition(key, batch, setting);
        let id_hash = if self.dedup && !id.is_empty() { setting.hasher.hash(batch.slice(id)) } else { 0 };
        let data = Span::shared(scanned.start, scanned.end - scanned.start);
        Ok(Draft { partition, time, id_hash, data, key, kind, id, headers: setting.headers })
    }

    /// No field that is read stands there twice.
    #[inline]
    pub(crate) fn once(&self, scanner: &Scanner<'_>) -> Result<(), Refusal> {
        match scanner.twice() {
            None => Ok(()),
            Some(node) => Err(self.refuse(RefusalCode::DuplicateField, node, "expected once, found twice")),
        }
    }

    /// Everything that has to be there is.
    #[inline]
    pub(crate) fn needs(&self, scanner: &Scanner<'_>, bytes: &[u8]) -> Result<(), Refusal> {
        self.needs.iter().try_for_each(|need| self.need(need, scanner.found(need.node), bytes))
    }

    /// Where an event with this key goes.
    #[inline]
    pub(crate) fn partition(&self, key: Span, batch: &Batch, setting: Setting) -> u32 {
        match key.is_empty() {
            true => setting.keyless_partition,
            false => partition_of(batch.slice(key), self.partitions),
        }
    }

    /// A field that is kept as text: a string's content, or a number or boolean as it is written.
    #[inline]
    pub(crate) fn word(&self, word: Option<Word>, scanner: &Scanner<'_>, batch: &mut Batch) -> Result<Span, Refusal> {
        const EXPECTED: &str = "a string, a number or a boolean";
        let Some(word) = word else { return Ok(Span::EMPTY) };
        let found = scanner.found(word.node);
        let length = (found.end - found.start) as usize;
        let span = match found.kind {
            Kind::Absent | Kind::Null => Span::EMPTY,
            // An escape is six bytes at the most and yields one at the least: a longer one need not be looked into.
            Kind::String if found.escaped && length <= 6 * KEY_BYTES_MAX => {
                let mut plain = Vec::with_capacity(length);
                unescape(found.slice(&batch.bytes), &mut plain);
                batch.put_side(&plain)
            }
            Kind::String | Kind::Number | Kind::Boolean => Span::shared(found.start as usize, length),
            Kind::Object | Kind::Array => return Err(self.wrong_type(word.node, EXPECTED, found.kind)),
        };
        self.bounded(word.node, span)?;
        if span.is_empty() && word.required {
            return Err(self.missing(word.node, EXPECTED, found.kind));
        }
        Ok(span)
    }

    /// A key, a type or an id is indexed, so it must be short.
    #[inline]
    pub(crate) fn bounded(&self, node: Node, span: Span) -> Result<(), Refusal> {
        if span.len() <= KEY_BYTES_MAX {
            return Ok(());
        }
        let message = format!("expected at most {KEY_BYTES_MAX} bytes, found {}", span.len());
        Err(self.refuse(RefusalCode::TooLarge, node, &message))
    }

    #[inline]
    pub(crate) fn time(&self, scanner: &Scanner<'_>, bytes: &[u8], now: Millis) -> Result<Millis, Refusal> {
        let Some(Time { word, unit, max_future_ms }) = &self.time else { return Ok(NO_TIME) };
        let found = scanner.found(word.node);
        let read = match (found.kind, unit) {
            (Kind::Absent | Kind::Null, _) if word.required => {
                return Err(self.missing(word.node, unit_name(*unit), found.kind));
            }
            (Kind::Absent | Kind::Null, _) => return Ok(NO_TIME),
            (Kind::String, TimeUnit::Rfc3339 | TimeUnit::Auto) if found.escaped => {
                let mut plain = Vec::new();
                unescape(found.slice(bytes), &mut plain);
                time::from_text(&plain)
            }
            (Kind::String, TimeUnit::Rfc3339 | TimeUnit::Auto) => time::from_text(found.slice(bytes)),
            (Kind::Number, TimeUnit::Seconds | TimeUnit::Millis | TimeUnit::Micros | TimeUnit::Auto) => {
                time::from_number(found.slice(bytes), *unit)
            }
            (other, _) => return Err(self.wrong_type(word.node, unit_name(*unit), other)),
        };
        self.plausible(word.node, read, (*unit, found.slice(bytes)), now, *max_future_ms)
    }

    /// A time given as text at another place than the stream's own: RFC 3339, bounded as the stream's own is.
    pub(crate) fn time_from_text(&self, node: Node, text: &[u8], now: Millis) -> Result<Millis, Refusal> {
        let max_future_ms = self.time.as_ref().map_or(FOREIGN_FUTURE_MS, |time| time.max_future_ms);
        self.plausible(node, time::from_text(text), (TimeUnit::Rfc3339, text), now, max_future_ms)
    }

    #[inline]
    pub(crate) fn plausible(
        &self,
        node: Node,
        read: Option<Millis>,
        (unit, text): (TimeUnit, &[u8]),
        now: Millis,
        max_future_ms: Millis,
    ) -> Result<Millis, Refusal> {
        let Some(time) = read else {
            let value = excerpt(text);
            let message = format!("expected {} in the years 1 to 9999, found {value}", unit_name(unit));
            return Err(self.refuse(RefusalCode::InvalidTime, node, &message));
        };
        if time > now.saturating_add(max_future_ms) {
            let (time, now) = (api::time::to_rfc3339(time), api::time::to_rfc3339(now));
            let message = format!("expected at most {max_future_ms} ms after the server's {now}, found {time}");
            return Err(self.refuse(RefusalCode::TimeInFuture, node, &message));
        }
        Ok(time)
    }

    fn need(&self, need: &Need, found: Found, bytes: &[u8]) -> Result<(), Refusal> {
        let (name, right) = match need.kind {
            JsonKind::String => ("a string", found.kind == Kind::String),
            JsonKind::Integer => {
                ("an integer of 64 bits", found.kind == Kind::Number && is_integer(found.slice(bytes)))
            }
            JsonKind::Number => ("a number", found.kind == Kind::Number),
            JsonKind::Boolean => ("true or false", found.kind == Kind::Boolean),
            JsonKind::Object => ("an object", found.kind == Kind::Object),
            JsonKind::Array => ("an array", found.kind == Kind::Array),
        };
        if matches!(found.kind, Kind::Absent | Kind::Null) {
            return Err(self.missing(need.node, name, found.kind));
        }
        if !right && found.kind == Kind::Number && need.kind == JsonKind::Integer {
            let message = format!("expected {name}, found {}", excerpt(found.slice(bytes)));
            return Err(self.refuse(RefusalCode::WrongType, need.node, &message));
        }
        if !right {
            return Err(self.wrong_type(need.node, name, found.kind));
        }
        if need.one_of.is_empty() || is_one_of(&need.one_of, found, bytes) {
            return Ok(());
        }
        let known = need.one_of.join(", ");
        let message = format!("expected one of {}, found {}", excerpt(known.as_bytes()), excerpt(found.slice(bytes)));
        Err(self.refuse(RefusalCode::InvalidValue, need.node, &message))
    }

    pub(crate) fn missing(&self, node: Node, expected: &str, found: Kind) -> Refusal {
        let found = if found == Kind::String { "an empty string" } else { found.as_str() };
        self.refuse(RefusalCode::MissingField, node, &format!("expected {expected}, found {found}"))
    }

    pub(crate) fn wrong_type(&self, node: Node, expected: &str, found: Kind) -> Refusal {
        self.refuse(RefusalCode::WrongType, node, &format!("expected {expected}, found {}", found.as_str()))
    }

    /// The message names the field, so that it can be read alone.
    pub(crate) fn refuse(&self, code: RefusalCode, node: Node, what: &str) -> Refusal {
        let pointer = self.fields.pointer(node).to_owned();
        Refusal { code, message: format!("{pointer}: {what}"), pointer }
    }
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Seconds => "seconds since the epoch (number)",
        TimeUnit::Millis => "milliseconds since the epoch (number)",
        TimeUnit::Micros => "microseconds since the epoch (number)",
        TimeUnit::Rfc3339 => "a time as RFC 3339 writes it (string)",
        TimeUnit::Auto => "a time as RFC 3339 writes it (string) or milliseconds since the epoch (number)",
    }
}

fn is_one_of(known: &[String], found: Found, bytes: &[u8]) -> bool {
    let raw = found.slice(bytes);
    if !found.escaped {
        return known.iter().any(|k| k.as_bytes() == raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    unescape(raw, &mut plain);
    known.iter().any(|k| *k.as_bytes() == *plain)
}
