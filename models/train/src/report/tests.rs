//! The page holds for any run: hostile words, no epochs, figures that are none.

use std::path::Path;

use ekphrasis_embed::Pixels;

use super::*;

/// Reads `page` as XML as far as a browser's safety depends on it: every element
/// closed in order, attributes quoted, no bare `&` or `<`. Gives the elements' names.
fn well_formed(page: &str) -> Vec<String> {
    let mut rest = page.strip_prefix("<!doctype html>\n").expect("the doctype");
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        entities(&rest[..at]);
        let body = &rest[at + 1..];
        let mut quoted = false;
        let end = body
            .char_indices()
            .find(|&(_, c)| {
                quoted ^= c == '"';
                c == '>' && !quoted
            })
            .expect("a tag ends")
            .0;
        let tag = &body[..end];
        assert!(!tag.contains('<'), "a bare < in {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in order");
        } else {
            let inner = tag.trim_end_matches('/');
            let name = inner.split(' ').next().expect("a name");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "odd element {name}");
            attributes(&inner[name.len()..]);
            seen.push(name.to_owned());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &body[end + 1..];
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

fn entities(text: &str) {
    for (i, _) in text.match_indices('&') {
        let name = text[i + 1..].split(';').next().expect("a part");
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "odd entity &{name}");
    }
}

fn attributes(mut rest: &str) {
    while !rest.trim().is_empty() {
        let (name, after) = rest.trim_start().split_once("=\"").expect("name=\"value\"");
        assert!(
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "odd attribute {name}"
        );
        assert!(!name.starts_with("on"), "a handler: {name}");
        let (value, after) = after.split_once('"').expect("a quote ends");
        entities(value);
        rest = after;
    }
}

fn thumbnail(seed: u8) -> Picture {
    let rgb = (0..48 * 32 * 3).map(|i| (i as u8).wrapping_mul(seed)).collect();
    Picture::thumbnail(&Pixels::new(48, 32, rgb).unwrap()).unwrap()
}

fn shown(caption: &str, picture: Option<Picture>) -> Shown {
    Shown { picture, caption: caption.into() }
}

fn line(epoch: u64, loss: f64) -> EpochLine {
    EpochLine {
        epoch,
        step: 40 * epoch,
        loss: Some(loss),
        recalls: vec![(Way::TextToPicture, [loss / 4.0; 3]), (Way::PictureToText, [0.1; 3])],
        rsum: Some(100.0 - loss),
        rate: Some(1e-3),
        active: Some(0.5),
        positive: Some(0.4),
        negative: Some(0.1),
        seconds: 0.5,
    }
}

fn report() -> Report {
    let hit = |caption: &str, right, seed| Hit {
        shown: shown(caption, Some(thumbnail(seed))),
        score: 0.4,
        right,
    };
    let example = |right| Example {
        way: Way::TextToPicture,
        query: shown("a red kite", None),
        before: vec![hit("a boat", false, 3)],
        after: vec![hit("a kite", right, 5), hit("a hill", false, 7)],
        rank_before: Some(9),
        rank_after: Some(1),
    };
    Report {
        title: "Kites".into(),
        model: "two heads".into(),
        data: DataSet { source: "kites.csv".into(), pairs: 1234, ..DataSet::default() },
        config: "seed = 1\n".into(),
        epochs: (0..5).map(|e| line(e, 1.0 / (e + 1) as f64)).collect(),
        best_epoch: Some(3),
        scores: vec![direction(0.06, 0.14, 1000)],
        similarity: Some((
            Separation {
                positive: [0.1, 0.2].into_iter().collect(),
                negative: [0.1, 0.2].into_iter().collect(),
            },
            Separation {
                positive: [0.5, 0.6].into_iter().collect(),
                negative: [-0.1, 0.0].into_iter().collect(),
            },
        )),
        findings: vec![Finding { what: "Dead hinges.".into(), advice: "Raise the margin.".into() }],
        examples: vec![example(true), example(false)],
        examples_chosen: "At random, seed 7.".into(),
        export: Some(Exported {
            folder: "out".into(),
            space: "kites-1".into(),
            pair: "abc".into(),
            dim: 256,
            margin: Some(0.2),
            parity: 3.2e-6,
        }),
        ..Report::default()
    }
}

