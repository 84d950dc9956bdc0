//! Did it become better? Recalls before and after, each with its interval.

use std::fmt::Write;

use super::data::{Change, Direction, Figure};
use super::number::{NONE, count, fixed, percent};
use super::plot::{Scale, foot, open};

const AT: [usize; 3] = [1, 5, 10];
const STEP: f64 = 44.0;
const TOP: f64 = 22.0;

/// The section.
pub(super) fn section(scores: &[Direction]) -> String {
    if scores.is_empty() {
        return r#"<p class="quiet">Nothing was held out that could be ranked, so nothing was measured.</p>"#.into();
    }
    let ends = scores.iter().flat_map(|d| d.recall.iter().flat_map(figures)).flat_map(|f| {
        let [low, high] = f.interval.unwrap_or([f.value; 2]);
        [f.value, low, high].map(|v| 100.0 * v)
    });
    // One scale for all directions, so that they can be compared.
    let x = Scale::over(ends.chain([0.0]), super::plot::LEFT, super::plot::RIGHT).rounded();
    let mut out = String::from(
        r#"<ul class="legend"><li><span class="swatch b"></span>before</li><li><span class="swatch a"></span>after</li><li><span class="swatch i"></span>95 % interval</li></ul><div class="charts two">"#,
    );
    for direction in scores {
        out.push_str(&figure(direction, &x));
    }
    out + "</div>"
}

fn figures(change: &Change) -> impl Iterator<Item = Figure> {
    [change.before, change.after].into_iter().flatten()
}

fn figure(direction: &Direction, x: &Scale) -> String {
    let name = direction.way.name();
    let bottom = TOP + 3.0 * STEP - 8.0;
    let spoken: Vec<_> = AT
        .iter()
        .zip(&direction.recall)
        .map(|(k, c)| {
            format!("recall at {k} from {} to {} percent", value(c.before), value(c.after))
        })
        .collect();
    let mut out = format!("<figure><h3>{name}</h3>");
    out.push_str(&open(&format!("{name}: {}", spoken.join(", ")), bottom + 36.0));
    foot(&mut out, x, &x.ticks(), bottom, "% of queries with a right hit");
    for (i, (k, change)) in AT.iter().zip(&direction.recall).enumerate() {
        let y = TOP + i as f64 * STEP;
        let _ = write!(out, r#"<text class="name" x="0" y="{:.1}">R@{k}</text>"#, y + 7.0);
        if let (Some(b), Some(a)) = (change.before, change.after) {
            let (b, a) = (x.at(100.0 * b.value), x.at(100.0 * a.value));
            let _ = write!(
                out,
                r#"<line class="grid" x1="{b:.1}" x2="{a:.1}" y1="{y}" y2="{}"/>"#,
                y + 10.0
            );
        }
        dot(&mut out, "b", "before", change.before, x, y);
        dot(&mut out, "a", "after", change.after, x, y + 10.0);
    }
    let _ = write!(
        out,
        r#"</svg><figcaption class="quiet">{} among {} candidates.</figcaption>"#,
        queries(direction.queries),
        count(direction.candidates)
    );
    out.push_str(&table(direction));
    out + "</figure>"
}

/// `1 held-out query`, `2 held-out queries`.
pub(super) fn queries(number: usize) -> String {
    format!("{} held-out {}", count(number), if number == 1 { "query" } else { "queries" })
}

fn dot(out: &mut String, class: &str, name: &str, figure: Option<Figure>, x: &Scale, y: f64) {
    let Some(figure) = figure.filter(|f| f.value.is_finite()) else { return };
    if let Some([low, high]) = figure.interval.filter(|i| i.iter().all(|v| v.is_finite())) {
        let (low, high) = (x.at(100.0 * low), x.at(100.0 * high));
        let _ = write!(
            out,
            r#"<line class="interval {class}" x1="{low:.1}" x2="{high:.1}" y1="{y}" y2="{y}"/>"#
        );
    }
    let at = x.at(100.0 * figure.value);
    let _ = write!(
        out,
        r#"<circle class="score {class}" cx="{at:.1}" cy="{y}" r="4.5"><title>{name}: {} %</title></circle>"#,
        percent(figure.value)
    );
}

fn value(figure: Option<Figure>) -> String {
    figure.map_or_else(|| NONE.into(), |f| percent(f.value))
}

fn interval(figure: Option<Figure>, write: fn(f64) -> String) -> String {
    match figure.and_then(|f| f.interval) {
        Some([low, high]) => {
            format!(r#" <span class="quiet">{} to {}</span>"#, write(low), write(high))
        }
        None => String::new(),
    }
}

fn table(direction: &Direction) -> String {
    let mut out = String::from(
        r#"<div class="scroll"><table class="plain"><thead><tr><th scope="col">Measure</th><th scope="col">Before</th><th scope="col">After</th></tr></thead><tbody>"#,
    );
    let mut row = |name: String, change: &Change, write: fn(f64) -> String| {
        let cell = |f: Option<Figure>| {
            f.map_or_else(|| NONE.into(), |f| write(f.value)) + &interval(f, write)
        };
        let _ = write!(
            out,
            r#"<tr><th scope="row">{name}</th><td>{}</td><td>{}</td></tr>"#,
            cell(change.before),
            cell(change.after)
        );
    };
    for (k, change) in AT.iter().zip(&direction.recall) {
        row(format!("Recall@{k}, %"), change, percent);
    }
    row("Median rank".into(), &direction.median_rank, |v| {
        fixed(v, usize::from(v.is_finite() && v.fract() != 0.0))
    });
    out + "</tbody></table></div>"
}
