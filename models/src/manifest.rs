//! Given a model folder's `model.toml`, what is the model? Read in two stages:
//! as written (any misspelt key is an error), then checked ([`Manifest`]).

mod clean;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use crate::confidence::Calibration;
use crate::import::Precision;
use crate::label_sets::LabelCalibration;
use crate::verification::Verification;
use ekphrasis_embed::{
    ChannelOrder, Interpolation, Preprocess, PreprocessError, Resize, Space, SpaceError,
};

pub use self::clean::Clean;

/// The newest format this program reads, and the only one so far.
const FORMAT: i64 = 1;

/// A model's description, checked: every named file is listed with size and
/// checksum and lies inside the folder, every number is in range.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    name: String,
    summary: String,
    license: String,
    languages: Vec<String>,
    space: Space,
    image: ImageTower,
    text: TextTower,
    templates: Vec<String>,
    logit_scale: f32,
    vocabulary: Option<VocabularyFiles>,
    lexicon: Option<VocabularyFiles>,
    training: Option<Training>,
    confidence: Option<Calibration>,
    verification: Option<Verification>,
    label_sets: Option<LabelCalibration>,
    precision: Option<Precision>,
    golden: Option<String>,
    files: BTreeMap<String, FileEntry>,
}

/// The picture encoder's file and how it is fed.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageTower {
    /// Graph file in the model folder.
    pub file: String,
    /// The graph's input, f32 `[batch, 3, size, size]`.
    pub input: String,
    /// The graph's output, f32 `[batch, dim]`.
    pub output: String,
    /// What lies between a picture and the input.
    pub preprocess: Preprocess,
    /// Files with weights that the graph names, in its folder.
    pub external: Vec<String>,
}

/// The text encoder's files and how it is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTower {
    /// Graph file in the model folder.
    pub file: String,
    /// `tokenizer.json` in the model folder.
    pub tokenizer: String,
    /// The graph's output, f32 `[batch, dim]`.
    pub output: String,
    /// The most tokens of a text, special ones included; the rest is cut.
    pub context: usize,
    /// How short texts are filled up.
    pub padding: Padding,
    /// The token they are filled up with.
    pub pad_token: String,
    /// How the graph makes one vector of many; for the reader, nothing depends on it.
    pub pooling: String,
    /// What happens to a text before it is cut into tokens.
    pub clean: Clean,
    /// Files with weights that the graph names, in its folder.
    pub external: Vec<String>,
}

/// How the texts of a batch are brought to one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// To the longest text of the batch.
    Longest,
    /// Always to the whole context, as CLIP exports want it.
    Context,
}

/// Words with ready-made text embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VocabularyFiles {
    /// One word or phrase a line, UTF-8.
    pub words: String,
    /// `words × dim` little-endian half floats of unit norm, or signed bytes up to scale.
    pub vectors: String,
}

/// How a trained model came about. The trainer writes it, and the same into the
/// metadata of both graphs.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Names this training: 16 to 64 lower-case hexadecimal digits. Both graphs
    /// carry it under `ekphrasis.pair`; a graph of another training is refused.
    pub pair: String,
    /// The space of the model it started from; none if it started from nothing.
    pub base: Option<String>,
    /// The loss, as the training's configuration names it.
    pub loss: String,
    /// The loss's margin, in the unit of that loss, if it has one.
    pub margin: Option<f64>,
    /// A hash of the training data.
    pub data: String,
}

