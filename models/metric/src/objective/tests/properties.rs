//! What must hold for every loss, and the traps that others fell into.

use super::*;
use crate::select::{Curriculum, Ramp};
use crate::{Detectors, Finding, Stats};

#[test]
fn moving_a_positive_closer_never_raises_a_loss() {
    for (name, options) in all() {
        // Chance draws other negatives as similarities change.
        if matches!(
            options.selection,
            Selection::Random | Selection::DistanceWeighted | Selection::SemiHard
        ) || options.classifier.is_some()
        {
            continue;
        }
        // Means over terms above zero change as terms come and go.
        if let Loss::Triplet(t) = &options.loss
            && t.reduction == Reduction::NonZero
        {
            continue;
        }
        if matches!(options.loss, Loss::Margin { .. }) {
            continue;
        }
        // Two pictures of a thing, each with its text; nothing else is alike.
        let mut raw = Raw::new(11, &[0, 1, 2, 3, 0, 1, 2, 3], 8);
        if options.sides == Sides::IMAGES {
            raw.texts = None;
        }
        let mut objective = Objective::new(options, 8, 3).expect("valid options");
        let step = raw.step(&mut objective.clone(), 1.0).expect("a loss");
        // A little way along the negative gradient: for every distance and sign this lowers the loss.
        let move_by = 1e-4;
        raw.images.scaled_add(-move_by, &step.images);
        if let (Some(texts), Some(g)) = (raw.texts.as_mut(), &step.texts) {
            texts.scaled_add(-move_by, g);
        }
        let after = raw.step(&mut objective, 1.0).expect("a loss").loss;
        assert!(after <= step.loss + 1e-12, "{name}: {after} after, {} before", step.loss);
    }
    // And the direction itself: pairs that are exact copies cost less than random ones.
    for (name, options) in all() {
        if options.classifier.is_some() || matches!(options.loss, Loss::Magnet(_)) {
            continue;
        }
        let raw = Raw::new(13, &[0, 1, 2, 3, 0, 1, 2, 3], 8);
        let mut aligned = Raw::new(13, &[0, 1, 2, 3, 0, 1, 2, 3], 8);
        for i in 0..8 {
            let mut row = ndarray::Array1::zeros(8);
            row[i % 4] = 1.0;
            row[4 + i % 4] = 0.2 + 0.01 * i as f64;
            aligned.images.row_mut(i).assign(&row);
            if let Some(t) = aligned.texts.as_mut() {
                t.row_mut(i).assign(&row);
            }
        }
        let mut objective = Objective::new(options, 8, 3).expect("valid options");
        let cost = |raw: &Raw, objective: &mut Objective| raw.step(objective, 1.0).map(|s| s.loss);
        let random = cost(&raw, &mut objective.clone());
        let good = cost(&aligned, &mut objective);
        if let (Ok(random), Ok(good)) = (random, good) {
            assert!(good <= random, "{name}: {good} for copies, {random} at random");
        }
    }
}

#[test]
fn captions_of_one_group_are_no_negatives_in_either_direction() {
    // Rows 0 and 3 are two captions of one picture; the text of row 3 fits row 0's
    // picture better than its own. A mask of the diagonal alone would punish that.
    let mut raw = Raw::new(1, &[0, 1, 2, 0], 4);
    let units = |rows: [usize; 4]| {
        Array2::from_shape_fn((4, 4), |(i, j)| f64::from(u8::from(rows[i] == j)))
    };
    raw.images = units([0, 1, 2, 0]);
    raw.texts = Some(units([0, 1, 2, 0]));
    raw.texts.as_mut().expect("texts")[[3, 3]] = 0.3;
    let options =
        |loss| ObjectiveOptions { selection: Selection::Hard, ..ObjectiveOptions::both_ways(loss) };
    let hinge = options(Loss::Triplet(Triplet::hinge(0.2)));
    let mut objective = Objective::new(hinge, 4, 1).expect("valid");
    let step = raw.step(&mut objective, 1.0).expect("a loss");
    assert_eq!(step.loss, 0.0, "nothing is violated");
    assert_eq!(step.stats.masked, 2);
    raw.groups = vec![0, 1, 2, 3];
    let loss = raw.step(&mut objective, 1.0).expect("a loss").loss;
    assert!(loss > 0.1, "without the group the second caption is a hard negative: {loss}");
    raw.near = Some((vec![4, 5, 6, 7], lists(8, &[(7, 4)])));
    assert_eq!(
        raw.step(&mut objective, 1.0).expect("a loss").loss,
        0.0,
        "near is as good as a group"
    );
}

