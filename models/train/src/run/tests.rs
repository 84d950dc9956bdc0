//! The loop on made-up data: it learns, it stops and goes on to the same bits.

use std::sync::atomic::{AtomicBool, Ordering};

use ekphrasis_metric::loss::{Magnet, NPair, SmoothMax, Triplet};
use ekphrasis_metric::select::Selection;
use ekphrasis_metric::{Loss, MagnetOptions, MemoryOptions, ObjectiveOptions, Sides};
use ndarray::Array2;
use rand::RngExt;
use rand_pcg::Pcg64;

use super::*;
use crate::nn::{AdamWOptions, Base, Fed, Group, Params, Purpose, Tower, TowerBuilder, rng_for};

mod nothing;

/// Pictures and texts of a few concepts: noisy copies of hidden directions, seen
/// through two different fixed maps.
struct Made {
    images: Array2<f32>,
    texts: Array2<f32>,
    groups: Vec<u32>,
    /// By picture: those whose texts say nearly the same.
    near: Option<Vec<Vec<u32>>>,
    held: HeldOut,
    /// Whether the loss is told what belongs together.
    masked: bool,
}

const TRAIN: usize = 96;
const ALL: usize = 128;

impl Made {
    /// Three groups that the pictures do not show, so that they are taken for each other.
    fn grouped() -> Self {
        Self { groups: (0..ALL as u32).map(|i| i % 3).collect(), ..Self::new() }
    }

    /// Eight things, twelve pictures and texts of each to learn from; new pictures are to
    /// find the text of their thing.
    fn several(seed: u64, masked: bool) -> Self {
        let mut rng = rng_for(seed, Purpose::Initial, 1);
        let mut draw =
            |r: usize, c: usize| Array2::from_shape_fn((r, c), |_| rng.random::<f32>() * 2.0 - 1.0);
        let (things, a, b) = (draw(8, 8), draw(8, 12), draw(8, 10));
        let (noise_a, noise_b) = (draw(ALL, 12) * 1.6, draw(ALL, 10) * 1.6);
        let thing: Vec<usize> = (0..ALL).map(|i| i % 8).collect();
        let hidden = things.select(ndarray::Axis(0), &thing);
        let pictures: Vec<usize> = (TRAIN..ALL).collect();
        Self {
            images: hidden.dot(&a) + noise_a,
            texts: hidden.dot(&b) + noise_b,
            groups: thing.iter().map(|&t| t as u32).collect(),
            near: None,
            held: HeldOut {
                captions: (TRAIN..TRAIN + 8).collect(),
                captions_of: pictures.iter().map(|i| vec![i % 8]).collect(),
                same: pictures.iter().map(|i| (i % 8) as u32).collect(),
                pictures,
            },
            masked,
        }
    }

    fn new() -> Self {
        let mut rng = rng_for(5, Purpose::Initial, 1);
        let mut draw =
            |r: usize, c: usize| Array2::from_shape_fn((r, c), |_| rng.random::<f32>() * 2.0 - 1.0);
        let (hidden, a, b) = (draw(ALL, 8), draw(8, 12), draw(8, 10));
        let (noise_a, noise_b) = (draw(ALL, 12) * 0.1, draw(ALL, 10) * 0.1);
        let pictures: Vec<usize> = (TRAIN..ALL).collect();
        Self {
            images: hidden.dot(&a) + noise_a,
            texts: hidden.dot(&b) + noise_b,
            groups: (0..ALL as u32).collect(),
            near: None,
            held: HeldOut {
                captions: pictures.clone(),
                captions_of: (0..pictures.len()).map(|i| vec![i]).collect(),
                same: pictures.iter().map(|&i| i as u32).collect(),
                pictures,
            },
            masked: true,
        }
    }
}

impl Supply for Made {
    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>, String> {
        let train: Vec<usize> = (0..TRAIN).collect();
        Ok(crate::data::shuffled(&train, 32, 1, epoch))
    }

    fn batch(&self, pictures: &[usize], _step: u64) -> Supplied {
        Supplied {
            images: self.pictures(pictures),
            texts: Some(self.captions(pictures)),
            groups: match self.masked {
                true => pictures.iter().map(|&i| self.groups[i]).collect(),
                false => (0..pictures.len() as u32).collect(),
            },
            classes: None,
            words: Some(pictures.iter().map(|&i| i as u32).collect()),
        }
    }

