//! Given what a person typed, which expression is it, or where does it go wrong?

use std::str::FromStr;

use super::expr::{Expr, Term};
use super::{
    Bytes, Date, Dimensions, Distance, FilterError, Hundredths, Micros, Near, PathPattern, Pattern,
    Place, Span,
};
use crate::text::typo;
use crate::{Colour, Kind};

/// The longest text that is read, in characters.
const MOST_CHARS: usize = 4_000;
/// The most conditions.
const MOST_TERMS: usize = 200;
/// How deep parentheses and negations may nest.
const DEPTH: usize = 40;

/// A field: its name, other names for it, what its value looks like, how it is read.
struct Field {
    name: &'static str,
    aliases: &'static [&'static str],
    expected: &'static str,
    read: fn(&str) -> Option<Term>,
}

const TEXT: &str = "some text, in quotes if it has spaces";
const DATES: &str =
    "a date or a range of them, such as 2019, 2019-05-31, >=2019-05 or 2019-05..2020";
const PIXELS: &str = "a number of pixels or a range, such as 1080, >=1000 or 1000..2000";

const FIELDS: &[Field] = &[
    Field {
        name: "kind",
        aliases: &[],
        expected: "image or text",
        read: |v| {
            let kinds = [
                ("image", Kind::Image),
                ("images", Kind::Image),
                ("text", Kind::Text),
                ("texts", Kind::Text),
            ];
            kinds.iter().find(|(name, _)| v.eq_ignore_ascii_case(name)).map(|k| Term::Kind(k.1))
        },
    },
    Field {
        name: "path",
        aliases: &[],
        expected: "a folder, a file or a pattern of up to 60 names, such as trips/** or /home/ann/trips",
        read: |v| PathPattern::new(v).map(Term::Path),
    },
    Field {
        name: "folder",
        aliases: &[],
        expected: "a folder's name, in quotes if it has spaces",
        read: |v| Pattern::new(v).map(Term::Folder),
    },
    Field {
        name: "name",
        aliases: &["file"],
        expected: "a file's name or a part of it, in quotes if it has spaces",
        read: |v| Pattern::new(v).map(Term::Name),
    },
    Field {
        name: "format",
        aliases: &["type"],
        expected: "a format, such as jpeg or png",
        read: |v| {
            let common = [("jpg", "jpeg"), ("tif", "tiff")];
            let found = common.iter().find(|(short, _)| v.eq_ignore_ascii_case(short));
            Pattern::new(found.map_or(v, |f| f.1)).map(Term::Format)
        },
    },
    Field {
        name: "size",
        aliases: &[],
        expected: "a size or a range of them, such as 500kb, >2mb or 1mb..1.5gb",
        read: |v| span(v, bytes, |a, b| a <= b).map(Term::Size),
    },
    Field {
        name: "width",
        aliases: &[],
        expected: PIXELS,
        read: |v| span(v, pixels, |a, b| a <= b).map(Term::Width),
    },
    Field {
        name: "height",
        aliases: &[],
        expected: PIXELS,
        read: |v| span(v, pixels, |a, b| a <= b).map(Term::Height),
    },
    Field {
        name: "dimensions",
        aliases: &[],
        expected: "width x height or a range, such as 1920x1080 or >=640x480",
        read: |v| {
            let ordered =
                |a: &Dimensions, b: &Dimensions| a.width <= b.width && a.height <= b.height;
            span(v, dimensions, ordered).map(Term::Dimensions)
        },
    },
    Field {
        name: "taken",
        aliases: &["date"],
        expected: DATES,
        read: |v| span(v, date, |a, b| a.first() <= b.last()).map(Term::Taken),
    },
    Field {
        name: "modified",
        aliases: &[],
        expected: DATES,
        read: |v| span(v, date, |a, b| a.first() <= b.last()).map(Term::Modified),
    },
    Field {
        name: "camera",
        aliases: &[],
        expected: TEXT,
        read: |v| Pattern::new(v).map(Term::Camera),
    },
    Field { name: "lens", aliases: &[], expected: TEXT, read: |v| Pattern::new(v).map(Term::Lens) },
    Field {
        name: "iso",
        aliases: &[],
        expected: "a speed or a range, such as 400, >=800 or 100..400",
        read: |v| span(v, whole, |a, b| a <= b).map(Term::Iso),
    },
    Field {
        name: "aperture",
        aliases: &["fnumber"],
        expected: "an f-number or a range, such as 2.8, <=2 or f/4..f/8",
        read: |v| span(v, f_number, |a, b| a <= b).map(Term::Aperture),
    },
    Field {
        name: "exposure",
        aliases: &["shutter"],
        expected: "seconds or a range, such as 1/250, >=1 or 0.5..30",
        read: |v| span(v, seconds, |a, b| a <= b).map(Term::Exposure),
    },
    Field {
        name: "focal",
        aliases: &["focallength"],
        expected: "millimetres or a range, such as 50, >=200mm or 24..70",
        read: |v| span(v, millimetres, |a, b| a <= b).map(Term::Focal),
    },
    Field {
        name: "tag",
        aliases: &["tags"],
        expected: TEXT,
        read: |v| Pattern::new(v).map(Term::Tag),
    },
    Field {
        name: "label",
        aliases: &["labels"],
        expected: TEXT,
        read: |v| Pattern::new(v).map(Term::Label),
    },
    Field {
        name: "color",
        aliases: &["colour", "colors", "colours"],
        expected: "black, white, grey, red, orange, yellow, green, cyan, blue, purple, pink or brown",
        read: |v| Colour::named(v.trim()).map(Term::Colour),
    },
    Field {
        name: "near",
        aliases: &[],
        expected: "degrees north, degrees east and a distance in m, km or mi, such as 52.5,13.4,10km",
        read: |v| near(v).map(Term::Near),
    },
];

