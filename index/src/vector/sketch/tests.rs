use proptest::prelude::*;

use super::super::quantised::Codes;
use super::super::testing::Random;
use super::kernel::ROWS;
use super::*;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

fn turned(numbers: impl Iterator<Item = f32>, dim: usize) -> Vec<f32> {
    let mut numbers: Vec<f32> = numbers.collect();
    numbers.resize(stride_of(dim), 0.0);
    let room = &mut vec![0.0; numbers.len()];
    turn(&mut numbers, 1, room);
    numbers
}

/// A sketch as the module's text says, number by number.
struct Plain {
    along: f64,
    /// s, times 1 or −1.
    signs: Vec<f32>,
    step: f64,
}

impl Plain {
    fn of(codes: CodeBlock<'_>, row: usize) -> Self {
        let told = |&code: &u8| (f32::from(code) - f32::from(ZERO)) * codes.scales[row];
        let dim = codes.centre.len();
        let x: Vec<f32> = codes.rows.row(row).iter().map(told).take(dim).collect();
        let turned = turned(x.iter().copied(), dim);
        let step = dot(&x, &x) / turned.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let signs = turned.iter().map(|x| if *x >= 0.0 { step as f32 } else { -step as f32 });
        Self { along: dot(&x, codes.centre), signs: signs.collect(), step }
    }
}

#[test]
fn lengths_and_angles_stay() {
    let mut random = Random(3);
    for dim in [64, 128, 384, 1024] {
        let [a, b] = [0, 1].map(|_| random.vector(&vec![0.0; dim], 1.0));
        let turned = [&a, &b].map(|v| {
            let mut turned = v.clone();
            turn(&mut turned, 1, &mut vec![0.0; dim]);
            turned
        });
        assert!((dot(&turned[0], &turned[0]) - dot(&a, &a)).abs() < 1e-4);
        assert!((dot(&turned[0], &turned[1]) - dot(&a, &b)).abs() < 1e-4);
        // A single number becomes many, none of which stands out.
        for i in [0, dim / 2, dim - 1] {
            let mut one = vec![0.0; dim];
            one[i] = 1.0;
            turn(&mut one, 1, &mut vec![0.0; dim]);
            let greatest = one.iter().fold(0f32, |most, x| most.max(x.abs()));
            assert!(greatest <= 8.0 / (dim.min(4096) as f32).sqrt(), "{dim}: {greatest}");
        }
        // Side by side or alone.
        let mut both: Vec<f32> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *b]).collect();
        turn(&mut both, 2, &mut vec![0.0; 2 * dim]);
        let alone: Vec<f32> =
            turned[0].iter().zip(&turned[1]).flat_map(|(a, b)| [*a, *b]).collect();
        assert_eq!(both, alone);
    }
}

/// Vectors around some centres, in a space of which some dimensions are far wider than others.
fn vectors(random: &mut Random, dim: usize, count: usize) -> Vec<Vec<f32>> {
    let common = random.vector(&vec![0.0; dim], 1.0);
    let centres: Vec<Vec<f32>> = (0..10).map(|_| random.vector(&common, 0.1)).collect();
    let stretched = |mut vector: Vec<f32>| {
        vector.iter_mut().step_by(7).for_each(|x| *x *= 4.0);
        let length = dot(&vector, &vector).sqrt() as f32;
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    };
    (0..count).map(|i| stretched(random.vector(&centres[i % 10], 0.05))).collect()
}

