//! A folder for data: the user's, or one that goes when this does.

use std::path::PathBuf;

use anyhow::Context;

pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) temporary: bool,
}

impl Folder {
    /// The given one; or a new one for temporary files, with `what` in its name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new(given: Option<PathBuf>, what: &str) -> anyhow::Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path, temporary: false });
        }
        let path = std::env::temp_dir().join(format!("millstream-{what}-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path, temporary: true })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
