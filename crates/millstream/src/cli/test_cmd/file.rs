//! A test as it is written: streams, rules and windows, or a configuration that has them; events; expectations.

use std::path::Path;

use super::events::{Sent, events};
use super::expected::Expected;
use crate::config::{BadConfig, Definitions, Node, Problems, Section, Source, TypedDefinitions, built_in_with};

/// A test, read and checked.
pub(super) struct TestFile {
    /// Its name in messages.
    pub(super) name: String,
    pub(super) definitions: Definitions,
    pub(super) events: Vec<Sent>,
    pub(super) expected: Expected,
}

impl TestFile {
    /// Reads a test and the files that it names.
    ///
    /// # Errors
    /// Every problem at once, each with its place.
    pub(super) fn read(path: &Path) -> Result<Self, BadConfig> {
        let source = Source::find(Some(path))?;
        let problems = Problems::of(&source.text);
        let root = match Node::parse(&source.text) {
            Ok(root) => root,
            Err((place, message)) => {
                problems.add("", &place, format!("not YAML: {message}"), None);
                return problems.or(&source.name, None);
            }
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let test = match Section::root(&root, &problems) {
            Some(root) => Self::of(&source.name, root, folder, &problems)?,
            None => None,
        };
        problems.or(&source.name, test)
    }

    fn of(name: &str, mut root: Section<'_>, folder: &Path, problems: &Problems) -> Result<Option<Self>, BadConfig> {
        let config = root.get("config").and_then(|item| Some((item.text()?, item)));
        let own = TypedDefinitions::read(&mut root);
        let definitions = match config {
            Some((_, item)) if !own.is_empty() => {
                item.bad("a test has a configuration, or streams, rules and windows of its own, and not both", None);
                None
            }
            Some((path, _)) => Some(of_configuration(&folder.join(path))?),
            None => built_in_with(own, problems)?,
        };
        let (events_item, expect) = (root.get("events"), root.get("expect"));
        let read = definitions.map(|definitions| {
            let events =
                events_item.as_ref().map(|item| events(item, &definitions.catalog, folder)).unwrap_or_default();
            let expected = expect.and_then(|item| item.section()).map(|section| Expected::read(section, &definitions));
            let (name, expected) = (name.to_owned(), expected.unwrap_or_default());
            Self { name, definitions, events, expected }
        });
        if events_item.is_none() {
            root.bad("`events` is missing", Some("as `events: [{ signals: { user_id: 1, … } }]`".to_owned()));
        }
        root.close();
        Ok(read)
    }
}

/// The streams, rules and windows of a configuration; whatever else it says is no matter of a test, and the environment
/// neither.
fn of_configuration(path: &Path) -> Result<Definitions, BadConfig> {
    let source = Source::find(Some(path))?;
    let problems = Problems::of(&source.text);
    let definitions = match Node::parse(&source.text) {
        Ok(root) => match Section::root(&root, &problems) {
            Some(mut root) => built_in_with(TypedDefinitions::read(&mut root), &problems)?,
            None => None,
        },
        Err((place, message)) => {
            problems.add("", &place, format!("not YAML: {message}"), None);
            None
        }
    };
    problems.or(&source.name, definitions)
}
