//! Given what the base says of pictures and texts, where does training start?

use std::collections::HashMap;

use ndarray::{Array2, Axis};

use super::error::JobError;
use super::supply::{ImageInputs, TextInputs, joined};
use crate::config::Config;
use crate::data::{FeatureTable, TextTable};
use crate::start::{Correct, Start};

/// The inputs as a correction of the start is trained on them: whitened features
/// in place of the base's, the start in place of what is added to, and texts in
/// the start's space. Without `[start]` they stay as they are.
///
/// # Errors
/// `Start` as it says.
pub(super) fn begin(
    config: &Config,
    images: ImageInputs,
    texts: TextInputs,
    table: &TextTable,
    train: &[usize],
    groups: &[u32],
) -> Result<(ImageInputs, TextInputs, Option<Start>), JobError> {
    let Some(options) = config.start.options() else { return Ok((images, texts, None)) };
    let (
        ImageInputs::Features { base, features, views },
        TextInputs::Features { base: text_base, layers, rows },
    ) = (images, texts)
    else {
        unreachable!("the recipe was checked: a start needs heads on both sides")
    };
    let stride = 1 + views as usize;
    let plain: Vec<usize> = train.iter().map(|&picture| picture * stride).collect();
    let targets = targets(&rows, table, train, config.start.keywords);
    let captions: Vec<usize> =
        train.iter().filter_map(|&i| table.caption(i)).map(|row| row as usize).collect();
    // Pictures with keywords alone: the space is that of all texts.
    let captions = if captions.is_empty() { (0..rows.len()).collect() } else { captions };
    let raw = joined(&features, &plain).expect("the recipe was checked: it names features");
    let based = base.as_ref().map(|table| table.gather(&plain));
    let start = Start::fit(
        raw.view(),
        based.as_ref().map(|b| b.view()),
        targets.view(),
        rows.gather(&captions).view(),
        options,
    )?;
    let weights = match config.start.folds {
        0 => Vec::new(),
        parts => {
            let folds = folds(train, groups, parts);
            let z = start.features(raw.view());
            let based = based.as_ref().map(|b| b.view());
            start.without(z.view(), based, targets.view(), &folds)?
        }
    };
    let fold_of: HashMap<usize, u32> = match weights.is_empty() {
        true => HashMap::new(),
        false => train.iter().copied().zip(folds(train, groups, weights.len())).collect(),
    };
    drop((raw, based));

    let all = features.first().map_or(0, FeatureTable::len);
    let width: usize = features.iter().map(FeatureTable::width).sum();
    let kept = if options.correct == Correct::Features { all } else { 0 };
    let mut whitened = Array2::zeros((kept, width));
    let mut starts = Array2::zeros((all, start.dim()));
    let places: Vec<usize> = (0..all).collect();
    for (i, part) in places.chunks(4096).enumerate() {
        let raw = joined(&features, part).expect("as before");
        let z = start.features(raw.view());
        let based = base.as_ref().map(|table| table.gather(part));
        let based = based.as_ref().map(|b| b.view());
        let mut from = start.images(z.view(), based);
        for (fold, weight) in weights.iter().enumerate() {
            let own = |k: &usize| fold_of.get(&(part[*k] / stride)) == Some(&(fold as u32));
            let own: Vec<usize> = (0..part.len()).filter(own).collect();
            let base = based.map(|b| b.select(Axis(0), &own));
            let other = start.images_by(
                weight,
                z.select(Axis(0), &own).view(),
                base.as_ref().map(|b| b.view()),
            );
            own.iter().zip(other.rows()).for_each(|(&k, row)| from.row_mut(k).assign(&row));
        }
        let rows = ndarray::Slice::from(i * 4096..i * 4096 + part.len());
        if kept > 0 {
            whitened.slice_axis_mut(Axis(0), rows).assign(&z);
        }
        starts.slice_axis_mut(Axis(0), rows).assign(&from);
    }
    let every: Vec<usize> = (0..rows.len()).collect();
    let turned = start.texts(rows.gather(&every).view());
    let images = ImageInputs::Features {
        base: Some(FeatureTable::from_rows(&starts)),
        features: vec![FeatureTable::from_rows(match options.correct {
            Correct::Embedding => &starts,
            Correct::Features => &whitened,
        })],
        views,
    };
    let rows = FeatureTable::from_rows(&turned);
    Ok((images, TextInputs::Features { base: text_base, layers, rows }, Some(start)))
}

/// Whole groups in `parts` parts of about one size: the largest groups first, each
/// into the part that has least.
fn folds(train: &[usize], groups: &[u32], parts: usize) -> Vec<u32> {
    let mut sizes: HashMap<u32, usize> = HashMap::new();
    train.iter().for_each(|&i| *sizes.entry(groups[i]).or_default() += 1);
    let mut order: Vec<(u32, usize)> = sizes.into_iter().collect();
    order.sort_by_key(|&(group, size)| (std::cmp::Reverse(size), group));
    let mut filled = vec![0usize; parts];
    let mut of: HashMap<u32, u32> = HashMap::new();
    for (group, size) in order {
        let part = (0..parts).min_by_key(|&part| filled[part]).unwrap_or(0);
        filled[part] += size;
        of.insert(group, part as u32);
    }
    train.iter().map(|&i| of[&groups[i]]).collect()
}

/// Where each picture should lie: at its caption plus `keywords` times the mean of
/// its keywords, at unit length. One without caption lies at its keywords alone.
fn targets(rows: &FeatureTable, table: &TextTable, train: &[usize], keywords: f32) -> Array2<f32> {
    let mut out = Array2::zeros((train.len(), rows.width()));
    for (mut to, &picture) in out.rows_mut().into_iter().zip(train) {
        let caption = table.caption(picture);
        if let Some(row) = caption {
            to += &rows.gather(&[row as usize]).row(0);
        }
        let words: Vec<usize> = table.keywords(picture).iter().map(|&r| r as usize).collect();
        let weight = if caption.is_some() { keywords } else { 1.0 };
        if !words.is_empty() && weight > 0.0 {
            let mean = rows.gather(&words).mean_axis(Axis(0)).expect("at least one keyword");
            to.scaled_add(weight, &mean);
        }
        let length = to.dot(&to).sqrt();
        if length > 0.0 {
            to /= length;
        }
    }
    out
}
