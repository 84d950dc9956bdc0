//! Given what was read off a folder, which files does the model's own folder have, and
//! what does its `model.toml` say?

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ekphrasis_embed::{ChannelOrder, Preprocess};
use serde::Serialize;

use super::card::Card;
use super::config::Family;
use super::precision::Precision;
use super::refusal::Refusal;
use super::{Image, Text, file_name};
use crate::checked::{sha256_file, sha256_hex};
use crate::manifest::{Clean, Padding};
use crate::model::MANIFEST_FILE;

/// Where a file of the model comes from.
enum Source {
    Copy(PathBuf),
    Bytes(Vec<u8>),
}

/// A model that is not written yet.
pub(crate) struct Draft {
    /// A name made of the folder's.
    pub(crate) name: String,
    family: Family,
    dim: usize,
    about: About,
    sections: Sections,
    files: BTreeMap<String, Source>,
    /// Where the towers' graphs were read, by their names in the model's folder.
    graphs: Vec<(String, PathBuf)>,
}

struct About {
    summary: String,
    license: String,
    languages: Vec<String>,
    precision: Precision,
    templates: [&'static str; 1],
    logit_scale: f32,
}

/// What decides which space it is.
#[derive(Clone, Serialize)]
struct Sections {
    image: ImageSection,
    text: TextSection,
}

#[derive(Clone, Serialize)]
struct ImageSection {
    file: String,
    input: String,
    output: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external: Vec<String>,
    preprocess: PreprocessSection,
}

#[derive(Clone, Serialize)]
struct PreprocessSection {
    size: u32,
    resize: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fill: Option<[u8; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<u32>,
    interpolation: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<&'static str>,
}

#[derive(Clone, Serialize)]
struct TextSection {
    file: String,
    tokenizer: String,
    output: String,
    context: usize,
    padding: &'static str,
    pad_token: String,
    pooling: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    clean: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external: Vec<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    format: i64,
    name: &'a str,
    summary: &'a str,
    license: &'a str,
    languages: &'a [String],
    precision: &'static str,
    space: Space<'a>,
    #[serde(flatten)]
    sections: &'a Sections,
    labels: Labels<'a>,
    files: &'a BTreeMap<String, File>,
}

#[derive(Serialize)]
struct Space<'a> {
    id: &'a str,
    dim: usize,
}

#[derive(Serialize)]
struct Labels<'a> {
    templates: &'a [&'static str],
    logit_scale: f32,
}

#[derive(Serialize)]
struct File {
    bytes: u64,
    sha256: String,
}

/// The tokenizer's name in the model's folder.
const TOKENIZER: &str = "tokenizer.json";

impl Draft {
    pub(super) fn new(
        dir: &Path,
        family: &Family,
        precision: Precision,
        image: Image,
        text: Text,
        dim: usize,
        card: Card,
    ) -> Result<Self, Refusal> {
        let mut files = BTreeMap::new();
        let mut graphs = Vec::new();
        files.insert(TOKENIZER.to_owned(), Source::Copy(text.texts.tokenizer.clone()));
        let mut tower = |graph: super::GraphFile, folder: &str| {
            let file = format!("{folder}/{}", file_name(&graph.path));
            let beside = graph.path.parent().unwrap_or(dir).to_owned();
            let mut external = Vec::new();
            for name in graph.external()? {
                let inside = format!("{folder}/{name}");
                files.insert(inside.clone(), Source::Copy(beside.join(name)));
                external.push(inside);
            }
            graphs.push((file.clone(), graph.path.clone()));
            // What was cut or added to is not the file that is there; else the same bytes.
            files.insert(file.clone(), Source::Bytes(graph.into_bytes()));
            Ok::<_, Refusal>((file, external))
        };
        let (image_file, image_external) = tower(image.graph, "image")?;
        let (text_file, text_external) = tower(text.graph, "text")?;
        let phrase = family.phrase();
        let summary = match &text.other {
            None => format!("{phrase}, imported from a public export."),
            Some(other) => {
                format!("Pictures by {phrase}, texts by {other}, imported from public exports.")
            }
        };
        // What such models were trained to be read with; exports of towers leave it out.
        let (template, logit_scale) = match family {
            Family::Siglip => ("This is a photo of {}.", 110.0),
            _ => ("a photo of a {}", 100.0),
        };
        let name = name(dir, precision);
        Ok(Self {
            name,
            family: family.clone(),
            dim,
            about: About {
                summary,
                license: card.license.unwrap_or_else(|| "not stated".into()),
                languages: card.languages,
                precision,
                templates: [template],
                logit_scale,
            },
            sections: Sections {
                image: ImageSection {
                    file: image_file,
                    input: image.input,
                    output: image.output,
                    external: image_external,
                    preprocess: preprocess(&image.preprocess),
                },
                text: TextSection {
                    file: text_file,
                    tokenizer: TOKENIZER.into(),
                    output: text.output,
                    context: text.context,
                    padding: match text.padding {
                        Padding::Longest => "longest",
                        Padding::Context => "context",
                    },
                    pad_token: text.texts.pad_token,
                    pooling: text.pooling,
                    clean: match text.texts.clean {
                        Clean::None => None,
                        Clean::LowerCase => Some("lower-case"),
                        Clean::Canonical => Some("canonical"),
                    },
                    external: text_external,
                },
            },
            files,
            graphs,
        })
    }

