//! Who is writing to a store, and how does a second writer learn it?
//!
//! The right to write is an operating-system lock on `writer.lock`, so it ends
//! with the process that holds it, however that ends. The file's content only
//! says who that is.

use std::fmt;
use std::fs::TryLockError;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::disk::is_at;

/// Name of the lock file.
pub(crate) const LOCK_FILE: &str = "writer.lock";

/// Who wants to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// What the user called: `ek up`.
    pub command: String,
    /// Where it can be asked, if it serves HTTP: `http://127.0.0.1:7733`.
    pub address: Option<String>,
}

/// Who is writing, as its lock file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderInfo {
    /// What the user called; empty if unknown.
    pub command: String,
    /// Process id; 0 if unknown.
    pub pid: u32,
    /// Where it can be asked, if it serves HTTP.
    pub address: Option<String>,
    /// Since when, seconds since 1970 UTC.
    pub since: u64,
}

impl fmt::Display for HolderInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("another process");
        }
        write!(f, "`{}` (process {}", self.command, self.pid)?;
        if let Some(address) = &self.address {
            write!(f, ", {address}")?;
        }
        write!(f, ") since {}", utc(self.since))
    }
}

/// `2026-01-31 12:00:00 UTC` of seconds since 1970 (Hinnant's civil-from-days).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

/// The right to write, for as long as it lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: fs_err::File,
    info: HolderInfo,
}

impl WriterLock {
    /// Takes the lock in `dir`, which exists.
    pub(crate) fn take(dir: &Path, holder: &Holder) -> Result<Self, StoreError> {
        let path = dir.join(LOCK_FILE);
        let open = || {
            let mut options = fs_err::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).open(&path)
        };
        let mut file = open()?;
        // Someone who only asks who holds the lock has it for an instant.
        for attempt in 0.. {
            match file.try_lock() {
                // Some file systems number their files anew all the time; 50 tries prove that.
                Ok(()) if attempt > 50 || is_at(&file, &path) => break,
                // Deleted in between: a lock on it keeps nobody out.
                Ok(()) => file = open()?,
                Err(TryLockError::Error(e)) => return Err(e.into()),
                Err(TryLockError::WouldBlock) if attempt < 5 => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { path: dir.into(), holder: read_info(&file) });
                }
            }
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let info = HolderInfo {
            command: holder.command.clone(),
            pid: std::process::id(),
            address: holder.address.clone(),
            since,
        };
        let mut lock = Self { file, info };
        lock.publish()?;
        Ok(lock)
    }

    /// Says where the holder can be asked from now on.
    pub(crate) fn set_address(&mut self, address: Option<String>) -> Result<(), StoreError> {
        self.info.address = address;
        self.publish()
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        let json = serde_json::to_vec(&self.info).map_err(std::io::Error::from)?;
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(&json)?;
        Ok(())
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Closing does not do if this process starts another just now: until that has begun
        // its own program, it has all files of this one open, and with them the lock.
        let _ = self.file.unlock();
    }
}

fn read_info(mut file: &fs_err::File) -> HolderInfo {
    let mut json = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut json));
    // Who writes is a courtesy of the message: not knowing it is no error.
    read.ok().and_then(|_| serde_json::from_slice(&json).ok()).unwrap_or(HolderInfo {
        command: String::new(),
        pid: 0,
        address: None,
        since: 0,
    })
}

/// Who is writing in `dir` now, if anyone.
pub(crate) fn holder(dir: &Path) -> Result<Option<HolderInfo>, StoreError> {
    let file = match fs_err::File::open(dir.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_info(&file))),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_827_696), "2000-02-29 12:34:56 UTC");
        assert_eq!(utc(1_798_761_599), "2026-12-31 23:59:59 UTC");
        // A clock that jumped, or a flipped bit.
        assert!(utc(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn the_second_writer_learns_who_the_first_is() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert_eq!(holder(dir.path()).expect("asked"), None);
        let first = Holder { command: "ek up".into(), address: Some("http://127.0.0.1:1".into()) };
        let mut lock = WriterLock::take(dir.path(), &first).expect("free");
        let info = holder(dir.path()).expect("asked").expect("held");
        assert_eq!((info.pid, &info.address), (std::process::id(), &first.address));
        let message =
            WriterLock::take(dir.path(), &Holder::default()).expect_err("held").to_string();
        for part in ["`ek up`", "http://127.0.0.1:1", &std::process::id().to_string(), "UTC"] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
        lock.set_address(None).expect("written");
        assert_eq!(holder(dir.path()).expect("asked").expect("held").address, None);
        drop(lock);
        assert_eq!(holder(dir.path()).expect("asked"), None);
        WriterLock::take(dir.path(), &Holder::default()).expect("free again");
    }

    /// As a process does that is being started while the lock is let go.
    #[cfg(unix)]
    #[test]
    fn who_inherited_the_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().expect("tempdir");
        let lock = WriterLock::take(dir.path(), &Holder::default()).expect("free");
        let inherited = lock.file.file().try_clone().expect("a second handle");
        drop(lock);
        WriterLock::take(dir.path(), &Holder::default()).expect("free again");
        drop(inherited);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_deleted_file_is_known_for_one() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join(LOCK_FILE);
        let lock = WriterLock::take(dir.path(), &Holder::default()).expect("free");
        assert!(is_at(&lock.file, &path));
        fs_err::remove_file(&path).expect("deleted");
        assert!(!is_at(&lock.file, &path));
        let second = WriterLock::take(dir.path(), &Holder::default()).expect("a file of its own");
        assert!(is_at(&second.file, &path) && !is_at(&lock.file, &path));
    }
}
