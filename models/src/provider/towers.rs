//! Given a model and what is to compute it, how does one get its encoders? Tried by the
//! model's reference inputs, tower by tower, so that a search loads no picture tower.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ekphrasis_embed::{ImageEncoder, TextEncoder};

use super::choose::{Case, Tried};
use super::{Provider, ProviderChoice};
use crate::golden::{self, GoldenError, TEXTS};
use crate::model::{Model, ModelError};
use crate::runtime::Runtime;

/// Rounds over the reference inputs that are timed, after one that is not.
const ROUNDS: u32 = 3;

/// An encoder, and what computes it.
pub struct Provided<E: ?Sized> {
    /// The encoder.
    pub encoder: Arc<E>,
    /// Who computes.
    pub provider: Provider,
    /// Why somebody else does not who was wanted, or how fast they are: a sentence each.
    pub told: Vec<String>,
}

/// Embeddings of the reference inputs.
type Answers = Vec<Vec<f32>>;

/// How a tower is made and asked.
struct Tower<'a, E: ?Sized> {
    what: &'a str,
    make: &'a dyn Fn(&Runtime) -> Result<Arc<E>, ModelError>,
    ask: &'a dyn Fn(&E) -> Result<Answers, GoldenError>,
    /// What it has to say, if that is known.
    known: Option<Answers>,
}

impl Model {
    /// The picture encoder, computed by what is wanted if that works here: it is in the
    /// library, can be loaded, and answers the reference pictures as the model did when it
    /// came in (or as the processor does, if that was not recorded). Else by the processor,
    /// and [`Provided::told`] says why. A fault inside a driver ends the process all the same.
    ///
    /// # Errors
    /// As [`Model::image_encoder`]; if reference answers are there and cannot be read.
    pub fn image_encoder_by(
        &self,
        runtime: &Runtime,
        choice: ProviderChoice,
        sessions: usize,
    ) -> Result<Provided<dyn ImageEncoder>, ModelError> {
        let golden = self.golden_for(choice)?;
        self.provide(
            runtime,
            choice,
            Tower {
                what: "picture tower",
                make: &|runtime| self.image_encoder(runtime, sessions),
                ask: &|encoder| golden::answers_to_pictures(encoder),
                known: golden.as_ref().map(|golden| golden.pictures().to_vec()),
            },
        )
    }

    /// The text encoder, likewise.
    ///
    /// # Errors
    /// As [`Model::text_encoder`]; if reference answers are there and cannot be read.
    pub fn text_encoder_by(
        &self,
        runtime: &Runtime,
        choice: ProviderChoice,
        sessions: usize,
    ) -> Result<Provided<dyn TextEncoder>, ModelError> {
        let golden = self.golden_for(choice)?;
        let (texts, known) = match &golden {
            Some(golden) => (golden.texts(), Some(golden.text_answers())),
            None => (TEXTS.to_vec(), None),
        };
        self.provide(
            runtime,
            choice,
            Tower {
                what: "text tower",
                make: &|runtime| self.text_encoder(runtime, sessions),
                ask: &|encoder| golden::answers_to_texts(encoder, &texts),
                known,
            },
        )
    }

    /// Reference answers, if they will be asked for.
    fn golden_for(&self, choice: ProviderChoice) -> Result<Option<golden::Golden>, ModelError> {
        match choice {
            ProviderChoice::Only(Provider::Cpu) => Ok(None),
            _ => self.golden(),
        }
    }

    fn provide<E: ?Sized>(
        &self,
        runtime: &Runtime,
        choice: ProviderChoice,
        tower: Tower<'_, E>,
    ) -> Result<Provided<E>, ModelError> {
        let offered = match choice {
            ProviderChoice::Only(Provider::Cpu) => vec![Provider::Cpu],
            _ => runtime.offers(),
        };
        let library = format!("ONNX Runtime {} ({})", runtime.version(), runtime.path().display());
        let case = Case {
            choice,
            offered: &offered,
            library: &library,
            tower: tower.what,
            least: self.manifest().precision().unwrap_or_default().least_agreement(),
        };
        let by_cpu = || (tower.make)(&runtime.by(Provider::Cpu));
        let try_by = |provider| {
            let encoder = (tower.make)(&runtime.by(provider)).map_err(|e| e.to_string())?;
            let ask = |encoder: &E| (tower.ask)(encoder).map_err(|e| e.to_string());
            let answers = ask(&encoder)?;
            let cosine = match &tower.known {
                Some(known) => golden::least_cosine(&answers, known),
                None if provider == Provider::Cpu => 1.0,
                None => {
                    let plain = by_cpu().map_err(|e| e.to_string())?;
                    golden::least_cosine(&answers, &ask(&plain)?)
                }
            };
            let mut took = Duration::MAX;
            for _ in 0..ROUNDS {
                let start = Instant::now();
                ask(&encoder)?;
                took = took.min(start.elapsed());
            }
            Ok(Tried { encoder, cosine, took })
        };
        let chosen = case.choose(&try_by, by_cpu)?;
        Ok(Provided { encoder: chosen.encoder, provider: chosen.provider, told: chosen.told })
    }
}
