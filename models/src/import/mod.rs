//! Given a folder in a layout that is in public use, what would its `model.toml` say?
//! Everything is read off the folder and written down once, so that all that comes after
//! knows one kind of model only.

mod card;
mod config;
mod draft;
mod layout;
mod precision;
mod processor;
mod refusal;
mod sentence;
mod texts;
mod towers;

use std::path::{Path, PathBuf};

use ekphrasis_embed::Preprocess;

use self::card::Card;
use self::config::{Config, Family};
use self::layout::Layout;
use self::texts::Texts;
use self::towers::{GraphFile, TextOutput};
use crate::manifest::Padding;

pub(crate) use draft::Draft;
pub use precision::{Precision, PrecisionChoice};
pub use refusal::Refusal;
pub(crate) use refusal::json;

/// What is wanted of an import, beside the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// What to call the model; its own name if none.
    pub name: Option<String>,
    /// Which graphs to take where the folder has several; 32-bit floats if none.
    pub precision: Option<Precision>,
    /// The languages of its texts, as tags such as `en`; those of its README if empty.
    pub languages: Vec<String>,
    /// The folder of a sentence-transformers text tower that takes the place of the
    /// model's own, and ends in the same space.
    pub text: Option<PathBuf>,
    /// An imported model that this is another precision of: it joins that one's space if
    /// it says the same.
    pub variant_of: Option<String>,
}

/// A picture tower and how it is fed.
struct Image {
    graph: GraphFile,
    input: String,
    output: String,
    dim: Option<usize>,
    preprocess: Preprocess,
}

/// A text tower and how it is fed.
struct Text {
    graph: GraphFile,
    output: String,
    dim: Option<usize>,
    texts: Texts,
    context: usize,
    padding: Padding,
    pooling: String,
    /// What it is, if it is of another model than the picture tower.
    other: Option<String>,
}

/// Whether the folder has graphs of that precision.
pub(crate) fn has(dir: &Path, precision: Precision) -> bool {
    Layout::of(dir, precision, true).is_ok()
}

/// Reads the folder `dir` as a public export in that precision.
///
/// # Errors
/// If its layout or anything in it is not understood.
pub(crate) fn derive(
    dir: &Path,
    options: &ImportOptions,
    precision: Precision,
) -> Result<Draft, Refusal> {
    let layout = Layout::of(dir, precision, options.text.is_none())?;
    let (image_path, text_path) = layout.graphs();
    let config_path = ["config.json", "open_clip_config.json"].map(|name| dir.join(name));
    let config = Config::read(config_path.iter().find(|p| p.is_file()).unwrap_or(&config_path[0]))?;
    let (image, text) = match &layout {
        Layout::Combined(path) => {
            let both = GraphFile::read(path)?;
            let missing = |what: &str| {
                let next = "export the model with both embeddings as outputs, or as two graphs";
                both.refuse_outputs(&format!("both towers, and so an output {what}"), next)
            };
            let image = both.gives_one_of(&["image_embeds", "image_embedding", "image_features"]);
            let image = image.ok_or_else(|| missing("image_embeds"))?;
            let text = both.gives_one_of(&["text_embeds", "text_embedding", "text_features"]);
            let text = text.ok_or_else(|| missing("text_embeds"))?;
            (both.cut_to(&image)?, Some(both.cut_to(&text)?))
        }
        Layout::Pair { .. } | Layout::Folders { .. } => {
            let image = GraphFile::read(image_path)?;
            let own = options.text.is_none().then(|| GraphFile::read(text_path)).transpose()?;
            (image, own)
        }
    };
    let folder_of = |path: &Path| path.parent().unwrap_or(dir).to_owned();
    let (image_dir, text_dir) = match &layout {
        Layout::Folders { .. } => (folder_of(image_path), folder_of(text_path)),
        Layout::Pair { .. } | Layout::Combined(_) => (dir.to_owned(), dir.to_owned()),
    };
    let image = self::image(image, &config, &[&image_dir, dir])?;
    let text = match &options.text {
        Some(folder) => sentence(folder, precision)?,
        None => match text {
            Some(graph) => self::text(graph, &config, &text_dir)?,
            None => self::text(GraphFile::read(text_path)?, &config, &text_dir)?,
        },
    };
    let dim = agree(&image, &text, &config)?;
    let mut card = Card::read(dir);
    if let Some(folder) = &options.text {
        card.languages = Card::read(folder).languages;
    }
    if !options.languages.is_empty() {
        card.languages.clone_from(&options.languages);
    }
    if card.languages.is_empty() {
        // Undetermined, as BCP 47 says it.
        card.languages.push("und".into());
    }
    Draft::new(dir, &config.family, precision, image, text, dim, card)
}

