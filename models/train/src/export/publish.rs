//! Given both towers, how does a model folder come about? Written beside its
//! destination, opened and compared with the trainer, and only then moved.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use ekphrasis_embed::Space;
use ekphrasis_models::{MANIFEST_FILE, Model, PAIR_KEY, Runtime};
use ekphrasis_onnx::{self as onnx, Storage};

use super::error::ExportError;
use super::folder::{self, CARD, IMAGE, Parts, TEXT, TOKENIZER, VECTORS, WORDS};
use super::parity::{self, Parity, Samples};
use super::tower::{Built, ImageTower, TextTower};
use super::vocabulary;

/// What is said of the model, in `model.toml` and in the metadata of both graphs.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Short name; the start of the space's id.
    pub name: &'a str,
    /// One sentence on what the model can and cannot do.
    pub summary: &'a str,
    /// Licence of the weights.
    pub license: &'a str,
    /// Languages of its texts, at least one.
    pub languages: &'a [String],
    /// Prompt templates for labels, each with one `{}`; at least one.
    pub templates: &'a [String],
    /// What cosines are multiplied by before the softmax over labels: over 0, at most 1000.
    pub logit_scale: f32,
    /// The loss, as the configuration names it.
    pub loss: &'a str,
    /// Its margin, if it has one.
    pub margin: Option<f64>,
    /// A hash of the training data.
    pub data: &'a str,
}

/// Everything that makes a model.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// The picture encoder.
    pub image: ImageTower<'a>,
    /// The text encoder.
    pub text: TextTower<'a>,
    /// What is said of it.
    pub about: About<'a>,
    /// How trained weights are kept; those of the base stay as they are.
    pub storage: Storage,
    /// Words that `ek describe` chooses from, embedded by the new text encoder; none
    /// for no vocabulary. A word that is there twice counts once.
    pub words: &'a [String],
    /// The text of CARD.md, if there is to be one.
    pub card: Option<&'a str>,
    /// What the trainer computed.
    pub samples: Samples<'a>,
}

/// A model that was published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The model, opened at its destination.
    pub model: Model,
    /// The id of this training: a hash of both graphs and of what is said of them,
    /// so that the same training has the same id.
    pub pair: String,
    /// What all files weigh together.
    pub bytes: u64,
    /// How well trainer and runtime agree.
    pub parity: Parity,
}

/// Writes the model into the folder `out`, which must be new or empty.
///
/// # Errors
/// As [`ExportError`] says. Then nothing is at `out`, and nothing beside it.
pub fn publish(
    export: &Export<'_>,
    runtime: &Runtime,
    out: &Path,
) -> Result<Published, ExportError> {
    let occupied = fs_err::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied || out.is_file() {
        return Err(ExportError::Exists(out.into()));
    }
    let absolute = std::path::absolute(out)?;
    let parent = absolute.parent().unwrap_or(&absolute);
    fs_err::create_dir_all(parent)?;
    let partial = tempfile::Builder::new().prefix(".ek-train-").tempdir_in(parent)?;
    // The temporary folder itself may be read by nobody else.
    let folder = partial.path().join("model");
    fs_err::create_dir(&folder)?;
    let (pair, parity) = write(export, runtime, &folder)?;

    // A rename replaces an empty folder on Unix; elsewhere it must not be there.
    match fs_err::remove_dir(&absolute) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    fs_err::rename(&folder, &absolute)?;
    let model = Model::open(out)?;
    let bytes = model.manifest().files().values().map(|f| f.bytes).sum();
    Ok(Published { model, pair, bytes, parity })
}

