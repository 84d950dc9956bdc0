//! What does it look like? Queries with their hits before and after.

use std::fmt::Write;

use super::data::{Example, Hit, Report, Shown};
use super::escape::escape;
use super::number::fixed;

/// Hits that are shown of a list.
const HITS: usize = 5;
/// Bytes of pictures in a page (in base64); later ones are left away, and it is said.
pub(super) const BUDGET: usize = 12 << 20;

/// Pictures that still fit.
pub(super) struct Budget {
    left: usize,
    refused: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BUDGET, refused: 0 }
    }
}

impl Budget {
    fn take(&mut self, bytes: usize) -> bool {
        if bytes > self.left {
            self.refused += 1;
            return false;
        }
        self.left -= bytes;
        true
    }

    /// A line on what did not fit.
    pub(super) fn note(&self) -> String {
        match self.refused {
            0 => String::new(),
            n => format!(
                r#"<p class="quiet">{n} thumbnails are left away: the page would be over {} MB.</p>"#,
                BUDGET >> 20
            ),
        }
    }
}

/// Those that are now right, and those that are still wrong.
pub(super) fn section(report: &Report, budget: &mut Budget) -> String {
    if report.examples.is_empty() {
        return String::new();
    }
    let is_right = |e: &&Example| e.after.first().is_some_and(|hit| hit.right);
    let (right, wrong): (Vec<_>, Vec<_>) = report.examples.iter().partition(is_right);
    let mut out = String::from(
        r#"<section aria-labelledby="examples"><h2 id="examples">Held-out queries</h2>"#,
    );
    let _ = write!(
        out,
        r#"<p class="quiet">{} A framed hit is right.</p>"#,
        escape(&report.examples_chosen)
    );
    if !right.is_empty() {
        let _ = write!(out, "<h3>First hit right after training ({})</h3>", right.len());
    }
    right.iter().for_each(|e| out.push_str(&example(e, budget)));
    out.push_str("</section>");
    if !wrong.is_empty() {
        let _ = write!(
            out,
            r#"<section aria-labelledby="failures"><h2 id="failures">Still wrong</h2><p class="quiet">{} of {} shown queries have a wrong first hit after training.</p>"#,
            wrong.len(),
            report.examples.len()
        );
        wrong.iter().for_each(|e| out.push_str(&example(e, budget)));
        out.push_str("</section>");
    }
    out
}

fn example(example: &Example, budget: &mut Budget) -> String {
    let mut out = String::from(r#"<article class="example"><div class="query">"#);
    let _ = write!(out, r#"<p class="quiet small">{}</p>"#, example.way.name());
    if let Some(picture) = image(&example.query, budget) {
        let _ = write!(out, r#"<span class="thumb">{picture}</span>"#);
    }
    let _ = write!(
        out,
        r#"<h4 dir="auto">{}</h4></div><div class="lists">"#,
        escape(&example.query.caption)
    );
    for (name, hits, rank) in [
        ("Before", &example.before, example.rank_before),
        ("After", &example.after, example.rank_after),
    ] {
        let rank = rank.map_or(String::new(), |r| {
            format!(r#" <span class="quiet">first right hit: {r}</span>"#)
        });
        let _ = write!(out, "<div><p><strong>{name}</strong>{rank}</p>");
        if hits.is_empty() {
            out.push_str(r#"<p class="quiet small">No hits.</p>"#);
        } else {
            out.push_str(r#"<ol class="hits">"#);
            hits.iter().take(HITS).for_each(|hit| out.push_str(&shown(hit, budget)));
            out.push_str("</ol>");
        }
        out.push_str("</div>");
    }
    out + "</div></article>"
}

fn shown(hit: &Hit, budget: &mut Budget) -> String {
    let caption = escape(&hit.shown.caption);
    let class = if hit.right { "hit right" } else { "hit" };
    let mark = if hit.right { r#"<span class="mark">right</span> "# } else { "" };
    let picture = image(&hit.shown, budget)
        .map_or(String::new(), |p| format!(r#"<span class="thumb">{p}</span>"#));
    format!(
        r#"<li class="{class}">{picture}<span class="words" dir="auto" title="{caption}">{caption}</span><span class="quiet small">{mark}{}</span></li>"#,
        fixed(hit.score, 2)
    )
}

/// The picture; its words stand beside it, so they are not said twice.
fn image(shown: &Shown, budget: &mut Budget) -> Option<String> {
    let picture = shown.picture.as_ref()?;
    if !budget.take(picture.jpeg.len().div_ceil(3) * 4) {
        return None;
    }
    let alt = if shown.caption.is_empty() { "picture" } else { &shown.caption };
    Some(format!(r#"<img src="{}" alt="{}"/>"#, picture.uri(), escape(alt)))
}
