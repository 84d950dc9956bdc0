//! Given the text tower of another model, how do its texts come to lie in the space of a
//! store that was made with this one? By an affine map that was fitted between the two: a
//! bridge. It is one file, with what it was measured to find, and with what it said of the
//! reference texts when it was made, so that another tower behind it is noticed.
//!
//! The file: magic `EKBRIDG\1`, length of the head u32, the head as JSON, then 32-bit floats:
//! the map's matrix row by row, its constant, the answers to the reference texts; at last
//! BLAKE3 of all of it. Numbers are little-endian.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use ekphrasis_embed::{Embedding, EncodeError, Space, SpaceError, TextEncoder};
use serde::{Deserialize, Serialize};

use crate::golden::{GoldenError, TEXTS, answers_to_texts, least_cosine};

const MAGIC: &[u8; 8] = b"EKBRIDG\x01";
/// Bytes of the checksum at the end.
const CHECK: usize = 32;

/// What a bridge was measured to find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeFigures {
    /// Captions that were asked; none of them, nor their pictures, was fitted to.
    pub captions: usize,
    /// The pictures they are of.
    pub pictures: usize,
    /// Pictures that were searched.
    pub among: u64,
    /// Share of the captions whose picture was among the first ten through the bridge.
    pub recall: f64,
    /// Its 95 % interval, over pictures.
    pub interval: [f64; 2],
    /// The same share by the store's own text tower.
    pub own_recall: f64,
    /// Texts it was fitted to, by both text towers.
    pub texts: usize,
    /// Captions it was fitted to, by their pictures.
    pub fitted_captions: usize,
    /// Seed of the draw.
    pub seed: u64,
}

impl BridgeFigures {
    /// In a sentence, without its end.
    pub fn words(&self) -> String {
        format!(
            "a caption's picture is among the first ten of {} for {:.0} % of {} captions that it \
             was not fitted to (95 %: {:.0} % to {:.0} %), and for {:.0} % by the store's own model",
            self.among,
            100.0 * self.recall,
            self.captions,
            100.0 * self.interval[0],
            100.0 * self.interval[1],
            100.0 * self.own_recall
        )
    }
}

/// A map from the space of one model's texts into another's space.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// The model's name when it was made.
    pub model: String,
    /// The space of that model.
    pub from: Space,
    /// Where its texts come to lie.
    pub to: Space,
    /// `to × from`, row by row.
    pub weights: Vec<f32>,
    /// What is added, `to` numbers.
    pub bias: Vec<f32>,
    /// How much is found with it.
    pub figures: BridgeFigures,
    /// What it said of the reference texts.
    answers: Vec<Vec<f32>>,
}

/// Why a bridge cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no bridge, or damaged.
    #[error("expected a bridge as `ek model bridge` writes it, got {0}; make it again")]
    Damaged(String),
    /// The tower fails.
    #[error("{0}")]
    Golden(#[from] GoldenError),
    /// Another tower stands behind it than when it was made.
    #[error(
        "expected a cosine of {least} or more to what the bridge from {model} said of the reference texts when it was made, got {cosine:.6}: another model has that name by now; make the bridge again"
    )]
    Drift {
        /// The model's name.
        model: String,
        /// The least cosine.
        cosine: f32,
        /// What it should be at least.
        least: f32,
    },
    /// It leads from another space than the tower's.
    #[error("expected a bridge from {expected}, got one from {got}; make it again")]
    From {
        /// The tower's space.
        expected: Space,
        /// The bridge's.
        got: Space,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    model: String,
    from: String,
    from_dim: usize,
    to: String,
    to_dim: usize,
    answers: usize,
    figures: BridgeFigures,
}

