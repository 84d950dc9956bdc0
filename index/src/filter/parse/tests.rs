use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> String {
    match text.parse::<Expr>() {
        Ok(expr) => expr.to_string(),
        Err(e) => format!("{e}"),
    }
}

#[test]
fn every_field_is_understood() {
    for (text, canonical) in [
        ("kind:image", "kind:image"),
        ("KIND:Texts", "kind:text"),
        ("path:trips/**", "path:trips/**"),
        ("path:\"trips (2019)/a b\"", "path:\"trips (2019)/a b\""),
        ("folder:Rome", "folder:Rome"),
        ("name:IMG_*", "name:IMG_*"),
        ("file:x", "name:x"),
        ("format:jpg", "format:jpeg"),
        ("type:PNG", "format:PNG"),
        ("size:>2mb", "size:>2mb"),
        ("size:1.5MB", "size:1500kb"),
        ("size:2kib..", "size:>=2048"),
        ("size:..0.5gb", "size:<=500mb"),
        ("size:1000000", "size:1mb"),
        ("size:0", "size:0"),
        ("size:\">= 3 kb\"", "size:>=3kb"),
        ("width:>=1000", "width:>=1000"),
        ("width:800px", "width:800"),
        ("height:100..200", "height:100..200"),
        ("dimensions:>=1920x1080", "dimensions:>=1920x1080"),
        ("dimensions:640×480", "dimensions:640x480"),
        ("taken:2019-05..2020", "taken:2019-05..2020"),
        ("taken:2019-05..2019", "taken:2019-05..2019"),
        ("date:<2019-05-01T12:30", "taken:<2019-05-01T12:30"),
        ("modified:=2024", "modified:2024"),
        ("camera:\"Pixel 7\"", "camera:\"Pixel 7\""),
        ("lens:50mm", "lens:50mm"),
        ("tag:\"say \\\"hi\\\" \\\\ c:\\d\"", "tag:\"say \\\"hi\\\" \\\\ c:\\\\d\""),
        ("label:cat", "label:cat"),
        ("iso:>=800", "iso:>=800"),
        ("aperture:f/2.80", "aperture:2.8"),
        ("fnumber:<=2", "aperture:<=2"),
        ("exposure:1/250", "exposure:0.004"),
        ("shutter:>=2s", "exposure:>=2"),
        ("exposure:1/3..0.5", "exposure:0.333333..0.5"),
        ("focal:24..70mm", "focal:24..70"),
        ("color:Gray", "color:grey"),
        ("colour:red", "color:red"),
        ("near:52.5,13.4,10km", "near:52.5,13.4,10km"),
        ("near:\"-33.86, 151.21, 1.5 mi\"", "near:-33.86,151.21,2414.016m"),
    ] {
        assert_eq!(parsed(text), canonical, "{text}");
        assert_eq!(parsed(canonical), canonical, "{canonical}");
    }
}

#[test]
fn conditions_are_joined_negated_and_grouped() {
    for (text, canonical) in [
        ("tag:a tag:b", "tag:a tag:b"),
        ("  tag:a\n\ttag:b  ", "tag:a tag:b"),
        ("tag:a and tag:b AND tag:c", "tag:a tag:b tag:c"),
        ("tag:a OR tag:b tag:c", "tag:a or tag:b tag:c"),
        ("(tag:a or tag:b)tag:c", "(tag:a or tag:b) tag:c"),
        ("((tag:a) (tag:b tag:c))", "tag:a tag:b tag:c"),
        ("-tag:a", "-tag:a"),
        ("not tag:a", "-tag:a"),
        ("--tag:a", "tag:a"),
        ("- (tag:a tag:b) or -tag:c", "-(tag:a tag:b) or -tag:c"),
        ("-(tag:a or tag:b)", "-(tag:a or tag:b)"),
        ("not(tag:a)", "-tag:a"),
        ("tag:or tag:and tag:not", "tag:or tag:and tag:not"),
        ("tag:-a -tag:-b", "tag:-a -tag:-b"),
    ] {
        assert_eq!(parsed(text), canonical, "{text}");
    }
    let deep = format!("{}tag:a{}", "(".repeat(40), ")".repeat(40));
    assert_eq!(parsed(&deep), "tag:a");
}

