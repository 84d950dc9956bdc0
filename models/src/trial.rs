//! Given a model that is about to come in, does it do what a model should? Both towers
//! are run: alone and in batches, on reference inputs, and on what the folder brings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ekphrasis_embed::{EncodeError, ImageEncoder, TextEncoder};
use serde::Deserialize;
use serde_json::Value;

use crate::decode::decode;
use crate::encoder::{OrtImageEncoder, OrtTextEncoder};
use crate::golden::{Agreement, Golden, GoldenError, cosine};
use crate::import::{Precision, Refusal};
use crate::library::Brought;
use crate::measured::beside_others;
use crate::model::{Model, ModelError};
use crate::runtime::Runtime;

/// Why a model is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// A tower cannot be loaded.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A tower fails on an ordinary input.
    #[error("{}: {source}; the file may be damaged or of another model: fetch it again", path.display())]
    Tower {
        /// The tower's graph.
        path: PathBuf,
        /// What it says.
        #[source]
        source: GoldenError,
    },
    /// A tower says the same of everything.
    #[error(
        "{}: expected different {what}s to have different embeddings, got the same for all; the weights are missing or damaged: fetch it again",
        path.display()
    )]
    Constant {
        /// The tower's graph.
        path: PathBuf,
        /// `picture` or `text`.
        what: &'static str,
    },
    /// A tower says something else about an input when others are beside it.
    #[error(
        "{}: an input in a batch and alone give embeddings of cosine {cosine:.6}, expected {least} or more; such a model would file things by chance. Export it with a batch axis, and padding masked",
        path.display()
    )]
    Batch {
        /// The tower's graph.
        path: PathBuf,
        /// The worst cosine.
        cosine: f32,
        /// What it should be at least.
        least: f32,
    },
    /// A tower says something else than it has to.
    #[error(
        "{}: expected a cosine of {least} or more to the reference answers ({about}), got {cosine:.6}; {next}",
        path.display()
    )]
    Drift {
        /// The tower's graph.
        path: PathBuf,
        /// The worst cosine.
        cosine: f32,
        /// What it should be at least.
        least: f32,
        /// How the answers were computed.
        about: String,
        /// What to do.
        next: &'static str,
    },
    /// The answers that the folder brings are not given.
    #[error("{0}")]
    Brought(#[from] Refusal),
}

impl TrialError {
    /// The file that is at fault, if it is one of the model's.
    pub(crate) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Model(ModelError::Graph { path, .. } | ModelError::Tokenizer { path, .. })
            | Self::Tower { path, .. }
            | Self::Constant { path, .. }
            | Self::Batch { path, .. }
            | Self::Drift { path, .. } => Some(path),
            Self::Model(_) | Self::Brought(_) => None,
        }
    }
}

/// What pictures that a folder brings must agree to: they are decoded by another program.
const PICTURES_AGREE: f32 = 0.99;

/// A model that was run and does well by itself.
pub(crate) struct Trial {
    image: OrtImageEncoder,
    text: OrtTextEncoder,
    paths: [PathBuf; 2],
    precision: Option<Precision>,
    /// The worst cosine between batch and single over both towers.
    pub(crate) agreement: f32,
    /// What it answers to the reference inputs.
    pub(crate) golden: Golden,
}

