//! A run as it could be, with pictures of the gallery; every figure is made up.

use std::path::Path;

use ekphrasis_embed::Pixels;

use crate::report::*;

const SHOWN: [(&str, &str); 12] = [
    ("0013.png", "a lighthouse"),
    ("0009.png", "cherries"),
    ("0022.png", "a raccoon"),
    ("0015.png", "a flamingo"),
    ("0026.jpg", "a giant panda"),
    ("0008.jpg", "Chesterton windmill, a stone windmill on arches"),
    ("0003.jpg", "a painting of daffodils in a bowl"),
    ("0011.png", "the head of a wolf"),
    ("0019.png", "the planet Saturn"),
    ("0025.png", "a blue whale"),
    ("0018.png", "a wooden chair"),
    ("0006.png", "a pineapple"),
];

fn shown(gallery: &Path, number: usize) -> Shown {
    let (file, caption) = SHOWN[number % SHOWN.len()];
    let bytes = fs_err::read(gallery.join(file)).unwrap();
    let mut picture = image::load_from_memory(&bytes).unwrap().to_rgba8();
    for pixel in picture.pixels_mut() {
        let alpha = u32::from(pixel[3]);
        (0..3).for_each(|c| {
            pixel[c] = ((u32::from(pixel[c]) * alpha + 255 * (255 - alpha)) / 255) as u8;
        });
    }
    let rgb = image::DynamicImage::from(picture).to_rgb8();
    let pixels = Pixels::new(rgb.width(), rgb.height(), rgb.into_raw()).unwrap();
    Shown { picture: Some(Picture::thumbnail(&pixels).unwrap()), caption: caption.into() }
}

fn hits(gallery: &Path, query: usize, order: [usize; 5]) -> Vec<Hit> {
    let hit = |(i, n): (usize, usize)| Hit {
        shown: shown(gallery, n),
        score: 0.52 - 0.06 * i as f64,
        right: n == query,
    };
    order.into_iter().enumerate().map(hit).collect()
}

fn example(gallery: &Path, query: usize, before: [usize; 5], after: [usize; 5]) -> Example {
    let rank = |order: [usize; 5]| order.iter().position(|&n| n == query).map_or(23, |p| p + 1);
    Example {
        way: Way::TextToPicture,
        query: Shown { picture: None, caption: SHOWN[query].1.into() },
        before: hits(gallery, query, before),
        after: hits(gallery, query, after),
        rank_before: Some(rank(before)),
        rank_after: Some(rank(after)),
    }
}

fn bell(middle: f64, width: f64) -> Histogram {
    let at = |i: i32| middle + width * (f64::from(i) / 500.0 * 0.98).atanh() * 0.8;
    (-500..=500).map(at).collect()
}

fn epoch(number: u64) -> EpochLine {
    let t = number as f64;
    let grown = |low: f64, high: f64| high - (high - low) * (-t / 4.0).exp() - 0.0003 * t * t;
    let text = [grown(0.02, 0.15), grown(0.06, 0.33), grown(0.1, 0.44)];
    let picture = [grown(0.015, 0.13), grown(0.05, 0.31), grown(0.09, 0.43)];
    EpochLine {
        epoch: number,
        step: 64 * number,
        loss: (number > 0).then(|| 0.11 + 0.3 * (-t / 5.0).exp()),
        rsum: Some(text.iter().chain(&picture).map(|r| 100.0 * r).sum()),
        recalls: vec![(Way::TextToPicture, text), (Way::PictureToText, picture)],
        rate: (number > 0).then(|| 1e-3 * (t / 3.0).min(1.0) * (1.0 + (t / 7.0).cos()) / 2.0),
        active: (number > 0).then(|| 0.2 + 0.7 * (-t / 6.0).exp()),
        positive: (number > 0).then(|| grown(0.1, 0.5)),
        negative: (number > 0).then(|| 0.08 * (-t / 3.0).exp()),
        seconds: 2.9,
    }
}

pub(super) fn report(gallery: &Path) -> Report {
    let direction = |way, recalls: [(f64, f64); 3], ranks: (f64, f64)| Direction {
        way,
        queries: 512,
        candidates: 512,
        recall: recalls.map(|(b, a)| Change::shares(b, a, 512)),
        median_rank: Change {
            before: Some(Figure::plain(ranks.0)),
            after: Some(Figure::plain(ranks.1)),
        },
    };
    let mut by_picture = example(gallery, 9, [4, 8, 10, 0, 3], [3, 4, 9, 2, 7]);
    by_picture.way = Way::PictureToText;
    by_picture.query = shown(gallery, 9);
    by_picture.before.iter_mut().chain(&mut by_picture.after).for_each(|h| h.shown.picture = None);
    Report {
        title: "Sample run (made-up figures)".into(),
        model: "one head a side on the frozen encoders of ‘lite’".into(),
        loss: "the bidirectional triplet loss (sum over semi-hard negatives, margin 0.2)".into(),
        data: DataSet {
            source: "pairs.csv".into(),
            pairs: 5120,
            pictures: 4096,
            groups: 2048,
            splits: [("training", 4096, 3278, 1640), ("validation", 512, 409, 204), ("test", 512, 409, 204)]
                .map(|(name, pairs, pictures, groups)| Split { name: name.into(), pairs, pictures, groups })
                .into(),
        },
        config: "[loss]\nkind = \"bidirectional\"\nform = \"sum\"\nmargin = 0.2\n\n[optimiser]\nrate = 0.001\n".into(),
        epochs: (0..=16).map(epoch).collect(),
        best_epoch: Some(12),
        ending: "Stopped early: the sum of recalls had not risen for 4 epochs.".into(),
        measured_on: "the test split, by which nothing was chosen".into(),
        intervals: "Intervals: Wilson’s, 95 %, queries taken as independent.".into(),
        scores: vec![
            direction(Way::TextToPicture, [(0.021, 0.142), (0.07, 0.326), (0.111, 0.431)], (96.0, 15.0)),
            direction(Way::PictureToText, [(0.018, 0.129), (0.063, 0.309), (0.104, 0.428)], (104.0, 16.5)),
        ],
        similarity: Some((
            Separation { positive: bell(0.14, 0.08), negative: bell(0.06, 0.07) },
            Separation { positive: bell(0.46, 0.11), negative: bell(0.03, 0.09) },
        )),
        findings: vec![Finding {
            what: "Possible false negatives in 14 batches.".into(),
            advice: "Some captions that count as wrong are nearer than the right one by far. Give pictures of one thing the same group.".into(),
        }],
        examples: vec![
            example(gallery, 0, [5, 10, 0, 6, 8], [0, 5, 10, 8, 6]),
            example(gallery, 2, [4, 7, 9, 3, 11], [2, 7, 4, 3, 9]),
            example(gallery, 11, [6, 1, 3, 8, 10], [1, 11, 6, 3, 8]),
            by_picture,
        ],
        examples_chosen: "Drawn at random from the test split, seed 7.".into(),
        export: Some(Exported {
            folder: "runs/sample/model".into(),
            space: "sample-256-2f6b".into(),
            pair: "9c1e5d0a77b4".into(),
            dim: 256,
            margin: Some(0.2),
            parity: 3.1e-6,
        }),
        seconds: 52.4,
        seed: 7,
        threads: 2,
    }
}
