//! `novel`: a value that this key never had before.
//!
//! The first `warm_up` records of a key that have a value are only learned from. After that a value that is not among
//! the known ones fires, and is known from then on, told or not. A record without the value, or with `null`, is passed
//! over. Values are equal when their JSON is, numbers by value (`1` is `1.0`).
//!
//! A key knows at most [`event::limits::RULE_VALUES_MAX`] values, in the order in which they were learned; when there
//! is one more, the one learned first is forgotten. Of a value over [`event::limits::KEY_BYTES_MAX`] bytes the beginning
//! and a hash are kept.

use std::borrow::Cow;
use std::fmt::Write;

use event::limits;
use xxhash_rust::xxh3::xxh3_64;

use super::silence::Silence;
use super::{Asked, Memory};
use crate::expr::Expr;
use crate::keys::Track;
use crate::row::{Row, Told};
use crate::value::{Value, write_json_text};
use crate::wire::{self, Reader};

/// What a rule of this kind can tell; `known` are the values before this one.
pub(crate) const NAMES: &[&str] = &["value", "known"];

/// Bytes of a long value that are kept.
const BEGINNING: usize = 128;

#[derive(Debug)]
pub(crate) struct Novel {
    pub(crate) value: Expr,
    pub(crate) warm_up: u64,
}

/// The memory of one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    silence: Silence,
    /// Records learned from, up to the warm-up.
    seen: u64,
    /// Values as JSON, each behind its length in two bytes.
    values: Box<[u8]>,
}

impl Novel {
    pub(crate) fn judge<'a>(
        &'a self,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
    ) -> Option<Told<'a>> {
        let Memory::Novel(keys) = memory else {
            return None;
        };
        let value = self.value.eval(row);
        asked.text.clear();
        write_short(&value, &mut asked.text);
        if asked.text == "null" {
            return None;
        }
        let (time, cooldown) = (row.record.time, asked.cooldown_ms);
        let (owner, hash) = asked.who(&row.record);
        let text = asked.text.as_bytes();
        let known = keys.update(asked.bounds, hash, owner, |known| known.take(text, time, self.warm_up, cooldown))?;
        Some([value, Value::Json(Cow::Owned(known)), Value::Missing, Value::Missing])
    }
}

impl Known {
    /// Takes a value; gives the list of those before when the rule fires.
    fn take(&mut self, value: &[u8], time: event::Millis, warm_up: u64, cooldown_ms: event::Millis) -> Option<String> {
        self.silence.see(time);
        let learns = self.seen < warm_up;
        self.seen += u64::from(learns);
        if self.iter().any(|known| known == value) {
            return None;
        }
        let list = (!learns && self.silence.fire(cooldown_ms)).then(|| self.list());
        self.learn(value);
        list
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.values;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            rest = after;
            Some(value)
        })
    }

    fn learn(&mut self, value: &[u8]) {
        let full = self.iter().count() >= limits::RULE_VALUES_MAX;
        let first = if full { self.iter().next().map_or(0, |first| first.len() + 2) } else { 0 };
        let len = (value.len() as u16).to_le_bytes();
        self.values = [&self.values[first..], &len, value].concat().into();
    }

    fn list(&self) -> String {
        let mut list = String::from("[");
        for (i, value) in self.iter().enumerate() {
            list.push_str(if i == 0 { "" } else { "," });
            list.push_str(&String::from_utf8_lossy(value));
        }
        list.push(']');
        list
    }
}

/// Writes a value as JSON; of a long one the beginning and a hash, as a text. At most 1 KiB: a byte of the beginning
/// takes six at the worst.
fn write_short(value: &Value<'_>, out: &mut String) {
    value.write_json(out);
    let text = match value {
        Value::Json(text) | Value::Str(text) if out.len() > limits::KEY_BYTES_MAX => text,
        _ => return, // the stream's own key and type are short, and so are numbers
    };
    let hash = xxh3_64(out.as_bytes());
    out.clear();
    let end = (0..=BEGINNING).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    write_json_text(&text[..end], out);
    out.pop();
    // Writing to a String cannot fail.
    let _ = write!(out, "… #{hash:016x}\"");
}

impl Track for Known {
    fn weight(&self) -> usize {
        self.values.len().div_ceil(8)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.silence.encode(out);
        wire::put(out, self.seen);
        wire::put_bytes(out, &self.values);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (silence, seen) = (Silence::decode(reader)?, reader.number()?);
        let known = Self { silence, seen, values: reader.bytes()?.into() };
        (known.iter().map(|value| value.len() + 2).sum::<usize>() == known.values.len()).then_some(known)
    }
}
