//! Given a picture that somebody sends, or a text, how does it get into the store
//! without a folder? A text is a row of its own; a picture is kept in the folder
//! `uploads` beside the store, which belongs to the store: what is forgotten there
//! is deleted there. Files of the user are never touched.

use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use ekphrasis_index::{
    FORGOTTEN, Failure, FileFacts, Item, ItemId, Judged, Kind, Record, StoreRead, StoreWrite,
};
use ekphrasis_models::decode_scaled;

use crate::{Engine, EngineError, Source, facts, ingest, pictures};

/// The folder of pictures that were sent, in the store's.
const UPLOADS: &str = "uploads";
/// Bytes that a name may have; file systems take 255, an ending included.
const NAME_LIMIT: usize = 200;
/// Files that were begun, so that each has a name of its own.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What is said of a new item.
#[derive(Clone, Debug, Default)]
pub struct NewWords {
    /// A picture's captions. Line breaks in one become spaces.
    pub captions: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// An item that was added.
#[derive(Clone, Debug)]
pub struct Added {
    /// As it is now.
    pub item: Item,
    /// Whether it was not there before.
    pub new: bool,
}

impl Engine {
    /// Adds a text as an item of its own, or gives one that is there these tags.
    ///
    /// # Errors
    /// `Invalid` for a text without words; where model or store fail.
    pub fn add_text(&self, text: &str, tags: Vec<String>) -> Result<Added, EngineError> {
        let text = text.replace(['\n', '\r'], " ");
        if text.trim().is_empty() {
            return Err(EngineError::of_field("text", "the text is empty".into()));
        }
        let item = Item { tags, ..Item::of_text(&text) };
        let before = self.item(item.id)?;
        if before.as_ref() != Some(&item) {
            let embedding = self.embed_text(&text)?;
            self.store.upsert(&[Record { item: item.clone(), embedding }])?;
            self.store.flush()?;
        }
        Ok(Added { item, new: before.is_none() })
    }

    /// Adds a picture that was sent: a copy of it is kept in the store's folder, by
    /// content and `name`. Sent again, it gets these words.
    ///
    /// # Errors
    /// `Decode` if it is no picture that can be read; where model, disk or store fail.
    pub fn add_picture(
        &self,
        bytes: &[u8],
        name: Option<&str>,
        words: NewWords,
    ) -> Result<Added, EngineError> {
        let encoder = self.towers.image()?;
        let preprocess = encoder.preprocess();
        let source = || Source::Sent { field: "image".into(), bytes: Vec::new() };
        let decoded = decode_scaled(bytes, |w, h| preprocess.spare(w, h).min(facts::spare(w, h)))
            .map_err(|e| pictures::cannot_decode(&source(), e))?;
        let (width, height) = (decoded.view.width, decoded.view.height);
        let format = decoded.format.to_ascii_lowercase();
        let tensor = preprocess
            .tensor_of(&decoded.pixels, &decoded.view)
            .map_err(|e| pictures::cannot_prepare(&source(), e))?;
        let looks = facts::Seen::of(&decoded.pixels);
        drop(decoded);
        let time = &self.meters.encode_image;
        let embedding =
            time.time(|| encoder.embed_images(std::slice::from_ref(&tensor)))?.swap_remove(0);

        let captions: Vec<String> =
            words.captions.iter().map(|text| text.replace(['\n', '\r'], " ")).collect();
        let mut texts = Vec::with_capacity(captions.len());
        for caption in &captions {
            let embedding = self.embed_text(caption)?;
            texts.push(Record { item: Item::of_text(caption), embedding });
        }
        let content = blake3::hash(bytes);
        let _sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.uploads.join(&content.to_hex()[..32]);
        let path = folder.join(file_name(name, &format));
        keep(&folder, &path, bytes)?;
        let meta = fs_err::metadata(&path)?;
        let file = FileFacts {
            size: meta.len(),
            mtime_ns: ingest::mtime_ns(&meta),
            content: *content.as_bytes(),
            width,
            height,
            format,
        };
        let item = Item {
            text: (!captions.is_empty()).then(|| captions.join("\n")),
            tags: words.tags,
            facts: Some(facts::of_bytes(&path, bytes, looks)),
            ..Item::of_picture(path, file)
        };
        let new = self.item(item.id)?.is_none();
        let record = Record { item: item.clone(), embedding };
        self.store.upsert_captioned(&[record], &[(item.id, texts)])?;
        self.store.flush()?;
        // It is there all the same; the state tells how many wait for labels.
        let _ = self.label_new();
        Ok(Added { item, new })
    }

