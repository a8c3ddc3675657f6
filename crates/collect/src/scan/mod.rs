//! One pass over JSON: is it valid, and where are the fields that the stream names?
//!
//! Strict RFC 8259 with three decisions where the RFC leaves room. A lone surrogate escape (`"\ud800"`) is refused, as
//! serde_json and PostgreSQL's jsonb do: no text is behind it. A number may be of any size (`1e999` is JSON), because
//! the bytes are kept, not the value. A byte order mark is refused.
//!
//! Ours rather than a library's, because no library gives all of it in one pass: strict validation, a bound on depth
//! without recursion, byte spans of nested fields, and fields that stand twice. Measured with `examples/scan.rs` (382
//! bytes an event, one core, baseline x86-64): ours 268 ns, 351 ns with four fields and the verdict. sonic-rs 0.5: 269 ns
//! for `get_many` of the four fields, which stops checking at the last of them, and 365 ns for a strict parse into
//! nothing; serde_json: 279 ns for the latter.

mod fields;
mod flaw;
mod number;
#[cfg(test)]
mod tests;
mod text;

use event::limits::{FIELD_DEPTH_MAX, JSON_DEPTH_MAX};

pub(crate) use fields::{Fields, Node};
pub(crate) use flaw::{Flaw, excerpt, place};
pub(crate) use number::is_integer;
pub(crate) use text::unescape;

/// What kind of JSON value was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Absent,
    Null,
    Boolean,
    Number,
    String,
    Object,
    Array,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

/// A value and where it lies: for a string the bytes between the quotes, for an object or array only its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    /// A string with escapes in it.
    pub(crate) escaped: bool,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Found {
    pub(crate) fn slice(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// A whole value that is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) too_deep: bool,
}

/// Scans one value after the other and remembers what it found in the last one.
pub(crate) struct Scanner<'f> {
    fields: &'f Fields,
    found: Vec<Found>,
    twice: Option<Node>,
    /// How many containers are open.
    depth: usize,
    deepest: usize,
    /// One bit for each of the innermost 64 open containers, the last opened lowest: 1 = object.
    kinds: u64,
    /// The bits of the containers further out. Depth costs one bit of heap a level and no stack at all.
    spilled: Vec<u64>,
    /// The nodes of the open objects that lie on a path to a field, outermost first. The innermost open container is
    /// one of them exactly when `tracked == depth`. A path has up to [`FIELD_DEPTH_MAX`] steps, and one more inside of a
    /// CloudEvent's `data`.
    track: [Node; FIELD_DEPTH_MAX + 1],
    tracked: usize,
}

impl<'f> Scanner<'f> {
    pub(crate) fn new(fields: &'f Fields) -> Self {
        Self {
            fields,
            found: vec![Found::default(); fields.len()],
            twice: None,
            depth: 0,
            deepest: 0,
            kinds: 0,
            spilled: Vec::new(),
            track: [Fields::ROOT; FIELD_DEPTH_MAX + 1],
            tracked: 0,
        }
    }

    /// What the last value had at this field.
    pub(crate) fn found(&self, node: Node) -> Found {
        self.found[node as usize]
    }

    /// A field that stood in the last value twice.
    pub(crate) fn twice(&self) -> Option<Node> {
        self.twice
    }

    /// Scans the value that begins at or after `at`; leaves what follows it unread.
    #[inline]
    pub(crate) fn value(&mut self, bytes: &[u8], at: usize) -> Result<Scanned, Flaw> {
        self.value_of(Fields::ROOT, bytes, at)
    }

    /// The same for a value that stands alone and is one field of an event.
    #[inline]
    pub(crate) fn value_of(&mut self, root: Node, bytes: &[u8], at: usize) -> Result<Scanned, Flaw> {
        self.forget();
        let start = skip_space(bytes, at);
        let end = self.walk(root, bytes, start)?;
        let kind = self.found(root).kind;
        Ok(Scanned { kind, start, end, too_deep: self.deepest > JSON_DEPTH_MAX })
    }

    #[inline]
    pub(crate) fn forget(&mut self) {
        self.found.fill(Found::default());
        self.spilled.clear();
        (self.twice, self.depth, self.deepest, self.kinds, self.tracked) = (None, 0, 0, 0, 0);
    }

