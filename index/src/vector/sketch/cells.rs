//! Which blocks of rows may have one that is near a query, and which of them are likeliest to?
//!
//! Rows that follow each other in a graph lead to one another, so those of a block are near
//! their mean. The mean has a sketch of its own, and a row's product with a query is the mean's and what
//! the row's difference r from the mean adds: by chance, with a deviation of ρ·|r|. What part ρ of
//! such a difference lies along this query is measured by some rows of all blocks, since vectors
//! depend on far fewer numbers than they have, and a text's may lie across all that pictures' do.
//!
//! With these deviations as normal ones, so many rows of a block are expected to reach what is
//! asked for; those blocks are passed over in which hardly any is ([`Likely::enough`]). A
//! thirty-second of what sketches take is read for that.
//!
//! # Source
//! The bound of the normal distribution's tail: Pollak, "A remark on 'Elementary inequalities for
//! Mills' ratio' by Yûsaku Komatu", 1956. The rest is ours.

use rayon::prelude::*;

use super::super::quantised::{CodeBlock, Codes, ZERO};
use super::kernel::{Lookup, ROWS};
use super::{QuerySketch, Sketches};

/// Rows by whose differences from their means ρ is measured.
const MEASURED: usize = 256;
/// Numbers that are added side by side.
const LANES: usize = 16;
/// Of so many blocks, or up to half as many, it is told how all of them are.
const SAMPLE: usize = 1024;
/// Blocks are told apart by tenths of a deviation, up to so many.
const TENTHS: usize = 80;

/// The means of blocks of [`ROWS`] rows.
#[derive(Debug)]
pub(crate) struct Cells {
    means: Sketches,
    /// Of each block, the mean square of the distances of its rows from their mean.
    squares: Vec<f32>,
    /// Differences of some rows from their means, of unit length, one after the other.
    some: Vec<f32>,
}

impl Cells {
    /// Of the rows of a block of codes, in the same order. Uses several threads. `None` without
    /// the memory.
    pub(crate) fn of(codes: CodeBlock<'_>) -> Option<Self> {
        let rows = codes.scales.len();
        let means: Vec<Option<(Vec<f32>, f32)>> =
            (0..rows.div_ceil(ROWS)).into_par_iter().map(|block| mean(codes, block)).collect();
        let mut sketched = Codes::around(codes.centre.to_vec());
        sketched.reserve(means.len());
        for mean in &means {
            let told = |(mean, _): &(Vec<f32>, f32)| -> Vec<f32> {
                mean.iter().zip(codes.centre).map(|(x, c)| x + c).collect()
            };
            sketched.push(mean.as_ref().map(told).as_deref());
        }
        let some = (0..rows).step_by(rows.div_ceil(MEASURED).max(1)).filter_map(|row| {
            let (mean, _) = means[row / ROWS].as_ref()?;
            let mut away: Vec<f32> = told(codes, row).zip(mean).map(|(x, m)| x - m).collect();
            let length = away.iter().map(|x| x * x).sum::<f32>().sqrt();
            away.iter_mut().for_each(|x| *x /= length);
            // Neither of one that is at its mean, nor of one that is not there.
            (length > 0.0).then_some(away)
        });
        let some = some.flatten().collect();
        let squares = means.iter().map(|mean| mean.as_ref().map_or(0.0, |(_, square)| *square));
        Some(Self { means: Sketches::of(sketched.block())?, squares: squares.collect(), some })
    }

    /// What is likely of the rows of each block.
    ///
    /// # Panics
    /// If the query is of other dimensions.
    pub(crate) fn likely(&self, query: &[f32], sketch: &QuerySketch) -> Likely {
        let lookup = Lookup::best();
        let directions = self.some.chunks_exact(query.len());
        let count = directions.len().max(1) as f32;
        let along = directions.map(|away| product(away, query).powi(2)).sum::<f32>() / count;
        let blurred = self.means.blur * self.means.blur * sketch.square + sketch.rounding;
        let mut likely = Likely {
            means: Vec::with_capacity(self.squares.len() + ROWS),
            deviations: Vec::with_capacity(self.squares.len() + ROWS),
        };
        for (i, squares) in self.squares.chunks(ROWS).enumerate() {
            let block = self.means.block(i);
            let reach = lookup.reach(&sketch.asked, block);
            likely.means.extend(reach.iter().take(squares.len()).map(|x| x + sketch.centre));
            let both = block.steps.iter().zip(squares);
            let deviation = both.map(|(step, square)| step * step * blurred + along * square);
            likely.deviations.extend(deviation.map(f32::sqrt));
        }
        likely
    }
}

