//! Given the graph of a tower, what is fed to it, and which of its outputs is the
//! embedding? Read off the file, and refused if there is any doubt.

use std::path::{Component, Path, PathBuf};

use ekphrasis_onnx::{Model, Port, look, read};

use super::config::Family;
use super::refusal::Refusal;

/// The element types of ONNX that matter here.
const F32: i32 = 1;
const I32: i32 = 6;
const I64: i32 = 7;
const F16: i32 = 10;

/// A graph file that was looked at.
pub(super) struct GraphFile {
    pub(super) path: PathBuf,
    bytes: Vec<u8>,
    model: Model,
}

/// A picture tower.
#[derive(Debug)]
pub(super) struct ImageGraph {
    pub(super) input: String,
    pub(super) output: String,
    /// The side of a picture, if declared.
    pub(super) side: Option<u32>,
    pub(super) dim: Option<usize>,
}

/// A text tower.
#[derive(Debug)]
pub(super) struct TextGraph {
    pub(super) output: TextOutput,
    /// Tokens of every text, if the graph takes no other number.
    pub(super) width: Option<usize>,
    pub(super) dim: Option<usize>,
    /// It is told which tokens are padding.
    pub(super) masked: bool,
}

/// What a text tower gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TextOutput {
    /// One vector a text.
    Pooled(String),
    /// One vector a token, which somebody has to pool.
    Tokens(String),
}

impl GraphFile {
    pub(super) fn read(path: &Path) -> Result<Self, Refusal> {
        let expected = "an ONNX graph";
        let next = "it may be cut off, or a pointer of Git LFS; fetch it again";
        let fail = |got: String| Refusal::new(path, expected, got, next);
        let bytes = fs_err::read(path).map_err(|e| fail(crate::checked::plain(e).to_string()))?;
        let model =
            look(&bytes).map_err(|_| fail(format!("{} bytes that are none", bytes.len())))?;
        if model.gives().is_empty() {
            return Err(fail(format!("{} bytes without outputs", bytes.len())));
        }
        Ok(Self { path: path.into(), bytes, model })
    }

    /// The first of these names that an output has.
    pub(super) fn gives_one_of(&self, names: &[&str]) -> Option<String> {
        let gives = self.model.gives();
        let found = names.iter().find(|name| gives.iter().any(|p| p.name == **name));
        found.map(|name| (*name).to_owned())
    }

    /// A refusal of what it gives.
    pub(super) fn refuse_outputs(&self, expected: &str, next: &str) -> Refusal {
        self.refuse(expected, list(&self.model.gives()), next)
    }

    /// The same file with another graph.
    pub(super) fn with(&self, model: Model) -> Self {
        Self { path: self.path.clone(), bytes: ekphrasis_onnx::write(&model), model }
    }

    /// What it takes.
    fn takes(&self) -> Vec<Port> {
        self.model.takes()
    }

    /// The graph with only what `output` needs.
    pub(super) fn cut_to(&self, output: &str) -> Result<Self, Refusal> {
        Ok(self.with(self.writable()?.cut_to(&[output])))
    }

    /// The model as one that can be changed.
    pub(super) fn writable(&self) -> Result<Model, Refusal> {
        read(&self.bytes).map_err(|e| {
            let next = "export it with another version of the exporter, or as two graphs";
            Refusal::new(&self.path, "a graph that can be written again", e.to_string(), next)
        })
    }

