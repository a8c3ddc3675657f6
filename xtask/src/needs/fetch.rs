//! Filling a folder once, and running programs that have nothing to say.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// The name of a folder with these packages. Other versions go to another folder: each is named after what it holds.
pub(super) fn named(first: &str, packages: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    std::iter::once(&first)
        .chain(packages)
        .map(|part| part.chars().map(plain).collect())
        .collect::<Vec<String>>()
        .join("-")
}

/// Fills a folder unless it is there: beside it first, so that it is there whole or not at all.
pub(super) fn whole(home: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
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
pub(super) fn quiet(command: &mut Command) -> anyhow::Result<()> {
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