/// What is likely of the cosines of blocks' rows to a query; not numbers where there are none.
#[derive(Debug)]
pub(crate) struct Likely {
    /// The mean of a block's rows,
    means: Vec<f32>,
    /// and how far they are from it, and it from what it is taken for.
    deviations: Vec<f32>,
}

impl Likely {
    /// What each block's rows may reach, so many deviations above their mean.
    fn reach(&self, deviations: f32) -> impl Iterator<Item = f32> {
        let both = self.means.iter().zip(&self.deviations);
        both.map(move |(mean, deviation)| mean + deviations * deviation)
    }

    /// The blocks that are `asked` about whose rows may reach `least`, so many deviations above
    /// their mean.
    pub(crate) fn reaching(
        &self,
        least: f32,
        deviations: f32,
        asked: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut found = Vec::with_capacity(self.means.len());
        let both = self.means.chunks(LANES).zip(self.deviations.chunks(LANES));
        for (from, (means, spreads)) in (0..).step_by(LANES).zip(both) {
            let reaches = |(mean, spread): (&f32, &f32)| mean + deviations * spread >= least;
            // Side by side first: of most blocks beside each other none does.
            if !means.iter().zip(spreads).fold(false, |any, both| any | reaches(both)) {
                continue;
            }
            let those = (from..).zip(means.iter().zip(spreads)).filter(|(_, both)| reaches(*both));
            found.extend(those.map(|(block, _)| block).filter(|&block| asked(block)));
        }
        found
    }

    /// As if `block` had no rows.
    pub(crate) fn forget(&mut self, block: usize) {
        self.means[block] = f32::NAN;
    }

    /// About `most` blocks that reach furthest, so many deviations above their mean, of those that
    /// are `asked` about.
    pub(crate) fn likeliest(
        &self,
        most: usize,
        deviations: f32,
        asked: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let step = self.step();
        let some = self.reach(deviations).enumerate().step_by(step);
        let some = some.filter(|&(block, reach)| !reach.is_nan() && asked(block));
        let mut some: Vec<f32> = some.map(|(_, reach)| reach).collect();
        let place = most.div_ceil(step);
        let least = if some.len() > place {
            *some.select_nth_unstable_by(place, |a, b| b.total_cmp(a)).1
        } else {
            f32::NEG_INFINITY
        };
        self.reaching(least, deviations, asked)
    }

    /// How many deviations are enough: of the rows of all blocks that do not reach `least` with
    /// them, of which each has `count`, no more than about `missed` are expected to reach it.
    pub(crate) fn enough(&self, least: f32, missed: f32, count: impl Fn(usize) -> u32) -> f32 {
        let (step, mut rows) = (self.step(), [0u32; TENTHS]);
        for block in (0..self.means.len()).step_by(step) {
            // What is no number counts as near.
            let tenths = (least - self.means[block]) / self.deviations[block] * 10.0;
            rows[(tenths as usize).min(TENTHS - 1)] += count(block);
        }
        let (mut expected, mut enough) = (0.0, TENTHS);
        while enough > 0 {
            let nearest = (enough - 1) as f32 / 10.0;
            expected += above(nearest) * rows[enough - 1] as f32 * step as f32;
            if expected > missed {
                break;
            }
            enough -= 1;
        }
        enough as f32 / 10.0
    }

    /// One in so many is some hundreds of all.
    fn step(&self) -> usize {
        self.means.len() / SAMPLE + 1
    }
}

/// How much of a normal distribution is `deviations` above its mean, or more; by a bound that
/// is little above.
fn above(deviations: f32) -> f32 {
    use std::f32::consts::{PI, TAU};
    let density = (-deviations * deviations / 2.0).exp() / TAU.sqrt();
    2.0 * density / (deviations + (deviations * deviations + 8.0 / PI).sqrt())
}

/// What the code of row `row` says, told from the centre.
fn told<'a>(codes: CodeBlock<'a>, row: usize) -> impl Iterator<Item = f32> + 'a {
    let (scale, dim) = (codes.scales[row], codes.centre.len());
    codes.rows.row(row)[..dim].iter().map(move |&c| (f32::from(c) - f32::from(ZERO)) * scale)
}

