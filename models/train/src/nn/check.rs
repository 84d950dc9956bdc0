//! Tests of all towers against the plain networks they export, which compute in
//! 64 bits and know nothing of burn.

use ndarray::{Array2, Array4};
use rand::RngExt;

use super::params::uniform;
use super::*;
use crate::layer::{Feature, Flow, Input};

const DIM: usize = 6;

fn init(
    group: Group,
    build: impl FnOnce(&mut TowerBuilder<'_>) -> (Base, Vec<Op>),
) -> (Tower, Params) {
    let mut params = Params::new();
    let mut rng = rng_for(3, Purpose::Initial, 0);
    let (base, body) = build(&mut TowerBuilder::new(&mut params, &mut rng, group));
    // Away from the special first values (zeros and ones), where mistakes hide.
    for param in params.list_mut() {
        let by = uniform(&mut rng, param.values.len(), 0.2);
        param
            .values
            .iter_mut()
            .zip(by)
            .for_each(|(v, b)| *v += if param.name.ends_with("variance") { b.abs() } else { b });
    }
    (Tower { group, base, body, dim: DIM }, params)
}

fn rows(count: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut rng = rng_for(seed, Purpose::Sample, 0);
    Array2::from_shape_vec((count, width), uniform(&mut rng, count * width, 1.0)).expect("fits")
}

fn pictures(count: usize, side: usize) -> Array4<f32> {
    rows(count, 3 * side * side, 5).into_shape_with_order((count, 3, side, side)).expect("fits")
}

fn tokens() -> TokenBatch {
    let mut rng = rng_for(9, Purpose::Sample, 0);
    let ids = Array2::from_shape_fn((3, 5), |_| rng.random_range(0..11i64));
    let mask = Array2::from_shape_fn((3, 5), |(i, j)| f32::from(u8::from(j < 2 + i)));
    TokenBatch { ids, mask }
}

/// What a tower gives according to the exported plain network.
fn oracle(tower: &Tower, params: &Params, fed: &Fed) -> Vec<f64> {
    match fed {
        Fed::Rows { base, features } => {
            let feature =
                |a: &Array2<f32>, name: &str| Feature { name: name.into(), width: a.ncols() };
            let head = tower
                .head(
                    params,
                    base.as_ref().map(|b| feature(b, "base")),
                    features.iter().map(|f| feature(f, "features")).collect(),
                )
                .expect("a head");
            let flat = |a: &Array2<f32>| a.iter().copied().collect::<Vec<_>>();
            let (base, features) = (base.as_ref().map(flat), features.as_ref().map(flat));
            let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
            head.forward(4, base.as_deref(), &features).expect("rows that fit")
        }
        Fed::Pictures(p) => {
            let (_, channels, height, width) = p.dim();
            let network = tower.network(params, Flow::Picture { channels, height, width });
            let data: Vec<f32> = p.iter().copied().collect();
            let out = network.expect("a network").forward(Input::Numbers(&data));
            out.expect("pictures that fit").into_data()
        }
        Fed::Tokens(t) => {
            let network = tower.network(params, Flow::Ids).expect("a network");
            let ids: Vec<i64> = t.ids.iter().copied().collect();
            let mask: Vec<i64> = t.mask.iter().map(|&m| m as i64).collect();
            let sequence = t.ids.ncols();
            let out = network.forward(Input::Ids { ids: &ids, mask: &mask, sequence });
            out.expect("texts that fit").into_data()
        }
    }
}

fn agrees(tower: &Tower, params: &Params, fed: &Fed) {
    let got = infer(tower, params, fed.clone());
    let want = oracle(tower, params, fed);
    for (g, w) in got.iter().zip(&want) {
        assert!((f64::from(*g) - w).abs() < 1e-5, "{g} for {w}");
    }
    let lengths = got.rows().into_iter().map(|r| r.dot(&r));
    assert!(lengths.into_iter().all(|l| (l - 1.0).abs() < 1e-5), "unit length");
}

/// Gradients of Σ embedding ⊙ c against differences of the 64-bit oracle.
fn differentiates(tower: &Tower, params: &Params, fed: &Fed) {
    agrees(tower, params, fed);
    let mut after = params.clone();
    let pass = forward(tower, params, fed.clone(), rng_for(0, Purpose::DropImages, 0));
    let out = pass.embeddings();
    let c = rows(out.nrows(), out.ncols(), 17);
    let gradients = backward(pass, c.clone(), &mut after);
    let value = |params: &Params| -> f64 {
        oracle(tower, params, fed).iter().zip(&c).map(|(e, &c)| e * f64::from(c)).sum()
    };
    let mut rng = rng_for(1, Purpose::Order, 0);
    for (place, gradient) in gradients.iter().enumerate() {
        let gradient = gradient.as_ref().expect("every parameter matters");
        for _ in 0..6 {
            let i = rng.random_range(0..gradient.len());
            let h = 1e-3f32;
            let mut moved = params.clone();
            moved.list_mut()[place].values[i] += h;
            let up = value(&moved);
            let above = moved.list()[place].values[i];
            moved.list_mut()[place].values[i] = params.list()[place].values[i] - h;
            let step = f64::from(above) - f64::from(moved.list()[place].values[i]);
            let want = (up - value(&moved)) / step;
            let got = f64::from(gradient[i]);
            let name = &params.list()[place].name;
            assert!(
                (got - want).abs() < 2e-3 * (1.0 + want.abs()),
                "{name}[{i}]: {got} for {want}"
            );
        }
    }
}

#[test]
fn heads_are_what_they_export() {
    let fed = Fed::Rows { base: Some(rows(4, DIM, 1)), features: Some(rows(4, 10, 2)) };
    let (tower, params) =
        init(Group::Image, |b| (Base::Plain, b.mlp_head([10, 7, DIM], 2, [0.0, 0.0], 0.1)));
    differentiates(&tower, &params, &fed);
    let (tower, params) =
        init(Group::Image, |b| (b.map(DIM, DIM), b.mlp_head([10, 7, DIM], 1, [0.0, 0.0], 1.0)));
    differentiates(&tower, &params, &fed);
    let (tower, params) = init(Group::Text, |b| (Base::Plain, b.linear_head(10, DIM, true, 1.0)));
    differentiates(&tower, &params, &fed);
    let (tower, params) = init(Group::Image, |b| (Base::None, b.linear_head(10, DIM, false, 1.0)));
    let fed = Fed::Rows { base: None, features: Some(rows(4, 10, 2)) };
    differentiates(&tower, &params, &fed);
}

/// Gradients of Σ length · k against differences of the 64-bit layers before unit length.
#[test]
fn lengths_have_a_gradient_too() {
    let (tower, params) =
        init(Group::Text, |b| (Base::None, b.mlp_head([10, 7, DIM], 1, [0.0, 0.0], 1.0)));
    let features = rows(4, 10, 2);
    let k = [0.7f32, -1.1, 0.3, 0.9];
    let value = |params: &Params| -> f64 {
        let feature = Feature { name: "features".into(), width: 10 };
        let head = tower.head(params, None, vec![feature]).expect("a head");
        let flat: Vec<f32> = features.iter().copied().collect();
        let raw = head.body().expect("layers").forward(Input::Numbers(&flat)).expect("rows");
        let lengths = raw.data().chunks(DIM).map(|x| x.iter().map(|v| v * v).sum::<f64>().sqrt());
        lengths.zip(k).map(|(l, k)| l * f64::from(k)).sum()
    };
    let fed = Fed::Rows { base: None, features: Some(features.clone()) };
    let pass = forward(&tower, &params, fed, rng_for(0, Purpose::DropTexts, 0));
    let told: f64 = pass.lengths().iter().zip(k).map(|(l, k)| f64::from(l * k)).sum();
    assert!((told - value(&params)).abs() < 1e-5);
    let gradient = Gradient { embeddings: Array2::zeros((4, DIM)), lengths: Some(k.to_vec()) };
    let gradients = backward(pass, gradient, &mut params.clone());
    for (place, gradient) in gradients.iter().enumerate() {
        for (i, &got) in gradient.as_ref().expect("every parameter matters").iter().enumerate() {
            let at = |by: f32| {
                let mut moved = params.clone();
                moved.list_mut()[place].values[i] += by;
                (f64::from(moved.list()[place].values[i]), value(&moved))
            };
            let ((high, up), (low, down)) = (at(1e-3), at(-1e-3));
            let want = (up - down) / (high - low);
            let name = &params.list()[place].name;
            let off = (f64::from(got) - want).abs();
            assert!(off < 2e-3 * (1.0 + want.abs()), "{name}[{i}]: {got} for {want}");
        }
    }
}

/// Heads of all kinds, and what each is fed.
fn heads() -> Vec<(Tower, Params, Fed)> {
    let both = || Fed::Rows { base: Some(rows(4, DIM, 1)), features: Some(rows(4, 10, 2)) };
    let features = || Fed::Rows { base: None, features: Some(rows(4, 10, 2)) };
    let base = || Fed::Rows { base: Some(rows(4, DIM, 1)), features: None };
    type Build = fn(&mut TowerBuilder<'_>) -> (Base, Vec<Op>);
    let all: [(Build, Fed); 6] = [
        (|b| (Base::Plain, b.mlp_head([10, 7, DIM], 2, [0.3, 0.2], 0.1)), both()),
        (|b| (b.map(DIM, DIM), b.mlp_head([10, 7, DIM], 1, [0.0, 0.5], 1.0)), both()),
        (|b| (Base::None, b.mlp_head([10, 7, DIM], 1, [0.4, 0.0], 1.0)), features()),
        (|b| (Base::None, b.linear_head(10, DIM, false, 1.0)), features()),
        (|b| (b.map(DIM, DIM), Vec::new()), base()),
        (|_| (Base::Plain, Vec::new()), base()),
    ];
    let made = all.into_iter().map(|(build, fed)| {
        let (tower, params) = init(Group::Image, build);
        (tower, params, fed)
    });
    made.collect()
}

#[test]
fn heads_are_the_same_with_and_without_a_record() {
    for (kind, (tower, params, fed)) in heads().into_iter().enumerate() {
        let rng = || rng_for(4, Purpose::DropImages, kind as u64);
        let plain = forward(&tower, &params, fed.clone(), rng());
        let recorded = forward::recorded(&tower, &params, fed, rng());
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5 * (1.0 + b.abs());
        let pairs = plain.embeddings().into_iter().zip(recorded.embeddings());
        assert!(pairs.into_iter().all(|(a, b)| near(a, b)), "head {kind}");
        let mut lengths = plain.lengths().into_iter().zip(recorded.lengths());
        assert!(lengths.all(|(a, b)| near(a, b)), "head {kind}");
        let gradient =
            || Gradient { embeddings: rows(4, DIM, 17), lengths: Some(vec![0.7, -1.1, 0.3, 0.9]) };
        let mut params = params.clone();
        let plain = backward(plain, gradient(), &mut params);
        let recorded = backward(recorded, gradient(), &mut params);
        assert_eq!(plain.len(), recorded.len());
        for (place, (a, b)) in plain.iter().zip(&recorded).enumerate() {
            assert_eq!(a.is_some(), b.is_some(), "head {kind}, parameter {place}");
            let mut pairs = a.iter().flatten().zip(b.iter().flatten());
            assert!(pairs.all(|(a, b)| near(*a, *b)), "head {kind}, parameter {place}");
        }
    }
}

#[test]
fn a_head_is_the_same_to_the_bit_for_any_number_of_threads() {
    // Large enough that every part of it is split.
    let (tower, params) =
        init(Group::Image, |b| (Base::Plain, b.mlp_head([300, 200, DIM], 1, [0.1, 0.1], 1.0)));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let (base, features) = (rows(150, DIM, 1), rows(150, 300, 2));
            let fed = Fed::Rows { base: Some(base), features: Some(features) };
            let pass = forward(&tower, &params, fed, rng_for(4, Purpose::DropImages, 0));
            let embeddings = pass.embeddings();
            (embeddings, backward(pass, rows(150, DIM, 17), &mut params.clone()))
        })
    };
    let one = run(1);
    assert!([2, 3, 5].into_iter().all(|threads| run(threads) == one));
}