    fn learnt(&self) -> Learnt {
        Learnt {
            pictures: (0..TRAIN).collect(),
            groups: self.groups[..TRAIN].to_vec(),
            classes: None,
        }
    }

    fn near(&self) -> Option<&[Vec<u32>]> {
        self.near.as_deref()
    }

    fn held_out(&self) -> &HeldOut {
        &self.held
    }

    fn pictures(&self, pictures: &[usize]) -> Fed {
        let features = self.images.select(ndarray::Axis(0), pictures);
        Fed::Rows { base: None, features: Some(features) }
    }

    fn captions(&self, captions: &[usize]) -> Fed {
        let features = self.texts.select(ndarray::Axis(0), captions);
        Fed::Rows { base: None, features: Some(features) }
    }
}

/// Symmetric cross-entropy over e^θ · I · Tᵀ with a trained θ: the plainest loss
/// that has a parameter of its own and a state.
struct Plain {
    scale: [f32; 1],
    seen: u64,
    broken: bool,
}

impl Criterion for Plain {
    fn judge(&mut self, batch: &Judged<'_>, _: f64, rng: &mut Pcg64) -> Result<Judgement, Refused> {
        self.seen += 1;
        let texts = batch.texts.ok_or_else(|| "texts are needed".to_owned())?;
        let n = batch.images.nrows();
        let t = self.scale[0].exp();
        let cosines = batch.images.dot(&texts.t());
        let mut gradient = Array2::<f32>::zeros((n, n));
        let mut loss = 0.0;
        for (i, row) in cosines.rows().into_iter().enumerate() {
            let sum: f32 = row.iter().map(|s| (t * s).exp()).sum();
            loss -= f64::from(t * row[i] - sum.ln());
            row.iter().enumerate().for_each(|(j, s)| gradient[[i, j]] += (t * s).exp() / sum);
            gradient[[i, i]] -= 1.0;
        }
        gradient /= n as f32;
        // Something drawn, so that resuming has to draw the same.
        gradient *= 1.0 + 0.01 * rng.random::<f32>();
        if self.broken {
            gradient.fill(f32::NAN);
        }
        let of_scale = (&gradient * &cosines).sum() * t;
        gradient *= t;
        Ok(Judgement {
            loss: loss / n as f64,
            images: gradient.dot(texts).into(),
            texts: Some(gradient.t().dot(batch.images).into()),
            parameters: vec![vec![of_scale]],
            notes: vec![Note { name: "scale".into(), value: f64::from(t) }],
            findings: Vec::new(),
        })
    }

    fn parameters(&mut self) -> Vec<&mut [f32]> {
        vec![&mut self.scale]
    }

    fn constrain(&mut self) {
        self.scale[0] = self.scale[0].clamp(0.0, 4.6);
    }

    fn export(&self) -> Vec<u8> {
        [self.scale[0].to_bits() as u64, self.seen].iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn import(&mut self, state: &[u8]) -> Result<(), String> {
        let (words, _) = state.as_chunks::<8>();
        let [scale, seen] = words else { return Err("expected two numbers".into()) };
        self.scale = [f32::from_bits(u64::from_le_bytes(*scale) as u32)];
        self.seen = u64::from_le_bytes(*seen);
        Ok(())
    }
}

fn model() -> Model {
    model_with(0.1)
}

fn model_with(dropout: f32) -> Model {
    let mut params = Params::new();
    let mut rng = rng_for(1, Purpose::Initial, 0);
    let mut side = |group, inputs: usize| {
        let mut builder = TowerBuilder::new(&mut params, &mut rng, group);
        let body = builder.mlp_head([inputs, 24, 8], 1, [0.0, dropout], 1.0);
        Tower { group, base: Base::None, body, dim: 8 }
    };
    let (image, text) = (side(Group::Image, 12), side(Group::Text, 10));
    Model { params, image, text: Some(text) }
}

fn plan() -> Plan {
    Plan {
        seed: 7,
        epochs: 8,
        rates: Rates { image: 1e-2, text: 5e-3, loss: 1e-2 },
        schedule: Schedule { warm_up: 0.1, shape: Shape::Cosine, floor: 0.01 },
        optimiser: AdamWOptions::default(),
        chunk: None,
        clip: 1.0,
        average: Some(0.9),
        patience: None,
        checkpoint_seconds: 0.0,
    }
}

fn trainer(supply: &Made, plan: Plan) -> Trainer<'_> {
    let criterion = Plain { scale: [2.0], seen: 0, broken: false };
    Trainer::new(model(), plan, supply, Box::new(criterion), "run".into())
}

