//! Many ways in which a model's folder can be damaged. Each is refused before anything
//! changes, in words of its own that name the file, what was expected and what was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ekphrasis_models::ImportOptions;
use serde_json::{Value, json};

use crate::imported::{copy, fixture, import, names};

/// A damage: its name, the folder that it befalls, what is done, and words of the refusal.
type Damage = (&'static str, &'static str, fn(&Path), &'static [&'static str]);

fn edit(path: PathBuf, change: impl Fn(&mut Value)) {
    let text = fs_err::read_to_string(&path).expect("readable");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut value);
    fs_err::write(path, value.to_string()).expect("written");
}

fn remove(path: PathBuf) {
    fs_err::remove_file(path).expect("removed");
}

/// Removes the answers, so that what is meant to be found is not found by them.
fn without_answers(dir: &Path) {
    remove(dir.join("golden.json"));
}

fn cut(path: PathBuf, keep: f64) {
    let bytes = fs_err::read(&path).expect("readable");
    fs_err::write(path, &bytes[..(bytes.len() as f64 * keep) as usize]).expect("written");
}

fn swap(a: PathBuf, b: PathBuf) {
    let (x, y) = (fs_err::read(&a).expect("readable"), fs_err::read(&b).expect("readable"));
    fs_err::write(a, y).expect("written");
    fs_err::write(b, x).expect("written");
}

/// Writes `value` over all numbers of the largest stretch of plausible weights.
fn overwrite_weights(path: PathBuf, value: f32) {
    let mut bytes = fs_err::read(&path).expect("readable");
    // Weights lie as raw floats; a stretch of them is where many in a row are small numbers.
    let plausible = |at: usize| {
        let n = f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        n.is_finite() && n != 0.0 && n.abs() > 1e-6 && n.abs() < 10.0
    };
    let (start, length) = (0..4)
        .flat_map(|offset| {
            let mut best = (0, 0);
            let mut at = offset;
            while at + 4 <= bytes.len() {
                let from = at;
                while at + 4 <= bytes.len() && plausible(at) {
                    at += 4;
                }
                if at - from > best.1 {
                    best = (from, at - from);
                }
                at += 4;
            }
            Some(best)
        })
        .max_by_key(|(_, length)| *length)
        .expect("four ways to look");
    assert!(length > 1000, "{length} bytes of weights");
    for at in (start..start + length).step_by(4) {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    fs_err::write(path, bytes).expect("written");
}

/// Puts other bytes of the same length into a file.
fn replace(path: PathBuf, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs_err::read(&path).expect("readable");
    let at: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|&i| bytes[i..].starts_with(from.as_bytes()))
        .collect();
    assert!(!at.is_empty(), "{from} in {}", path.display());
    for i in at {
        bytes[i..i + to.len()].copy_from_slice(to.as_bytes());
    }
    fs_err::write(path, bytes).expect("written");
}

/// A manifest of ours over a folder.
fn own_manifest(dir: &Path, change: fn(String) -> String) {
    let library = dir.join("made");
    without_answers(dir);
    let made = import(&library, dir, &ImportOptions::default()).expect("a good folder");
    let place = made.model.dir().to_owned();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_file() {
            remove(path);
        }
    }
    copy(&place, dir);
    fs_err::remove_dir_all(&library).expect("removed");
    let path = dir.join("model.toml");
    let text = fs_err::read_to_string(&path).expect("readable");
    let changed = change(text.clone());
    assert_ne!(changed, text, "something is damaged");
    fs_err::write(path, changed).expect("written");
}

