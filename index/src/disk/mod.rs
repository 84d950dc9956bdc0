//! How do bytes get to the disk, through one place that a test can stand in for?
//!
//! Everything that has to survive power loss, or that must not lie after one, is
//! written through a [`Disk`]: the vector file, the mark, the graph, the word
//! index, the folders, and by way of a SQLite VFS the catalogue. [`OsDisk`] is
//! the real one. The tests' one notes every step, from which it makes what a
//! power failure at any point may leave. Reading needs no seam: it changes nothing.

#[cfg(test)]
pub(crate) mod power;
#[cfg(test)]
pub(crate) mod recording;

use std::fmt::Debug;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Reading what is there.
    Read,
    /// Reading and writing what is there.
    Write,
    /// Reading and writing; made if there is none, else left as it is.
    Create,
    /// Reading and writing a file that was not there before.
    New,
    /// Reading and writing; made if there is none, else emptied.
    Empty,
}

/// Where files lie.
///
/// # Contract
/// Nothing is durable but what was synchronised: a file's content by
/// [`DiskFile::sync`], its name by [`Disk::sync_dir`] of its folder. What was
/// not may be there after power loss, or in part, in any order. A rename is
/// atomic: one of both names is there, whole.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Opens the file at `path`.
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a folder in one that is there. One that is there already is no error.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name in its folder, over whatever has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The SQLite VFS that writes to this disk; `None` for SQLite's own.
    fn sqlite_vfs(&self) -> Option<&str>;
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Writes all of `bytes` from `offset` on. One at a time.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether `path` names this very file; where that cannot be known, whether it names one.
    fn is_at(&self, path: &Path) -> bool;

    /// Fills `bytes` with those from `offset` on, while others do as well.
    #[cfg(unix)]
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Maps `len` bytes from `offset` on.
    ///
    /// # Safety
    /// The bytes are in the file, and nobody writes them or cuts them off while they are mapped.
    unsafe fn map(&self, offset: u64, len: usize) -> io::Result<Mmap>;
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct OsDisk;

#[derive(Debug)]
struct OsFile(fs_err::File);

impl Disk for OsDisk {
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn DiskFile>> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(how != How::Read);
        match how {
            How::Read | How::Write => {}
            How::Create => _ = options.create(true).truncate(false),
            How::New => _ = options.create_new(true),
            How::Empty => _ = options.create(true).truncate(true),
        }
        Ok(Box::new(OsFile(options.open(path)?)))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        match fs_err::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs_err::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs_err::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs_err::remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Only Unix lets a folder be opened and synchronised.
        if cfg!(unix) {
            fs_err::File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn sqlite_vfs(&self) -> Option<&str> {
        None
    }
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn is_at(&self, path: &Path) -> bool {
        is_at(&self.0, path)
    }

    #[cfg(unix)]
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self.0.file(), bytes, offset)
    }

    unsafe fn map(&self, offset: u64, len: usize) -> io::Result<Mmap> {
        // SAFETY: the caller keeps the contract.
        unsafe { MmapOptions::new().offset(offset).len(len).map(self.0.file()) }
    }
}

/// Whether `path` names this very file.
#[cfg(unix)]
pub(crate) fn is_at(file: &fs_err::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs_err::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Elsewhere an open file cannot be deleted.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &fs_err::File, path: &Path) -> bool {
    path.exists()
}

/// Writes a file beside its final name, makes it durable and moves it there. The
/// name is durable once the folder is synchronised.
pub(crate) fn publish(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let file = disk.open(&temporary, How::Empty)?;
    let mut end = 0;
    for part in parts {
        file.write_all_at(part, end)?;
        end += part.len() as u64;
    }
    file.sync()?;
    drop(file);
    disk.rename(&temporary, path)
}