impl Bridge {
    /// From a fitted map and the tower it was fitted to, whose answers to the reference texts
    /// are noted.
    ///
    /// # Errors
    /// `Golden` if the tower fails on a reference text; `Damaged` if the map is not of the two
    /// spaces.
    pub fn new(
        model: &str,
        inner: &dyn TextEncoder,
        to: &Space,
        (weights, bias): (Vec<f32>, Vec<f32>),
        figures: BridgeFigures,
    ) -> Result<Self, BridgeError> {
        let from = inner.space().clone();
        if weights.len() != from.dim() * to.dim() || bias.len() != to.dim() {
            let got = format!("{} and {} numbers", weights.len(), bias.len());
            return Err(BridgeError::Damaged(got));
        }
        let to = to.clone();
        let mut bridge =
            Self { model: model.into(), from, to, weights, bias, figures, answers: vec![] };
        bridge.answers = bridge.answer(inner)?;
        Ok(bridge)
    }

    fn answer(&self, inner: &dyn TextEncoder) -> Result<Vec<Vec<f32>>, GoldenError> {
        let rows = answers_to_texts(inner, &TEXTS)?;
        Ok(rows.iter().map(|row| self.apply(row)).collect())
    }

    /// Where a text of the other model lies, up to length.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = self.weights.chunks_exact(self.from.dim()).zip(&self.bias);
        rows.map(|(row, b)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
    }

    /// The text tower behind it, as one of the space it leads into. It has to say of the
    /// reference texts what it said when the bridge was made, to a cosine of `least`.
    ///
    /// # Errors
    /// `From` for a tower of another space, `Drift` for one that says something else.
    pub fn over(
        self,
        inner: Arc<dyn TextEncoder>,
        least: f32,
    ) -> Result<Arc<dyn TextEncoder>, BridgeError> {
        if *inner.space() != self.from {
            let expected = inner.space().clone();
            return Err(BridgeError::From { expected, got: self.from });
        }
        let cosine = least_cosine(&self.answer(&*inner)?, &self.answers);
        if cosine < least {
            return Err(BridgeError::Drift { model: self.model, cosine, least });
        }
        Ok(Arc::new(Bridged { bridge: self, inner }))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `Io` if it cannot be read, `Damaged` if it is no bridge.
    pub fn read(path: &Path) -> Result<Self, BridgeError> {
        let bytes = fs_err::read(path)?;
        Self::parse(&bytes)
            .map_err(|problem| BridgeError::Damaged(format!("{problem} in {}", path.display())))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let content = bytes.len().checked_sub(CHECK).ok_or("too few bytes")?;
        let (content, check) = bytes.split_at(content);
        if blake3::hash(content).as_bytes() != check {
            return Err("another checksum".into());
        }
        let rest = content.strip_prefix(MAGIC).ok_or("another magic")?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("no head")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (head, numbers) = rest.split_at_checked(length).ok_or("a head that is cut off")?;
        let head: Head = serde_json::from_slice(head).map_err(|e| e.to_string())?;
        let space = |id: &str, dim| Space::new(id, dim).map_err(|e: SpaceError| e.to_string());
        let (from, to) = (space(&head.from, head.from_dim)?, space(&head.to, head.to_dim)?);
        let expected = from.dim() * to.dim() + to.dim() * (1 + head.answers);
        if numbers.len() != 4 * expected || head.answers != TEXTS.len() {
            return Err(format!("{} bytes of numbers", numbers.len()));
        }
        let mut numbers =
            numbers.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default()));
        let mut take = |n: usize| numbers.by_ref().take(n).collect::<Vec<f32>>();
        Ok(Self {
            weights: take(from.dim() * to.dim()),
            bias: take(to.dim()),
            answers: (0..head.answers).map(|_| take(to.dim())).collect(),
            model: head.model,
            from,
            to,
            figures: head.figures,
        })
    }

    /// Writes a file, as a whole or not at all.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), BridgeError> {
        let folder = path.parent().unwrap_or(path);
        fs_err::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".bridge-").tempfile_in(folder)?;
        file.write_all(&self.bytes()?)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let head = serde_json::to_vec(&Head {
            model: self.model.clone(),
            from: self.from.id().into(),
            from_dim: self.from.dim(),
            to: self.to.id().into(),
            to_dim: self.to.dim(),
            answers: self.answers.len(),
            figures: self.figures.clone(),
        })?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        let answers = self.answers.iter().flatten();
        for number in self.weights.iter().chain(&self.bias).chain(answers) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        Ok(bytes)
    }
}