const DAMAGES: &[Damage] = &[
    (
        "nothing in it",
        "siglip",
        |d| {
            fs_err::remove_dir_all(d).expect("removed");
            fs_err::create_dir(d).expect("created");
        },
        &["model.toml", "vision_model.onnx", "an empty folder"],
    ),
    (
        "no text tower",
        "siglip",
        |d| {
            for end in ["", "_fp16", "_quantized", "_q4"] {
                remove(d.join(format!("onnx/text_model{end}.onnx")));
            }
        },
        &["text_model.onnx", "none beside", "both of its towers"],
    ),
    (
        "no 32-bit graphs",
        "siglip",
        |d| {
            remove(d.join("onnx/vision_model.onnx"));
        },
        &["vision_model.onnx", "only fp16, int8, q4", "--precision fp16"],
    ),
    ("no config.json", "siglip", |d| remove(d.join("config.json")), &["config.json", "not found"]),
    (
        "config.json cut off",
        "siglip",
        |d| cut(d.join("config.json"), 0.5),
        &["config.json", "as JSON", "EOF"],
    ),
    (
        "config.json of something else",
        "siglip",
        |d| {
            fs_err::write(d.join("config.json"), "{\"version\": 3}").expect("written");
        },
        &["config.json", "model_type", "missing field"],
    ),
    (
        "no preprocessor_config.json",
        "siglip",
        |d| remove(d.join("preprocessor_config.json")),
        &["preprocessor_config.json", "how pictures are prepared", "no such file"],
    ),
    (
        "an unknown step",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["do_thumbnail"] = json!(true));
        },
        &["preprocessor_config.json", "do_thumbnail = true"],
    ),
    (
        "a step that is told to be done by a number",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["do_sharpen"] = json!(1));
        },
        &["preprocessor_config.json", "do_sharpen = 1"],
    ),
    (
        "padding",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["do_pad"] = json!(true));
        },
        &["preprocessor_config.json", "do_pad = true"],
    ),
    (
        "a crop by a share",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["crop_pct"] = json!(0.875));
        },
        &["preprocessor_config.json", "resize, centre crop", "crop_pct = 0.875"],
    ),
    (
        "another rescaling",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["rescale_offset"] = json!(true));
        },
        &["preprocessor_config.json", "rescale_offset = true"],
    ),
    (
        "an unknown processor",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| {
                v["image_processor_type"] = json!("ConvNextImageProcessor");
            });
        },
        &["preprocessor_config.json", "CLIP, ", "\"ConvNextImageProcessor\""],
    ),
    (
        "an unknown setting of open_clip",
        "visual",
        |d| {
            edit(d.join("visual/preprocess_cfg.json"), |v| v["crop_pct"] = json!(0.9));
        },
        &["preprocess_cfg.json", "unknown field `crop_pct`", "resize_mode"],
    ),
    (
        "an unknown filter",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["resample"] = json!(9));
        },
        &["preprocessor_config.json", "0 to 5", "got 9"],
    ),
    (
        "pictures of another size",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| {
                v["size"] = json!({"height": 256, "width": 256});
            });
        },
        &["preprocessor_config.json", "224 × 224", "256 × 256"],
    ),
    (
        "pictures that are no squares",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| {
                v["size"] = json!({"height": 224, "width": 112});
            });
        },
        &["preprocessor_config.json", "square", "width 112"],
    ),
    (
        "both sides to one length, then a crop",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| {
                v["image_processor_type"] = json!("DeiTImageProcessor");
                v["size"] = json!(256);
                v["do_center_crop"] = json!(true);
                v["crop_size"] = json!(224);
            });
        },
        &["preprocessor_config.json", "the crop's", "got 256, then a crop to 224"],
    ),
    (
        "one length, which is of nobody knows which side, then a crop",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| {
                v.as_object_mut().expect("settings").remove("image_processor_type");
                v["size"] = json!(256);
                v["crop_size"] = json!(224);
            });
        },
        &["preprocessor_config.json", "default_to_square", "got 256"],
    ),
    (
        "a deviation of zero",
        "siglip",
        |d| {
            edit(d.join("preprocessor_config.json"), |v| v["image_std"] = json!([0.5, 0.0, 0.5]));
        },
        &["preprocessor_config.json", "std over zero"],
    ),
    (
        "no tokenizer",
        "siglip",
        |d| remove(d.join("tokenizer.json")),
        &["tokenizer.json", "no such file", "spiece.model"],
    ),
    (
        "a tokenizer cut off",
        "siglip",
        |d| cut(d.join("tokenizer.json"), 0.6),
        &["tokenizer.json", "EOF"],
    ),
    (
        "the tokenizer of another model",
        "siglip",
        |d| {
            fs_err::copy(fixture("clip/tokenizer.json"), d.join("tokenizer.json")).expect("copied");
        },
        &["tokenizer.json", "token ids below", "ids up to"],
    ),
    (
        "a tokenizer that ends texts otherwise",
        "clip",
        |d| {
            edit(d.join("config.json"), |v| v["text_config"]["eos_token_id"] = json!(7));
        },
        &["tokenizer.json", "<|endoftext|>", "with id 7"],
    ),
    (
        "a pad token that is none",
        "clip",
        |d| {
            edit(d.join("tokenizer_config.json"), |v| v["pad_token"] = json!("[PADDING]"));
        },
        &["tokenizer.json", "[PADDING]", "no such token"],
    ),
    (
        "towers that changed places",
        "siglip",
        |d| {
            swap(d.join("onnx/vision_model.onnx"), d.join("onnx/text_model.onnx"));
        },
        &["vision_model.onnx", "[batch, 3, size, size]", "input_ids", "changed places"],
    ),
    (
        "a text tower that is a second picture tower",
        "siglip",
        |d| {
            fs_err::copy(d.join("onnx/vision_model.onnx"), d.join("onnx/text_model.onnx"))
                .expect("copied");
        },
        &["text_model.onnx", "[batch, tokens]", "pixel_values"],
    ),
    (
        "a graph cut off",
        "siglip",
        |d| cut(d.join("onnx/vision_model.onnx"), 0.7),
        &["vision_model.onnx", "an ONNX graph", "fetch it again"],
    ),
    (
        "a pointer instead of a graph",
        "siglip",
        |d| {
            let pointer = "version https://git-lfs.github.com/spec/v1\nsize 352\n";
            fs_err::write(d.join("onnx/text_model.onnx"), pointer).expect("written");
        },
        &["text_model.onnx", "Git LFS"],
    ),
    (
        "towers of two widths",
        "siglip",
        |d| {
            // A text tower of twelve numbers, with names as siglip's has them.
            fs_err::copy(fixture("visual/visual/model.onnx"), d.join("onnx/vision_model.onnx"))
                .expect("copied");
            edit(d.join("preprocessor_config.json"), |v| {
                v["size"] = json!({"height": 64, "width": 64});
            });
            edit(d.join("config.json"), |v| v["vision_config"]["image_size"] = json!(64));
        },
        &["text_model.onnx", "embeddings of 12 numbers", "got 16"],
    ),
    (
        "another width than said",
        "clip",
        |d| {
            edit(d.join("config.json"), |v| v["projection_dim"] = json!(13));
        },
        &["model.onnx", "13 numbers", "got 12"],
    ),
    (
        "outputs of unknown meaning",
        "clip",
        |d| {
            replace(d.join("model.onnx"), "image_embeds", "image_things");
        },
        &["model.onnx", "an output image_embeds", "image_things"],
    ),
    (
        "weights beside the graph are missing",
        "visual",
        |d| remove(d.join("textual/model.onnx_data")),
        &["model.onnx_data", "the weights of model.onnx", "no such file"],
    ),
    (
        "weights beside the graph are cut off",
        "visual",
        |d| {
            without_answers(d);
            cut(d.join("textual/model.onnx_data"), 0.5);
        },
        &["textual/model.onnx_data", "bytes of weights", "got 29632"],
    ),
    (
        "weights from elsewhere on the machine",
        "visual",
        |d| {
            replace(d.join("textual/model.onnx"), "model.onnx_data", "../../etc/hosts");
        },
        &["textual/model.onnx", "its own folder", "../../etc/hosts"],
    ),
    (
        "weights that are no numbers",
        "siglip",
        |d| {
            overwrite_weights(d.join("onnx/vision_model.onnx"), f32::NAN);
        },
        &["vision_model.onnx", "not finite"],
    ),
    (
        "weights of zero",
        "siglip",
        |d| {
            without_answers(d);
            overwrite_weights(d.join("onnx/vision_model.onnx"), 0.0);
        },
        &["vision_model.onnx", "the same for all"],
    ),
    (
        "answers of another model",
        "clip",
        |d| {
            fs_err::copy(fixture("visual/golden.json"), d.join("golden.json")).expect("copied");
        },
        &["golden.json", "expected token ids", "are of another model"],
    ),
    (
        "a manifest that names files elsewhere",
        "siglip",
        |d| {
            own_manifest(d, |text| text.replace("tokenizer.json", "../tokenizer.json"));
        },
        &["model.toml", "inside the model folder", "../tokenizer.json"],
    ),
    (
        "a manifest of another width",
        "siglip",
        |d| {
            own_manifest(d, |text| text.replace("dim = 16", "dim = 17"));
        },
        &["vision_model.onnx", "[batch, 17]"],
    ),
    (
        "a file that is not the promised one",
        "siglip",
        |d| {
            own_manifest(d, |text| format!("# changed\n{text}"));
            replace(d.join("tokenizer.json"), "<unk>", "<unq>");
        },
        &["tokenizer.json", "expected sha256"],
    ),
    (
        "a checksum that is none",
        "siglip",
        |d| {
            own_manifest(d, |text| text.replacen("sha256 = \"", "sha256 = \"x", 1));
        },
        &["model.toml", "64 lower-case hexadecimal digits"],
    ),
    (
        "a module that is not known",
        "sentence-in-siglip",
        |d| {
            let path = d.join("text/modules.json");
            let text = fs_err::read_to_string(&path).expect("readable");
            fs_err::write(path, text.replace("pooling.Pooling", "pooling.Attention"))
                .expect("written");
        },
        &["modules.json", "Transformer, Pooling, Dense", "Attention"],
    ),
    (
        "a dense layer without weights",
        "sentence-in-siglip",
        |d| {
            remove(d.join("text/2_Dense/model.safetensors"));
            fs_err::write(d.join("text/2_Dense/pytorch_model.bin"), "pickle").expect("written");
        },
        &["2_Dense/model.safetensors", "a Python pickle", "save the model again"],
    ),
    (
        "tokens pooled in an unknown way",
        "sentence-in-siglip",
        |d| {
            edit(d.join("text/1_Pooling/config.json"), |v| v["pooling_mode"] = json!("lasttoken"));
        },
        &["1_Pooling/config.json", "by mean or by cls", "lasttoken"],
    ),
];

