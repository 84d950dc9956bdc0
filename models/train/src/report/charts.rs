//! How did training go? Lines over epochs.

use std::fmt::Write;

use super::data::{EpochLine, Report, Way};
use super::escape::escape;
use super::number::{fixed, short};
use super::plot::{BOTTOM, HEIGHT, LEFT, RIGHT, Scale, TOP, foot, open, rows, short_tick};

/// More points than this are a line without dots.
const DOTS: usize = 60;

struct Line {
    name: String,
    values: Vec<Option<f64>>,
}

struct Chart {
    title: &'static str,
    note: &'static str,
    lines: Vec<Line>,
    write: fn(f64) -> String,
}

/// The section; what no epoch has a number for has no chart.
pub(super) fn section(report: &Report) -> String {
    let epochs = &report.epochs;
    if epochs.is_empty() {
        return r#"<p class="quiet">No epoch was finished, so there are no curves.</p>"#.into();
    }
    let column = |name: &str, value: fn(&EpochLine) -> Option<f64>| Line {
        name: name.into(),
        values: epochs.iter().map(value).collect(),
    };
    let ways: Vec<Way> = [Way::TextToPicture, Way::PictureToText, Way::PictureToPicture]
        .into_iter()
        .filter(|way| epochs.iter().any(|e| e.recalls.iter().any(|(w, _)| w == way)))
        .collect();
    let recall = |place: usize| {
        let of = |way: &Way| Line {
            name: way.name().into(),
            values: epochs
                .iter()
                .map(|e| e.recalls.iter().find(|(w, _)| w == way).map(|(_, r)| 100.0 * r[place]))
                .collect(),
        };
        ways.iter().map(of).collect::<Vec<_>>()
    };
    let charts = [
        Chart {
            title: "Training loss",
            note: "Mean over the batches of an epoch.",
            lines: vec![column("Loss", |e| e.loss)],
            write: short,
        },
        Chart {
            title: "Sum of recalls, validation",
            note: "Recall@1, @5 and @10 of all directions, in percent; the epoch is chosen by it.",
            lines: vec![column("Sum", |e| e.rsum)],
            write: |v| fixed(v, 1),
        },
        Chart {
            title: "Recall@1, validation, %",
            note: "Share of queries whose first hit is right.",
            lines: recall(0),
            write: |v| fixed(v, 1),
        },
        Chart {
            title: "Recall@10, validation, %",
            note: "Share of queries with a right hit among ten.",
            lines: recall(2),
            write: |v| fixed(v, 1),
        },
        Chart {
            title: "Mean similarity",
            note: "Cosine in the training batches. The two should part.",
            lines: vec![column("Positives", |e| e.positive), column("Negatives", |e| e.negative)],
            write: |v| fixed(v, 3),
        },
        Chart {
            title: "Active terms, %",
            note: "Share of the loss's terms that still push. At 0 nothing is learnt any more.",
            lines: vec![column("Active", |e| e.active.map(|a| 100.0 * a))],
            write: |v| fixed(v, 1),
        },
        Chart {
            title: "Learning rate",
            note: "In the last step of an epoch.",
            lines: vec![column("Rate", |e| e.rate)],
            write: short,
        },
    ];
    let mut out = String::from(r#"<div class="charts">"#);
    for chart in &charts {
        if chart.lines.iter().any(|line| line.values.iter().any(Option::is_some)) {
            out.push_str(&figure(chart, epochs, report.best_epoch));
        }
    }
    out + "</div>"
}

fn figure(chart: &Chart, epochs: &[EpochLine], best: Option<u64>) -> String {
    let mut out = format!("<figure><h3>{}</h3>", chart.title);
    if chart.lines.len() > 1 {
        out.push_str(r#"<ul class="legend">"#);
        for (i, line) in chart.lines.iter().enumerate() {
            let _ = write!(
                out,
                r#"<li><svg class="chart key" viewBox="0 0 22 10" aria-hidden="true"><path class="line s{i}" d="M1 5H21"/></svg>{}</li>"#,
                escape(&line.name)
            );
        }
        out.push_str("</ul>");
    }
    let x = Scale::over(epochs.iter().map(|e| e.epoch as f64), LEFT, RIGHT);
    let all = || chart.lines.iter().flat_map(|l| l.values.iter().flatten().copied());
    let y = Scale::over(all(), BOTTOM, TOP).rounded();
    out.push_str(&open(&label(chart, epochs), HEIGHT));
    rows(&mut out, &y, short_tick);
    foot(&mut out, &x, &x.whole_ticks(), BOTTOM, "epoch");
    if let Some(best) = best.filter(|&b| epochs.iter().any(|e| e.epoch == b)) {
        let at = x.at(best as f64);
        // The label stays within the picture at either end.
        let (anchor, shift) =
            if at > (LEFT + RIGHT) / 2.0 { ("end", -5.0) } else { ("start", 5.0) };
        let _ = write!(
            out,
            r#"<line class="best" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{BOTTOM}"/><text class="name" x="{:.1}" y="{:.1}" text-anchor="{anchor}">kept: {best}</text>"#,
            at + shift,
            BOTTOM - 6.0
        );
    }
    for (i, line) in chart.lines.iter().enumerate() {
        draw(&mut out, i, line, epochs, (&x, &y), chart.write);
    }
    out.push_str("</svg>");
    let _ = write!(out, r#"<figcaption class="quiet">{}"#, chart.note);
    let lost = all().filter(|v| !v.is_finite()).count();
    if lost > 0 {
        let _ = write!(
            out,
            r#" <span class="wrong">{lost} of the values {} not a finite number.</span>"#,
            if lost == 1 { "is" } else { "are" }
        );
    }
    out.push_str("</figcaption>");
    out.push_str(&table(chart, epochs));
    out + "</figure>"
}

fn label(chart: &Chart, epochs: &[EpochLine]) -> String {
    let ends = |line: &Line| {
        let mut finite = line.values.iter().flatten().filter(|v| v.is_finite());
        let first = finite.next()?;
        let last = finite.next_back().unwrap_or(first);
        Some(format!("{} from {} to {}", line.name, (chart.write)(*first), (chart.write)(*last)))
    };
    let lines: Vec<_> = chart.lines.iter().filter_map(ends).collect();
    format!("{} over {} epochs: {}", chart.title, epochs.len(), lines.join("; "))
}

fn draw(
    out: &mut String,
    number: usize,
    line: &Line,
    epochs: &[EpochLine],
    (x, y): (&Scale, &Scale),
    write: fn(f64) -> String,
) {
    let mut path = String::new();
    let mut dots = String::new();
    let mut pen_down = false;
    for (epoch, value) in epochs.iter().zip(&line.values) {
        // A gap is drawn as a gap, not bridged.
        let Some(value) = value.filter(|v| v.is_finite()) else {
            pen_down = false;
            continue;
        };
        let (px, py) = (x.at(epoch.epoch as f64), y.at(value));
        let _ = write!(path, "{}{px:.1} {py:.1}", if pen_down { "L" } else { "M" });
        pen_down = true;
        let _ = write!(
            dots,
            r#"<circle class="dot s{number}" cx="{px:.1}" cy="{py:.1}" r="2.6"><title>{}, epoch {}: {}</title></circle>"#,
            escape(&line.name),
            epoch.epoch,
            write(value)
        );
    }
    if !path.is_empty() {
        let _ = write!(out, r#"<path class="line s{number}" d="{path}"/>"#);
    }
    if epochs.len() <= DOTS {
        out.push_str(&dots);
    }
}

fn table(chart: &Chart, epochs: &[EpochLine]) -> String {
    let mut out = String::from(
        r#"<details><summary>Numbers</summary><div class="scroll"><table><thead><tr><th scope="col">Epoch</th><th scope="col">Step</th>"#,
    );
    for line in &chart.lines {
        let _ = write!(out, r#"<th scope="col">{}</th>"#, escape(&line.name));
    }
    out.push_str("</tr></thead><tbody>");
    for (i, epoch) in epochs.iter().enumerate() {
        let _ = write!(out, r#"<tr><th scope="row">{}</th><td>{}</td>"#, epoch.epoch, epoch.step);
        for line in &chart.lines {
            let value = line.values[i].unwrap_or(f64::NAN);
            let _ = write!(out, "<td>{}</td>", (chart.write)(value));
        }
        out.push_str("</tr>");
    }
    out + "</tbody></table></div></details>"
}
