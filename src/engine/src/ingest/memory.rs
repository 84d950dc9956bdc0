//! Given a machine, how much memory may pictures take while they are worked on?

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
    /// For files that were read and wait to be decoded, in bytes.
    pub(super) files: u64,
    /// For a single file, in bytes.
    pub(super) largest: u64,
}

impl Shares {
    /// Of `ceiling` bytes, or of the default; at least [`LEAST`].
    pub(super) fn of(ceiling: Option<u64>) -> Self {
        let ceiling = ceiling.unwrap_or_else(default_ceiling).max(LEAST);
        Self { decode: ceiling / 4 * 3, files: ceiling / 4, largest: ceiling / 2 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_shared_out_and_never_too_low() {
        for ceiling in [Some(0), Some(1 << 30), Some(u64::MAX), None] {
            let shares = Shares::of(ceiling);
            assert!(shares.decode + shares.files >= LEAST, "{shares:?}");
            let most = ceiling.unwrap_or(MOST).max(LEAST);
            assert!(shares.decode + shares.files <= most, "{shares:?}");
        }
        // As much as a decoder takes by itself.
        assert_eq!(Shares::of(Some(MOST)).decode, 3 << 29);
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:       16316412 kB\n"), Some(16316412 << 10));
        assert_eq!(total_of("nothing of the kind"), None);
    }
}
