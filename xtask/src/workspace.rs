//! The workspace as cargo and git see it: its crates, their edges, its files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use cargo_metadata::{MetadataCommand, Package};

/// Where everything is.
pub(crate) struct Workspace {
    /// The folder of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The crates of the workspace.
    pub(crate) members: Vec<Member>,
}

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its manifest, relative to the root.
    pub(crate) manifest: String,
    /// The crates of the workspace that it depends on, in whatever way: normal, build and dev edges all count.
    pub(crate) imports: Vec<String>,
}

/// A text file that belongs to the repository.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Workspace {
    /// Asks cargo, from the current folder on.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
        let root = metadata.workspace_root.as_std_path();
        let members = metadata.workspace_packages().into_iter().map(|package| member(package, root)).collect();
        Ok(Self { root: root.to_owned(), target: metadata.target_directory.into_std_path_buf(), members })
    }

    /// Every text file that git tracks or would track. Files that are not UTF-8 are no text.
    pub(crate) fn sources(&self) -> anyhow::Result<Vec<Source>> {
        let list = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
            .current_dir(&self.root)
            .output()
            .context("git ls-files")?;
        ensure!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr).trim());
        let paths = String::from_utf8(list.stdout).context("a file name is not UTF-8")?;
        let read = |path: &str| {
            // A file that was deleted but not yet committed is still listed.
            let text = std::fs::read_to_string(self.root.join(path)).ok()?;
            (!text.contains('\0')).then(|| Source { path: path.to_owned(), text })
        };
        Ok(paths.split_terminator('\0').filter_map(read).collect())
    }
}

fn member(package: &Package, root: &Path) -> Member {
    let manifest = package.manifest_path.as_std_path();
    let manifest = manifest.strip_prefix(root).unwrap_or(manifest).to_string_lossy().into_owned();
    let name = package.name.to_string();
    // Only crates of this workspace are reached by path. A crate may name itself, to switch on a feature in its tests.
    let inside = package.dependencies.iter().filter(|d| d.path.is_some() && d.name != name);
    let mut imports: Vec<String> = inside.map(|d| d.name.clone()).collect();
    imports.sort();
    imports.dedup();
    Member { name, manifest, imports }
}