/// What a file of the model must be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Why a manifest was refused. The caller names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No TOML, a missing or unknown key, a value of another type.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A format of another time.
    #[error("expected format = {FORMAT}, got {got}; a newer program may read it")]
    Format {
        /// As written.
        got: String,
    },
    /// A value out of range.
    #[error("{key}: expected {expected}, got {got}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What would be right.
        expected: String,
        /// As written.
        got: String,
    },
    /// A named file without an entry below `[files]`.
    #[error("{key} names {file:?}, which has no [files.{file:?}] entry with bytes and sha256")]
    Unlisted {
        /// The key, with its section.
        key: &'static str,
        /// The file.
        file: String,
    },
    /// Id or width of the space.
    #[error("[space]: {0}")]
    Space(#[from] SpaceError),
    /// A preprocessing that cannot be.
    #[error("[image.preprocess]: {0}")]
    Preprocess(#[from] PreprocessError),
}

impl Manifest {
    /// Reads and checks the text of a `model.toml`.
    ///
    /// # Errors
    /// Each variant of [`ManifestError`] as it says; the first problem counts.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        // The format first: another one may have any other keys.
        let table: toml::Table = toml::from_str(text)?;
        match table.get("format") {
            Some(toml::Value::Integer(FORMAT)) => {}
            other => {
                let got = other.map_or_else(|| "none".into(), ToString::to_string);
                return Err(ManifestError::Format { got });
            }
        }
        toml::from_str::<written::Manifest>(text)?.check()
    }

    /// Short name, such as `lite`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence on what the model can and cannot do.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Licence of the weights.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// Languages of its texts, at least one.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// The space both towers end in.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The picture encoder.
    pub fn image(&self) -> &ImageTower {
        &self.image
    }

    /// The text encoder.
    pub fn text(&self) -> &TextTower {
        &self.text
    }

    /// Prompt templates for labels, each with one `{}`; at least one.
    pub fn templates(&self) -> &[String] {
        &self.templates
    }

    /// What cosines are multiplied by before the softmax over labels.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale
    }

    /// The vocabulary, if the model has one.
    pub fn vocabulary(&self) -> Option<&VocabularyFiles> {
        self.vocabulary.as_ref()
    }

    /// Many more words, for descriptions only: a line each, which may say behind a tab what
    /// it is a kind of, and vectors of four bits a coordinate, up to scale.
    pub fn lexicon(&self) -> Option<&VocabularyFiles> {
        self.lexicon.as_ref()
    }

    /// How it was trained; none for a model that came otherwise.
    pub fn training(&self) -> Option<&Training> {
        self.training.as_ref()
    }

    /// How its scores become probabilities; none for a model that was not calibrated.
    pub fn confidence(&self) -> Option<&Calibration> {
        self.confidence.as_ref()
    }

    /// How often it takes one thing for another; none for a model that was not measured.
    pub fn verification(&self) -> Option<&Verification> {
        self.verification.as_ref()
    }

    /// How labels are compared that are known by pictures; none for a model that was not
    /// calibrated for it.
    pub fn label_sets(&self) -> Option<&LabelCalibration> {
        self.label_sets.as_ref()
    }

    /// How its numbers are kept; none if it does not say.
    pub fn precision(&self) -> Option<Precision> {
        self.precision
    }

    /// The file with what it has to answer to reference inputs, if it has one.
    pub fn golden(&self) -> Option<&str> {
        self.golden.as_deref()
    }

    /// The same without reference answers, which differ in their last digits from one
    /// machine to another.
    pub(crate) fn without_golden(mut self) -> Self {
        if let Some(file) = self.golden.take() {
            self.files.remove(&file);
        }
        self
    }

    /// The bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files().values().map(|file| file.bytes).sum()
    }

    /// Every file of the model by its name in the folder.
    pub fn files(&self) -> &BTreeMap<String, FileEntry> {
        &self.files
    }
}

