//! Given what a hub says of a repository, which files are there, of what size and sum, and
//! under which licence? A list that could lead out of a folder or has no end is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::checksum::Checksum;
use super::error::HubError;
use super::name::is_commit;
use crate::output::printable;

/// The most files that a repository may list.
pub(super) const MAX_FILES: usize = 5_000;
/// The most bytes that one model may have.
pub(super) const MAX_BYTES: u64 = 32 << 30;
/// The most bytes of the answer that lists them.
pub(super) const MAX_LIST: u64 = 16 << 20;

/// A repository at a commit.
#[derive(Debug)]
pub(super) struct Listing {
    /// The commit, in hexadecimal.
    pub(super) commit: String,
    /// Every file by its path: relative, `/` between plain parts.
    pub(super) files: BTreeMap<String, Remote>,
    pub(super) licence: Licence,
}

/// What is known of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Remote {
    pub(super) size: Option<u64>,
    pub(super) sum: Option<Checksum>,
}

/// What the hub says about the terms of use. All of it is somebody's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Licence {
    /// As the card says, printable; empty if it does not.
    pub(crate) name: String,
    /// An account has to accept terms first.
    pub(crate) gated: bool,
}

impl Licence {
    /// Whether the name says that commerce is excluded. Other licences may exclude it, too.
    pub(crate) fn excludes_commerce(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let parts = || name.split(|c: char| !c.is_ascii_alphanumeric());
        parts().any(|part| matches!(part, "nc" | "amlr" | "noncommercial"))
            || name.contains("non-commercial")
            || name.contains("research-only")
    }
}

#[derive(Deserialize)]
struct RepoJson {
    sha: String,
    siblings: Vec<FileJson>,
    #[serde(default)]
    gated: Value,
    #[serde(default, rename = "cardData")]
    card: Value,
    #[serde(default)]
    tags: Value,
}

#[derive(Deserialize)]
struct FileJson {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default, rename = "blobId")]
    blob: Option<String>,
    #[serde(default)]
    lfs: Option<LfsJson>,
}

#[derive(Deserialize)]
struct LfsJson {
    sha256: String,
    size: u64,
}

impl Listing {
    /// Reads the answer of `/api/models/REPO/revision/REVISION?blobs=true`.
    ///
    /// # Errors
    /// [`HubError::List`] with what is wrong with it.
    pub(super) fn parse(repo: &str, json: &[u8]) -> Result<Self, HubError> {
        let refuse = |why: String| HubError::List { repo: repo.into(), why };
        let json: RepoJson = serde_json::from_slice(json)
            .map_err(|e| refuse(format!("it is no JSON as the hub writes it: {e}")))?;
        if !is_commit(&json.sha) {
            let got = shortened(&json.sha);
            return Err(refuse(format!(
                "expected the commit as 40 hexadecimal digits, got {got:?}"
            )));
        }
        if json.siblings.len() > MAX_FILES {
            let got = json.siblings.len();
            return Err(refuse(format!("{got} files, expected at most {MAX_FILES}")));
        }
        let licence = Licence {
            name: licence(&json.card, &json.tags),
            gated: !matches!(json.gated, Value::Null | Value::Bool(false)),
        };
        let mut files = BTreeMap::new();
        for file in json.siblings {
            let shown = shortened(&file.rfilename);
            if !is_plain(&file.rfilename) {
                return Err(refuse(format!("{shown:?} is no path inside a folder")));
            }
            let remote = file.remote().map_err(|why| refuse(format!("{shown}: {why}")))?;
            if files.insert(file.rfilename, remote).is_some() {
                return Err(refuse(format!("{shown} is in it twice")));
            }
        }
        Ok(Self { commit: json.sha, files, licence })
    }
}

impl FileJson {
    fn remote(&self) -> Result<Remote, String> {
        let sum = |text: &str, kind: &str| match Checksum::parse(text) {
            Some(sum) if sum.kind() == kind => Ok(sum),
            _ => Err(format!("expected {kind} in hexadecimal, got {:?}", shortened(text))),
        };
        let (size, sum) = match (&self.lfs, &self.blob) {
            (Some(lfs), _) => (Some(lfs.size), Some(sum(&lfs.sha256, "sha256")?)),
            (None, Some(blob)) => (self.size, Some(sum(blob, "git's sha1")?)),
            (None, None) => (self.size, None),
        };
        Ok(Remote { size, sum })
    }
}

/// Whether a path stays below the folder that it is put into, on every system.
pub(super) fn is_plain(path: &str) -> bool {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.len() <= 255
            && !part.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'))
    };
    path.len() <= 1_000 && path.split('/').all(plain)
}

