//! A disk that dies with its process.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use log::disk_port::DiskFile;
use log::{Disk, RealDisk};

/// A disk that a dead process cannot write to any more. What was written stays.
#[derive(Clone, Default)]
pub(crate) struct Mortal(Arc<AtomicBool>);

impl Mortal {
    pub(crate) fn kill(&self) {
        self.0.store(true, SeqCst);
    }

    fn alive(&self) -> io::Result<()> {
        if self.0.load(SeqCst) { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }
}

struct MortalFile(Mortal, Box<dyn DiskFile>);

impl Disk for Mortal {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.make_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.alive()?;
        Ok(Box::new(MortalFile(self.clone(), RealDisk.create(path)?)))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.replace(path, bytes))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        RealDisk.lock(path)
    }
}

impl DiskFile for MortalFile {
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.1.read_at(buf, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.alive().and_then(|()| self.1.write_at(bytes, at))
    }

    fn sync(&self) -> io::Result<()> {
        self.0.alive().and_then(|()| self.1.sync())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.alive().and_then(|()| self.1.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.alive().and_then(|()| self.1.allocate(len))
    }
}
