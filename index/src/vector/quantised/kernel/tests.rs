use proptest::prelude::*;

use super::*;

/// Those this processor has, but for the oracle.
fn fast() -> Vec<Kernel> {
    let all: Vec<_> = Kernel::every().into_iter().skip(1).filter(|k| (k.has)()).collect();
    println!("{:?}", all.iter().map(Kernel::name).collect::<Vec<_>>());
    all
}

#[test]
fn the_best_is_one_the_processor_has() {
    let best = Kernel::best();
    assert!((best.has)());
    assert_eq!(fast().first().map_or("portable", Kernel::name), best.name());
}

/// Checks everything about codes and queries of one length on all kernels.
fn agree(stride: usize, codes: &[u8], queries: [&[i8]; 2], nodes: &[u32]) {
    let rows = CodeRows::new(codes, stride);
    let oracle = scalar::KERNEL;
    // The oracle against sums of products written out.
    for row in 0..rows.len() {
        let exact: i64 =
            rows.row(row).iter().zip(queries[0]).map(|(&c, &q)| i64::from(c) * i64::from(q)).sum();
        let mut out = [0];
        oracle.each(queries[0], rows, &[row as u32], &mut out);
        assert_eq!(i64::from(out[0]), exact);
    }
    for kernel in fast() {
        let name = kernel.name();
        let [mut found, mut expected] = [vec![7; nodes.len()], vec![9; nodes.len()]];
        kernel.each(queries[0], rows, nodes, &mut found);
        oracle.each(queries[0], rows, nodes, &mut expected);
        assert_eq!(found, expected, "{name}, each of {nodes:?}, stride {stride}");
        for from in 0..=rows.len() {
            let [mut found, mut expected] =
                [vec![[7; 2]; rows.len() - from], vec![[9; 2]; rows.len() - from]];
            kernel.range(queries, rows, from, &mut found);
            oracle.range(queries, rows, from, &mut expected);
            assert_eq!(found, expected, "{name}, range from {from}, stride {stride}");
            if let Some(last) = rows.len().checked_sub(1) {
                let (a, b) = (rows.row(from.min(last)), rows.row(0));
                assert_eq!(kernel.pair(a, b), oracle.pair(a, b), "{name}, stride {stride}");
            }
        }
    }
}

#[test]
fn extremes_of_every_length() {
    // All combinations of the ends of both ranges, where a product that is added in too
    // few bits, or saturates, goes wrong first.
    for lines in (1..=24).chain([MAX_STRIDE / LINE]) {
        let stride = lines * LINE;
        for (code, q) in [(255, -128), (255, 127), (0, -128), (0, 127), (128, -128), (1, 1)] {
            let count = if lines > 24 { 2 } else { 5 };
            let query = vec![q; stride];
            let codes = vec![code; stride * count];
            agree(stride, &codes, [&query, &query], &[0, 1, 1, 0, 1]);
        }
        let codes: Vec<u8> = (0..stride * 3).map(|i| if i % 2 == 0 { 255 } else { 0 }).collect();
        let query: Vec<i8> = (0..stride).map(|i| if i % 3 == 0 { -128 } else { 127 }).collect();
        agree(stride, &codes, [&query, &query], &[2]);
    }
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let codes = [0; 130];
    let rows = CodeRows::new(&codes, 64);
    assert_eq!(rows.len(), 2);
    rows.prefetch(0);
    rows.prefetch(usize::MAX);
    let query = [0; 64];
    for kernel in fast() {
        for bad in [2, 3, u32::MAX] {
            let each = || kernel.each(&query, rows, &[0, bad], &mut [0; 2]);
            assert!(std::panic::catch_unwind(each).is_err());
        }
        for (from, count) in [(0, 3), (1, 2), (3, 0), (usize::MAX, 1)] {
            let range = || kernel.range([&query, &query], rows, from, &mut vec![[0; 2]; count]);
            assert!(std::panic::catch_unwind(range).is_err(), "{from} {count}");
        }
    }
}

fn codes_and_queries() -> impl Strategy<Value = (usize, Vec<u8>, [Vec<i8>; 2], Vec<u32>)> {
    (1usize..20, 1usize..9).prop_flat_map(|(lines, rows)| {
        let stride = lines * LINE;
        let query = || prop::collection::vec(any::<i8>(), stride);
        (
            Just(stride),
            prop::collection::vec(any::<u8>(), stride * rows),
            [query(), query()],
            prop::collection::vec(0..rows as u32, 0..11),
        )
    })
}

/// From the smallest to large numbers, zeros of both signs among them.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -1f32..1.0, 1 => -1e15f32..1e15, 1 => Just(0.0), 1 => Just(-0.0), 1 => Just(1e-40)]
}

proptest! {
    #[test]
    fn all_kernels_agree((stride, codes, [a, b], nodes) in codes_and_queries()) {
        agree(stride, &codes, [&a, &b], &nodes);
    }

    #[test]
    fn dots_are_equal_bits(
        (a, b) in (0usize..200).prop_flat_map(|n| {
            let side = || prop::collection::vec(number(), n);
            (side(), side())
        })
    ) {
        let expected = scalar::KERNEL.dot(&a, &b);
        for kernel in fast() {
            let found = kernel.dot(&a, &b);
            prop_assert_eq!(found.to_bits(), expected.to_bits(), "{}", kernel.name());
        }
        let products = || a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y));
        let (exact, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
        prop_assert!((f64::from(expected) - exact).abs() <= size * 2e-6 + 1e-37);
        // The shorter one counts.
        prop_assert_eq!(Kernel::best().dot(&a, &b[..b.len() / 2]), Kernel::best().dot(&a[..b.len() / 2], &b));
    }
}