impl Trial {
    /// Loads and runs both towers.
    pub(crate) fn of(model: &Model, runtime: &Runtime) -> Result<Self, TrialError> {
        let manifest = model.manifest();
        let paths = [model.path(&manifest.image().file), model.path(&manifest.text().file)];
        let image = model.ort_image_encoder(runtime, 1)?;
        let text = model.ort_text_encoder(runtime, 1)?;
        let fail = |source: GoldenError| {
            let path = match source {
                GoldenError::Text(_) => paths[1].clone(),
                _ => paths[0].clone(),
            };
            TrialError::Tower { path, source }
        };
        let precision = manifest.precision();
        let form = precision.map_or("as shipped", Precision::name);
        let about = format!("{form} on CPU, ONNX Runtime {}", runtime.version());
        let golden = Golden::of(&image, &text, &about).map_err(fail)?;
        if let Some(what) = golden.constant() {
            let path = if what == "text" { &paths[1] } else { &paths[0] };
            return Err(TrialError::Constant { path: path.clone(), what });
        }
        let together = beside_others(&image, &text).map_err(fail)?;
        for (path, cosine) in paths.iter().zip([together.pictures, together.texts]) {
            // Sums in 8 bits are rounded by the largest number of a whole batch.
            let least = precision.unwrap_or_default().least_agreement();
            if cosine < least {
                return Err(TrialError::Batch { path: path.clone(), cosine, least });
            }
        }
        Ok(Self { agreement: together.least(), image, text, precision, golden, paths })
    }

    /// How well it agrees with reference answers, which has to be as well as its precision
    /// allows.
    pub(crate) fn compare(&self, golden: &Golden) -> Result<Agreement, TrialError> {
        let agreement = golden
            .compare(&self.image, &self.text)
            .map_err(|source| TrialError::Tower { path: self.paths[0].clone(), source })?;
        let least = self.precision.unwrap_or_default().least_agreement();
        for (path, cosine) in self.paths.iter().zip([agreement.pictures, agreement.texts]) {
            if cosine < least {
                return Err(TrialError::Drift {
                    path: path.clone(),
                    cosine,
                    least,
                    about: golden.about().to_owned(),
                    next: "it would find other things than the model it stands for: take another --precision",
                });
            }
        }
        Ok(agreement)
    }

    /// Compares with the `golden.json` in the folder `from`, if there is one. If the text tower
    /// is of another folder, what is said of texts is compared with the one there instead.
    pub(crate) fn brought(
        &self,
        from: &Path,
        text: Option<&Path>,
    ) -> Result<Option<Brought>, TrialError> {
        let own = given(from)?;
        let of_text = text.map(given).transpose()?.flatten();
        let texts = if text.is_some() { &of_text } else { &own };
        if own.is_none() && texts.is_none() {
            return Ok(None);
        }
        let mut found =
            Brought { texts: 0, texts_agree: 1.0, pictures: 0, pictures_agree: 1.0, absent: 0 };
        if let Some((path, golden)) = texts {
            self.brought_texts(path, &golden.texts, &mut found)?;
        }
        if let Some((path, golden)) = &own {
            self.brought_pictures(path, from, &golden.images, &mut found)?;
        }
        Ok(Some(found))
    }

    fn brought_texts(
        &self,
        path: &Path,
        texts: &[GivenText],
        found: &mut Brought,
    ) -> Result<(), TrialError> {
        let least = self.least();
        let runs = |e: EncodeError| TrialError::Tower {
            path: self.paths[1].clone(),
            source: GoldenError::Text(e),
        };
        for given in texts {
            if let Some(ids) = &given.ids {
                let got = self.text.token_ids(&given.text).map_err(runs)?;
                if !same_ids(&got, ids) {
                    let expected = format!("token ids {} for {:?}", first(ids), given.text);
                    return Err(refuse(path, expected, first(&got)).into());
                }
            }
            let embedding = given.more.iter().find(|(key, _)| key.starts_with("embedding"));
            let Some(want) = embedding.and_then(|(_, value)| numbers(value)) else { continue };
            let got = self.text.embed_texts(&[&given.text]).map_err(runs)?;
            let cosine = cosine(got[0].values(), &want);
            if cosine < least {
                let expected = format!("a cosine of {least} or more for the text {:?}", given.text);
                return Err(refuse(path, expected, format!("{cosine:.6}")).into());
            }
            found.texts_agree = found.texts_agree.min(cosine);
        }
        found.texts = texts.len();
        Ok(())
    }

