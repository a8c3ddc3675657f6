//! One field of one event, checked for what the model wants there.

use std::borrow::Cow;

use event::{Millis, RefusalCode, TimeUnit};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use uuid::Uuid;

use super::model::{ID_CHARS_MAX, Model, Want};
use crate::scan::{Found, Kind, Node, excerpt, is_integer, unescape};
use crate::time;
use crate::verdict::{Form, Refusal};

/// How far ahead of our clock a time may be.
const MAX_FUTURE_MS: Millis = 300_000;

/// The one way to say a value.
pub(super) enum Canonical {
    Word(&'static str),
    Uuid([u8; uuid::fmt::Hyphenated::LENGTH]),
}

impl Canonical {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Word(word) => word.as_bytes(),
            Self::Uuid(text) => text,
        }
    }
}

/// One field of one event, being checked.
pub(super) struct Field<'a> {
    pub(super) model: &'a Model,
    pub(super) form: &'a Form,
    pub(super) node: Node,
    pub(super) found: Found,
    pub(super) want: Want,
}

impl Field<'_> {
    /// Gives its canonical text when that may differ from what was sent.
    pub(super) fn check(&self, bytes: &[u8], now: Millis) -> Result<Option<Canonical>, Refusal> {
        match self.want {
            Want::Id if !self.model.settings.strict_uuids => self.text(bytes, ID_CHARS_MAX).map(|()| None),
            Want::Uuid | Want::Id => self.uuid(bytes).map(Some),
            Want::Text(max) => self.text(bytes, max).map(|()| None),
            Want::Word(words) => {
                let text = self.string(bytes)?;
                let word = words.iter().find(|(sent, _)| sent.as_bytes() == &*text);
                word.map(|(_, meant)| Some(Canonical::Word(meant))).ok_or_else(|| self.bad_value(&text))
            }
            Want::Time => self.time(bytes, now).map(|()| None),
            Want::Object => self.is(Kind::Object).map(|()| None),
            Want::Numbers => self.numbers(bytes).map(|()| None),
            Want::Number { min, max } => self.number(bytes, min, max).map(|()| None),
            Want::Integer { min } => self.integer(bytes, min).map(|()| None),
        }
    }

    fn time(&self, bytes: &[u8], now: Millis) -> Result<(), Refusal> {
        let text = self.string(bytes)?;
        let read = time::from_text(&text);
        let time = self.form.plausible(self.node, read, (TimeUnit::Rfc3339, &text), now, MAX_FUTURE_MS)?;
        match self.model.settings.time_window_ms.filter(|window| time < now.saturating_sub(*window)) {
            None => Ok(()),
            Some(window) => {
                let (time, now) = (api::time::to_rfc3339(time), api::time::to_rfc3339(now));
                let message = format!("expected at most {window} ms before the server's {now}, found {time}");
                Err(self.form.refuse(RefusalCode::InvalidTime, self.node, &message))
            }
        }
    }

    fn is(&self, kind: Kind) -> Result<(), Refusal> {
        if self.found.kind == kind {
            return Ok(());
        }
        Err(self.form.wrong_type(self.node, &self.model.expected(self.want), self.found.kind))
    }

    fn bad_value(&self, value: &[u8]) -> Refusal {
        let found = if value.is_empty() { "an empty string".into() } else { excerpt(value) };
        let message = format!("expected {}, found {found}", self.model.expected(self.want));
        self.form.refuse(RefusalCode::InvalidValue, self.node, &message)
    }

    fn string<'b>(&self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Refusal> {
        self.is(Kind::String).map(|()| plain(self.found, bytes))
    }

    fn text(&self, bytes: &[u8], chars_max: usize) -> Result<(), Refusal> {
        let text = self.string(bytes)?;
        // A text of few bytes has few characters; only the others are counted.
        let fits = text.len() <= chars_max || chars(&text) <= chars_max;
        if fits && !text.is_empty() { Ok(()) } else { Err(self.bad_value(&text)) }
    }

    fn uuid(&self, bytes: &[u8]) -> Result<Canonical, Refusal> {
        let text = self.string(bytes)?;
        let uuid = Uuid::try_parse_ascii(&text).map_err(|_| self.bad_value(&text))?;
        let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
        uuid.hyphenated().encode_lower(&mut canonical);
        Ok(Canonical::Uuid(canonical))
    }

    fn number(&self, bytes: &[u8], min: f64, max: f64) -> Result<(), Refusal> {
        self.is(Kind::Number)?;
        let text = self.found.slice(bytes);
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        if value.is_some_and(|value| (min..=max).contains(&value)) { Ok(()) } else { Err(self.bad_value(text)) }
    }

    fn integer(&self, bytes: &[u8], min: f64) -> Result<(), Refusal> {
        self.number(bytes, min, f64::INFINITY)?;
        let text = self.found.slice(bytes);
        if is_integer(text) { Ok(()) } else { Err(self.bad_value(text)) }
    }

    fn numbers(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.is(Kind::Object)?;
        // It is known to be valid JSON; the end of the object is where the deserializer stops.
        let rest = &bytes[self.found.start as usize..];
        let read = Numbers::deserialize(&mut serde_json::Deserializer::from_slice(rest));
        read.map(drop).map_err(|_| self.bad_value(b"another value"))
    }
}

/// An object whose values are numbers, read into nothing.
struct Numbers;

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Numbers {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, f64>()?.is_some() {}
        Ok(self)
    }
}

/// The text of a string.
pub(super) fn plain(found: Found, bytes: &[u8]) -> Cow<'_, [u8]> {
    let raw = found.slice(bytes);
    if !found.escaped {
        return Cow::Borrowed(raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    unescape(raw, &mut plain);
    Cow::Owned(plain)
}

/// How many characters valid UTF-8 has.
fn chars(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
