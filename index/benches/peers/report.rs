//! What was measured, as a table and as a plot.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Recall at which searches are compared.
const TARGET: f64 = 0.99;
const SIDES: [(&str, &str); 2] = [("near", "in distribution"), ("far", "across the gap")];

/// What was measured of one.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) build: Value,
    pub(crate) search: Value,
}

impl Measured {
    /// Recall and queries per second, by width of search.
    fn curve(&self, side: &str) -> Vec<(f64, f64)> {
        let points = self.search["curves"][side].as_array().map_or(&[][..], |points| points);
        points.iter().filter_map(|p| Some((p["recall"].as_f64()?, p["qps"].as_f64()?))).collect()
    }

    /// Queries per second at the target, between the two widths around it.
    fn at_target(&self, side: &str) -> Option<f64> {
        let curve = self.curve(side);
        let above = curve.iter().position(|point| point.0 >= TARGET)?;
        let (high, Some(low)) = (curve[above], above.checked_sub(1).map(|i| curve[i])) else {
            return Some(curve[above].1);
        };
        let share = (TARGET - low.0) / (high.0 - low.0);
        Some((low.1.ln() + share * (high.1.ln() - low.1.ln())).exp())
    }
}

/// Writes `SET.md` and `SET.svg` into `dir`; `set` is a number of generated vectors, or `real`.
pub(crate) fn write(
    dir: &Path,
    set: &str,
    description: &str,
    all: &[Measured],
    filtered: Option<&Value>,
) -> Result<()> {
    fs_err::create_dir_all(dir)?;
    let (title, argument) = match set {
        "real" => ("Real vectors".to_string(), "--real DIR".to_string()),
        rows => (format!("{rows} vectors"), format!("--rows {rows}")),
    };
    let mut text = format!("# {title}\n\n{description}.\n\n");
    writeln!(
        text,
        "Made by `cargo bench -p ekphrasis-index --bench peers -- {argument}` on {}.\n",
        machine()
    )?;
    writeln!(
        text,
        "Queries a second and processor at recall@10 = {TARGET}, interpolated between the two \
         widths of search around it; quantised peers compare 30 candidates again in f32. \
         Memory is what opening and all searches added to the process.\n"
    )?;
    writeln!(
        text,
        "| | in distribution /s | across the gap /s | build CPU s | open ms | anonymous MB | of files MB | index file MB |"
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|")?;
    for one in all {
        let speed =
            |side| one.at_target(side).map_or("not reached".to_string(), |qps| format!("{qps:.0}"));
        let number = |value: &Value, scale: f64| value.as_f64().map_or(0.0, |n| n / scale);
        let threads = match one.build["threads"].as_u64() {
            None | Some(1) => String::new(),
            Some(several) => format!(" ({several} threads)"),
        };
        writeln!(
            text,
            "| {} | {} | {} | {:.1}{threads} | {:.0} | {:.0} | {:.0} | {:.0} |",
            one.name,
            speed("near"),
            speed("far"),
            number(&one.build["build_cpu_s"], 1.0),
            number(&one.search["open_ms"], 1.0),
            number(&one.search["rss_anon"], 1e6),
            number(&one.search["rss_file"], 1e6),
            number(&one.build["file"], 1e6),
        )?;
    }
    writeln!(text, "\n![recall and throughput]({set}.svg)\n")?;
    for one in all {
        for (side, name) in SIDES {
            let points: Vec<String> =
                one.curve(side).iter().map(|(r, q)| format!("{r:.4} → {q:.0}")).collect();
            writeln!(text, "- {}, {name}: {}", one.name, points.join(", "))?;
        }
    }
    text.push_str(&table_of_filtered(filtered)?);
    fs_err::write(dir.join(format!("{set}.md")), &text)?;
    fs_err::write(dir.join(format!("{set}.svg")), plot(set, all)?)?;
    println!("{text}");
    Ok(())
}

/// Filtered searches of ours, beside scans of what passes and searches without a filter.
fn table_of_filtered(filtered: Option<&Value>) -> Result<String> {
    let rows = filtered.and_then(Value::as_array).filter(|rows| !rows.is_empty());
    let Some(rows) = rows else { return Ok(String::new()) };
    let mut text = String::from(
        "\n## With filters\n\nOurs, with the default options; µs of the processor a query.\n\n\
         | queries | filter | passing | recall@10 | filtered | scan of what passes | no filter | filtered / no filter |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
        let side = SIDES.iter().find(|side| row["side"] == side.0).map_or("", |side| side.1);
        writeln!(
            text,
            "| {side} | {} | 1/{} | {:.4} | {:.0} | {:.0} | {:.0} | {:.1} |",
            row["tie"].as_str().unwrap_or(""),
            row["share"],
            number("recall"),
            number("us"),
            number("scan_us"),
            number("all_us"),
            number("us") / number("all_us"),
        )?;
    }
    Ok(text)
}

/// The processor, as the system calls it.
fn machine() -> String {
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let (family, model) = (field("cpu family"), field("model\t"));
    match (family, model) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}

/// Recall to the right (the last percent widest), queries a second upwards.
fn plot(set: &str, all: &[Measured]) -> Result<String> {
    const W: f64 = 380.0;
    const H: f64 = 330.0;
    const LEFT: f64 = 60.0;
    const TOP: f64 = 40.0;
    const GAP: f64 = 60.0;
    const COLOURS: [&str; 8] =
        ["#b3261e", "#d98880", "#1f618d", "#117a65", "#76b947", "#7d3c98", "#b7950b", "#5d6d7e"];
    let rates = || all.iter().flat_map(|one| SIDES.into_iter().flat_map(|s| one.curve(s.0)));
    let low = rates().map(|p| p.1).fold(f64::MAX, f64::min).log10().floor();
    let high = rates().map(|p| p.1).fold(1.0, f64::max).log10().ceil();
    // By how many are missed, each tenfold step as wide.
    let x = |recall: f64| W * -((1.0 - recall).clamp(0.001, 0.1) / 0.1).log10() / 2.0;
    let y = |rate: f64| H * (1.0 - (rate.log10() - low) / (high - low).max(1.0));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + 2.0 * W + GAP + 150.0,
        TOP + H + 50.0
    );
    for (i, (side, title)) in SIDES.into_iter().enumerate() {
        let left = LEFT + i as f64 * (W + GAP);
        writeln!(svg, "<g transform=\"translate({left},{TOP})\">")?;
        writeln!(
            svg,
            "<text x=\"{}\" y=\"-14\" text-anchor=\"middle\">{set} × 384, {title}</text>",
            W / 2.0
        )?;
        writeln!(svg, "<rect width=\"{W}\" height=\"{H}\" fill=\"none\" stroke=\"#999\"/>")?;
        for recall in [0.9, 0.95, 0.98, 0.99, 0.995, 0.999] {
            let at = x(recall);
            writeln!(svg, "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y2=\"{H}\" stroke=\"#ddd\"/>")?;
            writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{recall}</text>",
                H + 16.0
            )?;
        }
        for power in low as i32..=high as i32 {
            let at = y(10f64.powi(power));
            writeln!(svg, "<line x2=\"{W}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>")?;
            writeln!(
                svg,
                "<text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                at + 4.0,
                10i64.pow(power as u32)
            )?;
        }
        for (one, colour) in all.iter().zip(COLOURS) {
            let curve = one.curve(side);
            let shown: Vec<String> = curve
                .iter()
                .filter(|p| p.0 >= 0.9)
                .map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1)))
                .collect();
            let width = if one.name.starts_with("ours") { 3 } else { 1 };
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
                shown.join(" ")
            )?;
            for point in &shown {
                let (cx, cy) = point.split_once(',').unwrap_or(("0", "0"));
                writeln!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"2.5\" fill=\"{colour}\"/>")?;
            }
        }
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">recall@10</text></g>",
            W / 2.0,
            H + 36.0
        )?;
    }
    let left = LEFT + 2.0 * W + GAP + 20.0;
    for (i, (one, colour)) in all.iter().zip(COLOURS).enumerate() {
        let at = TOP + 10.0 + 20.0 * i as f64;
        writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>",
            at - 4.0
        )?;
        writeln!(svg, "<text x=\"{}\" y=\"{at}\">{}</text>", left + 20.0, one.name)?;
    }
    writeln!(
        svg,
        "<text x=\"14\" y=\"{}\" transform=\"rotate(-90 14 {0})\" text-anchor=\"middle\">queries a second, one thread</text>",
        TOP + H / 2.0
    )?;
    svg.push_str("</svg>\n");
    Ok(svg)
}