#[test]
fn texts_that_say_nearly_the_same_are_no_negatives_of_the_memory_either() {
    // Each row of the memory is what a row of the batch is, under another group.
    let units = |groups: &[u32]| {
        let mut raw = Raw::new(1, groups, 4);
        (raw.images, raw.texts) = (Array2::eye(4), Some(Array2::eye(4)));
        raw
    };
    let within = Sides { image_to_image: 1.0, text_to_text: 1.0, ..Sides::BOTH_WAYS };
    for (loss, sides) in [
        (Loss::Triplet(Triplet::hinge(0.2)), Sides::BOTH_WAYS),
        (Loss::Contrastive(Contrastive::hadsell(1.0)), within),
    ] {
        let memory = Some(MemoryOptions { size: 9, weight: 1.0, after: 0.0 });
        let options =
            ObjectiveOptions { memory, sides, ..ObjectiveOptions::both_ways(loss.clone()) };
        let cost = |near: &[(u32, u32)], ids: Option<Vec<u32>>| {
            let mut objective = Objective::new(options.clone(), 4, 1).expect("valid");
            let (mut first, mut second) = (units(&[0, 1, 2, 3]), units(&[4, 5, 6, 7]));
            first.near = ids.map(|ids| (ids, lists(8, near)));
            second.near = Some((vec![4, 5, 6, 7], lists(8, near)));
            first.step(&mut objective, 1.0).expect("a loss");
            second.step(&mut objective, 1.0).expect("a loss").loss
        };
        let pairs = [(0, 4), (1, 5), (2, 6), (3, 7)];
        let clean = cost(&pairs, Some(vec![0, 1, 2, 3]));
        let alone = cost(&[], Some(vec![0, 1, 2, 3]));
        assert!(clean < 1e-6, "{loss:?}: {clean}");
        assert!(alone > 0.1, "{loss:?}: without ids they are hard negatives: {alone}");
        assert_eq!(cost(&pairs, None), alone, "{loss:?}: texts without ids are near to none");
        assert_eq!(cost(&[], Some(vec![4, 5, 6, 7])), clean, "{loss:?}: the same texts");
        let some = cost(&pairs[..3], Some(vec![0, 1, 2, 3]));
        assert!(clean < some && some < alone, "{loss:?}: {some}");
    }
}

#[test]
fn texts_that_say_nearly_the_same_are_no_other_prototypes() {
    // One picture and text of each of three things; 0 and 2 say nearly the same.
    let (mut near, mut apart) = (Raw::new(6, &[0, 1, 2], 4), Raw::new(6, &[0, 1, 2], 4));
    near.near = Some((vec![0, 1, 2], lists(3, &[(0, 2)])));
    apart.near = Some((vec![0, 1, 2], lists(3, &[])));
    let sides = Sides { image_to_text: 1.0, text_to_image: 0.0, ..Sides::BOTH_WAYS };
    let options = ObjectiveOptions {
        sides,
        ..ObjectiveOptions::both_ways(Loss::Prototypes(Prototypes { scale: 3.0 }))
    };
    let mut objective = Objective::new(options, 4, 1).expect("valid");
    let rows = |x: &Array2<f64>| normalise(x.view()).rows;
    let (x, c) = (rows(&near.images), rows(near.texts.as_ref().expect("texts")));
    let d = |i: usize, k: usize| (&x.row(i) - &c.row(k)).mapv(|v| v * v).sum();
    let cost = |i: usize, others: &[usize]| {
        let all = std::iter::once(&i).chain(others);
        all.map(|&k| (-3.0 * d(i, k)).exp()).sum::<f64>().ln() + 3.0 * d(i, i)
    };
    let expected = (cost(0, &[1]) + cost(1, &[0, 2]) + cost(2, &[1])) / 3.0;
    let got = near.step(&mut objective, 1.0).expect("a loss").loss;
    assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
    let whole = (cost(0, &[1, 2]) + cost(1, &[0, 2]) + cost(2, &[0, 1])) / 3.0;
    let got = apart.step(&mut objective, 1.0).expect("a loss").loss;
    assert!((got - whole).abs() < 1e-12, "{got} instead of {whole}");
    // A query without another prototype has no part in the mean; without any there is no loss.
    near.near = Some((vec![0, 1, 2], lists(3, &[(0, 2), (0, 1)])));
    let expected = (cost(1, &[2]) + cost(2, &[1])) / 2.0;
    let got = near.step(&mut objective, 1.0).expect("a loss").loss;
    assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
    near.near = Some((vec![7, 7, 7], Vec::new()));
    let error = near.step(&mut objective, 1.0).expect_err("all the same");
    assert!(matches!(error, LossError::NoNegatives { .. }), "{error}");
}

