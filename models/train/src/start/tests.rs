//! The closed form against what defines it, and what is published against what
//! was trained.

use ndarray::{Array1, Array2, Axis};
use rand::RngExt;

use super::{Cholesky, Correct, Ridge, Standard, Start, StartError, StartOptions, TextSpace};
use crate::layer::Feature;
use crate::nn::{Base, Fed, Group, Params, Purpose, Tower, TowerBuilder, infer, rng_for};

fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = rng_for(seed, Purpose::Sample, 0);
    Array2::from_shape_fn((rows, columns), |_| rng.random::<f32>() * 2.0 - 1.0)
}

/// Features that depend on one another and lie at different scales.
fn features(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mix = random(columns, columns, seed + 100);
    let scale = Array1::from_iter((0..columns).map(|i| 0.01 * 1.7f32.powi((i % 17) as i32)));
    random(rows, columns, seed).dot(&mix) * scale + 3.0
}

fn centred(y: &Array2<f32>) -> Array2<f64> {
    let y = y.mapv(f64::from);
    let mean = y.mean_axis(Axis(0)).expect("rows");
    y - mean
}

const OPTIONS: StartOptions =
    StartOptions { penalty: 0.3, clip: 2.0, base: 0.5, shrink: 0.3, correct: Correct::Features };

#[test]
fn the_factor_times_its_transpose_is_the_matrix() {
    // 230 rows: two whole blocks and a part; 96: one exactly; 1: a part of one.
    for n in [1, 95, 96, 97, 230] {
        let x = random(n + 20, n, 1).mapv(f64::from);
        let mut a = x.t().dot(&x);
        a.diag_mut().iter_mut().for_each(|v| *v += 0.1);
        let factor = Cholesky::new(a.clone()).expect("positive definite");
        // L⁻ᵀ·L⁻¹·a = I, so solving the rows of a (it is symmetric) gives it.
        let mut solved = a.clone();
        factor.solve_rows(solved.view_mut());
        let mut columns = solved.t().as_standard_layout().into_owned();
        factor.solve_transposed(&mut columns);
        let off = (columns - Array2::<f64>::eye(n)).mapv(f64::abs);
        let most = off.iter().copied().fold(0.0, f64::max);
        assert!(most < 1e-9, "{n} rows: {most}");
    }
}

#[test]
fn what_is_not_positive_definite_is_told_by_row() {
    let mut a = Array2::<f64>::eye(150);
    a[[120, 120]] = -1.0;
    assert_eq!(Cholesky::new(a.clone()), Err(120));
    a[[120, 120]] = f64::NAN;
    assert_eq!(Cholesky::new(a), Err(120));
}

#[test]
fn the_map_solves_the_normal_equations_and_no_step_from_it_is_better() {
    let (x, y) = (features(300, 110, 2), centred(&random(300, 5, 3)));
    let penalty = 0.2;
    let ridge = Ridge::fit(x.view(), y.view(), penalty, 2.5).expect("a map");
    let u = ridge.standard().apply(x.view()).mapv(f64::from);
    let w = ridge.unwhiten(ridge.weight().view()).mapv(f64::from);
    let n = u.nrows() as f64;
    // (UᵀU/n + penalty)·W = UᵀY/n
    let left = u.t().dot(&u.dot(&w)) / n + &w * penalty;
    let right = u.t().dot(&y) / n;
    let size = right.iter().map(|v| v * v).sum::<f64>().sqrt();
    let residual = (&left - &right).iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!(residual < 1e-5 * size, "{residual} of {size}");

    // The objective itself, by central differences: flat, and higher on both sides.
    let objective = |w: &Array2<f64>| {
        let error = u.dot(w) - &y;
        error.iter().map(|v| v * v).sum::<f64>() / n
            + penalty * w.iter().map(|v| v * v).sum::<f64>()
    };
    let here = objective(&w);
    for place in [[0, 0], [17, 3], [109, 4], [60, 1]] {
        let at = |by: f64| {
            let mut w = w.clone();
            w[place] += by;
            objective(&w)
        };
        let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert!(slope.abs() < 1e-5, "{place:?}: {slope}");
        assert!(at(0.05) > here && at(-0.05) > here);
    }
}

