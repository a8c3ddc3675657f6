//! A disk whose syncs wait at a gate, so that a test knows what the writer has at hand while it fills the queue.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use log::disk_port::DiskFile;
use log::{Disk, RealDisk};

#[derive(Debug, Default)]
struct Gate {
    shut: bool,
    waiting: usize,
}

/// The system's disk with a gate. It does not tell how much is free. Copies share the gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldDisk {
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

impl HeldDisk {
    /// From now on syncs wait.
    pub(crate) fn hold(&self) {
        self.gate.0.lock().unwrap().shut = true;
    }

    /// Returns once a sync waits.
    pub(crate) fn wait_held(&self) {
        let (gate, turned) = &*self.gate;
        drop(turned.wait_while(gate.lock().unwrap(), |gate| gate.waiting == 0).unwrap());
    }

    /// Opens the gate.
    pub(crate) fn let_go(&self) {
        self.gate.0.lock().unwrap().shut = false;
        self.gate.1.notify_all();
    }

    fn pass(&self) {
        let (gate, turned) = &*self.gate;
        let mut gate = gate.lock().unwrap();
        gate.waiting += 1;
        turned.notify_all();
        gate = turned.wait_while(gate, |gate| gate.shut).unwrap();
        gate.waiting -= 1;
    }

    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(HeldFile { disk: self.clone(), file })
    }
}

impl Disk for HeldDisk {
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
        Ok(self.wrap(RealDisk.create(path)?))
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

struct HeldFile {
    disk: HeldDisk,
    file: Box<dyn DiskFile>,
}

impl DiskFile for HeldFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass();
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
