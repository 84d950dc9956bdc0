//! Given an indexed picture, where is its small JPEG? In a cache beside the
//! store, named by item and content, so that a changed file gets a new one. It is
//! made once, by whoever asks first; when the cache is full, what was not asked
//! for the longest goes.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ekphrasis_index::{Item, ItemId};
use ekphrasis_models::encode_thumbnail;

use crate::engine::as_indexed;
use crate::{EngineError, pictures};

/// The longer side in pixels: sharp on a double-density screen in a 200 px cell.
const LONGEST: u32 = 400;
/// Bytes on disk: some 50,000 thumbnails.
const LIMIT: u64 = 1 << 30;
/// Bytes in memory, for those that the disk does not take.
const SPARE: usize = 16 << 20;
/// A cache that is full is emptied down to this share, so that it is not full again at once.
const KEPT: f64 = 0.9;
/// A use is noted if the last note is older: writing it down at each one would cost
/// more than it tells.
const NOTED: Duration = Duration::from_secs(3600);
/// What is half written for so long was left behind by a process that was killed.
const LEFT: Duration = Duration::from_secs(600);

/// The thumbnails of one store.
#[derive(Debug)]
pub(crate) struct Thumbnails {
    dir: PathBuf,
    limit: u64,
    state: Mutex<State>,
    made: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes on disk, as far as this process knows; `None` until it has looked.
    bytes: Option<u64>,
    /// Those that some thread is making.
    making: HashSet<String>,
    /// Those that could not be written down, the oldest first.
    spare: VecDeque<(String, Vec<u8>)>,
}

impl Thumbnails {
    pub(crate) fn new(data: &Path) -> Self {
        Self::with_limit(data.join("thumbnails"), LIMIT)
    }

    fn with_limit(dir: PathBuf, limit: u64) -> Self {
        Self { dir, limit, state: Mutex::default(), made: Condvar::new() }
    }

    /// The thumbnail of an item whose file lies at `path`.
    ///
    /// # Errors
    /// `NotFound` if there is none yet and the file is gone or changed; otherwise as
    /// reading and decoding it fail.
    pub(crate) fn get(&self, path: &Path, item: &Item) -> Result<Vec<u8>, EngineError> {
        self.get_or_make(item, || of_bytes(path, &as_indexed(path, item)?))
    }

    fn get_or_make(
        &self,
        item: &Item,
        make: impl FnOnce() -> Result<Vec<u8>, EngineError>,
    ) -> Result<Vec<u8>, EngineError> {
        let name = name(item);
        let file = self.dir.join(&name[..2]).join(&name);
        let mut state = self.lock();
        loop {
            if let Some((_, jpeg)) = state.spare.iter().find(|(spare, _)| *spare == name) {
                return Ok(jpeg.clone());
            }
            // Somebody makes it just now: that one is waited for.
            if !state.making.contains(&name) {
                break;
            }
            state = self.made.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.making.insert(name.clone());
        drop(state);
        let done = Making { cache: self, name: &name };
        if let Some(jpeg) = read(&file) {
            return Ok(jpeg);
        }
        let jpeg = make()?;
        match keep(&file, &jpeg) {
            Ok(()) => self.count(jpeg.len() as u64),
            // The cache is a convenience: on a disk that takes nothing it lies in memory.
            Err(_) => self.spare(&name, &jpeg),
        }
        drop(done);
        Ok(jpeg)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self, name: &str, jpeg: &[u8]) {
        let mut state = self.lock();
        state.spare.push_back((name.into(), jpeg.into()));
        while state.spare.iter().map(|(_, jpeg)| jpeg.len()).sum::<usize>() > SPARE {
            state.spare.pop_front();
        }
    }

    /// Notes that the cache grew, and makes room if it is full.
    fn count(&self, bytes: u64) {
        let mut state = self.lock();
        let known = state.bytes.map(|known| known + bytes);
        if known.is_none_or(|known| known > self.limit) {
            // Others wait for the disk meanwhile, but nobody sweeps twice.
            state.bytes = Some(self.sweep());
        } else {
            state.bytes = known;
        }
    }

    /// Counts what is there, and removes what was not used for the longest if it is
    /// too much. Gives the bytes that are left.
    fn sweep(&self) -> u64 {
        let now = SystemTime::now();
        let mut found = vec![];
        for folder in fs_err::read_dir(&self.dir).into_iter().flatten().flatten() {
            for entry in fs_err::read_dir(folder.path()).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let path = entry.path();
                if path.extension().is_some_and(|ending| ending == "partial") {
                    if now.duration_since(used).is_ok_and(|age| age > LEFT) {
                        let _ = fs_err::remove_file(path);
                    }
                } else if meta.is_file() {
                    found.push((used, meta.len(), path));
                }
            }
        }
        let mut bytes: u64 = found.iter().map(|(_, length, _)| length).sum();
        if bytes <= self.limit {
            return bytes;
        }
        found.sort();
        let kept = (self.limit as f64 * KEPT) as u64;
        for (_, length, path) in found {
            if bytes <= kept {
                break;
            }
            // That somebody else removed it comes to the same.
            let _ = fs_err::remove_file(path);
            bytes -= length;
        }
        bytes
    }

