//! How do numbers become places on a picture, and where do the ticks go?

use std::fmt::Write;

use super::escape::escape;
use super::number::short;

/// Width of every chart in its own units: at this width text is as set, and on a
/// narrow telephone it is still read.
pub(super) const WIDTH: f64 = 400.0;
pub(super) const HEIGHT: f64 = 220.0;
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = 392.0;
pub(super) const TOP: f64 = 12.0;
pub(super) const BOTTOM: f64 = 186.0;

/// A linear scale; never of no extent, never of numbers that are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Covers all finite `values`, drawn `from` … `to`. Values that are all the
    /// same lie in the middle.
    pub(super) fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|v| v.is_finite()) {
            // What is further out than this cannot be subtracted any more.
            let value = value.clamp(-1e300, 1e300);
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= 1e-12 * low.abs().max(high.abs()) || high - low < 1e-300 {
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
            (low, high) = (low - room, high + room);
        }
        Self { low, high, from, to }
    }

    /// Where `value` is drawn; always finite and within the scale.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        let share = if share.is_finite() { share } else { 0.0 };
        self.from + share * (self.to - self.from)
    }

    /// Widened to whole ticks.
    pub(super) fn rounded(self) -> Self {
        let step = self.step();
        let (low, high) = ((self.low / step).floor() * step, (self.high / step).ceil() * step);
        if (high - low).is_finite() { Self { low, high, ..self } } else { self }
    }

    /// 1, 2 or 5 times a power of ten: three to six of them fit.
    fn step(&self) -> f64 {
        let rough = (self.high - self.low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough);
        step.filter(|s| s.is_normal()).unwrap_or(rough)
    }

    /// Round values within.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let step = self.step();
        let first = (self.low / step - 1e-9).ceil();
        (0..8)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|&tick| tick <= self.high + step * 1e-9)
            .map(|tick| if tick.abs() < step * 1e-9 { 0.0 } else { tick })
            .collect()
    }

    /// Whole values within, for epochs.
    pub(super) fn whole_ticks(&self) -> Vec<f64> {
        let step = self.step().max(1.0);
        let first = (self.low / step - 1e-9).ceil();
        (0..8)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|&tick| tick <= self.high + 1e-9)
            .filter(|tick| tick.fract() == 0.0)
            .collect()
    }
}

/// The opening of a chart: its element, with `label` for those who do not see it.
pub(super) fn open(label: &str, height: f64) -> String {
    format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}">"#,
        escape(label)
    )
}

/// Horizontal lines with their values at the left.
pub(super) fn rows(out: &mut String, scale: &Scale, label: impl Fn(f64) -> String) {
    for tick in scale.ticks() {
        let y = scale.at(tick);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 7.0,
            y + 4.0,
            escape(&label(tick))
        );
    }
}

/// Values along the bottom, and what they are.
pub(super) fn foot(out: &mut String, scale: &Scale, ticks: &[f64], bottom: f64, name: &str) {
    for &tick in ticks {
        let x = scale.at(tick);
        let _ = write!(
            out,
            r#"<line class="tick" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{}"/><text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#,
            bottom + 4.0,
            bottom + 16.0,
            short_tick(tick)
        );
    }
    let _ = write!(
        out,
        r#"<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{bottom}" y2="{bottom}"/><text class="name" x="{RIGHT}" y="{}" text-anchor="end">{}</text>"#,
        bottom + 31.0,
        escape(name)
    );
}

/// A tick's label: no trailing zeros.
pub(super) fn short_tick(value: f64) -> String {
    let text = short(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}
