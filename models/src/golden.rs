//! What has a model to answer to reference inputs, and does it still, on this machine,
//! provider and precision? Embeddings that were computed once, compared by cosine.

use ekphrasis_embed::{
    EncodeError, ImageEncoder, ImageTensor, Pixels, PreprocessError, TextEncoder,
};
use serde::{Deserialize, Serialize};

/// The number of the reference pictures: another when they are drawn in another way.
const SAMPLES: u32 = 1;

/// The reference texts: of very different lengths, so that what is filled up would be heard.
pub(crate) const TEXTS: [&str; 8] = [
    "cat",
    "a photo of a red bicycle that leans on a wall by the sea",
    "",
    "two dogs play in the snow",
    "a diagram of a steam engine, drawn in ink on yellowed paper",
    "sunset",
    "people at a market",
    "the inside of an old library with ladders, green lamps and a globe on a table",
];

/// What a model answered to the reference inputs, computed in 32 bits on the CPU where
/// it can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    samples: u32,
    /// How it was computed, in a phrase.
    about: String,
    pictures: Vec<Vec<f32>>,
    texts: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    text: String,
    embedding: Vec<f32>,
}

/// How well a tower agrees with reference answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// The least cosine over the pictures.
    pub pictures: f32,
    /// The least cosine over the texts.
    pub texts: f32,
}

impl Agreement {
    /// The lesser of both.
    pub fn least(&self) -> f32 {
        self.pictures.min(self.texts)
    }
}

/// Why reference inputs could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// The picture tower fails.
    #[error("the picture tower fails on a reference picture: {}", words(.0))]
    Image(EncodeError),
    /// The text tower fails.
    #[error("the text tower fails on a reference text: {}", words(.0))]
    Text(EncodeError),
    /// A reference picture cannot be prepared.
    #[error("{0}")]
    Preprocess(#[from] PreprocessError),
    /// The answers are of another program.
    #[error("expected reference answers to pictures of kind {SAMPLES}, got {0}")]
    Samples(String),
}

/// What an encoder says, down to the number that is wrong.
fn words(error: &EncodeError) -> String {
    match error {
        EncodeError::Output(output) => {
            format!("expected an embedding of finite numbers, but {output}")
        }
        other => other.to_string(),
    }
}

impl Golden {
    /// What these towers answer.
    ///
    /// # Errors
    /// If one fails on an ordinary input.
    pub fn of(
        image: &dyn ImageEncoder,
        text: &dyn TextEncoder,
        about: &str,
    ) -> Result<Self, GoldenError> {
        let texts = TEXTS
            .iter()
            .zip(answers_to_texts(text, &TEXTS)?)
            .map(|(text, embedding)| Answer { text: (*text).into(), embedding });
        Ok(Self {
            samples: SAMPLES,
            about: about.into(),
            pictures: answers_to_pictures(image)?,
            texts: texts.collect(),
        })
    }

    /// Reads what [`Golden::write`] gave.
    ///
    /// # Errors
    /// `Samples` with what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, GoldenError> {
        let golden: Self =
            serde_json::from_slice(bytes).map_err(|e| GoldenError::Samples(e.to_string()))?;
        if golden.samples != SAMPLES || golden.pictures.len() != sample_pictures().len() {
            return Err(GoldenError::Samples(golden.samples.to_string()));
        }
        Ok(golden)
    }

    /// The file's bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut text = serde_json::to_string(self).expect("numbers and texts only");
        text.push('\n');
        text.into_bytes()
    }

    /// How it was computed, in a phrase.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How well these towers agree with it.
    ///
    /// # Errors
    /// If one fails on an ordinary input.
    pub fn compare(
        &self,
        image: &dyn ImageEncoder,
        text: &dyn TextEncoder,
    ) -> Result<Agreement, GoldenError> {
        Ok(Agreement { pictures: self.compare_pictures(image)?, texts: self.compare_texts(text)? })
    }

    /// The least cosine to what the picture tower says.
    ///
    /// # Errors
    /// If it fails on a reference picture.
    pub fn compare_pictures(&self, image: &dyn ImageEncoder) -> Result<f32, GoldenError> {
        Ok(least_cosine(&answers_to_pictures(image)?, &self.pictures))
    }

    /// The least cosine to what the text tower says.
    ///
    /// # Errors
    /// If it fails on a reference text.
    pub fn compare_texts(&self, text: &dyn TextEncoder) -> Result<f32, GoldenError> {
        Ok(least_cosine(&answers_to_texts(text, &self.texts())?, &self.text_answers()))
    }

    /// What was answered to the reference pictures.
    pub(crate) fn pictures(&self) -> &[Vec<f32>] {
        &self.pictures
    }

    /// The texts that were asked.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(|answer| answer.text.as_str()).collect()
    }

    /// What was answered to them.
    pub(crate) fn text_answers(&self) -> Vec<Vec<f32>> {
        self.texts.iter().map(|answer| answer.embedding.clone()).collect()
    }

    /// Whether all pictures, or all texts, are answered alike: such a tower tells nothing
    /// apart. Says which.
    pub fn constant(&self) -> Option<&'static str> {
        let alike = |rows: Vec<&Vec<f32>>| {
            rows.len() > 1 && rows[1..].iter().all(|row| cosine(row, rows[0]) > CONSTANT)
        };
        if alike(self.pictures.iter().collect()) {
            Some("picture")
        } else if alike(self.texts.iter().map(|answer| &answer.embedding).collect()) {
            Some("text")
        } else {
            None
        }
    }
}

