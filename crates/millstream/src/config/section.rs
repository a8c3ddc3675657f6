//! Reading a section key by key. What was asked for is what is known: any other key is a problem with a suggestion.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use event::{Field, FieldPath, Millis};

use super::node::{Node, Origin, Value};
use super::problems::Problems;
use super::units;

/// A section that is being read.
pub(crate) struct Section<'a> {
    path: String,
    origin: &'a Origin,
    entries: &'a [(String, Node)],
    asked: Vec<&'static str>,
    problems: &'a Problems,
}

/// A value that is there, not yet understood.
#[derive(Clone)]
pub(crate) struct Item<'a> {
    pub(crate) path: String,
    pub(crate) node: &'a Node,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(crate) fn root(node: &'a Node, problems: &'a Problems) -> Option<Self> {
        Item { path: String::new(), node, problems }.section()
    }

    /// The value of a key, when it is there and not null.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        let (_, node) = self.entries.iter().find(|(name, node)| name == key && node.value != Value::Null)?;
        Some(self.item(key, node))
    }

    /// The value of a key that must be there; `example` shows the section as it should be.
    pub(crate) fn must(&mut self, key: &'static str, example: &str) -> Option<Item<'a>> {
        let item = self.get(key);
        if item.is_none() {
            self.problems.add(&self.path, self.origin, format!("`{key}` is missing"), Some(format!("as `{example}`")));
        }
        item
    }

    /// Reports a problem with the section as a whole.
    pub(crate) fn bad(&self, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.add(&self.path, self.origin, message, suggestion);
    }

    /// A key that a later version will know.
    pub(crate) fn later(&mut self, key: &'static str) {
        if let Some(item) = self.get(key) {
            item.bad(format!("`{key}` is not in this version"), Some("remove it".to_owned()));
        }
    }

    /// Every key of the section with its value, for sections whose keys are names of the user's choice.
    pub(crate) fn all(self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        self.entries.iter().map(move |(name, node)| (name.as_str(), self.item(name, node)))
    }

    /// Ends the reading: whatever was not asked for is unknown.
    pub(crate) fn close(self) {
        for (name, node) in self.entries.iter().filter(|(name, _)| !self.asked.contains(&name.as_str())) {
            let near = nearest(name, &self.asked);
            let suggestion = near.map_or_else(
                || format!("known here: {}", self.asked.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.item(name, node).bad("unknown key", Some(suggestion));
        }
    }

    fn item(&self, key: &str, node: &'a Node) -> Item<'a> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Item { path, node, problems: self.problems }
    }
}

/// The known word that is most like this one, when one is like it at all.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let score = |k: &str| strsim::jaro_winkler(&word.to_lowercase(), &k.to_lowercase());
    known.iter().copied().filter(|k| score(k) > 0.8).max_by(|a, b| score(a).total_cmp(&score(b)))
}

impl<'a> Item<'a> {
    /// Reports a problem with this value.
    pub(crate) fn bad(&self, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.add(&self.path, &self.node.origin, message, suggestion);
    }

    /// Where it comes from.
    pub(crate) fn origin(&self) -> Origin {
        self.node.origin.clone()
    }

    /// Its line in the file.
    pub(crate) fn line(&self) -> Option<u64> {
        if let Origin::At(line, _) = self.node.origin { Some(line) } else { None }
    }

    /// A section of keys.
    pub(crate) fn section(&self) -> Option<Section<'a>> {
        let Value::Map(entries) = &self.node.value else {
            self.bad(format!("expected a section of keys, found {}", self.node.kind()), None);
            return None;
        };
        let (path, origin) = (self.path.clone(), &self.node.origin);
        Some(Section { path, origin, entries, asked: Vec::new(), problems: self.problems })
    }

    /// The items of a list.
    pub(crate) fn list(&self) -> Vec<Item<'a>> {
        let Value::List(nodes) = &self.node.value else {
            self.bad(format!("expected a list, found {}", self.node.kind()), None);
            return Vec::new();
        };
        let item = |(i, node)| Item { path: format!("{}[{i}]", self.path), node, problems: self.problems };
        nodes.iter().enumerate().map(item).collect()
    }

    /// A scalar as text.
    pub(crate) fn text(&self) -> Option<String> {
        let text = self.node.scalar();
        if text.is_none() {
            self.bad(format!("expected text, found {}", self.node.kind()), None);
        }
        text
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match &self.node.value {
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            let found = self.node.scalar().unwrap_or_else(|| self.node.kind().to_owned());
            let (low, high) = (range.start(), range.end());
            self.bad(format!("expected a whole number from {low} to {high}, found {found}"), None);
        }
        number
    }

    /// A number within bounds, with or without a fraction.
    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = match &self.node.value {
            Value::Int(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            _ => None,
        };
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            let found = self.node.scalar().unwrap_or_else(|| self.node.kind().to_owned());
            self.bad(format!("expected a number from {} to {}, found {found}", range.start(), range.end()), None);
        }
        number
    }

    /// `true` or `false`; `yes`, `on`, `1` and their opposites too, as environments write them.
    pub(crate) fn flag(&self) -> Option<bool> {
        let flag = match self.node.scalar().unwrap_or_default().to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        };
        if flag.is_none() {
            self.bad("expected true or false", None);
        }
        flag
    }

    /// A duration in milliseconds.
    pub(crate) fn duration(&self) -> Option<Millis> {
        self.read(units::duration, |n| format!("write a unit, as `{n}s` or `{n}ms`"))
    }

    /// A duration above 0 in milliseconds.
    pub(crate) fn span(&self) -> Option<Millis> {
        let ms = self.duration()?;
        if ms == 0 {
            self.bad("must be above 0", None);
        }
        (ms > 0).then_some(ms)
    }

    /// A name that is a label of metrics and a part of ids: short, and of plain letters. `what` it is the name of.
    pub(crate) fn name(&self, what: &str) -> Option<String> {
        let name = self.text()?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let sound = (1..=63).contains(&name.len()) && name.bytes().all(plain);
        if !sound {
            self.bad(format!("{what} name `{name}` is not allowed: 1 to 63 of a-z, 0-9, `_` and `-`"), None);
        }
        sound.then_some(name)
    }

    /// An expression in CEL, not yet understood; there must be something.
    pub(crate) fn expression(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.bad("an expression is missing", None);
            return None;
        }
        Some(text)
    }

    /// A size in bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        self.read(units::size, |n| format!("write a unit, as `{n}MB`"))
    }

    fn read<T>(&self, parse: fn(&str) -> Result<T, String>, bare: fn(i64) -> String) -> Option<T> {
        let text = self.text()?;
        let suggestion = if let Value::Int(n) = self.node.value { Some(bare(n)) } else { None };
        parse(&text).map_err(|message| self.bad(message, suggestion)).ok()
    }

    /// One word of a closed set.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let near = nearest(&text, &names).map(|near| format!("did you mean `{near}`?"));
        self.bad(format!("expected {}, found `{text}`", one_of(&names)), near);
        None
    }

    /// A field path; a trailing `?` makes it optional.
    pub(crate) fn field(&self) -> Option<Field> {
        let text = self.text()?;
        let (bare, required) = text.strip_suffix('?').map_or((text.as_str(), true), |bare| (bare, false));
        self.path_of(bare).map(|path| Field { path, required })
    }

    /// The text as a field path.
    pub(crate) fn path_of(&self, text: &str) -> Option<FieldPath> {
        let path = FieldPath::parse(text);
        if path.is_none() {
            let depth = event::limits::FIELD_DEPTH_MAX;
            let message =
                format!("`{text}` is not a field path: up to {depth} names joined by dots, or a JSON pointer");
            self.bad(message, Some("as `payload.amount` or `/payload/amount`".to_owned()));
        }
        path
    }

    /// An address to listen on.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        address(&text).map_err(|message| self.bad(message, None)).ok()
    }
}

/// Reads `127.0.0.1:8000`, `[::1]:8000` or `localhost:8000`. Names are not looked up: an address that a server binds
/// should not change with the weather of DNS.
///
/// # Errors
/// A sentence that says what was expected.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let plain = text.replacen("localhost:", "127.0.0.1:", 1);
    plain.parse().map_err(|_| format!("expected an IP address and a port such as 127.0.0.1:8000, found `{text}`"))
}

/// `a, b or c`.
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}
