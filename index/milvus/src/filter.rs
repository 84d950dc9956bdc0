//! Which part of a filter can a server check by itself, and how is that written in
//! its language?

use ekphrasis_index::elsewhere::Node;
use ekphrasis_index::{Date, Expr, Filter, ItemId, Near, Pattern, Span, Term};

use crate::marks::{ABSENT, Number, clamped, kind_code, mark};

/// What everybody passes.
const ALL: &str = "kind >= 0";
/// The Earth's mean radius (IUGG) in metres, as filters have it.
const EARTH: f64 = 6_371_008.8;

/// A filter as a server is asked for it. It lets through everybody that the filter lets
/// through; `exact` says that it lets through nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) text: String,
    pub(crate) exact: bool,
}

impl Pushed {
    pub(crate) fn new(filter: &Filter) -> Self {
        let kind = filter.kind.map(|kind| format!("kind == {}", kind_code(kind)));
        let expr = filter.expr.as_ref().map(Expr::node);
        let part = expr.map(translate);
        let exact = part.as_ref().is_none_or(|part| part.exact);
        let texts: Vec<_> = kind.into_iter().chain(part.and_then(|part| part.text)).collect();
        let text = if texts.is_empty() { ALL.to_owned() } else { texts.join(" and ") };
        Self { text, exact }
    }

    /// Also only ids above `after` (if there is one) up to `last`.
    pub(crate) fn between(&self, after: Option<ItemId>, last: ItemId) -> String {
        let after = after.map(|id| format!("id > \"{id}\" and ")).unwrap_or_default();
        format!("{after}id <= \"{last}\" and {}", self.text)
    }
}

/// Whoever has one of these ids.
pub(crate) fn any_of(ids: &[ItemId]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("id in [{}]", ids.join(", "))
}

/// `text` is `None` where nothing can be asked: everybody may pass.
struct Part {
    text: Option<String>,
    exact: bool,
}

impl Part {
    fn exactly(text: String) -> Self {
        Self { text: Some(format!("({text})")), exact: true }
    }

    fn roughly(text: String) -> Self {
        Self { text: Some(format!("({text})")), exact: false }
    }

    const UNKNOWN: Self = Self { text: None, exact: false };
}

fn translate(node: &Node) -> Part {
    match node {
        Node::All(list) => {
            let parts: Vec<_> = list.iter().map(translate).collect();
            let exact = parts.iter().all(|part| part.exact);
            let texts: Vec<_> = parts.into_iter().filter_map(|part| part.text).collect();
            let text = (!texts.is_empty()).then(|| format!("({})", texts.join(" and ")));
            Part { text, exact }
        }
        Node::Any(list) => {
            let parts: Vec<_> = list.iter().map(translate).collect();
            let exact = parts.iter().all(|part| part.exact);
            let texts: Option<Vec<_>> = parts.into_iter().map(|part| part.text).collect();
            Part { text: texts.map(|texts| format!("({})", texts.join(" or "))), exact }
        }
        // What lets too many through lets too few through when it is turned round.
        Node::Not(inner) => match translate(inner) {
            Part { text: Some(text), exact: true } => Part::exactly(format!("not {text}")),
            _ => Part::UNKNOWN,
        },
        Node::Is(term) => translate_term(term),
    }
}

fn translate_term(term: &Term) -> Part {
    match term {
        Term::Kind(kind) => Part::exactly(format!("kind == {}", kind_code(*kind))),
        Term::Size(span) => number(Number::Size, *span, |bytes| clamped(bytes.0)),
        Term::Width(span) => number(Number::Width, *span, i64::from),
        Term::Height(span) => number(Number::Height, *span, i64::from),
        Term::Dimensions(span) => {
            let [width, height] = [
                compare(Number::Width, *span, |d| d.width.into()),
                compare(Number::Height, *span, |d| d.height.into()),
            ];
            Part::exactly(format!("{width} and {height}"))
        }
        Term::Taken(span) => Part::exactly(stretch(Number::TakenFrom, Number::TakenTo, *span)),
        Term::Modified(span) => Part::exactly(stretch(Number::Modified, Number::Modified, *span)),
        Term::Iso(span) => number(Number::Iso, *span, i64::from),
        Term::Aperture(span) => number(Number::Aperture, *span, |n| n.0.into()),
        Term::Exposure(span) => number(Number::Exposure, *span, |n| clamped(n.0)),
        Term::Focal(span) => number(Number::Focal, *span, |n| n.0.into()),
        Term::Format(pattern) => marked("format", pattern),
        Term::Tag(pattern) => marked("tag", pattern),
        Term::Label(pattern) => marked("label", pattern),
        Term::Folder(pattern) => marked("folder", pattern),
        Term::Colour(colour) => has_mark("color", colour.as_str()),
        Term::Near(near) => Part::roughly(around(*near)),
        // Paths, names, cameras and lenses are compared in parts, and here only.
        _ => Part::UNKNOWN,
    }
}

