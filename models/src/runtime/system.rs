//! Where do systems keep an installed ONNX Runtime, and release archives theirs?

use std::path::{Path, PathBuf};

const FOLDERS: [&str; 8] = [
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/opt/homebrew/lib",
    "/opt/onnxruntime/lib",
];

/// Names for the loader's own search (LD_LIBRARY_PATH, ld.so.conf and the like).
const BARE: &[&str] = if cfg!(target_os = "windows") {
    // Windows ships an old onnxruntime.dll of its own, which that name would find.
    &[]
} else if cfg!(target_os = "macos") {
    &["libonnxruntime.dylib"]
} else {
    &["libonnxruntime.so.1", "libonnxruntime.so"]
};

/// Candidates, the likeliest first: files that exist, then bare names for the loader.
pub(super) fn files() -> Vec<PathBuf> {
    // What came along with the program was chosen for it.
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent).map(|folder| folder.join("lib"));
    let mut found = files_in(beside.into_iter().chain(FOLDERS.map(PathBuf::from)));
    found.extend(BARE.iter().map(PathBuf::from));
    found
}

/// Each library in these folders once.
fn files_in(folders: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut real = Vec::new();
    for folder in folders {
        let Ok(entries) = fs_err::read_dir(folder) else { continue };
        let mut here: Vec<_> =
            entries.flatten().map(|e| e.path()).filter(|p| is_runtime(p)).collect();
        here.sort();
        for path in here {
            // libonnxruntime.so → .so.1 → .so.1.24.4 is one library.
            let Ok(target) = fs_err::canonicalize(&path) else { continue };
            if !real.contains(&target) {
                real.push(target);
                found.push(path);
            }
        }
    }
    found
}

fn is_runtime(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return false };
    let Some(rest) = name.strip_prefix("libonnxruntime.") else { return false };
    rest == "so" || rest.starts_with("so.") || rest.ends_with("dylib")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_from_their_plugins() {
        for yes in ["libonnxruntime.so", "libonnxruntime.so.1.24.4", "libonnxruntime.1.24.4.dylib"]
        {
            assert!(is_runtime(yes.as_ref()), "{yes}");
        }
        for no in ["libonnxruntime_providers_shared.so", "libonnx.so", "libonnxruntime.a"] {
            assert!(!is_runtime(no.as_ref()), "{no}");
        }
    }
}