/// Everything of a checkpoint but wall time.
fn state(trainer: &Trainer<'_>) -> Checkpoint {
    let mut checkpoint = trainer.checkpoint();
    checkpoint.history.iter_mut().for_each(|r| r.seconds = 0.0);
    checkpoint
}

#[test]
fn it_learns_what_was_held_out() {
    let supply = Made::new();
    let mut trainer = trainer(&supply, Plan { epochs: 30, ..plan() });
    let outcome = trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
    assert_eq!(outcome, Outcome::Finished);
    let rsum = |r: &EpochRecord| r.rsum.expect("held-out pictures");
    let (before, best) = (rsum(&trainer.history()[0]), trainer.history().iter().map(rsum));
    let best = best.fold(0.0, f64::max);
    assert!(best > before + 100.0, "rsum {before} before, {best} after");
    let (model, epoch) = trainer.best();
    let score = evaluate(&model, &supply).expect("held-out pictures");
    assert_eq!(score.rsum(), best, "the best model is kept, of epoch {epoch:?}");
    let notes = &trainer.history()[30].notes;
    assert!(notes["scale"] > 1.0);
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_bits() {
    let supply = Made::new();
    let mut whole = trainer(&supply, plan());
    whole.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
    for stop_at in [1, 3, 7, 20] {
        let dir = tempfile::tempdir().expect("a folder");
        let directory = RunDirectory::start(&dir.path().join("run"), "").expect("new");
        let mut first = trainer(&supply, plan());
        let stop = AtomicBool::new(false);
        let mut tell = |event: Event<'_>| {
            if matches!(event, Event::Step { step, .. } if step == stop_at) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let outcome = first.run(Some(&directory), &stop, &mut tell).expect("stopped");
        assert_eq!(outcome, Outcome::Stopped);
        let (directory, _) = RunDirectory::resume(directory.path()).expect("there");
        let mut second = trainer(&supply, plan());
        second.restore(directory.checkpoint().expect("read").expect("there")).expect("fits");
        second.run(Some(&directory), &AtomicBool::new(false), &mut |_| {}).expect("trained");
        assert!(state(&second) == state(&whole), "stopped after step {stop_at}");
        let lines = fs_err::read_to_string(directory.path().join("metrics.jsonl")).expect("there");
        assert_eq!(lines.lines().count(), 9, "one line an epoch, and one before");
    }
}

/// The losses whose state is more than a number: clusters of the whole training set,
/// embeddings of earlier steps; and the findings, which are told once.
#[test]
fn losses_with_a_memory_go_on_to_the_same_bits() {
    let supply = Made::grouped();
    let magnet =
        Loss::Magnet(MagnetOptions { loss: Magnet { alpha: 1.0 }, clusters: 2, refresh: 5 });
    let magnet = ObjectiveOptions { sides: Sides::IMAGES, ..ObjectiveOptions::both_ways(magnet) };
    let triplet = Loss::Triplet(Triplet::hinge(0.2));
    let memory = Some(MemoryOptions { size: 40, weight: 0.5, after: 0.1 });
    let triplet = ObjectiveOptions { memory, ..ObjectiveOptions::both_ways(triplet) };
    for (name, options, findings) in [("magnet", magnet, false), ("memory", triplet, true)] {
        let start = || {
            let names = (0..3).map(|i| format!("thing {i}")).collect();
            let judge = Judge::new(options.clone(), 8, 7, names).expect("valid options");
            Trainer::new(model(), plan(), &supply, Box::new(judge), "run".into())
        };
        let go = |trainer: &mut Trainer<'_>, stop_at: u64| {
            let stop = AtomicBool::new(false);
            let mut tell = |event: Event<'_>| {
                if matches!(event, Event::Step { step, .. } if step == stop_at) {
                    stop.store(true, Ordering::Relaxed);
                }
            };
            trainer.run(None, &stop, &mut tell).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let mut whole = start();
        assert_eq!(go(&mut whole, u64::MAX), Outcome::Finished);
        let told = whole.history().iter().filter(|r| !r.findings.is_empty()).count();
        assert!(told > 0 || !findings, "{name}: two things are taken for each other at some point");
        // Between refreshes and at them, before findings and after.
        for stop_at in [1, 4, 5, 6, 13, 20] {
            let mut first = start();
            assert_eq!(go(&mut first, stop_at), Outcome::Stopped);
            let mut second = start();
            second.restore(first.checkpoint()).expect("its own");
            go(&mut second, u64::MAX);
            assert!(state(&second) == state(&whole), "{name}, stopped after step {stop_at}");
        }
    }
}