#[test]
fn equal_similarities_cost_what_the_formula_says() {
    let n = 6;
    let mut raw = Raw::new(1, &[0, 1, 2, 3, 4, 5], 3);
    let same = Array2::from_elem((n, 3), 1.0);
    (raw.images, raw.texts) = (same.clone(), Some(same));
    for (loss, selection, expected) in [
        // 2·m: each side's hardest negative, averaged over anchors (VSE++ sums: × B).
        (Loss::Triplet(Triplet::hinge(0.2)), Selection::Hard, 0.4),
        // 2·(B − 1)·m: all of them (VSE0).
        (Loss::Triplet(Triplet::hinge(0.2)), Selection::All, 2.0 * 5.0 * 0.2),
        (
            Loss::SmoothMax(SmoothMax { margin: 0.0, temperature: 1.0 }),
            Selection::All,
            2.0 * 6f64.ln(),
        ),
        (
            Loss::InfoNce {
                options: InfoNce { scale: 10.0, all_positives: false },
                learned: false,
            },
            Selection::All,
            2.0 * 6f64.ln(),
        ),
    ] {
        let options = ObjectiveOptions { selection, ..ObjectiveOptions::both_ways(loss) };
        let mut objective = Objective::new(options.clone(), 3, 1).expect("valid");
        let step = raw.step(&mut objective, 1.0).expect("a loss");
        assert!(
            (step.loss - expected).abs() < 1e-9,
            "{options:?}: {} instead of {expected}",
            step.loss
        );
        let said = step.stats.collapsed.expect("told where similarities are equal");
        assert!((said - expected).abs() < 1e-9, "{options:?}: {said} told, {expected} expected");
        let mut detectors = Detectors::default();
        let found: Vec<Finding> = (0..4)
            .flat_map(|_| detectors.observe(&options, step.loss, &step.stats, &raw.groups))
            .collect();
        let collapse = |f: &&Finding| matches!(f, Finding::Collapse { .. });
        assert_eq!(found.iter().filter(collapse).count(), 1, "told once: {found:?}");
        assert!(found.iter().find(collapse).expect("found").to_string().contains("collapsed"));
    }
}

#[test]
fn a_healthy_batch_is_no_finding_and_a_solved_one_is() {
    let options = ObjectiveOptions::both_ways(Loss::Triplet(Triplet::hinge(0.2)));
    let mut objective = Objective::new(options.clone(), 6, 1).expect("valid");
    let raw = Raw::new(3, &[0, 1, 2, 3, 4, 5], 6);
    let step = raw.step(&mut objective, 1.0).expect("a loss");
    let mut detectors = Detectors::default();
    let mut found: Vec<Finding> = Vec::new();
    for _ in 0..9 {
        found.extend(detectors.observe(&options, step.loss, &step.stats, &raw.groups));
    }
    assert_eq!(found, [], "nine steps at random");
    // The tenth time that the same two groups are confused, it is told.
    found.extend(detectors.observe(&options, step.loss, &step.stats, &raw.groups));
    assert!(found.iter().all(|f| matches!(f, Finding::FalseNegatives { .. })), "{found:?}");
    assert!(!found.is_empty(), "a random batch has confused groups");

    let mut solved = Raw::new(3, &[0, 1, 2, 3, 4, 5], 6);
    solved.images = Array2::eye(6);
    solved.texts = Some(Array2::eye(6));
    let step = solved.step(&mut objective, 1.0).expect("a loss");
    let mut detectors = Detectors::default();
    let told: Vec<Finding> = (0..60)
        .flat_map(|_| detectors.observe(&options, step.loss, &step.stats, &solved.groups))
        .collect();
    assert_eq!(told, [Finding::DeadHinges { active: 0.0 }]);
    assert!(told[0].to_string().contains("harder"), "with advice");
}

