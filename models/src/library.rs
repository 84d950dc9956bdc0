//! Given a model's folder from anywhere, how does it become one of ours? Checked
//! as a whole, copied beside its place, then renamed: a crash leaves no half model.

mod variants;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use self::variants::Variant;
use crate::checked::{FileError, sha256_hex};
use crate::golden::{Agreement, Golden};
use crate::import::{Draft, ImportOptions, Precision, Refusal, derive, has};
use crate::manifest::Manifest;
use crate::model::{MANIFEST_FILE, Model, ModelError};
use crate::runtime::{Runtime, RuntimeError};
use crate::trial::{Trial, TrialError};

/// The folder that imported models lie in, each below its name.
#[derive(Clone, Debug)]
pub struct Library {
    dir: PathBuf,
    /// What no import may be called.
    reserved: Option<String>,
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
    /// The model that comes with the program has the name.
    #[error(
        "{0} is what the model that comes with the program is called, and commands would not know which one is meant; choose another name with --name"
    )]
    Reserved(String),
    /// The folder is in no layout that is understood, or something in it is not.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It cannot be opened, or a tower not be loaded.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A file is not the one that the manifest promises.
    #[error("{0}")]
    File(#[from] FileError),
    /// A tower does not do what it should.
    #[error("{0}")]
    Trial(#[from] TrialError),
    /// There is nothing to run it with.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Gives ONNX Runtime, when the folder is known to be worth it.
pub type GiveRuntime<'a> = &'a dyn Fn() -> Result<Runtime, RuntimeError>;

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
    /// How well it agrees with reference answers that it was not asked for itself: those
    /// of its 32-bit form, or those in its folder. None if there were none.
    pub golden: Option<Agreement>,
    /// What the folder brought in a `golden.json`, if it did.
    pub brought: Option<Brought>,
}

/// Reference answers that a folder brings of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brought {
    /// The texts, whose token ids are equal.
    pub texts: usize,
    /// The least cosine over them.
    pub texts_agree: f32,
    /// The pictures that lie in the folder, too.
    pub pictures: usize,
    /// The least cosine over them.
    pub pictures_agree: f32,
    /// Pictures that are named but not there.
    pub absent: usize,
}

