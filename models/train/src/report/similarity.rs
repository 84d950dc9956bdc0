//! Do pairs that belong together lie apart from those that do not?

use std::fmt::Write;

use super::number::{count, fixed, percent};
use super::plot::{LEFT, RIGHT, Scale, foot, open};

/// Bins of a [`Histogram`] over [−1, 1], each 0.025 wide.
pub const BINS: usize = 80;

/// Cosines, counted in [`BINS`] equal bins over [−1, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bins: [u64; BINS],
    sum: f64,
    lost: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: [0; BINS], sum: 0.0, lost: 0 }
    }
}

impl Histogram {
    /// Counts a cosine. Rounding beyond ±1 goes to the last bin; what is no number
    /// is counted apart.
    pub fn add(&mut self, cosine: f64) {
        if !cosine.is_finite() {
            self.lost += 1;
            return;
        }
        let cosine = cosine.clamp(-1.0, 1.0);
        let bin = ((cosine + 1.0) / 2.0 * BINS as f64) as usize;
        self.bins[bin.min(BINS - 1)] += 1;
        self.sum += cosine;
    }

    /// How many cosines were counted.
    pub fn total(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// The counts, from −1 to 1.
    pub fn bins(&self) -> &[u64; BINS] {
        &self.bins
    }

    /// Their mean; none if there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.sum / self.total() as f64)
    }

    fn shares(&self) -> [f64; BINS] {
        let total = self.total().max(1) as f64;
        self.bins.map(|n| n as f64 / total)
    }
}

impl FromIterator<f64> for Histogram {
    fn from_iter<I: IntoIterator<Item = f64>>(cosines: I) -> Self {
        let mut histogram = Self::default();
        cosines.into_iter().for_each(|c| histogram.add(c));
        histogram
    }
}

/// Pairs that belong together, and pairs that do not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Separation {
    /// Cosines of pairs that belong together.
    pub positive: Histogram,
    /// Cosines of pairs that do not.
    pub negative: Histogram,
}

impl Separation {
    /// The share that both histograms have in common: 1 is no difference, 0 is
    /// parted; none if one is empty.
    pub fn overlap(&self) -> Option<f64> {
        let there = self.positive.total() > 0 && self.negative.total() > 0;
        let (p, n) = (self.positive.shares(), self.negative.shares());
        there.then(|| p.iter().zip(&n).map(|(p, n)| p.min(*n)).sum())
    }
}

const PANEL: f64 = 150.0;

/// Both states, drawn to one scale.
pub(super) fn section(before: &Separation, after: &Separation) -> String {
    let sides = [before, after];
    let all = || sides.iter().flat_map(|s| [&s.positive, &s.negative]);
    let used: Vec<usize> = (0..BINS).filter(|&i| all().any(|h| h.bins[i] > 0)).collect();
    let (Some(&first), Some(&last)) = (used.first(), used.last()) else {
        return r#"<p class="quiet">No similarity was measured.</p>"#.into();
    };
    // Only the part of −1 … 1 where anything lies, and a bin of air at each side.
    let (first, last) = (first.saturating_sub(1), (last + 2).min(BINS));
    let x = Scale::over([edge(first), edge(last)].into_iter(), LEFT, RIGHT);
    let high = all().flat_map(Histogram::shares).fold(0.0, f64::max);
    let y = Scale::over([0.0, high].into_iter(), PANEL, 14.0);
    let mut out = String::from(
        r#"<ul class="legend"><li><span class="swatch p"></span>belong together</li><li><span class="swatch n"></span>do not</li></ul><div class="charts two">"#,
    );
    for (name, side) in ["Before", "After"].into_iter().zip(sides) {
        out.push_str(&panel(name, side, (&x, &y), first..last));
    }
    out.push_str("</div>");
    let lost: u64 = all().map(|h| h.lost).sum();
    if lost > 0 {
        let _ = write!(out, r#"<p class="wrong">{lost} similarities are not finite numbers.</p>"#);
    }
    out + &table(before, after, first..last)
}

fn edge(bin: usize) -> f64 {
    bin as f64 * 2.0 / BINS as f64 - 1.0
}

fn panel(
    name: &str,
    side: &Separation,
    (x, y): (&Scale, &Scale),
    shown: std::ops::Range<usize>,
) -> String {
    let mean = |h: &Histogram| fixed(h.mean().unwrap_or(f64::NAN), 2);
    let overlap = side.overlap().map_or_else(|| super::number::NONE.into(), |o| percent(o) + " %");
    let words = format!(
        "Mean {} for pairs that belong together, {} for those that do not; the two overlap by {overlap}.",
        mean(&side.positive),
        mean(&side.negative)
    );
    let mut out = format!("<figure><h3>{name}</h3>");
    out.push_str(&open(&format!("Similarities {}. {words}", name.to_lowercase()), PANEL + 34.0));
    foot(&mut out, x, &x.ticks(), PANEL, "cosine");
    for (class, histogram) in [("n", &side.negative), ("p", &side.positive)] {
        let shares = histogram.shares();
        let mut path = format!("M{:.1} {PANEL}", x.at(edge(shown.start)));
        for bin in shown.clone() {
            let (left, right) = (x.at(edge(bin)), x.at(edge(bin + 1)));
            let top = y.at(shares[bin]);
            let _ = write!(path, "L{left:.1} {top:.1}L{right:.1} {top:.1}");
        }
        let _ = write!(path, "L{:.1} {PANEL}Z", x.at(edge(shown.end)));
        let _ = write!(out, r#"<path class="area {class}" d="{path}"/>"#);
        if let Some(mean) = histogram.mean() {
            let at = x.at(mean);
            let _ = write!(
                out,
                r#"<line class="mean {class}" x1="{at:.1}" x2="{at:.1}" y1="8" y2="{PANEL}"/>"#
            );
        }
    }
    let _ = write!(out, r#"</svg><figcaption class="quiet">{words}</figcaption></figure>"#);
    out
}

fn table(before: &Separation, after: &Separation, shown: std::ops::Range<usize>) -> String {
    let mut out = String::from(
        r#"<details><summary>Numbers</summary><div class="scroll"><table><thead><tr><th scope="col">Cosine from</th><th scope="col">to</th><th scope="col">Together, before</th><th scope="col">after</th><th scope="col">Not, before</th><th scope="col">after</th></tr></thead><tbody>"#,
    );
    for bin in shown {
        let _ = write!(
            out,
            r#"<tr><th scope="row">{}</th><td>{}</td>"#,
            fixed(edge(bin), 3),
            fixed(edge(bin + 1), 3)
        );
        for h in [&before.positive, &after.positive, &before.negative, &after.negative] {
            let _ = write!(out, "<td>{}</td>", count(h.bins[bin] as usize));
        }
        out.push_str("</tr>");
    }
    out + "</tbody></table></div></details>"
}
