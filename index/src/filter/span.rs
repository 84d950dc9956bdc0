//! Which values does `>2mb` or `2019-05..2020` mean?

use std::fmt;

use super::Date;

/// Some of the values of an ordered kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span<T> {
    /// This one: `5`. Of dates, all times within it.
    Is(T),
    /// Greater: `>5`. Of dates, what begins after its end.
    Over(T),
    /// This or greater: `>=5`, `5..`.
    From(T),
    /// Less: `<5`. Of dates, what ends before its beginning.
    Under(T),
    /// This or less: `<=5`, `..5`.
    UpTo(T),
    /// Both ends and what lies between: `2..5`.
    Within(T, T),
}

impl<T> Span<T> {
    /// The same span over other values.
    pub(crate) fn map<U>(self, f: impl Fn(T) -> U) -> Span<U> {
        match self {
            Self::Is(a) => Span::Is(f(a)),
            Self::Over(a) => Span::Over(f(a)),
            Self::From(a) => Span::From(f(a)),
            Self::Under(a) => Span::Under(f(a)),
            Self::UpTo(a) => Span::UpTo(f(a)),
            Self::Within(a, b) => Span::Within(f(a), f(b)),
        }
    }
}

impl<T: Copy + Ord> Span<T> {
    /// Whether `value` is among them.
    pub(crate) fn holds(self, value: T) -> bool {
        match self {
            Self::Is(a) => value == a,
            Self::Over(a) => value > a,
            Self::From(a) => value >= a,
            Self::Under(a) => value < a,
            Self::UpTo(a) => value <= a,
            Self::Within(a, b) => a <= value && value <= b,
        }
    }
}

impl Span<Date> {
    /// Whether all of the stretch from `first` to `last` is among them.
    pub(crate) fn holds_all(self, first: i64, last: i64) -> bool {
        match self {
            Self::Is(a) => first >= a.first() && last <= a.last(),
            Self::Over(a) => first > a.last(),
            Self::From(a) => first >= a.first(),
            Self::Under(a) => last < a.first(),
            Self::UpTo(a) => last <= a.last(),
            Self::Within(a, b) => first >= a.first() && last <= b.last(),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Span<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(a) => write!(f, "{a}"),
            Self::Over(a) => write!(f, ">{a}"),
            Self::From(a) => write!(f, ">={a}"),
            Self::Under(a) => write!(f, "<{a}"),
            Self::UpTo(a) => write!(f, "<={a}"),
            Self::Within(a, b) => write!(f, "{a}..{b}"),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// As `2mb` where that is exact: kb, mb, gb and tb are powers of 1000.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [(1_000_000_000_000, "tb"), (1_000_000_000, "gb"), (1_000_000, "mb"), (1000, "kb")];
        match units.into_iter().find(|(size, _)| self.0 > 0 && self.0.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A number in hundredths: of the f-number, or of a millimetre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hundredths(pub u32);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0.into(), 2))
    }
}

/// A time in millionths of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// In seconds.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0, 6))
    }
}

/// A number with so many digits after its point, without zeros at the end.
fn decimal(number: u64, digits: usize) -> String {
    let text = format!("{number:0>width$}", width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    match part.trim_end_matches('0') {
        "" => whole.into(),
        part => format!("{whole}.{part}"),
    }
}

/// Upright width and height in pixels; each is compared with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dimensions {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl fmt::Display for Dimensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}
