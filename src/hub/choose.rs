//! Given all files of a repository, which make up the model in the wanted precision? The
//! towers of one of the layouts in public use, what they are described by, and no more:
//! repositories hold the same weights many times.

use std::collections::BTreeMap;

use ekphrasis_engine::Precision;

/// The files of a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// These; small ones first, so that what was begun is described.
    Files(Vec<String>),
    /// Ours: `model.toml` names the rest. With what people would look for beside it.
    Manifest(Vec<String>),
}

/// Why nothing was chosen: what is there, and what would do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotChosen {
    pub(super) found: String,
    pub(super) expected: String,
}

/// The manifest of our own folders.
pub(super) const MANIFEST: &str = "model.toml";

/// Files that describe a model, beside its towers or at the top.
const DESCRIPTIONS: [&str; 10] = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "open_clip_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// Files for people, at the top.
const CARDS: [&str; 5] = ["README.md", "CARD.md", "LICENSE", "LICENSE.md", "NOTICE"];

/// Chooses among `files` (anything by path).
pub(super) fn choose<T>(
    files: &BTreeMap<String, T>,
    precision: Option<Precision>,
) -> Result<Chosen, NotChosen> {
    let has = |path: &str| files.contains_key(path);
    let cards = || CARDS.iter().filter(|card| has(card)).map(|card| (*card).to_owned());
    if has(MANIFEST) {
        if let Some(asked) = precision {
            return Err(NotChosen {
                found: format!("a {MANIFEST}, which names its files in one precision"),
                expected: format!("leave out --precision {}", asked.name()),
            });
        }
        return Ok(Chosen::Manifest([MANIFEST.to_owned()].into_iter().chain(cards()).collect()));
    }
    let asked = precision.unwrap_or(Precision::Fp32);
    let Some(towers) = towers(files, asked) else {
        return Err(not_chosen(files, asked));
    };
    let mut chosen: Vec<String> = cards().collect();
    chosen.extend(files.keys().filter(|path| describes(path, &towers)).cloned());
    chosen.extend(files.keys().filter(|path| weighs(path, &towers)).cloned());
    Ok(Chosen::Files(chosen))
}

/// The graphs of a layout, by their paths.
fn towers<T>(files: &BTreeMap<String, T>, precision: Precision) -> Option<Vec<String>> {
    let all = |graphs: Vec<String>| {
        graphs.iter().all(|graph| files.contains_key(graph)).then_some(graphs)
    };
    for ending in precision.suffixes() {
        for dir in ["onnx/", ""] {
            let pair = ["vision_model", "text_model"];
            let pair = all(pair.map(|tower| format!("{dir}{tower}{ending}.onnx")).into());
            if pair.is_some() {
                return pair;
            }
        }
    }
    if precision == Precision::Fp32 {
        let pair = all(["visual", "textual"].map(|tower| format!("{tower}/model.onnx")).into());
        if pair.is_some() {
            return pair;
        }
    }
    let single = |ending: &&str| {
        ["onnx/", ""].into_iter().find_map(|dir| all(vec![format!("{dir}model{ending}.onnx")]))
    };
    precision.suffixes().iter().find_map(single)
}

/// Whether a file says how the towers are used.
fn describes(path: &str, towers: &[String]) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let beside = towers.iter().any(|tower| folder(tower) == dir);
    let known = DESCRIPTIONS.contains(&name) || (beside && name == "preprocess_cfg.json");
    // Pooling and projections of sentence-transformers: `1_Pooling`, `2_Dense`.
    let module = dir.split_once('_').is_some_and(|(number, kind)| {
        number.bytes().all(|b| b.is_ascii_digit())
            && !number.is_empty()
            && !kind.contains('/')
            && (name == "config.json" || name == "model.safetensors")
    });
    (known && (dir.is_empty() || beside)) || module
}

