//! What some tests need from outside the repository: fetched once, handed over by environment variable, and named
//! when it could not be had. A service that a later test needs becomes one more of [`ENTRIES`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::workspace::Workspace;

/// One thing that tests need.
pub(crate) struct Need {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// The environment variable that hands it to the tests.
    pub(crate) variable: &'static str,
    /// A part of the name of every test that needs it.
    pub(crate) tests: &'static str,
    /// The variable's value, or why it could not be had.
    pub(crate) value: Result<PathBuf, String>,
}

/// What it is, its variable, its tests, and how it is had; see [`Need`].
type Entry = (&'static str, &'static str, &'static str, fn(&Path) -> anyhow::Result<PathBuf>);

const ENTRIES: [Entry; 5] = [
    (
        "the npm package @octokit/webhooks-examples (real webhook payloads)",
        "MILLSTREAM_TEST_OCTOKIT",
        "octokit",
        octokit,
    ),
    ("the stock clients from PyPI", "MILLSTREAM_TEST_PYTHON", "python_client", python_clients),
    ("the stock gRPC client from PyPI", "MILLSTREAM_TEST_GRPC_PYTHON", "python_grpc", python_grpc),
    ("schemathesis from PyPI", "MILLSTREAM_TEST_SCHEMATHESIS", "schemathesis", schemathesis),
    ("the stock clients from npm", "MILLSTREAM_TEST_NODE", "node_client", node_clients),
];

/// Gets everything that can be had, of what the tests of this workspace name.
pub(crate) fn gather(workspace: &Workspace) -> anyhow::Result<Vec<Need>> {
    let folder = workspace.target.join("test-data");
    let sources = workspace.sources()?;
    let named = |(_, variable, ..): &Entry| sources.iter().any(|source| source.text.contains(variable));
    let get = |(what, variable, tests, get): Entry| {
        let value = get(&folder).map_err(|error| format!("{error:#}"));
        Need { what, variable, tests, value }
    };
    Ok(ENTRIES.into_iter().filter(named).map(get).collect())
}

/// The clients that must work unchanged. Other versions go to another folder: each is named after what it holds.
const PYTHON_CLIENTS: [&str; 2] = ["cloudevents==2.2.0", "segment-analytics-python==2.4.0"];
const NODE_CLIENTS: [&str; 2] = ["cloudevents@10.0.0", "@segment/analytics-node@3.1.0"];

/// gRPC for Python with what makes stubs from a `.proto`, and the two services that every server has.
const PYTHON_GRPC: [&str; 4] =
    ["grpcio==1.85.1", "grpcio-tools==1.85.1", "grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"];

fn schemathesis(folder: &Path) -> anyhow::Result<PathBuf> {
    python(folder, &["schemathesis==4.32.5"])
}

fn python_clients(folder: &Path) -> anyhow::Result<PathBuf> {
    python(folder, &PYTHON_CLIENTS)
}

fn python_grpc(folder: &Path) -> anyhow::Result<PathBuf> {
    python(folder, &PYTHON_GRPC)
}

/// A folder for `PYTHONPATH`. Some packages are compiled for one version of Python, so that is a part of its name.
fn python(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    quiet(Command::new("python3").args(["-m", "pip", "--version"]))?;
    let tag = Command::new("python3").args(["-c", "import sys; print(sys.implementation.cache_tag)"]).output()?;
    let home = folder.join(named(String::from_utf8_lossy(&tag.stdout).trim(), packages));
    whole(&home, |partial| {
        let options = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--target", "."];
        quiet(Command::new("python3").args(options).args(packages).current_dir(partial))
    })?;
    Ok(home)
}

/// A folder for `NODE_PATH`.
fn node_clients(folder: &Path) -> anyhow::Result<PathBuf> {
    quiet(Command::new("node").arg("--version"))?;
    let home = folder.join(named("node", &NODE_CLIENTS));
    whole(&home, |partial| {
        let options = ["install", "--silent", "--no-audit", "--no-fund", "--prefix", "."];
        quiet(Command::new("npm").args(options).args(NODE_CLIENTS).current_dir(partial))
    })?;
    Ok(home.join("node_modules"))
}

/// The name of a folder with these packages.
fn named(first: &str, packages: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    std::iter::once(&first)
        .chain(packages)
        .map(|part| part.chars().map(plain).collect())
        .collect::<Vec<String>>()
        .join("-")
}

/// The version is fixed, so that a test that counts payloads stays true.
const OCTOKIT: &str = "@octokit/webhooks-examples@7.6.1";

/// The file with GitHub's example payloads: an array of `{name, description, examples: [payload, …]}`.
fn octokit(folder: &Path) -> anyhow::Result<PathBuf> {
    let home = folder.join("octokit-webhooks-examples-7.6.1");
    let index = home.join("package/api.github.com/index.json");
    whole(&home, |partial| unpack(OCTOKIT, partial))?;
    let payloads = payloads(&std::fs::read_to_string(&index).context("index.json of the package")?)?;
    ensure!(payloads >= 100, "the package holds {payloads} payloads, expected some hundreds");
    Ok(index)
}

/// How many example payloads an index holds.
fn payloads(json: &str) -> anyhow::Result<usize> {
    let index: serde_json::Value = serde_json::from_str(json).context("index.json is not JSON")?;
    let examples = |entry: &serde_json::Value| entry["examples"].as_array().map(Vec::len);
    let lengths: Option<Vec<usize>> =
        index.as_array().context("index.json is not an array")?.iter().map(examples).collect();
    Ok(lengths.context("an entry of index.json has no array of examples")?.iter().sum())
}

/// Downloads an npm package and unpacks it.
fn unpack(package: &str, into: &Path) -> anyhow::Result<()> {
    quiet(Command::new("npm").args(["pack", "--silent", package]).current_dir(into))?;
    let archive = std::fs::read_dir(into)?.next().context("npm pack left no file")??.path();
    quiet(Command::new("tar").arg("-xzf").arg(&archive).current_dir(into))
}

/// Fills a folder unless it is there: beside it first, so that it is there whole or not at all.
fn whole(home: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if home.exists() {
        return Ok(());
    }
    let partial = home.with_file_name("partial");
    std::fs::remove_dir_all(&partial).or_else(|e| if partial.exists() { Err(e) } else { Ok(()) })?;
    std::fs::create_dir_all(&partial)?;
    fill(&partial)?;
    #[expect(clippy::disallowed_methods, reason = "test data of the workshop; no data of the product is touched")]
    std::fs::rename(&partial, home)?;
    Ok(())
}

/// Runs a command that has nothing to say unless it fails.
fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{name}: {}", errors.lines().last().unwrap_or("failed without a word"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_counted_and_another_shape_is_refused() {
        assert_eq!(payloads(r#"[{"name":"a","examples":[{},{}]},{"name":"b","examples":[{}]}]"#).unwrap(), 3);
        for bad in ["", "{}", r#"[{"name":"a"}]"#, r#"[{"examples":1}]"#] {
            assert!(payloads(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn data_that_is_there_is_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("octokit-webhooks-examples-7.6.1/package/api.github.com");
        std::fs::create_dir_all(&home).unwrap();
        let examples = vec!["{}"; 100].join(",");
        #[expect(clippy::disallowed_methods, reason = "a test writes its own sample")]
        std::fs::write(home.join("index.json"), format!(r#"[{{"examples":[{examples}]}}]"#)).unwrap();
        assert_eq!(octokit(folder.path()).unwrap(), home.join("index.json"));
    }

    #[test]
    fn a_folder_is_filled_once_and_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(named("python 3", &["@a/b==1.0"]));
        assert!(home.ends_with("python-3--a-b--1.0"));
        let fill = |partial: &Path| quiet(Command::new("mkdir").arg("in").current_dir(partial));
        assert!(whole(&home, |partial| fill(partial).and_then(|()| bail!("broke off"))).is_err());
        assert!(!home.exists());
        whole(&home, fill).unwrap();
        whole(&home, |_| bail!("is filled")).unwrap();
        assert!(home.join("in").exists());
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let error = quiet(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 1"])).unwrap_err();
        assert_eq!(error.to_string(), "sh: last");
        assert!(quiet(&mut Command::new("no-such-program-anywhere")).unwrap_err().to_string().contains("cannot start"));
    }
}
