//! Given a model folder, how does one get its encoders? [`Model::open`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ekphrasis_embed::{ImageEncoder, Space, TextEncoder};

use crate::checked::{self, FileError};
use crate::confidence::read_background;
use crate::encoder::{OrtImageEncoder, OrtTextEncoder};
use crate::golden::Golden;
use crate::lexicon::Lexicon;
use crate::manifest::{Manifest, ManifestError};
use crate::runtime::Runtime;
use crate::vocabulary::Vocabulary;

/// The name of the manifest in a model folder.
pub const MANIFEST_FILE: &str = "model.toml";

/// Where a graph's metadata holds the name of the training it came out of; see
/// [`crate::Training::pair`].
pub const PAIR_KEY: &str = "ekphrasis.pair";

/// A model folder whose manifest was read and whose files have the right sizes.
/// Cheap to clone; weights are read (and their checksums verified) when an
/// encoder is made.
#[derive(Clone, Debug)]
pub struct Model {
    dir: PathBuf,
    manifest: Arc<Manifest>,
    prepared: Option<PathBuf>,
    /// Whether what was prepared is loaded for one answer only.
    brief: bool,
}

/// Why a model could not be opened or one of its encoders not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No folder, or no manifest in it.
    #[error(
        "there is no model in {}: {source}; expected a folder with a {MANIFEST_FILE}",
        dir.display()
    )]
    NotFound {
        /// The folder.
        dir: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A manifest that is none.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// A file of the model is missing or not the promised one.
    #[error("{0}")]
    File(#[from] FileError),
    /// A graph that is not what the manifest says, or that the runtime refuses.
    #[error("{}: {problem}", path.display())]
    Graph {
        /// The graph file.
        path: PathBuf,
        /// Expected and got, or the runtime's words.
        problem: String,
    },
    /// A graph of one training in a folder of another, or of none.
    #[error(
        "{}: expected a graph of {}, got one of {}; an image.onnx and a text.onnx of two trainings do not understand each other: restore both files and {MANIFEST_FILE} from one training",
        path.display(), training(expected.as_deref()), training(got.as_deref())
    )]
    Pair {
        /// The graph file.
        path: PathBuf,
        /// The pair id in the manifest.
        expected: Option<String>,
        /// The pair id in the graph.
        got: Option<String>,
    },
    /// A tokenizer that cannot be used.
    #[error("{}: {problem}", path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A background that is none.
    #[error("{}: {problem}", path.display())]
    Background {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Reference answers that are none.
    #[error("{}: {problem}", path.display())]
    Golden {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A vocabulary whose words and vectors do not go together.
    #[error("{}: {problem}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

fn training(pair: Option<&str>) -> String {
    pair.map_or_else(|| "no training".into(), |pair| format!("training {pair}"))
}

impl Model {
    /// Reads and checks `model.toml` in `dir` and the sizes of the files it
    /// names. Cheap: no weights are read.
    ///
    /// # Errors
    /// `NotFound` without a manifest, `Manifest` for a wrong one, `File` for a
    /// file that is missing or has another length.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join(MANIFEST_FILE);
        let text = fs_err::read_to_string(&path)
            .map_err(|e| ModelError::NotFound { dir: dir.into(), source: checked::plain(e) })?;
        let manifest =
            Manifest::parse(&text).map_err(|source| ModelError::Manifest { path, source })?;
        for (file, entry) in manifest.files() {
            checked::check_size(&dir.join(file), entry.bytes)?;
        }
        Ok(Self { dir: dir.into(), manifest: Arc::new(manifest), prepared: None, brief: false })
    }

    /// The same model, but what ONNX Runtime makes of its graphs is kept in
    /// `folder`, so that encoders are there faster the next time. The folder may be
    /// deleted at any time.
    #[must_use]
    pub fn preparing_in(mut self, folder: PathBuf) -> Self {
        self.prepared = Some(folder);
        self
    }

    /// The same model for a process that embeds a text or two and ends: its text encoder is there
    /// sooner, and each answer takes longer. ONNX Runtime does not lay out the weights anew for its
    /// kernels.
    #[must_use]
    pub fn for_one_answer(mut self) -> Self {
        self.brief = true;
        self
    }

    pub(crate) fn prepared(&self) -> Option<&Path> {
        self.prepared.as_deref()
    }

    pub(crate) fn is_for_one_answer(&self) -> bool {
        self.brief
    }

    /// The folder, as given.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The space both towers end in.
    pub fn space(&self) -> &Space {
        self.manifest.space()
    }

    /// The picture encoder behind its trait; see [`OrtImageEncoder`].
    ///
    /// # Errors
    /// As [`Model::ort_image_encoder`].
    pub fn image_encoder(
        &self,
        runtime: &Runtime,
        sessions: usize,
    ) -> Result<Arc<dyn ImageEncoder>, ModelError> {
        Ok(Arc::new(self.ort_image_encoder(runtime, sessions)?))
    }

    /// The text encoder behind its trait; see [`OrtTextEncoder`].
    ///
    /// # Errors
    /// As [`Model::ort_text_encoder`].
    pub fn text_encoder(
        &self,
        runtime: &Runtime,
        sessions: usize,
    ) -> Result<Arc<dyn TextEncoder>, ModelError> {
        Ok(Arc::new(self.ort_text_encoder(runtime, sessions)?))
    }

    /// The picture encoder. At most `sessions` (at least one) calls run at a
    /// time, each on one thread; the first session is made now, others when
    /// they are first needed.
    ///
    /// # Errors
    /// `File` if the graph file is not the promised one, `Graph` if it is not
    /// what the manifest says or the runtime refuses it.
    pub fn ort_image_encoder(
        &self,
        runtime: &Runtime,
        sessions: usize,
    ) -> Result<OrtImageEncoder, ModelError> {
        OrtImageEncoder::new(self, runtime, sessions)
    }

    /// The text encoder, with sessions as for [`Model::ort_image_encoder`].
    ///
    /// # Errors
    /// As there, and `Tokenizer` for a tokenizer that cannot be used.
    pub fn ort_text_encoder(
        &self,
        runtime: &Runtime,
        sessions: usize,
    ) -> Result<OrtTextEncoder, ModelError> {
        OrtTextEncoder::new(self, runtime, sessions)
    }

    /// The words with ready-made text embeddings, if the model has any.
    ///
    /// # Errors
    /// `File` if a file is not the promised one, `Vocabulary` if words and
    /// vectors do not go together.
    pub fn vocabulary(&self) -> Result<Option<Vocabulary>, ModelError> {
        self.manifest.vocabulary().map(|files| Vocabulary::read(self, files)).transpose()
    }

    /// Nouns beyond the vocabulary with ready-made text embeddings, if the model has any.
    ///
    /// # Errors
    /// As [`Model::vocabulary`].
    pub fn lexicon(&self) -> Result<Option<Lexicon>, ModelError> {
        self.manifest.lexicon().map(|files| Lexicon::read(self, files)).transpose()
    }

    /// The vectors of the background pictures that scores are compared with, one of unit
    /// length after the other; `None` if the model is not calibrated.
    ///
    /// # Errors
    /// `File` if the file is not the promised one, `Background` if it holds no vectors.
    pub fn background(&self) -> Result<Option<Vec<f32>>, ModelError> {
        let calibration = self.manifest.confidence();
        calibration.map(|c| read_background(self, &c.background)).transpose()
    }

    /// What it has to answer to reference inputs; `None` if that was not recorded.
    ///
    /// # Errors
    /// `File` if the file is not the promised one, `Golden` if it holds no answers.
    pub fn golden(&self) -> Result<Option<Golden>, ModelError> {
        let Some(file) = self.manifest.golden() else { return Ok(None) };
        let bytes = self.read(file)?;
        Golden::parse(&bytes).map(Some).map_err(|source| ModelError::Golden {
            path: self.path(file),
            problem: source.to_string(),
        })
    }

    /// Refuses a graph of another training than the manifest's.
    pub(crate) fn check_pair(&self, file: &str, got: Option<String>) -> Result<(), ModelError> {
        let expected = self.manifest.training().map(|t| t.pair.clone());
        if got == expected {
            return Ok(());
        }
        Err(ModelError::Pair { path: self.path(file), expected, got })
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Compares a file the manifest names with its checksum, in pieces.
    ///
    /// # Errors
    /// If it is not there, or not the one that the manifest promises.
    ///
    /// # Panics
    /// If the manifest does not name it.
    pub(crate) fn verify(&self, file: &str) -> Result<(), FileError> {
        let entry = &self.manifest.files()[file];
        checked::verify(&self.path(file), entry.bytes, &entry.sha256)
    }

    /// The bytes of a file the manifest names, verified.
    ///
    /// # Errors
    /// If it is not there, or not the one that the manifest promises.
    ///
    /// # Panics
    /// If the manifest does not name it.
    pub fn read(&self, file: &str) -> Result<Vec<u8>, FileError> {
        let entry = &self.manifest.files()[file];
        checked::read(&self.path(file), entry.bytes, &entry.sha256)
    }
}