/// The picture tower, prepared for as the files in the first of these folders say.
fn image(graph: GraphFile, config: &Config, folders: &[&Path]) -> Result<Image, Refusal> {
    let tower = graph.image(&config.family)?;
    let names = ["preprocessor_config.json", "preprocess_cfg.json", "processor_config.json"];
    let candidates = || folders.iter().flat_map(|f| names.iter().map(|name| f.join(name)));
    let path = candidates().find(|path| path.is_file());
    let Some(path) = path else {
        return Err(Refusal::new(
            &folders[0].join(names[0]),
            "how pictures are prepared (preprocessor_config.json, or open_clip's preprocess_cfg.json)",
            "no such file",
            "fetch it, too: a picture prepared in another way is another picture to the model",
        ));
    };
    let preprocess = if path.ends_with("preprocess_cfg.json") {
        processor::open_clip(&path)?
    } else {
        processor::transformers(&path)?
    };
    let declared = [(tower.side, &graph.path), (config.side, &path)];
    for (side, of) in declared {
        if let Some(side) = side.filter(|&side| side != preprocess.size()) {
            let expected =
                format!("pictures of {side} × {side}, as {} takes", file_name(&graph.path));
            let got = format!("{0} × {0}", preprocess.size());
            let next = "the files are of two models; fetch all of one";
            return Err(Refusal::new(if of == &path { of } else { &path }, expected, got, next));
        }
    }
    let (input, output, dim) = (tower.input, tower.output, tower.dim);
    Ok(Image { graph, input, output, dim, preprocess })
}

/// The text tower, with its tokenizer in `dir`.
fn text(graph: GraphFile, config: &Config, dir: &Path) -> Result<Text, Refusal> {
    let tower = graph.text(&config.family)?;
    let texts = Texts::read(dir, Some(config))?;
    let TextOutput::Pooled(output) = tower.output else {
        let next = "export the tower with one vector a text as its output";
        return Err(
            graph.refuse_outputs("an output with one embedding a text, such as text_embeds", next)
        );
    };
    let limits = [texts.context, config.context];
    let context = context(&graph.path, tower.width, &limits)?;
    // CLIP and SigLIP saw texts of one length; others say which tokens are padding.
    let fixed = tower.width.is_some() || !tower.masked;
    let family = matches!(config.family, Family::Clip | Family::Siglip | Family::OpenClip);
    let padding = if fixed || family { Padding::Context } else { Padding::Longest };
    if tower.masked && !texts.masks {
        let next = "export the tower with input_ids alone";
        let expected = "a tokenizer that gives a mask, since the graph takes one";
        return Err(Refusal::new(
            &dir.join("tokenizer_config.json"),
            expected,
            "model_input_names without attention_mask",
            next,
        ));
    }
    let pooling = match config.family {
        Family::Siglip => "last token",
        _ => "end of text",
    };
    let dim = tower.dim;
    Ok(Text { graph, output, dim, texts, context, padding, pooling: pooling.into(), other: None })
}

/// The text tower of another folder.
fn sentence(dir: &Path, precision: Precision) -> Result<Text, Refusal> {
    let tower = sentence::read(dir, precision)?;
    let context = context(&tower.graph.path, tower.width, &[tower.texts.context, tower.context])?;
    let padding =
        if tower.masked && tower.width.is_none() { Padding::Longest } else { Padding::Context };
    Ok(Text {
        graph: tower.graph,
        output: tower.output,
        dim: tower.dim,
        texts: tower.texts,
        context,
        padding,
        pooling: tower.pooling,
        other: Some(tower.name),
    })
}

/// The most tokens of a text: what the graph was made for, or the least that is said.
fn context(graph: &Path, width: Option<usize>, limits: &[Option<usize>]) -> Result<usize, Refusal> {
    let said = limits.iter().flatten().min().copied();
    match (width, said) {
        (Some(width), Some(said)) if width > said => Err(Refusal::new(
            graph,
            format!("at most {said} tokens a text, as the files beside it say"),
            format!("a graph for {width}"),
            "the files are of two models; fetch all of one",
        )),
        (Some(width), _) => Ok(width),
        (None, Some(said)) => Ok(said),
        (None, None) => Err(Refusal::new(
            graph,
            "how many tokens a text may have (model_max_length, max_position_embeddings)",
            "nothing about it",
            "fetch config.json and tokenizer_config.json, too",
        )),
    }
}

/// The width of both towers' embeddings.
fn agree(image: &Image, text: &Text, config: &Config) -> Result<usize, Refusal> {
    let said = config.dim;
    let (of_image, of_text) = (image.dim.or(said), text.dim.or(said));
    let next = "the files are of two models; fetch all of one";
    let (Some(of_image), Some(of_text)) = (of_image, of_text) else {
        let got = "neither graphs nor config.json declare it";
        return Err(Refusal::new(&image.graph.path, "the width of the embeddings", got, next));
    };
    if of_image != of_text {
        let expected =
            format!("embeddings of {of_image} numbers, as {} gives", file_name(&image.graph.path));
        return Err(Refusal::new(&text.graph.path, expected, of_text.to_string(), next));
    }
    if let Some(said) = said.filter(|&said| said != of_image && text.other.is_none()) {
        let expected = format!("embeddings of {said} numbers, as config.json says");
        return Err(Refusal::new(&image.graph.path, expected, of_image.to_string(), next));
    }
    Ok(of_image)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
