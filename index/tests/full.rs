//! Disks that are full or read-only, and clocks that jump.
//!
//! The first two need a small file system of their own, and so the right to mount one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use ekphrasis_index::conformance::{Random, agrees, record, space};
use ekphrasis_index::{
    Access, Filter, LocalStore, MemoryStore, Options, Record, StoreRead, StoreWrite,
};

use crate::files::files;
use crate::{open, writing};

/// A file system in memory, unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// One of `size` bytes, or the reason why there is none.
    fn new(size: usize) -> Result<Self, String> {
        let this = tempfile::tempdir().map_err(|e| e.to_string())?;
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], this.path())?;
        Ok(Self(this))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn mount(options: &[&str], place: &Path) -> Result<(), String> {
    let run = Command::new("mount").args(options).arg(place).output().map_err(|e| e.to_string())?;
    if run.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&run.stderr).trim().to_owned())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: what is still open ends with the test.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn batch(random: &mut Random, n: usize) -> Vec<Record> {
    (n * 100..n * 100 + 100).map(|name| record(random, name)).collect()
}

#[test]
fn a_full_disk_stops_writing_and_nothing_else() {
    let disk = match Mounted::new(8 << 20) {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIPPED: no small file system can be mounted: {why}");
            return;
        }
    };
    let filler = disk.path().join("filler");
    fs_err::write(&filler, vec![1; 3 << 20]).expect("written");
    let dir = disk.path().join("store");
    let mut options = Options::default();
    (options.graph_from, options.compact_from, options.heads_from) = (200, usize::MAX, 100);
    let again = |access| LocalStore::open_with(&dir, &space(), access, options.clone());
    let store = again(writing()).expect("made");
    let (mut random, oracle, mut failures) = (Random(51), MemoryStore::new(&space()), 0);
    for n in 0.. {
        let records = batch(&mut random, n % 8);
        match store.upsert(&records) {
            Ok(_) => oracle.upsert(&records).map(|_| ()).expect("written"),
            Err(e) => {
                let message = e.to_string();
                let told = message.contains("No space left") || message.contains("full");
                assert!(told && message.contains(&dir.display().to_string()), "{message}");
                failures += 1;
                // Trying on changes nothing.
                if failures == 5 {
                    println!("full after {n} batches: {message}");
                    break;
                }
            }
        }
    }
    let count = oracle.count(&Filter::default()).expect("counted");
    assert_eq!(count, 800);
    // There is no room for the living rows a second time, and so everything stays as it is.
    let told = store.compact().expect_err("no space").to_string();
    println!("compaction: {told}");
    assert!(told.contains("No space left") || told.contains("full"), "{told}");
    store.settle();
    // Who reads goes on reading, here and elsewhere; words, from memory if need be.
    assert_eq!(store.count(&Filter::default()).expect("counted"), count);
    let reader = again(Access::Read).expect("opened");
    agrees(&reader, &oracle, &mut random);
    assert_eq!(reader.warnings(), [""; 0]);

    fs_err::remove_file(&filler).expect("removed");
    let records = batch(&mut random, 0);
    store.upsert(&records).expect("written again");
    oracle.upsert(&records).expect("written");
    agrees(&store, &oracle, &mut random);
    let dead = store.verify().expect("checked").dead_rows;
    assert!(dead > 500, "{dead}");
    assert_eq!(store.compact().expect("compacted"), dead);
    drop(store);
    let store = again(writing()).expect("opened again");
    assert_eq!(store.warnings(), [""; 0]);
    agrees(&store, &oracle, &mut random);
    assert!(store.verify().expect("checked").is_sound());
    agrees(&reader, &oracle, &mut random);
}

#[test]
fn a_read_only_disk_is_read() {
    let disk = match Mounted::new(32 << 20) {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIPPED: no small file system can be mounted: {why}");
            return;
        }
    };
    let dir = disk.path().join("store");
    let (mut random, oracle) = (Random(52), MemoryStore::new(&space()));
    let records = batch(&mut random, 0);
    open(&dir, writing()).expect("made").upsert(&records).expect("written");
    oracle.upsert(&records).expect("written");
    mount(&["-o", "remount,ro"], disk.path()).expect("what was mounted can be mounted again");
    let store = open(&dir, Access::Read).expect("opened");
    agrees(&store, &oracle, &mut random);
    assert!(store.verify().expect("checked").is_sound());
    let message = open(&dir, writing()).map(|_| ()).expect_err("read-only").to_string();
    assert!(message.contains(&dir.display().to_string()), "{message}");
    let message = store.upsert(&records).expect_err("read-only").to_string();
    assert!(message.contains("opened for reading only"), "{message}");
}

/// No file's time and no date in one is of any weight.
#[test]
fn clocks_may_jump() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (mut random, oracle) = (Random(53), MemoryStore::new(&space()));
    let mut options = Options::default();
    (options.graph_from, options.compact_from, options.heads_from) = (50, 90, 20);
    let year = Duration::from_secs(365 * 24 * 3600);
    let epoch = SystemTime::UNIX_EPOCH;
    for (n, time) in
        [epoch + year * 230, epoch, epoch + year * 40, epoch + year * 100].into_iter().enumerate()
    {
        let open = |access| LocalStore::open_with(dir.path(), &space(), access, options.clone());
        let store = open(writing()).expect("opened");
        for _ in 0..2 {
            let mut records = batch(&mut random, n % 2);
            for (record, mtime) in records.iter_mut().zip([i64::MIN, i64::MAX, 0, -1]) {
                if let Some(file) = &mut record.item.file {
                    file.mtime_ns = mtime;
                }
            }
            store.upsert(&records).expect("written");
            oracle.upsert(&records).expect("written");
        }
        store.settle();
        agrees(&store, &oracle, &mut random);
        drop(store);
        for path in files(dir.path()) {
            let file = fs_err::OpenOptions::new().write(true).open(path).expect("opened");
            file.into_parts().0.set_modified(time).expect("set");
        }
        // A holder of the lock that died in another time.
        let since = [u64::MAX, 0, 1, u64::MAX / 2][n];
        let info = format!(r#"{{"command":"ek up","pid":7,"address":null,"since":{since}}}"#);
        fs_err::write(dir.path().join("writer.lock"), info).expect("written");
        assert_eq!(LocalStore::holder(dir.path()).expect("asked"), None);
        let reader = open(Access::Read).expect("opened");
        assert_eq!(reader.warnings(), [""; 0]);
        agrees(&reader, &oracle, &mut random);
        assert!(reader.verify().expect("checked").is_sound());
    }
}
