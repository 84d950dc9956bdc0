//! What does a run leave on disk? A folder with the configuration as it was
//! resolved, the pairs with their splits, a line for each epoch, and the checkpoint.

use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::trainer::EpochRecord;
use crate::atomic;

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDirectoryError {
    /// The system's words.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A run is there already.
    #[error(
        "{} holds a run already; go on with it by --resume, or name another --out",
        path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing to go on with.
    #[error("{} holds no run to resume; leave --resume away to start one", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// The folder of a run: `config.toml`, `pairs.jsonl`, `metrics.jsonl`, `checkpoint`.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Whether the folder itself was made for the run.
    made: bool,
}

impl RunDirectory {
    /// Makes the folder for a new run, with its configuration.
    ///
    /// # Errors
    /// `Taken` if a run is there, `Io`.
    pub fn start(path: &Path, config: &str) -> Result<Self, RunDirectoryError> {
        let this = Self { path: path.into(), made: !path.exists() };
        if this.file("checkpoint").exists() || this.file("config.toml").exists() {
            return Err(RunDirectoryError::Taken { path: path.into() });
        }
        let io = |source| RunDirectoryError::Io { path: path.into(), source };
        fs_err::create_dir_all(path).map_err(io)?;
        atomic::write(&this.file("config.toml"), config.as_bytes()).map_err(io)?;
        Ok(this)
    }

    /// Opens the folder of a run that was begun; gives its configuration too.
    ///
    /// # Errors
    /// `Nothing` without one, `Io`.
    pub fn resume(path: &Path) -> Result<(Self, String), RunDirectoryError> {
        let this = Self { path: path.into(), made: false };
        match fs_err::read_to_string(this.file("config.toml")) {
            Ok(config) => Ok((this, config)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(RunDirectoryError::Nothing { path: path.into() })
            }
            Err(source) => Err(RunDirectoryError::Io { path: path.into(), source }),
        }
    }

    /// Takes back what [`start`](Self::start) made, for a run that did not begin: the
    /// configuration, and the folder if it was not there before. Whatever else lies
    /// in it stays.
    pub fn discard(self) {
        // What cannot be removed does no harm: the next run says where it is.
        let _ = fs_err::remove_file(self.file("config.toml"));
        if self.made {
            let _ = fs_err::remove_dir(&self.path);
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the pairs lie that the run was begun with, each with its split.
    pub fn pairs(&self) -> PathBuf {
        self.file("pairs.jsonl")
    }

    /// Writes them.
    ///
    /// # Errors
    /// `Io`.
    pub fn keep_pairs(&self, lines: &str) -> Result<(), RunDirectoryError> {
        let path = self.pairs();
        atomic::write(&path, lines.as_bytes())
            .map_err(|source| RunDirectoryError::Io { path, source })
    }

    /// The last checkpoint, if one was written.
    ///
    /// # Errors
    /// `Checkpoint`.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, RunDirectoryError> {
        Ok(Checkpoint::read(&self.file("checkpoint"))?)
    }

    /// Replaces the checkpoint.
    ///
    /// # Errors
    /// `Checkpoint`.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), RunDirectoryError> {
        Ok(checkpoint.write(&self.file("checkpoint"))?)
    }

    /// Writes `metrics.jsonl` anew: one line an epoch, the first (epoch 0) before training.
    ///
    /// # Errors
    /// `Io`.
    pub fn record(&self, history: &[EpochRecord]) -> Result<(), RunDirectoryError> {
        let mut lines = String::new();
        for record in history {
            lines.push_str(&serde_json::to_string(record).expect("names and numbers are JSON"));
            lines.push('\n');
        }
        let path = self.file("metrics.jsonl");
        atomic::write(&path, lines.as_bytes())
            .map_err(|source| RunDirectoryError::Io { path, source })
    }
}