#[test]
fn with_several_captions_of_a_thing_a_mask_is_worth_more_than_none() {
    let mut sums = [0.0, 0.0];
    for seed in 1..=5 {
        for (sum, masked) in sums.iter_mut().zip([true, false]) {
            let supply = Made::several(seed, masked);
            let options = ObjectiveOptions {
                selection: Selection::Hard,
                ..ObjectiveOptions::both_ways(Loss::Triplet(Triplet::hinge(0.2)))
            };
            let judge = Judge::new(options, 8, seed, Vec::new()).expect("valid options");
            let plan = Plan { seed, epochs: 20, average: None, ..plan() };
            let mut trainer = Trainer::new(model(), plan, &supply, Box::new(judge), "run".into());
            trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
            *sum += trainer.history().last().and_then(|r| r.rsum).expect("held-out pictures");
        }
    }
    let [masked, unmasked] = sums.map(|sum| sum / 5.0);
    assert!(masked > unmasked + 5.0, "mean rsum {masked} masked, {unmasked} unmasked");
}

/// In parts a batch has the gradients that it has in one piece, up to the rounding of
/// sums in another order; and a run in parts goes on to the same bits.
#[test]
fn a_batch_in_parts_is_the_same_batch() {
    let supply = Made::new();
    let losses = [
        Loss::SmoothMax(SmoothMax { margin: 0.1, temperature: 0.05 }),
        Loss::NPair(NPair { penalty: 0.01 }),
    ];
    for loss in losses {
        let run = |chunk, dropout| {
            let options = ObjectiveOptions::both_ways(loss.clone());
            let judge = Judge::new(options, 8, 7, Vec::new()).expect("valid options");
            let plan = Plan { chunk, epochs: 2, ..plan() };
            let model = model_with(dropout);
            let mut trainer = Trainer::new(model, plan, &supply, Box::new(judge), "run".into());
            trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
            trainer
        };
        let whole = run(None, 0.0);
        for chunk in [1, 7, 31, 32, 50] {
            let parts = run(Some(chunk), 0.0);
            for (a, b) in whole.history().iter().zip(parts.history()).skip(1) {
                let (a, b) = (a.loss.expect("trained"), b.loss.expect("trained"));
                assert!((a - b).abs() < 1e-5 * (1.0 + a), "{loss:?} in {chunk}: {a} and {b}");
            }
            let weights = whole.model().params.list().iter().zip(parts.model().params.list());
            for (a, b) in weights.flat_map(|(a, b)| a.values.iter().zip(&b.values)) {
                assert!((a - b).abs() < 1e-3, "{loss:?} in {chunk}: {a} and {b}");
            }
        }
        assert!(state(&run(Some(32), 0.1)) == state(&run(None, 0.1)), "one part is the whole");
        assert!(state(&run(Some(7), 0.1)) == state(&run(Some(7), 0.1)), "the seed says all");
    }
}

/// A loss that only looks at what it is shown of the training set.
struct Looks {
    plain: Plain,
    seen: std::rc::Rc<std::cell::RefCell<Vec<Array2<f32>>>>,
}

impl Criterion for Looks {
    fn judge(
        &mut self,
        batch: &Judged<'_>,
        progress: f64,
        rng: &mut Pcg64,
    ) -> Result<Judgement, Refused> {
        self.plain.judge(batch, progress, rng)
    }

    fn refresh_due(&self) -> bool {
        self.plain.seen.is_multiple_of(4)
    }

    fn refresh(&mut self, learnt: &Learnt, images: &Array2<f32>) -> Result<(), String> {
        assert_eq!(learnt.pictures.len(), images.nrows());
        self.seen.borrow_mut().push(images.clone());
        Ok(())
    }