/// A value, with `>`, `>=`, `<`, `<=` or `=` before it, or two with `..` between,
/// of which one may be missing.
fn span<T>(
    text: &str,
    one: fn(&str) -> Option<T>,
    ordered: impl Fn(&T, &T) -> bool,
) -> Option<Span<T>> {
    type Make<T> = fn(T) -> Span<T>;
    let signs: [(&str, Make<T>); 5] = [
        (">=", Span::From),
        ("<=", Span::UpTo),
        (">", Span::Over),
        ("<", Span::Under),
        ("=", Span::Is),
    ];
    let text = text.trim();
    if let Some((value, make)) =
        signs.iter().find_map(|(sign, make)| Some((text.strip_prefix(sign)?, make)))
    {
        return one(value.trim()).map(make);
    }
    match text.split_once("..") {
        None => one(text).map(Span::Is),
        Some(("", "")) => None,
        Some((from, "")) => one(from.trim()).map(Span::From),
        Some(("", to)) => one(to.trim()).map(Span::UpTo),
        Some((from, to)) => {
            let (from, to) = (one(from.trim())?, one(to.trim())?);
            ordered(&from, &to).then_some(Span::Within(from, to))
        }
    }
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok()
}

fn pixels(text: &str) -> Option<u32> {
    whole(text.strip_suffix("px").unwrap_or(text))
}

fn dimensions(text: &str) -> Option<Dimensions> {
    let (width, height) = text.split_once(['x', 'X', '×'])?;
    Some(Dimensions { width: whole(width)?, height: whole(height)? })
}

fn whole(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A decimal number times `unit`, rounded down. No exponent, no sign.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !digits(whole)
        || !digits(part)
        || number.ends_with('.')
        || part.len() > 12
    {
        return None;
    }
    let scale = 10u128.pow(part.len() as u32);
    let whole: u128 = whole.parse().ok().filter(|&n: &u128| n < 1 << 64)?;
    let part: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let scaled = (whole * scale + part).checked_mul(unit.into())? / scale;
    // What the catalogue can hold.
    u64::try_from(scaled).ok().filter(|&n| i64::try_from(n).is_ok())
}

/// The number and what its unit is worth. Units are lower case.
fn with_unit<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(&'a str, u64)> {
    let at = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let (_, worth) = units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    Some((number.trim_end(), *worth))
}

fn bytes(text: &str) -> Option<Bytes> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("b", 1),
        ("k", 1000),
        ("kb", 1000),
        ("m", 1_000_000),
        ("mb", 1_000_000),
        ("g", 1_000_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    let (number, unit) = with_unit(text, UNITS)?;
    scaled(number, unit).map(Bytes)
}

fn hundredths(text: &str) -> Option<Hundredths> {
    scaled(text, 100).and_then(|n| n.try_into().ok()).map(Hundredths)
}

fn f_number(text: &str) -> Option<Hundredths> {
    hundredths(text.strip_prefix("f/").or(text.strip_prefix("F/")).unwrap_or(text))
}

