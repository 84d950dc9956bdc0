//! Batches and data without anything to learn.

use super::*;

/// A loss that finds nothing to learn from in batches that `empty` names by the number
/// of pictures of the upper half.
struct Picky {
    plain: Plain,
    empty: fn(usize) -> bool,
}

impl Criterion for Picky {
    fn judge(&mut self, batch: &Judged<'_>, p: f64, rng: &mut Pcg64) -> Result<Judgement, Refused> {
        let upper = batch.rows.iter().filter(|&&row| row as usize >= TRAIN / 2).count();
        if (self.empty)(upper) {
            return Err(Refused::Batch(format!("nothing in {upper}")));
        }
        self.plain.judge(batch, p, rng)
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

fn picky(supply: &Made, empty: fn(usize) -> bool) -> Trainer<'_> {
    let plain = Plain { scale: [2.0], seen: 0, broken: false };
    let plan = Plan { epochs: 30, ..plan() };
    Trainer::new(model(), plan, supply, Box::new(Picky { plain, empty }), "run".into())
}

#[test]
fn batches_without_anything_to_learn_are_left_out_and_counted() {
    let supply = Made::new();
    let empty = |upper: usize| upper.is_multiple_of(3);
    let mut whole = picky(&supply, empty);
    let outcome = whole.run(None, &AtomicBool::new(false), &mut |_| {}).expect("trained");
    assert_eq!((outcome, whole.history().len()), (Outcome::Finished, 31));
    let of_epoch = |epoch: u64| -> u64 {
        let batches = supply.epoch(epoch).expect("batches").into_iter();
        let upper = |batch: Vec<usize>| batch.iter().filter(|&&i| i >= TRAIN / 2).count();
        batches.map(upper).filter(|&upper| empty(upper)).count() as u64
    };
    let expected: Vec<u64> = (1..=30).map(of_epoch).collect();
    let counted = |r: &EpochRecord| -> u64 {
        let left_out = r.findings.iter().filter(|(text, _)| text.contains("left out"));
        left_out.map(|(_, times)| times).sum()
    };
    let records = &whole.history()[1..];
    assert_eq!(records.iter().map(counted).collect::<Vec<_>>(), expected);
    // An epoch without any batch to learn from is no end, after others.
    assert!(expected.contains(&0) && expected.contains(&1) && expected.contains(&3));
    let learned: Vec<bool> = records.iter().map(|r| r.loss.is_some()).collect();
    assert_eq!(learned, expected.iter().map(|&empty| empty < 3).collect::<Vec<_>>());
    assert_eq!(whole.history()[30].step, 90, "a batch that is left out counts as a step");

    // Stopped and resumed around such batches, it is the same run.
    let dir = tempfile::tempdir().expect("a folder");
    let directory = RunDirectory::start(&dir.path().join("run"), "").expect("new");
    for stop_at in [1, 2, 3, 17, 18, 19, 90] {
        let mut part = picky(&supply, empty);
        if let Some(checkpoint) = directory.checkpoint().expect("read") {
            part.restore(checkpoint).expect("fits");
        }
        let stop = AtomicBool::new(false);
        let mut tell = |event: Event<'_>| {
            if matches!(event, Event::Step { step, .. } if step == stop_at) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        part.run(Some(&directory), &stop, &mut tell).expect("goes on");
        assert!(stop_at < 90 || state(&part) == state(&whole), "the same to the bit");
    }
}

#[test]
fn data_without_a_batch_to_learn_from_are_refused_with_the_reason() {
    let supply = Made::new();
    let mut trainer = picky(&supply, |_| true);
    let error = trainer.run(None, &AtomicBool::new(false), &mut |_| {}).expect_err("nothing");
    let text = error.to_string();
    assert!(matches!(error, TrainError::Data(_)), "{text}");
    assert!(text.contains("nothing in "), "{text}");
    assert_eq!(trainer.model().params, model().params, "no step was taken");
}
