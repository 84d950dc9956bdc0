//! Given a model's folder, where do encoders come from, and when are they
//! loaded? When first asked: `ek status` loads none, a text search only one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ekphrasis_embed::{EmbeddingError, ImageEncoder, Space, TextEncoder};
use ekphrasis_models::{
    LabelCalibration, Lexicon, Model, Provided, Provider, ProviderChoice, Runtime, RuntimeError,
    RuntimeSearch, Verification, Vocabulary,
};

use crate::bridge::{self, Through};
use crate::confidence::{self, Background, Confidence};
use crate::{Config, EngineError, of_store};

/// How a model wants labels put, and how sharp its scores are.
#[derive(Clone, Debug)]
pub struct LabelDefaults {
    /// Prompt templates with `{}` for the label.
    pub templates: Vec<String>,
    /// What cosines are multiplied by before softmax (inverse temperature).
    pub logit_scale: f32,
}

/// A model as the engine sees it.
pub trait Towers: Send + Sync {
    /// The model's name.
    fn name(&self) -> &str;

    /// By which name a store finds the model again: that of an imported one, or of the one
    /// that comes with the program. None for any other.
    fn known_as(&self) -> Option<&str> {
        None
    }

    /// A sentence on what it can and cannot do.
    fn note(&self) -> &str;

    /// The space both towers end in.
    fn space(&self) -> &Space;

    /// The languages of its texts, as tags such as `en`; `und` or none if they are not known.
    fn languages(&self) -> &[String];

    /// The image tower; loaded at the first call.
    ///
    /// # Errors
    /// If the runtime or the tower cannot be loaded.
    fn image(&self) -> Result<Arc<dyn ImageEncoder>, EngineError>;

    /// The text tower; loaded at the first call.
    ///
    /// # Errors
    /// If the runtime or the tower cannot be loaded.
    fn text(&self) -> Result<Arc<dyn TextEncoder>, EngineError>;

    /// How labels are put.
    fn labels(&self) -> &LabelDefaults;

    /// Words that `describe` may answer with, beside the store's own texts.
    ///
    /// # Errors
    /// If the model has a vocabulary that cannot be read.
    fn vocabulary(&self) -> Result<Option<Arc<Vocabulary>>, EngineError>;

    /// Many more nouns for `describe`, with vectors that came with the model.
    ///
    /// # Errors
    /// If the model has some that cannot be read.
    fn lexicon(&self) -> Result<Option<Arc<Lexicon>>, EngineError>;

    /// How scores become probabilities; `None` for a model that was not calibrated.
    ///
    /// # Errors
    /// If the model has a calibration that cannot be read.
    fn confidence(&self) -> Result<Option<Arc<Confidence>>, EngineError>;

    /// From which score on pictures show the same thing; `None` for a model of which that
    /// was not measured.
    fn verification(&self) -> Option<&Verification>;

    /// How labels are compared that are known by pictures; `None` for a model that was not
    /// calibrated for it.
    fn label_sets(&self) -> Option<&LabelCalibration>;

    /// The text tower of another model, through a bridge into this space; loaded at the first
    /// call. There are none but for models in folders.
    ///
    /// # Errors
    /// `NotFound` if there is no such bridge; if model or bridge cannot be loaded, or do not
    /// go together.
    fn through(&self, name: &str) -> Result<Through, EngineError> {
        Err(EngineError::NotFound(format!("there is no bridge from {name:?} here")))
    }
}

/// Towers that somebody already has: encoders of one's own, or a fake in tests.
pub struct GivenTowers {
    name: String,
    image: Arc<dyn ImageEncoder>,
    text: Arc<dyn TextEncoder>,
    labels: LabelDefaults,
    confidence: Option<Arc<Confidence>>,
    verification: Option<Verification>,
    languages: Vec<String>,
}

impl GivenTowers {
    /// Takes a pair of encoders; labels are put as they are, with a logit scale of 40.
    ///
    /// # Errors
    /// `Embedding(SpaceMismatch)` if the encoders end in different spaces.
    pub fn new(
        name: &str,
        image: Arc<dyn ImageEncoder>,
        text: Arc<dyn TextEncoder>,
    ) -> Result<Self, EngineError> {
        if image.space() != text.space() {
            let (left, right) = (image.space().clone(), text.space().clone());
            return Err(EmbeddingError::SpaceMismatch { left, right }.into());
        }
        let labels = LabelDefaults { templates: vec!["{}".into()], logit_scale: 40.0 };
        let name = name.into();
        let languages = Vec::new();
        Ok(Self { name, image, text, labels, confidence: None, verification: None, languages })
    }

    /// The same towers, said to know these languages.
    #[must_use]
    pub fn speaking(mut self, languages: &[&str]) -> Self {
        self.languages = languages.iter().map(|&tag| tag.to_owned()).collect();
        self
    }

    /// The same towers with a calibration.
    #[must_use]
    pub fn calibrated(mut self, confidence: Confidence) -> Self {
        self.confidence = Some(Arc::new(confidence));
        self
    }

