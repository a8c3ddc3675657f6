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
    /// Free bytes that it tells of, whatever is true.
    free: Option<u64>,
    /// Times that it was asked for them.
    asked: u64,
    /// Syncs that still succeed before one fails.
    syncs: Option<u64>,
    /// Writes since the last sync of their file, oldest first.
    unsynced: Vec<Unsynced>,
    /// Files and folders made since the last sync of the folder that they are in.
    unsynced_names: Vec<PathBuf>,
}

#[derive(Debug)]
struct Unsynced {
    path: PathBuf,
    at: u64,
    before: Vec<u8>,
    bytes: Vec<u8>,
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

    /// From now on it says that this many bytes are free; `None` tells the truth again. It refuses no write for that.
    pub fn tell_free(&self, bytes: Option<u64>) {
        self.plan().free = bytes;
    }

    /// How often it was asked for its free bytes.
    pub fn asked_for_free(&self) -> u64 {
        self.plan().asked
    }

    /// The sync after this many more fails; `None` repairs it.
    pub fn fail_sync_after(&self, syncs: Option<u64>) {
        self.plan().syncs = syncs;
    }

    /// Cuts the power: every write since its file's last sync is kept, lost, or torn in the middle, and every name since
    /// its folder's last sync is kept or lost, by the seed. Call it when no one writes any more.
    ///
    /// # Errors
    /// As the system says.
    pub fn cut_power(&self, seed: u64) -> io::Result<()> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let unsynced = std::mem::take(&mut self.plan().unsynced);
        for write in unsynced.iter().rev().filter(|write| write.path.exists()) {
            let mut before = vec![0; write.bytes.len()];
            before[..write.before.len()].copy_from_slice(&write.before);
            RealDisk.create(&write.path)?.write_at(&before, write.at)?;
        }
        for write in unsynced.iter().filter(|write| write.path.exists()) {
            let kept = match chance.u8(0..3) {
                0 => write.bytes.len(),
                1 => 0,
                _ => chance.usize(0..=write.bytes.len()),
            };
            RealDisk.create(&write.path)?.write_at(&write.bytes[..kept], write.at)?;
        }
        for name in std::mem::take(&mut self.plan().unsynced_names) {
            if chance.bool() && name.is_dir() {
                std::fs::remove_dir_all(&name)?;
            } else if chance.bool() && name.is_file() {
                RealDisk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Takes note of a name that is made now, when it is not there yet.
    fn note_name(&self, path: &Path) {
        if !path.exists() {
            self.plan().unsynced_names.push(path.to_owned());
        }
    }

    /// One sync less until one fails.
    fn spend_sync(&self) -> io::Result<()> {
        match &mut self.plan().syncs {
            Some(0) => Err(io::Error::other("the disk failed to sync")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
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
        self.note_name(path);
        RealDisk.make_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealDisk.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.note_name(path);
        Ok(self.wrap(path, RealDisk.create(path)?))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(room) = &mut self.plan().room {
            *room = room.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        }
        RealDisk.replace(path, bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.spend_sync()?;
        self.plan().unsynced_names.retain(|name| name.parent() != Some(path));
        RealDisk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let mut plan = self.plan();
        plan.asked += 1;
        plan.free.map_or_else(|| RealDisk.free_bytes(path), Ok)
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
        plan.unsynced.push(Unsynced { path: self.path.clone(), at, before, bytes: bytes[..fits].to_vec() });
        self.file.write_at(&bytes[..fits], at)?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.spend_sync()?;
        self.disk.plan().unsynced.retain(|write| write.path != self.path);
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