#[test]
fn a_map_without_some_rows_is_that_of_the_others() {
    let (x, y) = (features(150, 30, 20), centred(&random(150, 4, 21)));
    let penalty = 0.3;
    let ridge = Ridge::fit(x.view(), y.view(), penalty, 3.0).expect("a map");
    let z = ridge.whiten(x.view());
    let residual = &y - &z.dot(ridge.weight()).mapv(f64::from);
    let out: Vec<usize> = (0..150).filter(|i| i % 4 == 1).collect();
    let rest: Vec<usize> = (0..150).filter(|i| i % 4 != 1).collect();
    let select = |rows: &[usize]| (z.select(Axis(0), rows), residual.select(Axis(0), rows));
    let (z_out, e_out) = select(&out);
    let got = ridge.without(z_out.view(), e_out.view(), 150).expect("a map");
    let got = ridge.unwhiten(got.view());
    // The others' normal equations, solved by a general solver.
    let u = ridge.standard().apply(x.view()).mapv(f64::from).select(Axis(0), &rest);
    let y = y.select(Axis(0), &rest);
    let a = nalgebra::DMatrix::from_fn(30, 30, |i, j| {
        u.column(i).dot(&u.column(j)) + if i == j { 150.0 * penalty } else { 0.0 }
    });
    let b = nalgebra::DMatrix::from_fn(30, 4, |i, j| u.column(i).dot(&y.column(j)));
    let want = a.lu().solve(&b).expect("one solution");
    for ((i, j), &got) in got.indexed_iter() {
        assert!(
            (f64::from(got) - want[(i, j)]).abs() < 1e-5,
            "{i}, {j}: {got} for {}",
            want[(i, j)]
        );
    }
}

#[test]
fn whitened_features_give_the_same_map_and_have_the_promised_covariance() {
    let (x, y) = (features(400, 60, 4), centred(&random(400, 3, 5)));
    let penalty = 0.4;
    let ridge = Ridge::fit(x.view(), y.view(), penalty, 8.0).expect("a map");
    let z = ridge.whiten(x.view());
    let by_z = z.dot(ridge.weight());
    let by_u = ridge.standard().apply(x.view()).dot(&ridge.unwhiten(ridge.weight().view()));
    assert!((by_z - by_u).iter().all(|v| v.abs() < 1e-4));
    // ZᵀZ/n has the eigenvalues of C·(C + penalty)⁻¹: below 1, with the same trace.
    let z = z.mapv(f64::from);
    let covariance = z.t().dot(&z) / 400.0;
    assert!(covariance.diag().iter().all(|&v| v > 0.0 && v < 1.0));
    let u = ridge.standard().apply(x.view()).mapv(f64::from);
    let c = u.t().dot(&u) / 400.0;
    let dense = nalgebra::DMatrix::from_fn(60, 60, |i, j| c[[i, j]]);
    let eigenvalues = nalgebra::SymmetricEigen::new(dense).eigenvalues;
    let want: f64 = eigenvalues.iter().map(|v| v / (v + penalty)).sum();
    let got = covariance.diag().sum();
    assert!((got - want).abs() < 1e-4, "{got} for {want}");
}

#[test]
fn standard_features_are_centred_cut_off_and_blind_to_constants() {
    let mut x = features(200, 6, 6);
    x.column_mut(2).fill(7.0);
    x[[3, 1]] = 1e4;
    let standard = Standard::fit(x.view(), 3.0).expect("features that differ");
    let u = standard.apply(x.view());
    assert!(u.column(2).iter().all(|&v| v == 0.0));
    for column in u.columns() {
        let mean = column.sum() / 200.0;
        assert!(mean.abs() < 1e-5, "{mean}");
        assert!(column.iter().all(|v| v.abs() <= 6.0));
    }
    // Far outside of what was seen it stays bounded, constants included.
    let far = standard.apply(Array2::from_elem((1, 6), 1e30).view());
    assert!(far.iter().all(|v| v.abs() <= 6.0) && far[[0, 2]] == 0.0);
}