impl Library {
    /// The library in `dir`, which need not exist.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, reserved: None }
    }

    /// The same, where no import may have this name: a model elsewhere has it.
    #[must_use]
    pub fn reserving(mut self, name: Option<String>) -> Self {
        self.reserved = name;
        self
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

    /// Takes a copy of the model in `from`: a folder of this program, or one in a public
    /// layout, whose manifest is then written.
    ///
    /// Before that, every file is compared with its checksum or looked into, both towers
    /// are loaded (a picture tower and a text tower of two trainings are refused there),
    /// and each has to say the same of an input alone and in a batch, and what reference
    /// answers say. A variant in another precision joins the space of the 32-bit form only
    /// if it agrees with it by [`Precision::least_agreement`]. If the same model is there
    /// already, its files are compared, too; where one is not what it should be, the whole
    /// copy is made anew.
    ///
    /// # Errors
    /// As [`ImportError`] says. Then the library is as it was.
    pub fn import(
        &self,
        from: &Path,
        options: &ImportOptions,
        runtime: GiveRuntime<'_>,
    ) -> Result<Imported, ImportError> {
        if let Some(name) = options.name.as_deref() {
            self.allows(name)?;
        }
        if from.join(MANIFEST_FILE).is_file() {
            return self.take_own(from, options, runtime);
        }
        self.take_public(from, options, runtime)
    }

    /// Takes a folder of this program.
    fn take_own(
        &self,
        from: &Path,
        options: &ImportOptions,
        runtime: GiveRuntime<'_>,
    ) -> Result<Imported, ImportError> {
        let manifest_path = from.join(MANIFEST_FILE);
        let plain = ImportOptions { name: options.name.clone(), ..ImportOptions::default() };
        if options.precision.is_some() || *options != plain {
            let next = "leave --precision, --language, --text and --variant-of out";
            let expected = "a public layout with these options";
            return Err(Refusal::new(
                &manifest_path,
                expected,
                "a model.toml that says it all",
                next,
            )
            .into());
        }
        let model = Model::open(from)?;
        let place = self.place(options.name.as_deref(), &model)?;
        let trial = Trial::of(&model, &runtime()?)?;
        let known = model.golden()?;
        let golden = known.as_ref().map(|known| trial.compare(known)).transpose()?;
        let was_there = place.there && is_whole(&place.dir);
        if !was_there {
            self.change(|partial| {
                // The temporary folder itself may be read by nobody else.
                let folder = partial.join("model");
                copy(&model, &folder)?;
                if known.is_none() {
                    add_golden(&folder, &trial.golden)?;
                }
                self.put(partial, &folder, &place)
            })?;
        }
        let model = Model::open(&place.dir)?;
        Ok(Imported { model, was_there, agreement: trial.agreement, golden, brought: None })
    }

    /// Takes a folder in a public layout.
    fn take_public(
        &self,
        from: &Path,
        options: &ImportOptions,
        runtime: GiveRuntime<'_>,
    ) -> Result<Imported, ImportError> {
        let precision = options.precision.unwrap_or_default();
        let draft = derive(from, options, precision)?;
        let name = options.name.as_deref().unwrap_or(&draft.name);
        self.allows(name)?;
        let reference = self.reference(from, options, precision)?;
        let runtime = runtime()?;
        self.change(|partial| {
            let reference = match reference {
                Reference::Own => None,
                Reference::Imported(model, golden) => Some((model, golden)),
                Reference::Whole(whole) => {
                    let model = staged(&whole, &partial.join("reference"), None)?;
                    let trial = Trial::of(&model, &runtime).map_err(|e| at_source(e, &whole))?;
                    Some((model, trial.golden))
                }
            };
            let folder = partial.join("model");
            let space = reference.as_ref().map(|(model, _)| model.space().id());
            let model = staged(&draft, &folder, space)?;
            if let Some((whole, _)) = &reference {
                same_inputs(whole, &model, from)?;
            }
            let here = |e: TrialError| at_source(e, &draft);
            let trial = Trial::of(&model, &runtime).map_err(here)?;
            let golden = match &reference {
                Some((_, golden)) => Some(trial.compare(golden).map_err(here)?),
                None => None,
            };
            let brought = trial.brought(from, options.text.as_deref()).map_err(here)?;
            add_golden(&folder, reference.as_ref().map_or(&trial.golden, |(_, golden)| golden))?;
            let place = self.place(Some(name), &Model::open(&folder)?)?;
            let was_there = place.there && is_whole(&place.dir);
            if !was_there {
                for file in BESIDE {
                    copy_if_there(&from.join(file), &folder.join(file))?;
                }
                self.put(partial, &folder, &place)?;
            }
            let model = Model::open(&place.dir)?;
            Ok(Imported { model, was_there, agreement: trial.agreement, golden, brought })
        })
    }

    /// What a variant has to agree with.
    fn reference(
        &self,
        from: &Path,
        options: &ImportOptions,
        precision: Precision,
    ) -> Result<Reference, ImportError> {
        if let Some(name) = &options.variant_of {
            let expected = "the name of an imported model that has reference answers";
            let next = "`ek model list` shows the names; import the 32-bit form first";
            let refuse = |got: String| Refusal::new(&self.dir.join(name), expected, got, next);
            let Some(dir) = self.find(name) else {
                return Err(refuse("no such model".into()).into());
            };
            let model = Model::open(&dir)?;
            let golden = model.golden()?;
            let golden = golden.ok_or_else(|| refuse("a model without them".into()))?;
            return Ok(Reference::Imported(model, golden));
        }
        // Without the 32-bit form beside it, the variant is a model of its own.
        if precision == Precision::Fp32 || options.text.is_some() || !has(from, Precision::Fp32) {
            return Ok(Reference::Own);
        }
        Ok(Reference::Whole(Box::new(derive(from, options, Precision::Fp32)?)))
    }

    /// Whether an import may have that name.
    fn allows(&self, name: &str) -> Result<(), ImportError> {
        // Some systems' folders do not tell capitals from small letters.
        if self.reserved.as_ref().is_some_and(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(ImportError::Reserved(name.into()));
        }
        if is_name(name) { Ok(()) } else { Err(ImportError::Name(name.into())) }
    }

    /// Removes the model of that name, whatever its state: it is gone as a whole, or there.
    /// Gives the bytes that it took; `None` if there was none.
    ///
    /// # Errors
    /// Of the disk.
    pub fn remove(&self, name: &str) -> io::Result<Option<u64>> {
        let dir = self.dir.join(name);
        if !is_name(name) || !dir.is_dir() {
            return Ok(None);
        }
        let bytes = size(&dir)?;
        let partial = tempfile::Builder::new().prefix(".import-").tempdir_in(&self.dir)?;
        fs_err::rename(&dir, partial.path().join("old"))?;
        sync(&self.dir)?;
        partial.close()?;
        Ok(Some(bytes))
    }

    /// Where a model of that name goes.
    fn place(&self, name: Option<&str>, model: &Model) -> Result<Place, ImportError> {
        let name = name.unwrap_or_else(|| model.manifest().name());
        self.allows(name)?;
        let dir = self.dir.join(name);
        let there = fs_err::symlink_metadata(&dir).is_ok();
        if there && !is_of(&dir, model.manifest()) {
            return Err(ImportError::Taken { name: name.into(), dir });
        }
        Ok(Place { dir, there })
    }

    /// Works in a temporary folder of the library, and leaves nothing behind if it fails.
    fn change<T>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, ImportError>,
    ) -> Result<T, ImportError> {
        let was_there = self.dir.is_dir();
        fs_err::create_dir_all(&self.dir)?;
        let partial = tempfile::Builder::new().prefix(".import-").tempdir_in(&self.dir)?;
        let done = work(partial.path());
        drop(partial);
        if done.is_err() && !was_there {
            // Not empty if another import came in meanwhile, and then it stays.
            let _ = fs_err::remove_dir(&self.dir);
        }
        done
    }

    /// Moves the whole `folder` to its place, instead of what is there.
    fn put(&self, partial: &Path, folder: &Path, place: &Place) -> Result<(), ImportError> {
        sync(folder)?;
        // Goes with the temporary folder.
        let old = partial.join("old");
        if place.there {
            fs_err::rename(&place.dir, &old)?;
        }
        if let Err(error) = fs_err::rename(folder, &place.dir) {
            if place.there {
                fs_err::rename(&old, &place.dir)?;
            }
            return Err(error.into());
        }
        Ok(sync(&self.dir)?)
    }
}

