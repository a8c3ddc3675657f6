//! What some tests need from outside the repository: fetched once, handed over by environment variable, and named
//! when it could not be had. A service that a later test needs becomes one more entry of [`gather`].

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

/// Gets everything that can be had.
pub(crate) fn gather(workspace: &Workspace) -> Vec<Need> {
    let folder = workspace.target.join("test-data");
    vec![Need {
        what: "the npm package @octokit/webhooks-examples (real webhook payloads)",
        variable: "MILLSTREAM_TEST_OCTOKIT",
        tests: "octokit",
        value: octokit(&folder).map_err(|error| format!("{error:#}")),
    }]
}

/// The version is fixed, so that a test that counts payloads stays true.
const OCTOKIT: &str = "@octokit/webhooks-examples@7.6.1";

/// The file with GitHub's example payloads: an array of `{name, description, examples: [payload, …]}`.
fn octokit(folder: &Path) -> anyhow::Result<PathBuf> {
    let home = folder.join("octokit-webhooks-examples-7.6.1");
    let index = home.join("package/api.github.com/index.json");
    if !index.exists() {
        fetch(OCTOKIT, folder, &home)?;
    }
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

/// Downloads an npm package and unpacks it beside `home` first, so that `home` is there whole or not at all.
fn fetch(package: &str, folder: &Path, home: &Path) -> anyhow::Result<()> {
    let partial = folder.join("partial");
    std::fs::remove_dir_all(&partial).or_else(|e| if partial.exists() { Err(e) } else { Ok(()) })?;
    std::fs::create_dir_all(&partial)?;
    quiet(Command::new("npm").args(["pack", "--silent", package]).current_dir(&partial))?;
    let archive = std::fs::read_dir(&partial)?.next().context("npm pack left no file")??.path();
    quiet(Command::new("tar").arg("-xzf").arg(&archive).current_dir(&partial))?;
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
    fn a_command_that_fails_says_why() {
        let error = quiet(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 1"])).unwrap_err();
        assert_eq!(error.to_string(), "sh: last");
        assert!(quiet(&mut Command::new("no-such-program-anywhere")).unwrap_err().to_string().contains("cannot start"));
    }
}
