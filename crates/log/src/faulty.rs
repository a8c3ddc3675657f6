//! The faulty twin of the disk, for tests: it refuses writes, fails syncs, and at a «power cut» keeps, tears or loses
//! whatever was not synced, by a seed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk_port::{Disk, DiskFile, RealDisk};

/// What goes wrong, and when.
#[derive(Debug, Default)]
struct Plan {
    /// Bytes that writes may still take before the disk is full; the write that crosses it is cut short.
    room: Option<u64>,
    /// Syncs that still succeed before one fails.
    syncs: Option<u64>,
    /// Writes since the last sync of their file, oldest first: what was there before.
    unsynced: Vec<Unsynced>,
}

#[derive(Debug)]
struct Unsynced {
    path: PathBuf,
    at: u64,
    before: Vec<u8>,
    len: usize,
}

/// A disk in a real folder that fails on demand. Copies share their faults.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    plan: Arc<Mutex<Plan>>,
}

impl FaultyDisk {
    /// From now on only this many bytes can be written; `None` makes room again.
    pub fn limit_room(&self, bytes: Option<u64>) {
        self.plan().room = bytes;
    }

    /// The sync after this many more fails; `None` repairs it.
    pub fn fail_sync_after(&self, syncs: Option<u64>) {
        self.plan().syncs = syncs;
    }

    /// Cuts the power: every write since its file's last sync is kept, lost, or torn in the middle, by the seed. Call
    /// it when no one writes any more.
    ///
    /// # Errors
    /// As the system says.
    pub fn cut_power(&self, seed: u64) -> io::Result<()> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let unsynced = std::mem::take(&mut self.plan().unsynced);
        for write in unsynced.iter().rev() {
            let kept = match chance.u8(0..3) {
                0 => write.len,
                1 => 0,
                _ => chance.usize(0..=write.len),
            };
            let Ok(file) = RealDisk.create(&write.path) else { continue };
            let mut lost = vec![0; write.len];
            lost[..write.before.len()].copy_from_slice(&write.before);
            file.write_at(&lost[kept..], write.at + kept as u64)?;
        }
        Ok(())
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file })
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl Disk for FaultyDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealDisk.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealDisk.create(path)?))
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

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        RealDisk.lock(path)
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut plan = self.disk.plan();
        let fits = plan.room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        if let Some(room) = &mut plan.room {
            *room -= fits as u64;
        }
        let mut before = vec![0; fits];
        let had = self.file.read_at(&mut before, at)?;
        before.truncate(had);
        plan.unsynced.push(Unsynced { path: self.path.clone(), at, before, len: fits });
        self.file.write_at(&bytes[..fits], at)?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut plan = self.disk.plan();
        if let Some(left) = &mut plan.syncs {
            if *left == 0 {
                return Err(io::Error::other("the disk failed to sync"));
            }
            *left -= 1;
        }
        plan.unsynced.retain(|write| write.path != self.path);
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