#[test]
fn a_soft_term_is_never_zero_so_all_count() {
    // All of different groups: every anchor has five negatives, so that the mean over
    // anchors of their means is the mean over all terms.
    let raw = Raw::new(9, &[0, 1, 2, 3, 4, 5], 4);
    let soft = Shape::Soft { temperature: 0.1 };
    let cost = |reduction, selection| {
        let loss = triplet(Distance::Cosine, soft, 0.05, reduction);
        let options = ObjectiveOptions { selection, ..ObjectiveOptions::both_ways(loss) };
        let mut objective = Objective::new(options, 4, 1).expect("valid");
        let step = raw.step(&mut objective, 1.0).expect("a loss");
        assert!(step.stats.active < step.stats.terms, "some violate nothing");
        (step.loss, step.images)
    };
    for selection in [Selection::All, Selection::KHardest(4)] {
        let (all, mean) = (cost(Reduction::NonZero, selection), cost(Reduction::Mean, selection));
        assert!((all.0 - mean.0).abs() < 1e-12, "{selection:?}: {} and {}", all.0, mean.0);
        let apart = (all.1 - mean.1).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
        assert!(apart < 1e-12, "{selection:?}: gradients differ by {apart}");
    }
}

#[test]
fn only_hinges_can_be_dead() {
    // Everything is learned: pictures and texts of a group are one, groups at right angles.
    let groups = [0, 1, 2, 0, 1, 2];
    let rows = Array2::from_shape_fn((6, 4), |(i, j)| f64::from(u8::from(groups[i] == j as u32)));
    let (mut dead, mut others) = (0, 0);
    for (name, options) in all() {
        let mut solved = Raw::new(3, &groups, 4);
        solved.images = rows.clone();
        solved.texts = (options.sides != Sides::IMAGES).then(|| rows.clone());
        let mut objective = Objective::new(options.clone(), 4, 1).expect("valid");
        // Rows that lie on their mean leave the Magnet loss without a measure.
        let Ok(step) = solved.step(&mut objective, 1.0) else {
            assert!(matches!(options.loss, Loss::Magnet(_)), "{name}");
            continue;
        };
        let mut detectors = Detectors::default();
        let told = (0..60)
            .flat_map(|_| detectors.observe(&options, step.loss, &step.stats, &groups))
            .any(|f| matches!(f, Finding::DeadHinges { .. }));
        let hinge = match &options.loss {
            Loss::Triplet(t) => t.shape == Shape::Hinge,
            Loss::Contrastive(_) | Loss::Quadruplet(_) | Loss::Margin { .. } | Loss::Magnet(_) => {
                true
            }
            _ => false,
        };
        assert!(hinge || !told, "{name} goes on learning where positives lead");
        dead += usize::from(told);
        others += usize::from(!hinge);
    }
    assert!(dead > 10 && others > 10, "{dead} told, {others} without hinges");
}

#[test]
fn one_violated_triplet_an_anchor_is_no_dead_hinge() {
    let options = ObjectiveOptions::both_ways(Loss::Triplet(Triplet::hinge(0.2)));
    let step = |active_anchors: usize| Stats {
        anchors: 512,
        terms: 512 * 511,
        active: active_anchors as u64,
        active_anchors,
        spread: 1.0,
        ..Stats::default()
    };
    let told = |active| -> Vec<Finding> {
        let mut detectors = Detectors::default();
        (0..60).flat_map(|_| detectors.observe(&options, 0.1, &step(active), &[])).collect()
    };
    assert_eq!(told(512), [], "each anchor learns from one of its 511 negatives");
    assert_eq!(told(1), [Finding::DeadHinges { active: 1.0 / 512.0 }]);
}