#[test]
fn a_space_without_shrinking_is_centring_and_with_it_evens_out_variances() {
    let texts = features(500, 12, 7);
    let plain = TextSpace::fit(texts.view(), 0.0).expect("texts");
    assert!(plain.map().is_none());
    let got = plain.apply(texts.view());
    let want = &texts - &texts.mean_axis(Axis(0)).expect("rows");
    assert!((got - want).iter().all(|v| v.abs() < 1e-4));

    // To the power of −½ covariances are whitened, but for what is added to them.
    let half = TextSpace::fit(texts.view(), 0.5).expect("texts").apply(texts.view());
    let half = half.mapv(f64::from);
    let c = half.t().dot(&half) / 500.0;
    let dense = nalgebra::DMatrix::from_fn(12, 12, |i, j| c[[i, j]]);
    let after = nalgebra::SymmetricEigen::new(dense).eigenvalues;
    let raw = centred(&texts);
    let c = raw.t().dot(&raw) / 500.0;
    let dense = nalgebra::DMatrix::from_fn(12, 12, |i, j| c[[i, j]]);
    let before = nalgebra::SymmetricEigen::new(dense).eigenvalues;
    assert!(after.max() / after.min() < 0.01 * before.max() / before.min());
}

fn fitted(options: StartOptions) -> (Start, Array2<f32>, Array2<f32>, Array2<f32>) {
    let (x, base) = (features(120, 40, 8), random(120, 7, 9));
    let texts = random(120, 7, 10);
    let start = Start::fit(x.view(), Some(base.view()), texts.view(), texts.view(), options);
    (start.expect("a start"), x, base, texts)
}

