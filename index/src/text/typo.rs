//! How many slips of the hand lie between two words?

/// Insertions, deletions, replacements and swaps of neighbours that turn one
/// word into the other, no letter touched twice (optimal string alignment).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn hand_worked() {
        for (a, b, d) in [
            ("", "", 0),
            ("", "abc", 3),
            ("bicycle", "bicycle", 0),
            ("bicylce", "bicycle", 1),
            ("bicyle", "bicycle", 1),
            ("vicycle", "bicycle", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
            ("ümlaut", "umlaut", 1),
        ] {
            assert_eq!(distance(a, b), d, "{a} {b}");
            assert_eq!(distance(b, a), d, "{b} {a}");
        }
    }
}