    /// Removes all versions of these items' thumbnails. What cannot be removed is
    /// only a small file too many.
    pub(crate) fn forget(&self, ids: &[ItemId]) {
        for id in ids.iter().map(ItemId::to_string) {
            self.lock().spare.retain(|(name, _)| !name.starts_with(&id));
            let Ok(folder) = fs_err::read_dir(self.dir.join(&id[..2])) else { continue };
            for entry in folder.flatten() {
                if entry.file_name().to_string_lossy().starts_with(&id) {
                    let _ = fs_err::remove_file(entry.path());
                }
            }
        }
    }
}

/// A thumbnail of a picture's file that was read from `path`.
pub(crate) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, EngineError> {
    let picture = pictures::open_bytes(path, bytes)?;
    Ok(encode_thumbnail(&picture.pixels, LONGEST))
}

/// Lets the next one in when it goes out of scope, however making ended.
struct Making<'a> {
    cache: &'a Thumbnails,
    name: &'a str,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.cache.lock().making.remove(self.name);
        self.cache.made.notify_all();
    }
}

fn name(item: &Item) -> String {
    let content = item.file.as_ref().map_or([0; 32], |file| file.content);
    let version = u32::from_be_bytes([content[0], content[1], content[2], content[3]]);
    format!("{}-{version:08x}.jpg", item.id)
}

/// A thumbnail that is there and whole; its use is noted in its time.
fn read(file: &Path) -> Option<Vec<u8>> {
    let jpeg = fs_err::read(file).ok()?;
    // A power failure may leave a name with nothing behind it.
    if !jpeg.starts_with(b"\xFF\xD8") || !jpeg.ends_with(b"\xFF\xD9") {
        return None;
    }
    let now = SystemTime::now();
    let noted = fs_err::metadata(file).and_then(|meta| meta.modified()).ok()?;
    if now.duration_since(noted).is_ok_and(|age| age > NOTED) {
        let _ = fs_err::File::options().append(true).open(file).map(|f| f.file().set_modified(now));
    }
    Some(jpeg)
}

