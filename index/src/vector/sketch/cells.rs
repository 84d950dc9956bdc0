//! Which blocks of rows may have one that is near a query, and which of them are likeliest to?
//!
//! Rows that follow each other in a graph are near each other, so those of a block are near their
//! mean, and the mean has a sketch of its own. A row's product with a query is the mean's and what
//! the row's difference r from the mean adds; that is more than by chance if the row is near the
//! query. With d the row's difference from the centre and e the query's, and all that is at right
//! angles to d there by chance, a row with e·d = s has e·r = s·|r|²/|d|², give or take a deviation
//! of ρ·|r|·√(1 − |r|²/|d|²). What part ρ of such differences lies along this query is measured by
//! some rows of all blocks, since vectors depend on far fewer numbers than they have, and a text's
//! may lie across all that pictures' do.
//!
//! So, as with sketches, a block whose estimate and [`DEVIATIONS`] of these do not reach what is
//! asked for is passed over: not surely, but very likely rightly. A thirty-second of what sketches
//! take is read for that.

use rayon::prelude::*;

use super::super::quantised::{CodeBlock, Codes, ZERO};
use super::kernel::{Lookup, ROWS};
use super::{QuerySketch, Sketches};

/// A block is passed over if what is expected of it is so many deviations short. 3, as for
/// sketches: 2.5 takes nine tenths of the time, and misses more of real texts, which lie less evenly
/// (the bench `peers`).
const DEVIATIONS: f32 = 3.0;
/// Rows by whose differences from their means ρ is measured.
const MEASURED: usize = 256;
/// If the furthest row of a block is so much further from its mean than that of a usual block, by
/// squares, it does not belong there, and the block is taken for as wide as that.
const STRAY: f32 = 2.0;
/// Blocks whose means are in memory at a time.
const AT_ONCE: usize = 4096;
/// Numbers that are added side by side.
const LANES: usize = 16;
/// Of so many blocks, or up to half as many, it is told how all of them are.
const SAMPLE: usize = 1024;

/// The means of blocks of [`ROWS`] rows.
#[derive(Debug)]
pub(crate) struct Cells {
    means: Sketches,
    /// Of each block, |r|².
    squares: Vec<f32>,
    /// The mean |d|² of all rows.
    square: f32,
    /// Differences of some rows from their means, of unit length, one after the other.
    some: Vec<f32>,
}

impl Cells {
    /// Of the rows of a block of codes, in the same order. Uses several threads. `None` without
    /// the memory.
    pub(crate) fn of(codes: CodeBlock<'_>) -> Option<Self> {
        let rows = codes.scales.len();
        let (blocks, mut sketched) = (rows.div_ceil(ROWS), Codes::around(codes.centre.to_vec()));
        let mut cells = Vec::with_capacity(blocks);
        // Odd, so that it is not always the same place of a block.
        let (step, mut some) = ((rows / MEASURED) | 1, vec![]);
        for from in (0..blocks).step_by(AT_ONCE) {
            let part = from..blocks.min(from + AT_ONCE);
            let means: Vec<Option<Cell>> =
                part.clone().into_par_iter().map(|block| Cell::of(codes, block)).collect();
            for (block, cell) in part.zip(&means) {
                let told = |cell: &Cell| -> Vec<f32> {
                    cell.mean.iter().zip(codes.centre).map(|(x, c)| x + c).collect()
                };
                sketched.push(cell.as_ref().map(told).as_deref());
                let own = (block * ROWS).div_ceil(step) * step..rows.min((block + 1) * ROWS);
                for row in own.step_by(step).filter(|&row| codes.scales[row].is_finite()) {
                    some.extend(cell.iter().flat_map(|cell| cell.direction_of(codes, row)));
                }
                cells.push(cell.as_ref().map_or(Spread::default(), |cell| cell.spread));
            }
        }
        let there = cells.iter().map(|cell| cell.count).sum::<f32>();
        let square = cells.iter().map(|cell| cell.all).sum::<f32>() / there.max(1.0);
        let (means, squares) = (Sketches::of(sketched.block())?, with_strays(&cells));
        Some(Self { means, squares, square, some })
    }