    fn parameters(&mut self) -> Vec<&mut [f32]> {
        self.plain.parameters()
    }

    fn export(&self) -> Vec<u8> {
        self.plain.export()
    }

    fn import(&mut self, state: &[u8]) -> Result<(), String> {
        self.plain.import(state)
    }
}

#[test]
fn a_refresh_sees_all_training_pictures_as_the_model_is_then() {
    let supply = Made::new();
    let seen = std::rc::Rc::default();
    let plain = Plain { scale: [2.0], seen: 0, broken: false };
    let looks = Looks { plain, seen: std::rc::Rc::clone(&seen) };
    let plan = Plan { epochs: 2, ..plan() };
    let mut trainer = Trainer::new(model(), plan, &supply, Box::new(looks), "run".into());
    trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
    let seen = seen.borrow();
    assert_eq!(seen.len(), 2, "six steps, one refresh in four");
    let all: Vec<usize> = (0..TRAIN).collect();
    assert_eq!(seen[0], model().images(supply.pictures(&all)), "before the first step");
    assert!(seen[1] != seen[0], "the model has moved");
    assert_eq!(seen[1].nrows(), TRAIN);
}

#[test]
fn a_seed_is_a_run_and_another_is_another() {
    let supply = Made::new();
    let run = |seed| {
        let mut trainer = trainer(&supply, Plan { seed, epochs: 2, ..plan() });
        trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
        state(&trainer)
    };
    assert!(run(1) == run(1));
    assert!(run(1).arrays != run(2).arrays);
}

#[test]
fn patience_ends_it_and_gradients_that_are_no_numbers_too() {
    let supply = Made::new();
    let still = Rates { image: 0.0, text: 0.0, loss: 0.0 };
    let plan = Plan { rates: still, patience: Some(2), average: None, ..plan() };
    let mut waits = trainer(&supply, plan.clone());
    let outcome = waits.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
    assert_eq!((outcome, waits.history().len()), (Outcome::Early, 3));

    let broken = Plain { scale: [2.0], seen: 0, broken: true };
    let plan = Plan { patience: None, ..plan };
    let mut trainer = Trainer::new(model(), plan, &supply, Box::new(broken), "run".into());
    let before = trainer.model().params.clone();
    let error = trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect_err("diverged");
    assert!(error.to_string().contains("lower optimiser.rate"), "{error}");
    assert_eq!(trainer.model().params, before, "no step was taken");
}

#[test]
fn where_nothing_can_be_ranked_the_last_weights_are_kept() {
    // One caption for all pictures (a class held out as a whole), or pictures alone
    // with one of each kind: no query has both a right and a wrong candidate.
    let count = ALL - TRAIN;
    let mut one_caption = Made::new();
    one_caption.held.captions.truncate(1);
    one_caption.held.captions_of = vec![vec![0]; count];
    let mut one_of_each = Made::new();
    (one_of_each.held.captions, one_of_each.held.captions_of) = (Vec::new(), Vec::new());
    for supply in [one_caption, one_of_each] {
        assert_eq!(evaluate(&model(), &supply), None);
        let plan = Plan { epochs: 3, patience: Some(1), ..plan() };
        let mut trainer = trainer(&supply, plan);
        let outcome = trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
        assert_eq!((outcome, trainer.history().len()), (Outcome::Finished, 4));
        assert!(trainer.history().iter().all(|r| r.rsum.is_none() && r.score.is_none()));
        let (kept, epoch) = trainer.best();
        assert_eq!((&kept, epoch), (&trainer.last(), None), "what was learnt is kept");
        assert_ne!(kept.params, model().params);
    }
    // Two of a kind are enough.
    let mut two = Made::new();
    (two.held.captions, two.held.captions_of) = (Vec::new(), Vec::new());
    two.held.same[1] = two.held.same[0];
    let score = evaluate(&model(), &two).expect("a score");
    assert_eq!(score.image_to_image.expect("pictures alone").queries, 2);
}

