//! Given a picture, is it this one, or which of those that are known? One example is
//! enough; what "the same" means is in the examples: a pet, a product, a logo, a face if
//! the model knows faces.

mod calibrate;
mod operating;
mod scoring;

use ekphrasis_index::{NameKind, Named};

pub(crate) use self::calibrate::{Pairs, measure};
pub use self::operating::{Accepting, Operating};
pub use self::scoring::Scoring;
use crate::naming::{self, Before, Example, KnownExample, NotTaken, checked_name};
use crate::{Engine, EngineError};

/// Examples of one identity: more tell nothing new, and each is compared every time.
const MOST_EXAMPLES: usize = 1_000;

/// Something that is known by examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is called.
    pub name: String,
    /// In the order in which they came.
    pub examples: Vec<KnownExample>,
    /// Id of the space that the examples were embedded in.
    pub space: String,
    /// Whether that is the store's space, and all is as it was written. If not, it has to be
    /// enrolled again, in place of what is there.
    pub comparable: bool,
    /// When it was last changed, seconds since 1970 UTC.
    pub at: i64,
}

/// What enrolling came to.
#[derive(Debug)]
pub struct Enrolment {
    /// As it is known now.
    pub identity: Identity,
    /// Whether the name was not known before.
    pub new: bool,
    /// Examples that were not known before.
    pub added: usize,
    /// Examples that could not be read.
    pub not_taken: Vec<NotTaken>,
}

/// Whether a picture shows what a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The name.
    pub name: String,
    /// It does, as far as the threshold tells.
    pub same: bool,
    /// How much it resembles the examples: see [`Scoring`].
    pub score: f32,
    /// By which threshold that was decided.
    pub operating: Operating,
    /// Examples that it was compared with.
    pub examples: usize,
}

/// Who a picture may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Identified {
    /// The best, if it resembles enough; `None`: nobody who is known.
    pub name: Option<String>,
    /// The best first.
    pub candidates: Vec<Candidate>,
    /// By which threshold that was decided; `None`: the set is closed, and the best is it.
    pub operating: Option<Operating>,
    /// With how many it was compared.
    pub enrolled: usize,
    /// Of pictures of strangers, at most this share gets some name; `None` where that is
    /// not known.
    pub strangers_named: Option<f64>,
    /// The share of strangers that was aimed at, if so many are enrolled that no measured rate
    /// of single comparisons is small enough for it.
    pub aim_missed: Option<f64>,
    /// Names that could not be compared: enrolled in another space, or damaged.
    pub not_comparable: Vec<String>,
}

/// One of those that are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The name.
    pub name: String,
    /// How much the picture resembles it.
    pub score: f32,
    /// Whether that is enough.
    pub accepted: bool,
}

/// How a picture is to be named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdentifyOptions {
    /// From when on; `None`: it is one of them for sure (closed set).
    pub accepting: Option<Accepting>,
    /// Candidates wanted, 1..=1000.
    pub k: usize,
}

impl Default for IdentifyOptions {
    fn default() -> Self {
        Self { accepting: Some(Accepting::Usual), k: 5 }
    }
}

impl Engine {
    /// Keeps examples of something under a name, beside those that are known of it, or
    /// instead of them, be those damaged or of another space. What cannot be read is told
    /// and left out. The files are not needed afterwards.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot be one, no example, more than 1,000, or examples
    /// beside those of another space; the first example's own error if none can be read;
    /// where model or store fail, or examples are to stand beside damaged ones.
    pub fn enrol(
        &self,
        name: &str,
        examples: &[Example],
        replace: bool,
    ) -> Result<Enrolment, EngineError> {
        let name = checked_name(name)?;
        if examples.is_empty() {
            return Err(EngineError::of_field(
                "images",
                format!("{name:?} needs at least one picture to be known by"),
            ));
        }
        let (vectors, not_taken) = self.examples_of("", examples)?;
        let (named, (new, added)) = self.change_named(NameKind::Identity, name, |before| {
            let new = matches!(before, Before::Nothing);
            let mut kept = if replace { vec![] } else { self.to_add_to(before)? };
            let added = naming::add_new(&mut kept, vectors);
            if kept.len() > MOST_EXAMPLES {
                return Err(EngineError::of_field(
                    "images",
                    format!(
                        "an identity has at most {MOST_EXAMPLES} examples; {name:?} would have {}",
                        kept.len()
                    ),
                ));
            }
            let named = Named { name: name.into(), at: naming::now(), vectors: kept };
            Ok((named, (new, added)))
        })?;
        Ok(Enrolment { identity: self.identity_of(&named), new, added, not_taken })
    }

