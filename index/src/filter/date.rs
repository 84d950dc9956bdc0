//! Which stretch of time does `2019-05` mean?

use std::fmt;
use std::str::FromStr;

/// Days from 0001-01-01 to 1970-01-01.
const TO_1970: i64 = 719_162;
const DAY: i64 = 86_400;

/// A time of the civil calendar, as far as it is known: a year, a month of it, a
/// day, an hour, a minute or a second. It is what a clock on the wall showed;
/// no time zone belongs to it. Years 1 to 9999.
///
/// ```
/// use ekphrasis_index::Date;
/// let month: Date = "2019-05".parse()?;
/// assert_eq!(month.last() - month.first(), 31 * 86_400 - 1);
/// assert_eq!("2019-05-01T12:30".parse::<Date>()?.to_string(), "2019-05-01T12:30");
/// # Ok::<(), ekphrasis_index::ParseDateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Date {
    /// Year, month, day, hour, minute, second; beyond `known` they are the least ones.
    parts: [u16; 6],
    known: u8,
}

/// Not a date.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a date is written like 2019, 2019-05, 2019-05-01 or 2019-05-01T12:30, got {0:?}")]
pub struct ParseDateError(String);

impl Date {
    /// Of year, month, day, hour, minute and second, as many as are known but at
    /// least the year. `None` if there is no such time.
    pub fn new(parts: &[u16]) -> Option<Self> {
        let mut all = [1, 1, 1, 0, 0, 0];
        all.get_mut(..parts.len())?.copy_from_slice(parts);
        let [year, month, day, hour, minute, second] = all;
        let exists = !parts.is_empty()
            && (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        exists.then_some(Self { parts: all, known: parts.len() as u8 })
    }

    /// The year.
    pub fn year(self) -> u16 {
        self.parts[0]
    }

    /// Its first second, counted from 1970-01-01T00:00:00 on the same clock.
    pub fn first(self) -> i64 {
        seconds(self.parts)
    }

    /// Its last second, counted likewise.
    pub fn last(self) -> i64 {
        let [year, month, day, hour, minute, _] = self.parts;
        let parts = match self.known {
            1 => [year, 12, 31, 23, 59, 59],
            2 => [year, month, days_in(year, month), 23, 59, 59],
            3 => [year, month, day, 23, 59, 59],
            4 => [year, month, day, hour, 59, 59],
            5 => [year, month, day, hour, minute, 59],
            _ => self.parts,
        };
        seconds(parts)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().take(self.known.into()).enumerate() {
            match i {
                0 => write!(f, "{part:04}")?,
                1 | 2 => write!(f, "-{part:02}")?,
                3 => write!(f, "T{part:02}")?,
                _ => write!(f, ":{part:02}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Date {
    type Err = ParseDateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseDateError(text.into());
        let (mut parts, mut rest) = (vec![], text);
        for (i, separator) in ["", "-", "-", "T", ":", ":"].into_iter().enumerate() {
            if rest.is_empty() {
                break;
            }
            let width = if i == 0 { 4 } else { 2 };
            let digits = rest.strip_prefix(separator).and_then(|r| r.split_at_checked(width));
            let (digits, after) = digits.ok_or_else(wrong)?;
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            parts.push(digits.parse().map_err(|_| wrong())?);
            rest = after;
        }
        if rest.is_empty() { Self::new(&parts).ok_or_else(wrong) } else { Err(wrong()) }
    }
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u16, month: u16) -> u16 {
    match month {
        2 => 28 + u16::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of all years before `year`, from year 1 on.
fn days_before(year: u16) -> i64 {
    let n = i64::from(year) - 1;
    365 * n + n / 4 - n / 100 + n / 400
}

fn seconds([year, month, day, hour, minute, second]: [u16; 6]) -> i64 {
    let months: i64 = (1..month).map(|m| i64::from(days_in(year, m))).sum();
    let days = days_before(year) + months + i64::from(day) - 1 - TO_1970;
    let [hour, minute, second] = [hour, minute, second].map(i64::from);
    days * DAY + hour * 3600 + minute * 60 + second
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        for (text, first, last) in [
            ("1970", 0, 365 * DAY - 1),
            ("1970-01-01T00:00:00", 0, 0),
            ("2000-02-29", 951_782_400, 951_868_799),
            ("2019-05-01T12:30:05", 1_556_713_805, 1_556_713_805),
            ("1969-12-31T23:59", -60, -1),
            ("0001", -62_135_596_800, -62_104_060_801),
            ("9999-12", 253_399_622_400, 253_402_300_799),
        ] {
            let date: Date = text.parse().expect("a date");
            assert_eq!((date.first(), date.last()), (first, last), "{text}");
            assert_eq!(date.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "0000",
            "19",
            "2019-",
            "2019-5",
            "2019-13",
            "2019-02-29",
            "2019-00",
            "2019-04-31",
            "2019-05-01T24",
            "2019-05-01T12:60",
            "2019-05-01T12:30:60",
            "2019-05-01T12:30:05Z",
            "+019",
            "2019/05",
            "20190501",
            "２０１９",
            "yesterday",
            "2019-05-01 12:30",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text:?}");
        }
        assert_eq!(Date::new(&[]), None);
        assert_eq!(Date::new(&[2019, 1, 1, 1, 1, 1, 1]), None);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = "0001-01-01".parse::<Date>().expect("a date").first();
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    let date = Date::new(&[year, month, day]).expect("exists");
                    assert_eq!(date.first(), expected);
                    expected += DAY;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_less_known_takes_longer(
            parts in (1u16..=9999, 1u16..=12, 1u16..=28, 0u16..24, 0u16..60, 0u16..60),
        ) {
            let (year, month, day, hour, minute, second) = parts;
            let parts = [year, month, day, hour, minute, second];
            let mut within: Option<Date> = None;
            for known in 1..=6 {
                let date = Date::new(&parts[..known]).expect("exists");
                prop_assert!(within.is_none_or(|w| w.first() <= date.first() && date.last() <= w.last()));
                prop_assert_eq!(date.to_string().parse(), Ok(date));
                within = Some(date);
            }
            prop_assert_eq!(within.map(Date::first), within.map(Date::last));
        }
    }
}
