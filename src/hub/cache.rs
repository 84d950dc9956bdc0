//! Given a repository, where do its files lie on this machine? Where the hub's own tools
//! keep them, too, so that nothing is fetched twice: contents once by their sums (`blobs`),
//! each commit's files as links to them (`snapshots`), and which commit a branch was (`refs`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use tempfile::TempDir;

use super::checksum::Checksum;
use super::listing::{Licence, Listing, MAX_FILES, Remote, is_plain};
use super::name::{Wanted, is_commit};

/// One repository's folder in the cache.
pub(super) struct RepoCache {
    dir: PathBuf,
    hub: CacheRepo,
    revision: String,
}

/// While it lives, no other `ek` fetches this repository.
pub(super) struct Held {
    _lock: std::fs::File,
}

/// Folders that models are laid out in.
const SCRATCH: &str = ".pull-";

impl RepoCache {
    /// Of `wanted` in the cache at `root`; nothing need be there.
    pub(super) fn at(root: &Path, wanted: &Wanted) -> Self {
        let repo =
            Repo::with_revision(wanted.repo().into(), RepoType::Model, wanted.revision().into());
        Self {
            dir: root.join(repo.folder_name()),
            hub: Cache::new(root.into()).repo(repo),
            revision: wanted.revision().into(),
        }
    }

    /// Waits until nobody else fetches, and clears away what a killed one left.
    pub(super) fn hold(&self, waiting: impl FnOnce()) -> io::Result<Held> {
        fs_err::create_dir_all(self.dir.join("blobs"))?;
        let path = self.dir.join(".ek.lock");
        let file =
            fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let (lock, _) = file.into_parts();
        if lock.try_lock().is_err() {
            waiting();
            lock.lock()?;
        }
        for entry in fs_err::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
                fs_err::remove_dir_all(entry.path())?;
            }
        }
        Ok(Held { _lock: lock })
    }

    /// Where contents of that sum lie, if they do.
    pub(super) fn blob(&self, sum: &Checksum) -> PathBuf {
        self.dir.join("blobs").join(sum.hex())
    }

    /// What is here of them so far.
    pub(super) fn part(&self, sum: &Checksum) -> PathBuf {
        self.dir.join("blobs").join(format!("{}.ek-part", sum.hex()))
    }

    /// Makes contents that are here a file of the commit.
    pub(super) fn link(&self, commit: &str, path: &str, sum: &Checksum) -> io::Result<()> {
        let pointer = self.hub.pointer_path(commit).join(path);
        // Up from the file's folder, past `snapshots` and the commit.
        let up = "../".repeat(path.split('/').count() + 1);
        let target = PathBuf::from(format!("{up}blobs/{}", sum.hex()));
        match fs_err::symlink_metadata(&pointer) {
            Ok(_) if fs_err::read_link(&pointer).is_ok_and(|there| there == target) => {
                return Ok(());
            }
            Ok(_) => fs_err::remove_file(&pointer)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        if let Some(folder) = pointer.parent() {
            fs_err::create_dir_all(folder)?;
        }
        point(&target, &pointer, &self.blob(sum))
    }

    /// Notes that the revision is this commit now.
    pub(super) fn remember(&self, commit: &str) -> io::Result<()> {
        if self.revision == commit { Ok(()) } else { self.hub.create_ref(commit) }
    }

    /// Which commit the revision was when it was last pulled.
    pub(super) fn remembered(&self) -> Option<String> {
        let commit = if is_commit(&self.revision) {
            self.revision.clone()
        } else {
            let text = fs_err::read_to_string(self.dir.join("refs").join(&self.revision)).ok()?;
            text.trim().to_owned()
        };
        (is_commit(&commit) && self.hub.pointer_path(&commit).is_dir()).then_some(commit)
    }

    /// What the cache has of a commit, as the hub would list it.
    pub(super) fn listing(&self, commit: &str) -> io::Result<Listing> {
        let root = self.hub.pointer_path(commit);
        let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(&folder)? {
                let path = entry?.path();
                let inside =
                    path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                // A link to nothing is a file that is not here.
                let Ok(facts) = fs_err::metadata(&path) else { continue };
                if fs_err::symlink_metadata(&path)?.is_dir() {
                    folders.push(path);
                } else if facts.is_file() && is_plain(&inside) && files.len() < MAX_FILES {
                    let sum = fs_err::read_link(&path)
                        .ok()
                        .and_then(|blob| Checksum::parse(blob.file_name()?.to_str()?));
                    files.insert(inside, Remote { size: Some(facts.len()), sum });
                }
            }
        }
        Ok(Listing { commit: commit.into(), files, licence: Licence::default() })
    }

    /// Where the files of a commit are.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.hub.pointer_path(commit)
    }

    /// A file of a commit.
    pub(super) fn file(&self, commit: &str, path: &str) -> PathBuf {
        self.hub.pointer_path(commit).join(path)
    }

    /// A new folder that goes when it is dropped, with these files of the commit in it,
    /// below `name`. They are the cache's own files by another name where that can be.
    pub(super) fn lay_out(
        &self,
        commit: &str,
        files: &[String],
        name: &str,
    ) -> io::Result<(TempDir, PathBuf)> {
        let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&self.dir)?;
        let folder = scratch.path().join(name);
        for path in files {
            let to = folder.join(path);
            if let Some(dir) = to.parent() {
                fs_err::create_dir_all(dir)?;
            }
            let from = fs_err::canonicalize(self.file(commit, path))?;
            if fs_err::hard_link(&from, &to).is_err() {
                copy(&from, &to)?;
            }
        }
        Ok((scratch, folder))
    }
}

