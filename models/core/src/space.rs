//! Given two vectors, may they be compared? Only if their [`Space`] is the same.

use std::fmt;
use std::sync::Arc;

/// The name and width of an embedding space.
///
/// The id names a model together with its preprocessing, as declared in the
/// model's manifest. Two spaces are the same exactly if id and dimension are;
/// which files the model was loaded from does not matter.
///
/// ```
/// use ekphrasis_embed::Space;
/// let space = Space::new("lite-1", 384)?;
/// assert_eq!(space.to_string(), "lite-1 (384-d)");
/// # Ok::<(), ekphrasis_embed::SpaceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    id: Arc<str>,
    dim: usize,
}

/// Why a space's name or width was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpaceError {
    /// The id has to serve in file headers and messages.
    #[error(
        "a space id is 1 to 64 characters out of a-z, 0-9, '.', '_' and '-', starting with a letter or digit; got {0:?}"
    )]
    Id(String),
    /// No model has such a width.
    #[error("a space has 1 to 65,536 dimensions; got {0}")]
    Dim(usize),
}

impl Space {
    /// Names a space.
    ///
    /// # Errors
    /// [`SpaceError::Id`] if the id is empty, longer than 64 bytes or has other
    /// characters than `a-z 0-9 . _ -`; [`SpaceError::Dim`] outside 1..=65536.
    pub fn new(id: &str, dim: usize) -> Result<Self, SpaceError> {
        let first = id.bytes().next();
        let ok = first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && id.len() <= 64
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if !ok {
            return Err(SpaceError::Id(id.into()));
        }
        if !(1..=65_536).contains(&dim) {
            return Err(SpaceError::Dim(dim));
        }
        Ok(Self { id: id.into(), dim })
    }

    /// The id, as in the model's manifest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many numbers an embedding of this space has.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}-d)", self.id, self.dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(Space::new("clip.vit-b_32", 512).is_ok());
        for bad in ["", "-x", "Upper", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(Space::new(bad, 4), Err(SpaceError::Id(bad.into())));
        }
        assert_eq!(Space::new("x", 0), Err(SpaceError::Dim(0)));
        assert_eq!(Space::new("x", 65_537), Err(SpaceError::Dim(65_537)));
    }

    #[test]
    fn same_id_other_width_is_another_space() {
        assert_ne!(Space::new("x", 4), Space::new("x", 8));
    }
}
