//! How do the word index's files get to the store's disk, and how does a user
//! who may only read them search them?
//!
//! The library writes through [`Files`], so that the word index is behind the
//! same seam as everything else. While a reader opens segments the library holds
//! a lock, a file that it makes in the folder, so that a writer's cleaning up
//! does not take them away. Who cannot make the file reads without it: if a
//! writer then does clean up in that instant, opening fails, and nothing worse
//! happens.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::error::{
    DeleteError, LockError, OpenDirectoryError, OpenReadError, OpenWriteError,
};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

use crate::disk::{self, Disk, DiskFile, How};

/// A folder of files, written through the store's disk, whose locks are taken
/// where that is allowed.
#[derive(Clone, Debug)]
pub(super) struct Files {
    files: MmapDirectory,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Files {
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, OpenDirectoryError> {
        Ok(Self { files: MmapDirectory::open(dir)?, disk: Arc::clone(disk), dir: dir.into() })
    }
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.files.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.disk.remove(&self.dir.join(path)).map_err(|e| match e.kind() {
            ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.into()),
            _ => DeleteError::IoError { io_error: Arc::new(e), filepath: path.into() },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.files.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        match self.disk.open(&self.dir.join(path), How::New) {
            Ok(file) => Ok(BufWriter::new(Box::new(Writer { file, end: 0 }))),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Err(OpenWriteError::FileAlreadyExists(path.into()))
            }
            Err(e) => Err(OpenWriteError::wrap_io_error(e, path.into())),
        }
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.files.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        disk::publish(&*self.disk, &self.dir.join(path), &[data])
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.dir)
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        use ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match self.files.acquire_lock(lock) {
            Err(LockError::IoError(e))
                if [PermissionDenied, ReadOnlyFilesystem].contains(&e.kind()) =>
            {
                Ok(DirectoryLock::from(Box::new(())))
            }
            taken => taken,
        }
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.files.watch(callback)
    }
}

/// A new file, written from its start to its end.
struct Writer {
    file: Box<dyn DiskFile>,
    end: u64,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for Writer {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::TextIndex;
    use crate::Item;
    use crate::disk::{Disk, OsDisk};

    /// Tells something unless the tests run as a user who may write everywhere.
    #[test]
    fn a_folder_that_cannot_be_written_is_read() {
        let parent = tempfile::tempdir().expect("tempdir");
        let dir = parent.path().join("text");
        fs_err::create_dir(&dir).expect("made");
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let mut index = TextIndex::create(&disk, &dir).expect("made");
        let text = "a red bicycle";
        let item = Item::of_text(text);
        index.add(0, &item).expect("noted");
        index.commit(1).expect("committed");
        drop(index);
        for name in fs_err::read_dir(&dir).expect("listed") {
            let path = name.expect("listed").path();
            if path.to_string_lossy().ends_with(".lock") {
                fs_err::remove_file(path).expect("deleted");
            }
        }
        let writable = fs_err::metadata(&dir).expect("there").permissions();
        let mut readable = writable.clone();
        readable.set_readonly(true);
        fs_err::set_permissions(&dir, readable).expect("set");
        let opened =
            TextIndex::open(&disk, &dir, false).map(|index| (index.documents(), index.covered()));
        fs_err::set_permissions(&dir, writable).expect("set back");
        assert_eq!(opened.expect("opened"), (1, 1));
    }
}
