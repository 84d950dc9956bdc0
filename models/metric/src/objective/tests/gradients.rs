//! ∂L/∂x by central differences, through the normalisation to unit length.

use super::*;

/// Widest difference allowed, beside a thousandth of the size.
const NEAR: f64 = 2e-6;

/// Compares every gradient of one step with finite differences; gives how many
/// numbers lay beside a kink of the loss (a hinge's corner, another hardest
/// negative), where there is no gradient to compare.
fn compare(name: &str, raw: &mut Raw, objective: &Objective) -> usize {
    let analytic = raw.step(&mut objective.clone(), 1.0).unwrap_or_else(|e| panic!("{name}: {e}"));
    let h = 1e-6;
    let mut kinks = 0;
    let mut check = |what: &str, analytic: f64, loss: &mut dyn FnMut(f64) -> f64| {
        let (at, up, down) = (loss(0.0), loss(h), loss(-h));
        let numeric = (up - down) / (2.0 * h);
        let near = NEAR + 1e-3 * numeric.abs().max(analytic.abs());
        if (numeric - analytic).abs() <= near {
            return;
        }
        // Beside a kink the two one-sided slopes differ.
        let (right, left) = ((up - at) / h, (at - down) / h);
        assert!((right - left).abs() > near, "{name}: {what}: {analytic} instead of {numeric}");
        kinks += 1;
    };
    let of = |raw: &Raw| raw.step(&mut objective.clone(), 1.0).map_or(f64::NAN, |s| s.loss);
    for i in 0..raw.images.nrows() {
        for j in 0..raw.images.ncols() {
            let old = raw.images[[i, j]];
            check("images", analytic.images[[i, j]], &mut |by| {
                raw.images[[i, j]] = old + by;
                let loss = of(raw);
                raw.images[[i, j]] = old;
                loss
            });
            let Some(g) = &analytic.texts else { continue };
            check("texts", g[[i, j]], &mut |by| {
                let texts = raw.texts.as_mut().expect("texts");
                let old = texts[[i, j]];
                texts[[i, j]] = old + by;
                let loss = of(raw);
                raw.texts.as_mut().expect("texts")[[i, j]] = old;
                loss
            });
        }
    }
    kinks
}

#[test]
fn every_gradient_is_that_of_the_loss() {
    let (mut numbers, mut kinks) = (0, 0);
    for (name, options) in all() {
        for seed in 0..2 {
            let mut raw = Raw::new(seed, &GROUPS, 4);
            if options.sides == Sides::IMAGES {
                raw.texts = None;
            }
            // Two rows of the batch, and two with rows of the memory.
            let near = lists(20, &[(4, 6), (3, 12), (9, 15)]);
            raw.near = Some(((0..10).collect(), near.clone()));
            let mut objective = Objective::new(options.clone(), 4, 3).expect("valid options");
            // So that a memory has something in it.
            let mut before = Raw::new(seed + 100, &[7, 0, 7, 1, 9, 0, 2, 1, 3, 2], 4);
            before.near = Some(((10..20).collect(), near));
            if options.memory.is_some() {
                before.step(&mut objective, 0.0).expect("a loss");
            }
            kinks += compare(&format!("seed {seed}, {name}"), &mut raw, &objective);
            numbers += 80;
        }
    }
    assert!(
        kinks * 100 < numbers,
        "{kinks} of {numbers} numbers beside a kink: too many to be chance"
    );
}

#[test]
fn learned_parameters_have_the_gradient_of_the_loss() {
    for (name, options) in all() {
        let mut objective = Objective::new(options.clone(), 4, 3).expect("valid options");
        let count = objective.parameters().len();
        let raw = Raw::new(5, &GROUPS, 4);
        for which in 0..count {
            let length = objective.parameters()[which].len();
            for i in 0..length {
                let analytic =
                    raw.step(&mut objective.clone(), 1.0).expect("a loss").parameters[which][i];
                // Parameters are f32: a step that they can hold.
                let h = 1.0 / 1024.0;
                let at = |by: f32| {
                    let mut moved = objective.clone();
                    moved.parameters()[which][i] += by;
                    raw.step(&mut moved, 1.0).expect("a loss").loss
                };
                let numeric = (at(h) - at(-h)) / (2.0 * f64::from(h));
                let analytic = f64::from(analytic);
                let (right, left) =
                    ((at(h) - at(0.0)) / f64::from(h), (at(0.0) - at(-h)) / f64::from(h));
                assert!(
                    (numeric - analytic).abs() < 2e-3 * (1.0 + numeric.abs())
                        || (right - left).abs() > 1e-2,
                    "{name}: parameter {which}[{i}]: {analytic} instead of {numeric}"
                );
            }
        }
    }
}
