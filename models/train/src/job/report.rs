//! Given a finished run, what does its report say? Fills in [`crate::report`]'s
//! plain data: scores, similarities, hits before and after on held-out pictures.

use std::collections::BTreeSet;
use std::time::Duration;

use ndarray::Array2;
use rand::seq::SliceRandom;

use super::prepare::{Job, Prepared};
use crate::export::Published;
use crate::nn::{Purpose, rng_for};
use crate::report::{
    Change, DataSet, Direction, EpochLine, Example, Exported, Figure, Finding, Hit, Picture,
    Report, Separation, Shown, Split, Way,
};
use crate::run::{self, EpochRecord, Outcome, Score, Supply, embed};

/// Hits shown of each query.
const HITS: usize = 5;
/// Queries shown each way.
const QUERIES: usize = 6;

/// What is known of a run once it has ended.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) prepared: &'a Prepared,
    /// What the kept model, as it is stored, makes of the held-out pictures and
    /// captions; none without any.
    pub(super) embedded: Option<(Array2<f32>, Option<Array2<f32>>)>,
    pub(super) name: &'a str,
    pub(super) outcome: Outcome,
    pub(super) history: &'a [EpochRecord],
    pub(super) best_epoch: Option<u64>,
    pub(super) before: Option<Score>,
    pub(super) after: Option<Score>,
    pub(super) published: &'a Published,
    pub(super) took: Duration,
}

/// The report of a run.
pub(super) fn of(run: &Run<'_>) -> Report {
    let Run { job, prepared, .. } = run;
    let config = &job.config;
    let held = prepared.supply.held_out();
    let texts = !held.captions.is_empty();
    let findings: BTreeSet<&String> = run.history.iter().flat_map(|r| r.findings.keys()).collect();
    let mut report = Report {
        title: run.name.to_owned(),
        model: config.sides(job.base.space().id()),
        loss: config.loss.name().to_owned(),
        data: DataSet {
            source: format!("data {:.12}", prepared.data),
            pairs: prepared.examples.iter().map(|e| e.captions.len().max(1)).sum(),
            pictures: prepared.examples.len(),
            groups: prepared.supply.groups().iter().collect::<BTreeSet<_>>().len(),
            splits: vec![
                split(run, "training", prepared.supply.train()),
                split(run, "validation", &held.pictures),
            ],
        },
        config: config.write(),
        epochs: run.history.iter().map(line).collect(),
        best_epoch: run.best_epoch,
        ending: match run.outcome {
            Outcome::Early => "It stopped early: the score had not risen for a while.".into(),
            _ => "It went through all epochs.".into(),
        },
        measured_on: "the validation part, which the kept weights were chosen by".into(),
        intervals:
            "Intervals are Wilson's at 95 %, which take queries to be independent; where one \
                    thing is asked about several times they are too narrow."
                .into(),
        findings: findings
            .into_iter()
            .map(|text| match text.split_once("; ") {
                Some((what, advice)) => {
                    Finding { what: what.to_owned(), advice: advice.to_owned() }
                }
                None => Finding { what: text.clone(), advice: String::new() },
            })
            .collect(),
        export: Some(exported(run)),
        seconds: run.took.as_secs_f64(),
        seed: config.seed,
        threads: job.threads,
        ..Report::default()
    };
    if let (Some(before), Some(after)) = (run.before, run.after) {
        report.scores = scores(&before, &after);
    }
    let Some(last) = &run.embedded else { return report };
    let first = embed(&prepared.model, &prepared.supply);
    if texts && let ((bi, Some(bt)), (ai, Some(at))) = (first, last) {
        let part = |i: &Array2<f32>, t: &Array2<f32>| separation(i, t, &held.captions_of);
        report.similarity = Some((part(&bi, &bt), part(ai, at)));
        report.examples = examples(run, [&bi, &bt], [ai, at]);
        report.examples_chosen = format!("Drawn at random among them, seed {}.", config.seed);
    }
    report
}

fn split(run: &Run<'_>, name: &str, places: &[usize]) -> Split {
    let groups = run.prepared.supply.groups();
    Split {
        name: name.to_owned(),
        pairs: places.iter().map(|&p| run.prepared.examples[p].captions.len().max(1)).sum(),
        pictures: places.len(),
        groups: places.iter().map(|&p| groups[p]).collect::<BTreeSet<_>>().len(),
    }
}

fn line(record: &EpochRecord) -> EpochLine {
    let note = |name: &str| record.notes.get(name).copied();
    let ways = record.score.map(|s| {
        [
            (Way::TextToPicture, s.text_to_image),
            (Way::PictureToText, s.image_to_text),
            (Way::PictureToPicture, s.image_to_image),
        ]
    });
    let recalls = ways
        .into_iter()
        .flatten()
        .filter_map(|(way, d)| d.map(|d| (way, [d.recall_at_1, d.recall_at_5, d.recall_at_10])));
    EpochLine {
        epoch: record.epoch,
        step: record.step,
        loss: record.loss,
        recalls: recalls.collect(),
        rsum: record.rsum,
        rate: Some(record.rate),
        active: note("active"),
        positive: note("positive"),
        negative: note("negative"),
        seconds: record.seconds,
    }
}

