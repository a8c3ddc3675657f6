//! A disk with a gate for tests: writes or syncs below a folder wait in front of it, or are refused, so that a test knows
//! what the log has at hand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk_port::{Disk, DiskFile, RealDisk};

/// What comes to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making a file, and writing to one.
    Write,
    /// Making durable what was written.
    Sync,
}

/// What happens to it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It waits.
    Wait,
    /// It fails, as on a full disk.
    Refuse,
}

#[derive(Debug, Default)]
struct Gate {
    shut: Option<(&'static str, Step, Way)>,
    waiting: usize,
}

/// The system's disk behind a gate. It does not tell how much is free. Copies share the gate.
#[derive(Clone, Debug, Default)]
pub struct GatedDisk {
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

impl GatedDisk {
    /// Shuts the gate for a step in files below a folder of this name; for all files when the name is empty.
    pub fn shut(&self, folder: &'static str, step: Step, way: Way) {
        self.gate().shut = Some((folder, step, way));
    }

    /// Opens it again.
    pub fn open_gate(&self) {
        self.gate().shut = None;
        self.gate.1.notify_all();
    }

    /// Blocks until something waits in front of it.
    pub fn wait_held(&self) {
        drop(self.gate.1.wait_while(self.gate(), |gate| gate.waiting == 0));
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, path: &Path, step: Step) -> io::Result<()> {
        let here = |folder: &str| folder.is_empty() || path.components().any(|part| part.as_os_str() == folder);
        let mut gate = self.gate();
        while let Some((_, _, way)) = gate.shut.filter(|(folder, at, _)| *at == step && here(folder)) {
            if way == Way::Refuse {
                return Err(io::ErrorKind::StorageFull.into());
            }
            gate.waiting += 1;
            self.gate.1.notify_all();
            gate = self.gate.1.wait(gate).unwrap_or_else(PoisonError::into_inner);
            gate.waiting -= 1;
        }
        Ok(())
    }
}

impl Disk for GatedDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.pass(path, Step::Write)?;
        Ok(Box::new(GatedFile { disk: self.clone(), path: path.to_owned(), file: RealDisk.create(path)? }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.replace(path, bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        RealDisk.lock(path)
    }
}

struct GatedFile {
    disk: GatedDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl DiskFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.pass(&self.path, Step::Write)?;
        self.file.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass(&self.path, Step::Sync)?;
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