    /// The same towers with thresholds for telling things apart.
    #[must_use]
    pub fn verified(mut self, verification: Verification) -> Self {
        self.verification = Some(verification);
        self
    }
}

impl Towers for GivenTowers {
    fn name(&self) -> &str {
        &self.name
    }

    fn note(&self) -> &str {
        "encoders given by the program"
    }

    fn space(&self) -> &Space {
        self.image.space()
    }

    fn languages(&self) -> &[String] {
        &self.languages
    }

    fn image(&self) -> Result<Arc<dyn ImageEncoder>, EngineError> {
        Ok(Arc::clone(&self.image))
    }

    fn text(&self) -> Result<Arc<dyn TextEncoder>, EngineError> {
        Ok(Arc::clone(&self.text))
    }

    fn labels(&self) -> &LabelDefaults {
        &self.labels
    }

    fn vocabulary(&self) -> Result<Option<Arc<Vocabulary>>, EngineError> {
        Ok(None)
    }

    fn lexicon(&self) -> Result<Option<Arc<Lexicon>>, EngineError> {
        Ok(None)
    }

    fn confidence(&self) -> Result<Option<Arc<Confidence>>, EngineError> {
        Ok(self.confidence.clone())
    }

    fn verification(&self) -> Option<&Verification> {
        self.verification.as_ref()
    }

    fn label_sets(&self) -> Option<&LabelCalibration> {
        None
    }
}

/// A value made at first use; a failure is not kept, so that it may be tried again.
struct Lazy<T> {
    value: OnceLock<T>,
    making: Mutex<()>,
}

impl<T: Clone> Lazy<T> {
    fn new() -> Self {
        Self { value: OnceLock::new(), making: Mutex::new(()) }
    }

    fn get(&self, make: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
        if let Some(value) = self.value.get() {
            return Ok(value.clone());
        }
        // Two threads that come at once must not load a model twice.
        let _guard = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.value.get() {
            return Ok(value.clone());
        }
        let value = make()?;
        Ok(self.value.get_or_init(|| value).clone())
    }
}

/// Called with one line when something slow goes on (a fetch).
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// ONNX Runtime as the configuration has it; fetched if it is not there yet.
pub(crate) fn load_runtime(
    config: &Config,
    log: &(dyn Fn(&str) + Send + Sync),
) -> Result<Runtime, RuntimeError> {
    Runtime::load(&RuntimeSearch {
        flag: config.onnxruntime.clone(),
        env: config.onnxruntime_env.clone(),
        cache: config.cache.clone(),
        fetch: true,
        log,
    })
}

/// What computes the towers that were loaded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Computing {
    /// The picture tower.
    pub image: Option<Provider>,
    /// The text tower.
    pub text: Option<Provider>,
}

/// Towers on ONNX Runtime.
pub struct OnnxTowers {
    model: Model,
    known_as: Option<String>,
    labels: LabelDefaults,
    sessions: usize,
    search: Config,
    log: Log,
    runtime: Lazy<Runtime>,
    image: Lazy<Arc<dyn ImageEncoder>>,
    text: Lazy<Arc<dyn TextEncoder>>,
    vocabulary: Lazy<Option<Arc<Vocabulary>>>,
    lexicon: Lazy<Option<Arc<Lexicon>>>,
    confidence: Lazy<Option<Arc<Confidence>>>,
    computing: Mutex<Computing>,
    /// What was told of providers, so that it is told once.
    told: Mutex<Vec<String>>,
    /// Text towers of other models, by their names.
    through: Mutex<HashMap<String, Through>>,
}

impl OnnxTowers {
    /// Reads the manifest of `config.model`; loads nothing yet. Each tower will
    /// have up to `sessions` sessions of one thread.
    ///
    /// # Errors
    /// If the manifest is missing or wrong.
    pub fn open(
        config: &Config,
        sessions: usize,
        log: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        if let Some(told) = of_store::told(config) {
            log(&told);
        }
        Self::at(config, &config.model, sessions, log)
    }

    /// The same for another model's folder.
    ///
    /// # Errors
    /// If the manifest is missing or wrong.
    pub fn at(
        config: &Config,
        dir: &Path,
        sessions: usize,
        log: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        let model = Model::open(dir)?.preparing_in(config.cache.join("sessions"));
        let labels = LabelDefaults {
            templates: model.manifest().templates().to_vec(),
            logit_scale: model.manifest().logit_scale(),
        };
        let known_as = if config.default_model.as_deref() == Some(dir) {
            Some(model.manifest().name().to_owned())
        } else {
            let imported = dir.parent() == Some(&config.models);
            dir.file_name().filter(|_| imported).map(|name| name.to_string_lossy().into_owned())
        };
        Ok(Self {
            model,
            known_as,
            labels,
            sessions: sessions.max(1),
            search: config.clone(),
            log: Arc::new(log),
            runtime: Lazy::new(),
            image: Lazy::new(),
            text: Lazy::new(),
            vocabulary: Lazy::new(),
            lexicon: Lazy::new(),
            confidence: Lazy::new(),
            computing: Mutex::default(),
            told: Mutex::default(),
            through: Mutex::default(),
        })
    }

