//! What a test expects, as it is written: for each finding the fields that matter to its author.

use serde_json::{Map, json};

use super::events;
use crate::config::{Definitions, Item, Section, Value, units, unknown_name};

/// The lists of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Anomalies,
    Windows,
    DeadLetters,
}

impl List {
    pub(super) const ALL: [Self; 3] = [Self::Anomalies, Self::Windows, Self::DeadLetters];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Anomalies => "anomalies",
            Self::Windows => "windows",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// One expected finding: every field that is there must be as it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// Where it stands in the file.
    pub(super) line: Option<u64>,
    pub(super) fields: Map<String, serde_json::Value>,
}

/// One list of expectations.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    /// What must be found; `None` when the test does not look at it.
    pub(super) wanted: Option<Vec<Wanted>>,
    /// Whether more may be found.
    pub(super) partial: bool,
}

/// Everything that a test expects; nothing of what is not said.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    lists: [Expectation; 3],
    /// Whether there is an `expect` at all: without one, what was found is shown.
    pub(super) is_there: bool,
}

impl Expected {
    /// What is expected of one list.
    pub(super) fn of(&self, list: List) -> &Expectation {
        &self.lists[list as usize]
    }

    /// Reads the section `expect`. A refused event is nobody's intention, so dead letters are looked at without being asked for.
    pub(super) fn read(mut section: Section<'_>, definitions: &Definitions) -> Self {
        let mut read = |name, one: fn(&Item<'_>, &Definitions) -> Option<Map<String, serde_json::Value>>| {
            let item = section.get(name)?;
            let wanted = |item: &Item<'_>| Some(Wanted { line: item.line(), fields: one(item, definitions)? });
            Some(item.list().iter().filter_map(wanted).collect::<Vec<_>>())
        };
        let anomalies = read("anomalies", anomaly);
        let windows = read("windows", window);
        let dead_letters = read("dead_letters", dead_letter).or_else(|| Some(Vec::new()));
        let partial = section.get("partial").map(|item| partial(&item)).unwrap_or_default();
        section.close();
        let list = |list: List, wanted| Expectation { wanted, partial: partial.contains(&list) };
        let lists =
            [list(List::Anomalies, anomalies), list(List::Windows, windows), list(List::DeadLetters, dead_letters)];
        Self { lists, is_there: true }
    }
}

/// `true` for all lists, or the names of those where more may be found than is expected.
fn partial(item: &Item<'_>) -> Vec<List> {
    match item.node.value {
        Value::Bool(true) => List::ALL.into(),
        Value::Bool(false) => Vec::new(),
        _ => {
            let names = List::ALL.map(|list| (list.name(), list));
            item.list().iter().filter_map(|item| item.choice(&names)).collect()
        }
    }
}

/// The fields of one expectation, being read.
struct Fields<'a> {
    section: Section<'a>,
    fields: Map<String, serde_json::Value>,
    sound: bool,
}

impl<'a> Fields<'a> {
    fn of(item: &Item<'a>) -> Option<Self> {
        Some(Self { section: item.section()?, fields: Map::new(), sound: true })
    }

    /// Takes a field as `read` understands it.
    fn take(&mut self, name: &'static str, read: impl Fn(&Item<'a>) -> Option<serde_json::Value>) {
        let Some(item) = self.section.get(name) else { return };
        match read(&item) {
            Some(value) => drop(self.fields.insert(name.to_owned(), value)),
            None => self.sound = false,
        }
    }

    fn close(self) -> Option<Map<String, serde_json::Value>> {
        self.section.close();
        self.sound.then_some(self.fields)
    }
}

fn text(item: &Item<'_>) -> Option<serde_json::Value> {
    item.text().map(serde_json::Value::from)
}

/// Times are compared as they are shown.
fn time(item: &Item<'_>) -> Option<serde_json::Value> {
    events::time(item).map(|ms| api::time::to_rfc3339(ms).into())
}

fn any(item: &Item<'_>) -> Option<serde_json::Value> {
    Some(events::json(&item.node.value))
}

/// A name out of those that are there.
fn known(item: &Item<'_>, what: &str, names: &[&str]) -> Option<serde_json::Value> {
    let name = item.text()?;
    if names.contains(&name.as_str()) {
        return Some(name.into());
    }
    unknown_name(item, what, &name, names);
    None
}

fn stream(item: &Item<'_>, definitions: &Definitions) -> Option<serde_json::Value> {
    let names: Vec<&str> = definitions.catalog.iter().map(|(_, stream)| stream.name.as_str()).collect();
    known(item, "stream", &names)
}

fn anomaly(item: &Item<'_>, definitions: &Definitions) -> Option<Map<String, serde_json::Value>> {
    let mut fields = Fields::of(item)?;
    let rules: Vec<&str> = definitions.rules.iter().map(|rule| rule.name.as_str()).collect();
    fields.take("rule", |item| known(item, "rule", &rules));
    fields.take("stream", |item| stream(item, definitions));
    fields.take("key", text);
    fields.take("time", time);
    fields.take("severity", |item| {
        item.choice(&[("low", "low"), ("medium", "medium"), ("high", "high")]).map(Into::into)
    });
    fields.take("description", text);
    fields.take("metadata", any);
    fields.close()
}

fn window(item: &Item<'_>, definitions: &Definitions) -> Option<Map<String, serde_json::Value>> {
    let mut fields = Fields::of(item)?;
    let windows: Vec<&str> = definitions.windows.iter().map(|window| window.name.as_str()).collect();
    fields.take("window", |item| known(item, "window", &windows));
    fields.take("stream", |item| stream(item, definitions));
    fields.take("size", |item| match item.node.scalar().as_deref() {
        Some("session") => Some(json!("session")),
        _ => item.duration().map(|ms| units::duration_text(ms).into()),
    });
    fields.take("start", time);
    fields.take("end", time);
    fields.take("key", any);
    fields.take("events", |item| item.whole(0..=i64::MAX as u64).map(Into::into));
    fields.take("late", |item| item.whole(0..=i64::MAX as u64).map(Into::into));
    fields.take("values", any);
    fields.close()
}

fn dead_letter(item: &Item<'_>, definitions: &Definitions) -> Option<Map<String, serde_json::Value>> {
    let mut fields = Fields::of(item)?;
    fields.take("code", text);
    fields.take("stream", |item| stream(item, definitions));
    fields.take("pointer", text);
    fields.take("stage", text);
    fields.close()
}
