//! Did the catalogue lose commits that were acknowledged?
//!
//! SQLite takes a damaged frame of its log for the end of the log: after a
//! crash it opens without what came later, and without a word. So the number of
//! the newest commit is noted in a file of its own, `commit.mark`, always after
//! the commit itself: a mark ahead of the catalogue is proof of a loss. The mark
//! is not synchronised: after power loss it may lag, which accuses nobody.
//!
//! The file is the number as u64 and a CRC-32 of it, little-endian.

use std::path::Path;

use crate::Seq;
use crate::disk::{Disk, How};

/// Name of the file.
pub(super) const FILE: &str = "commit.mark";

/// Notes that `seq` was committed. A mark that cannot be written is one that lags.
pub(super) fn write(disk: &dyn Disk, dir: &Path, seq: Seq) {
    let number = seq.to_le_bytes();
    let bytes = [&number[..], &crc32fast::hash(&number).to_le_bytes()].concat();
    // Under the lock nobody else writes it, and half of it fails its checksum.
    let _ = disk.open(&dir.join(FILE), How::Create).and_then(|file| file.write_all_at(&bytes, 0));
}

/// The newest commit noted; 0 if there is no mark, or a damaged one.
pub(super) fn read(dir: &Path) -> Seq {
    let bytes = fs_err::read(dir.join(FILE)).unwrap_or_default();
    let Some((number, crc)) = bytes.split_first_chunk::<8>() else { return 0 };
    if crc.starts_with(&crc32fast::hash(number).to_le_bytes()) {
        Seq::from_le_bytes(*number)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    #[test]
    fn a_mark_is_read_as_written_or_not_at_all() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert_eq!(read(dir.path()), 0, "none yet");
        for seq in [1, 77, u64::MAX] {
            write(&OsDisk, dir.path(), seq);
            assert_eq!(read(dir.path()), seq);
        }
        let path = dir.path().join(FILE);
        let bytes = fs_err::read(&path).expect("read");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs_err::write(&path, &flipped).expect("written");
            assert_eq!(read(dir.path()), 0, "bit {bit}");
        }
    }
}
