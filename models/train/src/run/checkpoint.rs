//! Given a run that was killed, where does it go on? From one file that is
//! replaced as a whole or not at all.
//!
//! Layout: `EKTRAIN1`, the length of a JSON header (u64, little-endian), the
//! header, 32-bit floats of all arrays in the header's order, the state of the
//! loss, and the BLAKE3 hash of everything before it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::trainer::EpochRecord;
use crate::atomic;

const MAGIC: &[u8; 8] = b"EKTRAIN1";

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system's words.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is no whole checkpoint.
    #[error("{}: {problem}; delete it to start the run again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Everything that changes in a run. With the same configuration and data,
/// training goes on from it as if it had never stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Says which configuration and data it belongs to.
    pub run: String,
    /// Optimiser steps taken.
    pub step: u64,
    /// The epoch it is in.
    pub epoch: u64,
    /// Batches of that epoch that are done.
    pub batch: u64,
    /// Sums over those batches, for the epoch's record.
    pub sums: Vec<(String, f64)>,
    /// How often each finding came up in them.
    pub findings: Vec<(String, u64)>,
    /// Best epoch and its score.
    pub best: Option<(u64, f64)>,
    /// Finished epochs.
    pub history: Vec<EpochRecord>,
    /// Steps of the two optimisers (of the model's and of the loss's parameters).
    pub optimiser_steps: [u64; 2],
    /// All numbers, by name.
    pub arrays: Vec<(String, Vec<f32>)>,
    /// The loss's state.
    pub criterion: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    run: String,
    step: u64,
    epoch: u64,
    batch: u64,
    /// Floats as bits: a sum must come back as it was.
    sums: Vec<(String, u64)>,
    findings: Vec<(String, u64)>,
    best: Option<(u64, u64)>,
    history: Vec<EpochRecord>,
    optimiser_steps: [u64; 2],
    arrays: Vec<(String, usize)>,
    criterion: usize,
}

impl Checkpoint {
    /// Writes it to `path`: to a file beside it first, synced, then renamed.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = self.bytes();
        atomic::write(path, &bytes)
            .map_err(|source| CheckpointError::Io { path: path.into(), source })
    }

    fn bytes(&self) -> Vec<u8> {
        let bits = |v: f64| v.to_bits();
        let header = Header {
            run: self.run.clone(),
            step: self.step,
            epoch: self.epoch,
            batch: self.batch,
            sums: self.sums.iter().map(|(n, v)| (n.clone(), bits(*v))).collect(),
            findings: self.findings.clone(),
            best: self.best.map(|(epoch, score)| (epoch, bits(score))),
            history: self.history.clone(),
            optimiser_steps: self.optimiser_steps,
            arrays: self.arrays.iter().map(|(n, v)| (n.clone(), v.len())).collect(),
            criterion: self.criterion.len(),
        };
        let header = serde_json::to_vec(&header).expect("names and numbers are JSON");
        let numbers: usize = self.arrays.iter().map(|(_, v)| 4 * v.len()).sum();
        let mut bytes = Vec::with_capacity(64 + header.len() + numbers + self.criterion.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        for (_, values) in &self.arrays {
            values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        }
        bytes.extend_from_slice(&self.criterion);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// Reads one; none if there is no such file.
    ///
    /// # Errors
    /// `Io`, and `Damaged` for anything that is not whole.
    pub fn read(path: &Path) -> Result<Option<Self>, CheckpointError> {
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path: path.into(), source }),
        };
        Self::parse(&bytes)
            .map(Some)
            .map_err(|problem| CheckpointError::Damaged { path: path.into(), problem })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let short = || format!("expected a whole checkpoint, got {} bytes", bytes.len());
        let (body, hash) =
            bytes.split_at_checked(bytes.len().saturating_sub(32)).ok_or_else(short)?;
        let rest = body
            .strip_prefix(MAGIC)
            .ok_or("expected a checkpoint of this version, got something else")?;
        if blake3::hash(body).as_bytes() != hash {
            return Err("its checksum does not fit its content".to_owned());
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|e| e.to_string())?;
        let (header, mut rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let header: Header = serde_json::from_slice(header).map_err(|e| e.to_string())?;
        let mut arrays = Vec::with_capacity(header.arrays.len());
        for (name, length) in header.arrays {
            let (numbers, after) =
                length.checked_mul(4).and_then(|n| rest.split_at_checked(n)).ok_or_else(short)?;
            let (values, _) = numbers.as_chunks::<4>();
            arrays.push((name, values.iter().map(|b| f32::from_le_bytes(*b)).collect()));
            rest = after;
        }
        if rest.len() != header.criterion {
            return Err(short());
        }
        Ok(Self {
            run: header.run,
            step: header.step,
            epoch: header.epoch,
            batch: header.batch,
            sums: header.sums.into_iter().map(|(n, v)| (n, f64::from_bits(v))).collect(),
            findings: header.findings,
            best: header.best.map(|(epoch, score)| (epoch, f64::from_bits(score))),
            history: header.history,
            optimiser_steps: header.optimiser_steps,
            arrays,
            criterion: rest.to_vec(),
        })
    }

    /// Takes the arrays whose names begin with `prefix`, without it.
    pub(super) fn take(&mut self, prefix: &str) -> Vec<(String, Vec<f32>)> {
        let (taken, left) = std::mem::take(&mut self.arrays)
            .into_iter()
            .partition(|(name, _)| name.starts_with(prefix));
        self.arrays = left;
        let strip = |(name, values): (String, _)| (name[prefix.len()..].to_owned(), values);
        Vec::into_iter(taken).map(strip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            run: "abc".into(),
            step: 7,
            epoch: 2,
            batch: 1,
            sums: vec![("loss".into(), 0.1 + 0.2), ("odd".into(), f64::NAN)],
            findings: vec![("all equal".into(), 3)],
            best: Some((1, 123.456)),
            history: Vec::new(),
            optimiser_steps: [7, 7],
            arrays: vec![
                ("p/a".into(), vec![1.0, -0.0, f32::MIN_POSITIVE]),
                ("q/b".into(), vec![]),
            ],
            criterion: vec![1, 2, 3],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("c");
        assert!(Checkpoint::read(&path).expect("no file is fine").is_none());
        checkpoint().write(&path).expect("written");
        let mut got = Checkpoint::read(&path).expect("read").expect("there");
        assert_eq!(got.sums[0].1.to_bits(), (0.1f64 + 0.2).to_bits());
        assert_eq!(
            (got.step, got.best, got.criterion.clone()),
            (7, Some((1, 123.456)), vec![1, 2, 3])
        );
        assert_eq!(got.take("p/"), [("a".to_owned(), vec![1.0, -0.0, f32::MIN_POSITIVE])]);
        assert_eq!(got.arrays.len(), 1);
    }

    #[test]
    fn every_cut_and_every_flip_is_noticed() {
        let bytes = checkpoint().bytes();
        assert!(Checkpoint::parse(&bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(Checkpoint::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Checkpoint::parse(&flipped).is_err(), "flipped at {at}");
        }
    }
}