#[test]
fn reach_is_what_the_text_says_and_hardly_ever_too_short() {
    let seed = 20_261_129;
    println!("seed {seed}");
    let mut random = Random(seed);
    for dim in [48, 384, 500] {
        let all = vectors(&mut random, dim, 1100);
        let (queries, rows) = all.split_at(60);
        let codes = Codes::of(dim, rows.iter().map(|v| Some(&v[..])));
        let block = codes.block();
        let sketches = Sketches::of(block).expect("memory");
        assert_eq!(sketches.blocks(), rows.len().div_ceil(ROWS));
        let plain: Vec<Plain> = (0..rows.len()).map(|row| Plain::of(block, row)).collect();
        let (mut short, mut asked, mut passed) = (0, 0, 0);
        for query in queries {
            let sketch = QuerySketch::of(query, block.centre);
            let against = sketches.against(&sketch);
            let mut cosines: Vec<(f64, usize)> =
                rows.iter().map(|row| dot(query, row)).zip(0..).collect();
            cosines.sort_by(|a, b| b.0.total_cmp(&a.0));
            let tenth = cosines[9].0 as f32;
            let reach: Vec<u32> =
                (0..sketches.blocks()).map(|b| against.reaching(b, tenth)).collect();
            let reaches = |row: usize| reach[row / ROWS] >> (row % ROWS) & 1 == 1;
            assert!((rows.len()..reach.len() * ROWS).all(|row| !reaches(row)), "no such rows");
            let turned = turned(query.iter().zip(block.centre).map(|(q, c)| q - c), dim);
            let length = dot(&turned, &turned).sqrt();
            for (row, plain) in plain.iter().enumerate() {
                let estimate = dot(query, block.centre) + plain.along + dot(&plain.signs, &turned);
                let deviation = plain.step * f64::from(sketches.blur) * length;
                let upper = estimate + f64::from(DEVIATIONS) * deviation;
                // Each number of the tables is off by a part of a unit.
                let unit = f64::from(sketch.asked.unit) * plain.step;
                if (upper - f64::from(tenth)).abs() > 30.0 * unit {
                    assert_eq!(reaches(row), upper > f64::from(tenth), "{dim}: {row}, {estimate}");
                }
                passed += usize::from(!reaches(row));
            }
            short += cosines[..10].iter().filter(|(_, row)| !reaches(*row)).count();
            asked += 10;
        }
        println!("{dim}: {short} of {asked} passed over; in all {passed}");
        assert!(short * 100 <= asked, "{dim}: {short} of {asked} passed over");
        assert!(passed * 2 > queries.len() * rows.len(), "{dim}: hardly any is passed over");
    }
}

#[test]
fn vectors_that_are_no_different_or_not_there() {
    let (one, dim) = ([0.6, 0.8, 0.0], 3);
    // All at their centre, but for one that is missing.
    let codes = Codes::of(dim, [Some(&one[..]), None, Some(&one[..])].into_iter());
    let sketches = Sketches::of(codes.block()).expect("memory");
    for query in [[0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [-0.6, -0.8, 0.0]] {
        let sketch = QuerySketch::of(&query, codes.block().centre);
        let against = sketches.against(&sketch);
        let cosine = dot(&query, &one) as f32;
        assert_eq!(against.reaching(0, cosine - 1e-4), 0b101, "{query:?}");
        assert_eq!(against.reaching(0, cosine + 1e-4), 0, "{query:?}");
        assert_eq!(against.reaching(0, f32::NEG_INFINITY), 0b101, "{query:?}");
    }
    let none = Codes::of(dim, std::iter::empty());
    assert_eq!(Sketches::of(none.block()).expect("memory").blocks(), 0);
}

proptest! {
    #[test]
    fn all_lookups_agree(
        (tables, fours) in (1usize..40).prop_flat_map(|groups| (
            prop::collection::vec(prop::array::uniform16(any::<u8>()), groups * 8),
            prop::collection::vec(any::<u8>(), groups * 8 * PAIR / 2),
        )),
        steps in prop::array::uniform32(-1f32..1.0),
        along in prop::array::uniform32(-1f32..1.0),
        (unit, shift) in (0f32..0.1, -100f32..100.0),
        row in 0..ROWS,
    ) {
        let asked = Asked::new(tables.iter().copied(), unit, shift);
        let block = Block { fours: &fours, steps: &steps, along: &along };
        // What one row says exactly, so that a difference of the last bit would be seen.
        let four = |(i, table): (usize, &[u8; 16])| {
            let byte = fours[i * PAIR / 2 + row % 16];
            u16::from(table[usize::from(byte >> (row / 16 * 4) & 15)].min(TOP))
        };
        let sum: u16 = tables.iter().enumerate().map(four).sum();
        let exact = (f32::from(sum) * unit + shift) * steps[row] + along[row];
        let usable = Lookup::usable();
        for lookup in &usable {
            for least in [f32::NEG_INFINITY, exact, exact.next_up(), 0.0, f32::INFINITY] {
                let reaching = lookup.reaching(&asked, block, least);
                prop_assert_eq!(reaching, usable[0].reaching(&asked, block, least));
                prop_assert_eq!(reaching >> row & 1 == 1, exact >= least);
            }
            let reach = lookup.reach(&asked, block);
            prop_assert_eq!(reach[row].to_bits(), exact.to_bits());
            prop_assert_eq!(reach.map(f32::to_bits), usable[0].reach(&asked, block).map(f32::to_bits));
        }
    }
}
