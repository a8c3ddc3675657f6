//! The disk as a port: the only room that opens, writes, syncs and removes files. `RealDisk` is the system's; its
//! faulty twin is in [`crate::faulty`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and its parents.
    ///
    /// # Errors
    /// As the system says.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Opens a file to read.
    ///
    /// # Errors
    /// `NotFound`, or as the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to read and write; makes it when it is not there.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Puts `bytes` in place of a small file, so that a crash leaves the old or the new one whole.
    ///
    /// # Errors
    /// As the system says.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Bytes that this process may still write to the file system of a directory.
    ///
    /// # Errors
    /// As the system says, or when it does not tell.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Locks a file for this process until the guard is dropped; `None` when another process has it.
    ///
    /// # Errors
    /// As the system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;
}

/// An open file. Positions are explicit, so one handle serves several threads.
#[expect(clippy::len_without_is_empty, reason = "a file's length is asked of the system and may fail")]
pub trait DiskFile: Send + Sync {
    /// Its length in bytes, allocated zeros included.
    ///
    /// # Errors
    /// As the system says.
    fn len(&self) -> io::Result<u64>;

    /// Reads at a position; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all bytes at a position.
    ///
    /// # Errors
    /// As the system says; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// As the system says; what is on disk is then not known.
    fn sync(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros).
    ///
    /// # Errors
    /// As the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room up to this length, zeros to read, so that later syncs need not write the file's size.
    ///
    /// # Errors
    /// As the system says.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// The system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile(File);

#[expect(clippy::disallowed_methods, reason = "this is the disk port")]
impl Disk for RealDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, bytes)?;
        File::open(&fresh)?.sync_data()?;
        std::fs::rename(&fresh, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        // What is left for everybody, not what root could still take.
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.0.read_at(&mut buf[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
                // Some file systems cannot reserve; a sparse file is slower to sync and as safe.
                Err(rustix::io::Errno::OPNOTSUPP) => {}
                done => return done.map_err(io::Error::from),
            }
        }
        if self.len()? < len { self.set_len(len) } else { Ok(()) }
    }
}