fn scores(before: &Score, after: &Score) -> Vec<Direction> {
    let ways = [
        (Way::TextToPicture, before.text_to_image, after.text_to_image),
        (Way::PictureToText, before.image_to_text, after.image_to_text),
        (Way::PictureToPicture, before.image_to_image, after.image_to_image),
    ];
    let one = |(way, before, after): (Way, Option<run::Direction>, Option<run::Direction>)| {
        let (b, a) = (before?, after?);
        let share = |of: fn(&run::Direction) -> f64| Change::shares(of(&b), of(&a), a.queries);
        let rank = |d: run::Direction| Some(Figure::plain(d.median_rank as f64));
        Some(Direction {
            way,
            queries: a.queries,
            candidates: a.candidates,
            recall: [share(|d| d.recall_at_1), share(|d| d.recall_at_5), share(|d| d.recall_at_10)],
            median_rank: Change { before: rank(b), after: rank(a) },
        })
    };
    ways.into_iter().filter_map(one).collect()
}

fn exported(run: &Run<'_>) -> Exported {
    let parity = &run.published.parity;
    Exported {
        folder: run.published.model.dir().display().to_string(),
        space: run.published.model.space().id().to_owned(),
        pair: run.published.pair.clone(),
        dim: run.published.model.space().dim(),
        margin: run.job.config.loss.margin(),
        parity: f64::from(parity.image.largest.max(parity.text.largest)),
    }
}

/// Cosines of pictures with their own captions, and with the others'.
fn separation(images: &Array2<f32>, texts: &Array2<f32>, own: &[Vec<usize>]) -> Separation {
    let s = images.dot(&texts.t());
    let mut out = Separation::default();
    for (row, own) in s.outer_iter().zip(own) {
        for (j, &v) in row.iter().enumerate() {
            let to = if own.contains(&j) { &mut out.positive } else { &mut out.negative };
            to.add(f64::from(v));
        }
    }
    out
}

/// A few queries each way, with their hits.
fn examples(run: &Run<'_>, before: [&Array2<f32>; 2], after: [&Array2<f32>; 2]) -> Vec<Example> {
    let held = run.prepared.supply.held_out();
    let examples = &run.prepared.examples;
    let texts = run.prepared.supply.texts();
    let picture = |place: usize| {
        let example = &examples[held.pictures[place]];
        // A thumbnail that cannot be made is a picture less on a page, and no more.
        let bytes = fs_err::read(&example.path).ok();
        let pixels = bytes.and_then(|b| ekphrasis_models::decode(&b).ok());
        let picture = pixels.and_then(|d| Picture::thumbnail(&d.pixels).ok());
        Shown { picture, caption: example.captions.first().cloned().unwrap_or_default() }
    };
    let words =
        |place: usize| Shown { picture: None, caption: texts[held.captions[place]].clone() };
    let of_caption = |caption: usize| -> Vec<usize> {
        (0..held.pictures.len()).filter(|&p| held.captions_of[p].contains(&caption)).collect()
    };
    let mut rng = rng_for(run.job.config.seed, Purpose::Examples, 0);
    let mut drawn = |count: usize| -> Vec<usize> {
        let mut places: Vec<usize> = (0..count).collect();
        places.shuffle(&mut rng);
        places.truncate(QUERIES);
        places
    };
    let mut out = Vec::new();
    for caption in drawn(held.captions.len()) {
        let own = of_caption(caption);
        if own.is_empty() {
            continue;
        }
        let hits =
            |[i, t]: [&Array2<f32>; 2]| ranked(t.row(caption).dot(&i.t()).to_vec(), &own, &picture);
        let ((b, rb), (a, ra)) = (hits(before), hits(after));
        let way = Way::TextToPicture;
        out.push(Example {
            way,
            query: words(caption),
            before: b,
            after: a,
            rank_before: rb,
            rank_after: ra,
        });
    }
    for place in drawn(held.pictures.len()) {
        let own = &held.captions_of[place];
        if own.is_empty() {
            continue;
        }
        let hits =
            |[i, t]: [&Array2<f32>; 2]| ranked(i.row(place).dot(&t.t()).to_vec(), own, &words);
        let ((b, rb), (a, ra)) = (hits(before), hits(after));
        let way = Way::PictureToText;
        out.push(Example {
            way,
            query: picture(place),
            before: b,
            after: a,
            rank_before: rb,
            rank_after: ra,
        });
    }
    out
}

/// The best hits, and the rank of the first right one, ties against it.
fn ranked(
    scores: Vec<f32>,
    own: &[usize],
    show: &dyn Fn(usize) -> Shown,
) -> (Vec<Hit>, Option<usize>) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let best = own.iter().map(|&o| scores[o]).max_by(f32::total_cmp);
    let rank = best.map(|best| {
        1 + (0..scores.len()).filter(|j| !own.contains(j) && scores[*j] >= best).count()
    });
    let hits = order.into_iter().take(HITS).map(|place| Hit {
        shown: show(place),
        score: f64::from(scores[place]),
        right: own.contains(&place),
    });
    (hits.collect(), rank)
}