fn millimetres(text: &str) -> Option<Hundredths> {
    hundredths(text.strip_suffix("mm").unwrap_or(text).trim_end())
}

/// `0.004`, `1/250`, `2s`; rounded as the camera's fraction is.
fn seconds(text: &str) -> Option<Micros> {
    let text = text.strip_suffix('s').unwrap_or(text).trim_end();
    let Some((over, under)) = text.split_once('/') else {
        return scaled(text, 1_000_000).map(Micros);
    };
    let (over, under) = (u64::from(whole(over.trim())?), u64::from(whole(under.trim())?));
    (over * 1_000_000 + under / 2).checked_div(under).map(Micros)
}

fn near(text: &str) -> Option<Near> {
    const UNITS: &[(&str, u64)] = &[("m", 1_000), ("km", 1_000_000), ("mi", 1_609_344)];
    let mut parts = text.split(',').map(str::trim);
    let (latitude, longitude, radius) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| {
        let plain = |b: u8| b.is_ascii_digit() || b"+-.".contains(&b);
        text.bytes().all(plain).then(|| text.parse::<f64>().ok())?
    };
    let place = Place::new(number(latitude)?, number(longitude)?)?;
    let (number, unit) = with_unit(radius, UNITS)?;
    let radius = scaled(number, unit).and_then(Distance::of_millimetres)?;
    parts.next().is_none().then_some(Near { place, radius })
}

impl FromStr for Expr {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let chars: Vec<char> = text.chars().collect();
        let mut parser = Parser { chars: &chars, at: 0, terms: 0 };
        if chars.len() > MOST_CHARS {
            let got = format!("{} characters", chars.len());
            return Err(parser.error(
                MOST_CHARS,
                &format!("at most {MOST_CHARS} characters"),
                &got,
            ));
        }
        let expr = parser.any(0)?;
        match parser.peek() {
            None => Ok(expr),
            // Only a closing parenthesis ends a list of conditions.
            Some(_) => Err(parser.error(parser.at, "a condition", "\")\" without \"(\"")),
        }
    }
}

struct Parser<'a> {
    chars: &'a [char],
    at: usize,
    terms: usize,
}

