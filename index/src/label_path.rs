//! Labels may be written as paths, the broader first: `animal > dog`. What are the broader
//! labels of one, and what is it called among its like?

/// Stands between the parts of a label.
const BETWEEN: &str = " > ";

/// The broader labels, the broadest first: of `a > b > c` they are `a` and `a > b`. None of a
/// label that is no path.
pub fn broader_labels(label: &str) -> impl Iterator<Item = &str> {
    label.match_indices(BETWEEN).map(|(at, _)| label[..at].trim())
}

/// The last part: of `a > b > c` it is `c`; of a label that is no path, all of it.
pub fn own_part(label: &str) -> &str {
    label.rsplit(BETWEEN).next().unwrap_or(label).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_where_it_says_so() {
        for (label, broader, own) in [
            ("dog", &[][..], "dog"),
            ("animal > dog", &["animal"], "dog"),
            ("a > b c > d", &["a", "a > b c"], "d"),
            ("a>b", &[], "a>b"),
            ("é > ü", &["é"], "ü"),
            ("a >  > b", &["a", "a >"], "b"),
        ] {
            assert_eq!(broader_labels(label).collect::<Vec<_>>(), broader, "{label}");
            assert_eq!(own_part(label), own, "{label}");
        }
    }
}