#[test]
fn every_mistake_says_where_and_what_was_expected() {
    for (text, at, words) in [
        ("", 0, "expected a condition such as kind:image, got the end"),
        ("tag:a or", 8, "expected a condition such as kind:image, got the end"),
        ("or tag:a", 0, "expected field:value, such as kind:image, got \"or\""),
        ("beach", 0, "got \"beach\"; did you mean tag:beach or name:beach?"),
        ("tag:a beach", 6, "expected field:value"),
        (
            "widht:>100",
            0,
            "unknown field \"widht\", did you mean \"width\"? the fields are kind, path,",
        ),
        ("tag:a (-flavour:red)", 8, "unknown field \"flavour\"; the fields are kind,"),
        ("tags:a labels:b foldr:c", 16, "did you mean \"folder\"?"),
        ("kind:picture", 5, "expected image or text after \"kind:\", got \"picture\""),
        ("size:big", 5, "such as 500kb, >2mb or 1mb..1.5gb after \"size:\", got \"big\""),
        ("size:5..2", 5, "got \"5..2\""),
        ("size:..", 5, "got \"..\""),
        ("size:1e9", 5, "got \"1e9\""),
        ("size:-1", 5, "got \"-1\""),
        ("size:99999999999gb", 5, "got \"99999999999gb\""),
        ("size:", 5, "got nothing"),
        ("size: 5", 5, "got nothing"),
        ("width:12.5", 6, "a number of pixels"),
        ("width:>", 6, "got \">\""),
        ("dimensions:1920", 11, "width x height"),
        ("dimensions:1x9..2x8", 11, "width x height"),
        ("taken:2019-13", 6, "a date or a range of them, such as 2019, 2019-05-31"),
        ("taken:2020..2019", 6, "got \"2020..2019\""),
        ("near:52.5,13.4", 5, "degrees north, degrees east and a distance"),
        ("near:52.5,13.4,10", 5, "a distance in m, km or mi"),
        ("near:91,0,1km", 5, "degrees north"),
        ("near:1,2,0km", 5, "degrees north"),
        ("near:inf,2,1km", 5, "degrees north"),
        (
            "camera:\"Pixel 7",
            15,
            "expected closing quotes, got the end; the quotes at character 8 are open",
        ),
        ("camera:Pi\"x\"", 9, "expected quotes around the whole value"),
        ("camera:\"a\"b", 10, "got \"b\""),
        ("camera:\"\"", 7, "got nothing"),
        ("(tag:a", 6, "expected \")\", got the end; the \"(\" at character 1 is open"),
        ("tag:a)", 5, "expected a condition, got \")\" without \"(\""),
        ("()", 1, "expected a condition such as kind:image, got \")\""),
        (":x", 0, "expected field:value"),
        ("ümlaut:ü", 0, "unknown field \"ümlaut\""),
        ("tag:ü größe:1", 6, "unknown field \"größe\""),
    ] {
        let error = text.parse::<Expr>().expect_err(text);
        let shown = error.to_string();
        assert!(shown.contains(words), "{text:?}: {shown}");
        assert_eq!(error.position(), at, "{text:?}: {shown}");
        assert!(shown.starts_with(&format!("the filter is wrong at character {}: ", at + 1)));
        assert!(!error.expected().is_empty() && !shown.contains('\n'));
    }
}

#[test]
fn who_asks_for_a_kind() {
    let asks = |text: &str| text.parse::<Expr>().expect("a filter").asks_for_kind();
    assert!(asks("kind:text") && asks("tag:a -(tag:b or kind:image)"));
    assert!(!asks("tag:kind width:>1"));
}

#[test]
fn length_and_depth_are_bounded() {
    let refused = |text: &str, words: &str| {
        let shown = parsed(text);
        assert!(shown.contains(words), "{shown}");
    };
    refused(&"tag:a ".repeat(1_000), "at most 4000 characters, got 6000 characters");
    refused(&"tag:a ".repeat(201), "at most 200 conditions");
    refused(&"(".repeat(3_000), "at most 40 deep");
    refused(&"-".repeat(3_000), "at most 40 deep");
    refused(&"not ".repeat(900), "at most 40 deep");
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let text = prop_oneof!["[a-z*?]{1,8}", "\\PC{1,12}", "[ ()\"\\\\:.<>=-]{1,6}"];
    text.prop_filter_map("empty", |text| Pattern::new(&text))
}

fn path() -> impl Strategy<Value = PathPattern> {
    let text = prop_oneof!["/?([a-z*]{1,4}/){0,4}[a-z*.]{1,4}/?", "\\PC{1,12}"];
    text.prop_filter_map("empty", |text| PathPattern::new(&text))
}

fn any_span<T: std::fmt::Debug + Copy + 'static>(
    one: impl Strategy<Value = T> + Clone + 'static,
    ordered: fn(T, T) -> bool,
) -> impl Strategy<Value = Span<T>> {
    (0..6, one.clone(), one).prop_map(move |(i, a, b)| match i {
        0 => Span::Is(a),
        1 => Span::Over(a),
        2 => Span::From(a),
        3 => Span::Under(a),
        4 => Span::UpTo(a),
        _ if ordered(a, b) => Span::Within(a, b),
        _ => Span::Within(b, a),
    })
}