    /// The same towers for a process that asks once and ends; see [`Model::for_one_answer`]. A
    /// model without a calibration has its scores judged by many texts, and providers are
    /// compared by many: nothing changes for these.
    #[must_use]
    pub fn for_one_answer(mut self) -> Self {
        let by_cpu = self.search.provider == ProviderChoice::Only(Provider::Cpu);
        if by_cpu && self.model.manifest().confidence().is_some() {
            self.model = self.model.for_one_answer();
        }
        self
    }

    /// ONNX Runtime, loaded (and fetched) at the first call.
    ///
    /// # Errors
    /// If it can be neither found nor fetched.
    pub fn runtime(&self) -> Result<Runtime, EngineError> {
        self.runtime.get(|| Ok(load_runtime(&self.search, &*self.log)?))
    }

    /// The model's folder.
    pub fn dir(&self) -> &Path {
        self.model.dir()
    }

    /// The model itself.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// What computes the towers that were loaded so far.
    pub fn computing(&self) -> Computing {
        *self.computing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told of providers so far: why one that was wanted does not compute, or how
    /// fast those are that were tried.
    pub fn told_of_providers(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The text tower of another model, computed as this one's are.
    pub(crate) fn text_of(&self, model: &Model) -> Result<Arc<dyn TextEncoder>, EngineError> {
        let runtime = self.runtime()?;
        let provided = model.text_encoder_by(&runtime, self.search.provider, self.sessions)?;
        // Who computes it is nobody's question so far.
        Ok(self.note_provided(provided, |_, _| {}))
    }

    fn note_provided<E: ?Sized>(
        &self,
        provided: Provided<E>,
        note: impl FnOnce(&mut Computing, Provider),
    ) -> Arc<E> {
        let mut computing = self.computing.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut computing, provided.provider);
        drop(computing);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for line in provided.told {
            if !told.contains(&line) {
                (self.log)(&line);
                told.push(line);
            }
        }
        provided.encoder
    }
}

impl Towers for OnnxTowers {
    fn name(&self) -> &str {
        self.model.manifest().name()
    }

    fn known_as(&self) -> Option<&str> {
        self.known_as.as_deref()
    }

    fn note(&self) -> &str {
        self.model.manifest().summary()
    }

    fn space(&self) -> &Space {
        self.model.space()
    }

    fn languages(&self) -> &[String] {
        self.model.manifest().languages()
    }

    fn image(&self) -> Result<Arc<dyn ImageEncoder>, EngineError> {
        let runtime = self.runtime()?;
        self.image.get(|| {
            let choice = self.search.provider;
            let provided = self.model.image_encoder_by(&runtime, choice, self.sessions)?;
            Ok(self.note_provided(provided, |computing, by| computing.image = Some(by)))
        })
    }

    fn text(&self) -> Result<Arc<dyn TextEncoder>, EngineError> {
        let runtime = self.runtime()?;
        self.text.get(|| {
            let choice = self.search.provider;
            let provided = self.model.text_encoder_by(&runtime, choice, self.sessions)?;
            Ok(self.note_provided(provided, |computing, by| computing.text = Some(by)))
        })
    }

    fn labels(&self) -> &LabelDefaults {
        &self.labels
    }

    fn vocabulary(&self) -> Result<Option<Arc<Vocabulary>>, EngineError> {
        self.vocabulary.get(|| Ok(self.model.vocabulary()?.map(Arc::new)))
    }

    fn lexicon(&self) -> Result<Option<Arc<Lexicon>>, EngineError> {
        self.lexicon.get(|| Ok(self.model.lexicon()?.map(Arc::new)))
    }

    fn confidence(&self) -> Result<Option<Arc<Confidence>>, EngineError> {
        self.confidence.get(|| {
            let (Some(calibration), Some(rows)) =
                (self.model.manifest().confidence(), self.model.background()?)
            else {
                return Ok(None);
            };
            let background = Background::new(self.space().dim(), rows);
            let any = confidence::any_queries(self)?;
            Ok(Some(Arc::new(Confidence::new(calibration.clone(), background, &any))))
        })
    }

    fn verification(&self) -> Option<&Verification> {
        self.model.manifest().verification()
    }

    fn label_sets(&self) -> Option<&LabelCalibration> {
        self.model.manifest().label_sets()
    }

    fn through(&self, name: &str) -> Result<Through, EngineError> {
        let mut known = self.through.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(through) = known.get(name) {
            return Ok(through.clone());
        }
        let opened = bridge::open(self, &self.search, name)?;
        known.insert(name.to_owned(), opened.clone());
        Ok(opened)
    }
}
