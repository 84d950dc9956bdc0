//! Given a model's folder and its calibration, how do they come together without a
//! moment in which the folder is wrong? New files first, then the manifest in one step,
//! then the old files go.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::checked::sha256_hex;
use crate::confidence::Calibration;
use crate::label_sets::LabelCalibration;
use crate::lexicon::Lexicon;
use crate::manifest::Manifest;
use crate::model::{MANIFEST_FILE, Model, ModelError};
use crate::verification::Verification;
use crate::vocabulary::pack_vectors;

/// Why a calibration was not written. The model is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AmendError {
    /// There is no sound model.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// The manifest would not be read again.
    #[error("the manifest with the calibration cannot be read: {0}")]
    Manifest(String),
    /// Words and vectors that do not go together.
    #[error("{0}")]
    Lexicon(String),
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What was learned of a model.
#[derive(Clone, Copy, Debug)]
pub struct Amendment<'a> {
    /// How scores become probabilities.
    pub calibration: &'a Calibration,
    /// The file that it names.
    pub background: &'a [u8],
    /// From which score on pictures show the same thing.
    pub verification: Option<&'a Verification>,
    /// How labels are compared that are known by pictures.
    pub label_sets: Option<&'a LabelCalibration>,
}

impl Model {
    /// Writes what was learned of a model into its folder, instead of what it may have had.
    /// Rates that are not given stay, since they need no background; how labels are compared
    /// stays only if the background does, since it counts in deviations from that. Makes a
    /// vocabulary of half floats one of bytes, which takes
    /// half the room. The towers stay as they are.
    ///
    /// # Errors
    /// As [`AmendError`] says.
    pub fn amend(&self, amendment: &Amendment<'_>) -> Result<Self, AmendError> {
        let Amendment { calibration, background, verification, label_sets } = *amendment;
        let dir = self.dir();
        let mut text = fs_err::read_to_string(dir.join(MANIFEST_FILE))?;
        // Named by its contents: as long as the old manifest counts, its file is there.
        let name = format!("background-{}.i4", &sha256_hex(background)[..8]);
        let mut old: Vec<String> = Vec::new();
        if let Some(before) = self.manifest().confidence() {
            text = without(&text, |section| {
                section == "confidence" || section.starts_with("confidence.")
            });
            text = without(&text, |section| section == file_section(&before.background));
            old.push(before.background.clone());
        }
        let calibration = Calibration { background: name.clone(), ..calibration.clone() };
        #[derive(Serialize)]
        struct Section<'a> {
            confidence: &'a Calibration,
        }
        push(&mut text, &written(&Section { confidence: &calibration })?);
        push(&mut text, &entry(&name, background));
        let named =
            |name: &'static str| move |section: &str| section.split('.').next() == Some(name);
        if let Some(verification) = verification {
            #[derive(Serialize)]
            struct Section<'a> {
                verification: &'a Verification,
            }
            text = without(&text, named("verification"));
            push(&mut text, &written(&Section { verification })?);
        }
        let stays = self.manifest().confidence().is_some_and(|before| before.background == name);
        if label_sets.is_some() || !stays {
            text = without(&text, named("label_sets"));
        }
        if let Some(label_sets) = label_sets {
            #[derive(Serialize)]
            struct Section<'a> {
                label_sets: &'a LabelCalibration,
            }
            push(&mut text, &written(&Section { label_sets })?);
        }
        write(&dir.join(&name), background)?;

        if let (Some(files), Some(vocabulary)) = (self.manifest().vocabulary(), self.vocabulary()?)
        {
            let dim = self.space().dim() as u64;
            let words = vocabulary.words().len() as u64;
            if self.manifest().files()[&files.vectors].bytes == 2 * dim * words {
                let rows: Vec<_> =
                    (0..vocabulary.words().len()).map(|i| vocabulary.embedding(i)).collect();
                let packed = pack_vectors(rows.iter().map(|row| row.values()));
                let name = "vocabulary.i8";
                text = without(&text, |section| section == file_section(&files.vectors));
                text = text.replace(
                    &format!("vectors = {:?}", files.vectors),
                    &format!("vectors = {name:?}"),
                );
                push(&mut text, &entry(name, &packed));
                write(&dir.join(name), &packed)?;
                old.push(files.vectors.clone());
            }
        }
        let manifest = Manifest::parse(&text).map_err(|e| AmendError::Manifest(e.to_string()))?;
        replace(dir, &text)?;
        for gone in old.iter().filter(|gone| !manifest.files().contains_key(*gone)) {
            fs_err::remove_file(dir.join(gone))?;
        }
        Ok(Self::open(dir)?)
    }
}

