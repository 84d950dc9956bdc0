//! Given a model as it will be loaded, does it compute what the trainer computed?

use ekphrasis_embed::{Embedding, EncodeError, ImageEncoder, ImageTensor, TextEncoder, dot};

use super::error::ExportError;

/// The largest difference of a number of an embedding that is allowed between
/// trainer and runtime, and between a sample alone and in a batch. It does not
/// depend on how weights are stored: the trainer computes with what is stored.
pub const TOLERANCE: f32 = 1e-4;

/// How many best hits have to be the same.
const TOP: usize = 10;
/// How many samples are also run alone.
const ALONE: usize = 4;

/// What the trainer computed for some pictures and texts, with the weights as they
/// are stored (see [`rounded_head`](super::rounded_head)).
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Pictures, as the tower takes them; at least two.
    pub images: &'a [ImageTensor],
    /// The trainer's embeddings of them, row by row.
    pub image_rows: &'a [f32],
    /// Texts; at least two.
    pub texts: &'a [&'a str],
    /// The trainer's embeddings of them, row by row.
    pub text_rows: &'a [f32],
}

/// How well trainer and runtime agree on one tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// How many pictures or texts.
    pub samples: usize,
    /// max |Δ| over all numbers of all embeddings.
    pub largest: f32,
    /// The least cosine between both embeddings of a sample.
    pub cosine: f32,
    /// max |Δ| between a sample alone and in the batch.
    pub batch: f32,
}

/// How well trainer and runtime agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parity {
    /// The picture encoder.
    pub image: Agreement,
    /// The text encoder.
    pub text: Agreement,
    /// How many queries had hits change places among equals (cosines that differ by
    /// at most twice [`TOLERANCE`]), of all pictures and texts as queries.
    pub near_ties: usize,
}

/// # Errors
/// `Samples`, `Parity`, `Batch`, `TopK` as they say; `Encode` if the runtime fails.
pub(super) fn check(
    images: &dyn ImageEncoder,
    texts: &dyn TextEncoder,
    samples: &Samples<'_>,
) -> Result<Parity, ExportError> {
    let dim = images.space().dim();
    let (image, image_got) = agree("image", samples.images, samples.image_rows, dim, &|batch| {
        images.embed_images(batch)
    })?;
    let (text, text_got) =
        agree("text", samples.texts, samples.text_rows, dim, &|batch| texts.embed_texts(batch))?;
    let mut near_ties = 0;
    let want = [samples.image_rows, samples.text_rows];
    let got = [image_got.as_slice(), text_got.as_slice()];
    for (direction, [from, to]) in [("image to text", [0, 1]), ("text to image", [1, 0])] {
        near_ties += same_hits(
            direction,
            [want[from], want[to]],
            [got[from], got[to]],
            dim,
            2.0 * TOLERANCE,
        )?;
    }
    Ok(Parity { image, text, near_ties })
}

/// A tower, as something that embeds.
type Embed<'a, T> = dyn Fn(&[T]) -> Result<Vec<Embedding>, EncodeError> + 'a;

fn agree<T>(
    tower: &'static str,
    samples: &[T],
    rows: &[f32],
    dim: usize,
    embed: &Embed<'_, T>,
) -> Result<(Agreement, Vec<f32>), ExportError> {
    if samples.len() < 2 || rows.len() != samples.len() * dim {
        return Err(ExportError::Samples {
            tower,
            expected: format!("at least 2 samples with {dim} numbers each"),
            got: format!("{} samples, {} numbers", samples.len(), rows.len()),
        });
    }
    let got = values(&embed(samples)?);
    let (at, largest) = largest(rows, &got);
    if over(largest, TOLERANCE) {
        return Err(ExportError::Parity {
            tower,
            largest,
            tolerance: TOLERANCE,
            sample: at / dim,
            number: at % dim,
            expected: rows[at],
            got: got[at],
        });
    }
    let cosines = rows.chunks(dim).zip(got.chunks(dim)).map(|(a, b)| dot(a, b));
    let cosine = cosines.fold(f32::INFINITY, f32::min);
    let mut batch = 0f32;
    for sample in 0..samples.len().min(ALONE) {
        let alone = values(&embed(&samples[sample..=sample])?);
        let (_, difference) = self::largest(&alone, &got[sample * dim..(sample + 1) * dim]);
        if over(difference, TOLERANCE) {
            let largest = difference;
            return Err(ExportError::Batch { tower, sample, largest, tolerance: TOLERANCE });
        }
        batch = batch.max(difference);
    }
    Ok((Agreement { samples: samples.len(), largest, cosine, batch }, got))
}

fn values(embeddings: &[Embedding]) -> Vec<f32> {
    embeddings.iter().flat_map(|e| e.values().iter().copied()).collect()
}

/// Whether a difference is too large. A NaN is over any tolerance.
fn over(difference: f32, tolerance: f32) -> bool {
    difference.is_nan() || difference > tolerance
}

/// Where two lists differ most, and by how much; NaN counts as most.
fn largest(a: &[f32], b: &[f32]) -> (usize, f32) {
    let differences = a.iter().zip(b).map(|(x, y)| (x - y).abs());
    differences.enumerate().max_by(|x, y| x.1.total_cmp(&y.1)).unwrap_or((0, 0.0))
}

/// How many queries had near ties change places; an error if others did.
fn same_hits(
    direction: &'static str,
    want: [&[f32]; 2],
    got: [&[f32]; 2],
    dim: usize,
    allowed: f32,
) -> Result<usize, ExportError> {
    let best = |query: &[f32], items: &[f32]| {
        let scores: Vec<f32> = items.chunks(dim).map(|item| dot(query, item)).collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order.truncate(TOP);
        (order, scores)
    };
    let mut near = 0;
    for (query, (a, b)) in want[0].chunks(dim).zip(got[0].chunks(dim)).enumerate() {
        let (expected, scores) = best(a, want[1]);
        let (got, _) = best(b, got[1]);
        // Whoever stands at a place may only be one that scores as the rightful one.
        let gaps = expected.iter().zip(&got).map(|(&e, &g)| (scores[e] - scores[g]).abs());
        let gap = gaps.fold(0f32, f32::max);
        if gap > allowed {
            let k = expected.len();
            return Err(ExportError::TopK { direction, query, k, expected, got, gap, allowed });
        }
        near += usize::from(expected != got);
    }
    Ok(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hits_may_change_places_and_others_not() {
        let want = [&[1.0, 0.0][..], &[0.9, 0.1, 0.900_01, 0.2, 0.1, 0.9][..]];
        let swapped = [&[1.0, 0.0][..], &[0.900_01, 0.1, 0.9, 0.2, 0.1, 0.9][..]];
        assert_eq!(same_hits("image to text", want, want, 2, 1e-4).expect("the same"), 0);
        assert_eq!(same_hits("image to text", want, swapped, 2, 1e-4).expect("a near tie"), 1);
        let wrong = [&[1.0, 0.0][..], &[0.1, 0.1, 0.9, 0.2, 0.8, 0.9][..]];
        let error = same_hits("image to text", want, wrong, 2, 1e-4).expect_err("another order");
        let text = error.to_string();
        assert!(text.contains("[1, 0, 2]") || text.contains("[2, 0, 1]"), "{text}");
    }

    #[test]
    fn not_a_number_is_the_largest_difference() {
        assert!(largest(&[1.0, 2.0], &[1.5, f32::NAN]).1.is_nan());
        assert_eq!(largest(&[1.0, 2.0], &[1.5, 2.25]), (0, 0.5));
    }
}
