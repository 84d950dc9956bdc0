//! What may stand in a filter, and how is it written?

use std::fmt::{self, Write};

use super::{Bytes, Date, Dimensions, Hundredths, Micros, Near, PathPattern, Pattern, Span};
use crate::{Colour, Exposure, Facts, Item, Kind};

/// A condition on one property of an item. An item without the property (a text
/// has no width, a scan no camera) does not meet it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Term {
    /// `kind:image`
    Kind(Kind),
    /// `path:trips/**`
    Path(PathPattern),
    /// `folder:rome`: some folder above has this name.
    Folder(Pattern),
    /// `name:img_2019*`: the file's name is this, or has it if there is no `*` or `?`.
    Name(Pattern),
    /// `format:jpeg`, by content.
    Format(Pattern),
    /// `size:>2mb`
    Size(Span<Bytes>),
    /// `width:>=1000`, upright, in pixels.
    Width(Span<u32>),
    /// `height:1080`
    Height(Span<u32>),
    /// `dimensions:>=1920x1080`: width and height both.
    Dimensions(Span<Dimensions>),
    /// `taken:2019-05..2020`, by the camera's clock. A picture of which only the
    /// year is known is in that year, but in no month of it.
    Taken(Span<Date>),
    /// `modified:>2024`: the file, in UTC.
    Modified(Span<Date>),
    /// `camera:"Pixel 7"`: make and model have these words in this order.
    Camera(Pattern),
    /// `lens:50mm`, likewise.
    Lens(Pattern),
    /// `iso:>=800`
    Iso(Span<u32>),
    /// `aperture:<=2.8`
    Aperture(Span<Hundredths>),
    /// `exposure:>=1/4`: in seconds.
    Exposure(Span<Micros>),
    /// `focal:24..70`: in millimetres, not scaled to any film.
    Focal(Span<Hundredths>),
    /// `tag:beach`: one of the tags, or of the keywords in the file, is this.
    Tag(Pattern),
    /// `label:cat`: one of the labels is this, or lies below it, as `cat > kitten` does.
    Label(Pattern),
    /// `color:red`: much of the picture has this colour.
    Colour(Colour),
    /// `near:52.5,13.4,10km`
    Near(Near),
}

impl Term {
    /// Whether an item meets it.
    pub fn accepts(&self, item: &Item) -> bool {
        let (file, path) = (item.file.as_ref(), item.path.as_deref());
        let fact = |of: fn(&Facts) -> Option<String>| item.facts.as_ref().and_then(of);
        let exposure = item.facts.as_ref().map_or_else(Exposure::default, |facts| facts.exposure);
        match self {
            Self::Kind(kind) => item.kind == *kind,
            Self::Path(pattern) => path.is_some_and(|path| pattern.holds(path)),
            Self::Folder(pattern) => path
                .filter(|path| path.file_name().is_some())
                .and_then(|path| path.parent())
                .is_some_and(|folder| pattern.is_a_name_in(folder)),
            Self::Name(pattern) => path
                .and_then(|path| path.file_name())
                .is_some_and(|name| pattern.is_in(&name.to_string_lossy())),
            Self::Format(pattern) => file.is_some_and(|f| pattern.is(&f.format)),
            Self::Size(span) => file.is_some_and(|f| span.holds(Bytes(f.size))),
            Self::Width(span) => file.is_some_and(|f| span.holds(f.width)),
            Self::Height(span) => file.is_some_and(|f| span.holds(f.height)),
            Self::Dimensions(span) => file.is_some_and(|f| {
                span.map(|d| d.width).holds(f.width) && span.map(|d| d.height).holds(f.height)
            }),
            Self::Taken(span) => item
                .facts
                .as_ref()
                .and_then(|facts| facts.taken)
                .is_some_and(|taken| span.holds_all(taken.date.first(), taken.date.last())),
            Self::Modified(span) => file.is_some_and(|f| {
                let second = f.mtime_ns.div_euclid(1_000_000_000);
                span.holds_all(second, second)
            }),
            Self::Camera(pattern) => {
                fact(Facts::camera).is_some_and(|camera| pattern.is_among_words_of(&camera))
            }
            Self::Lens(pattern) => {
                fact(|f| f.lens.clone()).is_some_and(|lens| pattern.is_among_words_of(&lens))
            }
            Self::Iso(span) => exposure.iso.is_some_and(|iso| span.holds(iso)),
            Self::Aperture(span) => {
                exposure.aperture_hundredths.is_some_and(|n| span.holds(Hundredths(n)))
            }
            Self::Exposure(span) => exposure.time_us.is_some_and(|n| span.holds(Micros(n))),
            Self::Focal(span) => {
                exposure.focal_hundredths.is_some_and(|n| span.holds(Hundredths(n)))
            }
            Self::Tag(pattern) => {
                let keywords = item.facts.iter().flat_map(|facts| &facts.keywords);
                item.tags.iter().chain(keywords).any(|tag| pattern.is(tag))
            }
            Self::Label(pattern) => item.labels.iter().any(|label| pattern.is_label(label)),
            Self::Colour(colour) => {
                item.facts.as_ref().is_some_and(|facts| facts.colours.contains(colour))
            }
            Self::Near(near) => item
                .facts
                .as_ref()
                .and_then(|facts| facts.place)
                .is_some_and(|place| near.holds(place)),
        }
    }