/// The mean of the rows of block `block`, told from the centre, and the mean square of their
/// distances from it; `None` if it has none.
fn mean(codes: CodeBlock<'_>, block: usize) -> Option<(Vec<f32>, f32)> {
    let rows = block * ROWS..codes.scales.len().min((block + 1) * ROWS);
    let there: Vec<usize> = rows.filter(|&row| !codes.scales[row].is_nan()).collect();
    if there.is_empty() {
        return None;
    }
    let count = there.len() as f32;
    let mut mean = vec![0f32; codes.centre.len()];
    for &row in &there {
        mean.iter_mut().zip(told(codes, row)).for_each(|(sum, x)| *sum += x);
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    let square = |row| told(codes, row).zip(&mean).map(|(x, m)| (x - m) * (x - m)).sum::<f32>();
    let squares: f32 = there.iter().map(|&row| square(row)).sum();
    Some((mean, squares / count))
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.0.iter().zip(b.0) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Random;
    use super::*;

    #[test]
    fn the_tail_is_hardly_overestimated() {
        let known =
            [(0.0, 0.5), (1.0, 0.158_655), (2.0, 0.022_750), (3.0, 0.001_349_9), (4.0, 3.167e-5)];
        for (deviations, share) in known {
            let bound = above(deviations);
            assert!(bound >= share * 0.9999 && bound < share * 1.06, "{deviations}: {bound}");
        }
    }

    /// Blocks of rows, each around a point of its own; the last one is short, and one is empty.
    fn blocks(random: &mut Random, dim: usize, count: usize) -> Vec<Option<Vec<f32>>> {
        let common = random.vector(&vec![0.0; dim], 1.0);
        let points: Vec<Vec<f32>> = (0..count).map(|_| random.vector(&common, 0.1)).collect();
        let rows = (0..count * ROWS - 7).map(|row| match row / ROWS {
            3 => None,
            block => Some(random.vector(&points[block], 0.05)),
        });
        rows.collect()
    }

    #[test]
    fn blocks_are_told_as_they_are_and_few_of_the_nearest_are_passed_over() {
        let seed = 20_261_129;
        println!("seed {seed}");
        let mut random = Random(seed);
        for (dim, count) in [(48, 40), (384, 300), (64, 2500)] {
            let rows = blocks(&mut random, dim, count);
            let codes = Codes::of(dim, rows.iter().map(|row| row.as_deref()));
            let cells = Cells::of(codes.block()).expect("memory");
            let (mut short, mut visited, mut off) = (0, 0, 0.0f32);
            let queries = 50;
            for i in 0..queries {
                let near =
                    rows[(i * 37 % (count * ROWS - 7)).max(4 * ROWS)].as_ref().expect("a row");
                let query = random.vector(near, 0.1);
                let sketch = QuerySketch::of(&query, codes.block().centre);
                let mut likely = cells.likely(&query, &sketch);
                let cosine = |row: &Option<Vec<f32>>| row.as_ref().map(|row| product(row, &query));
                let mut cosines: Vec<(f32, usize)> = rows
                    .iter()
                    .enumerate()
                    .filter_map(|(i, row)| Some((cosine(row)?, i)))
                    .collect();
                for block in 0..count {
                    let own: Vec<f32> =
                        cosines.iter().filter(|c| c.1 / ROWS == block).map(|c| c.0).collect();
                    if own.is_empty() {
                        assert!(likely.means[block].is_nan(), "{block} has no rows");
                        continue;
                    }
                    let mean = own.iter().sum::<f32>() / own.len() as f32;
                    off += ((likely.means[block] - mean) / likely.deviations[block]).powi(2);
                }
                cosines.sort_by(|a, b| b.0.total_cmp(&a.0));
                let tenth = cosines[9].0;
                let enough = likely.enough(tenth, 0.01, |_| ROWS as u32);
                let those = likely.reaching(tenth, enough, |block| block != 5);
                assert!(!those.contains(&3) && !those.contains(&5), "empty, and not asked about");
                let best = cosines[..10].iter().map(|c| c.1 / ROWS).filter(|&block| block != 5);
                short += best.filter(|block| !those.contains(block)).count();
                visited += those.len();
                // Those that reach furthest are the likeliest, but for which are looked at to tell.
                let likeliest = likely.likeliest(16, 3.0, |_| true);
                assert!(likeliest.len() >= 8 && likeliest.len() <= 64, "{}", likeliest.len());
                let furthest = likely.reach(3.0).enumerate().filter(|(_, reach)| !reach.is_nan());
                let furthest = furthest.max_by(|a, b| a.1.total_cmp(&b.1)).expect("some").0;
                assert!(likeliest.contains(&furthest));
                likely.forget(furthest);
                assert!(!likely.reaching(-1.0, 80.0, |_| true).contains(&furthest));
            }
            let (of, off) = (queries * count, (off / (queries * count) as f32).sqrt());
            println!(
                "{dim}: {short} of {} passed over, {visited} of {of} looked at, means off by {off}",
                queries * 10
            );
            assert!(short * 100 <= queries * 10, "{dim}: {short} passed over");
            assert!(visited * 4 < of * 3, "{dim}: hardly a block is passed over");
            assert!(off < 1.0, "{dim}: means are off by {off} deviations");
        }
    }
}
