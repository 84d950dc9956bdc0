//! Given a model's folder from anywhere, how does it become one of ours? Checked
//! as a whole, copied beside its place, then renamed: a crash leaves no half model.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ekphrasis_embed::{Embedding, EncodeError, Pixels, PreprocessError, dot};

use crate::checked::FileError;
use crate::manifest::Manifest;
use crate::model::{MANIFEST_FILE, Model, ModelError};
use crate::runtime::Runtime;

/// The folder that imported models lie in, each below its name.
#[derive(Clone, Debug)]
pub struct Library {
    dir: PathBuf,
}

/// Why a model was not imported. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A name that cannot be a folder's and an option's.
    #[error(
        "{0:?} cannot name a model: expected 1 to 64 letters, digits, '-', '_' or '.', the first a letter or digit; choose another with --name"
    )]
    Name(String),
    /// Another model has the name.
    #[error(
        "there is another model named {name} already, in {}; choose another name with --name, or delete that folder",
        dir.display()
    )]
    Taken {
        /// The name.
        name: String,
        /// Where it lies.
        dir: PathBuf,
    },
    /// It cannot be opened, or a tower not be loaded.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A file is not the one that the manifest promises.
    #[error("{0}")]
    File(#[from] FileError),
    /// A tower fails on an ordinary input.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// A picture cannot be prepared.
    #[error("{0}")]
    Preprocess(#[from] PreprocessError),
    /// A tower says something else about an input when others are beside it.
    #[error(
        "{}: an input in a batch and alone give embeddings of cosine {cosine:.6}, expected {AGREE} or more; such a model would file things by chance. Export it with a batch axis, and padding masked",
        path.display()
    )]
    Batch {
        /// The tower's graph.
        path: PathBuf,
        /// The worst cosine.
        cosine: f32,
    },
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What batch and single must agree to, as a cosine.
const AGREE: f32 = 0.9999;

/// A model that came in.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Opened where it lies now.
    pub model: Model,
    /// The same model was there already, and whole; nothing was copied. One that was
    /// damaged has been replaced.
    pub was_there: bool,
    /// The worst cosine between batch and single over both towers.
    pub agreement: f32,
}

impl Library {
    /// The library in `dir`, which need not exist.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where a model of that name lies, if one does.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let dir = self.dir.join(name);
        (is_name(name) && dir.join(MANIFEST_FILE).is_file()).then_some(dir)
    }

    /// The names of all models, sorted, each with its model or what is wrong with it.
    ///
    /// # Errors
    /// If the folder cannot be read. That it is not there is no error.
    pub fn models(&self) -> io::Result<Vec<(String, Result<Model, ModelError>)>> {
        let entries = match fs_err::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // What a crash left of an import has a name that no model can have.
            names.extend(entry?.file_name().into_string().ok().filter(|name| is_name(name)));
        }
        names.sort();
        let open = |name: String| {
            let model = Model::open(&self.dir.join(&name));
            (name, model)
        };
        Ok(names.into_iter().map(open).collect())
    }

    /// Takes a copy of the model in `from` under `name` (its own if none).
    ///
    /// Before that, every file is compared with its checksum, both towers are
    /// loaded (a picture tower and a text tower of two trainings are refused
    /// there), and each has to say the same of an input alone and in a batch.
    /// If the same model is there already, its files are compared, too; where one is
    /// not what it should be, the whole copy is made anew.
    ///
    /// # Errors
    /// As [`ImportError`] says. Then the library is as it was.
    pub fn import(
        &self,
        from: &Path,
        name: Option<&str>,
        runtime: &Runtime,
    ) -> Result<Imported, ImportError> {
        let model = Model::open(from)?;
        let name = name.unwrap_or_else(|| model.manifest().name());
        if !is_name(name) {
            return Err(ImportError::Name(name.into()));
        }
        let place = self.dir.join(name);
        let there = fs_err::symlink_metadata(&place).is_ok();
        if there && !is_of(&place, model.manifest()) {
            return Err(ImportError::Taken { name: name.into(), dir: place });
        }
        let agreement = agreement(&model, runtime)?;
        let was_there = there && is_whole(&place);
        if !was_there {
            self.copy(&model, &place, there)?;
        }
        Ok(Imported { model: Model::open(&place)?, was_there, agreement })
    }

    /// Copies `model` to `place`, instead of what is there if it is to `replace` it.
    fn copy(&self, model: &Model, place: &Path, replace: bool) -> Result<(), ImportError> {
        fs_err::create_dir_all(&self.dir)?;
        let partial = tempfile::Builder::new().prefix(".import-").tempdir_in(&self.dir)?;
        // The temporary folder itself may be read by nobody else.
        let folder = partial.path().join("model");
        fs_err::create_dir(&folder)?;
        for file in model.manifest().files().keys() {
            write(&folder.join(file), &model.read(file)?)?;
        }
        // The manifest last, and what people would look for beside it.
        for file in ["CARD.md", "README.md", "LICENSE", "NOTICE", MANIFEST_FILE] {
            match fs_err::read(model.dir().join(file)) {
                Ok(bytes) => write(&folder.join(file), &bytes)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound && file != MANIFEST_FILE => {}
                Err(e) => return Err(e.into()),
            }
        }
        sync(&folder)?;
        // Goes with the temporary folder.
        let old = partial.path().join("old");
        if replace {
            fs_err::rename(place, &old)?;
        }
        if let Err(error) = fs_err::rename(&folder, place) {
            if replace {
                fs_err::rename(&old, place)?;
            }
            return Err(error.into());
        }
        Ok(sync(&self.dir)?)
    }
}