/// What the card's header says, else the tag that the hub derives from it.
fn licence(card: &Value, tags: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    };
    let mut name = text(&card["license"]);
    let own = text(&card["license_name"]);
    if !own.is_empty() {
        name = if name.is_empty() { own } else { format!("{name}: {own}") };
    }
    if name.is_empty() {
        let tags = tags.as_array().into_iter().flatten().filter_map(Value::as_str);
        name = tags.filter_map(|tag| tag.strip_prefix("license:")).collect::<Vec<_>>().join(", ");
    }
    shortened(&name)
}

/// Somebody's text, fit for a line on a terminal.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(120).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHA: &str = "3f68cd45302c7b4b532d933e71d9e6e54b1c7d5e";

    fn parse(value: &Value) -> Result<Listing, HubError> {
        Listing::parse("o/r", value.to_string().as_bytes())
    }

    fn refused(value: &Value) -> String {
        parse(value).expect_err(&value.to_string()).to_string()
    }

    #[test]
    fn a_list_has_sizes_sums_and_the_licence() {
        // As the hub answers (hf-hub's own test has such an answer), shortened.
        let listing = parse(&json!({
            "sha": SHA, "gated": "auto", "tags": ["onnx", "license:mit"],
            "siblings": [
                {"rfilename": "config.json", "size": 304, "blobId": "be98037f7c542112c15a1d2fc7e2a2427e42cb50"},
                {"rfilename": "onnx/model.onnx", "size": 22,
                 "blobId": "cd1c6d8bde5006076655711a49feae66f07d707e",
                 "lfs": {"pointerSize": 127, "size": 22,
                         "sha256": "f9343d7d7ec5c3d8bcced056c438fc9f1d3819e9ca3d42418a40857050e10e20"}},
                {"rfilename": "bare.json"},
            ],
        }))
        .expect("a list");
        assert_eq!(listing.commit, SHA);
        let file = |name: &str| &listing.files[name];
        assert!(
            matches!(&file("config.json").sum, Some(Checksum::Git(sum)) if sum.starts_with("be98"))
        );
        assert!(matches!(&file("onnx/model.onnx").sum, Some(Checksum::Sha256(_))));
        assert_eq!(file("onnx/model.onnx").size, Some(22));
        assert!(file("bare.json").sum.is_none() && file("bare.json").size.is_none());
        assert_eq!((listing.licence.name.as_str(), listing.licence.gated), ("mit", true));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "",
            ".",
            "a/.",
            "a\\..\\b",
            "C:/x",
            "a\u{0}b",
            "a\nb",
        ] {
            let list = json!({"sha": SHA, "siblings": [{"rfilename": path}]});
            assert!(refused(&list).contains("no path inside a folder"), "{path:?}");
        }
        for path in
            ["onnx/model.onnx_data", ".gitattributes", "textual/onnx__MatMul_2679", "a b/ü.json"]
        {
            assert!(is_plain(path), "{path}");
        }
    }

    #[test]
    fn lists_without_end_or_sense_are_refused() {
        let many: Vec<_> = (0..=MAX_FILES).map(|i| json!({"rfilename": format!("f{i}")})).collect();
        assert!(refused(&json!({"sha": SHA, "siblings": many})).contains("at most 5000"));
        assert!(refused(&json!({"sha": "../../x", "siblings": []})).contains("40 hexadecimal"));
        assert!(refused(&json!({"siblings": []})).contains("sha"));
        let twice = json!([{"rfilename": "a"}, {"rfilename": "a"}]);
        assert!(refused(&json!({"sha": SHA, "siblings": twice})).contains("twice"));
        for size in [json!(-1), json!(1e30), json!("7")] {
            refused(&json!({"sha": SHA, "siblings": [{"rfilename": "a", "size": size}]}));
        }
        let blob = json!([{"rfilename": "a", "blobId": "../../../etc/cron.d/x"}]);
        assert!(refused(&json!({"sha": SHA, "siblings": blob})).contains("git's sha1"));
        let lfs = json!([{"rfilename": "a", "lfs": {"sha256": SHA, "size": 1}}]);
        assert!(refused(&json!({"sha": SHA, "siblings": lfs})).contains("sha256"));
    }

    #[test]
    fn licences_that_exclude_commerce_are_known() {
        let licence = |card: Value| Licence { name: licence(&card, &Value::Null), gated: false };
        for name in ["cc-by-nc-4.0", "CC-BY-NC-SA-3.0", "apple-amlr", "my-non-commercial-terms"] {
            assert!(licence(json!({"license": name})).excludes_commerce(), "{name}");
        }
        assert!(
            licence(json!({"license": "other", "license_name": "apple-amlr"})).excludes_commerce()
        );
        assert!(licence(json!({"license": ["mit", "cc-by-nc-4.0"]})).excludes_commerce());
        for name in ["mit", "apache-2.0", "ncsa", "other", "bsd-3-clause"] {
            assert!(!licence(json!({"license": name})).excludes_commerce(), "{name}");
        }
        assert_eq!(licence(json!({"license": "a\u{1b}[2Jb"})).name, "a\\u{1b}[2Jb");
    }
}