    fn walk(&mut self, root: Node, bytes: &[u8], start: usize) -> Result<usize, Flaw> {
        let (mut at, mut node) = (start, root);
        'value: loop {
            match bytes.get(at) {
                Some(b'"') => at = self.string(bytes, at, node)?,
                Some(b'{') => {
                    self.open(Kind::Object, at, node);
                    at = skip_space(bytes, at + 1);
                    if bytes.get(at) != Some(&b'}') {
                        (at, node) = self.name(bytes, at, "a member name in double quotes or `}`")?;
                        continue 'value;
                    }
                    at = self.close(at);
                }
                Some(b'[') => {
                    self.open(Kind::Array, at, node);
                    at = skip_space(bytes, at + 1);
                    if bytes.get(at) != Some(&b']') {
                        node = Fields::NONE;
                        continue 'value;
                    }
                    at = self.close(at);
                }
                _ => at = self.scalar(bytes, at, node)?,
            }
            while self.depth > 0 {
                at = skip_space(bytes, at);
                match (bytes.get(at), self.kinds & 1 == 1) {
                    (Some(b','), true) => {
                        at = skip_space(bytes, at + 1);
                        (at, node) = self.name(bytes, at, "a member name in double quotes")?;
                        continue 'value;
                    }
                    (Some(b','), false) => {
                        (at, node) = (skip_space(bytes, at + 1), Fields::NONE);
                        continue 'value;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => at = self.close(at),
                    (_, true) => return Err(Flaw::new(at, "`,` or `}`")),
                    (_, false) => return Err(Flaw::new(at, "`,` or `]`")),
                }
            }
            return Ok(at);
        }
    }

    fn open(&mut self, kind: Kind, at: usize, node: Node) {
        self.record(node, Found { kind, escaped: false, start: at as u32, end: at as u32 });
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.spilled.push(self.kinds);
        }
        let object = kind == Kind::Object;
        if object && node != Fields::NONE && self.fields.leads_on(node) {
            self.track[self.tracked] = node;
            self.tracked += 1;
        }
        self.kinds = self.kinds << 1 | u64::from(object);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    /// Closes the innermost container at its bracket; gives the place behind it.
    fn close(&mut self, at: usize) -> usize {
        if self.tracked == self.depth {
            self.tracked -= 1;
        }
        self.depth -= 1;
        self.kinds >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(outer) = self.spilled.pop()
        {
            self.kinds = outer;
        }
        at + 1
    }

    /// Reads a member's name and colon; gives where its value begins and which field it is.
    #[inline]
    fn name(&mut self, bytes: &[u8], at: usize, expected: &'static str) -> Result<(usize, Node), Flaw> {
        if bytes.get(at) != Some(&b'"') {
            return Err(Flaw::new(at, expected));
        }
        let (end, escaped) = text::string(bytes, at + 1)?;
        let node = match self.tracked == self.depth {
            true => self.fields.child(self.track[self.tracked - 1], &bytes[at + 1..end], escaped),
            false => Fields::NONE,
        };
        let colon = skip_space(bytes, end + 1);
        if bytes.get(colon) != Some(&b':') {
            return Err(Flaw::new(colon, "`:`"));
        }
        Ok((skip_space(bytes, colon + 1), node))
    }

    #[inline]
    fn string(&mut self, bytes: &[u8], at: usize, node: Node) -> Result<usize, Flaw> {
        let (end, escaped) = text::string(bytes, at + 1)?;
        self.record(node, Found { kind: Kind::String, escaped, start: at as u32 + 1, end: end as u32 });
        Ok(end + 1)
    }

    #[inline]
    fn scalar(&mut self, bytes: &[u8], at: usize, node: Node) -> Result<usize, Flaw> {
        let (kind, end) = match bytes.get(at) {
            Some(b'-' | b'0'..=b'9') => (Kind::Number, number::number(bytes, at)?),
            Some(b't') => (Kind::Boolean, literal(bytes, at, "true")?),
            Some(b'f') => (Kind::Boolean, literal(bytes, at, "false")?),
            Some(b'n') => (Kind::Null, literal(bytes, at, "null")?),
            _ => return Err(Flaw::new(at, "a JSON value")),
        };
        self.record(node, Found { kind, escaped: false, start: at as u32, end: end as u32 });
        Ok(end)
    }

    #[inline]
    fn record(&mut self, node: Node, found: Found) {
        if node == Fields::NONE {
            return;
        }
        let place = &mut self.found[node as usize];
        if place.kind != Kind::Absent {
            self.twice = self.twice.or(Some(node));
        }
        *place = found;
    }
}

fn literal(bytes: &[u8], at: usize, word: &'static str) -> Result<usize, Flaw> {
    let same = bytes[at..].iter().zip(word.as_bytes()).take_while(|(a, b)| a == b).count();
    if same == word.len() { Ok(at + same) } else { Err(Flaw::new(at + same, word)) }
}

/// The place of the first byte at or after `at` that is no white space.
#[inline]
pub(crate) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}