/// Written beside and moved, so that no reader sees half a file.
fn keep(file: &Path, jpeg: &[u8]) -> std::io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = file.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let partial = file.with_extension(format!("{}-{number}.partial", std::process::id()));
    let written = fs_err::write(&partial, jpeg).and_then(|()| fs_err::rename(&partial, file));
    if written.is_err() {
        let _ = fs_err::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use ekphrasis_index::FileFacts;

    use super::*;

    fn item(number: u8) -> Item {
        let file = FileFacts {
            size: 1,
            mtime_ns: 0,
            content: [number; 32],
            width: 1,
            height: 1,
            format: "png".into(),
        };
        Item::of_picture(format!("/pictures/{number}.png").into(), file)
    }

    fn jpeg(length: usize) -> Vec<u8> {
        [b"\xFF\xD8", &vec![7; length - 4][..], b"\xFF\xD9"].concat()
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let folders = fs_err::read_dir(dir).expect("listed").flatten();
        let within = folders.flat_map(|f| fs_err::read_dir(f.path()).expect("listed").flatten());
        within.map(|entry| entry.path()).collect()
    }

    #[test]
    fn it_is_made_once_whoever_asks() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = Thumbnails::with_limit(dir.path().join("t"), 1 << 20);
        let made = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..16u8 {
                let (cache, made) = (&cache, &made);
                scope.spawn(move || {
                    let make = || {
                        made.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        Ok(jpeg(100))
                    };
                    let got = cache.get_or_make(&item(thread % 4), make).expect("made");
                    assert_eq!(got, jpeg(100));
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 4);
        // Nor by the next process.
        let again = Thumbnails::with_limit(dir.path().join("t"), 1 << 20);
        let got = again.get_or_make(&item(3), || panic!("it is there"));
        assert_eq!(got.expect("read"), jpeg(100));
        // Who failed does not keep the next one out.
        let failed = cache.get_or_make(&item(9), || Err(EngineError::Invalid("no".into())));
        assert!(failed.is_err());
        assert!(cache.get_or_make(&item(9), || Ok(jpeg(50))).is_ok());
    }

    #[test]
    fn what_was_not_used_for_the_longest_goes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = Thumbnails::with_limit(dir.path().join("t"), 1000);
        let hours = |n: u64| SystemTime::now() - Duration::from_secs(3600 * n);
        for number in 0..10 {
            cache.get_or_make(&item(number), || Ok(jpeg(100))).expect("made");
            let name = name(&item(number));
            let mut options = fs_err::File::options();
            let file =
                options.append(true).open(cache.dir.join(&name[..2]).join(name)).expect("there");
            file.file().set_modified(hours(100 - u64::from(number))).expect("set");
        }
        // The oldest is used again, and something is left half written.
        cache.get_or_make(&item(0), || panic!("it is there")).expect("read");
        let left = cache.dir.join("00").join("x.1-1.partial");
        fs_err::create_dir_all(cache.dir.join("00")).expect("made");
        fs_err::write(&left, b"half").expect("written");
        let file = fs_err::File::options().append(true).open(&left).expect("there");
        file.file().set_modified(hours(9)).expect("set");
        cache.get_or_make(&item(20), || Ok(jpeg(100))).expect("made");
        let bytes: u64 =
            files(&cache.dir).iter().map(|f| fs_err::metadata(f).expect("there").len()).sum();
        assert!(bytes <= 1000, "{bytes}");
        assert!(!left.exists());
        let there = |number| files(&cache.dir).iter().any(|f| f.ends_with(name(&item(number))));
        assert!(there(0) && there(20) && there(9) && !there(1) && !there(2));
    }

    #[test]
    fn half_a_file_is_made_anew_and_a_disk_that_takes_nothing_is_done_without() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = Thumbnails::with_limit(dir.path().join("t"), 1 << 20);
        cache.get_or_make(&item(1), || Ok(jpeg(100))).expect("made");
        fs_err::write(&files(&cache.dir)[0], b"\xFF\xD8\xFF").expect("damaged");
        assert_eq!(cache.get_or_make(&item(1), || Ok(jpeg(90))).expect("made").len(), 90);
        // A file where the folder should be: nothing can be written.
        let blocked = dir.path().join("file");
        fs_err::write(&blocked, b"").expect("written");
        let cache = Thumbnails::with_limit(blocked, 1 << 20);
        cache.get_or_make(&item(1), || Ok(jpeg(100))).expect("made");
        cache.get_or_make(&item(1), || panic!("it is in memory")).expect("kept");
        cache.forget(&[item(1).id]);
        assert_eq!(cache.get_or_make(&item(1), || Ok(jpeg(80))).expect("made").len(), 80);
    }
}