    /// The file's bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Files with weights beside it, as it names them. They lie in its folder and are there.
    pub(super) fn external(&self) -> Result<Vec<String>, Refusal> {
        let files = self.model.external_files();
        let folder = self.path.parent().unwrap_or(&self.path);
        for (name, least) in &files {
            let inside = !name.is_empty()
                && !name.contains(['\\', ':', '\0'])
                && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside {
                return Err(Refusal::new(
                    &self.path,
                    "weights in files of its own folder",
                    format!("{name:?}"),
                    "such a graph reads other files of this machine; do not use it, or save it as one file",
                ));
            }
            if !folder.join(name).is_file() {
                return Err(Refusal::new(
                    &folder.join(name),
                    format!("the weights of {}", self.name()),
                    "no such file",
                    "fetch it, too: a graph of this kind keeps its weights beside it",
                ));
            }
            let path = folder.join(name);
            let got = fs_err::metadata(&path).map_or(0, |m| m.len());
            if got < *least {
                let expected = format!("{least} bytes of weights, as {} says", self.name());
                let next = "it is cut off, or of another model; fetch it again";
                return Err(Refusal::new(&path, expected, got.to_string(), next));
            }
        }
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn refuse(&self, expected: &str, got: String, next: &str) -> Refusal {
        Refusal::new(&self.path, expected, got, next)
    }

    /// How the picture tower of this graph is fed. Inputs of another tower in the same
    /// graph are left out of account.
    pub(super) fn image(&self, family: &Family) -> Result<ImageGraph, Refusal> {
        let takes = self.takes();
        let expected = "a picture tower with one input of f32 or f16, [batch, 3, size, size]";
        if takes.iter().all(is_tokens) {
            let next = "it is a text tower: the two files may have changed places";
            return Err(self.refuse(expected, list(&takes), next));
        }
        let [input] = &takes[..] else {
            let next = "export the tower with pixel values as its only input";
            return Err(self.refuse(expected, list(&takes), next));
        };
        let next = "export it with channels first, and a square picture";
        let bad = || self.refuse(expected, input.to_string(), next);
        if !matches!(input.element, Some(F32 | F16)) {
            return Err(bad());
        }
        let side = match input.dims.as_deref() {
            None => None,
            Some([_, channels, high, wide]) => {
                if channels.is_some_and(|n| n != 3)
                    || (high.is_some() && wide.is_some() && high != wide)
                {
                    return Err(bad());
                }
                high.or(*wide).and_then(|n| u32::try_from(n).ok())
            }
            Some(_) => return Err(bad()),
        };
        let output = self.pooled(family, &["image_embeds", "image_embedding", "image_features"])?;
        let output = output.ok_or_else(|| self.no_embedding(family, "image_embeds"))?;
        Ok(ImageGraph {
            input: input.name.clone(),
            dim: width_of(&output),
            output: output.name,
            side,
        })
    }

    /// How the text tower of this graph is fed.
    pub(super) fn text(&self, family: &Family) -> Result<TextGraph, Refusal> {
        let takes = self.takes();
        let expected = "a text tower with inputs of i64 or i32, [batch, tokens]: input_ids, and perhaps attention_mask, token_type_ids, position_ids";
        if takes.iter().any(is_pixels) {
            let next = "it is a picture tower: the two files may have changed places";
            return Err(self.refuse(expected, list(&takes), next));
        }
        let known = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];
        let fits =
            |p: &Port| is_tokens(p) && (takes.len() == 1 || known.contains(&p.name.as_str()));
        if takes.is_empty() || !takes.iter().all(fits) {
            let next = "export the tower with only these inputs";
            return Err(self.refuse(expected, list(&takes), next));
        }
        if takes.len() > 1 && !takes.iter().any(|p| p.name == "input_ids") {
            return Err(self.refuse(expected, list(&takes), "export the tower with input_ids"));
        }
        let widths = takes.iter().filter_map(|p| p.dims.as_ref()?.get(1).copied().flatten());
        let width = widths.max().and_then(|n| usize::try_from(n).ok());
        let masked = takes.iter().any(|p| p.name == "attention_mask");
        let names = ["text_embeds", "text_embedding", "text_features", "sentence_embedding"];
        if let Some(output) = self.pooled(family, &names)? {
            let dim = width_of(&output);
            return Ok(TextGraph { output: TextOutput::Pooled(output.name), width, dim, masked });
        }
        let gives = self.model.gives();
        let tokens = ["token_embeddings", "last_hidden_state"];
        let tokens = tokens.iter().find_map(|name| gives.iter().find(|p| p.name == *name));
        let Some(tokens) = tokens.filter(|_| matches!(family, Family::Other(_))) else {
            return Err(self.no_embedding(family, "text_embeds"));
        };
        let dim = tokens.dims.as_ref().and_then(|d| d.get(2).copied().flatten());
        let dim = dim.and_then(|n| usize::try_from(n).ok());
        Ok(TextGraph { output: TextOutput::Tokens(tokens.name.clone()), width, dim, masked })
    }

    /// The output with one vector a row that is the embedding, if it is certain which.
    fn pooled(&self, family: &Family, names: &[&str]) -> Result<Option<Port>, Refusal> {
        let gives = self.model.gives();
        let rows = |p: &&Port| {
            matches!(p.element, Some(F32 | F16)) && p.dims.as_ref().is_none_or(|d| d.len() == 2)
        };
        let own = if *family == Family::Siglip { &["pooler_output"][..] } else { &[] };
        let names = names.iter().chain(&["embedding", "embeddings"]).chain(own);
        for name in names {
            if let Some(found) = gives.iter().find(|p| p.name == *name) {
                if !rows(&found) {
                    let next = "export the tower with one vector a row as its output";
                    return Err(self.refuse(
                        "an output of f32 or f16, [batch, dim]",
                        found.to_string(),
                        next,
                    ));
                }
                return Ok(Some(found.clone()));
            }
        }
        // What CLIP pools is not projected yet; of an unknown model nobody knows.
        let only: Vec<&Port> = gives.iter().filter(rows).collect();
        Ok(match &only[..] {
            [one] if one.name != "pooler_output" && one.dims.is_some() => Some((*one).clone()),
            _ => None,
        })
    }

    fn no_embedding(&self, family: &Family, wanted: &str) -> Refusal {
        let expected = format!("an output with one embedding a row, such as {wanted}");
        let next = match family {
            Family::Clip => {
                "what is pooled is not projected yet; export the model with its projection"
            }
            _ => "export the tower with its embedding as the only output of two axes",
        };
        Refusal::new(&self.path, expected, list(&self.model.gives()), next)
    }
}

fn is_pixels(port: &Port) -> bool {
    port.dims.as_ref().is_some_and(|dims| dims.len() == 4)
}

fn is_tokens(port: &Port) -> bool {
    matches!(port.element, Some(I32 | I64)) && port.dims.as_ref().is_none_or(|dims| dims.len() == 2)
}

fn width_of(port: &Port) -> Option<usize> {
    port.dims.as_ref()?.get(1).copied().flatten().and_then(|n| usize::try_from(n).ok())
}

fn list(ports: &[Port]) -> String {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    if ports.is_empty() { "nothing".into() } else { ports.join(", ") }
}
