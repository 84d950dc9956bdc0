//! Given pictures with captions, which label templates and which scale give
//! honest probabilities? Zero-shot among a few random captions, many times;
//! the best are those with the least negative log likelihood.

use std::collections::BTreeSet;
use std::path::Path;

use ekphrasis_embed::{Embedding, ImageEncoder, dot};
use ekphrasis_models::{Model, Runtime};
use serde::Deserialize;

use super::parity::{label, tensor};
use crate::Result;

/// How many labels a trial offers.
const OFFERED: [usize; 3] = [4, 10, 20];
/// Trials a picture and number of labels.
const TRIALS: usize = 8;
const SEED: u64 = 20_260_101;
const SCALES: [f32; 16] =
    [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 28.0, 32.0, 40.0, 60.0, 100.0];
const TEMPLATES: [&[&str]; 5] = [
    &["{}"],
    &["a photo of a {}"],
    &["a picture of a {}"],
    &["{}", "a photo of a {}"],
    &["{}", "a photo of a {}", "a drawing of a {}"],
];

#[derive(Deserialize)]
struct Pair {
    path: String,
    caption: String,
    /// Absent in a file that is one split.
    split: Option<String>,
}

/// Prints a line for each set of templates.
pub(super) fn run(model: &Model, runtime: &Runtime, pairs: &Path) -> Result<()> {
    let folder = pairs.parent().unwrap_or(Path::new("."));
    let texts = model.ort_text_encoder(runtime, 1)?;
    let images = model.ort_image_encoder(runtime, 1)?;
    let mut pictures = Vec::new();
    for line in fs_err::read_to_string(pairs)?.lines() {
        let pair: Pair =
            serde_json::from_str(line).map_err(|e| format!("{}: {e}", pairs.display()))?;
        if pair.split.is_none_or(|split| split == "val") {
            match tensor(&images, &folder.join(&pair.path)) {
                Ok(tensor) => {
                    let embedding = images.embed_images(&[tensor])?.remove(0);
                    pictures.push((embedding, pair.caption));
                }
                Err(e) => eprintln!("left out: {e}"),
            }
        }
    }
    let captions: Vec<String> =
        pictures.iter().map(|(_, c)| c.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if captions.len() < 2 * OFFERED[OFFERED.len() - 1] {
        let got = captions.len();
        return Err(format!("{}: only {got} distinct val captions", pairs.display()).into());
    }
    println!(
        "{} pictures, {} captions, {TRIALS} trials each among {OFFERED:?} labels, seed {SEED}",
        pictures.len(),
        captions.len()
    );
    for templates in TEMPLATES {
        let labels = captions
            .iter()
            .map(|caption| label(&texts, templates, caption))
            .collect::<Result<Vec<_>>>()?;
        let trials = trials(&pictures, &captions, &labels);
        let best = SCALES
            .iter()
            .map(|&scale| (nll(&trials, scale), scale))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .ok_or("no scales")?;
        let right = trials.iter().filter(|t| t[1..].iter().all(|&c| c < t[0])).count();
        println!(
            "{templates:?}: top-1 {:.3}, best scale {} (NLL {:.4}); {}",
            right as f64 / trials.len() as f64,
            best.1,
            best.0,
            SCALES.map(|s| format!("{s}: {:.3}", nll(&trials, s))).join(", ")
        );
    }
    Ok(())
}

/// Cosines of each trial, the true label's first.
fn trials(
    pictures: &[(Embedding, String)],
    captions: &[String],
    labels: &[Embedding],
) -> Vec<Vec<f32>> {
    let mut random = SEED;
    let mut all = Vec::new();
    for (picture, caption) in pictures {
        let own = captions.binary_search(caption).unwrap_or(0);
        for count in OFFERED {
            for _ in 0..TRIALS {
                let mut chosen = vec![own];
                while chosen.len() < count {
                    let next = (split_mix(&mut random) % captions.len() as u64) as usize;
                    if !chosen.contains(&next) {
                        chosen.push(next);
                    }
                }
                let cosine = |&i: &usize| dot(picture.values(), labels[i].values());
                all.push(chosen.iter().map(cosine).collect());
            }
        }
    }
    all
}

/// The mean of −ln p(true label) with p = softmax(scale · cosine).
fn nll(trials: &[Vec<f32>], scale: f32) -> f64 {
    let one = |cosines: &Vec<f32>| {
        let logits = || cosines.iter().map(|&c| f64::from(c * scale));
        let most = logits().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logits().map(|l| (l - most).exp()).sum();
        most + total.ln() - f64::from(cosines[0] * scale)
    };
    trials.iter().map(one).sum::<f64>() / trials.len() as f64
}

/// The SplitMix64 generator.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihood_of_known_trials() {
        // Two labels a cosine of 0.1 apart at scale 10: p = 1 / (1 + 1/e).
        let trials = vec![vec![0.3, 0.2]];
        assert!((nll(&trials, 10.0) - (1.0 + (-1f64).exp()).ln()).abs() < 1e-6);
        // A right answer gains from a larger scale, a wrong one loses.
        assert!(nll(&trials, 20.0) < nll(&trials, 10.0));
        assert!(nll(&[vec![0.2, 0.3]], 20.0) > nll(&[vec![0.2, 0.3]], 10.0));
    }
}
