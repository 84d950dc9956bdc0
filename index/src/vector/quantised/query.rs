//! Given a query, what is its cosine to quantised vectors, and how sure is that?

use super::codes::CodeBlock;
use super::{Kernel, stride_of};

/// Steps of the second, finer level within one of the first.
const FINER: f32 = 254.0;

/// A query as codes: a coarse byte and a fine one per dimension, so that nearly all
/// of the error is on the side of the vectors.
#[derive(Clone, Debug)]
pub(crate) struct QueryCodes {
    values: Vec<f32>,
    coarse: Vec<i8>,
    fine: Vec<i8>,
    scale: f32,
    /// What the 128 in each stored byte adds to the sums.
    excess: [i32; 2],
    /// Length of what coarse and fine codes say together.
    norm: f32,
    /// How far that is from the query.
    error: f32,
}

/// The interval that the cosine of a row lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) lower: f32,
    pub(crate) upper: f32,
}

impl QueryCodes {
    /// The codes of `query`, all of whose numbers are finite.
    pub(crate) fn of(query: &[f32]) -> Self {
        let stride = stride_of(query.len());
        let most = query.iter().fold(0f32, |most, q| most.max(q.abs()));
        let scale = most / 127.0;
        let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
        let (scale, inverse) = if inverse.is_finite() { (scale, inverse) } else { (0.0, 0.0) };
        let (mut coarse, mut fine) = (vec![0i8; stride], vec![0i8; stride]);
        let (mut norm, mut error) = (0f64, 0f64);
        for ((&q, coarse), fine) in query.iter().zip(&mut coarse).zip(&mut fine) {
            let steps = q * inverse;
            let whole = rounded(steps).clamp(-127.0, 127.0);
            let rest = rounded((steps - whole) * FINER).clamp(-127.0, 127.0);
            (*coarse, *fine) = (whole as i8, rest as i8);
            let said = f64::from(scale) * (f64::from(whole) + f64::from(rest) / f64::from(FINER));
            norm += said * said;
            error += (f64::from(q) - said) * (f64::from(q) - said);
        }
        let excess = |codes: &[i8]| codes.iter().map(|&c| i32::from(c)).sum::<i32>() * 128;
        let up = |x: f64| (x.sqrt() * (1.0 + 1e-6)) as f32;
        Self {
            excess: [excess(&coarse), excess(&fine)],
            values: query.to_vec(),
            coarse,
            fine,
            scale,
            norm: up(norm),
            error: up(error),
        }
    }

    /// The coarse codes.
    pub(crate) fn coarse(&self) -> &[i8] {
        &self.coarse
    }

    /// About how alike the query is to a row with this sum of products with the coarse
    /// codes: greater is better, but comparable only among rows of one block.
    #[inline(always)]
    pub(crate) fn likeness(&self, sum: i32, scale: f32) -> f32 {
        (sum - self.excess[0]) as f32 * scale
    }

    /// What sums of products with coarse and fine codes say, before a row's scale.
    #[inline(always)]
    fn steps(&self, sums: [i32; 2]) -> f32 {
        let (coarse, fine) = (sums[0] - self.excess[0], sums[1] - self.excess[1]);
        (coarse as f32 + fine as f32 * (1.0 / FINER)) * self.scale
    }

    /// The query set against a block's rows. `slack` is how much further than its own
    /// bound says a vector may be from its row.
    ///
    /// With x the vector, m the centre, c and s code and scale, and q' what the query's
    /// codes say of q: q·x − q·m − q'·sc = q'·(x − m − sc) + (q − q')·(x − m), and by
    /// Cauchy–Schwarz that is at most |q'| · (error · s + slack) + |q − q'| · (radius + slack).
    ///
    /// # Panics
    /// If the block is of other dimensions.
    pub(crate) fn against<'a>(&'a self, block: CodeBlock<'a>, slack: f32) -> Against<'a> {
        assert!(self.values.len() == block.centre.len(), "vectors of other dimensions");
        let products = self.values.iter().zip(block.centre);
        let centre = products.map(|(q, c)| f64::from(*q) * f64::from(*c)).sum::<f64>() as f32;
        // Rounding, of the numbers here and of the cosine in 32 bits they are compared with:
        // as many steps as there are additions one after the other.
        let size = self.norm * block.bound.radius + centre.abs() + 1.0;
        let rounding = (self.values.len() / 32 + 64) as f32 * f32::EPSILON * size;
        let spread = slack * self.norm + self.error * (block.bound.radius + slack);
        Against {
            asked: self,
            block,
            centre,
            per_scale: self.norm * block.bound.error,
            fixed: spread + rounding,
        }
    }
}

