//! A disk that holds up, or refuses, what is written to one folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use log::disk_port::DiskFile;
use log::{Disk, RealDisk};

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It waits.
    Wait,
    /// There is no room for it.
    Refuse,
}

#[derive(Debug, Default)]
struct State {
    shut: Option<(&'static str, Way)>,
    waiting: bool,
}

/// The system's disk with a door in front of a folder. Copies share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockedDisk {
    state: Arc<(Mutex<State>, Condvar)>,
}

/// Opens the door when dropped: also when a test fails, so that its log comes to its end.
#[derive(Debug)]
pub(crate) struct Shut(BlockedDisk);

impl BlockedDisk {
    /// Shuts the door of a folder.
    pub(crate) fn shut(&self, folder: &'static str, way: Way) -> Shut {
        self.state.0.lock().unwrap().shut = Some((folder, way));
        Shut(self.clone())
    }

    /// Waits until a write stands before the door.
    pub(crate) async fn waited_for(&self) {
        let looking = async {
            while !self.state.0.lock().unwrap().waiting {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), looking).await.expect("a write comes to the door");
    }

    fn pass(&self, path: &Path) -> io::Result<()> {
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        let here = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
        while let Some((_, way)) = state.shut.filter(|(folder, _)| here(folder)) {
            if way == Way::Refuse {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.waiting = true;
            state = changed.wait(state).unwrap();
        }
        Ok(())
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        *self.0.state.0.lock().unwrap() = State::default();
        self.0.state.1.notify_all();
    }
}

struct File {
    disk: BlockedDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl Disk for BlockedDisk {
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
        self.pass(path)?;
        Ok(Box::new(File { disk: self.clone(), path: path.to_owned(), file: RealDisk.create(path)? }))
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

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        RealDisk.lock(path)
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.pass(&self.path)?;
        self.file.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
