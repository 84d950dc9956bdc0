//! Optimising a graph takes longer than answering with it; how is it done once a
//! machine? What ONNX Runtime made of a graph is kept in a cache, and mapped into
//! memory the next time.
//!
//! A prepared graph is a file in ONNX Runtime's own format, followed by 48 bytes:
//! magic `EKPREPD\1`, length of what is before them u64, BLAKE3 of it. Its name says
//! what it was made of (the graph's checksum) and for (the library and this
//! processor), so that a change of any of them is simply another file. It can be
//! deleted at any time.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;

use crate::checked::sha256_hex;
use crate::runtime::Runtime;

const MAGIC: &[u8; 8] = b"EKPREPD\x01";
const TRAILER: usize = 48;
const EXTENSION: &str = "ort";

/// Files that are kept; those used longest ago make place.
const MOST: usize = 8;

/// Where one graph's prepared form lies, or will lie.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
}

impl Place {
    /// For the graph with this checksum, on this runtime and machine.
    pub(super) fn new(folder: &Path, graph_sha256: &str, runtime: &Runtime) -> Self {
        let library = fs_err::metadata(runtime.path()).map_or(0, |m| m.len());
        let what = format!("1|{graph_sha256}|{}|{library}|{}", runtime.version(), processor());
        Self { path: folder.join(format!("{}.{EXTENSION}", &sha256_hex(what.as_bytes())[..32])) }
    }

    /// The prepared graph, if it is there and whole.
    pub(super) fn open(&self) -> Option<Bytes> {
        let file = fs_err::File::open(&self.path).ok()?;
        let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let content = length.checked_sub(TRAILER).filter(|&n| n > 0)?;
        // SAFETY: files of this cache are never written in place: they are renamed
        // into it when they are whole, and removed by name.
        let map = unsafe { Mmap::map(file.file()) }.ok()?;
        let (bytes, trailer) = map.split_at_checked(content)?;
        if trailer != make_trailer(bytes) {
            return None;
        }
        // So that what is in use is not what makes place. It is no loss if it fails.
        let _ = file.file().set_modified(SystemTime::now());
        Some(Bytes { map: Arc::new(map), content })
    }

    /// Removes what does not work.
    pub(super) fn discard(&self) {
        let _ = fs_err::remove_file(&self.path);
    }

    /// A file beside the place for the runtime to write to.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        let folder = self.path.parent().unwrap_or(&self.path);
        fs_err::create_dir_all(folder)?;
        let file = tempfile::Builder::new().prefix(".preparing-").tempfile_in(folder)?;
        Ok(Draft { file: file.into_temp_path(), place: self.clone() })
    }
}

/// What the runtime is writing; gone when dropped.
#[derive(Debug)]
pub(super) struct Draft {
    file: tempfile::TempPath,
    place: Place,
}

impl Draft {
    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Seals what was written and puts it into its place.
    pub(super) fn keep(self) -> io::Result<()> {
        let mut file = fs_err::OpenOptions::new().read(true).append(true).open(&self.file)?;
        let content = fs_err::read(&self.file)?;
        if content.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&make_trailer(&content))?;
        file.sync_all()?;
        self.file.persist(&self.place.path).map_err(|e| e.error)?;
        if let Some(folder) = self.place.path.parent() {
            tidy(folder)?;
        }
        Ok(())
    }
}

/// A prepared graph in memory.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    map: Arc<Mmap>,
    content: usize,
}

impl Bytes {
    /// The file as the runtime wrote it.
    pub(super) fn get(&self) -> &[u8] {
        &self.map[..self.content]
    }
}

fn make_trailer(content: &[u8]) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    trailer[..8].copy_from_slice(MAGIC);
    trailer[8..16].copy_from_slice(&(content.len() as u64).to_le_bytes());
    trailer[16..].copy_from_slice(blake3::hash(content).as_bytes());
    trailer
}

/// Removes the oldest files over [`MOST`], and drafts that a killed process left.
fn tidy(folder: &Path) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let (path, modified) = match entry.and_then(|e| Ok((e.path(), e.metadata()?.modified()?))) {
            Ok(found) => found,
            // Another process was faster.
            Err(_) => continue,
        };
        let draft =
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".preparing-"));
        let age = modified.elapsed().unwrap_or_default();
        if draft && age.as_secs() > 3600 {
            let _ = fs_err::remove_file(&path);
        } else if path.extension().is_some_and(|e| e == EXTENSION) {
            kept.push((modified, path));
        }
    }
    kept.sort_unstable_by(|a, b| b.cmp(a));
    for (_, path) in kept.into_iter().skip(MOST) {
        let _ = fs_err::remove_file(path);
    }
    Ok(())
}

/// What the runtime may have tuned the graph to.
fn processor() -> String {
    let mut text = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    for (name, there) in features() {
        if *there {
            let _ = write!(text, "+{name}");
        }
    }
    text
}

#[cfg(target_arch = "x86_64")]
fn features() -> &'static [(&'static str, bool)] {
    use std::sync::OnceLock;
    static FOUND: OnceLock<Vec<(&'static str, bool)>> = OnceLock::new();
    FOUND.get_or_init(|| {
        vec![
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ]
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> &'static [(&'static str, bool)] {
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, name: &str) -> Place {
        Place { path: folder.join(format!("{name}.{EXTENSION}")) }
    }

    fn keep(place: &Place, content: &[u8]) -> io::Result<()> {
        let draft = place.draft()?;
        fs_err::write(draft.path(), content)?;
        draft.keep()
    }

    #[test]
    fn what_is_kept_comes_back_and_any_damage_is_seen() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = dir.path().join("deep");
        let place = place(&folder, "a");
        assert!(place.open().is_none(), "nothing yet");
        let content: Vec<u8> = (0..1000u32).flat_map(u32::to_le_bytes).collect();
        keep(&place, &content).expect("writable");
        assert_eq!(place.open().expect("whole").get(), content);
        let whole = fs_err::read(&place.path).expect("readable");
        for at in (0..whole.len()).step_by(97).chain(whole.len() - TRAILER..whole.len()) {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs_err::write(&place.path, &damaged).expect("writable");
            assert!(place.open().is_none(), "a flip at {at}");
        }
        for length in [0, 1, TRAILER, whole.len() - 1] {
            fs_err::write(&place.path, &whole[..length]).expect("writable");
            assert!(place.open().is_none(), "{length} bytes");
        }
        place.discard();
        assert!(keep(&place, b"").is_err(), "the runtime wrote nothing");
        let left = fs_err::read_dir(&folder).expect("readable").count();
        assert_eq!(left, 0, "nothing stays behind");
    }

    #[test]
    fn those_used_longest_ago_make_place() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let places: Vec<_> = (0..=MOST).map(|i| place(dir.path(), &i.to_string())).collect();
        let old = SystemTime::now() - std::time::Duration::from_secs(1000);
        for (i, place) in places[..MOST].iter().enumerate() {
            keep(place, b"x").expect("writable");
            let file = fs_err::File::options().append(true).open(&place.path).expect("there");
            let time = old + std::time::Duration::from_secs(i as u64);
            file.file().set_modified(time).expect("settable");
        }
        // The oldest is used again, so the second oldest goes.
        assert!(places[0].open().is_some());
        keep(&places[MOST], b"x").expect("writable");
        let there: Vec<bool> = places.iter().map(|p| p.path.exists()).collect();
        assert_eq!(there, (0..=MOST).map(|i| i != 1).collect::<Vec<_>>());
    }
}