/// To the nearest whole number, of two the even one; for numbers below 2²² only. Where nothing is
/// known of the processor, `round_ties_even` is a call of a function for each number.
#[inline(always)]
fn rounded(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// A query set against the rows of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Against<'a> {
    asked: &'a QueryCodes,
    block: CodeBlock<'a>,
    /// The cosine of the query to the centre.
    centre: f32,
    per_scale: f32,
    fixed: f32,
}

impl Against<'_> {
    /// Calls `found` with the number of each row from `from` to `to` whose cosine may
    /// reach `least`, and the interval it lies in; `found` says what is to be reached then.
    ///
    /// # Panics
    /// If there are no such rows.
    pub(crate) fn each_reaching(
        &self,
        from: usize,
        to: usize,
        mut least: f32,
        mut found: impl FnMut(usize, Scope) -> f32,
    ) {
        const BATCH: usize = 64;
        let (asked, mut at) = (self.asked, from);
        let mut sums = [[0; 2]; BATCH];
        while at < to {
            let count = BATCH.min(to - at);
            let sums = &mut sums[..count];
            Kernel::best().range([&asked.coarse, &asked.fine], self.block.rows, at, sums);
            let scales = &self.block.scales[at..at + count];
            let mut uppers = [0f32; BATCH];
            for ((upper, sum), scale) in uppers.iter_mut().zip(&*sums).zip(scales) {
                *upper = self.centre + scale * (asked.steps(*sum) + self.per_scale) + self.fixed;
            }
            for i in 0..count {
                // A row without a vector has no number here, and reaches nothing.
                if uppers[i] >= least {
                    let scope = self.scope(scales[i], asked.steps(sums[i]), uppers[i]);
                    least = found(at + i, scope);
                }
            }
            at += count;
        }
    }

    /// As [`Against::each_reaching`], of the rows whose numbers are in `rows`; `found` gets
    /// the place in that list.
    ///
    /// # Panics
    /// If there are no such rows.
    pub(crate) fn each_of_reaching(
        &self,
        rows: &[u32],
        mut least: f32,
        mut found: impl FnMut(usize, Scope) -> f32,
    ) {
        const BATCH: usize = 64;
        let (asked, kernel) = (self.asked, Kernel::best());
        let (mut coarse, mut fine) = ([0; BATCH], [0; BATCH]);
        for (batch, rows) in rows.chunks(BATCH).enumerate() {
            let (coarse, fine) = (&mut coarse[..rows.len()], &mut fine[..rows.len()]);
            kernel.each(&asked.coarse, self.block.rows, rows, coarse);
            kernel.each(&asked.fine, self.block.rows, rows, fine);
            for (i, (&row, (&mut coarse, &mut fine))) in
                rows.iter().zip(coarse.iter_mut().zip(fine)).enumerate()
            {
                let (scale, steps) = (self.block.scales[row as usize], asked.steps([coarse, fine]));
                let upper = self.centre + scale * (steps + self.per_scale) + self.fixed;
                // A row without a vector has no number here, and reaches nothing.
                if upper >= least {
                    least = found(batch * BATCH + i, self.scope(scale, steps, upper));
                }
            }
        }
    }

    fn scope(&self, scale: f32, steps: f32, upper: f32) -> Scope {
        let lower = (self.centre + scale * steps - scale * self.per_scale - self.fixed).min(1.0);
        Scope { lower, upper }
    }

    /// About the cosine of a row this like the query.
    pub(crate) fn about(&self, likeness: f32) -> f32 {
        self.centre + likeness * self.asked.scale
    }

    /// What the cosine of row `i`, this like the query, hardly ever exceeds: what the
    /// coarse codes say and five standard deviations of what rounding does to it.
    pub(crate) fn hardly_above(&self, i: usize, likeness: f32) -> f32 {
        let (scale, asked) = (self.block.scales[i], self.asked);
        let (theirs, ours) = (scale * asked.norm, asked.scale * self.block.bound.radius);
        self.about(likeness) + 5.0 * ((theirs * theirs + ours * ours) / 12.0).sqrt()
    }
}

#[cfg(test)]
mod tests;