#[test]
fn what_a_collapsed_model_costs_follows_curriculum_and_memory() {
    let same = |groups: &[u32]| {
        let mut raw = Raw::new(1, groups, 3);
        let rows = Array2::from_elem((groups.len(), 3), 1.0);
        (raw.images, raw.texts) = (rows.clone(), Some(rows));
        raw
    };
    let options = ObjectiveOptions {
        selection: Selection::Hard,
        curriculum: Some(Curriculum { warm_up: 0.5, ramp: Ramp::Switch }),
        memory: Some(MemoryOptions { size: 7, weight: 0.5, after: 0.0 }),
        ..ObjectiveOptions::both_ways(Loss::Triplet(Triplet::hinge(0.2)))
    };
    let mut objective = Objective::new(options.clone(), 3, 1).expect("valid");
    same(&[10, 11, 12, 13, 14, 15, 16]).step(&mut objective, 0.0).expect("a loss");
    let raw = same(&[0, 1, 2, 3, 4, 5]);
    // In the warm-up five negatives of the batch and seven of the memory are summed,
    // afterwards there is one of each; m = 0.2 each, and two sides.
    for (progress, expected) in
        [(0.1, 2.0 * 0.2 * (5.0 + 0.5 * 7.0)), (0.9, 2.0 * 0.2 * (1.0 + 0.5))]
    {
        let step = raw.step(&mut objective.clone(), progress).expect("a loss");
        // The memory keeps 32 bits.
        assert!((step.loss - expected).abs() < 1e-6, "{} instead of {expected}", step.loss);
        let mut detectors = Detectors::default();
        let told: Vec<Finding> = (0..4)
            .flat_map(|_| detectors.observe(&options, step.loss, &step.stats, &raw.groups))
            .collect();
        let [Finding::Collapse { expected: Some(said), .. }] = told[..] else {
            panic!("{progress}: {told:?}")
        };
        assert!((said - expected).abs() < 1e-6, "{progress}: {said} told, {expected} expected");
    }
}

#[test]
fn a_batch_that_teaches_nothing_is_refused_with_the_reason() {
    for (name, options) in all() {
        let mut one = Raw::new(1, &[0], 4);
        let mut same = Raw::new(1, &[4, 4, 4, 4], 4);
        if options.sides == Sides::IMAGES {
            (one.texts, same.texts) = (None, None);
        }
        for raw in [&one, &same] {
            let mut objective = Objective::new(options.clone(), 4, 1).expect("valid");
            let error = raw.step(&mut objective, 1.0).expect_err(&name);
            assert!(
                matches!(error, LossError::NoNegatives { .. } | LossError::NoPositives { .. }),
                "{name}: {error:?}"
            );
            assert!(error.to_string().contains("batch"), "{name}: what to do: {error}");
        }
    }
    let options = ObjectiveOptions::both_ways(Loss::Triplet(Triplet::hinge(0.2)));
    let mut objective = Objective::new(options, 4, 1).expect("valid");
    let mut raw = Raw::new(1, &[0, 1], 4);
    raw.images[[1, 2]] = f64::NAN;
    let error = raw.step(&mut objective, 1.0).expect_err("NaN");
    assert_eq!(error, LossError::NotFinite { what: "images", row: 1 });
}

#[test]
fn zeros_have_a_finite_gradient() {
    for (name, options) in all() {
        let mut raw = Raw::new(2, &GROUPS, 4);
        raw.images.row_mut(3).fill(0.0);
        if let Some(texts) = raw.texts.as_mut() {
            texts.row_mut(7).fill(0.0);
        }
        let mut objective = Objective::new(options, 4, 1).expect("valid");
        let step = raw.step(&mut objective, 1.0).expect("a loss");
        assert!(step.loss.is_finite(), "{name}");
        let all = step.images.iter().chain(step.texts.iter().flatten());
        assert!(all.copied().all(f64::is_finite), "{name}");
    }
}