impl Parser<'_> {
    fn error(&self, at: usize, expected: &str, got: &str) -> FilterError {
        let what = format!("expected {expected}, got {got}");
        FilterError { at, what, expected: expected.into() }
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.chars.get(self.at).copied()
    }

    /// Takes `word` if it comes next as a word of its own.
    fn keyword(&mut self, word: &str) -> bool {
        self.peek();
        let end = self.at + word.len();
        let there = self.chars.get(self.at..end).is_some_and(|chars| {
            chars.iter().zip(word.chars()).all(|(c, w)| c.eq_ignore_ascii_case(&w))
        });
        let ends = |c: &char| c.is_whitespace() || ['(', ')'].contains(c);
        let found = there && self.chars.get(end).is_none_or(ends);
        if found {
            self.at = end;
        }
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut expr = self.all(depth)?;
        while self.keyword("or") {
            expr = expr.or(self.all(depth)?);
        }
        Ok(expr)
    }

    fn all(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut expr = self.one(depth)?;
        loop {
            let before = self.at;
            if self.keyword("or") {
                self.at = before;
                return Ok(expr);
            }
            let more = self.keyword("and") || !matches!(self.peek(), None | Some(')'));
            if !more {
                return Ok(expr);
            }
            expr = expr.and(self.one(depth)?);
        }
    }

    fn one(&mut self, depth: usize) -> Result<Expr, FilterError> {
        if depth > DEPTH {
            let expected = format!("parentheses and negations at most {DEPTH} deep");
            return Err(self.error(self.at, &expected, "more"));
        }
        if self.keyword("not") {
            return Ok(!self.one(depth + 1)?);
        }
        match self.peek() {
            None => Err(self.error(self.at, "a condition such as kind:image", "the end")),
            Some(')') => Err(self.error(self.at, "a condition such as kind:image", "\")\"")),
            Some('-') => {
                self.at += 1;
                Ok(!self.one(depth + 1)?)
            }
            Some('(') => {
                let open = self.at;
                self.at += 1;
                let expr = self.any(depth + 1)?;
                if self.peek() != Some(')') {
                    let got = format!("the end; the \"(\" at character {} is open", open + 1);
                    return Err(self.error(self.at, "\")\"", &got));
                }
                self.at += 1;
                Ok(expr)
            }
            Some(_) => self.term(),
        }
    }

    fn term(&mut self) -> Result<Expr, FilterError> {
        let start = self.at;
        self.terms += 1;
        if self.terms > MOST_TERMS {
            return Err(self.error(start, &format!("at most {MOST_TERMS} conditions"), "more"));
        }
        let name: String = self.take_while(|c| c != ':' && !ends_word(c));
        if self.chars.get(self.at) != Some(&':') || name.is_empty() {
            return Err(self.no_field(start, &name));
        }
        let Some(field) = FIELDS.iter().find(|f| f.is_called(&name)) else {
            return Err(self.unknown_field(start, &name));
        };
        self.at += 1;
        let value_at = self.at;
        let value = self.value()?;
        let expected = format!("{} after \"{}:\"", field.expected, field.name);
        if value.is_empty() {
            return Err(self.error(value_at, &expected, "nothing"));
        }
        let shown: String = value.chars().take(40).collect();
        let read = (field.read)(&value);
        read.map(Expr::from).ok_or_else(|| self.error(value_at, &expected, &format!("{shown:?}")))
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = &self.chars[self.at..];
        let taken: String = rest.iter().copied().take_while(|&c| wanted(c)).collect();
        self.at += taken.chars().count();
        taken
    }

    /// A value up to the next space or parenthesis, or in quotes.
    fn value(&mut self) -> Result<String, FilterError> {
        let after_quotes = "a space or parenthesis before and after quotes";
        if self.chars.get(self.at) != Some(&'"') {
            let value = self.take_while(|c| !ends_word(c));
            return match self.chars.get(self.at) {
                Some('"') => {
                    Err(self.error(self.at, "quotes around the whole value", "quotes within it"))
                }
                _ => Ok(value),
            };
        }
        let open = self.at;
        let mut value = String::new();
        self.at += 1;
        loop {
            match self.chars.get(self.at) {
                None => {
                    let got = format!("the end; the quotes at character {} are open", open + 1);
                    return Err(self.error(self.at, "closing quotes", &got));
                }
                Some('"') => break,
                Some('\\') if matches!(self.chars.get(self.at + 1), Some('"' | '\\')) => {
                    value.push(self.chars[self.at + 1]);
                    self.at += 1;
                }
                Some(&c) => value.push(c),
            }
            self.at += 1;
        }
        self.at += 1;
        match self.chars.get(self.at) {
            Some(&c) if !c.is_whitespace() && !['(', ')'].contains(&c) => {
                Err(self.error(self.at, after_quotes, &format!("{:?}", c.to_string())))
            }
            _ => Ok(value),
        }
    }

    /// A word that stands alone.
    fn no_field(&self, at: usize, word: &str) -> FilterError {
        let expected = "field:value, such as kind:image";
        if word.is_empty() {
            let got: String = self.chars.get(at..).unwrap_or(&[]).iter().take(10).collect();
            return self.error(at, expected, &format!("{got:?}"));
        }
        let shown: String = word.chars().take(40).collect();
        let mut got = format!("{shown:?}");
        if word.chars().all(char::is_alphanumeric) {
            got.push_str(&format!("; did you mean tag:{shown} or name:{shown}?"));
        }
        self.error(at, expected, &got)
    }

    fn unknown_field(&self, at: usize, name: &str) -> FilterError {
        let names = FIELDS.iter().map(|f| f.name);
        let all = names.collect::<Vec<_>>().join(", ");
        let shown: String = name.chars().take(40).collect();
        let near = FIELDS
            .iter()
            .flat_map(|f| std::iter::once(f.name).chain(f.aliases.iter().copied()))
            .map(|known| (typo::distance(&shown.to_lowercase(), known), known))
            .filter(|(distance, known)| *distance <= 1.max(known.len() / 3))
            .min();
        let meant = near.map(|(_, known)| format!(", did you mean {known:?}?")).unwrap_or_default();
        let separator = if meant.is_empty() { ";" } else { "" };
        let what = format!("unknown field {shown:?}{meant}{separator} the fields are {all}");
        FilterError { at, what, expected: format!("one of the fields {all}") }
    }
}

impl Field {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || ['(', ')', '"'].contains(&c)
}

#[cfg(test)]
mod tests;
