//! Configuration in two steps: a document is read with its types ([`typed`]), then checked and resolved ([`resolve`]).
//! Nothing stops at the first problem: a person sees all of them, each with its line and path.

mod access;
mod backends;
mod env;
mod node;
mod place;
mod problems;
mod resolve;
mod roles;
mod section;
mod show;
mod show_backends;
mod show_rules;
mod targets;
mod typed;
mod typed_alert;
mod typed_backend;
mod typed_kind;
mod typed_rule;
mod typed_stream;
mod typed_window;
pub(crate) mod units;
mod written;

use std::path::{Path, PathBuf};

pub(crate) use access::{Access, hex, is_tenant_name};
pub(crate) use backends::{CacheBackend, Kafka, LogBackend, RedisStreams, StoreBackend};
pub(crate) use node::{Node, Value};
pub(crate) use problems::{BadConfig, Problems};
pub(crate) use resolve::{Definitions, Settings};
pub(crate) use roles::Roles;
pub(crate) use section::{Item, Section, address};
pub(crate) use show::{show, show_marked};
pub(crate) use show_backends::hidden_url;
pub(crate) use typed::TypedDefinitions;
pub(crate) use written::{unknown_name, unknown_stream};

use node::Origin;
use typed::Typed;

/// The file that is read when it is there and no other is named.
pub(crate) const FILE: &str = "millstream.yaml";

/// The built-in streams and rules, read by the same code as the user's file.
const PACKS: [(&str, &str); 3] = [
    ("packs/signals.yaml", include_str!("../../packs/signals.yaml")),
    ("packs/events.yaml", include_str!("../../packs/events.yaml")),
    ("packs/segment.yaml", include_str!("../../packs/segment.yaml")),
];

/// What the load generator does by itself, in `serve` and `demo`; the verb `emit` has the same as flags.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EmitSettings {
    /// Events a second.
    pub(crate) rate: f64,
    /// Burst mode: one tick in ten sends five times its batch besides.
    pub(crate) burst: bool,
    /// Connections that send at the same time.
    pub(crate) workers: usize,
    /// Events that may wait to be sent; what comes on top is dropped and counted as an error.
    pub(crate) queue_max: usize,
    /// Events of one request at the most.
    pub(crate) flush_every: usize,
    /// Events of one tick; when absent, a tenth of the rate, 1 to 1000.
    pub(crate) batch: Option<usize>,
}

impl Default for EmitSettings {
    fn default() -> Self {
        Self { rate: 1_000.0, burst: false, workers: 4, queue_max: 10_000, flush_every: 1_000, batch: None }
    }
}

/// Where a configuration comes from.
pub(crate) struct Source {
    /// Its name in messages.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// The named file, or `millstream.yaml` of this folder when it is there, or nothing but the defaults.
    ///
    /// # Errors
    /// When a named file cannot be read.
    pub(crate) fn find(file: Option<&Path>) -> Result<Self, BadConfig> {
        let path = match file {
            Some(path) => path.to_owned(),
            None if Path::new(FILE).exists() => PathBuf::from(FILE),
            None => return Ok(Self::built_in()),
        };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let suggestion = Some("`millstream init` writes one".to_owned());
            BadConfig::of(&name, "", format!("cannot read the file: {error}"), suggestion)
        })?;
        Ok(Self { name, text })
    }

    /// Nothing but the defaults.
    pub(crate) fn built_in() -> Self {
        Self { name: "built-in defaults".to_owned(), text: String::new() }
    }

    /// A document that is at hand.
    pub(crate) fn given(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }
}

/// Reads a configuration with the process's environment over it.
///
/// # Errors
/// Every problem at once.
pub(crate) fn load(source: &Source) -> Result<Settings, BadConfig> {
    load_with(source, std::env::vars())
}

/// Reads a configuration with these variables over it.
///
/// # Errors
/// Every problem at once.
pub(crate) fn load_with(
    source: &Source,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Settings, BadConfig> {
    let problems = Problems::of(&source.text);
    let mut root = match Node::parse(&source.text) {
        Ok(root) => root,
        Err((place, message)) => {
            problems.add("", &place, format!("not YAML: {message}"), None);
            return problems.or(&source.name, None);
        }
    };
    env::overlay(&mut root, variables);
    let user = Typed::read(&root, &problems);
    let settings = resolve::resolve(packs()?, user, &problems);
    problems.or(&source.name, settings)
}

/// Puts definitions over the built-in ones, and compiles them; `None` when there are problems that keep it from that.
///
/// # Errors
/// When the built-in ones are not sound.
pub(crate) fn built_in_with(
    definitions: TypedDefinitions,
    problems: &Problems,
) -> Result<Option<Definitions>, BadConfig> {
    let packs = packs()?.into_iter().map(|pack| pack.definitions).collect();
    Ok(resolve::definitions(packs, definitions, problems))
}

fn packs() -> Result<Vec<Typed>, BadConfig> {
    let read = |(name, text): &(&str, &str)| {
        let problems = Problems::default();
        let root = Node::parse(text).unwrap_or_else(|(_, message)| {
            problems.add("", &Origin::Absent, message, None);
            Node::empty()
        });
        let typed = Typed::read(&root, &problems);
        problems.or(name, Some(typed))
    };
    PACKS.iter().map(read).collect()
}

/// Refuses addresses that other machines can reach while there are no keys that tell friend from foe.
///
/// # Errors
/// For each such address, unless `insecure`.
pub(crate) fn refuse_open_doors(settings: &Settings, insecure: bool, source: &str) -> Result<(), BadConfig> {
    let problems = Problems::default();
    for (key, address) in [("listen", settings.listen), ("admin", settings.admin)] {
        if !insecure && settings.access.keys.is_empty() && !address.ip().is_loopback() {
            let message = format!("{address} can be reached from other machines, and there are no keys");
            let suggestion =
                format!("`millstream key` makes one; or listen on 127.0.0.1:{}, or say --insecure", address.port());
            problems.add(key, &Origin::Absent, message, Some(suggestion));
        }
    }
    problems.or(source, Some(()))
}

#[cfg(test)]
mod tests;