    /// Forgets a name with its examples. False if it was not known.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn forget_identity(&self, name: &str) -> Result<bool, EngineError> {
        self.forget_named(NameKind::Identity, name)
    }

    /// All that is known, in the order of names.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn identities(&self) -> Result<Vec<Identity>, EngineError> {
        let (all, damaged) = self.fresh()?.all_named(NameKind::Identity)?;
        let mut all: Vec<Identity> = all.iter().map(|named| self.identity_of(named)).collect();
        // Known to be there, and no more: it has to be enrolled again, or forgotten.
        all.extend(damaged.into_iter().map(|name| Identity {
            name,
            examples: vec![],
            space: String::new(),
            comparable: false,
            at: 0,
        }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn identity(&self, name: &str) -> Result<Option<Identity>, EngineError> {
        let named = self.fresh()?.named(NameKind::Identity, name.trim())?;
        Ok(named.map(|named| self.identity_of(&named)))
    }

    /// Whether a picture shows what a name stands for.
    ///
    /// # Errors
    /// `NotFound` for a name that is not known; `Invalid` for one of another space, and for
    /// a rate that cannot be stated; the picture's own.
    pub fn verify(
        &self,
        name: &str,
        picture: &Example,
        accepting: Accepting,
    ) -> Result<Verified, EngineError> {
        // What cannot be answered is told before a model is loaded.
        let operating = Operating::for_comparison(self.towers.verification(), accepting)?;
        let name = name.trim();
        let named = self.fresh()?.named(NameKind::Identity, name)?.ok_or_else(|| {
            EngineError::NotFound(format!(
                "nobody is enrolled as {name:?}; `ek identities` lists who is, `ek enrol` adds one"
            ))
        })?;
        self.same_space(&named)?;
        let (embedding, _) = self.example(picture)?;
        let score = score(&named, embedding.values());
        Ok(Verified {
            name: named.name,
            same: operating.accepts(score),
            score,
            operating,
            examples: named.vectors.len(),
        })
    }

    /// Which of those that are known a picture shows, if any.
    ///
    /// # Errors
    /// `NotFound` if nobody is enrolled; `Invalid` for a `k` outside 1..=1000, for a rate
    /// that cannot be stated, and if all were enrolled in another space; the picture's own.
    pub fn identify(
        &self,
        picture: &Example,
        options: &IdentifyOptions,
    ) -> Result<Identified, EngineError> {
        if !(1..=1000).contains(&options.k) {
            return Err(EngineError::of_field("k", format!("k is 1 to 1000, got {}", options.k)));
        }
        let (all, mut not_comparable) = self.fresh()?.all_named(NameKind::Identity)?;
        if all.is_empty() && not_comparable.is_empty() {
            return Err(EngineError::NotFound(
                "nobody is enrolled yet; `ek enrol NAME FILE…` begins".into(),
            ));
        }
        let (known, others): (Vec<_>, Vec<_>) =
            all.iter().partition(|named| self.same_space(named).is_ok());
        not_comparable.extend(others.iter().map(|named| named.name.clone()));
        if known.is_empty() {
            return Err(EngineError::Invalid(format!(
                "none of those who are enrolled can be compared ({}): they were enrolled with \
                 another model, or what is known of them is damaged; enrol them again with \
                 `ek enrol NAME FILE… --replace` (over HTTP a PUT without `add`)",
                not_comparable.join(", ")
            )));
        }
        let enrolled = known.len();
        let operating = options
            .accepting
            .map(|accepting| Operating::for_search(self.towers.verification(), accepting, enrolled))
            .transpose()?;
        let (embedding, _) = self.example(picture)?;
        let mut candidates: Vec<Candidate> = known
            .iter()
            .map(|named| {
                let score = score(named, embedding.values());
                let accepted = operating.as_ref().is_none_or(|o| o.accepts(score));
                Candidate { name: named.name.clone(), score, accepted }
            })
            .collect();
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
        candidates.truncate(options.k);
        let name = candidates.first().filter(|best| best.accepted).map(|best| best.name.clone());
        Ok(Identified {
            name,
            candidates,
            strangers_named: operating.as_ref().and_then(|o| o.strangers_named(enrolled)),
            aim_missed: operating
                .as_ref()
                .zip(options.accepting)
                .and_then(|(o, accepting)| o.aim_missed(accepting, enrolled)),
            operating,
            enrolled,
            not_comparable,
        })
    }

    fn identity_of(&self, named: &Named) -> Identity {
        let space = named.vectors.first().map(|v| v.embedding.space().id().to_owned());
        Identity {
            name: named.name.clone(),
            examples: naming::examples(&named.vectors),
            space: space.unwrap_or_default(),
            comparable: self.same_space(named).is_ok(),
            at: named.at,
        }
    }
}

/// How much a picture resembles what a name stands for.
fn score(named: &Named, picture: &[f32]) -> f32 {
    let examples: Vec<&[f32]> = named.vectors.iter().map(|v| v.embedding.values()).collect();
    Scoring::USED.score(&examples, picture)
}