/// Where a model goes, and whether it is there already.
struct Place {
    dir: PathBuf,
    there: bool,
}

/// What a model has to agree with.
enum Reference {
    /// Nothing but itself.
    Own,
    /// One that is here already.
    Imported(Model, Golden),
    /// The 32-bit form in the same folder.
    Whole(Box<Draft>),
}

/// What people would look for beside a model's files.
const BESIDE: [&str; 4] = ["CARD.md", "README.md", "LICENSE", "NOTICE"];

/// Writes a draft and opens it.
fn staged(draft: &Draft, folder: &Path, space: Option<&str>) -> Result<Model, ImportError> {
    fs_err::create_dir(folder)?;
    draft.stage(folder, space)?;
    Ok(Model::open(folder)?)
}

/// The same error with the file that was given, instead of one in a folder that is gone
/// when it is read.
fn at_source(mut error: TrialError, draft: &Draft) -> ImportError {
    if let Some(path) = error.path_mut()
        && let Some(source) = draft.source_of(path)
    {
        *path = source;
    }
    error.into()
}

/// Refuses a variant that is fed otherwise than the whole form: a space is named by a
/// model and its preparation.
fn same_inputs(whole: &Model, variant: &Model, from: &Path) -> Result<(), Refusal> {
    let (a, b) = (whole.manifest(), variant.manifest());
    let tokenizer = |m: &Manifest| m.files()[&m.text().tokenizer].sha256.clone();
    let fed = |m: &Manifest| (m.text().context, m.text().padding, m.text().clean);
    let differs = if a.space() != b.space() {
        format!("embeddings of {} numbers, not {}", b.space().dim(), a.space().dim())
    } else if a.image().preprocess != b.image().preprocess {
        "pictures that are prepared otherwise".to_owned()
    } else if tokenizer(a) != tokenizer(b) || fed(a) != fed(b) {
        "texts that are cut into tokens otherwise".to_owned()
    } else {
        return Ok(());
    };
    let expected = format!("another precision of {}", a.name());
    Err(Refusal::new(
        from,
        expected,
        differs,
        "it is another model: import it without --variant-of",
    ))
}