#[test]
fn near_texts_reach_the_loss_and_its_memory() {
    let loss = |near: Option<Vec<Vec<u32>>>, memory| {
        let supply = Made { near, ..Made::new() };
        let triplet = Triplet::hinge(0.2);
        let options =
            ObjectiveOptions { memory, ..ObjectiveOptions::both_ways(Loss::Triplet(triplet)) };
        let judge = Judge::new(options, 8, 7, Vec::new()).expect("valid options");
        // Nothing moves: losses differ by what counts alone.
        let still = Rates { image: 0.0, text: 0.0, loss: 0.0 };
        let plan = Plan { epochs: 2, rates: still, average: None, ..plan() };
        let mut trainer = Trainer::new(model(), plan, &supply, Box::new(judge), "run".into());
        let outcome = trainer.run(None, &AtomicBool::new(false), &mut |_| {});
        outcome.map(|_| trainer.history()[1].loss.expect("a loss")).map_err(|e| e.to_string())
    };
    let memory = Some(MemoryOptions { size: 64, weight: 1.0, after: 0.0 });
    // Every text is near the two beside it.
    let beside =
        |i: u32| [i.wrapping_sub(1), i + 1].into_iter().filter(|&i| i < ALL as u32).collect();
    let beside: Vec<Vec<u32>> = (0..ALL as u32).map(beside).collect();
    let batch = [loss(None, None), loss(Some(beside.clone()), None)].map(|l| l.expect("a loss"));
    let held = [loss(None, memory), loss(Some(beside), memory)].map(|l| l.expect("a loss"));
    assert!(batch[1] < batch[0], "{batch:?}");
    let of_memory = [held[0] - batch[0], held[1] - batch[1]];
    assert!(of_memory[1] > 0.0 && of_memory[1] < of_memory[0], "{of_memory:?}");
    let all: Vec<Vec<u32>> = vec![(0..ALL as u32).collect(); ALL];
    let error = loss(Some(all), None).expect_err("no negatives");
    assert!(error.contains("near-duplicates"), "{error}");
}

#[test]
fn an_epochs_seconds_are_those_of_all_processes() {
    let supply = Made::new();
    let dir = tempfile::tempdir().expect("a folder");
    let directory = RunDirectory::start(&dir.path().join("run"), "").expect("new");
    let mut first = trainer(&supply, plan());
    let stop = AtomicBool::new(false);
    let mut tell = |event: Event<'_>| {
        if matches!(event, Event::Step { step: 2, .. }) {
            std::thread::sleep(std::time::Duration::from_millis(80));
            stop.store(true, Ordering::Relaxed);
        }
    };
    first.run(Some(&directory), &stop, &mut tell).expect("stopped");
    let mut second = trainer(&supply, plan());
    second.restore(directory.checkpoint().expect("read").expect("there")).expect("fits");
    second.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
    let seconds: Vec<f64> = second.history().iter().map(|r| r.seconds).collect();
    assert!(seconds[1] >= 0.08, "the first epoch's, which was stopped: {seconds:?}");
    assert_eq!(second.checkpoint().sums, [], "and of no other");
}

#[test]
fn nothing_to_learn_from_is_no_run() {
    struct Empty(Made);
    impl Supply for Empty {
        fn epoch(&self, _: u64) -> Result<Vec<Vec<usize>>, String> {
            Ok(Vec::new())
        }
        fn batch(&self, pictures: &[usize], step: u64) -> Supplied {
            self.0.batch(pictures, step)
        }
        fn learnt(&self) -> Learnt {
            self.0.learnt()
        }
        fn held_out(&self) -> &HeldOut {
            self.0.held_out()
        }
        fn pictures(&self, pictures: &[usize]) -> Fed {
            self.0.pictures(pictures)
        }
        fn captions(&self, captions: &[usize]) -> Fed {
            self.0.captions(captions)
        }
    }
    let supply = Empty(Made::new());
    let criterion = Box::new(Plain { scale: [2.0], seen: 0, broken: false });
    let mut trainer = Trainer::new(model(), plan(), &supply, criterion, "run".into());
    let error = trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect_err("no batch");
    assert!(matches!(error, TrainError::Data(_)), "{error}");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let supply = Made::new();
    let mut one = trainer(&supply, plan());
    let mut checkpoint = one.checkpoint();
    checkpoint.run = "other".into();
    let error = one.restore(checkpoint).expect_err("another run");
    assert!(error.to_string().contains("expected run run, got other"), "{error}");
    let mut checkpoint = one.checkpoint();
    checkpoint.arrays[0].1.pop();
    assert!(one.restore(checkpoint).is_err(), "another length");
}