#[test]
fn a_head_starts_at_its_base() {
    let mut params = Params::new();
    let mut rng = rng_for(3, Purpose::Initial, 0);
    let mut builder = TowerBuilder::new(&mut params, &mut rng, Group::Image);
    let base = builder.map(DIM, DIM);
    let body = builder.mlp_head([10, 7, DIM], 1, [0.5, 0.5], 0.0);
    let tower = Tower { group: Group::Image, base, body, dim: DIM };
    let base = rows(4, DIM, 1);
    let fed = Fed::Rows { base: Some(base.clone()), features: Some(rows(4, 10, 2)) };
    let got = infer(&tower, &params, fed);
    for (got, want) in got.rows().into_iter().zip(base.rows()) {
        let length = want.dot(&want).sqrt();
        assert!(got.iter().zip(want).all(|(g, w)| (g - w / length).abs() < 1e-6));
    }
}

#[test]
fn transformers_are_what_they_export() {
    let (tower, params) = init(Group::Image, |b| (Base::None, b.vit([8, 4], [8, 2, 2], DIM, 0.0)));
    differentiates(&tower, &params, &Fed::Pictures(pictures(3, 8)));
    let (tower, params) =
        init(Group::Text, |b| (Base::None, b.text_transformer([11, 6], [8, 1, 2], DIM, 0.0)));
    // Not every word of the table occurs, so differences there are zero.
    differentiates(&tower, &params, &Fed::Tokens(tokens()));
}