/// Writes everything into `to` and compares.
fn write(
    export: &Export<'_>,
    runtime: &Runtime,
    to: &Path,
) -> Result<(String, Parity), ExportError> {
    let mut image = export.image.build(export.storage)?;
    let mut text = export.text.build(export.storage)?;
    if image.dim != text.dim {
        return Err(ExportError::Dim { image: image.dim, text: text.dim });
    }
    let about = &export.about;
    for built in [&mut image, &mut text] {
        // A base's own would make equal trainings unequal.
        built.model.set_metadata(PAIR_KEY, "");
        describe(built, about);
    }
    let pair = pair_id(&image, &text);
    let space = Space::new(&format!("{}-{}", slug(about.name), &pair[..8]), image.dim)?;
    let mut files = BTreeMap::new();
    for (name, modality, built) in [(IMAGE, "image", &mut image), (TEXT, "text", &mut text)] {
        built.model.set_metadata("ekphrasis.modality", modality);
        built.model.set_metadata("ekphrasis.space", space.id());
        built.model.set_metadata(PAIR_KEY, &pair);
        files.insert(name, onnx::write(&built.model));
    }
    files.insert(TOKENIZER, export.text.tokenizer()?);
    if let Some(card) = export.card {
        files.insert(CARD, card.as_bytes().to_vec());
    }
    let base = export.text.base().map(|base| base.space().id());
    let mut parts = Parts {
        pair: &pair,
        base,
        space: space.id(),
        dim: space.dim(),
        image_output: &image.output,
        text_output: &text.output,
        vocabulary: false,
    };
    // The vocabulary needs the model's text encoder, and a model opens only whole:
    // so first without it.
    let save = |parts: &Parts<'_>, files: &BTreeMap<&'static str, Vec<u8>>, new: &[&str]| {
        for name in new {
            durable(&to.join(name), &files[name])?;
        }
        let manifest = folder::manifest(about, parts, &export.image, &export.text, files)?;
        durable(&to.join(MANIFEST_FILE), manifest.as_bytes())
    };
    let names: Vec<&str> = files.keys().copied().collect();
    save(&parts, &files, &names)?;
    let model = Model::open(to)?;
    for (file, built) in [(IMAGE, &image), (TEXT, &text)] {
        dynamic(to, file, built)?;
    }
    let threads = rayon::current_num_threads();
    let texts = model.ort_text_encoder(runtime, threads)?;
    let images = model.ort_image_encoder(runtime, 1)?;
    let parity = parity::check(&images, &texts, &export.samples)?;

    let words = vocabulary::tidy(export.words);
    if !words.is_empty() {
        files.insert(VECTORS, vocabulary::vectors(&texts, &words)?);
        files.insert(WORDS, (words.join("\n") + "\n").into_bytes());
        parts.vocabulary = true;
        save(&parts, &files, &[VECTORS, WORDS])?;
        Model::open(to)?.vocabulary()?;
    }
    Ok((pair, parity))
}

/// What the training was, into a graph's metadata.
fn describe(built: &mut Built, about: &About<'_>) {
    let margin = about.margin.map_or_else(|| "none".into(), |m| m.to_string());
    let entries = [
        ("dim", built.dim.to_string()),
        ("loss", about.loss.to_owned()),
        ("margin", margin),
        ("data", about.data.to_owned()),
        ("template", about.templates.join("\n")),
        ("logit_scale", about.logit_scale.to_string()),
        ("license", about.license.to_owned()),
        ("space", String::new()),
        ("modality", String::new()),
    ];
    for (key, value) in entries {
        built.model.set_metadata(&format!("ekphrasis.{key}"), &value);
    }
}

/// 32 hexadecimal digits that name both graphs, before they carry it.
fn pair_id(image: &Built, text: &Built) -> String {
    let mut hash = blake3::Hasher::new();
    for built in [image, text] {
        let bytes = onnx::write(&built.model);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
        hash.update(built.output.as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

/// The name in letters that a space's id may have.
fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let letters = lower
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' });
    let slug: String = letters.take(48).collect();
    let slug = slug.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if slug.is_empty() { "model".into() } else { slug.into() }
}

/// Refuses an output of fixed batch where the input takes any.
fn dynamic(dir: &Path, file: &str, built: &Built) -> Result<(), ExportError> {
    let first = |name: &str| built.model.shape(name).and_then(|s| s.first().copied());
    let varies = built.model.inputs().first().is_none_or(|name| first(name) == Some(None));
    match first(&built.output) {
        Some(Some(n)) if varies => Err(ExportError::FixedBatch {
            path: dir.join(file),
            output: built.output.clone(),
            got: n.to_string(),
        }),
        _ => Ok(()),
    }
}

fn durable(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_gives_a_space() {
        for (name, want) in [
            ("Pets & Me", "pets---me"),
            ("", "model"),
            ("été", "t"),
            ("-.x.-", "x"),
            (&"y".repeat(99), &"y".repeat(48)),
        ] {
            let id = slug(name);
            assert_eq!(id, want);
            Space::new(&format!("{id}-01234567"), 4).expect("a valid id");
        }
    }
}