    /// The field's name and its value, unquoted.
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Kind(kind) => ("kind", kind.as_str().into()),
            Self::Path(pattern) => ("path", pattern.to_string()),
            Self::Folder(pattern) => ("folder", pattern.to_string()),
            Self::Name(pattern) => ("name", pattern.to_string()),
            Self::Format(pattern) => ("format", pattern.to_string()),
            Self::Size(span) => ("size", span.to_string()),
            Self::Width(span) => ("width", span.to_string()),
            Self::Height(span) => ("height", span.to_string()),
            Self::Dimensions(span) => ("dimensions", span.to_string()),
            Self::Taken(span) => ("taken", span.to_string()),
            Self::Modified(span) => ("modified", span.to_string()),
            Self::Camera(pattern) => ("camera", pattern.to_string()),
            Self::Lens(pattern) => ("lens", pattern.to_string()),
            Self::Iso(span) => ("iso", span.to_string()),
            Self::Aperture(span) => ("aperture", span.to_string()),
            Self::Exposure(span) => ("exposure", span.to_string()),
            Self::Focal(span) => ("focal", span.to_string()),
            Self::Tag(pattern) => ("tag", pattern.to_string()),
            Self::Label(pattern) => ("label", pattern.to_string()),
            Self::Colour(colour) => ("color", colour.as_str().into()),
            Self::Near(near) => ("near", near.to_string()),
        }
    }
}

/// As it can be typed: quoted where it has to be.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, value) = self.parts();
        write!(f, "{field}:")?;
        let plain = |c: char| !c.is_whitespace() && !['(', ')', '"'].contains(&c);
        if value.chars().all(plain) {
            return f.write_str(&value);
        }
        f.write_char('"')?;
        for c in value.chars() {
            if ['"', '\\'].contains(&c) {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// A filter expression: which items may be found.
///
/// Read from text as a person types it; conditions joined by spaces must all
/// hold, `or` binds looser, `-` is not, parentheses group:
/// `kind:image (tag:beach or tag:sea) -taken:2019-05..2020 size:>2mb`.
/// Printed, it reads the same again.
///
/// ```
/// use ekphrasis_index::Expr;
/// let expr: Expr = "camera:\"Pixel 7\" -(tag:beach or width:<1000)".parse()?;
/// assert_eq!(expr.to_string().parse(), Ok(expr));
/// let error = "widht:>100".parse::<Expr>().unwrap_err();
/// assert!(error.to_string().contains("did you mean \"width\"?"));
/// # Ok::<(), ekphrasis_index::FilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expr(pub(crate) Node);

/// What an expression is made of. Lists have at least two entries and none of their
/// own kind; what is negated is no negation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// All of them hold.
    All(Vec<Node>),
    /// Any of them holds.
    Any(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// An item meets this.
    Is(Term),
}

impl From<Term> for Expr {
    fn from(term: Term) -> Self {
        Self(Node::Is(term))
    }
}

impl std::ops::Not for Expr {
    type Output = Self;

    fn not(self) -> Self {
        Self(match self.0 {
            Node::Not(inner) => *inner,
            node => Node::Not(Box::new(node)),
        })
    }
}

impl Expr {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let list = |node| match node {
            Node::All(list) => list,
            node => vec![node],
        };
        let mut all = list(self.0);
        all.extend(list(other.0));
        Self(Node::All(all))
    }

    /// Either, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let list = |node| match node {
            Node::Any(list) => list,
            node => vec![node],
        };
        let mut any = list(self.0);
        any.extend(list(other.0));
        Self(Node::Any(any))
    }

    /// Whether an item may be found.
    pub fn accepts(&self, item: &Item) -> bool {
        self.0.accepts(item)
    }

    /// The conditions that an item does not meet, of those that it would have to meet all; empty
    /// if it may be found.
    pub fn unmet(&self, item: &Item) -> Vec<Self> {
        let all = match &self.0 {
            Node::All(list) => list.as_slice(),
            node => std::slice::from_ref(node),
        };
        all.iter().filter(|node| !node.accepts(item)).cloned().map(Self).collect()
    }

    /// Whether it says anything about the kind of items.
    pub fn asks_for_kind(&self) -> bool {
        self.0.asks_for(|term| matches!(term, Term::Kind(_)))
    }

    /// Whether it says anything about labels.
    pub(crate) fn asks_for_labels(&self) -> bool {
        self.0.asks_for(|term| matches!(term, Term::Label(_)))
    }
}

impl Node {
    fn accepts(&self, item: &Item) -> bool {
        match self {
            Self::All(list) => list.iter().all(|node| node.accepts(item)),
            Self::Any(list) => list.iter().any(|node| node.accepts(item)),
            Self::Not(node) => !node.accepts(item),
            Self::Is(term) => term.accepts(item),
        }
    }

    fn asks_for(&self, what: fn(&Term) -> bool) -> bool {
        match self {
            Self::All(list) | Self::Any(list) => list.iter().any(|node| node.asks_for(what)),
            Self::Not(node) => node.asks_for(what),
            Self::Is(term) => what(term),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(term) => fmt::Display::fmt(term, f),
            Self::Not(node) => match &**node {
                Self::Is(term) => write!(f, "-{term}"),
                node => write!(f, "-({node})"),
            },
            Self::Any(list) => joined(f, list, " or ", |_| false),
            Self::All(list) => joined(f, list, " ", |node| matches!(node, Self::Any(_))),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    list: &[Node],
    between: &str,
    grouped: fn(&Node) -> bool,
) -> fmt::Result {
    for (i, node) in list.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        if grouped(node) {
            write!(f, "({node})")?;
        } else {
            fmt::Display::fmt(node, f)?;
        }
    }
    Ok(())
}