fn a_date() -> impl Strategy<Value = Date> + Clone {
    let parts = (1u16..=9999, 1u16..=12, 1u16..=28, 0u16..24, 0u16..60, 0u16..60, 1usize..=6);
    parts.prop_map(|(y, m, d, h, i, s, known)| {
        Date::new(&[y, m, d, h, i, s][..known]).expect("exists")
    })
}

fn term() -> impl Strategy<Value = Term> {
    let size = prop_oneof![0u64..2_000, (0u64..9_000).prop_map(|n| n * 1_000_000)];
    let extent = (0u32..10_000, 0u32..10_000);
    let extent = extent.prop_map(|(width, height)| Dimensions { width, height });
    let dimensions = any_span(extent, |a, b| a.width <= b.width && a.height <= b.height);
    let radius = prop_oneof![1u64..9_999_999, (1u64..20_000).prop_map(|km| km * 1_000_000)];
    let near =
        (-90.0..=90.0, -180.0..=180.0, radius).prop_map(|(latitude, longitude, radius)| Near {
            place: Place::new(latitude, longitude).expect("on the Earth"),
            radius: Distance::of_millimetres(radius).expect("a distance"),
        });
    let dates = || any_span(a_date(), |a, b| a.first() <= b.last());
    prop_oneof![
        prop_oneof![Just(Kind::Image), Just(Kind::Text)].prop_map(Term::Kind),
        path().prop_map(Term::Path),
        (0..7, pattern()).prop_map(|(i, p)| match i {
            0 => Term::Folder(p),
            1 => Term::Name(p),
            2 => Term::Camera(p),
            3 => Term::Lens(p),
            4 => Term::Tag(p),
            5 => Term::Label(p),
            _ if ["jpg", "tif"].iter().any(|s| p.text().eq_ignore_ascii_case(s)) => Term::Tag(p),
            _ => Term::Format(p),
        }),
        any_span(size.prop_map(Bytes), |a, b| a <= b).prop_map(Term::Size),
        any_span(0u32.., |a, b| a <= b).prop_map(Term::Width),
        any_span(0u32.., |a, b| a <= b).prop_map(Term::Height),
        // Neither order need fit if the sides disagree.
        dimensions
            .prop_filter("a range", |span| match span {
                Span::Within(a, b) => a.width <= b.width && a.height <= b.height,
                _ => true,
            })
            .prop_map(Term::Dimensions),
        dates().prop_map(Term::Taken),
        dates().prop_map(Term::Modified),
        near.prop_map(Term::Near),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    term().prop_map(Expr::from).prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| !e),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
            (inner.clone(), inner).prop_map(|(a, b)| a.or(b)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_the_same(expr in expr()) {
        let text = expr.to_string();
        prop_assert_eq!(text.parse::<Expr>(), Ok(expr), "{}", text);
    }

    #[test]
    fn nothing_typed_makes_it_panic(text in prop_oneof![
        "\\PC{0,80}",
        "(-|\\(|\\)| |or |not |[a-z]{1,10}:|\"|\\\\|[0-9.,x<>=-]{1,6}|(size|taken|near|kind|path|dimensions):){0,24}",
        any::<String>(),
    ]) {
        match text.parse::<Expr>() {
            Ok(expr) => {
                let printed = expr.to_string();
                prop_assert_eq!(printed.parse::<Expr>(), Ok(expr), "{}", printed);
            }
            Err(e) => {
                prop_assert!(e.position() <= text.chars().count());
                prop_assert!(!e.to_string().contains('\n') && e.to_string().chars().count() < 700, "{}", e);
            }
        }
    }
}

#[test]
fn what_an_item_does_not_meet_is_named() {
    let item = crate::Item { tags: vec!["a".into()], ..crate::Item::of_text("x") };
    for (filter, unmet) in [
        ("tag:a", &[][..]),
        ("tag:b", &["tag:b"]),
        ("tag:a tag:b -tag:a kind:text", &["tag:b", "-tag:a"]),
        ("tag:a or tag:b", &[]),
        ("(tag:c or tag:b) tag:a", &["tag:c or tag:b"]),
        ("-(tag:a kind:text) tag:a", &["-(tag:a kind:text)"]),
    ] {
        let expr: Expr = filter.parse().expect("a filter");
        let seen: Vec<String> = expr.unmet(&item).iter().map(ToString::to_string).collect();
        assert_eq!(seen, unmet, "{filter}");
        assert_eq!(seen.is_empty(), expr.accepts(&item), "{filter}");
    }
}
