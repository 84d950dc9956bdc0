//! How does a user who may only read the files search them?
//!
//! While a reader opens segments the library holds a lock, a file that it makes
//! in the folder, so that a writer's cleaning up does not take them away. Who
//! cannot make the file reads without it: if a writer then does clean up in
//! that instant, opening fails, and nothing worse happens.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, WatchCallback, WatchHandle, WritePtr,
};

/// A folder of files, whose locks are taken where that is allowed.
#[derive(Clone, Debug)]
pub(super) struct ReadOnly(pub(super) MmapDirectory);

impl Directory for ReadOnly {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.0.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.0.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.0.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.0.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.0.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> std::io::Result<()> {
        self.0.atomic_write(path, data)
    }

    fn sync_directory(&self) -> std::io::Result<()> {
        self.0.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        use ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match self.0.acquire_lock(lock) {
            Err(LockError::IoError(e))
                if [PermissionDenied, ReadOnlyFilesystem].contains(&e.kind()) =>
            {
                Ok(DirectoryLock::from(Box::new(())))
            }
            taken => taken,
        }
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.0.watch(callback)
    }
}

#[cfg(test)]
mod tests {
    use super::super::TextIndex;
    use crate::{Item, ItemId, Kind};

    /// Tells something unless the tests run as a user who may write everywhere.
    #[test]
    fn a_folder_that_cannot_be_written_is_read() {
        let parent = tempfile::tempdir().expect("tempdir");
        let dir = parent.path().join("text");
        fs_err::create_dir(&dir).expect("made");
        let mut index = TextIndex::create(&dir).expect("made");
        let text = "a red bicycle";
        let item = Item {
            id: ItemId::for_text(text),
            kind: Kind::Text,
            path: None,
            text: Some(text.into()),
            tags: vec![],
            labels: vec![],
            file: None,
            facts: None,
        };
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
        let opened = TextIndex::open(&dir, false).map(|index| (index.documents(), index.covered()));
        fs_err::set_permissions(&dir, writable).expect("set back");
        assert_eq!(opened.expect("opened"), (1, 1));
    }
}