/// As the file has it.
mod written {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::{Clean, FileEntry, Padding, Training};
    use crate::confidence::Calibration;
    use crate::label_sets::LabelCalibration;
    use crate::verification::Verification;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Manifest {
        #[expect(dead_code, reason = "checked before the rest is read")]
        pub(super) format: i64,
        pub(super) name: String,
        pub(super) summary: String,
        pub(super) license: String,
        pub(super) languages: Vec<String>,
        pub(super) space: Space,
        pub(super) image: Image,
        pub(super) text: Text,
        pub(super) labels: Labels,
        pub(super) vocabulary: Option<Vocabulary>,
        pub(super) lexicon: Option<Vocabulary>,
        pub(super) training: Option<Training>,
        pub(super) confidence: Option<Calibration>,
        pub(super) verification: Option<Verification>,
        pub(super) label_sets: Option<LabelCalibration>,
        pub(super) precision: Option<String>,
        pub(super) golden: Option<Golden>,
        pub(super) files: BTreeMap<String, FileEntry>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Space {
        pub(super) id: String,
        pub(super) dim: usize,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Image {
        pub(super) file: String,
        pub(super) input: String,
        pub(super) output: String,
        pub(super) preprocess: Preprocess,
        #[serde(default)]
        pub(super) external: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Golden {
        pub(super) file: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Preprocess {
        pub(super) size: u32,
        pub(super) resize: Resize,
        pub(super) fill: Option<[u8; 3]>,
        pub(super) edge: Option<u32>,
        pub(super) interpolation: String,
        pub(super) mean: [f32; 3],
        pub(super) std: [f32; 3],
        #[serde(default)]
        pub(super) channels: Channels,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Channels {
        #[default]
        Rgb,
        Bgr,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub(super) enum Resize {
        Pad,
        ShortestEdge,
        Exact,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Text {
        pub(super) file: String,
        pub(super) tokenizer: String,
        pub(super) output: String,
        pub(super) context: usize,
        pub(super) padding: Padding,
        pub(super) pad_token: String,
        pub(super) pooling: String,
        #[serde(default)]
        pub(super) clean: Clean,
        #[serde(default)]
        pub(super) external: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Labels {
        pub(super) templates: Vec<String>,
        pub(super) logit_scale: f32,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Vocabulary {
        pub(super) words: String,
        pub(super) vectors: String,
    }
}

impl written::Manifest {
    fn check(self) -> Result<Manifest, ManifestError> {
        for (file, entry) in &self.files {
            check_entry(file, entry)?;
        }
        let listed = |key, file: &str| {
            if self.files.contains_key(file) {
                Ok(())
            } else {
                Err(ManifestError::Unlisted { key, file: file.into() })
            }
        };
        listed("image.file", &self.image.file)?;
        listed("text.file", &self.text.file)?;
        listed("text.tokenizer", &self.text.tokenizer)?;
        for file in &self.image.external {
            listed("image.external", file)?;
        }
        for file in &self.text.external {
            listed("text.external", file)?;
        }
        if let Some(golden) = &self.golden {
            listed("golden.file", &golden.file)?;
        }
        if let Some(vocabulary) = &self.vocabulary {
            listed("vocabulary.words", &vocabulary.words)?;
            listed("vocabulary.vectors", &vocabulary.vectors)?;
        }
        if let Some(lexicon) = &self.lexicon {
            listed("lexicon.words", &lexicon.words)?;
            listed("lexicon.vectors", &lexicon.vectors)?;
        }
        if let Some(confidence) = &self.confidence {
            listed("confidence.background", &confidence.background)?;
            if let Some(problem) = confidence.problem() {
                return Err(value("confidence", "finite weights and a note", &problem));
            }
        }
        if let Some(problem) = self.verification.as_ref().and_then(|v| v.problem(&self.space.id)) {
            return Err(value("verification", "rates that were measured in this space", &problem));
        }
        if let Some(problem) = self.label_sets.as_ref().and_then(LabelCalibration::problem) {
            return Err(value("label_sets", "finite weights and a note", &problem));
        }
        not_empty("name", &self.name)?;
        not_empty("summary", &self.summary)?;
        not_empty("license", &self.license)?;
        not_empty("languages", self.languages.first().map_or("", String::as_str))?;
        if !(4..=32_768).contains(&self.text.context) {
            return Err(value("text.context", "4 to 32768 tokens", &self.text.context));
        }
        if self.labels.templates.is_empty() {
            return Err(value("labels.templates", "at least one template", &"none"));
        }
        if let Some(bad) = self.labels.templates.iter().find(|t| t.matches("{}").count() != 1) {
            return Err(value("labels.templates", "one {} in each template", bad));
        }
        if let Some(training) = &self.training {
            check_training(training)?;
        }
        let precision = self.precision.as_deref().map(str::parse::<Precision>).transpose();
        let precision = precision.map_err(|problem| value("precision", "a known one", &problem))?;
        let scale = self.labels.logit_scale;
        if !(scale.is_finite() && scale > 0.0 && scale <= 1000.0) {
            return Err(value("labels.logit_scale", "a number over 0, at most 1000", &scale));
        }
        Ok(Manifest {
            space: Space::new(&self.space.id, self.space.dim)?,
            image: ImageTower {
                preprocess: self.image.preprocess.check()?,
                file: self.image.file,
                input: self.image.input,
                output: self.image.output,
                external: self.image.external,
            },
            text: TextTower {
                file: self.text.file,
                tokenizer: self.text.tokenizer,
                output: self.text.output,
                context: self.text.context,
                padding: self.text.padding,
                pad_token: self.text.pad_token,
                pooling: self.text.pooling,
                clean: self.text.clean,
                external: self.text.external,
            },
            vocabulary: self
                .vocabulary
                .map(|v| VocabularyFiles { words: v.words, vectors: v.vectors }),
            lexicon: self.lexicon.map(|l| VocabularyFiles { words: l.words, vectors: l.vectors }),
            name: self.name,
            summary: self.summary,
            license: self.license,
            languages: self.languages,
            templates: self.labels.templates,
            logit_scale: scale,
            training: self.training,
            confidence: self.confidence,
            verification: self.verification,
            label_sets: self.label_sets,
            precision,
            golden: self.golden.map(|golden| golden.file),
            files: self.files,
        })
    }
}

impl written::Preprocess {
    fn check(self) -> Result<Preprocess, ManifestError> {
        use written::Resize as Written;
        let resize = match (self.resize, self.fill, self.edge) {
            (Written::Pad, Some(fill), None) => Resize::Pad { fill },
            (Written::ShortestEdge, None, Some(edge)) => Resize::ShortestEdge(edge),
            (Written::Exact, None, None) => Resize::Exact,
            (resize, fill, edge) => {
                let expected = match resize {
                    Written::Pad => "with \"pad\" a fill colour and no edge",
                    Written::ShortestEdge => "with \"shortest-edge\" an edge and no fill",
                    Written::Exact => "with \"exact\" neither fill nor edge",
                };
                let got = format!("fill {fill:?} and edge {edge:?}");
                return Err(value("image.preprocess.resize", expected, &got));
            }
        };
        let Some(interpolation) = Interpolation::named(&self.interpolation) else {
            let expected =
                format!("one of {}", Interpolation::ALL.map(Interpolation::name).join(", "));
            return Err(value("image.preprocess.interpolation", &expected, &self.interpolation));
        };
        let channels = match self.channels {
            written::Channels::Rgb => ChannelOrder::Rgb,
            written::Channels::Bgr => ChannelOrder::Bgr,
        };
        let preprocess = Preprocess::new(self.size, resize, interpolation, self.mean, self.std)?;
        Ok(preprocess.in_order(channels))
    }
}

fn value(key: &'static str, expected: &str, got: &dyn ToString) -> ManifestError {
    ManifestError::Value { key, expected: expected.into(), got: got.to_string() }
}

fn not_empty(key: &'static str, text: &str) -> Result<(), ManifestError> {
    if text.trim().is_empty() {
        return Err(value(key, "some text", &"nothing"));
    }
    Ok(())
}

fn check_training(training: &Training) -> Result<(), ManifestError> {
    let hex = training.pair.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !hex || !(16..=64).contains(&training.pair.len()) {
        let expected = "16 to 64 lower-case hexadecimal digits";
        return Err(value("training.pair", expected, &format!("{:?}", training.pair)));
    }
    not_empty("training.loss", &training.loss)?;
    not_empty("training.data", &training.data)?;
    match training.margin {
        Some(margin) if !margin.is_finite() => {
            Err(value("training.margin", "a finite number", &margin))
        }
        _ => Ok(()),
    }
}

fn check_entry(file: &str, entry: &FileEntry) -> Result<(), ManifestError> {
    let path = Path::new(file);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    // A backslash or colon means something on another system.
    if file.is_empty() || !inside || file.contains(['\\', ':', '\0']) {
        return Err(value("files", "plain names inside the model folder", &format!("{file:?}")));
    }
    let hex = entry.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if entry.sha256.len() != 64 || !hex {
        let expected = "64 lower-case hexadecimal digits";
        return Err(value("files.….sha256", expected, &format!("{:?} for {file}", entry.sha256)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
