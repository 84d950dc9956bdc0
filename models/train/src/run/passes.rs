//! Given a tower and a batch, how do embeddings and gradients come about where a
//! record of the whole batch does not fit into memory? In parts, each of which goes
//! through the tower twice.

use std::ops::Range;

use ndarray::{Array2, Axis, concatenate, s};
use rand_pcg::Pcg64;

use crate::nn::{Fed, Forward, Gradient, Params, TokenBatch, Tower, backward, forward};

/// A tower's side of a step: first the embeddings, then, once the loss has said what
/// it wants of them, the gradients.
///
/// In parts, the record of a part is dropped once its embeddings are known, and made
/// again for its gradients: the loss and the gradients are those of the whole batch,
/// for one more pass through the tower and the memory of one part. (Not under batch
/// norm, whose statistics would be those of a part.)
///
/// # Source
/// Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup".
pub(super) struct Passes<'a> {
    tower: &'a Tower,
    embeddings: Array2<f32>,
    lengths: Vec<f32>,
    waiting: Waiting<'a>,
}

enum Waiting<'a> {
    /// The whole batch.
    Whole(Forward),
    /// Parts that go through again.
    Parts { fed: Fed, parts: Vec<Range<usize>>, rng: &'a dyn Fn(u64) -> Pcg64 },
}

impl<'a> Passes<'a> {
    /// Runs the batch through the tower, at most `chunk` rows at a time. `rng` gives
    /// the numbers that a part drops by, from the part's number: the same each time.
    pub(super) fn new(
        tower: &'a Tower,
        params: &Params,
        fed: Fed,
        chunk: Option<usize>,
        rng: &'a dyn Fn(u64) -> Pcg64,
    ) -> Self {
        let rows = rows(&fed);
        let chunk = chunk.unwrap_or(rows).max(1);
        if rows <= chunk {
            let pass = forward(tower, params, fed, rng(0));
            let (embeddings, lengths) = (pass.embeddings(), pass.lengths());
            return Self { tower, embeddings, lengths, waiting: Waiting::Whole(pass) };
        }
        let parts: Vec<Range<usize>> =
            (0..rows).step_by(chunk).map(|at| at..(at + chunk).min(rows)).collect();
        let (mut each, mut lengths) = (Vec::with_capacity(parts.len()), Vec::with_capacity(rows));
        for (i, range) in parts.iter().enumerate() {
            let pass = forward(tower, params, part(&fed, range.clone()), rng(i as u64));
            each.push(pass.embeddings());
            lengths.extend(pass.lengths());
        }
        let views: Vec<_> = each.iter().map(|e| e.view()).collect();
        let embeddings = concatenate(Axis(0), &views).expect("embeddings of one width");
        Self { tower, embeddings, lengths, waiting: Waiting::Parts { fed, parts, rng } }
    }

    /// rows × dim, of unit length.
    pub(super) fn embeddings(&self) -> &Array2<f32> {
        &self.embeddings
    }

    /// How long each row was before.
    pub(super) fn lengths(&self) -> &[f32] {
        &self.lengths
    }

    /// The gradient of each parameter, by place. Moves running statistics in `params`,
    /// which are otherwise those of [`Self::new`].
    pub(super) fn backward(self, gradient: Gradient, params: &mut Params) -> Vec<Option<Vec<f32>>> {
        let (fed, parts, rng) = match self.waiting {
            Waiting::Whole(pass) => return backward(pass, gradient, params),
            Waiting::Parts { fed, parts, rng } => (fed, parts, rng),
        };
        let mut sum: Vec<Option<Vec<f32>>> = Vec::new();
        for (i, range) in parts.into_iter().enumerate() {
            let own = Gradient {
                embeddings: gradient.embeddings.slice(s![range.clone(), ..]).to_owned(),
                lengths: gradient.lengths.as_ref().map(|all| all[range.clone()].to_vec()),
            };
            let pass = forward(self.tower, params, part(&fed, range), rng(i as u64));
            let found = backward(pass, own, params);
            if sum.is_empty() {
                sum = found;
                continue;
            }
            for (sum, found) in sum.iter_mut().zip(found) {
                match (sum.as_mut(), found) {
                    (Some(sum), Some(found)) => {
                        sum.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
                    }
                    (None, found) => *sum = found,
                    (Some(_), None) => {}
                }
            }
        }
        sum
    }
}

fn rows(fed: &Fed) -> usize {
    match fed {
        Fed::Rows { base, features } => {
            base.as_ref().or(features.as_ref()).map_or(0, Array2::nrows)
        }
        Fed::Pictures(pictures) => pictures.len_of(Axis(0)),
        Fed::Tokens(tokens) => tokens.ids.nrows(),
    }
}

fn part(fed: &Fed, range: Range<usize>) -> Fed {
    let rows = |all: &Array2<f32>| all.slice(s![range.clone(), ..]).to_owned();
    match fed {
        Fed::Rows { base, features } => {
            Fed::Rows { base: base.as_ref().map(rows), features: features.as_ref().map(rows) }
        }
        Fed::Pictures(pictures) => Fed::Pictures(pictures.slice(s![range, .., .., ..]).to_owned()),
        Fed::Tokens(tokens) => Fed::Tokens(TokenBatch {
            ids: tokens.ids.slice(s![range.clone(), ..]).to_owned(),
            mask: rows(&tokens.mask),
        }),
    }
}