    /// Forgets one item; the user's files are never touched, the copy of a picture that
    /// was sent goes along. A file in a folder that is indexed stays out, with a line in the
    /// ledger, until it changes or is tried again. False if there was no such item.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn remove_item(&self, id: ItemId) -> Result<bool, EngineError> {
        let _sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let item = self.store.items(&[id])?.pop().flatten();
        let removed = self.forget(&[id])? > 0;
        if let Some(Item { path: Some(path), file, .. }) =
            item.filter(|item| item.kind == Kind::Image)
        {
            self.drop_upload(&path);
            let below = self.store.roots()?.iter().any(|root| path.starts_with(root));
            if let (true, Some(FileFacts { size, mtime_ns, .. })) = (below, file) {
                let failure = Failure { path, reason: FORGOTTEN.into(), at: crate::naming::now() };
                self.store.record_judged(&[Judged { failure, size, mtime_ns }])?;
            }
        }
        self.store.flush()?;
        Ok(removed)
    }

    /// Whether this is a picture that was sent, kept in the store's own folder.
    pub(crate) fn is_upload(&self, path: &Path) -> bool {
        // Compared by name, so a name must not lead out again.
        let leads_up = path.components().any(|part| part == Component::ParentDir);
        !leads_up && path.starts_with(&self.uploads)
    }

    /// Deletes the copy of a picture that was sent, if `path` is one. One that cannot be
    /// deleted is a file too many, and no reason to keep the item. Whoever calls holds `sent`.
    pub(crate) fn drop_upload(&self, path: &Path) {
        if self.is_upload(path) && fs_err::remove_file(path).is_ok() {
            // Fails if the same content is there under another name.
            let _ = path.parent().map(std::fs::remove_dir);
        }
    }
}

/// Where pictures that are sent to the store in `data` are kept.
pub(crate) fn uploads(data: &Path) -> PathBuf {
    fs_err::canonicalize(data).unwrap_or_else(|_| data.into()).join(UPLOADS)
}

/// A name that is one anywhere, with the ending of its format.
fn file_name(name: Option<&str>, format: &str) -> String {
    let name = name.unwrap_or_default();
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = last.chars().map(|c| if c.is_control() || "<>:\"|?*".contains(c) { '_' } else { c });
    let mut room = NAME_LIMIT;
    let kept: String = kept
        .take_while(|c| {
            room = room.saturating_sub(c.len_utf8());
            room > 0
        })
        .collect();
    let stem = kept.trim_matches(['.', ' ']);
    let stem = if stem.is_empty() { "picture" } else { stem };
    let ending = Path::new(stem).extension().map(|ending| ending.to_ascii_lowercase());
    let known = ending.is_some_and(|e| ingest::ENDINGS.iter().any(|known| e == *known));
    if known { stem.into() } else { format!("{stem}.{format}") }
}

/// Writes the file, so that it is there whole or not at all.
fn keep(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    match fs_err::metadata(path) {
        // Its folder is named by its content.
        Ok(meta) if meta.len() == bytes.len() as u64 => return Ok(()),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    fs_err::create_dir_all(folder)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!(".new-{}-{number}", std::process::id()));
    let written = write(&beside, bytes).and_then(|()| fs_err::rename(&beside, path));
    if let Err(error) = written {
        // What is left of it is of no use to anybody.
        let _ = fs_err::remove_file(&beside);
        return Err(error.into());
    }
    #[cfg(unix)]
    fs_err::File::open(folder)?.sync_all()?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        for (name, expected) in [
            (None, "picture.png"),
            (Some(""), "picture.png"),
            (Some(".."), "picture.png"),
            (Some("../../etc/passwd"), "passwd.png"),
            (Some("C:\\temp\\cat.JPG"), "cat.JPG"),
            (Some("a\0b\n.gif"), "a_b_.gif"),
            (Some(".htaccess"), "htaccess.png"),
            (Some("Ä cat.jpeg"), "Ä cat.jpeg"),
        ] {
            assert_eq!(file_name(name, "png"), expected, "{name:?}");
        }
        assert!(file_name(Some(&"𝄞".repeat(500)), "png").len() <= 255);
    }
}
