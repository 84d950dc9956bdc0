use proptest::prelude::*;

use super::super::{Codes, Kernel};
use super::*;

/// A unit vector near `centre`, with some numbers far greater than the rest if `spikes`.
fn unit(numbers: &[f32], centre: &[f32], spikes: bool) -> Vec<f32> {
    let spiked =
        |(i, (n, c)): (usize, (&f32, &f32))| c + n * if spikes && i % 17 == 3 { 30.0 } else { 1.0 };
    let v: Vec<f32> = numbers.iter().zip(centre).enumerate().map(spiked).collect();
    let norm = v.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt() as f32;
    if norm > 0.0 { v.iter().map(|x| x / norm).collect() } else { v }
}

fn vectors() -> impl Strategy<Value = (Vec<Vec<f32>>, Vec<f32>)> {
    (1usize..200, 1usize..70, any::<bool>(), 0f32..3.0).prop_flat_map(
        |(dim, count, spikes, away)| {
            let numbers = || prop::collection::vec(-1f32..1.0, dim);
            (prop::collection::vec(numbers(), count), numbers(), numbers()).prop_map(
                move |(all, centre, query)| {
                    let centre: Vec<f32> = centre.iter().map(|c| c * away).collect();
                    let all = all.iter().map(|v| unit(v, &centre, spikes)).collect();
                    (all, unit(&query, &vec![0.0; dim], spikes))
                },
            )
        },
    )
}

proptest! {
    #[test]
    fn the_cosine_lies_in_its_scope((vectors, query) in vectors(), missing in 0usize..70) {
        let kernel = Kernel::best();
        let there = |i: usize| i != missing;
        let some = vectors.iter().enumerate().map(|(i, v)| there(i).then_some(&v[..]));
        let codes = Codes::of(query.len(), some);
        let block = codes.block();
        let asked = QueryCodes::of(&query);
        let mut scopes = vec![None; vectors.len()];
        let mut note = |i: usize, scope: Scope| {
            scopes[i] = Some(scope);
            f32::NEG_INFINITY
        };
        let against = asked.against(block, 0.0);
        against.each_reaching(0, vectors.len(), f32::NEG_INFINITY, &mut note);
        for (i, (scope, vector)) in scopes.iter().zip(&vectors).enumerate() {
            prop_assert_eq!(scope.is_some(), there(i));
            let Some(scope) = scope else { continue };
            let cosine = kernel.dot(&query, vector).clamp(-1.0, 1.0);
            prop_assert!(scope.lower <= cosine && cosine <= scope.upper, "{:?} {}", scope, cosine);
            let width = scope.upper - scope.lower;
            // Wide enough to be useless would be true as well.
            prop_assert!(width < 0.2, "{}", width);
        }
        // What cannot reach the floor is not shown, what can is; also in a part.
        let least = scopes.iter().flatten().map(|s| s.upper).fold(f32::NEG_INFINITY, f32::max) - 0.05;
        let part = (vectors.len() / 3, vectors.len());
        let mut shown = vec![];
        let mut note = |i: usize, _: Scope| { shown.push(i); least };
        against.each_reaching(part.0, part.1, least, &mut note);
        let expected: Vec<usize> = (part.0..part.1)
            .filter(|&i| scopes[i].is_some_and(|s| s.upper >= least)).collect();
        prop_assert_eq!(shown, expected);
    }

    #[test]
    fn half_squares_are_those_of_the_codes((vectors, _) in vectors()) {
        let codes = Codes::of(vectors[0].len(), vectors.iter().map(|v| Some(&v[..])));
        let block = codes.block();
        for i in 0..codes.len() {
            let decoded = block.rows.row(i).iter()
                .map(|&c| f64::from(block.scales[i]) * (f64::from(c) - 128.0));
            let half = decoded.map(|d| d * d).sum::<f64>() / 2.0;
            prop_assert!((f64::from(block.half_square(Kernel::best(), i)) - half).abs() < 1e-6);
        }
    }
}

#[test]
fn nothing_and_the_smallest_numbers_are_no_trouble() {
    for vector in [[0.0f32; 5], [1e-45; 5], [f32::MIN_POSITIVE; 5], [0.447_213_6; 5]] {
        let codes = Codes::of(5, [Some(&vector[..])].into_iter());
        for query in [[0.0f32; 5], [1e-45; 5], [0.447_213_6; 5]] {
            let least = f32::NEG_INFINITY;
            let mut found = None;
            let mut note = |_: usize, scope: Scope| {
                found = Some(scope);
                least
            };
            let asked = QueryCodes::of(&query);
            asked.against(codes.block(), 0.0).each_reaching(0, 1, least, &mut note);
            let cosine = Kernel::best().dot(&query, &vector);
            let scope = found.expect("there is one");
            assert!(scope.lower <= cosine && cosine <= scope.upper, "{scope:?} {cosine}");
        }
    }
    assert!(Codes::can(1) && Codes::can(65_536) && !Codes::can(0) && !Codes::can(65_537));
}