#[test]
fn single_precision_agrees_with_double() {
    for (name, options) in all() {
        // Equal chances, but a tie may fall the other way.
        if matches!(
            options.selection,
            Selection::Random | Selection::DistanceWeighted | Selection::SemiHard
        ) {
            continue;
        }
        let raw = Raw::new(21, &GROUPS, 6);
        let mut wide = Objective::new(options.clone(), 6, 1).expect("valid");
        let mut narrow = wide.clone();
        let i = normalise(raw.images.view());
        let t = normalise(raw.texts.as_ref().expect("texts").view());
        let single = |unit: &Normalised<f64>| Normalised {
            rows: unit.rows.mapv(|v| v as f32),
            lengths: unit.lengths.iter().map(|&v| v as f32).collect(),
        };
        let (i32s, t32s) = (single(&i), single(&t));
        fn batch<'a, T>(i: &'a Normalised<T>, t: &'a Normalised<T>, raw: &'a Raw) -> Batch<'a, T> {
            Batch {
                images: i.rows.view(),
                texts: Some(t.rows.view()),
                image_lengths: Some(&i.lengths),
                text_lengths: Some(&t.lengths),
                groups: &raw.groups,
                classes: Some(&raw.classes),
                near: None,
                rows: None,
            }
        }
        let rng = || Pcg64::seed_from_u64(1);
        let a = wide.step(&batch(&i, &t, &raw), 1.0, &mut rng()).expect("a loss");
        let b = narrow.step(&batch(&i32s, &t32s, &raw), 1.0, &mut rng()).expect("a loss");
        assert!(
            (a.loss - b.loss).abs() < 1e-4 * (1.0 + a.loss.abs()),
            "{name}: {} and {}",
            a.loss,
            b.loss
        );
        for (a, b) in a.images.iter().zip(&b.images) {
            assert!(
                (a - f64::from(*b)).abs() < 1e-3 * (1.0 + a.abs()),
                "{name}: gradients {a} and {b}"
            );
        }
    }
}

#[test]
fn a_curriculum_goes_from_all_to_the_hardest() {
    let loss = Loss::Triplet(Triplet::hinge(0.2));
    let plain =
        |selection| ObjectiveOptions { selection, ..ObjectiveOptions::both_ways(loss.clone()) };
    let cost = |options: ObjectiveOptions, progress| {
        let mut objective = Objective::new(options, 5, 1).expect("valid");
        Raw::new(4, &GROUPS, 5).step(&mut objective, progress).expect("a loss").loss
    };
    let (sum, max) = (cost(plain(Selection::All), 0.5), cost(plain(Selection::Hard), 0.5));
    assert!(sum > max);
    for ramp in [Ramp::Switch, Ramp::Shrink { until: 0.8 }] {
        let curriculum = Some(Curriculum { warm_up: 0.2, ramp });
        let at = |p| cost(ObjectiveOptions { curriculum, ..plain(Selection::Hard) }, p);
        assert_eq!((at(0.1), at(0.9)), (sum, max));
        let between = at(0.5);
        assert!((max..=sum).contains(&between), "{ramp:?}: {between}");
    }
}