    /// What is likely of the rows of each block.
    ///
    /// # Panics
    /// If the query is of other dimensions.
    pub(crate) fn likely(&self, query: &[f32], sketch: &QuerySketch) -> Likely<'_> {
        let lookup = Lookup::best();
        let directions = self.some.chunks_exact(query.len());
        let count = directions.len().max(1) as f32;
        let along = directions.map(|away| product(away, query).powi(2)).sum::<f32>() / count;
        let blurred = self.means.blur * self.means.blur * sketch.square + sketch.rounding;
        let share = if self.square > 0.0 { self.square.recip() } else { 0.0 };
        let (mut means, mut deviations) = (vec![], vec![]);
        means.reserve(self.squares.len());
        deviations.reserve(self.squares.len());
        for (i, squares) in self.squares.chunks(ROWS).enumerate() {
            let block = self.means.block(i);
            let reach = lookup.reach(&sketch.asked, block);
            means.extend(reach.iter().take(squares.len()).map(|x| x + sketch.centre));
            deviations.extend(block.steps.iter().zip(squares).map(|(step, square)| {
                let across = (1.0 - square * share).max(0.0);
                (step * step * blurred + along * square * across).sqrt()
            }));
        }
        Likely { means, deviations, squares: &self.squares, share, centre: sketch.centre }
    }
}

/// What is likely of the cosines of blocks' rows to a query.
#[derive(Debug)]
pub(crate) struct Likely<'a> {
    /// The mean of a block's rows; not a number where there are none,
    means: Vec<f32>,
    /// and how far a row that is near the query is from what is expected of it.
    deviations: Vec<f32>,
    squares: &'a [f32],
    /// 1/|d|².
    share: f32,
    /// The query's product with the centre.
    centre: f32,
}

impl Likely<'_> {
    /// The blocks that are `asked` about and may have a row whose cosine is `least` or more.
    pub(crate) fn reaching(&self, least: f32, asked: impl Fn(usize) -> bool) -> Vec<usize> {
        // What part of |r|² a row that reaches it has beyond the mean.
        let beyond = ((least - self.centre) * self.share).max(0.0);
        let mut found = vec![];
        let both = self.deviations.chunks(LANES).zip(self.squares.chunks(LANES));
        for (from, (means, both)) in (0..).step_by(LANES).zip(self.means.chunks(LANES).zip(both)) {
            let reaches = |(mean, (deviation, square)): (&f32, (&f32, &f32))| {
                mean + beyond * square + DEVIATIONS * deviation >= least
            };
            let all = || means.iter().zip(both.0.iter().zip(both.1));
            // Side by side first: of most blocks beside each other none does.
            if !all().fold(false, |any, block| any | reaches(block)) {
                continue;
            }
            let those = (from..).zip(all()).filter(|(_, block)| reaches(*block));
            found.extend(those.map(|(block, _)| block).filter(|&block| asked(block)));
        }
        found
    }

    /// As if `block` had no rows.
    pub(crate) fn forget(&mut self, block: usize) {
        self.means[block] = f32::NAN;
    }

    /// About `most` blocks that reach furthest, of those that are `asked` about; some more of very
    /// many.
    pub(crate) fn likeliest(&self, most: usize, asked: impl Fn(usize) -> bool) -> Vec<usize> {
        let step = self.means.len() / SAMPLE + 1;
        let reach = |block: usize| self.means[block] + DEVIATIONS * self.deviations[block];
        let some = (0..self.means.len()).step_by(step).filter(|&block| asked(block));
        let mut some: Vec<f32> = some.map(reach).filter(|reach| !reach.is_nan()).collect();
        // Of very many, chance says little about the very first of a sample.
        let place = if step > 1 { most.div_ceil(step).max(8) } else { most };
        let least = if some.len() > place {
            *some.select_nth_unstable_by(place, |a, b| b.total_cmp(a)).1
        } else {
            f32::NEG_INFINITY
        };
        (0..self.means.len()).filter(|&block| reach(block) >= least && asked(block)).collect()
    }
}

/// What the code of row `row` says, told from the centre.
fn told<'a>(codes: CodeBlock<'a>, row: usize) -> impl Iterator<Item = f32> + 'a {
    let (scale, dim) = (codes.scales[row], codes.centre.len());
    codes.rows.row(row)[..dim].iter().map(move |&c| (f32::from(c) - f32::from(ZERO)) * scale)
}

/// What a block's rows have in common.
struct Cell {
    /// Their mean, told from the centre.
    mean: Vec<f32>,
    spread: Spread,
}

/// Squares of distances of a block's rows.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    /// From their mean, on average,
    usual: f32,
    /// and the greatest of these.
    greatest: f32,
    /// From the centre, in sum.
    all: f32,
    /// Of so many.
    count: f32,
}