fn number<T: Copy>(column: Number, span: Span<T>, value: impl Fn(T) -> i64) -> Part {
    Part::exactly(compare(column, span, value))
}

fn compare<T: Copy>(column: Number, span: Span<T>, value: impl Fn(T) -> i64) -> String {
    let name = column.name();
    match span {
        Span::Is(a) => format!("{name} == {}", value(a)),
        Span::Over(a) => format!("{name} > {}", value(a)),
        Span::From(a) => format!("{name} >= {}", value(a)),
        Span::Under(a) => format!("{name} < {} and {name} > {ABSENT}", value(a)),
        Span::UpTo(a) => format!("{name} <= {} and {name} > {ABSENT}", value(a)),
        Span::Within(a, b) => format!("{name} >= {} and {name} <= {}", value(a), value(b)),
    }
}

/// All of the stretch from one column to the other is within the span.
fn stretch(from: Number, to: Number, span: Span<Date>) -> String {
    let (from, to) = (from.name(), to.name());
    match span {
        Span::Is(a) => format!("{from} >= {} and {to} <= {}", a.first(), a.last()),
        Span::Over(a) => format!("{from} > {}", a.last()),
        Span::From(a) => format!("{from} >= {}", a.first()),
        Span::Under(a) => format!("{to} < {} and {to} > {ABSENT}", a.first()),
        Span::UpTo(a) => format!("{to} <= {} and {to} > {ABSENT}", a.last()),
        Span::Within(a, b) => format!("{from} >= {} and {to} <= {}", a.first(), b.last()),
    }
}

fn marked(field: &str, pattern: &Pattern) -> Part {
    if pattern.is_wild() { Part::UNKNOWN } else { has_mark(field, pattern.folded()) }
}

fn has_mark(field: &str, text: &str) -> Part {
    match mark(field, text) {
        Some(mark) => Part::exactly(format!("array_contains(marks, {})", quoted(&mark))),
        None => Part::UNKNOWN,
    }
}

/// A text in the language of filters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A rectangle of degrees around a circle; only a band, if the circle holds a pole or lies
/// across the 180th meridian.
fn around(near: Near) -> String {
    // Wider by a little, so that rounding leaves nobody out.
    let angle = near.radius.metres() / EARTH * 1.001 + 1e-7;
    let (latitude, longitude) = (near.place.latitude(), near.place.longitude());
    let units = |degrees: f64| (degrees * 1e7).round() as i64;
    let span = |column: Number, middle: f64, off: f64| {
        let (name, least) = (column.name(), units(middle - off).max(ABSENT + 1));
        format!("{name} >= {least} and {name} <= {}", units(middle + off))
    };
    let band = span(Number::Latitude, latitude, angle.to_degrees().min(400.0));
    let cos = latitude.to_radians().cos();
    if angle >= std::f64::consts::FRAC_PI_2 || angle.sin() >= cos * 0.999 {
        return band;
    }
    let off = (angle.sin() / cos).asin().to_degrees() * 1.001 + 1e-6;
    if longitude.abs() + off > 180.0 {
        return band;
    }
    format!("{band} and {}", span(Number::Longitude, longitude, off))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str) -> (String, bool) {
        let expr: Expr = text.parse().expect(text);
        let Pushed { text, exact } = Pushed::new(&expr.into());
        (text, exact)
    }

    #[test]
    fn what_a_server_can_check_is_asked_of_it() {
        for (filter, text, exact) in [
            ("kind:image", "(kind == 0)", true),
            ("width:>=1000 height:5", "((width >= 1000) and (height == 5))", true),
            ("size:<2kb", "(size < 2000 and size > -4611686018427387904)", true),
            ("tag:\"Café \\\"x\\\"\"", r#"(array_contains(marks, "tag:cafe \"x\""))"#, true),
            ("-tag:sea", "(not (array_contains(marks, \"tag:sea\")))", true),
            // A part nobody can ask for: of what must all hold, the rest is asked.
            ("tag:s* iso:100", "((iso_speed == 100))", false),
            ("camera:canon", ALL, false),
            // Of what may hold, nothing; and what is roughly so cannot be turned round.
            ("tag:s* or iso:100", ALL, false),
            ("-near:0,0,10km", ALL, false),
            ("-(tag:s* iso:100)", ALL, false),
        ] {
            assert_eq!(pushed(filter), (text.to_owned(), exact), "{filter}");
        }
    }

    #[test]
    fn circles_become_rectangles_or_bands() {
        let (text, exact) = pushed("near:52.5,13.4,10km");
        assert!(!exact);
        assert!(text.contains("latitude >= 52") && text.contains("longitude <= 13"), "{text}");
        for band in ["near:89.99,0,10km", "near:0,179.99,10km", "near:10,20,9000km"] {
            let (text, _) = pushed(band);
            assert!(text.contains("latitude") && !text.contains("longitude"), "{band}: {text}");
        }
    }
}