impl Model {
    /// Puts nouns into a model's folder, instead of those that it may have had: `words` a line
    /// each, with what it is a kind of behind a tab, and `vectors` as [`pack_lexicon`]
    /// makes them. The towers stay as they are.
    ///
    /// [`pack_lexicon`]: crate::pack_lexicon
    ///
    /// # Errors
    /// As [`AmendError`] says; the folder is as it was if words and vectors do not go together.
    pub fn amend_lexicon(&self, words: &str, vectors: &[u8]) -> Result<Self, AmendError> {
        let dir = self.dir();
        Lexicon::check(self.space(), words, vectors).map_err(AmendError::Lexicon)?;
        let mut text = fs_err::read_to_string(dir.join(MANIFEST_FILE))?;
        // The words have one name in all models; the vectors are named by their contents.
        let name = format!("nouns-{}.i4", &sha256_hex(vectors)[..8]);
        let mut old: Vec<String> = Vec::new();
        if let Some(before) = self.manifest().lexicon() {
            text = without(&text, |section| section == "lexicon");
            for file in [&before.words, &before.vectors] {
                text = without(&text, |section| section == file_section(file));
                old.push(file.clone());
            }
        }
        push(&mut text, &format!("[lexicon]\nwords = {WORDS:?}\nvectors = {name:?}\n"));
        push(&mut text, &entry(WORDS, words.as_bytes()));
        push(&mut text, &entry(&name, vectors));
        let manifest = Manifest::parse(&text).map_err(|e| AmendError::Manifest(e.to_string()))?;
        write(&dir.join(&name), vectors)?;
        write(&dir.join(WORDS), words.as_bytes())?;
        replace(dir, &text)?;
        for gone in old.iter().filter(|gone| !manifest.files().contains_key(*gone)) {
            fs_err::remove_file(dir.join(gone))?;
        }
        Ok(Self::open(dir)?)
    }
}

/// The file of a lexicon's words.
const WORDS: &str = "nouns.txt";

/// Puts a manifest in place of the one that is there.
fn replace(dir: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    readable(&file)?;
    file.persist(dir.join(MANIFEST_FILE)).map_err(|e| e.error)?;
    Ok(())
}

fn written(section: &impl Serialize) -> Result<String, AmendError> {
    toml::to_string(section).map_err(|e| AmendError::Manifest(e.to_string()))
}

/// A temporary file may be read by its owner only; a model by whoever could before.
#[cfg(unix)]
fn readable(file: &tempfile::NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &tempfile::NamedTempFile) -> io::Result<()> {
    Ok(())
}

fn file_section(file: &str) -> String {
    format!("files.{file:?}")
}

fn entry(file: &str, bytes: &[u8]) -> String {
    format!("[files.{file:?}]\nbytes = {}\nsha256 = \"{}\"\n", bytes.len(), sha256_hex(bytes))
}

fn push(text: &mut String, section: &str) {
    let kept = text.trim_end().len();
    text.truncate(kept);
    text.push_str("\n\n");
    text.push_str(section);
}

/// The manifest without some of its sections.
fn without(text: &str, leave_out: impl Fn(&str) -> bool) -> String {
    let mut kept = String::new();
    let mut out = false;
    for line in text.lines() {
        if let Some(section) = line.trim().strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            // One of several has its name in two pairs of brackets.
            let several = section.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
            out = leave_out(several.unwrap_or(section));
        }
        if !out {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_left_out_whole() {
        let text = "a = 1\n[b]\nc = [\n  2,\n]\n[b.d]\ne = 3\n[f.\"g.h\"]\ni = 4\n[j]\nk = 5\n";
        assert_eq!(
            without(text, |s| s == "b"),
            "a = 1\n[b.d]\ne = 3\n[f.\"g.h\"]\ni = 4\n[j]\nk = 5\n"
        );
        assert_eq!(
            without(text, |s| s == "f.\"g.h\"" || s.starts_with("b.")),
            "a = 1\n[b]\nc = [\n  2,\n]\n[j]\nk = 5\n"
        );
        let several = "[b]\nc = 1\n\n[[b.d]]\ne = 2\n\n[[b.d]]\ne = 3\n\n[f]\ng = 4\n";
        assert_eq!(without(several, |s| s == "b" || s.starts_with("b.")), "[f]\ng = 4\n");
    }
}