/// Answers that are nearer than this do not depend on what was asked.
const CONSTANT: f32 = 1.0 - 1e-6;

/// What a tower says of texts.
pub(crate) fn answers_to_texts(
    text: &dyn TextEncoder,
    texts: &[&str],
) -> Result<Vec<Vec<f32>>, GoldenError> {
    let embeddings = text.embed_texts(texts).map_err(GoldenError::Text)?;
    Ok(embeddings.iter().map(|e| e.values().to_vec()).collect())
}

/// The least cosine between what was answered and what should be, answer by answer.
pub(crate) fn least_cosine(got: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    if got.len() != expected.len() {
        return -1.0;
    }
    got.iter().zip(expected).map(|(a, b)| cosine(a, b)).fold(1.0, f32::min)
}

/// What a tower says of the reference pictures.
pub(crate) fn answers_to_pictures(image: &dyn ImageEncoder) -> Result<Vec<Vec<f32>>, GoldenError> {
    let embeddings = image.embed_images(&sample_tensors(image)?).map_err(GoldenError::Image)?;
    Ok(embeddings.iter().map(|e| e.values().to_vec()).collect())
}

/// The reference pictures as a tower takes them.
pub(crate) fn sample_tensors(image: &dyn ImageEncoder) -> Result<Vec<ImageTensor>, GoldenError> {
    let pictures = sample_pictures();
    let tensors = pictures.iter().map(|pixels| image.preprocess().tensor(pixels));
    Ok(tensors.collect::<Result<_, _>>()?)
}

/// The cosine of two vectors, summed in 64 bits; below any threshold if they do not go
/// together.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return -1.0;
    }
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if cosine.is_finite() { cosine as f32 } else { -1.0 }
}

/// Pictures of different shapes and contents: a slope, stripes, a chequer, rings, grain,
/// and a disc on a ground.
pub(crate) fn sample_pictures() -> [Pixels; 6] {
    let draw = |width: u32, height: u32, colour: &dyn Fn(u32, u32) -> [u8; 3]| {
        let at = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let bytes = at.flat_map(|(x, y)| colour(x, y)).collect();
        Pixels::new(width, height, bytes).expect("three bytes a pixel, of a few hundred pixels")
    };
    let shade = |n: u32| (n % 256) as u8;
    let square = |x: u32, y: u32| x.abs_diff(80).pow(2) + y.abs_diff(60).pow(2);
    [
        draw(96, 64, &|x, y| [shade(x * 2), shade(y * 3), 90]),
        draw(64, 96, &|x, _| if x % 16 < 8 { [220, 40, 30] } else { [240, 240, 235] }),
        draw(80, 80, &|x, y| if (x / 20 + y / 20) % 2 == 0 { [10; 3] } else { [30, 120, 210] }),
        draw(160, 120, &|x, y| {
            [shade(square(x, y) / 12), 80, shade(255 - square(x, y) / 30 % 256)]
        }),
        draw(120, 90, &|x, y| [shade((x * 7919 + y * 104_729) / 13), shade(x * y), shade(x + y)]),
        draw(160, 120, &|x, y| if square(x, y) < 2000 { [250, 200, 20] } else { [40, 110, 60] }),
    ]
}

#[cfg(test)]
mod tests {
    use ekphrasis_embed::testing::ColourEncoder;

    use super::*;

    #[test]
    fn what_was_answered_is_read_again_and_agrees() {
        let encoder = ColourEncoder::default();
        let golden = Golden::of(&encoder, &encoder, "a test").expect("answers");
        let again = Golden::parse(&golden.write()).expect("what was just written");
        assert_eq!(again, golden);
        let same = again.compare(&encoder, &encoder).expect("answers");
        assert!(same.least() > 0.999_999, "{same:?}");
        assert_eq!(golden.constant(), None);

        let mut drifted = golden.clone();
        drifted.texts[3].embedding.reverse();
        let agreement = drifted.compare(&encoder, &encoder).expect("answers");
        assert!(agreement.texts < 0.99 && agreement.pictures > 0.999_999, "{agreement:?}");
        let mut dead = golden;
        dead.pictures.iter_mut().for_each(|row| row.clone_from(&vec![1.0; 8]));
        assert_eq!(dead.constant(), Some("picture"));
    }

    #[test]
    fn answers_to_other_pictures_are_refused() {
        for bad in ["", "{}", r#"{"samples":99,"about":"","pictures":[],"texts":[]}"#] {
            let error = Golden::parse(bad.as_bytes()).expect_err(bad).to_string();
            assert!(error.contains("expected reference answers"), "{error}");
        }
        assert!(cosine(&[1.0], &[1.0, 0.0]) < 0.0);
        assert!(cosine(&[f32::NAN], &[1.0]) < 0.0);
    }
}
