//! A YAML document as a tree that remembers where each value stands, so that every problem can name its line.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A place in the file: line and column, from 1.
    At(u64, u64),
    /// An environment variable.
    Variable(String),
    /// Nowhere: a section that is not there.
    Absent,
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A YAML value. Entries keep the order of the file; YAML's reader has refused a key that stands there twice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// An empty section.
    pub(crate) fn empty() -> Self {
        Self { value: Value::Map(Vec::new()), origin: Origin::Absent }
    }

    /// Reads one YAML document; an empty one is an empty section.
    ///
    /// # Errors
    /// What is wrong with the YAML, with its place when that is known.
    pub(crate) fn parse(text: &str) -> Result<Self, (Origin, String)> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::empty());
        }
        // `no` is Norway, and a country may be in an event: only `true` and `false` are no text.
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options::<Self>(text, options).map_err(|error| {
            let place = error.location().map_or(Origin::Absent, |at| Origin::At(at.line(), at.column()));
            (place, first_line(&error.without_snippet().to_string()))
        })
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a section",
        }
    }

    /// The part of this name, as `count.within` or `by[0]`; where there is none, the innermost that would hold it.
    pub(crate) fn part(&self, path: &str) -> &Self {
        let inner = match &self.value {
            Value::Map(entries) => {
                let rest =
                    |name: &str| path.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
                let held = entries.iter().filter_map(|(name, node)| Some((name.len(), rest(name)?, node)));
                held.max_by_key(|(length, ..)| *length).map(|(_, rest, node)| (rest, node))
            }
            Value::List(items) => path
                .strip_prefix('[')
                .and_then(|path| path.split_once(']'))
                .and_then(|(i, rest)| Some((rest, items.get(i.parse::<usize>().ok()?)?))),
            _ => None,
        };
        inner.map_or(self, |(rest, node)| node.part(rest.strip_prefix('.').unwrap_or(rest)))
    }

    /// A scalar as text, as it would be written.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(b) => Some(b.to_string()),
            Value::Int(n) => Some(n.to_string()),
            Value::Float(n) => Some(n.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// Without what is told apart from it, or is a matter of programs.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = [" at line ", ", set DuplicateKeyPolicy"].into_iter().filter_map(|behind| line.find(behind)).min();
    line[..end.unwrap_or(line.len())].trim().to_owned()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let place = spanned.referenced;
        Ok(Self { value: spanned.value, origin: Origin::At(place.line(), place.column()) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // Beyond i64 no key of ours has a meaning: the float is refused by its range.
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, Node>()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let node = Node::parse("# a comment\na: 1\nb:\n  c: [x, 5m]\n  d: learner_id?\n").unwrap();
        let Value::Map(entries) = &node.value else { panic!("{node:?}") };
        assert_eq!(entries[0].1, Node { value: Value::Int(1), origin: Origin::Absent });
        assert_eq!(entries[0].1.origin, Origin::At(2, 4));
        let Value::Map(inner) = &entries[1].1.value else { panic!("{node:?}") };
        assert_eq!(inner[0].1.origin, Origin::At(4, 6));
        assert_eq!(inner[1].1.scalar().unwrap(), "learner_id?");
    }

    #[test]
    fn a_document_without_content_is_an_empty_section() {
        for text in ["", "\n# nothing\n"] {
            assert_eq!(Node::parse(text).unwrap(), Node::empty());
        }
    }

    #[test]
    fn broken_yaml_is_told_with_its_line() {
        for text in ["a: 1\nb: [1, 2\nc: 3\n", "a: 1\na: 2\n"] {
            let (at, message) = Node::parse(text).unwrap_err();
            assert!(!message.is_empty());
            assert!(matches!(at, Origin::At(2 | 3, _)), "{at:?} {message}");
        }
    }

    #[test]
    fn a_part_is_found_by_its_path_and_else_what_it_would_be_in() {
        let node = Node::parse("a: { b: [x, y], b.c: z }\nd: 1\n").unwrap();
        for (path, text) in
            [("a.b[1]", Some("y")), ("a.b.c", Some("z")), ("d", Some("1")), ("d.x.y", Some("1")), ("a.q", None)]
        {
            assert_eq!(node.part(path).scalar().as_deref(), text, "{path}");
        }
        assert_eq!(node.part("a.b[7]").origin, Origin::At(1, 9));
    }
}