/// Makes `pointer` the file at `target`, seen from its folder; that is `blob`.
#[cfg(unix)]
fn point(target: &Path, pointer: &Path, _blob: &Path) -> io::Result<()> {
    fs_err::os::unix::fs::symlink(target, pointer)
}

/// Links need rights that few have there.
#[cfg(not(unix))]
fn point(_target: &Path, pointer: &Path, blob: &Path) -> io::Result<()> {
    copy(blob, pointer)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::copy(from, to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "3f68cd45302c7b4b532d933e71d9e6e54b1c7d5e";

    #[test]
    fn the_layout_is_that_of_the_hubs_tools() {
        let root = tempfile::tempdir().expect("a folder");
        let wanted = Wanted::parse("o/r@refs/pr/1").expect("a name");
        let cache = RepoCache::at(root.path(), &wanted);
        assert!(cache.remembered().is_none());
        let held = cache.hold(|| panic!("nobody else")).expect("held");
        let sum = Checksum::Git("ce013625030ba8dba906f756967f9e9ca394464a".into());
        fs_err::write(cache.blob(&sum), "hello\n").expect("written");
        // Twice: as it is after a run that was killed.
        for _ in 0..2 {
            cache.link(COMMIT, "onnx/a.json", &sum).expect("linked");
            cache.remember(COMMIT).expect("noted");
        }
        let dir = root.path().join("models--o--r");
        let snapshot = dir.join("snapshots").join(COMMIT).join("onnx/a.json");
        assert_eq!(fs_err::read_to_string(snapshot).expect("there"), "hello\n");
        assert_eq!(fs_err::read_to_string(dir.join("refs/refs/pr/1")).expect("there"), COMMIT);
        assert_eq!(cache.remembered().as_deref(), Some(COMMIT));
        let listing = cache.listing(COMMIT).expect("readable");
        assert_eq!(listing.files["onnx/a.json"].sum, Some(sum));

        let (scratch, folder) =
            cache.lay_out(COMMIT, &["onnx/a.json".into()], "r").expect("laid out");
        let file = folder.join("onnx/a.json");
        assert!(fs_err::symlink_metadata(&file).expect("there").is_file(), "no link");
        // A run that is killed leaves its folder; the next one clears it away.
        let left = scratch.keep();
        drop(held);
        cache.hold(|| panic!("nobody else")).expect("held");
        assert!(!left.exists());
    }
}
