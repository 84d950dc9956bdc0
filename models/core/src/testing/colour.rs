//! A tiny aligned encoder pair that needs no weights: it knows the names of six
//! colours and sees the mean colour of a picture.

use crate::{
    Embedding, EncodeError, ImageEncoder, ImageTensor, Interpolation, Preprocess, Resize, Space,
    TextEncoder,
};

/// Embeds pictures by mean colour and texts by the colours they name, into one
/// 8-d space; words that are no colour add a little of their own, so that
/// different texts differ.
#[derive(Debug)]
pub struct ColourEncoder {
    space: Space,
    preprocess: Preprocess,
}

const SIDE: u32 = 16;
const COLOURS: [(&str, [f32; 3]); 6] = [
    ("red", [1.0, -1.0, -1.0]),
    ("green", [-1.0, 1.0, -1.0]),
    ("blue", [-1.0, -1.0, 1.0]),
    ("yellow", [1.0, 1.0, -1.0]),
    ("white", [1.0, 1.0, 1.0]),
    ("black", [-1.0, -1.0, -1.0]),
];

impl Default for ColourEncoder {
    fn default() -> Self {
        Self::new("colour-1")
    }
}

impl ColourEncoder {
    /// The encoder, claiming the space `id`.
    ///
    /// # Panics
    /// If `id` is no valid space id.
    pub fn new(id: &str) -> Self {
        let resize = Resize::Pad { fill: [255; 3] };
        Self {
            space: Space::new(id, 8).expect("a valid space id"),
            preprocess: Preprocess::new(SIDE, resize, Interpolation::Bilinear, [0.5; 3], [0.5; 3])
                .expect("constants"),
        }
    }
}

impl ImageEncoder for ColourEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        batch
            .iter()
            .map(|tensor| {
                if tensor.size() != SIDE {
                    return Err(EncodeError::InputSize { expected: SIDE, got: tensor.size() });
                }
                let plane = (SIDE * SIDE) as usize;
                let mut v: Vec<f32> = tensor
                    .data()
                    .chunks_exact(plane)
                    .map(|c| c.iter().sum::<f32>() / plane as f32)
                    .collect();
                // The first pixel's trace keeps pictures of one mean apart.
                v.extend([0.05 * tensor.data()[0], 0.05, 0.0, 0.0, 0.0]);
                Ok(Embedding::new(&self.space, v)?)
            })
            .collect()
    }
}

impl TextEncoder for ColourEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn unknown_share(&self, _: &str) -> Result<f64, EncodeError> {
        // It hashes what it does not know, so that nothing is without a word.
        Ok(0.0)
    }

    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
        batch
            .iter()
            .map(|text| {
                let mut v = vec![0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0];
                for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
                    if let Some((_, rgb)) = COLOURS.iter().find(|(name, _)| *name == word) {
                        v.iter_mut().zip(rgb).for_each(|(a, b)| *a += b);
                    } else {
                        // FNV-1a: stable across runs and platforms.
                        let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
                            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
                        });
                        v[5 + (hash % 3) as usize] += 0.01 + (hash >> 40) as f32 * 1e-10;
                    }
                }
                Ok(Embedding::new(&self.space, v)?)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_image_encoder, check_pair, check_text_encoder};

    #[test]
    fn conforms() {
        let encoder = ColourEncoder::default();
        check_image_encoder(&encoder);
        check_text_encoder(&encoder);
        check_pair(&encoder, &encoder);
    }
}