/// Whether a file is a tower or weights that a tower keeps outside.
fn weighs(path: &str, towers: &[String]) -> bool {
    let outside = |tower: &String| {
        // `visual/` and `textual/` keep weights under names of no kind.
        let any = matches!(folder(tower), "visual" | "textual")
            && folder(path) == folder(tower)
            && !path.rsplit_once('.').is_some_and(|(_, kind)| {
                matches!(kind, "json" | "txt" | "md" | "armnn" | "rknn" | "onnx" | "model")
            });
        path.starts_with(tower.as_str()) || any
    };
    towers.iter().any(outside)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn not_chosen<T>(files: &BTreeMap<String, T>, asked: Precision) -> NotChosen {
    let there = Precision::ALL.into_iter().filter(|p| towers(files, *p).is_some());
    let there: Vec<_> = there.map(Precision::name).collect();
    if !there.is_empty() {
        return NotChosen {
            found: format!("no towers in {}", asked.name()),
            expected: format!("choose with --precision from: {}", there.join(", ")),
        };
    }
    let graphs: Vec<_> = files.keys().filter(|path| path.ends_with(".onnx")).collect();
    let shown = |paths: &[&String]| {
        let mut text: Vec<_> = paths.iter().take(6).map(|p| p.as_str()).collect();
        if paths.len() > 6 {
            text.push("…");
        }
        super::listing::shortened(&text.join(", "))
    };
    let found = match graphs.len() {
        0 => "no ONNX graph".to_owned(),
        n => format!("{n} ONNX graphs in no layout that is known here ({})", shown(&graphs)),
    };
    let expected = "expected vision_model.onnx with text_model.onnx, or model.onnx, at the top or in onnx/; or visual/model.onnx with textual/model.onnx; or a model.toml. Look for an ONNX export of it, such as those of Xenova and onnx-community".into();
    NotChosen { found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> BTreeMap<String, ()> {
        paths.iter().map(|path| ((*path).to_owned(), ())).collect()
    }

    fn chosen(paths: &[&str], precision: Option<Precision>) -> Vec<String> {
        match choose(&files(paths), precision).expect("understood") {
            Chosen::Files(files) => files,
            Chosen::Manifest(_) => panic!("no manifest"),
        }
    }

    /// As `Xenova/clip-vit-base-patch32` lies on the hub, with one file of data outside.
    const PAIR: [&str; 15] = [
        ".gitattributes",
        "README.md",
        "config.json",
        "merges.txt",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "onnx/text_model.onnx",
        "onnx/text_model_fp16.onnx",
        "onnx/text_model_fp16.onnx_data",
        "onnx/text_model_quantized.onnx",
        "onnx/vision_model.onnx",
        "onnx/vision_model_fp16.onnx",
        "onnx/vision_model_quantized.onnx",
        "preprocessor_config.json",
        "tokenizer.json",
    ];

    #[test]
    fn a_pair_comes_in_one_precision_with_its_descriptions() {
        let described = ["README.md", "config.json", "preprocessor_config.json", "tokenizer.json"];
        for (precision, towers) in [
            (None, &["onnx/text_model.onnx", "onnx/vision_model.onnx"][..]),
            (
                Some(Precision::Fp16),
                &[
                    "onnx/text_model_fp16.onnx",
                    "onnx/text_model_fp16.onnx_data",
                    "onnx/vision_model_fp16.onnx",
                ],
            ),
            (
                Some(Precision::Int8),
                &["onnx/text_model_quantized.onnx", "onnx/vision_model_quantized.onnx"],
            ),
        ] {
            assert_eq!(
                chosen(&PAIR, precision),
                [&described[..], towers].concat(),
                "{precision:?}"
            );
        }
    }

    #[test]
    fn a_precision_that_is_not_there_is_told_with_those_that_are() {
        let why = choose(&files(&PAIR), Some(Precision::Q4)).expect_err("no q4");
        assert_eq!(why.expected, "choose with --precision from: fp32, fp16, int8");
    }

    #[test]
    fn other_layouts_are_known() {
        let separate = [
            "config.json",
            "textual/fp16/model.armnn",
            "textual/merges.txt",
            "textual/model.armnn",
            "textual/model.onnx",
            "textual/onnx__MatMul_2679",
            "textual/tokenizer.json",
            "visual/2202c01a-47f5-11ef-ab4b-00155d655292",
            "visual/model.onnx",
            "visual/preprocess_cfg.json",
            "visual/rknpu/rk3588/model.rknn",
        ];
        assert_eq!(
            chosen(&separate, None),
            [
                "config.json",
                "textual/tokenizer.json",
                "visual/preprocess_cfg.json",
                "textual/model.onnx",
                "textual/onnx__MatMul_2679",
                "visual/2202c01a-47f5-11ef-ab4b-00155d655292",
                "visual/model.onnx",
            ]
        );
        let combined = [
            "config.json",
            "model.onnx",
            "model.onnx.data",
            "model_fp16.onnx",
            "model.safetensors",
        ];
        assert_eq!(chosen(&combined, None), ["config.json", "model.onnx", "model.onnx.data"]);
        let sentences = [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "model.safetensors",
            "modules.json",
            "onnx/model.onnx",
            "openvino/openvino_model.bin",
            "tokenizer.json",
        ];
        assert_eq!(
            chosen(&sentences, None),
            [
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "modules.json",
                "tokenizer.json",
                "onnx/model.onnx",
            ]
        );
    }

    #[test]
    fn our_own_folder_is_named_by_its_manifest() {
        let ours = files(&["CARD.md", "image.onnx", "model.toml", "text.onnx"]);
        let expected = ["model.toml", "CARD.md"].map(str::to_owned).to_vec();
        assert_eq!(choose(&ours, None), Ok(Chosen::Manifest(expected)));
        let why = choose(&ours, Some(Precision::Int8)).expect_err("one precision");
        assert!(why.expected.contains("--precision"), "{why:?}");
    }

    #[test]
    fn what_is_no_model_is_told_with_what_was_found() {
        let none = choose(&files(&["model.safetensors", "config.json"]), None).expect_err("none");
        assert_eq!(none.found, "no ONNX graph");
        let odd = choose(&files(&["encoder.onnx", "decoder.onnx"]), None).expect_err("odd");
        assert!(odd.found.contains("decoder.onnx, encoder.onnx"), "{odd:?}");
        // Half of a pair is none.
        choose(&files(&["onnx/text_model.onnx"]), None).expect_err("half");
    }
}
