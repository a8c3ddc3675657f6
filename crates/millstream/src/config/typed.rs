//! The first step: the keys of a document with their types, every one optional. Nothing here looks at two keys at once.

use std::net::SocketAddr;
use std::path::PathBuf;

use event::Millis;

use super::access::Access;
use super::node::Node;
use super::problems::Problems;
use super::roles::Roles;
use super::section::{Item, Section};
use super::typed_alert::TypedAlert;
use super::typed_backend::TypedBackends;
use super::typed_kind;
use super::typed_rule::TypedRule;
use super::typed_stream::{TypedStream, is_off};
use super::typed_window::TypedWindow;

/// One document, read.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) roles: Option<Roles>,
    pub(crate) drain_timeout_ms: Option<Millis>,
    pub(crate) emit: TypedEmit,
    pub(crate) collect: TypedCollect,
    pub(crate) access: Access,
    pub(crate) backends: TypedBackends,
    pub(crate) alerts: Vec<TypedAlert>,
    pub(crate) definitions: TypedDefinitions,
}

/// The sections that say what streams there are and what is looked for in them.
#[derive(Debug, Default)]
pub(crate) struct TypedDefinitions {
    /// The zone of rules on hours that have none of their own.
    pub(crate) zone: Option<String>,
    pub(crate) streams: Vec<TypedStream>,
    pub(crate) rules: Vec<TypedRule>,
    pub(crate) windows: Vec<TypedWindow>,
}

/// The section `collect`. An inner `None` is «switched off».
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TypedCollect {
    pub(crate) strict_uuids: Option<bool>,
    pub(crate) time_window_ms: Option<Option<Millis>>,
}

/// The section `emit`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedEmit {
    pub(crate) rate: Option<f64>,
    pub(crate) burst: Option<bool>,
    pub(crate) workers: Option<u64>,
    pub(crate) queue_max: Option<u64>,
    pub(crate) flush_every: Option<u64>,
    pub(crate) batch: Option<u64>,
}

impl Typed {
    /// Reads a document; what is wrong goes to `problems`.
    pub(crate) fn read(node: &Node, problems: &Problems) -> Self {
        let mut typed = Self::default();
        let Some(mut root) = Section::root(node, problems) else { return typed };
        typed.listen = root.get("listen").and_then(|i| i.address());
        typed.admin = root.get("admin").and_then(|i| i.address());
        typed.data_dir = root.get("data_dir").and_then(|i| i.text()).map(PathBuf::from);
        typed.roles = root.get("roles").and_then(|i| roles(&i));
        typed.drain_timeout_ms = root.get("drain_timeout").and_then(|i| i.duration());
        typed.backends = TypedBackends::read(&mut root);
        typed.access = Access::read(&mut root);
        if let Some(section) = root.get("emit").and_then(|i| i.section()) {
            typed.emit = TypedEmit::read(section);
        }
        if let Some(section) = root.get("collect").and_then(|i| i.section()) {
            typed.collect = TypedCollect::read(section);
        }
        if let Some(item) = root.get("alerts") {
            typed.alerts = item.list().iter().filter_map(TypedAlert::read).collect();
        }
        typed.definitions = TypedDefinitions::read(&mut root);
        root.close();
        typed
    }
}

impl TypedDefinitions {
    /// Whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.zone.is_none() && self.streams.is_empty() && self.rules.is_empty() && self.windows.is_empty()
    }

    /// Reads the sections of a document.
    pub(crate) fn read(root: &mut Section<'_>) -> Self {
        let mut typed = Self { zone: root.get("zone").and_then(|i| typed_kind::zone(&i)), ..Self::default() };
        if let Some(section) = root.get("streams").and_then(|i| i.section()) {
            typed.streams = section.all().filter_map(|(name, item)| TypedStream::read(name, &item)).collect();
        }
        if let Some(item) = root.get("rules") {
            typed.rules = item.list().iter().filter_map(TypedRule::read).collect();
        }
        if let Some(item) = root.get("windows") {
            typed.windows = item.list().iter().filter_map(TypedWindow::read).collect();
        }
        typed
    }
}

fn roles(item: &Item<'_>) -> Option<Roles> {
    let text = match &item.node.value {
        super::node::Value::List(_) => item.list().iter().map(Item::text).collect::<Option<Vec<String>>>()?.join(","),
        _ => item.text()?,
    };
    text.parse().map_err(|message: String| item.bad(message, None)).ok()
}

impl TypedCollect {
    fn read(mut section: Section<'_>) -> Self {
        let collect = Self {
            strict_uuids: section.get("strict_uuids").and_then(|i| i.flag()),
            time_window_ms: section
                .get("time_window")
                .and_then(|i| if is_off(&i) { Some(None) } else { i.duration().map(Some) }),
        };
        section.close();
        collect
    }
}

impl TypedEmit {
    fn read(mut section: Section<'_>) -> Self {
        let emit = Self {
            rate: section.get("rate").and_then(|i| i.number(0.1..=10_000_000.0)),
            burst: section.get("burst").and_then(|i| i.flag()),
            workers: section.get("workers").and_then(|i| i.whole(1..=1_024)),
            queue_max: section.get("queue_max").and_then(|i| i.whole(1..=100_000_000)),
            flush_every: section.get("flush_every").and_then(|i| i.whole(1..=event::limits::REQUEST_EVENTS_MAX as u64)),
            batch: section.get("batch").and_then(|i| i.whole(1..=event::limits::REQUEST_EVENTS_MAX as u64)),
        };
        section.close();
        emit
    }
}