/// A text tower behind a bridge.
struct Bridged {
    bridge: Bridge,
    inner: Arc<dyn TextEncoder>,
}

impl TextEncoder for Bridged {
    fn space(&self) -> &Space {
        &self.bridge.to
    }

    fn unknown_share(&self, text: &str) -> Result<f64, EncodeError> {
        self.inner.unknown_share(text)
    }

    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
        let rows = self.inner.embed_texts(batch)?;
        let over =
            |e: &Embedding| Ok(Embedding::new(&self.bridge.to, self.bridge.apply(e.values()))?);
        rows.iter().map(over).collect()
    }
}

#[cfg(test)]
mod tests {
    use ekphrasis_embed::testing::{ColourEncoder, check_text_encoder};

    use super::*;

    fn figures() -> BridgeFigures {
        BridgeFigures {
            captions: 40,
            pictures: 40,
            among: 200,
            recall: 0.5,
            interval: [0.35, 0.65],
            own_recall: 0.55,
            texts: 100,
            fitted_captions: 80,
            seed: 0,
        }
    }

    /// To a space of two more numbers, in another order.
    fn bridge(inner: &dyn TextEncoder) -> Bridge {
        let from = inner.space().dim();
        let to = Space::new("wider", from + 2).expect("a space");
        let mut weights = vec![0.0; from * to.dim()];
        for i in 0..from {
            weights[(from - 1 - i) * from + i] = 2.0;
        }
        let mut bias = vec![0.0; to.dim()];
        bias[from] = 0.25;
        Bridge::new("colours", inner, &to, (weights, bias), figures()).expect("a bridge")
    }

    #[test]
    fn texts_come_to_lie_where_the_map_says() {
        let inner = ColourEncoder::default();
        let bridge = bridge(&inner);
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/colours.ekb");
        bridge.write(&path).expect("written");
        let again = Bridge::read(&path).expect("what was just written");
        assert_eq!(again, bridge);
        let names = fs_err::read_dir(path.parent().expect("a folder")).expect("readable").count();
        assert_eq!(names, 1, "nothing else is left");
        let bridged = again.over(Arc::new(ColourEncoder::default()), 0.9999).expect("agrees");
        assert_eq!(bridged.space().id(), "wider");
        check_text_encoder(&*bridged);
        let plain = inner.embed_texts(&["red"]).expect("a vector");
        let over = bridged.embed_texts(&["red"]).expect("a vector");
        let from = plain[0].values();
        let mut want: Vec<f32> = from.iter().rev().map(|v| 2.0 * v).collect();
        want.extend([0.25, 0.0]);
        let norm = want.iter().map(|v| v * v).sum::<f32>().sqrt();
        for (got, want) in over[0].values().iter().zip(&want) {
            assert!((got - want / norm).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn another_tower_or_damage_is_refused() {
        let inner = ColourEncoder::default();
        let mut bridge = bridge(&inner);
        let bytes = bridge.bytes().expect("bytes");
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 16;
            assert!(Bridge::parse(&damaged).is_err(), "a flip at {at}");
        }
        for length in [0, 8, CHECK, bytes.len() - 1] {
            assert!(Bridge::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        bridge.answers[3].reverse();
        let error = bridge.clone().over(Arc::new(ColourEncoder::default()), 0.9999);
        let error = error.err().expect("another tower").to_string();
        assert!(error.contains("0.9999 or more") && error.contains("colours"), "{error}");
        bridge.from = Space::new("elsewhere", TextEncoder::space(&inner).dim()).expect("a space");
        let error = bridge.over(Arc::new(ColourEncoder::default()), 0.9999).err();
        assert!(matches!(error, Some(BridgeError::From { .. })), "{error:?}");
    }
}
