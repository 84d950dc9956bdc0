//! What the encoder traits promise, as checks for any implementation. Each
//! panics with what was broken.

use crate::{Embedding, ImageEncoder, ImageTensor, Pixels, Space, TextEncoder, dot};

/// The cosine that "the same up to rounding" means.
const SAME: f32 = 0.9999;

fn assert_unit(embeddings: &[Embedding], space: &Space, count: usize) {
    assert_eq!(embeddings.len(), count, "one embedding an input");
    for e in embeddings {
        assert_eq!(e.space(), space, "each embedding in the encoder's space");
        let norm = dot(e.values(), e.values());
        assert!((norm - 1.0).abs() < 1e-4, "unit norm, got {norm}");
    }
}

fn assert_same(a: &Embedding, b: &Embedding, what: &str) {
    let cosine = a.cosine(b).expect("one encoder, one space");
    assert!(cosine > SAME, "{what}: cosine {cosine}");
}

fn sample_tensors(encoder: &dyn ImageEncoder) -> Vec<ImageTensor> {
    [(40u32, 30u32, 3u32), (17, 64, 7), (64, 64, 11)]
        .iter()
        .map(|&(w, h, step)| {
            let rgb = (0..w * h * 3).map(|i| (i * step % 251) as u8).collect();
            let picture = Pixels::new(w, h, rgb).expect("a valid picture");
            encoder.preprocess().tensor(&picture).expect("a plain shape")
        })
        .collect()
}

/// Checks the contract of [`ImageEncoder`].
///
/// # Panics
/// With the clause that is broken.
pub fn check_image_encoder(encoder: &dyn ImageEncoder) {
    assert!(encoder.embed_images(&[]).expect("an empty batch is fine").is_empty());
    let tensors = sample_tensors(encoder);
    let batch = encoder.embed_images(&tensors).expect("a batch of three");
    assert_unit(&batch, encoder.space(), 3);
    let reversed: Vec<_> = tensors.iter().rev().cloned().collect();
    let backwards = encoder.embed_images(&reversed).expect("the batch reversed");
    for (i, tensor) in tensors.iter().enumerate() {
        let alone = encoder.embed_images(std::slice::from_ref(tensor)).expect("one picture");
        assert_same(&alone[0], &batch[i], "batch equals single");
        assert_same(&backwards[2 - i], &batch[i], "output is in input order");
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let again = encoder.embed_images(&tensors).expect("from many threads");
                again.iter().zip(&batch).for_each(|(a, b)| assert_same(a, b, "threads agree"));
            });
        }
    });
}

/// Checks the contract of [`TextEncoder`].
///
/// # Panics
/// With the clause that is broken.
pub fn check_text_encoder(encoder: &dyn TextEncoder) {
    assert!(encoder.embed_texts(&[]).expect("an empty batch is fine").is_empty());
    let long = "a very long sentence about a red house ".repeat(400);
    let texts = ["", "red", "a photo of a blue car", "Köln 東京 🚀\u{0}\n", long.as_str()];
    let batch = encoder.embed_texts(&texts).expect("any string is valid");
    assert_unit(&batch, encoder.space(), texts.len());
    for (text, from_batch) in texts.iter().zip(&batch) {
        let alone = encoder.embed_texts(&[text]).expect("one text");
        let start: String = text.chars().take(20).collect();
        assert_same(&alone[0], from_batch, &format!("padding does not matter to {start:?}"));
    }
    assert!(
        batch[1].cosine(&batch[2]).expect("one space") < SAME,
        "different texts have different embeddings"
    );
}

/// Checks that two towers share one space.
///
/// # Panics
/// If they do not.
pub fn check_pair(images: &dyn ImageEncoder, texts: &dyn TextEncoder) {
    assert_eq!(images.space(), texts.space(), "both towers end in one space");
}