/// Copies a model into `folder`, the manifest last.
fn copy(model: &Model, folder: &Path) -> Result<(), ImportError> {
    fs_err::create_dir(folder)?;
    for file in model.manifest().files().keys() {
        let to = folder.join(file);
        if let Some(parent) = to.parent() {
            fs_err::create_dir_all(parent)?;
        }
        write(&to, &model.read(file)?)?;
    }
    for file in BESIDE {
        copy_if_there(&model.dir().join(file), &folder.join(file))?;
    }
    Ok(write(&folder.join(MANIFEST_FILE), &fs_err::read(model.dir().join(MANIFEST_FILE))?)?)
}

fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs_err::read(from) {
        Ok(bytes) => write(to, &bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// The name of the reference answers in a model's folder.
const GOLDEN_FILE: &str = "golden.json";

/// Puts reference answers into a folder that nobody uses yet.
fn add_golden(folder: &Path, golden: &Golden) -> io::Result<()> {
    let bytes = golden.write();
    write(&folder.join(GOLDEN_FILE), &bytes)?;
    let path = folder.join(MANIFEST_FILE);
    let text = fs_err::read_to_string(&path)?;
    let (text, length, sum) = (text.trim_end(), bytes.len(), sha256_hex(&bytes));
    let more = format!(
        "{text}\n\n[golden]\nfile = {GOLDEN_FILE:?}\n\n[files.{GOLDEN_FILE:?}]\nbytes = {length}\nsha256 = {sum:?}\n"
    );
    write(&path, more.as_bytes())
}

/// Whether the folder has that manifest, whatever became of the files it names. Reference
/// answers do not count: another machine gives other last digits.
fn is_of(dir: &Path, manifest: &Manifest) -> bool {
    let plain = |manifest: Manifest| manifest.without_golden();
    fs_err::read_to_string(dir.join(MANIFEST_FILE)).is_ok_and(|text| {
        Manifest::parse(&text).is_ok_and(|old| plain(old) == plain(manifest.clone()))
    })
}

/// The bytes of all files below a folder.
fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let of = entry.metadata()?;
        bytes += if of.is_dir() { size(&entry.path())? } else { of.len() };
    }
    Ok(bytes)
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

pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Names in a folder are on disk once the folder is; elsewhere than on Unix it
/// cannot be opened for that.
fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { fs_err::File::open(dir)?.sync_all() } else { Ok(()) }
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
        assert_eq!(library.remove("lite").expect("no error"), None);
        assert_eq!(library.remove("..").expect("no error"), None);
    }
}