#[test]
fn a_saved_state_goes_on_alike_and_a_damaged_one_is_refused() {
    for (name, options) in all() {
        let mut objective = Objective::new(options.clone(), 4, 3).expect("valid");
        for seed in 0..3 {
            let raw = Raw::new(seed, &GROUPS, 4);
            if objective.refresh_due() {
                let rows: Vec<u32> = (0..10).collect();
                objective.refresh(&rows, &raw.classes, raw.images.view()).expect("finite rows");
            }
            raw.step(&mut objective, 0.5).expect("a loss");
        }
        let bytes = objective.export();
        let mut again = Objective::new(options, 4, 99).expect("valid");
        again.import(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        // The seed is an argument and not a state.
        again.seed = objective.seed;
        let raw = Raw::new(50, &GROUPS, 4);
        let (a, b) = (raw.step(&mut objective, 0.5), raw.step(&mut again, 0.5));
        let (a, b) = (a.expect("a loss"), b.expect("a loss"));
        assert_eq!((a.loss, a.images, a.texts), (b.loss, b.images, b.texts), "{name}");
        assert_eq!(again.export(), objective.export(), "{name}");
        for length in 0..bytes.len().min(200) {
            assert!(again.import(&bytes[..length]).is_err(), "{name}: cut to {length}");
        }
    }
}

#[test]
fn the_magnet_index_finds_the_clusters_and_plans_around_confused_ones() {
    // Two classes of two clusters each; cluster b of class 0 lies beside class 1.
    let centres = [[4.0, 0.0], [0.0, 4.0], [0.2, 3.5], [-4.0, 0.0]];
    let classes: Vec<u32> = (0..40).map(|i| u32::from(i % 4 > 1)).collect();
    let mut rng = Pcg64::seed_from_u64(5);
    let images =
        Array2::from_shape_fn((40, 2), |(i, j)| centres[i % 4][j] + rng.random_range(-0.2..0.2));
    let options = ObjectiveOptions {
        sides: Sides::IMAGES,
        ..ObjectiveOptions::both_ways(Loss::Magnet(MagnetOptions {
            loss: Magnet { alpha: 1.0 },
            clusters: 2,
            refresh: 1,
        }))
    };
    let mut objective = Objective::new(options, 2, 1).expect("valid");
    let batch = Batch {
        images: images.view(),
        texts: None,
        groups: &classes,
        classes: Some(&classes),
        near: None,
        rows: None,
        image_lengths: None,
        text_lengths: None,
    };
    assert_eq!(objective.index().plan(2, 4, &mut rng), None, "nothing seen yet");
    let first = objective.step(&batch, 0.0, &mut rng).expect("a loss").loss;
    assert!(objective.refresh_due(), "there are no clusters");
    let rows: Vec<u32> = (0..40).collect();
    objective.refresh(&rows, &classes, images.view()).expect("finite rows");
    assert!(!objective.refresh_due() && objective.index().len() == 40);
    let mut found: Vec<(u32, [i32; 2])> = objective
        .index()
        .centres()
        .map(|(_, class, c)| (class, [c[0].round() as i32, c[1].round() as i32]))
        .collect();
    found.sort_unstable();
    assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert!(found.contains(&(0, [4, 0])) && found.contains(&(1, [-4, 0])), "{found:?}");
    let second = objective.step(&batch, 0.0, &mut rng).expect("a loss").loss;
    assert!(second < first, "clusters fit better than classes: {second}, {first}");
    assert!(objective.refresh_due(), "one step was all");
    // Other embeddings, other clusters: what was seen in steps does not matter.
    let turned = Array2::from_shape_fn((40, 2), |(i, j)| -images[[i, j]]);
    let mut moved = objective.clone();
    moved
        .refresh(&rows[..20], &classes[..20], turned.slice(ndarray::s![..20, ..]))
        .expect("finite rows");
    assert_eq!(moved.index().len(), 20, "the others are forgotten");
    assert!(moved.index().centres().any(|c| c.1 == 1 && c.2[0].round() == 4.0));
    let mut broken = images.clone();
    broken[[7, 0]] = f64::NAN;
    let error = moved.refresh(&rows, &classes, broken.view()).expect_err("NaN");
    assert_eq!(error, LossError::NotFinite { what: "images", row: 7 });
    let rows = objective.index().plan(2, 4, &mut rng).expect("clusters");
    assert_eq!(rows.len(), 8);
    let of: std::collections::BTreeSet<u32> = rows.iter().map(|r| classes[*r as usize]).collect();
    assert_eq!(of.len(), 2, "a seed of one class, its neighbour of the other");
    let mut near = 0;
    for _ in 0..200 {
        let rows = objective.index().plan(2, 4, &mut rng).expect("clusters");
        near += usize::from(rows.iter().all(|r| matches!(r % 4, 1 | 2)));
    }
    assert!(near > 100, "the confused pair is drawn most often: {near} of 200");
}
