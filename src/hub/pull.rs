//! Given a model's name, its files in a folder: looked for, told about, fetched, laid out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ekphrasis_engine::{HubSettings, Manifest, Precision};
use tempfile::TempDir;

use super::Watch;
use super::address::Address;
use super::cache::{Held, RepoCache};
use super::checksum::Checksum;
use super::choose::{Chosen, MANIFEST, choose};
use super::error::HubError;
use super::listing::{Licence, Listing, MAX_BYTES, Remote};
use super::name::Wanted;
use super::transfer::{Client, Wish, length};

/// The hub that everybody uses.
const HUB: &str = "https://huggingface.co";
/// As the hub's own tools have it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A manifest with more bytes is none.
const MAX_MANIFEST: u64 = 1 << 20;

/// A hub, or a mirror of it, and the cache for what it sends.
pub(crate) struct Hub {
    client: Client,
    cache: PathBuf,
    offline: bool,
}

/// A repository that is there.
pub(crate) struct Found {
    wanted: Wanted,
    listing: Listing,
}

impl Found {
    /// Under which terms, as the hub says; none offline, where it cannot be asked.
    pub(crate) fn licence(&self) -> &Licence {
        &self.listing.licence
    }

    /// The commit that the revision is.
    pub(crate) fn commit(&self) -> &str {
        &self.listing.commit
    }
}

/// A model's folder; it goes when this is dropped.
pub(crate) struct Pulled {
    /// Only the model's files, none a link.
    pub(crate) dir: PathBuf,
    /// It has a `model.toml`, and so a name of its own.
    pub(crate) has_manifest: bool,
    /// Where the cache keeps the same files.
    pub(crate) kept: PathBuf,
    _scratch: TempDir,
    _held: Held,
}