#[test]
fn the_start_lies_near_its_targets() {
    // Targets that are a linear map of the features, which few directions carry.
    let x = features(300, 20, 11);
    let mut y =
        Standard::fit(x.view(), 8.0).expect("features").apply(x.view()).dot(&random(20, 5, 12));
    for mut row in y.rows_mut() {
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    let options = StartOptions { penalty: 1e-3, clip: 8.0, base: 0.0, shrink: 0.0, ..OPTIONS };
    let start = Start::fit(x.view(), None, y.view(), y.view(), options).expect("a start");
    let images = start.images(start.features(x.view()).view(), None);
    let texts = start.texts(y.view());
    let nearest = (0..300).filter(|&i| {
        let cosine = |j: usize| {
            let (a, b) = (images.row(i), texts.row(j));
            a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
        };
        (0..300).all(|j| cosine(j) <= cosine(i) + 1e-6 || (cosine(j) - cosine(i)).abs() < 0.02)
    });
    let share = nearest.count() as f64 / 300.0;
    assert!(share > 0.5, "{share} of pictures find their own text first; 1/300 by chance");
}

#[test]
fn what_is_published_computes_what_was_trained() {
    use Correct::{Embedding, Features};
    for (base_weight, shrink, correct) in [
        (0.5, 0.3, Features),
        (0.5, 0.0, Features),
        (0.0, 0.3, Features),
        (0.5, 0.3, Embedding),
        (0.5, 0.0, Embedding),
        (0.0, 0.0, Embedding),
    ] {
        let options = StartOptions { base: base_weight, shrink, correct, ..OPTIONS };
        let (start, x, base, texts) = fitted(options);
        let mut params = Params::new();
        let mut rng = rng_for(13, Purpose::Initial, 0);
        let tower = |group, params: &mut Params, rng: &mut _, from| {
            let body = TowerBuilder::new(params, rng, group).linear_head(from, 7, true, 0.7);
            Tower { group, base: Base::Plain, body, dim: 7 }
        };
        let image =
            tower(Group::Image, &mut params, &mut rng, if correct == Features { 40 } else { 7 });
        let text = tower(Group::Text, &mut params, &mut rng, 7);
        for param in params.list_mut().iter_mut().filter(|p| p.shape.len() == 1) {
            param.values.iter_mut().enumerate().for_each(|(i, v)| *v = 0.1 * i as f32 - 0.3);
        }
        let z = start.features(x.view());
        let from = start.images(z.view(), Some(base.view()));
        let read = if correct == Features { z } else { from.clone() };
        let want = infer(&image, &params, Fed::Rows { base: Some(from), features: Some(read) });
        let named = |name: &str, width| Feature { name: name.to_owned(), width };
        // In two parts, as several outputs of a base would come.
        let parts = vec![named("a", 30), named("b", 10)];
        let head = start.image_head(&image, &params, named("base", 7), parts).expect("a head");
        assert_eq!(head.base().is_some(), base_weight > 0.0);
        let flat = |a: &Array2<f32>| a.iter().copied().collect::<Vec<f32>>();
        let (a, b) = x.view().split_at(Axis(1), 30);
        let (a, b) = (flat(&a.to_owned()), flat(&b.to_owned()));
        let base = flat(&base);
        let base = head.base().map(|_| base.as_slice());
        let got = head.forward(120, base, &[&a, &b]).expect("rows");
        close(&got, &want);

        let t = start.texts(texts.view());
        let frozen = Tower { group: Group::Text, base: Base::Plain, body: Vec::new(), dim: 7 };
        for tower in [&text, &frozen] {
            let fed = Fed::Rows { base: Some(t.clone()), features: Some(t.clone()) };
            let want = infer(tower, &params, fed);
            let head = start.text_head(tower, &params, named("text", 7)).expect("a head");
            close(&head.forward(120, None, &[&flat(&texts)]).expect("rows"), &want);
        }
    }
}

fn close(got: &[f64], want: &Array2<f32>) {
    let most = got.iter().zip(want).map(|(g, &w)| (g - f64::from(w)).abs()).fold(0.0, f64::max);
    assert!(most < 1e-5, "{most}");
}

#[test]
fn what_cannot_be_solved_is_refused() {
    let (x, y) = (features(20, 4, 14), random(20, 3, 15));
    let fit = |x: &Array2<f32>, y: &Array2<f32>, penalty: f64| {
        Start::fit(
            x.view(),
            None,
            y.view(),
            y.view(),
            StartOptions { penalty, base: 0.0, ..OPTIONS },
        )
    };
    let none = Array2::zeros((0, 4));
    assert_eq!(
        fit(&none, &Array2::zeros((0, 3)), 0.5).err(),
        Some(StartError::Empty { rows: 0, columns: 4 })
    );
    let mut broken = x.clone();
    broken[[7, 2]] = f32::NAN;
    let error = fit(&broken, &y, 0.5).expect_err("a NaN").to_string();
    assert!(error.contains("row 7, number 2"), "{error}");
    let mut broken = y.clone();
    broken[[5, 1]] = f32::INFINITY;
    assert!(matches!(fit(&x, &broken, 0.5), Err(StartError::NotFinite { what: "targets", .. })));
    let same = Array2::from_elem((20, 4), 2.5);
    assert_eq!(fit(&same, &y, 0.5).err(), Some(StartError::Constant { rows: 20, columns: 4 }));
    for penalty in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(fit(&x, &y, penalty), Err(StartError::Penalty(_))), "{penalty}");
    }
    let few = random(19, 3, 16);
    assert_eq!(fit(&x, &few, 0.5).err(), Some(StartError::Rows { features: 20, targets: 19 }));
    let base = random(20, 5, 17);
    let got = Start::fit(x.view(), Some(base.view()), y.view(), y.view(), OPTIONS);
    assert_eq!(got.err(), Some(StartError::Base { base: 5, texts: 3 }));
}