fn direction(before: f64, after: f64, queries: usize) -> Direction {
    Direction {
        way: Way::TextToPicture,
        queries,
        candidates: 800,
        recall: [Change::shares(before, after, queries); 3],
        median_rank: Change { before: Some(Figure::plain(80.0)), after: Some(Figure::plain(14.5)) },
    }
}

#[test]
fn a_run_is_one_page_that_fetches_nothing() {
    let page = html(&report());
    let names = well_formed(&page);
    assert!(!names.iter().any(|n| ["script", "link", "iframe", "object"].contains(&n.as_str())));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
    assert_eq!(names.iter().filter(|n| *n == "h1").count(), 1);
    for words in [
        "6.0\u{a0}%\u{a0}→\u{a0}14.0\u{a0}%",
        "A clear gain.",
        "1\u{202f}234 pairs",
        "kept: 3",
        "Still wrong",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn every_thumbnail_is_in_the_file_with_words() {
    let page = html(&report());
    assert_eq!(page.matches("<img src=\"data:image/jpeg;base64,/9j/").count(), 6);
    assert_eq!(page.matches("alt=\"a kite\"").count(), 2);
    let big = Picture { jpeg: vec![0; 5 << 20] };
    let mut many = report();
    many.examples[0].after =
        vec![Hit { shown: shown("big", Some(big)), score: 0.1, right: false }; 4];
    let page = html(&many);
    well_formed(&page);
    assert!(page.len() < examples::BUDGET + 1_000_000, "{} bytes", page.len());
    assert!(page.contains("thumbnails are left away"));
}

#[test]
fn a_thumbnail_keeps_its_proportions() {
    for (width, height, expected) in
        [(800, 400, (192, 96)), (1, 3000, (1, 192)), (20, 10, (20, 10))]
    {
        let pixels = Pixels::new(width, height, vec![9; (width * height * 3) as usize]).unwrap();
        let small = image::load_from_memory(&Picture::thumbnail(&pixels).unwrap().jpeg).unwrap();
        assert_eq!((small.width(), small.height()), expected);
    }
}

#[test]
fn hostile_words_stay_words() {
    let evil =
        "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;</style>\u{0}\u{202e}";
    let mut hostile = report();
    for field in [
        &mut hostile.title,
        &mut hostile.model,
        &mut hostile.loss,
        &mut hostile.data.source,
        &mut hostile.config,
        &mut hostile.ending,
        &mut hostile.measured_on,
        &mut hostile.intervals,
        &mut hostile.examples_chosen,
    ] {
        *field = evil.into();
    }
    hostile.findings = vec![Finding { what: evil.into(), advice: evil.into() }];
    hostile.examples[0].query.caption = evil.into();
    hostile.examples[1].after[0].shown.caption = evil.into();
    let export = hostile.export.as_mut().unwrap();
    for field in [&mut export.folder, &mut export.space, &mut export.pair] {
        *field = evil.into();
    }
    hostile.data.splits = vec![Split { name: evil.into(), pairs: 1, pictures: 1, groups: 1 }];
    let page = html(&hostile);
    assert_eq!(well_formed(&page), {
        let mut plain = report();
        plain.data.splits = vec![Split { name: "test".into(), pairs: 1, pictures: 1, groups: 1 }];
        plain.intervals = "so".into();
        well_formed(&html(&plain))
    });
    assert!(!page.contains("<script") && !page.contains('\0'));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn odd_numbers_do_not_reach_the_drawing() {
    let odd =
        [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1e-320];
    let plain = report();
    for a in odd {
        for b in odd {
            let mut r = Report { examples: Vec::new(), ..plain.clone() };
            r.epochs = vec![line(0, a), line(1, b), line(2, a)];
            r.scores = vec![direction(a, b, 10)];
            r.similarity = Some((
                Separation::default(),
                Separation { positive: [a, b].into_iter().collect(), ..Separation::default() },
            ));
            r.seconds = a;
            let page = html(&r);
            well_formed(&page);
            let body = page.split("</style>").nth(1).unwrap();
            assert!(!body.contains("NaN") && !body.contains("inf"), "{a} and {b}");
        }
    }
}

#[test]
fn short_and_constant_runs_are_drawn() {
    for epochs in [
        vec![],
        vec![line(1, 0.4)],
        vec![line(1, 0.4); 3],
        (0..500).map(|e| line(e, 0.4)).collect(),
    ] {
        let count = epochs.len();
        let page = html(&Report { epochs, ..report() });
        let charts = well_formed(&page).iter().filter(|n| *n == "path").count();
        assert_eq!(count > 0, charts > 6, "{count} epochs, {charts} paths");
        assert!(page.len() < 1_000_000, "{count} epochs, {} bytes", page.len());
    }
    let page = html(&Report::default());
    well_formed(&page);
    assert!(page.contains("Not measured."));
}

#[test]
fn the_verdict_does_not_flatter() {
    let said = |scores| html(&Report { scores, ..report() });
    assert!(said(vec![direction(0.10, 0.11, 200)]).contains("May be chance."));
    assert!(said(vec![direction(0.10, 0.90, 20)]).contains("Too few to be sure."));
    assert!(
        said(vec![direction(0.10, 0.90, 2000), direction(0.3, 0.2, 2000)])
            .contains("Not better everywhere.")
    );
    assert!(said(vec![]).contains("Not measured."));
}

/// By its definition: the ends are the shares `q` from which the observed one is
/// just 1.96 standard deviations away, (p − q)² = z² q (1 − q) / n.
#[test]
fn wilsons_interval() {
    for (p, n) in [(0.14, 100), (0.0, 20), (1.0, 20), (0.5, 3)] {
        let [low, high] = Figure::share(p, n).interval.unwrap();
        assert!(low <= p && p <= high && low < high);
        for q in [low, high] {
            let z2 = 3.841_458_820_694_124;
            let off = (p - q).powi(2) - z2 * q * (1.0 - q) / n as f64;
            assert!(off.abs() < 1e-12, "{p} of {n}: {q} is off by {off}");
        }
    }
    assert_eq!(Figure::share(0.5, 0).interval, None);
    assert_eq!(Figure::share(f64::NAN, 9).interval, None);
}

#[test]
fn a_histogram_counts_all_and_knows_its_overlap() {
    let all: Histogram = [-1.0, 1.0, 1.000_001, 0.3].into_iter().collect();
    assert_eq!((all.total(), all.bins()[0], all.bins()[BINS - 1]), (4, 1, 2));
    let same = Separation { positive: all.clone(), negative: all };
    assert!((same.overlap().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(report().similarity.unwrap().1.overlap(), Some(0.0));
    assert_eq!(Separation::default().overlap(), None);
}

#[test]
fn a_page_replaces_the_older_one_or_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    fs_err::write(&path, "old").unwrap();
    write(&report(), &path).unwrap();
    assert_eq!(fs_err::read_to_string(&path).unwrap(), html(&report()));
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let error = write(&report(), &folder.path().join("no/report.html")).unwrap_err();
    assert!(error.to_string().contains("no/report.html"), "{error}");
}

mod sample;

/// For the eye: `cargo test -p ekphrasis-train report::tests::a_sample_page -- --ignored --nocapture`
#[test]
#[ignore = "writes a page of made-up figures to look at"]
fn a_sample_page() {
    let path = std::env::temp_dir().join("ekphrasis-report.html");
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/gallery/pictures");
    write(&sample::report(&gallery), &path).unwrap();
    println!("{}", path.display());
}