    /// The file that `path`, in a folder that the model was staged in, was read from.
    pub(crate) fn source_of(&self, path: &Path) -> Option<PathBuf> {
        if path.ends_with(TOKENIZER)
            && let Some(Source::Copy(from)) = self.files.get(TOKENIZER)
        {
            return Some(from.clone());
        }
        let graph = self.graphs.iter().find(|(file, _)| path.ends_with(file));
        graph.map(|(_, from)| from.clone())
    }

    /// Writes the model into `folder`, which is empty: files first, then its manifest.
    /// It is of the space `space`, or of one that is named by its files and how they are fed.
    pub(crate) fn stage(&self, folder: &Path, space: Option<&str>) -> io::Result<()> {
        let mut files = BTreeMap::new();
        for (name, source) in &self.files {
            let to = folder.join(name);
            if let Some(parent) = to.parent() {
                fs_err::create_dir_all(parent)?;
            }
            let file = match source {
                Source::Bytes(bytes) => {
                    crate::library::write(&to, bytes)?;
                    File { bytes: bytes.len() as u64, sha256: sha256_hex(bytes) }
                }
                Source::Copy(from) => {
                    let bytes = fs_err::copy(from, &to)?;
                    fs_err::File::open(&to)?.sync_all()?;
                    File { bytes, sha256: sha256_file(&to)? }
                }
            };
            files.insert(name.clone(), file);
        }
        let invalid = |e: toml::ser::Error| io::Error::new(io::ErrorKind::InvalidData, e);
        let own;
        let id = match space {
            Some(id) => id,
            None => {
                let mut what = toml::to_string(&self.sections).map_err(invalid)?;
                files.values().for_each(|file| what.push_str(&file.sha256));
                own = format!("{}-{}", self.family.word(), &sha256_hex(what.as_bytes())[..8]);
                &own
            }
        };
        let written = Written {
            format: 1,
            name: &self.name,
            summary: &self.about.summary,
            license: &self.about.license,
            languages: &self.about.languages,
            precision: self.about.precision.name(),
            space: Space { id, dim: self.dim },
            sections: &self.sections,
            labels: Labels {
                templates: &self.about.templates,
                logit_scale: self.about.logit_scale,
            },
            files: &files,
        };
        let text = toml::to_string(&written).map_err(invalid)?;
        let text = format!("# Read off a public export by `ek model import`.\n{text}");
        crate::library::write(&folder.join(MANIFEST_FILE), text.as_bytes())
    }
}

/// A name for the model: its folder's, as far as that can be one.
fn name(dir: &Path, precision: Precision) -> String {
    let whole = fs_err::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let folder = file_name(&whole);
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let plain: String = folder.chars().map(fits).take(48).collect();
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let plain = plain.trim_end_matches('.');
    let plain = if plain.is_empty() { "imported" } else { plain };
    match precision {
        Precision::Fp32 => plain.to_owned(),
        other => format!("{plain}-{other}"),
    }
}

fn preprocess(preprocess: &Preprocess) -> PreprocessSection {
    let resize = preprocess.resize();
    let (fill, edge) = resize.fill_and_edge();
    let channels = preprocess.channels();
    PreprocessSection {
        size: preprocess.size(),
        resize: resize.name(),
        fill,
        edge,
        interpolation: preprocess.interpolation().name(),
        mean: preprocess.mean(),
        std: preprocess.std(),
        channels: (channels != ChannelOrder::default()).then(|| channels.name()),
    }
}
