//! Programs of Debian's packages: found, or installed where we may.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::fetch::{quiet, whole};

/// Where Debian keeps PostgreSQL's programs, a folder a version.
const POSTGRES: &str = "/usr/lib/postgresql";
/// What a server of ours is made with.
const POSTGRES_PROGRAMS: [&str; 4] = ["postgres", "initdb", "createdb", "psql"];

/// The folder of PostgreSQL's programs: of the newest version, where there are several.
pub(super) fn postgres(_: &Path) -> anyhow::Result<PathBuf> {
    let found = || newest(Path::new(POSTGRES)).or_else(|| in_path("initdb")?.parent().map(Path::to_owned));
    let whole = |folder: &PathBuf| POSTGRES_PROGRAMS.iter().all(|program| folder.join(program).exists());
    if let Some(folder) = found().filter(whole) {
        return Ok(folder);
    }
    install(&["postgresql"])?;
    found().filter(whole).context("the package postgresql is installed and its programs are not found")
}

pub(super) fn redis(_: &Path) -> anyhow::Result<PathBuf> {
    program("redis-server", &["redis-server"])
}

pub(super) fn kcat(_: &Path) -> anyhow::Result<PathBuf> {
    program("kcat", &["kcat"])
}

/// Unpacked instead of installed: the package would start a server, and this is one program that needs no other.
pub(super) fn promtool(folder: &Path) -> anyhow::Result<PathBuf> {
    if let Some(found) = in_path("promtool") {
        return Ok(found);
    }
    let home = folder.join("prometheus");
    whole(&home, |partial| {
        let download = || quiet(Command::new("apt-get").args(["download", "prometheus"]).current_dir(partial));
        download().or_else(|_| update().and_then(|()| download()))?;
        let package = std::fs::read_dir(partial)?.next().context("apt-get left no file")??.path();
        quiet(Command::new("dpkg").arg("-x").arg(package).arg(partial))
    })?;
    Ok(home.join("usr/bin/promtool"))
}

/// A program that is in the path, or comes there with a package.
pub(super) fn program(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    if let Some(found) = in_path(name) {
        return Ok(found);
    }
    install(packages)?;
    in_path(name).with_context(|| format!("{} is installed and {name} is not found", packages.join(" ")))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Only root may install, and an own machine can be kept as it is by `MILLSTREAM_TEST_INSTALL=no`.
fn install(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    let id = Command::new("id").arg("-u").output().context("id -u")?;
    let root = String::from_utf8_lossy(&id.stdout).trim() == "0";
    let forbidden = std::env::var("MILLSTREAM_TEST_INSTALL").is_ok_and(|word| word == "no");
    ensure!(root && !forbidden, "missing: install {names} (apt-get install {names})");
    let get = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        // At run level 1 a package does not start its server.
        quiet(command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1"))
    };
    eprintln!("installing {names}");
    get().or_else(|_| update().and_then(|()| get())).with_context(|| format!("missing: {names}"))
}

fn update() -> anyhow::Result<()> {
    quiet(Command::new("apt-get").arg("update"))
}

/// The `bin` of the newest version in a folder of versions.
fn newest(versions: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(versions).ok()?.filter_map(Result::ok);
    let numbered = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    numbered.max().map(|(_, folder)| folder.join("bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let folder = tempfile::tempdir().unwrap();
        ["9", "15", "common"].iter().for_each(|name| std::fs::create_dir(folder.path().join(name)).unwrap());
        assert_eq!(newest(folder.path()), Some(folder.path().join("15/bin")));
        assert_eq!(newest(&folder.path().join("none")), None);
    }

    #[test]
    fn a_program_is_found_in_the_path() {
        assert!(in_path("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(in_path("no-such-program-anywhere"), None);
    }
}