    fn brought_pictures(
        &self,
        path: &Path,
        from: &Path,
        images: &BTreeMap<String, Vec<f32>>,
        found: &mut Brought,
    ) -> Result<(), TrialError> {
        let least = PICTURES_AGREE.min(self.least());
        let runs = |e: EncodeError| TrialError::Tower {
            path: self.paths[0].clone(),
            source: GoldenError::Image(e),
        };
        for (name, want) in images {
            let Some(file) = picture(from, name) else {
                found.absent += 1;
                continue;
            };
            let unread = |e: String| refuse(path, format!("a picture {name}"), e);
            let bytes = fs_err::read(&file)
                .map_err(|e| refuse(path, file.display().to_string(), e.to_string()))?;
            let decoded = decode(&bytes).map_err(|e| unread(e.to_string()))?;
            let tensor = self.image.preprocess().tensor(&decoded.pixels);
            let tensor = tensor.map_err(|e| unread(e.to_string()))?;
            let got = self.image.embed_images(&[tensor]).map_err(runs)?;
            let cosine = cosine(got[0].values(), want);
            if cosine < least {
                let expected =
                    format!("a cosine of {PICTURES_AGREE} or more for the picture {name}");
                return Err(refuse(path, expected, format!("{cosine:.6}")).into());
            }
            found.pictures += 1;
            found.pictures_agree = found.pictures_agree.min(cosine);
        }
        Ok(())
    }

    /// The least cosine that its precision allows.
    fn least(&self) -> f32 {
        self.precision.unwrap_or_default().least_agreement()
    }
}

/// The reference answers that a folder brings, and where they lie.
fn given(dir: &Path) -> Result<Option<(PathBuf, Given)>, Refusal> {
    let path = dir.join("golden.json");
    if !path.is_file() {
        return Ok(None);
    }
    let golden = crate::import::json(&path, "reference answers (images and texts)")?;
    Ok(Some((path, golden)))
}

fn refuse(path: &Path, expected: String, got: String) -> Refusal {
    let next = "the graphs or the tokenizer are of another model, or the file is; remove it to import without";
    Refusal::new(path, expected, got, next)
}

/// Reference answers as a folder may bring them.
#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    images: BTreeMap<String, Vec<f32>>,
    #[serde(default)]
    texts: Vec<GivenText>,
}

#[derive(Deserialize)]
struct GivenText {
    text: String,
    ids: Option<Vec<i64>>,
    /// `embedding`, or `embedding_512` and the like.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|v| v.as_f64().map(|v| v as f32)).collect()
}

/// The same ids, but for padding that only one side has: one token, again and again.
fn same_ids(a: &[i64], b: &[i64]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let (start, rest) = long.split_at(short.len());
    start == short && rest.windows(2).all(|w| w[0] == w[1])
}

fn first(ids: &[i64]) -> String {
    let shown: Vec<String> = ids.iter().take(8).map(ToString::to_string).collect();
    format!("{}{} ({} of them)", shown.join(" "), if ids.len() > 8 { " …" } else { "" }, ids.len())
}

/// A picture of that name, with whatever extension, in the folder or in `images/`.
fn picture(from: &Path, name: &str) -> Option<PathBuf> {
    let of_name = |path: &PathBuf| {
        path.file_stem().is_some_and(|stem| stem == name)
            && path.extension().is_some_and(|e| e != "json")
    };
    [from.to_owned(), from.join("images")].iter().find_map(|folder| {
        let entries = fs_err::read_dir(folder).ok()?;
        entries.flatten().map(|entry| entry.path()).filter(|p| p.is_file()).find(of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_may_differ_and_nothing_else() {
        assert!(same_ids(&[1, 5, 2], &[1, 5, 2]));
        assert!(same_ids(&[1, 5, 2], &[1, 5, 2, 0, 0, 0]));
        assert!(same_ids(&[1, 5, 2, 2, 2], &[1, 5, 2]));
        assert!(!same_ids(&[1, 5, 2], &[1, 6, 2]));
        assert!(!same_ids(&[1, 5, 2], &[1, 5, 2, 0, 7]));
    }
}