/// Whether the folder has that manifest, whatever became of the files it names.
fn is_of(dir: &Path, manifest: &Manifest) -> bool {
    fs_err::read_to_string(dir.join(MANIFEST_FILE))
        .is_ok_and(|text| Manifest::parse(&text).is_ok_and(|old| old == *manifest))
}

/// Whether all files are there, and what their manifest promises.
fn is_whole(dir: &Path) -> bool {
    Model::open(dir)
        .is_ok_and(|model| model.manifest().files().keys().all(|file| model.read(file).is_ok()))
}

/// Whether `name` can be a folder's name on every system, and no path or option.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with('.')
        && name.chars().all(fits)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Names in a folder are on disk once the folder is; elsewhere than on Unix it
/// cannot be opened for that.
fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { fs_err::File::open(dir)?.sync_all() } else { Ok(()) }
}

/// The worst cosine, over both towers, between an input alone and in a batch.
fn agreement(model: &Model, runtime: &Runtime) -> Result<f32, ImportError> {
    // Of very different lengths: what is filled up must not be heard.
    let texts = ["cat", "a photo of a red bicycle that leans on a wall by the sea", ""];
    let encoder = model.text_encoder(runtime, 1)?;
    let of_texts = least(&encoder.embed_texts(&texts)?, |i| encoder.embed_texts(&[texts[i]]))?;
    let encoder = model.image_encoder(runtime, 1)?;
    let tensors = sample_pictures()
        .iter()
        .map(|pixels| encoder.preprocess().tensor(pixels))
        .collect::<Result<Vec<_>, _>>()?;
    let of_images = least(&encoder.embed_images(&tensors)?, |i| {
        encoder.embed_images(std::slice::from_ref(&tensors[i]))
    })?;
    let manifest = model.manifest();
    for (file, cosine) in [(&manifest.text().file, of_texts), (&manifest.image().file, of_images)] {
        if cosine < AGREE {
            return Err(ImportError::Batch { path: model.path(file), cosine });
        }
    }
    Ok(of_texts.min(of_images))
}

/// The least cosine between embeddings made together and each made alone.
fn least(
    together: &[Embedding],
    alone: impl Fn(usize) -> Result<Vec<Embedding>, EncodeError>,
) -> Result<f32, EncodeError> {
    let mut least = 1f32;
    for (i, beside) in together.iter().enumerate() {
        for by_itself in alone(i)? {
            least = least.min(dot(beside.values(), by_itself.values()));
        }
    }
    Ok(least)
}

/// Three pictures of different shapes and contents: a slope, stripes, a chequer.
fn sample_pictures() -> [Pixels; 3] {
    let draw = |width: u32, height: u32, colour: &dyn Fn(u32, u32) -> [u8; 3]| {
        let at = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let bytes = at.flat_map(|(x, y)| colour(x, y)).collect();
        Pixels::new(width, height, bytes).expect("three bytes a pixel, of a few hundred pixels")
    };
    let shade = |n: u32| (n % 256) as u8;
    [
        draw(96, 64, &|x, y| [shade(x * 2), shade(y * 3), 90]),
        draw(64, 96, &|x, _| if x % 16 < 8 { [220, 40, 30] } else { [240, 240, 235] }),
        draw(80, 80, &|x, y| if (x / 20 + y / 20) % 2 == 0 { [10; 3] } else { [30, 120, 210] }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["lite", "own-2", "ViT-B-32", "a_b.c", "7"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "-x", ".import-3", "a b", "é", "a.", "C:"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&"a".repeat(65)));
    }

    #[test]
    fn a_library_that_is_not_there_is_empty() {
        let dir = tempfile::tempdir().expect("a folder");
        let library = Library::at(dir.path().join("models"));
        assert!(library.models().expect("no error").is_empty());
        assert_eq!(library.find("lite"), None);
    }
}