#[test]
fn each_damage_is_refused_in_its_own_words_and_nothing_changes() {
    assert!(DAMAGES.len() >= 30);
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, folder, damage, words) in DAMAGES {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let from = dir.path().join("model");
        let mut options = ImportOptions::default();
        if *folder == "sentence-in-siglip" {
            copy(&fixture("siglip"), &from);
            without_answers(&from);
            copy(&fixture("sentence"), &from.join("text"));
            options.text = Some(from.join("text"));
        } else {
            copy(&fixture(folder), &from);
        }
        damage(&from);
        let library = dir.path().join("models");
        let error = match import(&library, &from, &options) {
            Err(error) => error.to_string(),
            Ok(imported) => {
                wrong.push(format!("{name}: came in, {:?}", imported.brought));
                continue;
            }
        };
        println!("{name}\n  {}", error.replace(&dir.path().display().to_string(), "…"));
        for word in words.iter().filter(|word| !error.contains(**word)) {
            wrong.push(format!("{name}: no {word:?} in {error}"));
        }
        assert!(!library.exists(), "{name}: nothing came in, not even a folder");
        if !error.contains("expected") {
            wrong.push(format!("{name}: nothing expected in {error}"));
        }
        let plain = error.replace(&dir.path().display().to_string(), "");
        if let Some(other) = seen.insert(plain, name) {
            panic!("{name} is told as {other} is");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
