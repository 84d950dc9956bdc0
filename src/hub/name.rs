//! Given `NAME[@REVISION]` as typed, which repository is that, and at which revision?

use super::curated::{CURATED, Curated};
use super::error::HubError;

/// A repository at a revision, both of plain letters, so that they can be parts of
/// addresses and of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    repo: String,
    revision: String,
    curated: Option<&'static Curated>,
}

impl Wanted {
    /// # Errors
    /// [`HubError::Name`] or [`HubError::Revision`] for what is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, HubError> {
        let (name, revision) = match text.rsplit_once('@') {
            Some((name, revision)) => (name, revision),
            None => (text, "main"),
        };
        if !is_revision(revision) {
            return Err(HubError::Revision(revision.into()));
        }
        let curated = CURATED.iter().find(|entry| entry.name == name || entry.repo == name);
        let repo = curated.map_or(name, |entry| entry.repo);
        if !is_repo(repo) {
            return Err(HubError::Name(name.into()));
        }
        Ok(Self { repo: repo.into(), revision: revision.into(), curated })
    }

    /// `owner/name`.
    pub(crate) fn repo(&self) -> &str {
        &self.repo
    }

    /// A branch, tag or commit.
    pub(crate) fn revision(&self) -> &str {
        &self.revision
    }

    /// What is known of it here.
    pub(crate) fn curated(&self) -> Option<&'static Curated> {
        self.curated
    }

    /// What to call it without being told.
    pub(crate) fn short_name(&self) -> &str {
        let own = self.repo.rsplit_once('/').map_or(self.repo.as_str(), |(_, name)| name);
        self.curated.map_or(own, |entry| entry.name)
    }
}

/// Letters, digits, `-`, `_` and `.`, such that no part is an option or leads elsewhere.
fn is_part(part: &str) -> bool {
    (1..=96).contains(&part.len())
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !part.starts_with(['-', '.'])
        && !part.ends_with('.')
        && !part.contains("..")
}

fn is_repo(text: &str) -> bool {
    text.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// As git names branches, less generously.
fn is_revision(text: &str) -> bool {
    text.len() <= 200 && text.split('/').all(is_part)
}

/// The full name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let wanted = Wanted::parse("Xenova/clip-vit-base-patch16@refs/pr/1").expect("a name");
        assert_eq!(
            (wanted.repo(), wanted.revision()),
            ("Xenova/clip-vit-base-patch16", "refs/pr/1")
        );
        assert_eq!(wanted.short_name(), "clip-vit-base-patch16");
        let short = Wanted::parse("clip-vit-b32").expect("of the list");
        assert_eq!((short.repo(), short.revision()), ("Xenova/clip-vit-base-patch32", "main"));
        assert_eq!(Wanted::parse("Xenova/clip-vit-base-patch32").expect("a name"), short);
        assert_eq!(short.short_name(), "clip-vit-b32");
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for bad in
            ["", "clip", "a/b/c", "../b", "a/..", "a/.b", "-a/b", "a/b c", "a/b?c", "a/ü", "a//b"]
        {
            assert!(matches!(Wanted::parse(bad), Err(HubError::Name(_))), "{bad}");
        }
        for bad in ["a/b@", "a/b@..", "a/b@x/../y", "a/b@/etc", "a/b@-x", "a/b@x y", "a/b@x%2F"] {
            assert!(matches!(Wanted::parse(bad), Err(HubError::Revision(_))), "{bad}");
        }
    }

    #[test]
    fn a_commit_is_forty_hexadecimal_digits() {
        assert!(is_commit("3f68cd45302c7b4b532d933e71d9e6e54b1c7d5e"));
        for bad in ["main", "3f68cd4", "3F68cd45302c7b4b532d933e71d9e6e54b1c7d5e"] {
            assert!(!is_commit(bad), "{bad}");
        }
    }
}