#[test]
fn a_convolutional_tower_folds_its_norms_and_follows_the_batch() {
    let (tower, mut params) = init(Group::Image, |b| (Base::None, b.cnn(&[4, 6], DIM, 0.0)));
    let fed = Fed::Pictures(pictures(4, 8));
    agrees(&tower, &params, &fed);
    // Trained on one batch until the running statistics are its own, training
    // and inference see the same.
    for step in 0..300 {
        let pass = forward(&tower, &params, fed.clone(), rng_for(0, Purpose::DropImages, step));
        let zero = Array2::zeros((4, DIM));
        let _ = backward(pass, zero, &mut params);
    }
    let trained = forward(&tower, &params, fed.clone(), rng_for(0, Purpose::DropImages, 0));
    let inferred = infer(&tower, &params, fed.clone());
    // Up to the correction of the variance by n / (n − 1).
    for (a, b) in trained.embeddings().iter().zip(&inferred) {
        assert!((a - b).abs() < 0.2, "{a} and {b}");
    }
    // Gradients against differences of the training pass itself (batch statistics).
    let c = rows(4, DIM, 17);
    let value = |params: &Params| -> f64 {
        let pass = forward(&tower, params, fed.clone(), rng_for(0, Purpose::DropImages, 0));
        pass.embeddings().iter().zip(&c).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let gradients = backward(trained, c.clone(), &mut params.clone());
    for (place, gradient) in gradients.iter().enumerate() {
        let trained = params.list()[place].trained;
        assert_eq!(gradient.is_some(), trained, "running statistics have no gradient");
        let Some(gradient) = gradient else { continue };
        // Along the gradient, where a difference in 32 bits says something.
        let length: f32 = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        if length < 1e-3 {
            continue;
        }
        let moved = |by: f32| {
            let mut moved = params.clone();
            let values = moved.list_mut()[place].values.iter_mut();
            values.zip(gradient).for_each(|(v, g)| *v += by * g / length);
            value(&moved)
        };
        let want = (moved(2e-3) - moved(-2e-3)) / 4e-3;
        let name = &params.list()[place].name;
        assert!(
            (want - f64::from(length)).abs() < 0.05 * (0.05 + want.abs()),
            "{name}: {length} for {want}"
        );
    }
}

#[test]
fn dropout_keeps_the_mean_and_repeats_by_seed() {
    let (tower, params) =
        init(Group::Image, |b| (Base::None, b.mlp_head([10, 64, DIM], 1, [0.3, 0.5], 1.0)));
    let fed = Fed::Rows { base: None, features: Some(rows(4, 10, 2)) };
    let run = |step| {
        forward(&tower, &params, fed.clone(), rng_for(1, Purpose::DropImages, step)).embeddings()
    };
    assert_eq!(run(1), run(1), "one seed, one mask");
    assert_ne!(run(1), run(2), "another step, another mask");
}
