//! Given a list of IPTC data sets (IIM), what did people write? Newspapers' way
//! of putting words into pictures, and still what many programs write.

use ekphrasis_index::Date;

use super::Words;

const TITLE: u8 = 5;
const KEYWORD: u8 = 25;
const DATE: u8 = 55;
const HEADLINE: u8 = 105;
const CAPTION: u8 = 120;
/// Data sets of one list.
const MOST: usize = 4096;

/// Reads titles, captions, keywords and the date; what breaks off ends the list.
pub(super) fn read(mut bytes: &[u8]) -> Words {
    let mut words = Words::default();
    let mut utf8 = false;
    for _ in 0..MOST {
        // A mark, the record, the set, and how long it is.
        let Some((&[0x1C, record, set, high, low], rest)) = bytes.split_first_chunk::<5>() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // Longer than 32 KB: no words.
        if length > 0x7FFF {
            break;
        }
        let Some((value, rest)) = rest.split_at_checked(length) else { break };
        bytes = rest;
        match (record, set) {
            (1, 90) => utf8 = value == b"\x1B%G",
            (2, TITLE | HEADLINE | CAPTION) => words.text(&text(value, utf8)),
            (2, KEYWORD) => words.keyword(&text(value, utf8)),
            (2, DATE) => words.date(date(value)),
            _ => {}
        }
    }
    words
}

/// Without a word on its letters, those are UTF-8 if they can be, else Latin-1.
fn text(value: &[u8], utf8: bool) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) if utf8 => String::from_utf8_lossy(value).into_owned(),
        Err(_) => value.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// `20190531`, whose ends may be zeros.
fn date(value: &[u8]) -> Option<Date> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.len() == 8)?;
    let number =
        |range: std::ops::Range<usize>| digits.get(range)?.parse::<u16>().ok().filter(|&n| n > 0);
    let parts: Vec<u16> =
        [number(0..4), number(4..6), number(6..8)].into_iter().map_while(|n| n).collect();
    Date::new(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(record: u8, set: u8, value: &[u8]) -> Vec<u8> {
        [&[0x1C, record, set][..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    #[test]
    fn words_are_read_in_both_alphabets() {
        let sets = [
            set(2, CAPTION, b"Caf\xE9"),
            set(2, KEYWORD, "Möwe".as_bytes()),
            set(2, KEYWORD, b""),
            set(2, DATE, b"20190500"),
            set(2, 80, b"Somebody"),
        ]
        .concat();
        let words = read(&sets);
        assert_eq!((words.texts, words.keywords), (vec!["Café".into()], vec!["Möwe".into()]));
        assert_eq!(words.taken.map(|t| t.date.to_string()).as_deref(), Some("2019-05"));
        let marked = [set(1, 90, b"\x1B%G"), set(2, CAPTION, b"Caf\xE9!")].concat();
        assert_eq!(read(&marked).texts, ["Caf\u{FFFD}!"]);
    }

    #[test]
    fn what_breaks_off_ends_the_list() {
        let sets = [set(2, KEYWORD, b"one"), set(2, KEYWORD, b"two")].concat();
        for end in 0..sets.len() {
            let whole = usize::from(end >= sets.len() / 2);
            assert_eq!(read(&sets[..end]).keywords.len(), whole, "cut after {end}");
        }
        let long = [&[0x1C, 2, KEYWORD, 0x80, 4][..], &[0, 0, 0, 3], b"abc"].concat();
        assert_eq!(read(&long), Words::default());
        assert_eq!(read(&set(2, DATE, b"20191399")).taken.map(|t| t.date.to_string()), None);
    }
}
