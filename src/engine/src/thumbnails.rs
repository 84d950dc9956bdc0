//! Given an indexed picture, where is its small JPEG? In a cache beside the
//! store, named by item and content, so that a changed file gets a new one.

use std::path::Path;

use ekphrasis_index::{Item, ItemId};
use ekphrasis_models::encode_thumbnail;

use crate::engine::unchanged;
use crate::{EngineError, Source, pictures};

/// The longer side in pixels: sharp on a double-density screen in a 200 px cell.
const LONGEST: u32 = 400;

pub(crate) fn get(cache: &Path, path: &Path, item: &Item) -> Result<Vec<u8>, EngineError> {
    let version = item
        .file
        .as_ref()
        .map_or([0; 4], |f| [f.content[0], f.content[1], f.content[2], f.content[3]]);
    let id = item.id.to_string();
    let name = format!("{id}-{:08x}.jpg", u32::from_be_bytes(version));
    let file = cache.join(&id[..2]).join(name);
    if let Ok(bytes) = fs_err::read(&file) {
        return Ok(bytes);
    }
    unchanged(path, item)?;
    let picture = pictures::open(&Source::Path(path.into()))?;
    let jpeg = encode_thumbnail(&picture.pixels, LONGEST);
    // The cache is a convenience: on a read-only disk thumbnails are made anew each time.
    let _ = keep(&file, &jpeg);
    Ok(jpeg)
}

/// Removes all versions of these items' thumbnails. What cannot be removed is
/// only a small file too many.
pub(crate) fn forget(cache: &Path, ids: &[ItemId]) {
    for id in ids.iter().map(ItemId::to_string) {
        let Ok(folder) = fs_err::read_dir(cache.join(&id[..2])) else { continue };
        for entry in folder.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&id) {
                let _ = fs_err::remove_file(entry.path());
            }
        }
    }
}

/// Written beside and moved, so that no reader sees half a file.
fn keep(file: &Path, jpeg: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let thread = format!("{:?}", std::thread::current().id());
    let digits: String = thread.chars().filter(char::is_ascii_digit).collect();
    let partial = file.with_extension(format!("{}-{digits}.partial", std::process::id()));
    fs_err::write(&partial, jpeg)?;
    fs_err::rename(&partial, file)
}
