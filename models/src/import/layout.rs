//! Given a folder, whose layout is it, and where in it are the graphs?

use std::path::{Path, PathBuf};

use super::precision::Precision;
use super::refusal::Refusal;

/// Where the towers lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A graph for each tower, beside their configuration or in `onnx/`.
    Pair { image: PathBuf, text: PathBuf },
    /// One graph with both.
    Combined(PathBuf),
    /// A folder for each tower.
    Folders { image: PathBuf, text: PathBuf },
}

/// How the graphs of a pair are called.
const PAIRS: [(&str, &str); 2] = [("vision_model", "text_model"), ("visual", "textual")];

impl Layout {
    /// The layout of `dir`, with the graphs of that precision. Its text tower need not be
    /// there if another takes its place.
    pub(super) fn of(dir: &Path, precision: Precision, texts: bool) -> Result<Self, Refusal> {
        if !dir.is_dir() {
            let got = if dir.exists() { "a file" } else { "nothing there" };
            let next = "name a folder that has a model.toml or a public export of a model in it";
            return Err(Refusal::new(dir, "a model's folder", got, next));
        }
        let (image, text) = (dir.join("visual"), dir.join("textual"));
        if image.is_dir() || text.is_dir() {
            let graph = |folder: &Path| graph(&[folder], "model", precision);
            let found = graph(&image)?;
            let text = if texts { graph(&text)? } else { found.clone() };
            let image = found;
            return Ok(Self::Folders { image, text });
        }
        let folders = [dir.join("onnx"), dir.to_owned()];
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        for (image, text) in PAIRS {
            if is_there(&folders, image) || is_there(&folders, text) {
                let image = graph(&folders, image, precision)?;
                let text = if texts { graph(&folders, text, precision)? } else { image.clone() };
                return Ok(Self::Pair { image, text });
            }
        }
        if dir.join("modules.json").is_file() {
            return Err(Refusal::new(
                dir,
                "a picture tower and a text tower",
                "a text tower of sentence-transformers alone",
                "import the folder of the picture tower that it goes with, and add --text with this folder",
            ));
        }
        if is_there(&folders, "model") {
            return graph(&folders, "model", precision).map(Self::Combined);
        }
        Err(Refusal::new(
            dir,
            "a model.toml, or vision_model.onnx and text_model.onnx (in it or in onnx/), or a model.onnx with both towers, or folders visual/ and textual/",
            listing(dir),
            "export the model to ONNX in one of these layouts (Transformers.js, optimum and immich do), or write a model.toml for it",
        ))
    }

    /// The graph of each tower; the same for both if they are in one.
    pub(super) fn graphs(&self) -> (&Path, &Path) {
        match self {
            Self::Pair { image, text } | Self::Folders { image, text } => (image, text),
            Self::Combined(both) => (both, both),
        }
    }
}

/// Whether a graph of that name is there in any precision.
fn is_there(folders: &[&Path], stem: &str) -> bool {
    Precision::ALL.into_iter().any(|precision| find(folders, stem, precision).is_some())
}

fn find(folders: &[&Path], stem: &str, precision: Precision) -> Option<PathBuf> {
    let names = precision.suffixes().iter().map(|suffix| format!("{stem}{suffix}.onnx"));
    names.flat_map(|name| folders.iter().map(move |f| f.join(&name))).find(|path| path.is_file())
}

/// The graph of that name and precision in the first of the folders that has it.
pub(super) fn graph(
    folders: &[&Path],
    stem: &str,
    precision: Precision,
) -> Result<PathBuf, Refusal> {
    if let Some(path) = find(folders, stem, precision) {
        return Ok(path);
    }
    let there: Vec<&str> = Precision::ALL
        .into_iter()
        .filter(|&other| find(folders, stem, other).is_some())
        .map(Precision::name)
        .collect();
    let wanted = format!("{stem}{}.onnx", precision.suffixes()[0]);
    let folder = folders.iter().find(|f| f.is_dir()).unwrap_or(&folders[0]);
    Err(match there.is_empty() {
        false => Refusal::new(
            &folder.join(&wanted),
            format!("the graph in precision {precision}"),
            format!("only {}", there.join(", ")),
            format!("choose one with --precision, such as --precision {}", there[0]),
        ),
        true => Refusal::new(
            &folder.join(&wanted),
            "the graph of this tower",
            format!("none beside {}", listing(folder)),
            "fetch the model again, with both of its towers",
        ),
    })
}

/// A few names of what is in a folder.
fn listing(dir: &Path) -> String {
    let names = fs_err::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    match names.len() {
        0 => "an empty folder".into(),
        1..=8 => names.join(", "),
        n => format!("{} and {} more", names[..8].join(", "), n - 8),
    }
}
