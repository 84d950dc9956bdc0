//! Given a machine, how much memory may pictures take while they are worked on?

use std::sync::{Condvar, Mutex, PoisonError};

/// At most this by default: more serves no picture.
const MOST: u64 = 2 << 30;
/// Less than this holds no photograph.
const LEAST: u64 = 128 << 20;
/// Where the machine does not say what it has.
const UNKNOWN: u64 = 4 << 30;

/// How a ceiling is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// For decoding, in bytes.
    pub(super) decode: u64,
    /// For files from before they are read until they are decoded, in bytes.
    pub(super) files: u64,
    /// For pictures that wait for the model, in bytes.
    pub(super) tensors: u64,
    /// For a single file, in bytes.
    pub(super) largest: u64,
}

impl Shares {
    /// Of `ceiling` bytes, or of the default; at least [`LEAST`].
    pub(super) fn of(ceiling: Option<u64>) -> Self {
        let ceiling = ceiling.unwrap_or_else(default_ceiling).max(LEAST);
        let sixteenth = ceiling / 16;
        Self {
            decode: 12 * sixteenth,
            files: 3 * sixteenth,
            tensors: sixteenth,
            largest: ceiling / 2,
        }
    }
}

fn default_ceiling() -> u64 {
    (machine().unwrap_or(UNKNOWN) / 4).min(MOST)
}

/// What the machine has, or what the group of processes that this one is in may
/// take, if that is less. Only Linux is asked.
fn machine() -> Option<u64> {
    let read = |path: &str| fs_err::read_to_string(path).ok();
    let total = read("/proc/meminfo").and_then(|text| total_of(&text));
    let limit = read("/sys/fs/cgroup/memory.max")
        .or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
        .and_then(|text| text.trim().parse().ok());
    [total, limit].into_iter().flatten().min()
}

/// `MemTotal:  16316412 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Memory that several threads share: each waits until there is room for what it takes.
/// One that takes more than all waits until it is alone.
pub(super) struct Room {
    taken: Mutex<u64>,
    freed: Condvar,
    size: u64,
}

/// Some of a [`Room`], until it is dropped.
pub(super) struct Held<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Room {
    pub(super) fn of(size: u64) -> Self {
        Self { taken: Mutex::new(0), freed: Condvar::new(), size }
    }

    pub(super) fn take(&self, bytes: u64) -> Held<'_> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken > 0 && taken.saturating_add(bytes) > self.size {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = taken.saturating_add(bytes);
        Held { room: self, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(self.bytes);
        drop(taken);
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_there_is_room_for_and_a_large_one_is_alone() {
        let room = Room::of(100);
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let room = &room;
                scope.spawn(move || {
                    for i in 0..300 {
                        let bytes = if i % 40 == thread { 150 } else { (i * 7 + thread) % 60 };
                        let held = room.take(bytes);
                        let taken = *room.taken.lock().expect("not poisoned");
                        assert!(taken <= 100 || taken == 150, "{taken}");
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(*room.taken.lock().expect("not poisoned"), 0);
    }

    #[test]
    fn the_ceiling_is_shared_out_and_never_too_low() {
        for ceiling in [Some(0), Some(1 << 30), Some(u64::MAX), None] {
            let shares = Shares::of(ceiling);
            let sum = shares.decode + shares.files + shares.tensors;
            assert!(sum > LEAST - 16, "{shares:?}");
            let most = ceiling.unwrap_or(MOST).max(LEAST);
            assert!(sum <= most, "{shares:?}");
        }
        // As much as a decoder takes by itself.
        assert_eq!(Shares::of(Some(MOST)).decode, 3 << 29);
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:       16316412 kB\n"), Some(16316412 << 10));
        assert_eq!(total_of("nothing of the kind"), None);
    }
}
