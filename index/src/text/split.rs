//! Where do words begin and end, in a caption, in a file's name, and in scripts
//! that put no spaces between them?

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::fold;

/// Longer words (in bytes) are data, not words.
const LONGEST: usize = 60;

/// A run of letters and digits, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// A word, or a number.
    Word(String),
    /// Text of a script without spaces between words.
    Unspaced(String),
}

/// The runs of a text, in order.
pub(super) fn runs(text: &str) -> Vec<Run> {
    let mut runs = vec![];
    let (mut run, mut unspaced) = (String::new(), false);
    let mut end = |run: &mut String, unspaced: bool| {
        let run = std::mem::take(run);
        if !run.is_empty() && (unspaced || run.len() <= LONGEST) {
            runs.push(if unspaced { Run::Unspaced(run) } else { Run::Word(run) });
        }
    };
    for c in fold(text).chars() {
        let mark = is_combining_mark(c) && !run.is_empty();
        if !c.is_alphanumeric() && !mark {
            end(&mut run, unspaced);
            continue;
        }
        let here = if mark { unspaced } else { is_unspaced(c) };
        if here != unspaced {
            end(&mut run, unspaced);
            unspaced = here;
        }
        run.push(c);
    }
    end(&mut run, unspaced);
    runs
}

/// Whether words of this letter's script are not told apart by spaces, or get
/// endings that change them too much (Korean).
fn is_unspaced(c: char) -> bool {
    matches!(c,
        // Thai, Lao, Tibetan, Burmese, Khmer.
        '\u{e00}'..='\u{fff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        // Hangul, Kana, Bopomofo.
        | '\u{1100}'..='\u{11ff}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{31ff}'
        // Han, Hangul.
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// The pairs of neighbours in a run of such a script, of which every two-letter
/// word is one, and longer ones are several; the letter itself if it is alone.
pub(super) fn pairs(run: &str) -> Vec<String> {
    let chars: Vec<char> = run.chars().collect();
    if chars.len() < 2 {
        return vec![run.to_owned()];
    }
    chars.windows(2).map(|pair| pair.iter().collect()).collect()
}

/// Splits `redBicycle_2019-05b` into `red Bicycle 2019 05 b`: at everything that
/// is neither letter nor digit, between lower and upper case, between letters and
/// digits, and before the last capital of an acronym that a word follows
/// (`HTMLPage`: `HTML Page`).
pub(super) fn split_name(name: &str) -> String {
    #[derive(Clone, Copy, PartialEq)]
    enum Class {
        Upper,
        Letter,
        Digit,
        Other,
    }
    let class = |c: char| match c {
        c if c.is_numeric() => Class::Digit,
        c if c.is_uppercase() => Class::Upper,
        c if c.is_alphabetic() || is_combining_mark(c) => Class::Letter,
        _ => Class::Other,
    };
    // One form, so that a letter with its accent is one letter.
    let chars: Vec<(char, Class)> = name.nfkc().map(|c| (c, class(c))).collect();
    let mut split = String::new();
    for (i, &(c, this)) in chars.iter().enumerate() {
        let last = if i == 0 { Class::Other } else { chars[i - 1].1 };
        let next = chars.get(i + 1).map_or(Class::Other, |next| next.1);
        let acronym_ends = (last, this, next) == (Class::Upper, Class::Upper, Class::Letter);
        let joined =
            (last == this || (last, this) == (Class::Upper, Class::Letter)) && !acronym_ends;
        if !joined && !split.is_empty() && !split.ends_with(' ') {
            split.push(' ');
        }
        if this != Class::Other {
            split.push(c);
        }
    }
    split.trim_end().into()
}

/// Other ways to write a number that a name has: without zeros before it, and the
/// year of a date in eight digits.
pub(super) fn other_forms(word: &str) -> Vec<String> {
    if !word.bytes().all(|b| b.is_ascii_digit()) {
        return vec![];
    }
    let mut forms = vec![];
    let plain = word.trim_start_matches('0');
    if plain.len() < word.len() && !plain.is_empty() {
        forms.push(plain.to_owned());
    }
    let number = |range: std::ops::Range<usize>| word.get(range).and_then(|n| n.parse().ok());
    if let (8, Some(1900..=2099), Some(1..=12), Some(1..=31)) =
        (word.len(), number(0..4), number(4..6), number(6..8))
    {
        forms.push(word[..4].to_owned());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_split_into_words() {
        for (name, words) in [
            ("redBicycle_2019-05b", "red Bicycle 2019 05 b"),
            ("IMG_2019-08-Berlin_trip", "IMG 2019 08 Berlin trip"),
            ("IMG_0042", "IMG 0042"),
            ("HTMLPage", "HTML Page"),
            ("ärgerÜber.x", "ärger Über x"),
            ("U\u{308}berFahrt", "Über Fahrt"),
            ("DSCN0001", "DSCN 0001"),
            ("__", ""),
            ("", ""),
        ] {
            assert_eq!(split_name(name), words);
        }
    }

    #[test]
    fn runs_are_words_but_for_scripts_without_spaces() {
        let word = |w: &str| Run::Word(w.into());
        assert_eq!(runs("Cafés, don't!"), [word("cafes"), word("don"), word("t")]);
        let unspaced = |w: &str| Run::Unspaced(w.into());
        assert_eq!(runs("2019年東京タワー x"), [word("2019"), unspaced("年東京タワー"), word("x")]);
        assert_eq!(runs("हिन्दी भाषा"), [word("हिन्दी"), word("भाषा")]);
        assert_eq!(runs(&"a".repeat(61)), []);
        assert_eq!(pairs("東京タワー"), ["東京", "京タ", "タワ", "ワー"]);
        assert_eq!(pairs("海"), ["海"]);
    }

    #[test]
    fn numbers_have_other_forms() {
        assert_eq!(other_forms("0042"), ["42"]);
        assert_eq!(other_forms("20190812"), ["2019"]);
        for none in ["42", "0", "000", "20191312", "a042", ""] {
            assert_eq!(other_forms(none), [""; 0], "{none}");
        }
    }

    proptest! {
        #[test]
        fn splitting_keeps_every_letter_and_digit(name in "\\PC{0,40}") {
            let kept = |c: &char| c.is_numeric() || c.is_alphabetic() || is_combining_mark(*c);
            let all: String = name.nfkc().filter(kept).collect();
            let split: String = split_name(&name).chars().filter(|&c| c != ' ').collect();
            prop_assert_eq!(split, all);
        }
    }
}
