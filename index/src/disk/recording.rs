//! A disk for tests: does what it is told and notes every step of it, or fails at one.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::Mmap;

use super::{Disk, DiskFile, How, OsDisk};
use crate::catalogue::vfs::Vfs;

/// A file, by whatever name.
pub(crate) type FileNo = u64;

/// One change of what lies on the disk, or one order to make changes durable.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
    Create {
        path: PathBuf,
        file: FileNo,
    },
    Write {
        file: FileNo,
        at: u64,
        bytes: Vec<u8>,
    },
    SetLen {
        file: FileNo,
        len: u64,
    },
    Sync(FileNo),
    Rename {
        from: PathBuf,
        to: PathBuf,
        file: FileNo,
    },
    Remove(PathBuf),
    SyncDir(PathBuf),
    /// What the test wants to find in the log: how many calls returned.
    Note(usize),
}

/// What goes wrong, counted in steps from when it is set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The step after this many fails, and none after it.
    Once(usize),
    /// After this many steps nothing more can be written or made.
    Full(usize),
}

#[derive(Debug, Default)]
struct State {
    steps: Vec<Step>,
    names: HashMap<PathBuf, FileNo>,
    trouble: Option<Trouble>,
    /// Whether something has failed since the trouble was set.
    failed: bool,
}

/// The log of a recording disk.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<State>);

/// The operating system's files, every change of which is noted. The store on
/// it has to be closed before it is dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: Arc<Log>,
    vfs: Vfs,
}

#[derive(Debug)]
struct Recorded {
    log: Arc<Log>,
    file: FileNo,
    real: Box<dyn DiskFile>,
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something and notes it, as one: the log is in the order of the doing.
    fn act<T>(
        &self,
        makes: bool,
        real: impl FnOnce(&mut State) -> io::Result<(T, Option<Step>)>,
    ) -> io::Result<T> {
        let mut state = self.state();
        if let Some(error) = state.trouble(makes) {
            return Err(error);
        }
        let (value, step) = real(&mut state)?;
        state.steps.extend(step);
        Ok(value)
    }

    /// Notes a file that `make` is about to make or to find.
    pub(crate) fn open<T>(
        &self,
        path: &Path,
        how: How,
        make: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(FileNo, T)> {
        let there = path.exists();
        let makes = !there && matches!(how, How::Create | How::New | How::Empty);
        let mut state = self.state();
        if let Some(error) = makes.then(|| state.trouble(true)).flatten() {
            return Err(error);
        }
        let made = make()?;
        if makes {
            let file = state.steps.len() as FileNo;
            state.names.insert(path.into(), file);
            state.steps.push(Step::Create { path: path.into(), file });
        }
        let file = *state.names.get(path).expect("a file of the log");
        if there && how == How::Empty {
            state.steps.push(Step::SetLen { file, len: 0 });
        }
        Ok((file, made))
    }

    pub(crate) fn write(
        &self,
        file: FileNo,
        at: u64,
        bytes: &[u8],
        real: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state();
        let trouble = state.trouble(true);
        // What does not fit is written as far as it does.
        let done = if trouble.is_some() { &bytes[..bytes.len() / 2] } else { bytes };
        real(done)?;
        state.steps.push(Step::Write { file, at, bytes: done.into() });
        trouble.map_or(Ok(()), Err)
    }

    pub(crate) fn set_len(
        &self,
        file: FileNo,
        len: u64,
        real: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.act(false, |_| Ok((real()?, Some(Step::SetLen { file, len }))))
    }

    pub(crate) fn sync(
        &self,
        file: FileNo,
        real: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.act(false, |_| Ok((real()?, Some(Step::Sync(file)))))
    }

    pub(crate) fn sync_dir(
        &self,
        dir: &Path,
        real: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.act(false, |_| Ok((real()?, Some(Step::SyncDir(dir.into())))))
    }

    pub(crate) fn remove(
        &self,
        path: &Path,
        real: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.act(false, |state| {
            real()?;
            state.names.remove(path);
            Ok(((), Some(Step::Remove(path.into()))))
        })
    }
}

impl State {
    /// The error that the next step meets.
    fn trouble(&mut self, makes: bool) -> Option<io::Error> {
        // As Linux numbers them: no space left, input/output error.
        let (left, error, lasting) = match &mut self.trouble {
            Some(Trouble::Once(left)) => (left, 5, false),
            Some(Trouble::Full(left)) => (left, 28, true),
            None => return None,
        };
        if *left > 0 {
            *left -= 1;
            return None;
        }
        if lasting && !makes {
            return None;
        }
        if !lasting {
            self.trouble = None;
        }
        self.failed = true;
        Some(io::Error::from_raw_os_error(error))
    }
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        let log = Arc::new(Log::default());
        Arc::new(Self { vfs: Vfs::register(&log), log })
    }

    /// A recorder of a folder that has files already, which count as durable.
    pub(crate) fn over(dir: &Path) -> Arc<Self> {
        let this = Self::new();
        this.log.state().take_in(dir);
        this
    }

    /// Puts a mark in the log.
    pub(crate) fn note(&self, n: usize) {
        self.log.state().steps.push(Step::Note(n));
    }

    /// How many steps there are so far.
    pub(crate) fn len(&self) -> usize {
        self.log.state().steps.len()
    }

    /// Everything so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.log.state().steps.clone()
    }

    /// Lets something go wrong, or nothing any more; says whether something did since the last call.
    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) -> bool {
        let mut state = self.log.state();
        state.trouble = trouble;
        std::mem::take(&mut state.failed)
    }
}

impl State {
    fn take_in(&mut self, dir: &Path) {
        for entry in fs_err::read_dir(dir).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                self.steps.push(Step::MakeDir(path.clone()));
                self.take_in(&path);
                continue;
            }
            let file = self.steps.len() as FileNo;
            let bytes = fs_err::read(&path).expect("read");
            self.names.insert(path.clone(), file);
            self.steps.push(Step::Create { path, file });
            self.steps.push(Step::Write { file, at: 0, bytes });
            self.steps.push(Step::Sync(file));
        }
        self.steps.push(Step::SyncDir(dir.into()));
    }
}

impl Disk for Recorder {
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn DiskFile>> {
        let (file, real) = self.log.open(path, how, || OsDisk.open(path, how))?;
        Ok(Box::new(Recorded { log: Arc::clone(&self.log), file, real }))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.log.act(true, |_| Ok((OsDisk.make_dir(path)?, Some(Step::MakeDir(path.into())))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.log.act(true, |state| {
            OsDisk.rename(from, to)?;
            let file = state.names.remove(from).expect("a file of the log");
            state.names.insert(to.into(), file);
            Ok(((), Some(Step::Rename { from: from.into(), to: to.into(), file })))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.log.remove(path, || OsDisk.remove(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.log.act(false, |_| Ok((OsDisk.remove_dir(path)?, Some(Step::RemoveDir(path.into())))))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.log.sync_dir(dir, || OsDisk.sync_dir(dir))
    }

    fn sqlite_vfs(&self) -> Option<&str> {
        Some(self.vfs.name())
    }
}

impl DiskFile for Recorded {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.log.write(self.file, offset, bytes, |bytes| self.real.write_all_at(bytes, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.log.sync(self.file, || self.real.sync())
    }

    fn is_at(&self, path: &Path) -> bool {
        self.real.is_at(path)
    }

    #[cfg(unix)]
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.real.read_exact_at(bytes, offset)
    }

    unsafe fn map(&self, offset: u64, len: usize) -> io::Result<Mmap> {
        // SAFETY: the caller keeps the contract.
        unsafe { self.real.map(offset, len) }
    }
}
