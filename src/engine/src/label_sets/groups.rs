//! Given how labels share a picture, how much do the broader ones have of it?

use std::collections::HashMap;

use ekphrasis_index::broader_labels;

use crate::{LabelGroup, LabelScore};

/// The broader labels of those that are paths, the most probable first. Labels that compete
/// (`multi` is false) add up, and so does a label that is itself a broader one; of labels that
/// are each judged by themselves the most probable counts.
pub(super) fn groups(labels: &[LabelScore], multi: bool) -> Vec<LabelGroup> {
    let mut found: HashMap<&str, f32> = HashMap::new();
    for group in labels.iter().flat_map(|one| broader_labels(&one.label)) {
        found.entry(group).or_default();
    }
    for one in labels {
        for group in broader_labels(&one.label).chain([one.label.as_str()]) {
            if let Some(probability) = found.get_mut(group) {
                *probability = match multi {
                    true => probability.max(one.probability),
                    // Rounding is not to make more than all of it.
                    false => (*probability + one.probability).min(1.0),
                };
            }
        }
    }
    let mut groups: Vec<LabelGroup> = found
        .into_iter()
        .map(|(label, probability)| LabelGroup { label: label.into(), probability })
        .collect();
    groups.sort_by(|a, b| {
        b.probability.total_cmp(&a.probability).then_with(|| a.label.cmp(&b.label))
    });
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(given: &[(&str, f32)]) -> Vec<LabelScore> {
        let of = |&(label, probability): &(&str, f32)| LabelScore {
            label: label.into(),
            probability,
            score: 0.0,
        };
        given.iter().map(of).collect()
    }

    #[test]
    fn broader_labels_have_what_their_labels_have() {
        let given = labels(&[
            ("animal > dog > poodle", 0.25),
            ("animal > cat", 0.25),
            ("animal", 0.125),
            ("thing > cup", 0.25),
            ("cup", 0.0625),
        ]);
        let seen = |multi| -> Vec<(String, f32)> {
            groups(&given, multi).into_iter().map(|g| (g.label, g.probability)).collect()
        };
        let expected = |animal: f32| {
            [("animal", animal), ("animal > dog", 0.25), ("thing", 0.25)]
                .map(|(label, p)| (label.to_owned(), p))
        };
        assert_eq!(seen(false), expected(0.625));
        assert_eq!(seen(true), expected(0.25));
        assert!(groups(&labels(&[("a", 0.5), ("b", 0.5)]), false).is_empty());
    }

    proptest! {
        #[test]
        fn a_group_is_the_sum_of_what_lies_below(
            given in prop::collection::btree_map("[ab]( > [ab]){0,3}", 0.0f32..1.0, 1..12)
        ) {
            let all: f32 = given.values().sum::<f32>().max(1.0);
            let given: Vec<(&str, f32)> = given.iter().map(|(l, p)| (l.as_str(), p / all)).collect();
            for multi in [false, true] {
                for group in groups(&labels(&given), multi) {
                    let below = format!("{} > ", group.label);
                    let inside = given
                        .iter()
                        .filter(|(label, _)| *label == group.label || label.starts_with(&below))
                        .map(|(_, p)| *p);
                    let expected =
                        if multi { inside.fold(0.0, f32::max) } else { inside.sum::<f32>() };
                    prop_assert!((group.probability - expected).abs() < 1e-5);
                    prop_assert!(given.iter().any(|(label, _)| label.starts_with(&below)));
                }
            }
        }
    }
}
