//! The stores of replays: files of their own in the data folder, gone with their replay.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use engine::replay::Shadows;
use event::Catalog;
use log::disk_port::{Disk, RealDisk};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Store, StoreError};

/// A folder of them.
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    pub(crate) catalog: Arc<Catalog>,
}

impl Files {
    fn remove_file(&self, name: &str) {
        match RealDisk.remove(&self.dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(name, %error, "a file of a replay cannot be removed");
            }
            _ => {}
        }
    }
}

impl Shadows for Files {
    fn open(&self, id: &str) -> Result<Arc<dyn Store>, StoreError> {
        let made = RealDisk.make_dir(&self.dir);
        made.map_err(|error| StoreError::Unavailable(format!("{}: {error}", self.dir.display())))?;
        // Beside the live store, on the same machine: as little memory as will do.
        let settings = SqliteSettings { writer_cache_kib: 2 << 10, readers: 2, ..SqliteSettings::default() };
        let path = self.dir.join(format!("{id}.sqlite"));
        Ok(Arc::new(SqliteStore::open(&path, self.catalog.clone(), settings)?))
    }

    fn remove(&self, id: &str) {
        for end in ["", "-wal", "-shm"] {
            self.remove_file(&format!("{id}.sqlite{end}"));
        }
    }

    fn clear(&self) {
        let names = RealDisk.list(&self.dir).unwrap_or_default();
        let ours = names.iter().filter(|name| name.contains(".sqlite"));
        ours.for_each(|name| self.remove_file(name));
    }
}