impl Cell {
    /// `None` of a block that has no rows.
    fn of(codes: CodeBlock<'_>, block: usize) -> Option<Self> {
        let rows = block * ROWS..codes.scales.len().min((block + 1) * ROWS);
        let there: Vec<usize> = rows.filter(|&row| codes.scales[row].is_finite()).collect();
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
        let (sum, greatest) = there
            .iter()
            .map(|&row| square(row))
            .fold((0f32, 0f32), |(sum, greatest), square| (sum + square, greatest.max(square)));
        let all = sum + count * mean.iter().map(|x| x * x).sum::<f32>();
        Some(Self { mean, spread: Spread { usual: sum / count, greatest, all, count } })
    }

    /// The difference of a row of the block from the mean, of unit length; none of a row that is at
    /// the mean.
    fn direction_of(&self, codes: CodeBlock<'_>, row: usize) -> Vec<f32> {
        let mut away: Vec<f32> = told(codes, row).zip(&self.mean).map(|(x, m)| x - m).collect();
        let length = away.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length == 0.0 || !length.is_finite() {
            return vec![];
        }
        away.iter_mut().for_each(|x| *x /= length);
        away
    }
}

/// |r|² of each block.
fn with_strays(cells: &[Spread]) -> Vec<f32> {
    let mut greatest: Vec<f32> = cells.iter().map(|cell| cell.greatest).collect();
    let usual = match greatest.len() {
        0 => 0.0,
        count => *greatest.select_nth_unstable_by(count / 2, f32::total_cmp).1,
    };
    let square = |cell: &Spread| {
        if cell.greatest > STRAY * usual { cell.greatest } else { cell.usual }
    };
    cells.iter().map(square).collect()
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
                let those = likely.reaching(tenth, |block| block != 5);
                assert!(!those.contains(&3) && !those.contains(&5), "empty, and not asked about");
                let best = cosines[..10].iter().map(|c| c.1 / ROWS).filter(|&block| block != 5);
                short += best.filter(|block| !those.contains(block)).count();
                visited += those.len();
                // Those that reach furthest are the likeliest, but for which are looked at to tell.
                let likeliest = likely.likeliest(16, |_| true);
                assert!(likeliest.len() >= 8 && likeliest.len() <= 64, "{}", likeliest.len());
                let reach =
                    |block: &usize| likely.means[*block] + DEVIATIONS * likely.deviations[*block];
                let there = (0..count).filter(|block| !likely.means[*block].is_nan());
                let furthest = there.max_by(|a, b| reach(a).total_cmp(&reach(b))).expect("some");
                assert!(likeliest.contains(&furthest));
                likely.forget(furthest);
                assert!(!likely.reaching(-1.0, |_| true).contains(&furthest));
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
    /// A row among those of another place, and pockets of rows of many places that share a block:
    /// each is found where it is asked for by its own vector.
    #[test]
    fn rows_that_do_not_belong_to_their_block_are_not_passed_over() {
        let seed = 20_261_130;
        println!("seed {seed}");
        let (mut random, dim, count) = (Random(seed), 128, 400);
        let common = random.vector(&vec![0.0; dim], 1.0);
        let points: Vec<Vec<f32>> = (0..60).map(|_| random.vector(&common, 0.15)).collect();
        // Most blocks are of one place; 7 has a row of another, and 9 four rows each of eight.
        let place = |row: usize| match row / ROWS {
            7 if row % ROWS == 5 => 31,
            9 => row % ROWS / 4 + 20,
            block => block % points.len(),
        };
        let rows: Vec<Vec<f32>> =
            (0..count * ROWS).map(|row| random.vector(&points[place(row)], 0.05)).collect();
        let codes = Codes::of(dim, rows.iter().map(|row| Some(&row[..])));
        let cells = Cells::of(codes.block()).expect("memory");
        for row in [7 * ROWS + 5].into_iter().chain(9 * ROWS..10 * ROWS).chain(0..200) {
            let query = &rows[row];
            let sketch = QuerySketch::of(query, codes.block().centre);
            let likely = cells.likely(query, &sketch);
            let mut cosines: Vec<f32> = rows.iter().map(|row| product(row, query)).collect();
            cosines.sort_by(|a, b| b.total_cmp(a));
            let those = likely.reaching(cosines[9], |_| true);
            assert!(those.contains(&(row / ROWS)), "row {row}");
        }
    }
}