impl Hub {
    /// As the settings say.
    ///
    /// # Errors
    /// [`HubError::Setting`] for one that makes no sense, [`HubError::NoCache`].
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, HubError> {
        let given = settings.endpoint.as_deref().unwrap_or(HUB).trim_end_matches('/');
        let hub = Address::parse(given).ok_or_else(|| HubError::Setting {
            variable: "HF_ENDPOINT",
            expected: "an address such as https://hub.example, without a user's name",
            // A password is nobody's business.
            got: if given.contains('@') { "one with an @".into() } else { given.into() },
        })?;
        let patience = match &settings.timeout {
            None => PATIENCE,
            Some(text) => seconds(text).ok_or_else(|| HubError::Setting {
                variable: "HF_HUB_DOWNLOAD_TIMEOUT",
                expected: "seconds, from 0.1 to 3600",
                got: text.clone(),
            })?,
        };
        let token = match (&settings.token, &settings.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) if file.is_file() => Some(fs_err::read_to_string(file)?),
            _ => None,
        };
        let token = token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(HubError::Setting {
                variable: "HF_TOKEN",
                expected: "a token of letters, digits and signs",
                got: "one with other characters".into(),
            });
        }
        Ok(Self {
            client: Client::new(hub, token, patience),
            cache: settings.cache.clone().ok_or(HubError::NoCache)?,
            offline: settings.offline,
        })
    }

    /// Asks what there is; offline, the cache.
    ///
    /// # Errors
    /// If there is no such repository or revision, or nobody answers.
    pub(crate) fn look(&self, wanted: &Wanted, watch: &dyn Watch) -> Result<Found, HubError> {
        let cache = RepoCache::at(&self.cache, wanted);
        let listing = if self.offline {
            let missing = || self.not_here(wanted, "it was never pulled at that revision");
            cache.listing(&cache.remembered().ok_or_else(missing)?)?
        } else {
            let json = self.client.list(wanted, watch).map_err(|error| match error {
                HubError::Unreachable { host, why, repo, .. } => {
                    let cached = cache.remembered().is_some();
                    HubError::Unreachable { host, why, repo, cached }
                }
                other => other,
            })?;
            Listing::parse(wanted.repo(), &json)?
        };
        Ok(Found { wanted: wanted.clone(), listing })
    }

    /// Brings the files of the model here and lays them out.
    ///
    /// # Errors
    /// If there is no model among them that could be imported, or a file does not come as
    /// the hub names it. What came whole is kept in the cache.
    pub(crate) fn fetch(
        &self,
        found: &Found,
        precision: Option<Precision>,
        watch: &dyn Watch,
    ) -> Result<Pulled, HubError> {
        let Found { wanted, listing } = found;
        let cache = RepoCache::at(&self.cache, wanted);
        let chosen = choose(&listing.files, precision).map_err(|why| {
            if self.offline {
                return self.not_here(wanted, &format!("the cache has {}", why.found));
            }
            HubError::Layout {
                repo: wanted.repo().into(),
                found: why.found,
                expected: why.expected,
            }
        })?;
        let held = cache.hold(|| {
            watch.note(&format!("waiting for another ek that fetches {}", wanted.repo()));
        })?;
        let (mut files, has_manifest) = match chosen {
            Chosen::Files(files) => (files, false),
            Chosen::Manifest(files) => (files, true),
        };
        if has_manifest {
            self.bring(&cache, found, &[MANIFEST.to_owned()], MAX_MANIFEST, watch)?;
            let named = self.named(&cache.file(&listing.commit, MANIFEST), found)?;
            files
                .extend(named.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
        }
        self.bring(&cache, found, &files, MAX_BYTES, watch)?;
        if !self.offline {
            cache.remember(&listing.commit)?;
        }
        let (scratch, dir) = cache.lay_out(&listing.commit, &files, wanted.short_name())?;
        Ok(Pulled {
            dir,
            has_manifest,
            kept: cache.snapshot(&listing.commit),
            _scratch: scratch,
            _held: held,
        })
    }

    /// The files that a manifest names.
    fn named(&self, manifest: &Path, found: &Found) -> Result<Vec<String>, HubError> {
        let repo = found.wanted.repo();
        let refuse = |found: String, expected: String| HubError::Layout {
            repo: repo.into(),
            found,
            expected,
        };
        let text = fs_err::read_to_string(manifest)?;
        let manifest = Manifest::parse(&text).map_err(|e| {
            refuse(format!("a {MANIFEST} that says: {e}"), "expected one as ek writes it".into())
        })?;
        let named: Vec<_> = manifest.files().keys().cloned().collect();
        match named.iter().find(|file| !found.listing.files.contains_key(*file)) {
            None => Ok(named),
            Some(file) if self.offline => {
                Err(self.not_here(&found.wanted, &format!("the cache has no {file}")))
            }
            Some(file) => Err(refuse(
                format!("no {file}"),
                format!("its {MANIFEST} names that file; tell whoever published it"),
            )),
        }
    }

    /// Brings files into the cache, each compared with its sum.
    fn bring(
        &self,
        cache: &RepoCache,
        found: &Found,
        files: &[String],
        limit: u64,
        watch: &dyn Watch,
    ) -> Result<(), HubError> {
        let Found { wanted, listing } = found;
        let mut all = Vec::with_capacity(files.len());
        let mut total = 0u64;
        for path in files {
            let wish = Wish { wanted, commit: &listing.commit, path };
            let (size, sum) = self.facts(wish, &listing.files[path], watch)?;
            total = total.saturating_add(size);
            all.push((wish, size, sum));
        }
        if total > limit {
            let why = format!("its model has {total} bytes, expected at most {limit}");
            return Err(HubError::List { repo: wanted.repo().into(), why });
        }
        let mut before = 0;
        for (wish, size, sum) in all {
            let counted = &mut |have| watch.progress(before + have, total);
            match sum {
                Some(sum) => self.bring_one(cache, wish, size, &sum, watch, counted)?,
                None => watch.note(&format!(
                    "{}: taken as it is; the cache does not say what it should be",
                    wish.path
                )),
            }
            before += size;
            watch.progress(before, total);
        }
        Ok(())
    }

    /// What a file has to be: as listed, else as its address says. Only the cache, offline,
    /// may leave the sum open.
    fn facts(
        &self,
        wish: Wish<'_>,
        listed: &Remote,
        watch: &dyn Watch,
    ) -> Result<(u64, Option<Checksum>), HubError> {
        let complete = |remote: &Remote| Some((remote.size?, Some(remote.sum.clone()?)));
        if self.offline {
            return Ok((listed.size.unwrap_or(0), listed.sum.clone()));
        }
        if let Some(known) = complete(listed) {
            return Ok(known);
        }
        complete(&self.client.facts(wish, watch)?).ok_or_else(|| HubError::Unknown {
            file: wish.path.into(),
            host: self.client.host().into(),
        })
    }

    fn bring_one(
        &self,
        cache: &RepoCache,
        wish: Wish<'_>,
        size: u64,
        sum: &Checksum,
        watch: &dyn Watch,
        counted: &mut dyn FnMut(u64),
    ) -> Result<(), HubError> {
        let (blob, part) = (cache.blob(sum), cache.part(sum));
        if blob.is_file() {
            if length(&blob)? == size && sum.of(&blob)? == sum.hex() {
                return Ok(cache.link(wish.commit, wish.path, sum)?);
            }
            if self.offline {
                let why = format!("the cache's {} is damaged", wish.path);
                return Err(self.not_here(wish.wanted, &why));
            }
            watch.note(&format!("{}: the cache's copy is damaged; fetching it again", wish.path));
            fs_err::remove_file(&blob)?;
        } else if self.offline {
            return Err(self.not_here(wish.wanted, &format!("the cache has no {}", wish.path)));
        }
        let mut got = String::new();
        for _ in 0..2 {
            self.client.download(wish, size, &part, watch, counted)?;
            got = sum.of(&part)?;
            if got == sum.hex() {
                fs_err::rename(&part, &blob)?;
                return Ok(cache.link(wish.commit, wish.path, sum)?);
            }
            fs_err::remove_file(&part)?;
            watch.note(&format!(
                "{}: expected {} {}, got {got}; fetching it again",
                wish.path,
                sum.kind(),
                sum.hex()
            ));
        }
        Err(HubError::Damaged {
            file: wish.path.into(),
            kind: sum.kind(),
            expected: sum.hex().into(),
            got,
        })
    }

    fn not_here(&self, wanted: &Wanted, why: &str) -> HubError {
        HubError::Offline {
            what: format!("{}@{}", wanted.repo(), wanted.revision()),
            cache: self.cache.clone(),
            why: why.into(),
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (0.1..=3600.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: HubSettings) -> String {
        let settings = HubSettings { cache: Some("/nowhere".into()), ..settings };
        Hub::new(&settings).err().expect("refused").to_string()
    }

    #[test]
    fn settings_without_sense_are_told_by_their_variable() {
        let endpoint =
            |text: &str| HubSettings { endpoint: Some(text.into()), ..Default::default() };
        assert!(refused(endpoint("hub.example")).contains("HF_ENDPOINT"));
        let secret = refused(endpoint("https://me:s3cret@hub.example"));
        assert!(secret.contains("HF_ENDPOINT") && !secret.contains("s3cret"), "{secret}");
        for text in ["", "soon", "0", "-1", "inf", "nan", "1e9"] {
            let settings = HubSettings { timeout: Some(text.into()), ..Default::default() };
            assert!(refused(settings).contains("HF_HUB_DOWNLOAD_TIMEOUT"), "{text}");
        }
        let token = refused(HubSettings { token: Some("a\nb".into()), ..Default::default() });
        assert!(token.contains("HF_TOKEN") && !token.contains("a\nb"), "{token}");
        let none = Hub::new(&HubSettings::default()).err().expect("no cache");
        assert!(none.to_string().contains("HF_HUB_CACHE"), "{none}");
    }

    #[test]
    fn a_token_comes_from_the_variable_else_from_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("token");
        let hub = |token: Option<&str>| {
            Hub::new(&HubSettings {
                cache: Some(dir.path().into()),
                token: token.map(Into::into),
                token_file: Some(file.clone()),
                ..Default::default()
            })
        };
        hub(None).expect("no file is no token");
        fs_err::write(&file, "hf_x\n").expect("written");
        hub(None).expect("a line is a token");
        fs_err::write(&file, "two words").expect("written");
        assert!(hub(None).is_err());
        hub(Some("hf_y")).expect("the variable first");
    }
}
