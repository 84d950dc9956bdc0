//! Given pictures with or without group names, which belong together?

use std::collections::HashMap;

use super::{ContentHash, Example};

/// A partition of the examples into concepts. Numbers are given in the order of
/// first appearance, so they depend on the examples alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    of: Vec<u32>,
    count: usize,
}

impl Groups {
    /// Joins examples: by `group` where it is given; else by `class`; else by an
    /// equal caption (case and spaces aside). Whatever is written, one picture's
    /// content is one group: it cannot be its own negative.
    ///
    /// `contents` is one entry an example, `None` where there is no picture.
    ///
    /// # Panics
    /// If the two slices differ in length.
    pub fn new(examples: &[Example], contents: &[Option<ContentHash>]) -> Self {
        assert_eq!(examples.len(), contents.len(), "one content an example");
        let mut sets = Sets::new(examples.len());
        let mut first: HashMap<Mark<'_>, usize> = HashMap::new();
        let mut join = |sets: &mut Sets, mark, i| match first.get(&mark) {
            Some(&other) => sets.join(other, i),
            None => {
                first.insert(mark, i);
            }
        };
        for (i, (e, content)) in examples.iter().zip(contents).enumerate() {
            match (&e.group, &e.class) {
                (Some(group), _) => join(&mut sets, Mark::Group(group), i),
                (None, Some(class)) => join(&mut sets, Mark::Class(class), i),
                (None, None) => {
                    for caption in &e.captions {
                        join(&mut sets, Mark::Caption(normal(caption)), i);
                    }
                }
            }
            if let Some(content) = content {
                join(&mut sets, Mark::Content(*content), i);
            }
        }
        let mut numbers = HashMap::new();
        let of = (0..examples.len())
            .map(|i| {
                let next = numbers.len() as u32;
                *numbers.entry(sets.find(i)).or_insert(next)
            })
            .collect();
        Self { of, count: numbers.len() }
    }

    /// The group of each example, in 0..[`Groups::count`].
    pub fn of(&self) -> &[u32] {
        &self.of
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The examples of each group, in order.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.count];
        self.of.iter().enumerate().for_each(|(i, &g)| members[g as usize].push(i));
        members
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Mark<'a> {
    Group(&'a str),
    Class(&'a str),
    Caption(String),
    Content(ContentHash),
}

/// A caption without regard to case and spaces.
pub(crate) fn normal(caption: &str) -> String {
    caption.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Disjoint sets with path halving; the smaller index leads.
struct Sets {
    parent: Vec<usize>,
}

impl Sets {
    fn new(len: usize) -> Self {
        Self { parent: (0..len).collect() }
    }

    fn find(&mut self, mut i: usize) -> usize {
        while self.parent[i] != i {
            self.parent[i] = self.parent[self.parent[i]];
            i = self.parent[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(group: &str, class: &str, caption: &str) -> Example {
        let some = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        Example {
            group: some(group),
            class: some(class),
            captions: some(caption).into_iter().collect(),
            ..Example::default()
        }
    }

    #[test]
    fn group_then_class_then_caption_and_content_always() {
        let examples = [
            example("a", "x", "cat"),
            example("b", "x", "cat"),
            example("", "x", "dog"),
            example("", "x", "bird"),
            example("", "", "A  Cat"),
            example("", "", "a cat"),
            example("", "", ""),
            example("", "", ""),
            example("c", "", ""),
        ];
        let mut contents = vec![None; 9];
        let groups = Groups::new(&examples, &contents);
        assert_eq!(groups.of(), [0, 1, 2, 2, 3, 3, 4, 5, 6]);
        assert_eq!(groups.members()[2], [2, 3]);
        contents[1] = Some(ContentHash::of(b"1"));
        contents[7] = Some(ContentHash::of(b"1"));
        let groups = Groups::new(&examples, &contents);
        assert_eq!(groups.of(), [0, 1, 2, 2, 3, 3, 4, 1, 5], "one content, one group");
        assert_eq!(groups.count(), 6);
    }
}
