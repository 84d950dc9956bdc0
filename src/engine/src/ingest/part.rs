//! Given an item, which of several workers is it for?

use std::fmt;
use std::str::FromStr;

use ekphrasis_index::ItemId;

/// Which of how many workers one is. Each has the files whose ids lie in its stretch of all; ids
/// are hashes, so the parts are about equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPart {
    number: u32,
    of: u32,
}

/// Not a part.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a part is written like 2/3, the second of three, of at most 65,536; got {0:?}")]
pub struct ParsePartError(String);

impl FromStr for IndexPart {
    type Err = ParsePartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
        match numbers {
            Some((Ok(number), Ok(of)))
                if (1..=65_536).contains(&of) && (1..=of).contains(&number) =>
            {
                Ok(Self { number, of })
            }
            _ => Err(ParsePartError(text.into())),
        }
    }
}

impl fmt::Display for IndexPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl IndexPart {
    /// Whether an item is this one's.
    pub fn has(self, id: ItemId) -> bool {
        let [a, b, c, d, ..] = id.to_bytes();
        let place = u64::from(u32::from_be_bytes([a, b, c, d])) * u64::from(self.of);
        place >> 32 == u64::from(self.number - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_divide_everything_about_equally() {
        for of in [1, 2, 3, 7] {
            let parts: Vec<IndexPart> =
                (1..=of).map(|n| format!("{n}/{of}").parse().expect("a part")).collect();
            let mut counts = vec![0; of];
            for n in 0..3000 {
                let id = ItemId::for_text(&n.to_string());
                let whose: Vec<_> = (0..of).filter(|&i| parts[i].has(id)).collect();
                assert_eq!(whose.len(), 1, "each is one's");
                counts[whose[0]] += 1;
            }
            let fair = 3000 / of;
            assert!(counts.iter().all(|&n| n > fair * 8 / 10 && n < fair * 12 / 10), "{counts:?}");
        }
        for wrong in ["", "0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/70000"] {
            assert!(wrong.parse::<IndexPart>().is_err(), "{wrong}");
        }
    }
}
